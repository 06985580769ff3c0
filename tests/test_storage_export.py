"""Exports of a log: which records each format makes of it, on SQLite and on PostgreSQL."""

import gzip
import json
import re
import tracemalloc
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from turn_values import CHAT, ask, talk, turn_for

from storage import streaming
from storage.corpora import read_dialogs, read_ratings, read_votes
from storage.dialog import Candidate, Context, Message, Scored, Turn, Vote, VoteValue, now
from storage.export import FORMATS, ExportError, Filters, count, export
from storage.store import SqlDialogStore

SALT = b"a salt of these tests"


def exported(store: SqlDialogStore, format: str, file: Path, filters: Filters | None = None) -> list[dict[str, Any]]:
    """The records, by way of a file of JSON lines."""
    file = file if file.suffix else file / "export.jsonl"
    written = export(store, format, file, filters or Filters(), SALT)
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    assert written == len(records)
    assert all(list(record) == list(FORMATS[format].columns) for record in records)
    return records


def vote(store: SqlDialogStore, turn: Turn, value: VoteValue, reason: str = "") -> None:
    store.add_vote(Vote(turn.id, turn.asked.person_id, value, "button", reason), store.chat_of(turn.id) or "")


def retry(store: SqlDialogStore, turn: Turn, *replies: str, source: str = "generation") -> Turn:
    """Sends a reply back and answers the same message with another one."""
    again = turn_for(store.ask_again(turn.id, turn.asked.person_id), *replies, message=turn.message, source=source)
    store.add_turn(again)
    return again


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def texts(records: list[dict[str, Any]]) -> list[str]:
    """What the records of `votes` judge."""
    return [record["completion"][0]["content"] for record in records]


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


def test_dialogs_come_in_the_order_in_which_they_began(store: SqlDialogStore, tmp_path: Path) -> None:
    begun = []
    for _ in range(4):
        begun.append(store.new_dialog(CHAT))
        talk(store, "hi", "hello")
    assert [record["id"] for record in exported(store, "dialogs", tmp_path)] == begun


def test_people_and_chats_have_pseudonyms_unless_their_ids_are_asked_for(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "hi", "hello", chat="telegram:-7", person="telegram:1234567"), 1)
    (record,) = exported(store, "dialogs", tmp_path)
    (person,) = record["people"]
    (message,) = record["messages"]
    assert re.fullmatch("[0-9a-f]{16}", person)
    assert message["person_id"] == message["turns"][0]["votes"][0]["person_id"] == person != record["chat"]
    for format in FORMATS:
        exported(store, format, tmp_path)
        assert "telegram:" not in (tmp_path / "export.jsonl").read_text()
    export(store, "dialogs", tmp_path / "real.jsonl", Filters(), None)
    real = json.loads((tmp_path / "real.jsonl").read_text())
    assert (real["people"], real["chat"]) == (["telegram:1234567"], "telegram:-7")


@pytest.mark.parametrize("format", FORMATS)
def test_a_dialog_with_somebody_who_opted_out_is_left_out(store: SqlDialogStore, tmp_path: Path, format: str) -> None:
    for chat, person in (("group", "telegram:1"), ("group", "telegram:2"), ("telegram:1", "telegram:1")):
        retry(store, talk(store, "hi", "bad", chat=chat, person=person), "good")
        vote(store, talk(store, chat, "hello", chat=chat, person=person), 1)
    everything = exported(store, format, tmp_path)
    store.change_person("telegram:2", consent=False)
    rest = exported(store, format, tmp_path)
    assert 0 < len(rest) < len(everything)
    assert "group" not in json.dumps(rest)
    store.change_person("telegram:1", consent=False)
    assert exported(store, format, tmp_path) == []
    assert count(store, Filters()) == 0


def test_filters_choose_replies(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "one", "first"), 1)
    second = turn_for(ask(store, "two"), "second", source="generation")
    store.add_turn(second)
    vote(store, second, -1)
    vote(store, talk(store, "three"), -1)  # a fallback
    vote(store, talk(store, "four", "fourth", chat="other"), 1)

    def chosen(**filters: Any) -> list[str]:
        return texts(exported(store, "votes", tmp_path, Filters(**filters)))

    assert chosen() == ["first", "second", "Hm.", "fourth"]
    assert chosen(liked=True) == ["first", "fourth"]
    assert chosen(disliked=True) == ["second", "Hm."]
    assert chosen(liked=True, disliked=True) == chosen()
    assert chosen(source="generation") == ["second"]
    assert chosen(source="fallback") == ["Hm."]
    assert chosen(source="retrieval", liked=True, chat="other") == ["fourth"]
    assert chosen(chat="nobody") == []
    assert chosen(limit=2) == ["first", "second"]
    assert chosen(limit=0) == []


