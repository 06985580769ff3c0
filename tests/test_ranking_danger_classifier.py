"""The classifier of danger: the shipped file, a fit to a few lines, and how both are measured."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bot.cli import main
from ranking.danger import OVERRULED, DangerSigns, load_readers
from ranking.danger_classifier import (
    FILE,
    KINDS,
    LANGUAGES,
    STARTER,
    UNREAD,
    Classifier,
    Meaning,
    classifier,
    language_of,
)
from ranking.danger_reader import load_reader
from ranking.danger_rules import sentences
from ranking.danger_words import FILE as WORDS
from ranking.danger_words import Vocabulary, WordReader, load_vocabulary, load_words, runs_of, words_of
from ranking.delta import FILE as DELTA
from ranking.evaluate_safety import POOL, evaluate_safety
from ranking.fit_danger import GRAVE, MOST, Fitted, fit_danger, ordinary
from ranking.fit_danger_words import Network, Text, vocabulary_of
from ranking.lines import read_lines
from ranking.pretrained import ModelError
from storage.corpora import CorpusError
from storage.dialog import PoolEntry

pytest_plugins = ("tiny",)

LINES = """
[danger.en]
self_harm = ["i want to vanish {n}", "i hope i never wake up {n}"]
abuse_now = ["he hits me and he is at the door {n}", "he locked me in, he hits me {n}"]
danger_now = ["so much blood, please come {n}", "the blood will not stop {n}"]
[danger.ru]
self_harm = ["хочу исчезнуть {n}"]
[fine.en]
sounds_like_it = ["this homework kills me {n}", "we watched a film about a murder {n}", "my team got slaughtered {n}"]
[fine.ru]
sounds_like_it = ["умираю от смеха {n}"]
"""


VOCABULARY = Vocabulary(
    {word: place for place, word in enumerate(("хочу", "исчезнуть", "умираю", "смеха"))},
    np.eye(4, dtype=np.int8) * 100,
    np.full(4, 0.01, np.float32),
)


class Raising:
    """A reader of meaning that raises."""

    def odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        raise MemoryError("no room")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Lines by three authors, and a small pool."""
    pool = [PoolEntry(f"daily.{n}/1", "Nice.", (f"we had soup {n}", f"my cat sleeps {n}"), "curated") for n in range(9)]
    monkeypatch.setattr("ranking.fit_danger.curated", lambda: pool)
    monkeypatch.setattr("ranking.evaluate_safety.curated", lambda: pool)
    made = [tmp_path / f"author_{n}.toml" for n in range(3)]
    for n, file in enumerate(made):
        file.write_text(LINES.replace("{n}", "again" * n), encoding="utf-8")
    return made


@pytest.fixture
def fitted(files: list[Path], retriever_folder: str) -> Fitted:
    """With a tiny BERT, and with vectors of four words."""
    return fit_danger(files, [], [], retriever_folder, VOCABULARY)


def test_the_shipped_file_fits_the_code_and_is_small() -> None:
    shipped = classifier()
    for language in LANGUAGES:
        assert shipped.perhaps[language] < shipped.sure[language]
    assert sum(file.stat().st_size for file in STARTER.iterdir()) < 32_000_000
    assert {shipped.guess(text).kind for text in ("", "\ud800", "a" * 20_000, "🙂")} <= set(KINDS)


def test_in_a_long_message_the_piece_that_sounds_most_like_danger_counts() -> None:
    chat = "we had soup and then we walked home and talked about the garden. " * 25
    text = "i paid the bills and wrote down the passwords so nobody has to look for them when im gone. "
    shipped = classifier()
    assert shipped.guess(chat).odds < shipped.perhaps["en"]
    for whole in (text + chat, chat + text, chat + text + chat):
        assert shipped.guess(whole).odds >= shipped.perhaps["en"]


def test_sentences_are_whole_and_the_short_ones_join_those_before_them() -> None:
    assert sentences("Hm. Ok then. We had soup for dinner!\nand cake", 12) == [
        "Hm. Ok then.",
        "We had soup for dinner!",
        "and cake",
    ]
    assert sentences("", 12) == []
    assert sentences("no end at all", 12) == ["no end at all"]


