"""Which records each format makes of a log, on SQLite and on PostgreSQL."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exporting import assistant, exported, retry, user, vote
from turn_values import ask, talk, turn_for

from storage.corpora import read_dialogs, read_ratings, read_votes
from storage.dialog import Candidate, Context, Message, Scored, VoteValue
from storage.store import SqlDialogStore


def test_messages_are_the_dialog_up_to_its_last_reply(store: SqlDialogStore, tmp_path: Path) -> None:
    first = talk(store, "hi", "hello")
    talk(store, "how are you?", "fine")
    ask(store, "are you there?")
    (record,) = exported(store, "messages", tmp_path)
    assert record["messages"] == [user("hi"), assistant("hello"), user("how are you?"), assistant("fine")]
    assert record["id"] == first.asked.dialog_id


def test_messages_hold_neither_replies_that_were_sent_back_nor_fallbacks(store: SqlDialogStore, tmp_path: Path) -> None:
    retry(store, talk(store, "hi", "bad"), "good")
    talk(store, "tell me of Mars")  # nothing to say
    talk(store, "never mind", "as you like")
    (record,) = exported(store, "messages", tmp_path)
    joined = user("tell me of Mars\nnever mind")  # roles alternate, as many chat templates demand
    assert record["messages"] == [user("hi"), assistant("good"), joined, assistant("as you like")]


def test_a_dialog_without_a_reply_to_learn_from_is_no_record_of_messages(store: SqlDialogStore, tmp_path: Path) -> None:
    talk(store, "hi")
    assert exported(store, "messages", tmp_path) == []


def test_votes_are_those_that_stand(store: SqlDialogStore, tmp_path: Path) -> None:
    talk(store, "hi", "hello")
    liked = talk(store, "how are you?", "fine")
    vote(store, liked, -1)
    vote(store, liked, 1)
    taken_back = talk(store, "good", "indeed")
    vote(store, taken_back, 1)
    vote(store, taken_back, 0)
    (record,) = exported(store, "votes", tmp_path)
    assert record["prompt"] == [user("hi"), assistant("hello"), user("how are you?")]
    assert record["completion"] == [assistant("fine")]
    assert record["label"] is True
    assert record["reply_source"] == "retrieval"
    assert record["dialog_id"] == liked.asked.dialog_id


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        (0, 0, [("kept", "sent back")]),
        (-1, 0, [("kept", "sent back")]),
        (-1, 1, [("kept", "sent back")]),
        (0, 1, [("kept", "sent back")]),
        (0, -1, []),
        (1, -1, [("sent back", "kept")]),
        (1, 0, []),
        (1, 1, []),
        (-1, -1, []),
    ],
)
def test_a_retry_and_votes_on_replies_to_one_message_make_preferences(
    store: SqlDialogStore, tmp_path: Path, first: VoteValue, second: VoteValue, pairs: list[tuple[str, str]]
) -> None:
    sent_back = talk(store, "hi", "sent back")
    vote(store, sent_back, first)
    vote(store, retry(store, sent_back, "kept"), second)
    records = exported(store, "preferences", tmp_path)
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in records] == pairs
    assert all(record["prompt"] == [user("hi")] for record in records)


def test_each_reply_that_was_sent_back_loses_to_the_one_that_was_kept(store: SqlDialogStore, tmp_path: Path) -> None:
    retry(store, retry(store, talk(store, "hi", "one"), "two"), "three")
    records = exported(store, "preferences", tmp_path)
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in records] == [
        ("three", "one"),
        ("three", "two"),
    ]


@pytest.mark.parametrize("replies", [("hello", "hello"), ("hello",), ()])
def test_neither_the_same_words_nor_fallbacks_are_preferred(
    store: SqlDialogStore, tmp_path: Path, replies: tuple[str, ...]
) -> None:
    retry(store, talk(store, "hi", *replies[:1]), *replies[1:])
    assert exported(store, "preferences", tmp_path) == []


def test_ranking_has_votes_and_replies_that_were_sent_back(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "hi", "hello"), 1)
    retry(store, talk(store, "how are you?", "bad"), "fine")
    records = exported(store, "ranking", tmp_path)
    assert [(record["reply"], record["label"]) for record in records] == [("hello", 1), ("bad", 0)]
    assert records[1]["context"] == [
        {"role": "user", "text": "hi"},
        {"role": "bot", "text": "hello"},
        {"role": "user", "text": "how are you?"},
    ]


def test_a_prompt_is_the_newest_messages_beginning_with_the_user(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.records.PROMPT_MESSAGES", 4)
    for number in range(3):
        talk(store, f"question {number}", f"answer {number}")
    vote(store, talk(store, "last", "reply"), 1)
    (record,) = exported(store, "votes", tmp_path)
    assert record["prompt"] == [user("question 2"), assistant("answer 2"), user("last")]


def test_a_prompt_is_what_the_reply_was_found_for(store: SqlDialogStore, tmp_path: Path) -> None:
    retry(store, talk(store, "hi", "bad"), "good")
    talk(store, "hm")
    asked = ask(store, "and now?")
    context = store.context(asked)
    turn = turn_for(asked, "yes")
    store.add_turn(turn)
    vote(store, turn, -1)
    exported(store, "ranking", tmp_path)
    *_, rating = read_ratings(tmp_path / "export.jsonl")
    assert Context(rating.messages) == replace(context, persona="", rejected=())


def test_dialogs_hold_everything_that_was_considered(store: SqlDialogStore, tmp_path: Path) -> None:
    turn = talk(store, "hi", "hello", "good day")
    vote(store, turn, 1)
    vote(store, turn, -1, "boring")
    again = retry(store, turn, "dear me")
    (record,) = exported(store, "dialogs", tmp_path)
    (message,) = record["messages"]
    rejected, kept = message["turns"]
    assert (message["text"], message["edited_at"]) == ("hi", "")
    assert (rejected["id"], rejected["rejected"], kept["retry_of"], kept["rejected"]) == (turn.id, True, turn.id, False)
    assert (kept["id"], kept["reply"], kept["reason"]) == (again.id, "dear me", "policy")
    assert (rejected["versions"], rejected["seconds"]) == (turn.versions, turn.seconds)
    assert datetime.fromisoformat(rejected["at"]) == turn.at
    assert [candidate["chosen"] for candidate in rejected["candidates"]] == [True, False]
    assert [scored(candidate) for candidate in rejected["candidates"]] == list(turn.decision.ranked)
    assert [(v["value"], v["reason"]) for v in rejected["votes"]] == [(-1, "boring")]
    assert [(v["value"], v["reason"]) for v in rejected["vote_history"]] == [(1, ""), (-1, "boring")]


def scored(candidate: dict[str, Any]) -> Scored:
    """A candidate of a document as the value it was."""
    said = Candidate(candidate["text"], candidate["source"], candidate["score"], candidate["origin"])
    return Scored(said, candidate["features"], candidate["total"], candidate["probability"], candidate["veto"])


def test_a_score_that_is_no_number_is_null(store: SqlDialogStore, tmp_path: Path) -> None:
    turn = turn_for(ask(store, "hi"), "hello")
    (said,) = turn.decision.ranked
    said = replace(said, candidate=replace(said.candidate, score=float("-inf")))
    store.add_turn(replace(turn, decision=replace(turn.decision, ranked=(said,))))
    (record,) = exported(store, "dialogs", tmp_path)
    assert record["messages"][0]["turns"][0]["candidates"][0]["score"] is None


def test_what_is_exported_is_read_by_training(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "hi", "hello"), 1)
    vote(store, talk(store, 'what is "\u2028"?\n', "a line 👍\r\nof text"), -1)
    vote(store, talk(store, "hi", "Привет!", chat="other"), 1)
    for file in ("messages.jsonl", "votes.jsonl.gz", "ranking.jsonl", "dialogs.jsonl"):
        exported(store, file.partition(".")[0], tmp_path / file)
    said = (Message("user", "hi"), Message("assistant", "hello"), Message("user", 'what is "\u2028"?\n'))
    first, second = read_dialogs(tmp_path / "messages.jsonl")
    assert first.messages == (*said, Message("assistant", "a line 👍\r\nof text"))
    assert first.source == "kith"
    ratings = list(read_ratings(tmp_path / "ranking.jsonl"))
    assert ratings == list(read_ratings(tmp_path / "votes.jsonl.gz"))
    assert [(r.dialog_id, r.reply, r.liked) for r in ratings] == [
        (first.id, "hello", True),
        (first.id, "a line 👍\r\nof text", False),
        (second.id, "Привет!", True),
    ]
    assert ratings[1].messages == said
    assert [vote.liked for vote in read_votes(tmp_path / "dialogs.jsonl")] == [True, False, True]
