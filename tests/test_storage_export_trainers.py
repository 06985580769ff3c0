"""Exports are what other libraries take: `datasets` loads every format from every kind of file, and TRL's and
sentence-transformers' trainers make a step with it, nothing renamed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from exporting import SALT, retry, vote
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
from turn_values import talk

from storage.export import FORMATS, Filters, export
from storage.store import SqlDialogStore

pytest_plugins = ("tiny",)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL still says `gradient_checkpointing`

ENDINGS = {".jsonl": "json", ".jsonl.gz": "json", ".csv": "csv", ".parquet": "parquet"}

STEP: dict[str, Any] = {
    "max_steps": 1,
    "per_device_train_batch_size": 2,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "use_cpu": True,
}
"""One step and nothing beside it."""

CAUSAL_STEP = {**STEP, "bf16": False, "max_length": 96}


@pytest.fixture
def log(sqlite_url: str) -> Iterator[SqlDialogStore]:
    """Three dialogs with votes, retries and fallbacks."""
    with SqlDialogStore(sqlite_url) as store:
        for number in range(3):
            chat = f"chat {number}"
            vote(store, talk(store, "hello there", "good morning", chat=chat), 1)
            vote(store, talk(store, "my dog is ill", "pizza!", chat=chat), -1)
            retry(store, talk(store, "what shall we eat", "the cat sleeps", chat=chat), "pizza!")
            talk(store, "good night", chat=chat)
        yield store


def load(log: SqlDialogStore, format: str, folder: Path, ending: str = ".jsonl") -> datasets.Dataset:
    """The records as `datasets` loads them; in CSV, nested values are JSON."""
    file = folder / f"{format}{ending}"
    written = export(log, format, file, Filters(), SALT)
    loaded = datasets.load_dataset(ENDINGS[ending], data_files=str(file), cache_dir=str(folder), split="train")
    assert len(loaded) == written > 0
    if ending == ".csv":
        nested = [name for name, shape in FORMATS[format].columns.items() if isinstance(shape, list)]
        loaded = loaded.map(lambda row: {name: json.loads(row[name]) for name in nested})
    return loaded


def tiny_llama(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A causal model with random weights, the same each time."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "dialogs"])
def test_every_kind_of_file_holds_the_same_records(log: SqlDialogStore, tmp_path: Path, format: str) -> None:
    expected = load(log, format, tmp_path).to_list()
    assert list(expected[0]) == list(FORMATS[format].columns)
    for ending in ENDINGS:
        assert load(log, format, tmp_path, ending).to_list() == expected


@pytest.mark.parametrize("ending", ENDINGS)
def test_whole_dialogs_are_loaded_with_their_candidates(log: SqlDialogStore, tmp_path: Path, ending: str) -> None:
    record = load(log, "dialogs", tmp_path, ending)[0]
    candidate = record["messages"][0]["turns"][0]["candidates"][0]
    features = candidate["features"]
    assert (json.loads(features) if isinstance(features, str) else features) == {"ranker": 0.25, "repetition": 0.0}
    assert candidate["chosen"] is True


def test_messages_fit_the_sft_trainer(log: SqlDialogStore, tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    records = load(log, "messages", tmp_path)
    trainer = SFTTrainer(
        tiny_llama(tokenizer),
        args=SFTConfig(str(tmp_path), assistant_only_loss=True, **CAUSAL_STEP),
        train_dataset=records,
        processing_class=tokenizer,
    )
    learnt = tokenizer.decode([label for label in trainer.train_dataset[0]["labels"] if label != -100])
    said = [message["content"] for message in records[0]["messages"] if message["role"] == "assistant"]
    assert learnt == "".join(f"{reply}<|end|>" for reply in said)
    assert trainer.train().global_step == 1


def test_votes_fit_the_kto_trainer(log: SqlDialogStore, tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    records = load(log, "votes", tmp_path)
    assert sorted(records["label"]) == [False] * 3 + [True] * 3
    trainer = KTOTrainer(
        tiny_llama(tokenizer),
        ref_model=tiny_llama(tokenizer),
        args=KTOConfig(str(tmp_path), **CAUSAL_STEP),
        train_dataset=records,
        processing_class=tokenizer,
    )
    assert trainer.train().global_step == 1


def test_preferences_fit_the_dpo_trainer(
    log: SqlDialogStore, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    trainer = DPOTrainer(
        tiny_llama(tokenizer),
        ref_model=tiny_llama(tokenizer),
        args=DPOConfig(str(tmp_path), **CAUSAL_STEP),
        train_dataset=load(log, "preferences", tmp_path),
        processing_class=tokenizer,
    )
    assert trainer.train().global_step == 1


def test_ranking_fits_the_cross_encoder_trainer(log: SqlDialogStore, tmp_path: Path, cross_encoder_folder: str) -> None:
    records = load(log, "ranking", tmp_path).select_columns(["context", "reply", "label"])
    pairs = records.map(lambda row: {"context": "\n".join(message["text"] for message in row["context"])})
    model = CrossEncoder(cross_encoder_folder, num_labels=1, device="cpu")
    trainer = CrossEncoderTrainer(
        model,
        args=CrossEncoderTrainingArguments(str(tmp_path), **STEP),
        train_dataset=pairs,
        loss=BinaryCrossEntropyLoss(model),
    )
    assert trainer.train().global_step == 1
