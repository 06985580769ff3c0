"""Slices of like length: the order stays, and little of the work is padding."""

from collections.abc import Mapping

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from ranking.slices import SLICE, in_slices

pytest_plugins = ("tiny",)

CPU = torch.device("cpu")


def rows_of(lengths: list[int]) -> list[dict[str, list[int]]]:
    """Rows that can be told apart by the sum of their ids."""
    return [{"input_ids": [number + 1] * length} for number, length in enumerate(lengths)]


def summed(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Of each row the sum of its ids and how many there are, without padding: shape (rows, 2)."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    return torch.stack([(ids * mask).sum(1), mask.sum(1)], dim=1)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=100))
def test_the_order_of_rows_stays_whatever_their_lengths(
    bert_tokenizer: PreTrainedTokenizerBase, lengths: list[int]
) -> None:
    made = in_slices(rows_of(lengths), bert_tokenizer, summed, CPU)
    assert made.tolist() == [[(number + 1) * length, length] for number, length in enumerate(lengths)]


def test_a_slice_holds_rows_of_like_length_only(bert_tokenizer: PreTrainedTokenizerBase) -> None:
    shapes: list[tuple[int, int]] = []
    padding = 0

    def run(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        nonlocal padding
        shapes.append((batch["input_ids"].shape[0], batch["input_ids"].shape[1]))
        padding += int((1 - batch["attention_mask"]).sum())
        return summed(batch)

    lengths = [1 + (37 * number) % 64 for number in range(2 * SLICE + 5)]
    in_slices(rows_of(lengths), bert_tokenizer, run, CPU)
    assert sorted(count for count, _ in shapes) == [5, SLICE, SLICE]
    assert padding < sum(lengths) / 2
    assert len({width for _, width in shapes}) == 3


def test_what_belongs_to_a_row_besides_its_ids_is_padded_with_it(bert_tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"input_ids": [5, 6, 7], "token_type_ids": [0, 1, 1]}, {"input_ids": [8], "token_type_ids": [1]}]

    def run(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        assert batch["token_type_ids"].shape == batch["input_ids"].shape
        return batch["token_type_ids"].sum(1)

    assert in_slices(rows, bert_tokenizer, run, CPU).tolist() == [2, 1]
