"""Dialogs and rated replies from files, in both shapes, and what is said about files that are broken."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fixed_answers import empty_log
from hypothesis import given
from hypothesis import strategies as st
from turn_values import CHAT, PERSON, talk

from storage.corpora import (
    CorpusError,
    LoggedVote,
    held_back,
    read_dialogs,
    read_preferences,
    read_ratings,
    read_votes,
)
from storage.dialog import Message, Vote, VoteValue
from storage.export import Filters, export
from storage.store import SqlDialogStore

TURNS = [{"role": "a", "text": "hi"}, {"role": "b", "text": "hello"}]
MESSAGES = [
    {"role": "system", "content": "You are a cat."},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
]
SAID = (Message("user", "hi"), Message("assistant", "hello"))
RATING = {"context": [{"role": "user", "text": "hi"}], "reply": "hello", "label": 1}


def write(file: Path, *records: Any) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records)
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text, encoding="utf-8")
    return file


def test_public_dialogs_keep_who_said_what_and_whose_facts_are_whose(tmp_path: Path) -> None:
    record = {
        "id": "x:1", "source": "x", "split": "train", "license": "MIT", "lang": "en",
        "turns": TURNS, "persona": [["I fish."], ["I sing.", "I dance."]],
    }  # fmt: skip
    (dialog,) = read_dialogs(write(tmp_path / "x.jsonl", record))
    assert dialog.messages == SAID
    assert dialog.personas == (("I fish.",), ("I sing.", "I dance."))
    assert (dialog.id, dialog.source, dialog.split, dialog.license, dialog.lang) == ("x:1", "x", "train", "MIT", "en")


def test_exported_messages_become_dialogs_with_the_system_message_as_the_assistants_facts(tmp_path: Path) -> None:
    (dialog,) = read_dialogs(write(tmp_path / "own.jsonl", {"messages": MESSAGES}))
    assert dialog.messages == SAID
    assert dialog.personas == ((), ("You are a cat.",))
    assert (dialog.id, dialog.source, dialog.lang) == ("own.jsonl:1", "own", "")


@pytest.mark.parametrize(
    "record",
    [
        RATING,
        {"prompt": MESSAGES[:2], "completion": [{"role": "assistant", "content": "hello"}], "label": True},
    ],
)
def test_both_shapes_of_rated_replies_are_read(tmp_path: Path, record: dict[str, Any]) -> None:
    (rating,) = read_ratings(write(tmp_path / "votes.jsonl", record))
    assert (rating.messages, rating.reply, rating.liked) == (SAID[:1], "hello", True)
    assert (rating.source, rating.dialog_id) == ("votes", "votes.jsonl:1")


def test_a_rated_reply_may_tell_its_weight_person_time_and_place(tmp_path: Path) -> None:
    told = {"weight": 0.5, "person": "ann", "at": "2018-05-01T10:00:00+02:00", "turn": 7}
    with_all, without = read_ratings(write(tmp_path / "votes.jsonl", {**RATING, **told}, RATING))
    assert (with_all.weight, with_all.person, with_all.turn) == (0.5, "ann", 7)
    assert with_all.at == datetime(2018, 5, 1, 8, tzinfo=UTC)
    assert (without.weight, without.person, without.at, without.turn) == (1.0, "", None, -1)


@pytest.mark.parametrize("wrong", [{"weight": -1}, {"weight": "much"}, {"at": "yesterday"}, {"turn": []}])
def test_a_weight_time_or_place_that_is_none_is_named(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match="line 1"):
        list(read_ratings(write(tmp_path / "votes.jsonl", {**RATING, **wrong})))


def test_a_folder_means_every_jsonl_file_in_it_plain_or_packed_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl.gz", {"turns": TURNS})
    write(tmp_path / "a.jsonl", {"turns": TURNS}, {"turns": TURNS})
    (tmp_path / "README.md").write_text("not a corpus")
    assert [dialog.id for dialog in read_dialogs(tmp_path)] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl.gz:1"]


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("\n" + json.dumps({"turns": TURNS}) + "\n\n")
    assert [dialog.id for dialog in read_dialogs(file)] == ["x.jsonl:2"]


def test_scores_of_whole_dialogs_are_not_rated_replies(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", {"context": [], "dialog_score": 4}, RATING)
    assert len(list(read_ratings(file))) == 1


def test_a_file_that_is_missing_and_a_folder_without_corpora_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(CorpusError, match=str(path)):
            list(read_dialogs(path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "line 2: cannot be read"),
        ('["a", "list"]', "line 2: a JSON object is needed"),
        (
            '{"id": 1, "words": []}',
            r"line 2: a dialog needs `turns` or `messages` \(`kith export messages` .*; it has id, words",
        ),
        ('{"turns": [{"role": "narrator", "text": "once"}]}', "line 2: a dialog needs"),
        ('{"messages": 7}', "line 2: a dialog needs"),
        ('{"turns": "hi"}', "line 2: a dialog needs"),
        ('{"turns": [{"role": "a", "text": null}]}', "line 2: a dialog needs"),
        ('{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', "line 2: a dialog needs"),
        ('{"turns": [], "persona": [["only one side"]]}', "line 2: a dialog needs"),
    ],
)
def test_a_broken_line_is_named_with_what_it_holds(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"turns": TURNS}) + "\n" + line + "\n")
    with pytest.raises(CorpusError, match=r"x\.jsonl, " + said):
        list(read_dialogs(file))


@pytest.mark.parametrize("missing", ["context", "reply", "label"])
def test_a_rated_reply_without_a_needed_key_is_named_with_what_it_holds(tmp_path: Path, missing: str) -> None:
    record = {key: value for key, value in RATING.items() if key != missing}
    with pytest.raises(CorpusError, match=f"line 1: a rated reply needs .* it has {', '.join(sorted(record))}"):
        list(read_ratings(write(tmp_path / "x.jsonl", record)))


def test_an_empty_completion_is_not_a_rated_reply(tmp_path: Path) -> None:
    record = {"prompt": MESSAGES[:2], "completion": [], "label": True}
    with pytest.raises(CorpusError, match="a rated reply needs"):
        list(read_ratings(write(tmp_path / "x.jsonl", record)))


@pytest.mark.parametrize("content", [b"not packed at all", gzip.compress(b'{"turns": []}\n' * 99, mtime=0)[:-20], b""])
def test_a_packed_file_that_is_broken_or_cut_off_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(content)
    if content:
        with pytest.raises(CorpusError, match=r"x\.jsonl\.gz, near line \d+: cannot be read"):
            list(read_dialogs(file))
    else:
        assert list(read_dialogs(file)) == []


def test_a_split_that_the_file_names_is_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", *({"id": f"{n}", "split": "test", "turns": TURNS} for n in range(50)))
    assert {dialog.split for dialog in read_dialogs(file)} == {"test"}


def test_where_no_split_is_named_one_dialog_in_twenty_is_held_back_and_always_the_same_ones(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", *({"id": f"dialog {n}", "turns": TURNS} for n in range(2000)))

    def valid(dialogs: Iterator[Any]) -> list[str]:
        return [dialog.id for dialog in dialogs if dialog.split == "valid"]

    first = valid(read_dialogs(file))
    assert 70 <= len(first) <= 130
    assert valid(read_dialogs(file)) == first


def test_all_replies_of_one_dialog_are_on_the_same_side_of_the_split(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", *({**RATING, "dialog_id": f"d{n // 4}"} for n in range(400)))
    sides: dict[str, set[str]] = {}
    for rating in read_ratings(file):
        sides.setdefault(rating.dialog_id, set()).add(rating.split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert {split for splits in sides.values() for split in splits} == {"train", "valid"}


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_what_is_held_back_of_a_small_share_is_held_back_of_a_larger_one(
    dialog_id: str, one: float, other: float
) -> None:
    assert held_back(dialog_id, min(one, other)) <= held_back(dialog_id, max(one, other))
    assert held_back(dialog_id, 1.0)
    assert not held_back(dialog_id, 0.0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlDialogStore]:
    """A dialog of three turns, of which one is liked, one is not, and one vote was taken back."""
    with empty_log(tmp_path) as store:
        values: tuple[VoteValue, ...] = (1, -1, 0)
        for text, value in zip(("one", "two", "three"), values, strict=True):
            turn = talk(store, text, f"You said {text}.", "Something else.")
            store.add_vote(Vote(turn.id, PERSON, value, "button"), CHAT)
        yield store


def exported(log: SqlDialogStore, format: str, file: Path) -> Path:
    export(log, format, file, Filters(), salt=b"salt")
    return file


def test_our_own_dialogs_are_exported_and_read_back(log: SqlDialogStore, tmp_path: Path) -> None:
    (dialog,) = read_dialogs(exported(log, "messages", tmp_path / "own.jsonl.gz"))
    said = [text for number in ("one", "two", "three") for text in (number, f"You said {number}.")]
    assert [m.text for m in dialog.messages] == said
    assert (dialog.source, dialog.split in ("train", "valid")) == ("kith", True)


@pytest.mark.parametrize("format", ["votes", "ranking"])
def test_our_own_rated_replies_are_exported_and_read_back(log: SqlDialogStore, tmp_path: Path, format: str) -> None:
    ratings = list(read_ratings(exported(log, format, tmp_path / "own.jsonl")))
    assert [(r.reply, r.liked) for r in ratings] == [("You said one.", True), ("You said two.", False)]
    assert [m.text for m in ratings[1].messages] == ["one", "You said one.", "two"]
    assert len({r.dialog_id for r in ratings}) == 1


def test_our_own_votes_are_read_back_with_the_features_of_what_was_said(log: SqlDialogStore, tmp_path: Path) -> None:
    votes = list(read_votes(exported(log, "dialogs", tmp_path / "own.jsonl")))
    (dialog_id,) = {vote.dialog_id for vote in votes}
    features = {"ranker": 0.25, "repetition": 0.0}
    assert votes == [LoggedVote(dialog_id, features, True), LoggedVote(dialog_id, features, False)]


def test_votes_are_not_read_from_another_export(log: SqlDialogStore, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="line 1: a line of `kith export dialogs` is needed"):
        list(read_votes(exported(log, "messages", tmp_path / "own.jsonl")))


def test_the_pools_situations_are_dialogs_too_all_of_one_on_the_same_side(tmp_path: Path) -> None:
    text = "".join(
        f'[[situation]]\nname = "s{n}"\ncontexts = {list("abcde")}\nreplies = ["1", "2", "3"]\n' for n in range(60)
    )
    (tmp_path / "pool.toml").write_text(text + '[[situation]]\nname = "bare"\ncontexts = []\nreplies = ["1"]\n')
    dialogs = list(read_dialogs(tmp_path))
    assert len(dialogs) == len({dialog.id for dialog in dialogs}) == 60 * 3 * 2
    assert {dialog.source for dialog in dialogs} == {"curated"}
    assert dialogs[0].messages == (Message("user", "a"), Message("assistant", "1"))
    sides = {(dialog.id.split("/")[0], dialog.split) for dialog in dialogs}
    assert len(sides) == 60
    assert {split for _, split in sides} == {"train", "valid"}


@pytest.mark.parametrize("content", ["not toml", "", "[[situation]]\nname = 'x'\n"])
def test_a_broken_pool_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "pool.toml").write_text(content)
    with pytest.raises(CorpusError, match=r"pool\.toml cannot be read as a file of dialogs or of the pool"):
        list(read_dialogs(tmp_path))


VOICE = """
valid = ["home.plants"]
[[dialog]]
situation = "home.plants"
persona = "wit"
turns = ["my fern died", "What did it die of?", "me", "Then it knew its killer."]
[[dialog]]
situation = "home.keys"
persona = "friend"
turns = ["lost my keys", "Where were they last?"]
[[dialog]]
situation = "home.plants"
persona = "listener"
turns = ["the moss is back", "Do you like it?"]
"""


def test_dialogs_of_the_voice_have_their_persona_and_the_person_speaks_first(tmp_path: Path) -> None:
    (tmp_path / "home.toml").write_text(VOICE)
    fern, keys, moss = read_dialogs(tmp_path)
    assert [(m.role, m.text) for m in fern.messages] == [
        ("user", "my fern died"),
        ("assistant", "What did it die of?"),
        ("user", "me"),
        ("assistant", "Then it knew its killer."),
    ]
    assert [dialog.persona for dialog in (fern, keys, moss)] == ["wit", "friend", "listener"]
    assert {(dialog.source, dialog.lang, dialog.personas) for dialog in (fern, keys, moss)} == {
        ("voice", "en", ((), ()))
    }
    assert len({dialog.id for dialog in (fern, keys, moss)}) == 3


def test_the_voice_is_split_by_the_situations_that_its_file_holds_back(tmp_path: Path) -> None:
    (tmp_path / "home.toml").write_text(VOICE)
    assert [dialog.split for dialog in read_dialogs(tmp_path)] == ["valid", "train", "valid"]


def test_a_folder_may_hold_the_voice_the_pool_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "voice.toml").write_text(VOICE)
    (tmp_path / "pool.toml").write_text('[[situation]]\nname = "s"\ncontexts = ["a"]\nreplies = ["1"]\n')
    write(tmp_path / "talks.jsonl", {"turns": TURNS})
    assert [dialog.source for dialog in read_dialogs(tmp_path)] == ["curated", "talks", "voice", "voice", "voice"]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('valid = ["home.plants"]', "", "cannot be read as a file of dialogs or of the pool \\('valid'\\)"),
        ('persona = "wit"', "", "cannot be read as a file of dialogs or of the pool \\('persona'\\)"),
        ('valid = ["home.plants"]', 'valid = "home.plants"', "table 1: .*'home.plants' is not a list"),
        ('turns = ["lost my keys", "Where were they last?"]', 'turns = "lost my keys"', "table 2: .*is not a list"),
        ('"Where were they last?"', "7", "table 2: .*7 is not a text"),
        ('persona = "listener"', "persona = 3", "table 3: .*3 is not a text"),
    ],
)
def test_a_broken_file_of_the_voice_is_named(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    assert right in VOICE
    (tmp_path / "home.toml").write_text(VOICE.replace(right, wrong))
    with pytest.raises(CorpusError, match=r"home\.toml,? " + said):
        list(read_dialogs(tmp_path))


def test_so_is_a_table_of_the_pool(tmp_path: Path) -> None:
    (tmp_path / "pool.toml").write_text('[[situation]]\nname = "s"\ncontexts = "hello"\nreplies = ["1"]\n')
    with pytest.raises(CorpusError, match=r"pool\.toml, table 1: .*'hello' is not a list"):
        list(read_dialogs(tmp_path))


def test_preferences_are_read_with_their_dialog(tmp_path: Path) -> None:
    record = {"prompt": MESSAGES[:2], "chosen": MESSAGES[2:3], "rejected": [{"role": "assistant", "content": "no"}],
              "dialog_id": "d7", "weight": 0.25}  # fmt: skip
    (found,) = read_preferences(write(tmp_path / "x.jsonl", record))
    assert (found.dialog_id, found.source, found.chosen, found.rejected) == ("d7", "x", MESSAGES[2]["content"], "no")
    assert [message.text for message in found.messages] == [m["content"] for m in MESSAGES[:2] if m["role"] != "system"]
    assert found.split == ("valid" if held_back("d7", 0.15) else "train")
    assert found.weight == 0.25


@pytest.mark.parametrize("missing", ["prompt", "chosen", "rejected"])
def test_a_preference_without_a_needed_key_is_named_with_the_export_that_has_it(tmp_path: Path, missing: str) -> None:
    record = {"prompt": MESSAGES[:2], "chosen": MESSAGES[2:3], "rejected": MESSAGES[2:3]}
    del record[missing]
    with pytest.raises(CorpusError, match=f"kith export preferences.*it has {', '.join(sorted(record))}"):
        list(read_preferences(write(tmp_path / "x.jsonl", record)))


def test_a_record_without_a_weight_counts_as_one(tmp_path: Path) -> None:
    (rating,) = read_ratings(write(tmp_path / "x.jsonl", RATING))
    (dialog,) = read_dialogs(write(tmp_path / "y.jsonl", {"turns": TURNS, "weight": 3}))
    assert (rating.weight, dialog.weight) == (1.0, 3.0)


@pytest.mark.parametrize("weight", [-1, "2", True, float("inf"), float("nan")])
def test_a_weight_is_a_number_from_zero_on(tmp_path: Path, weight: object) -> None:
    with pytest.raises(CorpusError, match="line 1: a rated reply"):
        list(read_ratings(write(tmp_path / "x.jsonl", {**RATING, "weight": weight})))
