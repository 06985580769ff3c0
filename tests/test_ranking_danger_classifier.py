"""The classifier of danger: the shipped file, a fit to a few lines, and how both are measured."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import pytest

from bot.cli import main
from ranking.danger import DangerSigns
from ranking.danger_classifier import KINDS, LANGUAGES, STARTER, UNREAD, Classifier, classifier, language_of
from ranking.danger_rules import sentences
from ranking.dialog_encoder import load_dialog_encoder
from ranking.encoders import encoder_of, load_encoder
from ranking.evaluate_safety import POOL, evaluate_safety
from ranking.fit_danger import fit_danger
from ranking.lines import read_lines
from ranking.pretrained import ModelError
from ranking.vectors import Encoder, Vectors
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


class Broken:
    def __init__(self) -> None:
        self.lock = Lock()

    def encode(self, texts: list[str]) -> None:
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


def test_the_shipped_file_fits_the_code_and_is_small() -> None:
    shipped = classifier()
    for language in LANGUAGES:
        assert shipped.perhaps[language] < shipped.sure[language]
    assert STARTER.stat().st_size < 3_000_000
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


def test_a_fit_finds_what_its_lines_say_and_comes_back_from_its_file(files: list[Path], tmp_path: Path) -> None:
    made, found = fit_danger(files[:2], files[2:])
    for text, kind, acute in (("i want to vanish", "self_harm", False), ("so much blood", "danger", True)):
        guess = made.guess(text)
        assert (guess.kind, guess.acute) == (kind, acute)
        assert guess.odds > made.guess("we had soup").odds
    assert found["en: sure, found"].value <= found["en: perhaps, found"].value
    made.save(tmp_path / "new" / "danger.safetensors")
    read: Classifier = classifier(tmp_path / "new" / "danger.safetensors")
    assert (read.version, read.sure.keys()) == (made.version, made.sure.keys())
    assert read.guess("i want to vanish").odds == pytest.approx(made.guess("i want to vanish").odds, abs=0.01)


def test_with_vectors_meaning_counts_too_and_comes_back_from_the_file(
    files: list[Path], tmp_path: Path, bi_encoder: Encoder
) -> None:
    made, found = fit_danger(files, [], [], bi_encoder)
    assert made.reader and made.reader.perhaps <= made.reader.sure
    assert found["en: sure, found, with meaning"].value <= found["en: perhaps, found, with meaning"].value
    made.save(tmp_path / "danger.safetensors")
    read = classifier(tmp_path / "danger.safetensors")
    for text in ("i want to vanish", "so much blood", "we had soup", "a long talk about soup. " * 30):
        guess = made.guess(text, bi_encoder)
        assert read.guess(text, bi_encoder).odds == pytest.approx(guess.odds, abs=0.05)
        if made.guess(text).odds > UNREAD:
            assert guess.odds != made.guess(text).odds
            assert (guess.sure, guess.perhaps) == (made.reader.sure, made.reader.perhaps)
    assert made.guess("i want to vanish").odds > UNREAD
    assert made.guess("хочу исчезнуть", bi_encoder) == made.guess("хочу исчезнуть")


def test_the_vectors_of_another_retriever_tell_nothing(bi_encoder: Encoder) -> None:
    danger = DangerSigns(bi_encoder)
    assert danger.encoder is None
    assert danger.version == f"{classifier().version}, by words alone"
    assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")


def test_a_retriever_that_raises_leaves_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    danger = DangerSigns()
    monkeypatch.setattr(danger, "encoder", Broken())
    danger.read_ahead(["i want to vanish"])
    assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")
    assert danger.sign("i want to die") is not None


def test_a_retriever_that_hangs_holds_nobody_up() -> None:
    encoder = load_encoder("")
    danger = DangerSigns(encoder)
    with encoder.lock:  # as the search has it that never comes back
        danger.read_ahead(["i want to vanish"])
        assert danger.guess("i want to vanish") == classifier().guess("i want to vanish")
    assert danger.guess("i want to vanish") != classifier().guess("i want to vanish")


def test_a_retriever_with_the_same_vectors_and_another_version_is_known(
    files: list[Path], bi_encoder: Encoder, retriever_folder: str
) -> None:
    reader = fit_danger(files, [], [], bi_encoder)[0].reader
    other = encoder_of(load_dialog_encoder(retriever_folder), "after votes")
    assert reader and reader.knows(other)
    assert other.version != bi_encoder.version


def test_of_a_mixed_message_each_part_is_held_to_its_own_languages_limits() -> None:
    shipped, encoder = classifier(), load_encoder("")
    english = "we had soup and then we walked home and talked about the garden. " * 5
    guess = shipped.guess(english + "я больше не хочу жить и написала всем прощальные письма. " * 3, encoder)
    assert (guess.sure, guess.odds >= guess.sure) == (shipped.sure["ru"], True)


def test_what_words_know_to_be_fine_waits_for_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder("")
    danger = DangerSigns(encoder)
    encoded: list[str] = []
    read = encoder.encode

    def seen(texts: Sequence[str]) -> Vectors:
        encoded.extend(texts)
        return read(texts)

    monkeypatch.setattr(encoder, "encode", seen)
    danger.read_ahead(["my cat sleeps all day on the sofa", "i have given my things away"])
    assert encoded == ["i have given my things away"]
    assert danger.guess("my cat sleeps all day on the sofa") == classifier().guess("my cat sleeps all day on the sofa")


def test_fine_lines_are_needed_in_both_languages(files: list[Path]) -> None:
    for file in files:
        file.write_text(file.read_text(encoding="utf-8").partition("[fine.ru]")[0], encoding="utf-8")
    with pytest.raises(CorpusError, match="none in ru"):
        fit_danger(files, [])


def test_a_fit_needs_two_authors(files: list[Path]) -> None:
    with pytest.raises(CorpusError, match="another author"):
        fit_danger(files[:1], [])


@pytest.mark.parametrize("content", [None, b"broken"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "danger.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match="kith train danger"):
        classifier(file)


def test_messages_are_measured_by_rules_by_both_and_by_what_is_met_calmly(files: list[Path]) -> None:
    tables = evaluate_safety(files[:1], DangerSigns(), load=lambda: lambda batch: [])
    rows = [{row.model: row.figures for row in table.rows} for table in tables]
    found = [row["all"]["found"].value for row in rows]
    assert found == sorted(found)
    assert {"all", "en", "ru", "self_harm", "abuse_now", "danger_now", POOL} == rows[1].keys()
    hits = round(found[1] * sum(not line.fine for line in read_lines(files[0])))
    assert hits + len(tables[1].missed) == 7
    assert not tables[0].missed and not tables[2].missed


def test_the_commands_fit_and_measure(
    files: list[Path], tmp_path: Path, bi_encoder_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    rest = ["--retriever", bi_encoder_folder, "--out", str(out)]
    assert main(["train", "danger", "--lines", str(files[0]), "--lines", str(files[1]), *rest]) == 0
    assert out.exists()
    assert main(["train", "danger", "--lines", str(files[0]), *rest]) == 2
    assert capsys.readouterr().err.count("another author") == 1
    assert main(["evaluate", "safety", "--lines", str(files[0])]) == 0
    assert "by rules alone" in capsys.readouterr().out
