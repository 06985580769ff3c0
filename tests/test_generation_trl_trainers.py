"""What TRL makes of a model: the log-probabilities that it trains on are the model's own."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from torch.nn import functional
from transformers import Trainer

from generation.train import load_base
from generation.trl_trainers import make_trainer
from generation.tuning_data import Row

pytest_plugins = ("tiny",)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

ROWS: list[Row] = [
    {"prompt_ids": [5, 6, 7], "completion_ids": [8, 9, 0], "label": True},
    {"prompt_ids": [9, 8], "completion_ids": [7, 0], "label": False},
    {"prompt_ids": [4], "completion_ids": [6, 5, 0], "label": False},
    {"prompt_ids": [4, 4], "completion_ids": [11, 0], "label": False},
]


TALKS: list[Row] = [
    {"input_ids": [5, 6, 7, 8, 9, 0], "labels": [-100, -100, -100, 8, 9, 0]},
    {"input_ids": [9, 8, 7, 0], "labels": [-100, -100, 7, 0]},
]


def trainer(method: str, folder: str, out: Path) -> Trainer:
    model, tokenizer = load_base(folder)
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    rows = TALKS if method == "sft" else ROWS
    arguments = {"per_device_train_batch_size": 2, "max_steps": 2, "use_cpu": True, "bf16": False}
    return make_trainer(
        method, model, tokenizer, rows, lora, [], 0.1, output_dir=str(out), report_to="none", **arguments
    )


@pytest.mark.parametrize("folder", ["generator_folder", "bert_generator_folder", "plain_folder"])
def test_the_log_probabilities_are_those_of_the_models_own_logits(
    folder: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = trainer("sft", request.getfixturevalue(folder), tmp_path).model.get_base_model()
    ids = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 1, 1]])
    labels = torch.tensor([[-100, -100, 7, 8, 9], [-100, 8, 7, -100, -100]])
    told = model(input_ids=ids, labels=labels, fused_lm_head=True)
    logits = model(input_ids=ids).logits[:, :-1]
    true = -functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none")
    assert torch.allclose(told.log_probs, true, atol=1e-4)
    assert torch.allclose(told.loss, -true.sum() / 5, atol=1e-4)


def test_sft_learns_what_has_a_label_alone(generator_folder: str, tmp_path: Path) -> None:
    batch = next(iter(trainer("sft", generator_folder, tmp_path).get_train_dataloader()))
    assert batch["labels"].tolist() == [[-100, -100, -100, 8, 9, 0], [-100, -100, 7, 0, -100, -100]]


def test_kto_compares_each_reply_with_that_of_another_prompt_and_weighs_likes_and_dislikes_alike(
    generator_folder: str, tmp_path: Path
) -> None:
    kto = trainer("kto", generator_folder, tmp_path)
    batch = next(iter(kto.get_train_dataloader()))
    assert batch["input_ids"].tolist()[1][:4] == [9, 8, 7, 0]
    assert batch["KL_input_ids"].tolist()[1][:5] == [9, 8, 8, 9, 0]
    assert (kto.desirable_weight, kto.undesirable_weight) == (3.0, 1.0)
