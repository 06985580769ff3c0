"""Kith's whole turn against two ways in which others would build one, on the same weights and sampling.

(a) is as gpt2bot does it: transformers' text-generation pipeline for each message, then its classification pipeline for
each candidate. (b) is as a good user of the libraries would: one `generate` for all who wait, then one
`CrossEncoder.predict` for all pairs. Both are given what Kith retrieved, so that they rank as many candidates and
search costs them nothing; they have no other features, no checks and no log. Their ranker is the BERT of ours with a
head of one output, since ours also reads a cosine: the work for a pair is the same.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForCausalLM, AutoTokenizer, BertForSequenceClassification, BertModel, pipeline

from bench.machine import has_bf16
from bench.sizes import Sizes
from bench.timing import Json, interleaved, ratios, spreads
from bench.turns import Kith, asked_in, opened, places
from generation.generator import STARTER as GENERATOR
from generation.prompt import as_chat
from ranking.delta import origin, with_delta
from ranking.ranker import STARTER as RANKER
from ranking.text import PAIR_TOKENS, as_pair
from storage.dialog import Context

UNREPEATED = 6
"""As ours (generation/generator.py), which forbids shorter runs within a reply besides."""

OURS, ONE_BY_ONE, BATCHED = "Kith", "(a) pipeline a message, call a candidate", "(b) generate + CrossEncoder.predict"


@dataclass(frozen=True, slots=True)
class Place:
    """What a peer is given for one message."""

    context: Context
    chat: list[dict[str, str]]
    retrieved: list[str]


class Peer:
    """The models that (a) and (b) share, in the number format in which each is faster here."""

    def __init__(self, folder: Path, sampling: dict[str, Any]) -> None:
        self.sampling = sampling
        self.tokenizer = AutoTokenizer.from_pretrained(GENERATOR, padding_side="left")
        save_ranker(folder)
        self.formats: dict[str, str] = {}
        trial = self.tokenizer("so, how was your day? " * 12, return_tensors="pt")
        pair = [("so, how was your day? " * 4, "Quite long, and yours?")] * 16
        self.model = self._faster(
            "generation",
            lambda dtype: AutoModelForCausalLM.from_pretrained(GENERATOR, dtype=dtype).eval(),
            lambda model: model.generate(**trial, **sampling),
        )
        self.cross_encoder = self._faster(
            "ranking",
            lambda dtype: CrossEncoder(
                str(folder), max_length=PAIR_TOKENS, device="cpu", model_kwargs={"dtype": dtype}
            ),
            lambda model: model.predict(pair, show_progress_bar=False),
        )
        self.writer = pipeline("text-generation", model=self.model, tokenizer=self.tokenizer)
        tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=PAIR_TOKENS)
        self.judge = pipeline("text-classification", model=self.cross_encoder[0].model, tokenizer=tokenizer)

    def _faster(self, what: str, load: Callable[[torch.dtype], Any], work: Callable[[Any], object]) -> Any:
        known = {dtype: load(dtype) for dtype in (torch.float32, *([torch.bfloat16] if has_bf16() else []))}
        seconds = {}
        for dtype, model in known.items():
            work(model)
            times = []
            for _ in range(5):
                started = time.perf_counter()
                work(model)
                times.append(time.perf_counter() - started)
            seconds[dtype] = min(times)
        fastest = min(seconds, key=lambda dtype: seconds[dtype])
        self.formats[what] = str(fastest).removeprefix("torch.")
        return known[fastest]

    def one_by_one(self, batch: Sequence[Place]) -> None:
        """(a)"""
        for place in batch:
            written = self.writer(place.chat, return_full_text=False, **self.sampling)
            for reply in [*(each["generated_text"] for each in written), *place.retrieved]:
                context, text = as_pair(place.context, reply)
                self.judge({"text": context, "text_pair": text}, function_to_apply="none", truncation=True)

    @torch.inference_mode()
    def batched(self, batch: Sequence[Place]) -> None:
        """(b)"""
        prompts = [
            self.tokenizer.apply_chat_template(place.chat, add_generation_prompt=True, tokenize=False)
            for place in batch
        ]
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        output = self.model.generate(**inputs, **self.sampling)
        texts = self.tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        each = len(texts) // len(batch)
        pairs = [
            as_pair(place.context, reply)
            for number, place in enumerate(batch)
            for reply in [*texts[number * each : (number + 1) * each], *place.retrieved]
        ]
        self.cross_encoder.predict(pairs, show_progress_bar=False)


def save_ranker(folder: Path) -> None:
    """The BERT of our ranker as a plain classifier with one output."""
    bert = BertModel.from_pretrained(origin(str(RANKER)), add_pooling_layer=True)
    trained = with_delta(RANKER, bert.state_dict())
    bert.load_state_dict({name: trained[name] for name in bert.state_dict()})
    bert.config.num_labels = 1
    model = BertForSequenceClassification(bert.config)
    model.bert = bert
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(origin(str(RANKER)), truncation_side="left").save_pretrained(folder)


def sampling_of(kith: Kith) -> dict[str, Any]:
    """The settings as `generate` takes them."""
    settings = kith.settings
    return {
        "do_sample": True, "num_return_sequences": settings.candidates, "max_new_tokens": settings.max_new_tokens,
        "temperature": settings.sampling_temperature, "top_p": settings.top_p, "top_k": 0,
        "no_repeat_ngram_size": UNREPEATED, "use_cache": True,
    }  # fmt: skip


def given(kith: Kith, context: Context) -> Place:
    """A place as the peers see it, with what Kith's other sources propose there."""
    persona = kith.pipeline.personas[kith.pipeline.default_persona]
    others = [source for name, source in kith.pipeline.sources.items() if name != "generation"]
    retrieved = [candidate.text for source in others for candidate in source([context])[0]]
    return Place(context, as_chat(context.messages, persona), retrieved)


