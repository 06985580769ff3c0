"""Tests of bot/cli/: real commands on a real log."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from commands import Kith, parsed
from fixed_answers import FixedAnswers, conversation_with
from sqlalchemy import update
from turn_values import talk

from bot.cli import ENVIRONMENT, MISTAKES, main
from bot.conversation import Conversation
from bot.settings import Settings
from storage.dialog import PoolEntry, Turn, Vote, VoteValue, now
from storage.export import FORMATS
from storage.schema import MessageRow
from storage.store import SqlDialogStore

pytest_plugins = ("tiny", "commands")

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def place(empty_folder: Path) -> None:
    """Also where no command runs."""


@pytest.fixture
def store(tmp_path: Path) -> SqlDialogStore:
    return SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}")


@pytest.fixture
def liked(store: SqlDialogStore) -> list[Turn]:
    """A reply that two people liked, and one that somebody did not."""
    turns = [talk(store, f"hi from {n}", "Hello!", chat=f"telegram:{n}", person=f"telegram:{n}") for n in (1, 2, 3)]
    votes: tuple[VoteValue, ...] = (1, 1, -1)
    for turn, value in zip(turns, votes, strict=True):
        reason = "boring" if value < 0 else ""
        person = turn.asked.person_id
        store.add_vote(Vote(turn.id, person, value, "button", reason), chat=person)
    return turns


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dialogs", "show", "nope"], "There is no dialog nope"),
        (["forget", "telegram:9", "--yes"], "Nothing is kept of telegram:9"),
        (["pool", "remove", "nope"], "No liked or imported reply is called nope"),
        (["pool", "add", "?!", "--context", "hi"], "needs a reply with words"),
        (["pool", "import", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["export", "poems"], "There is no format poems: use dialogs"),
        (["export", "votes", "votes.xls"], "votes.xls has no known ending"),
        (["chat", "--name", "a/b"], "A name is made of"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(kith: Kith, arguments: list[str], says: str) -> None:
    code, out, err = kith(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("KITH_CANDIDATES", "many"),
        ("KITH_NOTHING", "1"),
        ("KITH_DATABASE_URL", "mysql://somewhere"),
        ("KITH_DATABASE_URL", "sqlite:////dev/null/kith.db"),
    ],
)
def test_so_is_a_wrong_setting(kith: Kith, monkeypatch: pytest.MonkeyPatch, setting: str, value: str) -> None:
    monkeypatch.setenv(setting, value)
    code, out, err = kith("stats")
    assert (code, out) == (2, "")
    assert err.startswith("kith: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("stats", {"KITH_DATABASE_URL": "postgresql://kith:secret@127.0.0.1:1/kith"}),
        ("run", {"TELEGRAM_BOT_TOKEN": "1:a", "TELEGRAM_API_URL": "http://127.0.0.1:1"}),
    ],
)
def test_what_is_out_of_reach_is_no_mistake_and_may_be_tried_again(
    kith: Kith, store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch, verb: str, given: dict[str, str]
) -> None:
    @asynccontextmanager
    async def without_models(*_: object) -> AsyncIterator[Conversation]:
        yield conversation_with(FixedAnswers(store))

    monkeypatch.setattr("bot.running.open_bot", without_models)
    monkeypatch.setattr("bot.cli.talk.exit_within", lambda seconds, code: None)
    for setting, value in given.items():
        monkeypatch.setenv(setting, value)
    code, out, err = kith(verb)
    assert (code, out) == (75, "")
    assert err.startswith("kith: ") and err.count("\n") == 1 and "secret" not in err


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["dialogs", "show"], ["export", "votes", "--limit", "-1"]])
def test_a_wrong_command_line_is_code_2(kith: Kith, arguments: list[str]) -> None:
    assert kith(*arguments)[0] == 2


@pytest.mark.parametrize("module", MISTAKES)
def test_errors_that_are_sentences_are_where_they_are_looked_for(module: str) -> None:
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    assert MISTAKES[module] in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


# The environment


def test_threads_that_wait_do_not_spin_unless_the_user_wants_it(kith: Kith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY")
    kith("--help")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    kith("--help")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


# Talking


@pytest.fixture
def tiny_models(generator_folder: str, cross_encoder_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that name models which load in no time; without retrieval, whose pool takes any model seconds."""
    monkeypatch.setenv("KITH_GENERATOR", generator_folder)
    monkeypatch.setenv("KITH_RANKER", cross_encoder_folder)
    monkeypatch.setenv("KITH_RETRIEVED", "0")