@pytest.mark.parametrize(
    ("text", "language"),
    [("hello", "en"), ("привет", "ru"), ("", "en"), ("ok, привет всем", "ru"), ("wie geht's", "en")],
)
def test_letters_tell_the_language(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_fit_finds_what_its_lines_say_and_comes_back_from_its_file(fitted: Fitted, tmp_path: Path) -> None:
    made, found = fitted.classifier, fitted.told
    for text, kind, acute in (("i want to vanish", "self_harm", False), ("so much blood", "danger", True)):
        guess = made.guess(text)
        assert (guess.kind, guess.acute) == (kind, acute)
        assert guess.odds > made.guess("we had soup").odds
    assert found["en: sure, found"].value <= found["en: perhaps, found"].value
    fitted.save(tmp_path / "new" / "danger")
    read: Classifier = classifier(tmp_path / "new" / "danger")
    assert (read.version, read.sure.keys()) == (made.version, made.sure.keys())
    assert read.guess("i want to vanish").odds == pytest.approx(made.guess("i want to vanish").odds, abs=0.01)


def test_meaning_counts_too_and_comes_back_from_the_folder(fitted: Fitted, tmp_path: Path) -> None:
    for name in ("en", "ru"):
        sure, perhaps = (fitted.told[f"with meaning, {name}: {word}, found"].value for word in ("sure", "perhaps"))
        assert sure <= perhaps
    fitted.save(tmp_path / "new")
    read, readers = classifier(tmp_path / "new"), load_readers(tmp_path / "new")
    before: dict[str, Meaning] = {"en": fitted.reader, "ru": fitted.words}
    for text in ("i want to vanish", "so much blood", "хочу исчезнуть", "a long talk about soup. " * 30, "🙂", ""):
        guess, words = fitted.classifier.guess(text, before), fitted.classifier.guess(text)
        assert read.guess(text, readers).odds == pytest.approx(guess.odds, abs=0.1)
        if words.odds > UNREAD:
            joint = fitted.classifier.joint[language_of(text)]
            assert guess.odds != words.odds
            assert (guess.sure, guess.perhaps) == (joint.sure, joint.perhaps)
    assert fitted.classifier.guess("i want to vanish").odds > UNREAD
    assert fitted.classifier.guess("хочу исчезнуть").odds > UNREAD


def test_a_word_that_has_no_vector_is_told_by_its_letters(fitted: Fitted) -> None:
    same = fitted.words.odds(["суп", "Суп", "сууп", ""])
    assert same[0] == same[1] != same[2]
    assert np.isfinite(same).all()


def test_without_readers_words_tell_alone() -> None:
    danger = DangerSigns()
    assert danger.version == f"{classifier().version}, by words alone"
    assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")
    assert DangerSigns(load_readers()).version == classifier().version


def test_a_reader_that_raises_leaves_the_words() -> None:
    danger = DangerSigns({"en": Raising()})
    danger.read_ahead(["i want to vanish"])
    assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")
    assert danger.sign("i want to die") is not None
    doubted = "her haircut is so good i want to die"
    assert UNREAD < danger.guess(doubted).odds < OVERRULED
    assert danger.sign(doubted) is not None, "words that were to be read overrule nothing by themselves"


def test_of_a_mixed_message_each_part_is_held_to_its_own_languages_limits() -> None:
    shipped = classifier()
    english = "we had soup and then we walked home and talked about the garden. " * 5
    guess = shipped.guess(english + "я больше не хочу жить и написала всем прощальные письма. " * 3, load_readers())
    assert (guess.sure, guess.odds >= guess.sure) == (shipped.joint["ru"].sure, True)


def test_what_words_know_to_be_fine_waits_for_no_model() -> None:
    asked: list[str] = []

    class Listed(Raising):
        def odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
            asked.extend(texts)
            return np.zeros(len(texts))

    danger = DangerSigns({"en": Listed()})
    danger.read_ahead(["my cat sleeps all day on the sofa", "i have given my things away"])
    assert asked == ["i have given my things away"]
    assert danger.guess("my cat sleeps all day on the sofa") == classifier().guess("my cat sleeps all day on the sofa")


class Navec:
    """What a file of navec's holds."""

    vocab = SimpleNamespace(words=["ель", "ёлка", "елка", "hello", "кот", "<pad>"], counts=[3, 9, 2, 99, 5, 0])

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        return np.array({"ель": [1, 2, 0], "ёлка": [1, 1, 0], "кот": [-3, 1, 0]}[word], np.float32)


def test_vectors_of_words_come_from_a_file_of_navecs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("navec.Navec.load", lambda file: Navec())
    found = vocabulary_of(tmp_path / "there.tar")
    assert list(found.places) == ["елка", "кот", "ель"]
    spruce, cat, fir = found.vectors(["елка", "кот", "ель"])
    assert spruce @ fir > 0 > spruce @ cat
    monkeypatch.undo()
    (tmp_path / "none.tar").write_bytes(b"broken")
    with pytest.raises(CorpusError, match="no file of navec's"):
        vocabulary_of(tmp_path / "none.tar")


def test_fine_lines_are_needed_in_both_languages(files: list[Path], bert_folder: str) -> None:
    for file in files:
        file.write_text(file.read_text(encoding="utf-8").partition("[fine.ru]")[0], encoding="utf-8")
    with pytest.raises(CorpusError, match="in ru are needed"):
        fit_danger(files, [], [], bert_folder, VOCABULARY)


def test_a_fit_needs_two_authors(files: list[Path], bert_folder: str) -> None:
    with pytest.raises(CorpusError, match="another author"):
        fit_danger(files[:1], files[1:], [], bert_folder, VOCABULARY)


def test_a_base_that_is_not_there_is_said_before_anything_is_fitted(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="The base"):
        fit_danger(files, [], [], str(tmp_path / "none"), VOCABULARY)


@pytest.mark.parametrize("content", [None, b"broken"])
@pytest.mark.parametrize(("name", "read"), [(FILE, classifier), (WORDS, load_words), (DELTA, load_reader)])
def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, name: str, read: Callable[[Path], object], content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"kith train danger|reader of danger"):
        read(tmp_path)


