"""The decode work alone, on the same random GPT-2: our generator, transformers, CTranslate2; and the floor, which
the machine's bandwidth and its peak allow nobody to go below.

Prompts have PROMPT tokens or a few less, each chat gets as many candidates as Kith samples, each of NEW tokens.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.floor import floor_seconds, measured_peaks
from bench.gpt2 import save_gpt2
from bench.machine import has_bf16
from bench.peers import UNREPEATED
from bench.sizes import Sizes
from bench.timing import Json, interleaved, ratios, spread, spreads
from generation.generator import GptGenerator
from generation.sampling import Sampling
from storage.dialog import Context, Message

PROMPT = 128
NEW = 40
SAMPLING = Sampling(max_new_tokens=NEW)
OURS = "Kith"

Engine = Callable[[Sequence[Context], Sequence[list[int]]], int]
"""Writes the candidates of chats, given as contexts and as prompts; returns how many tokens were written."""


def prompts(generator: GptGenerator, count: int) -> tuple[list[Context], list[list[int]]]:
    """So many chats, no two alike."""
    contexts, ids = [], []
    for number in range(count):
        words = f"message {number} is about nothing at all".split()
        text = " ".join(words)
        while len(generator.rendering.prompt(Context((Message("user", text),)))) < PROMPT - 2:
            text += f" {words[len(text) % len(words)]}"
        contexts.append(Context((Message("user", text),)))
        ids.append(generator.rendering.prompt(contexts[-1]))
    return contexts, ids


def ours(generator: GptGenerator) -> Engine:
    """Our generator by its public seam. Raises AssertionError when a sample ended early, as then it did less."""

    def write(contexts: Sequence[Context], ids: Sequence[list[int]]) -> int:
        samples = [sample for chat in generator.sample(contexts) for sample in chat]
        assert not any(sample.finished for sample in samples)
        return len(samples) * NEW

    return write


def of_transformers(folder: Path, dtype: torch.dtype) -> Engine:
    """`generate` with num_return_sequences."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def write(contexts: Sequence[Context], ids: Sequence[list[int]]) -> int:
        batch = tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt")
        output = model.generate(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=True,
            num_return_sequences=SAMPLING.candidates, max_new_tokens=NEW, temperature=SAMPLING.temperature,
            top_p=SAMPLING.top_p, top_k=0, no_repeat_ngram_size=UNREPEATED,
        )  # fmt: skip
        return int(output[:, batch["input_ids"].shape[1] :].numel())

    return write


def of_ctranslate2(folder: Path, kind: str) -> Engine:
    """CTranslate2's Generator with weights of one kind."""
    ctranslate2: Any = importlib.import_module("ctranslate2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    converted = folder / "ctranslate2"
    if not converted.exists():
        ctranslate2.converters.TransformersConverter(str(folder)).convert(str(converted))
    model = ctranslate2.Generator(str(converted), compute_type=kind, intra_threads=torch.get_num_threads())

    def write(contexts: Sequence[Context], ids: Sequence[list[int]]) -> int:
        results = model.generate_batch(
            [tokenizer.convert_ids_to_tokens(prompt) for prompt in ids], num_hypotheses=SAMPLING.candidates,
            max_length=NEW, min_length=NEW, sampling_topk=0, sampling_topp=SAMPLING.top_p,
            sampling_temperature=SAMPLING.temperature, no_repeat_ngram_size=UNREPEATED, include_prompt_in_result=False,
        )  # fmt: skip
        return sum(len(each) for result in results for each in result.sequences_ids)

    return write


def engines(folder: Path, generator: GptGenerator) -> tuple[dict[str, Engine], dict[str, str]]:
    """Those that can be had here, and why the others cannot."""
    found, missing = {OURS: ours(generator)}, {}
    formats = [torch.float32, *([torch.bfloat16] if has_bf16() else [])]
    found |= {f"transformers {str(dtype).removeprefix('torch.')}": of_transformers(folder, dtype) for dtype in formats}
    if importlib.util.find_spec("ctranslate2"):
        ctranslate2: Any = importlib.import_module("ctranslate2")
        known = ctranslate2.get_supported_compute_types("cpu")
        kinds = [kind for kind in ("float32", "bfloat16", "int8", "int8_bfloat16") if kind in known]
        found |= {f"CTranslate2 {kind}": of_ctranslate2(folder, kind) for kind in kinds}
    else:
        missing["CTranslate2"] = "not installed: pip install ctranslate2==4.8.5"
    missing["llama.cpp"] = (
        "not tried: its Python package has no wheel and takes more than 7 minutes to build on two cores"
    )
    return found, missing


def arm(engine: Engine, contexts: Sequence[Context], ids: Sequence[list[int]]) -> Callable[[int], object]:
    """The same work in each repeat."""
    return lambda repeat: engine(contexts, ids)


def measure(sizes: Sizes, folder: Path) -> Json:
    """By chats at once: milliseconds, tokens a second, ratios to ours, and how many times the floor each took."""
    save_gpt2(folder)
    generator = GptGenerator(str(folder), SAMPLING)
    found, missing = engines(folder, generator)
    peaks = measured_peaks()
    result: Json = {"machine's peaks": peaks, "missing": missing, "chats": {}}
    for chats, repeats in sizes.decode.items():
        contexts, ids = prompts(generator, chats)
        rows = chats * SAMPLING.candidates
        for name, engine in found.items():
            assert engine(contexts, ids) == rows * NEW, f"{name} wrote another number of tokens"
        arms = {name: arm(engine, contexts, ids) for name, engine in found.items()}
        seconds = interleaved(arms, repeats, f"decode, {chats} chats", warm=0)
        floor = floor_seconds(peaks, chats, rows, len(ids[0]), NEW)
        result["chats"][str(chats)] = {
            "ms": spreads(seconds, 1000),
            "tokens a second": {name: spread([rows * NEW / s for s in values]) for name, values in seconds.items()},
            "times as long as Kith": ratios(seconds, OURS),
            "floor ms": floor * 1000,
            "times the floor": spreads(seconds, 1 / floor),
        }
    return result
