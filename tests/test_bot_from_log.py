"""Training from a log, of tiny models: what becomes a version, what is never learnt from, and whose words are where."""

import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from exporting import retry, vote
from fixed_answers import empty_log
from sqlalchemy import update
from turn_values import talk

from bot import from_log
from bot.cli import main
from bot.from_log import Learnt, learn_from, train_from_log
from bot.settings import Settings, UserError, env_name
from bot.versions import CARD, folder_of, model_of
from generation.generator import GptGenerator
from generation.sampling import Sampling
from ranking.encoders import load_encoder
from ranking.policy import load_weights
from ranking.pool_index import build_index
from ranking.ranker import CrossEncoderRanker
from ranking.taste import load_taste
from storage.corpora import CorpusError
from storage.dialog import PoolEntry, now
from storage.schema import DialogRow, VoteRow
from storage.store import SqlDialogStore
from storage.versions import Promotion

pytest_plugins = ("tiny",)

PEOPLE, DIALOGS, TALKS = 12, 4, 3
"""Each person has so many dialogs, and each dialog so many votes."""
WORD = "quokkaberry"
"""In all that people say, and nowhere else."""
NEWEST = PEOPLE * DIALOGS * 3 // 10
OPTIONS: dict[str, dict[str, Any]] = {
    "policy": {},
    "taste": {},
    "ranker": {"epochs": 0.5},
    "retriever": {},
    "generator": {"length": 64, "steps": 2, "batch_rows": 1, "muon_lr": 1e-3, "adamw_lr": 1e-3},
}


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database in which everybody likes good nights and dislikes jokes, and sent one reply back."""
    folder = tmp_path_factory.mktemp("talked")
    with empty_log(folder) as store:
        begin = now() - timedelta(days=30)
        for number in range(PEOPLE * DIALOGS):
            person = f"telegram:{number % PEOPLE}"
            dialog = store.new_dialog(person)
            for part in range(TALKS):
                good = (number + part) % 2 == 0
                reply = "Good night!" if good else "Tell me a joke."
                turn = talk(store, f"{WORD} {number} {part}", reply, "Pizza!", chat=person, person=person)
                vote(store, turn, 1 if good else -1)
            if number == 0:
                retry(store, talk(store, f"{WORD}?", "No.", chat=person, person=person), "Yes.")
            with store.reading() as connection:
                at = begin + timedelta(hours=number)
                connection.execute(update(DialogRow).where(DialogRow.id == dialog).values(at=at))
    return (folder / "kith.db").read_bytes()


@pytest.fixture
def settings(
    tmp_path: Path,
    retriever_folder: str,
    ranker_folder: str,
    generator_folder: str,
    talked: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Tiny models that serve, a few shipped ratings and dialogs, and that log."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "kith.db").write_bytes(talked)
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    given = {"data_dir": data, "retriever": retriever_folder, "ranker": ranker_folder, "generator": generator_folder}
    for name, value in given.items():
        monkeypatch.setenv(env_name(name), str(value))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ranking.taste.STEPS", 40)
    monkeypatch.setattr("ranking.likeness.STEPS", 2)
    monkeypatch.setattr("ranking.train_retriever.curated", lambda: [PoolEntry("p/1", "Pizza!", ("dinner",), "curated")])
    monkeypatch.setattr("storage.estimates.draws.__defaults__", (0, 20))
    monkeypatch.setattr(from_log, "STARTER", shipped(tmp_path / "shipped"))
    monkeypatch.setattr(from_log, "VOICE", tmp_path / "shipped" / "voice.jsonl")
    return Settings(_env_file=None)


def shipped(folder: Path) -> Path:
    """A folder with a rating, a vote and a dialog, as the shipped ones."""
    folder.mkdir()
    rating = {"context": [{"role": "user", "text": "hi"}], "reply": "Pizza!", "label": 1, "dialog_id": "s"}
    candidate = {"features": {"ranker": 1.0}, "chosen": True}
    logged = {"id": "s", "messages": [{"turns": [{"candidates": [candidate], "votes": [{"value": 1}]}]}]}
    (folder / "ratings.jsonl.gz").write_bytes(gzip.compress(json.dumps(rating).encode()))
    (folder / "votes.jsonl.gz").write_bytes(gzip.compress(json.dumps(logged).encode()))
    turns = [{"role": "a", "text": "hello there"}, {"role": "b", "text": "Good morning to you."}]
    (folder / "voice.jsonl").write_text(json.dumps({"id": "v", "split": "train", "lang": "en", "turns": turns}) + "\n")
    return folder


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlDialogStore]:
    with SqlDialogStore(settings.database) as store:
        yield store


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of tests have two features, of which votes tell nothing: here one knows them."""
    read = from_log.signals_of

    def telling(settings: Settings, store: SqlDialogStore) -> list[Any]:
        found = read(settings, store)
        return [replace(s, features={"ranker": float(s.rating.liked) + len(s.rating.dialog_id) % 2}) for s in found]

    monkeypatch.setattr(from_log, "signals_of", telling)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def learnt(settings: Settings, store: SqlDialogStore) -> Learnt:
    return learn_from(settings, store, "ranker")


