"""TRL's trainers, fed with ids that we rendered ourselves, on a LoRA adapter (Hu et al. 2021, arXiv 2106.09685).

SFT: Ouyang et al. 2022 (arXiv 2203.02155). DPO: Rafailov et al. 2023 (arXiv 2305.18290). KTO: Ethayarajh et al. 2024
(arXiv 2402.01306).
"""

import functools
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import FusedCausalLMOutput

from generation.tuning_data import UNLEARNT, Row

NEAR = 0.02
"""How far two ways to a log-probability may lie apart in float32."""


class RenderedDPOTrainer(DPOTrainer):
    """Takes `prompt_ids`, `chosen_ids` and `rejected_ids` as they are."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class RenderedKTOTrainer(KTOTrainer):
    """Takes `prompt_ids`, `completion_ids` and `label` as they are, and adds to each the reply to another prompt of
    its batch, by which KTO measures how far the model has moved."""

    def _prepare_dataset(self, dataset: Dataset, _: Any, args: KTOConfig, *__: Any) -> Dataset:
        def others(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            replies = batch["completion_ids"]
            return {**batch, "KL_completion_ids": [replies[-1], *replies[:-1]]}

        return dataset.map(others, batched=True, batch_size=args.per_device_train_batch_size)


def make_trainer(
    method: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    lora: LoraConfig,
    callbacks: list[TrainerCallback],
    beta: float,
    **arguments: Any,
) -> Trainer:
    """The trainer of a method, which sees the rows in their order; `arguments` are transformers' own."""
    arguments |= {"max_length": None, "train_sampling_strategy": "sequential"}
    parts = {"model": model, "processing_class": tokenizer, "peft_config": lora, "callbacks": callbacks}
    if method == "sft":
        trainer: Trainer = SFTTrainer(args=SFTConfig(**arguments), train_dataset=Dataset.from_list(rows), **parts)
    elif method == "dpo":
        config = DPOConfig(beta=beta, **arguments)
        trainer = RenderedDPOTrainer(args=config, train_dataset=Dataset.from_list(rows), **parts)
    else:
        config = KTOConfig(beta=beta, **_balance(rows), **arguments)
        trainer = RenderedKTOTrainer(args=config, train_dataset=Dataset.from_list(rows), **parts)
    use_whole_head(trainer.model.get_base_model())
    return trainer


def _balance(rows: list[Row]) -> dict[str, float]:
    """Likes and dislikes weigh as much in all (equation 8 of the KTO paper)."""
    likes = sum(row["label"] for row in rows)
    dislikes = len(rows) - likes
    few = max(1, min(likes, dislikes))
    weights = {"desirable_weight": 1.0, "undesirable_weight": 1.0}
    weights["desirable_weight" if likes < dislikes else "undesirable_weight"] = max(likes, dislikes) / few
    return weights


@torch.no_grad()
def use_whole_head(model: PreTrainedModel) -> None:
    """TRL multiplies the last hidden state by the output layer's weights itself, which is wrong for a model with more
    than that at its end, as a BERT has (a dense layer and a norm). Where the two differ, the model's own logits are
    used, which take more memory."""
    ids = torch.arange(8, device=model.device)[None] % model.get_input_embeddings().weight.shape[0]
    model.eval()
    told = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.float()
    logits = model(input_ids=ids).logits[:, :-1].float()
    true = -functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    if not torch.allclose(told, true, atol=NEAR):
        _take_logits(model)


def _take_logits(model: PreTrainedModel) -> None:
    own = functools.partial(type(model).forward, model)

    @functools.wraps(type(model).forward)
    def forward(*args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        items = kwargs.pop("num_items_in_batch", None)
        if not fused_lm_head:
            return own(*args, labels=labels, **kwargs)
        following = labels[:, 1:]
        said = following != UNLEARNT
        logits = own(*args, **kwargs).logits[:, :-1][said].float()
        spread = functional.log_softmax(logits, dim=-1)
        chosen = spread.gather(1, following[said][:, None])[:, 0]
        loss = -chosen.sum() / (said.sum().clamp(min=1) if items is None else items)

        def placed(values: torch.Tensor) -> torch.Tensor:
            return values.new_zeros(said.shape).masked_scatter(said, values)

        with torch.no_grad():
            beside = {
                "entropy": placed(-(spread.exp() * spread).sum(-1)),
                "mean_logits": placed(logits.mean(-1)),
                "is_top1": placed(logits.argmax(-1) == following[said]),
            }
        return FusedCausalLMOutput(loss=loss, log_probs=placed(chosen), label_mask=said, **beside)

    model.forward = forward