def measure(sizes: Sizes, folder: Path) -> Json:
    """Milliseconds a turn, the ratio to ours, and turns a second, by how many people wait at once."""
    with opened(folder / "kith") as kith, opened(folder / "given") as giver:
        peer = Peer(folder / "ranker", sampling_of(kith))
        result: Json = {"formats of the peers": peer.formats, "people": {}}
        for people, repeats in sizes.peers.items():
            result["people"][str(people)] = of_crowd(kith, giver, peer, people, repeats)
        return result


def of_crowd(kith: Kith, giver: Kith, peer: Peer, people: int, repeats: int) -> Json:
    """The three arms at the same places, others in each repeat. `giver` is another Kith, whose search fills no caches
    of the one that is measured."""
    batches = {
        repeat: places(kith.pipeline, people, seed=1000 * people + repeat) for repeat in range(-1, repeats)
    }  # -1 warms up
    theirs = {repeat: [given(giver, context) for context in batch] for repeat, batch in batches.items()}
    waiting = {repeat: [asked_in(kith.store, context) for context in batch] for repeat, batch in batches.items()}
    candidates: list[int] = []
    generated: list[bool] = []

    def ours(repeat: int) -> None:
        turns = kith.answer(waiting[repeat])
        if repeat >= 0:
            candidates.extend(len(turn.decision.ranked) for turn in turns)
            generated.extend("generation" in turn.seconds for turn in turns)

    arms: dict[str, Callable[[int], object]] = {
        OURS: ours,
        ONE_BY_ONE: lambda repeat: peer.one_by_one(theirs[repeat]),
        BATCHED: lambda repeat: peer.batched(theirs[repeat]),
    }
    seconds = interleaved(arms, repeats, f"peers, {people} at once")
    return {
        "ms until all have their reply": spreads(seconds, 1000),
        "turns a second": {
            name: spreads({name: [people / s for s in values]})[name] for name, values in seconds.items()
        },
        "times as long as Kith": ratios(seconds, OURS),
        "candidates a turn": sum(candidates) / len(candidates),
        "share of turns that were generated for": sum(generated) / len(generated),
        "candidates that the peers rank a turn": peer.sampling["num_return_sequences"]
        + sum(len(place.retrieved) for batch in theirs.values() for place in batch) / (people * (repeats + 1)),
    }