@pytest.mark.parametrize("kind", OPTIONS)
def test_each_kind_becomes_a_version_with_its_card(kind: str, settings: Settings, store: SqlDialogStore) -> None:
    version = train_from_log(settings, store, kind, seed=3, **OPTIONS[kind])
    assert store.versions() == [version]
    card = json.loads((folder_of(settings, version.name) / CARD).read_text())
    dialogs = PEOPLE * DIALOGS - NEWEST
    assert (card["people"], card["dialogs"], card["votes"]) == (PEOPLE, dialogs, dialogs * TALKS + 1)
    assert card["labels"]["held_out_votes"] == NEWEST * TALKS
    assert card["labels"]["sent_back"] == 1
    assert (card["seeds"], card["parent"]) == ([3], "")
    loads(kind, model_of(settings, version), settings)
    assert not any("checkpoint" in name for name in files(settings.data_dir / "models"))


def loads(kind: str, model: str, settings: Settings) -> None:
    """The bot can load it."""
    encoder = load_encoder(settings.retriever)
    if kind == "policy":
        assert load_weights(Path(model)).weights["ranker"] > 0
    elif kind == "taste":
        assert load_taste(Path(model), encoder).version.startswith("taste-20")
    elif kind == "ranker":
        assert CrossEncoderRanker(model, encoder).version.startswith("ranker-20")
    elif kind == "retriever":
        assert build_index([PoolEntry("p", "Pizza!", ("dinner",), "curated")], load_encoder(model)).entries
    else:
        assert GptGenerator(model, Sampling(1, 5, 1.0, 1.0), 0).version.startswith("generator-20")


def test_the_newest_dialogs_are_never_learnt_from(settings: Settings, store: SqlDialogStore) -> None:
    found = learnt(settings, store)
    of_log = sorted(store.dialogs(1000), key=lambda dialog: dialog.at)
    assert {rating.dialog_id for rating in found.ratings} == {dialog.id for dialog in of_log[:-NEWEST]}
    assert found.dialogs == {dialog.id for dialog in of_log[:-NEWEST]}
    assert found.card["until"] == of_log[-NEWEST].at.isoformat()


def test_who_was_forgotten_is_gone_from_the_next_version(settings: Settings, store: SqlDialogStore) -> None:
    before = learnt(settings, store)
    store.forget("telegram:3")
    after = learnt(settings, store)
    assert (before.card["people"], after.card["people"]) == (PEOPLE, PEOPLE - 1)
    assert before.card["data"] != after.card["data"]
    gone = {r.person for r in before.ratings} - {r.person for r in after.ratings}
    assert len(gone) == 1
    assert not gone & {rating.person for rating in after.ratings}
    store.change_person("telegram:4", consent=False)
    assert learnt(settings, store).card["people"] == PEOPLE - 2


