"""The ranker: a BERT cross-encoder that reads context and reply together and says how likely a 👍 is."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from sentence_transformers import CrossEncoder

from ranking.pretrained import ModelError, minilm_or
from ranking.text import CUT_SIDE, PAIR_TOKENS, as_pair
from storage.dialog import Candidate, Context

STARTER = Path(__file__).parent / "starter" / "ranker"


class CrossEncoderRanker:
    """Scores candidates by the log-odds of P(👍 | context, reply)."""

    def __init__(self, name: str = "") -> None:
        """`name`: "" for the shipped ranker, a folder of a LoRA adapter made by `kith train ranker`, or a folder or
        hub id of any cross-encoder with one output. Raises ModelError when it cannot be loaded."""
        folder = Path(name) if name else STARTER
        self.version = f"{folder.name}" if name else starter_version(folder)
        try:
            if (folder / "adapter_config.json").exists():
                self.model = with_adapter(folder)
            else:
                self.model = CrossEncoder(str(name or folder), max_length=PAIR_TOKENS)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"The ranker {name or folder} cannot be loaded: {error}") from error
        if self.model.num_labels != 1:
            raise ModelError(f"The ranker {name} has {self.model.num_labels} outputs: one is needed.")
        self.model.tokenizer.truncation_side = CUT_SIDE

    def score(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """The log-odds of a 👍 for each candidate of each context, in one pass; equal pairs are computed once."""
        pairs = [[as_pair(context, candidate.text) for candidate in candidates] for context, candidates in batch]
        unique = list(dict.fromkeys(pair for row in pairs for pair in row))
        if not unique:
            return [[] for _ in pairs]
        with torch.inference_mode():
            scores = self.model.predict(
                unique, batch_size=16, activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        value = dict(zip(unique, (float(score) for score in scores), strict=True))
        return [[value[pair] for pair in row] for row in pairs]


def with_adapter(folder: Path) -> CrossEncoder:
    """The base model that an adapter names, with the adapter folded into its weights, so that it costs nothing."""
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    model = CrossEncoder(minilm_or(base), num_labels=1, max_length=PAIR_TOKENS)
    model.load_adapter(str(folder))
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    return model


def starter_version(folder: Path) -> str:
    """The shipped ranker's version: the day it was made, from its training.json."""
    try:
        return f"starter {json.loads((folder / 'training.json').read_text())['made'][:10]}"
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"The shipped ranker in {folder} is not whole: {error}") from error
