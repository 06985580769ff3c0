"""The values."""

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

from storage.dialog import Context, Message, Person, new_id, now


def test_an_id_leaves_room_in_telegrams_64_bytes_of_callback_data_and_does_not_come_twice() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(f"v:{value}:off_topic".encode()) <= 64 for value in ids)


def test_times_are_aware_and_in_utc() -> None:
    assert now().utcoffset() == timedelta(0)


def test_a_context_knows_the_text_to_answer_and_each_side() -> None:
    context = Context((Message("user", "hi"), Message("assistant", "hello"), Message("user", "how are you?")))
    assert context.last == "how are you?"
    assert context.said("user") == ("hi", "how are you?")
    assert context.said("assistant") == ("hello",)


def test_an_empty_context_has_nothing_to_answer() -> None:
    assert Context(()).last == ""


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Person("telegram:1").language = "ru"  # type: ignore[misc]  # the mistake under test