def test_a_trolls_votes_and_dialogs_count_for_little(settings: Settings, store: SqlDialogStore) -> None:
    with store.reading() as connection:
        connection.execute(update(VoteRow).where(VoteRow.person_id == "telegram:5").values(value=-VoteRow.value))
    found = learnt(settings, store)
    weights: dict[str, list[float]] = {}
    for rating in found.ratings:
        weights.setdefault(rating.person, []).append(rating.weight)
    ((_, lowest), *others) = sorted(weights.items(), key=lambda item: max(item[1]))
    assert max(lowest) < 0.05
    assert all(min(weight) > 0.5 for _, weight in others)
    assert found.card["labels"]["people_discounted"] == 1
    assert len(found.dialogs) == found.card["dialogs"] - len(lowest) // TALKS


def test_it_goes_on_from_what_serves(settings: Settings, store: SqlDialogStore) -> None:
    first = train_from_log(settings, store, "policy")
    assert (first.parent, first.card["base"]) == ("", "shipped")
    store.promote([Promotion("policy", first.name)])
    second = train_from_log(settings, store, "policy")
    assert second.parent == first.name
    assert second.card["data"] == first.card["data"]


@pytest.mark.parametrize("kind", OPTIONS)
def test_no_word_of_anybody_is_left_on_the_disk(
    kind: str, settings: Settings, store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    train_from_log(settings, store, kind, **OPTIONS[kind])
    assert files(temporary) == []
    for file in (settings.data_dir / "models").rglob("*"):
        assert not file.is_file() or WORD.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(("kind", "base"), [("ranker", "cross_encoder_folder"), ("retriever", "distilbert_folder")])
def test_models_of_others_become_versions_too_and_keep_nobodys_words(
    kind: str, base: str, settings: Settings, store: SqlDialogStore, request: pytest.FixtureRequest
) -> None:
    version = train_from_log(settings, store, kind, base=request.getfixturevalue(base))
    assert version.card["metrics"]["trainer"] in ("CrossEncoderTrainer", "SentenceTransformerTrainer")
    loads(kind, model_of(settings, version), settings)
    for file in (settings.data_dir / "models").rglob("*"):
        assert not file.is_file() or WORD.encode() not in file.read_bytes(), file


def test_a_training_that_fails_leaves_nothing(
    settings: Settings, store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], int]] = []

    def broken(run: Any) -> None:
        (private,) = {file.parent for file in run.data if file.name == "messages.jsonl"}
        seen.append((files(private), private.stat().st_mode & 0o777))
        assert WORD in (private / "messages.jsonl").read_text()
        raise CorpusError("No.")

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("generation.train.train_generator", broken)
    with pytest.raises(CorpusError):
        train_from_log(settings, store, "generator")
    assert seen == [(["messages.jsonl", "preferences.jsonl", "votes.jsonl"], 0o700)]
    assert list(temporary.iterdir()) == []
    assert list((settings.data_dir / "models").iterdir()) == []
    assert store.versions() == []


def test_too_few_votes_are_counted_in_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    with empty_log(folder) as store:
        vote(store, talk(store, "hi", "hello"), 1)
        with pytest.raises(UserError, match=r"A policy needs 50 votes .* the log has 1:"):
            train_from_log(Settings(_env_file=None, data_dir=folder), store, "policy")
    assert not (folder / "models").exists()


def test_the_command_prints_the_name_of_the_version(
    settings: Settings, store: SqlDialogStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "policy", "--from-log", "--seed", "5"]) == 0
    name = capsys.readouterr().out.strip()
    assert [version.name for version in store.versions()] == [name]
    assert store.versions()[0].card["seeds"] == [5]
    assert main(["train", "taste", "--from-log", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "taste"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["ranker", "--from-log", "--out", "x"], "Name either --out or --from-log"),
        (["policy", "--from-log", "--votes", "x"], "leave out --votes"),
        (["ranker", "--votes", "x"], "Name --out, or --from-log"),
        (["ranker", "--out", "x"], "Name --votes, or --from-log"),
        (["generator", "--out", "x"], "Name --data, or --from-log"),
        (["taste", "--from-log", "--votes", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
    ],
)
def test_a_mistake_is_a_sentence(
    command: list[str], sentence: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *command]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    models = settings.data_dir / "models"
    assert not models.exists() or not list(models.iterdir())