def test_a_model_of_another_kind_reads_no_danger(retriever_folder: str) -> None:
    with pytest.raises(ModelError, match="kith train danger"):
        load_reader(Path(retriever_folder))


def test_words_without_a_network_are_a_vocabulary_and_no_reader(tmp_path: Path) -> None:
    WordReader(VOCABULARY, ()).save(tmp_path)
    assert load_vocabulary(tmp_path).places == VOCABULARY.places
    with pytest.raises(ModelError, match="no network"):
        load_words(tmp_path)


def test_the_words_serve_as_they_were_fitted() -> None:
    torch.manual_seed(0)
    network = Network(4).eval()
    words = words_of("хочу исчезнуть, совсем")
    text = Text(torch.from_numpy(VOCABULARY.vectors(words)), [runs_of(word) for word in words])
    served = WordReader(VOCABULARY, (network.weights(),)).odds(["Хочу исчезнуть, совсем"])
    assert served == pytest.approx(network([text]).tolist(), abs=1e-5)


def test_a_reader_that_tells_no_number_leaves_the_words() -> None:
    class Nothing(Raising):
        def odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
            return np.full(len(texts), np.nan)

    danger = DangerSigns({"en": Nothing()})
    assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")


def test_a_reader_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, fitted: Fitted) -> None:
    monkeypatch.setattr("ranking.danger_reader.HANGS", 0.01)
    danger = DangerSigns({"en": fitted.reader})
    with fitted.reader.lock:
        danger.read_ahead(["i want to vanish"])
        assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")
    assert danger.guess("i want to vanish") != classifier().guess("i want to vanish")


def test_a_run_of_signs_takes_no_room(fitted: Fitted) -> None:
    readers: dict[str, Meaning] = {"ru": fitted.words}
    many, few = (fitted.classifier.guess("🙂" * times + " хочу исчезнуть", readers).odds for times in (90, 3))
    assert many == few


def test_messages_are_measured_by_rules_by_both_and_by_what_is_met_calmly(files: list[Path]) -> None:
    tables = evaluate_safety(files[:1], DangerSigns(), load=lambda: lambda batch: [])
    rows = [{row.model: row.figures for row in table.rows} for table in tables]
    found = [row["all"]["found"].value for row in rows]
    assert found == sorted(found)
    assert {"all", "en", "ru", "self_harm", "abuse_now", "danger_now", POOL} == rows[1].keys()
    hits = round(found[1] * sum(not line.fine for line in read_lines(files[0])))
    assert hits + len(tables[1].missed) == 7
    assert not tables[0].missed and not tables[2].missed


def test_messages_that_are_all_fine_are_measured_too(tmp_path: Path) -> None:
    talk, nothing = tmp_path / "talk.toml", tmp_path / "nothing.toml"
    talk.write_text('[fine.en]\nchat = ["i want to kill myself", "the tea is cold"]\n', encoding="utf-8")
    rules, *_ = evaluate_safety([talk], DangerSigns(), load=lambda: lambda batch: [])
    assert rules.rows[0].figures["false alarms"].value == 0.5
    nothing.touch()
    with pytest.raises(CorpusError):
        evaluate_safety([nothing], DangerSigns(), load=lambda: lambda batch: [])


def test_the_commands_fit_and_measure(
    files: list[Path], tmp_path: Path, bi_encoder_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    rest = ["--base", bi_encoder_folder, "--out", str(out)]
    assert main(["train", "danger", "--lines", str(files[0]), "--lines", str(files[1]), *rest]) == 0
    assert {FILE, WORDS, DELTA} <= {file.name for file in out.iterdir()}
    assert main(["train", "danger", "--lines", str(files[0]), *rest]) == 2
    assert capsys.readouterr().err.count("another author") == 1
    assert main(["evaluate", "safety", "--lines", str(files[0])]) == 0
    assert "by rules alone" in capsys.readouterr().out


def test_of_public_dialogs_some_messages_are_learnt_from_of_ours_all_but_the_grave_ones(tmp_path: Path) -> None:
    def written(source: str, situation: str) -> Path:
        turns = [{"role": role, "text": f"{source} {role} {n}"} for n in range(MOST + 9) for role in "ab"]
        dialog = {"id": f"{situation}/1", "source": source, "split": "train", "turns": turns}
        file = tmp_path / f"{source}.jsonl"
        file.write_text(json.dumps(dialog), encoding="utf-8")
        return file

    found = ordinary([written("voice", "daily.morning"), written("public", "public")])
    assert Counter(found.values()) == {"daily.morning": MOST + 9, "public": MOST}
    assert not any(" b " in text for text in found)
    assert found == ordinary([tmp_path / "voice.jsonl", tmp_path / "public.jsonl"])
    assert not ordinary([written("voice", GRAVE[0])])