def test_filters_choose_dialogs_by_their_replies(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "one", "first"), 1)
    talk(store, "two", "second")
    ask(store, "nobody answers", chat="other")

    def chats(**filters: Any) -> int:
        return len(exported(store, "dialogs", tmp_path, Filters(**filters)))

    assert (chats(), chats(liked=True), chats(disliked=True), chats(source="retrieval")) == (2, 1, 0, 1)
    (record,) = exported(store, "messages", tmp_path, Filters(liked=True))
    assert record["messages"] == [user("one"), assistant("first")]


def test_since_is_inclusive_and_until_is_not(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "one", "first"), 1)
    vote(store, talk(store, "two", "second"), 1)
    vote(store, talk(store, "three", "third"), 1)
    (dialog,) = exported(store, "dialogs", tmp_path)
    second, third = (datetime.fromisoformat(message["at"]) for message in dialog["messages"][1:])
    assert texts(exported(store, "votes", tmp_path, Filters(since=second))) == ["second", "third"]
    (record,) = exported(store, "votes", tmp_path, Filters(since=second, until=third))
    assert record["prompt"] == [user("one"), assistant("first"), user("two")]
    assert exported(store, "dialogs", tmp_path, Filters(since=now())) == []
    assert count(store, Filters(since=now())) == 0


def test_a_time_without_a_zone_and_a_negative_limit_are_refused() -> None:
    for wrong in ({"since": datetime(2026, 1, 1)}, {"until": datetime(2026, 1, 1)}, {"limit": -1}):
        with pytest.raises(ValueError):
            Filters(**wrong)


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


def test_an_export_is_one_state_of_the_log(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH_MESSAGES", 1)
    for number in range(3):
        talk(store, "hi", "hello", chat=f"chat {number}", person=f"telegram:{number}")

    def meanwhile(_: int) -> None:
        store.change_person("telegram:1", consent=False)
        talk(store, "new", "words", chat="chat 2", person="telegram:2")

    file = tmp_path / "export.jsonl"
    assert export(store, "messages", file, Filters(), SALT, meanwhile) == 3
    assert "new" not in file.read_text()
    assert len(exported(store, "messages", tmp_path)) == 2


def test_progress_counts_the_dialogs_up_to_their_number(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH_MESSAGES", 2)
    for number in range(5):
        talk(store, "hi", "hello", chat=str(number))
    told: list[int] = []
    export(store, "votes", tmp_path / "votes.csv", Filters(), SALT, told.append)
    assert told == [2, 2, 1]
    assert count(store, Filters()) == 5


def test_memory_does_not_grow_with_the_log(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH_MESSAGES", 10)

    def peak() -> int:
        tracemalloc.start()
        export(store, "dialogs", tmp_path / "dialogs.jsonl", Filters(), SALT)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    for _ in range(10):
        store.new_dialog(CHAT)
        talk(store, "hi", "x" * 10_000)
    peak()  # SQLAlchemy keeps the statements that it compiled
    few = peak()
    for _ in range(90):
        store.new_dialog(CHAT)
        talk(store, "hi", "x" * 10_000)
    assert peak() < 1.5 * few


def test_an_unknown_format_is_told_with_those_there_are(sqlite_url: str, tmp_path: Path) -> None:
    with SqlDialogStore(sqlite_url) as store, pytest.raises(ExportError, match="dialogs, messages, votes, preferences"):
        export(store, "rows", tmp_path / "rows.jsonl", Filters(), SALT)
    assert not (tmp_path / "rows.jsonl").exists()


def test_without_a_file_the_records_are_json_lines_on_standard_output(
    sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with SqlDialogStore(sqlite_url) as store:
        talk(store, "hi", "Привет 👍")
        assert export(store, "messages", None, Filters(), SALT) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["messages"] == [user("hi"), assistant("Привет 👍")]
    assert shown.err == ""