@pytest.mark.usefixtures("tiny_models")
def test_a_chat_between_pipes_prints_replies_and_nothing_else(store: SqlDialogStore) -> None:
    script = "import sys; from bot.cli import main; sys.exit(main(['chat']))"
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", script]
    chat = subprocess.run(command, input="hello there\n", env=environment, capture_output=True, text=True)
    assert chat.returncode == 0, chat.stderr
    assert chat.stderr == ""
    [dialog] = store.dialogs()
    logged = store.dialog(dialog.id)
    assert logged is not None
    assert chat.stdout.splitlines() == [logged.messages[0].turns[0].turn.decision.reply]


def test_without_a_token_run_says_how_to_get_one_and_talks_here(kith: Kith, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(settings: Settings, name: str) -> None:
        print(f"talking to {name}")

    monkeypatch.setattr("bot.cli.talk.talk", talk)
    code, out, err = kith("run")
    assert (code, out) == (0, "talking to me\n")
    assert "TELEGRAM_BOT_TOKEN" in err
    assert err.count("\n") == 1


# The log


def test_stats_count_the_log(kith: Kith, liked: list[Turn]) -> None:
    found = parsed(kith("stats", "--json"))
    assert (found["people"], found["turns"], found["approval"]["likes"]) == (3, 3, 2)
    _, out, _ = kith("stats")
    assert "67%" in out
    assert "boring" in out


@pytest.mark.parametrize("verb", [["stats"], ["dialogs", "list"], ["pool", "list", "--origin", "liked"]])
def test_an_empty_log_is_no_mistake(kith: Kith, verb: list[str]) -> None:
    assert kith(*verb)[0] == 0
    assert kith(*verb, "--json")[0] == 0


def test_dialogs_are_listed_newest_first_and_shown(kith: Kith, liked: list[Turn]) -> None:
    found = parsed(kith("dialogs", "list", "--json"))
    assert [dialog["chat"] for dialog in found] == ["telegram:3", "telegram:2", "telegram:1"]
    assert found[0]["id"] in kith("dialogs", "list")[1]
    shown = parsed(kith("dialogs", "show", found[0]["id"], "--json"))
    assert shown["messages"][0]["turns"][0]["turn"]["decision"]["reply"] == "Hello!"
    _, out, _ = kith("dialogs", "show", found[0]["id"])
    assert all(text in out for text in ("hi from 3", "Hello!", "👎 boring"))


def test_what_people_write_is_no_markup(kith: Kith, store: SqlDialogStore) -> None:
    turn = talk(store, "[bold]is this bold?[/bold]", "[red]No.")
    _, out, _ = kith("dialogs", "show", turn.asked.dialog_id)
    assert "[bold]is this bold?[/bold]" in out


def test_forget_deletes_a_person(kith: Kith, liked: list[Turn], store: SqlDialogStore) -> None:
    assert parsed(kith("forget", "telegram:1", "--yes", "--json"))["message"] == 1
    assert [dialog.chat for dialog in store.dialogs()] == ["telegram:3", "telegram:2"]


@pytest.mark.parametrize(("typed", "dialogs"), [("n\n", 3), ("", 3), ("\n", 3), ("y\n", 2)])
def test_forget_asks_first(kith: Kith, liked: list[Turn], store: SqlDialogStore, typed: str, dialogs: int) -> None:
    code, _, err = kith("forget", "telegram:1", typed=typed)
    assert "telegram:1 for good?" in err
    assert (code == 0) == (dialogs == 2)
    assert len(store.dialogs()) == dialogs


# Export


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_json_lines_on_standard_output(
    capfdbinary: pytest.CaptureFixture[bytes], liked: list[Turn], format: str
) -> None:
    assert main(["export", format]) == 0
    out, err = capfdbinary.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert err.decode() == f"{len(records)} records\n"


def test_help_names_every_format(kith: Kith) -> None:
    out = kith("export", "--help")[1]
    assert not [format for format in FORMATS if format not in out]


@pytest.mark.parametrize(
    ("options", "records"),
    [
        ([], 3),
        (["--liked"], 2),
        (["--disliked"], 1),
        (["--chat", "telegram:2"], 1),
        (["--limit", "0"], 0),
        (["--limit", "1"], 1),
        (["--source", "generation"], 0),
        (["--since", "2000-01-01"], 3),
        (["--until", "2000-01-01T12:00:00"], 0),
    ],
)
def test_export_takes_what_the_options_ask_for(
    kith: Kith, liked: list[Turn], tmp_path: Path, options: list[str], records: int
) -> None:
    file = tmp_path / "votes.jsonl"
    assert parsed(kith("export", "votes", file, *options, "--json"))["records"] == records
    assert len(file.read_text().splitlines()) == records


def test_people_have_pseudonyms_unless_real_names_are_asked_for(kith: Kith, liked: list[Turn], tmp_path: Path) -> None:
    file = tmp_path / "dialogs.jsonl"
    kith("export", "dialogs", file)
    assert "telegram:1" not in file.read_text()
    kith("export", "dialogs", file, "--real-names")
    assert "telegram:1" in file.read_text()


def test_texts_are_redacted_unless_asked_for_as_they_are(kith: Kith, store: SqlDialogStore, tmp_path: Path) -> None:
    talk(store, "my name is Anna, call +44 7700 900123", "Hi Anna!", "Hello Anna Petrova")
    file = tmp_path / "dialogs.jsonl"
    kith("export", "dialogs", file)
    assert "Anna" not in file.read_text() and "7700" not in file.read_text()
    assert "my name is [name], call [phone]" in file.read_text() and "Hello [name]" in file.read_text()
    kith("export", "dialogs", file, "--unredacted")
    assert "my name is Anna, call +44 7700 900123" in file.read_text()


# What is kept


def test_pruning_shows_what_goes_and_asks(kith: Kith, liked: list[Turn], store: SqlDialogStore) -> None:
    with store._writing() as connection:
        connection.execute(
            update(MessageRow).where(MessageRow.text == "hi from 1").values(at=now() - timedelta(days=91))
        )
    counts = {"message": 1, "turn": 1, "candidate": 1, "vote": 1}
    assert parsed(kith("prune", "--older-than", "90d", "--dry-run", "--json")) == counts
    assert kith("prune", "--older-than", "90d", typed="n\n")[0] == 1
    assert len(store.dialogs()) == 3
    assert parsed(kith("prune", "--older-than", "12w", "--yes", "--rebuild", "--json")) == counts
    assert len(store.dialogs()) == 2
    assert parsed(kith("prune", "--yes", "--json"))["message"] == 0  # as the settings say: for ever


@pytest.mark.parametrize("age", ["90", "d", "0d", "-1d", "1y", "90 days", "", "999999d"])
def test_an_age_that_is_none_is_told(kith: Kith, age: str) -> None:
    code, _, err = kith("prune", f"--older-than={age}", "--yes")
    assert code == 2
    assert "such as 12h, 90d or 8w" in err


def test_the_vectors_of_a_forgotten_person_s_words_leave_the_data_folder(
    kith: Kith, store: SqlDialogStore, tmp_path: Path
) -> None:
    import numpy as np

    from ranking.vector_files import digest, write

    turn = talk(store, "a quokka", "Moss.")
    store.add_pool_entries([PoolEntry("liked/1", "Moss.", ("a quokka",), "liked")], {"liked/1": [turn.id]})
    store.add_pool_entries([PoolEntry("imported/1", "Ahoy.", ("hello",), "imported")])
    file, texts = tmp_path / "pool.safetensors", ["a quokka", "Moss.", "hello", "Ahoy."]
    write(file, [digest(text) for text in texts], np.ones((4, 3), np.float16), "v1")
    kith("forget", turn.asked.person_id, "--yes")
    assert [digest(text) in file.read_bytes() for text in texts] == [False, False, True, True]


# The pool


def test_a_reply_of_ones_own_comes_and_goes(kith: Kith) -> None:
    add = ["pool", "add", "Ahoy!", "--context", "hello sailor", "--context", "ahoy", "--json"]
    assert parsed(kith(*add)) == {"added": 1, "known": 0}
    assert parsed(kith(*add)) == {"added": 0, "known": 1}
    [entry] = parsed(kith("pool", "list", "--find", "SAILOR", "--json"))
    assert (entry["reply"], entry["contexts"], entry["origin"]) == ("Ahoy!", ["hello sailor", "ahoy"], "imported")
    assert kith("pool", "remove", entry["id"])[0] == 0
    assert parsed(kith("pool", "list", "--find", "sailor", "--json")) == []


def test_a_file_of_replies_comes_in_once(kith: Kith, tmp_path: Path) -> None:
    file = tmp_path / "pool.jsonl"
    lines = [{"reply": "Ahoy!", "contexts": ["hi"]}, {"reply": "ahoy", "contexts": ["hey"]}]
    file.write_text("\n\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    assert parsed(kith("pool", "import", file, "--json")) == {"added": 1, "known": 1}
    assert parsed(kith("pool", "import", file, "--json")) == {"added": 0, "known": 2}


@pytest.mark.parametrize(
    "line", ["ahoy", "[]", '{"reply": "Ahoy!"}', '{"reply": 1, "contexts": ["hi"]}', '{"reply": "x", "contexts": "hi"}']
)
def test_a_wrong_line_is_named_and_nothing_comes_in(kith: Kith, tmp_path: Path, line: str) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text('{"reply": "Ahoy!", "contexts": ["hi"]}\n' + line)
    code, _, err = kith("pool", "import", file)
    assert code == 2
    assert "pool.jsonl, line 2" in err
    assert parsed(kith("pool", "list", "--origin", "imported", "--json")) == []


def test_promoted_are_replies_that_several_people_liked(kith: Kith, liked: list[Turn]) -> None:
    assert parsed(kith("pool", "promote", "--people", "3", "--yes", "--json")) == {"added": 0, "known": 0}
    assert parsed(kith("pool", "promote", "--yes", "--json")) == {"added": 1, "known": 0}
    [entry] = parsed(kith("pool", "list", "--origin", "liked", "--json"))
    assert (entry["reply"], entry["contexts"]) == ("Hello!", ["hi from 1", "hi from 2"])
    assert parsed(kith("pool", "promote", "--yes", "--json")) == {"added": 0, "known": 0}


def test_a_reply_without_words_is_not_promoted(kith: Kith, store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "😂")
    store.add_vote(Vote(turn.id, turn.asked.person_id, 1, "button"), chat=turn.asked.person_id)
    assert parsed(kith("pool", "promote", "--people", "1", "--yes", "--json")) == {"added": 0, "known": 0}


def test_promotion_asks_first(kith: Kith, liked: list[Turn]) -> None:
    code, out, _ = kith("pool", "promote", typed="n\n")
    assert "Hello!" in out
    assert code != 0
    assert parsed(kith("pool", "list", "--origin", "liked", "--json")) == []


# Training


@pytest.mark.parametrize("of", [["ranker"], ["generator", "--method", "dpo"], ["generator", "--from-log"]])
def test_what_cannot_be_trained_in_several_processes_says_so(
    kith: Kith, monkeypatch: pytest.MonkeyPatch, of: list[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, out, err = kith("train", *of)
    assert (code, out) == (2, "")
    assert "leave torchrun out" in err


@pytest.mark.parametrize(
    ("verb", "modules"),
    [
        ("ranker", {"ranking/train.py": "RankerTraining"}),
        ("generator", {"generation/train.py": "GeneratorTraining", "generation/tuning.py": "Tuning"}),
    ],
)
def test_options_have_the_defaults_of_the_training(verb: str, modules: dict[str, str]) -> None:
    fields = [
        field
        for module, values in modules.items()
        for node in ast.parse((ROOT / module).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == values
        for field in node.body
    ]
    [function] = [
        node for node in ast.parse((ROOT / "bot/cli/train.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == verb
    ]  # fmt: skip
    named = function.args.args[-len(function.args.defaults) :]
    options = {a.arg: ast.literal_eval(d) for a, d in zip(named, function.args.defaults, strict=True)}
    assert options.pop("as_json") is False
    if verb == "generator":
        assert options.pop("method") == "pretrain"
    assert options.pop("from_log") is False
    assert [options.pop(files, None) for files in ("data", "out")] == [None, None]
    if verb == "ranker":
        assert options.pop("votes") is None
    of_settings = {"persona", "examples", "most"} if verb == "generator" else set()
    assert options == {
        field.target.id: ast.literal_eval(field.value) if ast.literal_eval(field.value) != () else None
        for field in fields
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value is not None
        if field.target.id not in of_settings
    }
