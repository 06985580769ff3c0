"""The generator: replies sampled from a causal language model, ours or any that transformers can load."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from generation.decoding import Decoder, can_branch, record_steps
from generation.place import one_core, place
from generation.prompt import PLAIN_STOP
from generation.rendering import Rendering, examples_of
from generation.sampling import GeneratorError, Sample, Sampling, distinct, tidy
from ranking.serving import pack
from storage.dialog import Candidate, Context

STARTER = Path(__file__).parent / "starter"

UNREPEATED = 6
"""No run of so many tokens of the prompt is said again: neither the user's words nor one's own of before.
Shorter ones forbid what is well said: of 781 replies that we wrote for Kith in held-back dialogs three forbid 27 %,
four 9 %, six 1 %. Asked for its name in a dialog the starter says it, or what it is, in 14 % of replies, with three
in 3 %."""

UNREPEATED_OWN = 3
"""No run of so many tokens comes twice within a reply of a model of ours: of 3,200 of the starter's 1.1 % repeat
themselves, with six 2.6 %, and of what we wrote it forbids 0.1 %. Models of others have UNREPEATED: their tokens can be
parts of letters, of which three come twice in many a text."""


class GptGenerator:
    """Samples replies; the mean log-probability of its tokens is each one's own score."""

    def __init__(self, name: str = "", sampling: Sampling | None = None, examples: int = 0) -> None:
        """`name`: "" for the starter, a local folder, or a hub id; `examples`: dialogs of Kith's voice that a model of
        others is shown; one that was trained here is shown as many as then. Raises GeneratorError when it cannot be
        loaded."""
        self.sampling = sampling or Sampling()
        folder = name if name else str(STARTER)
        try:
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            self.device, dtype = place()
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, trust_remote_code=False
            )
            self.model: PreTrainedModel = model.to(self.device)
        except Exception as error:  # a broken folder makes the libraries raise all kinds, the tokenizers plain ones
            raise GeneratorError(f"The generator {folder} cannot be loaded: {error}") from error
        self.model.eval().requires_grad_(False)
        pack(self.model)
        self.room = int(getattr(config, "max_position_embeddings", 2048)) - self.sampling.max_new_tokens
        if self.room < 8:
            raise GeneratorError(f"The generator {folder} has no room for {self.sampling.max_new_tokens} new tokens.")
        self.version = Path(name).name if name else f"starter {made(STARTER)}"
        self.rendering = Rendering(self.tokenizer, self.room, examples_of(folder, examples))
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        ends = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        own = UNREPEATED_OWN if self.rendering.ours else UNREPEATED
        decoder = Decoder(self.model, self.sampling, self.ends, UNREPEATED, self._stopped, own)
        self.decoder = decoder if can_branch(decoder, self.room) else None
        """None for models that only `generate` knows how to read."""
        if self.decoder:
            record_steps(self.decoder)

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context the distinct, finished ones of `sampling.candidates` samples, all chats in one batch. The
        random numbers go on from turn to turn."""
        with one_core():  # the pipeline scores other candidates beside it
            return [distinct(samples, self.version) for samples in self.sample(contexts)]

    def sample(self, contexts: Sequence[Context]) -> list[list[Sample]]:
        """For each context all of its `sampling.candidates` samples, as they came."""
        if not contexts:
            return []
        prompts = [self.rendering.prompt(context) for context in contexts]
        if self.decoder is None:
            return self._generate(prompts)
        return [[self._read(b.ids, b.log_probabilities) for b in drawn] for drawn in self.decoder.draw(prompts)]

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]]) -> list[list[Sample]]:
        batch = self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self.device)
        output = self.model.generate(**batch, generation_config=self._config(), tokenizer=self.tokenizer)
        new = output.sequences[:, batch["input_ids"].shape[1] :].tolist()
        scores = self.model.compute_transition_scores(output.sequences, output.logits, normalize_logits=True).tolist()
        ends, pad = self.ends, self.tokenizer.pad_token_id
        samples = []
        for ids, values in zip(new, scores, strict=True):
            lengths = (place + (token in ends) for place, token in enumerate(ids) if token in ends or token == pad)
            length = max(1, next(lengths, len(ids)))
            samples.append(self._read(ids[:length], values[:length]))
        count = self.sampling.candidates
        return [samples[i * count : (i + 1) * count] for i in range(len(prompts))]

    def _config(self) -> GenerationConfig:
        return GenerationConfig(
            do_sample=True,
            num_return_sequences=self.sampling.candidates,
            max_new_tokens=self.sampling.max_new_tokens,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            top_k=0,
            no_repeat_ngram_size=UNREPEATED,
            eos_token_id=sorted(self.ends),
            pad_token_id=self.tokenizer.pad_token_id,
            stop_strings=None if self.tokenizer.chat_template else [PLAIN_STOP],
            return_dict_in_generate=True,
            output_logits=True,
        )

    def _stopped(self, ids: Sequence[int]) -> bool:
        """Whether a model without a chat template begins the next line."""
        return not self.tokenizer.chat_template and PLAIN_STOP in self.tokenizer.decode(ids)

    def _read(self, ids: Sequence[int], log_probabilities: Sequence[float]) -> Sample:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        finished = ids[-1] in self.ends or self._stopped(ids)
        shown = tidy(text if self.tokenizer.chat_template else text.split(PLAIN_STOP)[0], finished)
        return Sample(shown, fmean(log_probabilities), finished)


def made(folder: Path) -> str:
    """The day a model of ours was made, from its training.json."""
    try:
        return str(json.loads((folder / "training.json").read_text())["made"])[:10]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise GeneratorError(f"The generator in {folder} is not whole: {error}") from error
