"""`kith report`: the page of a bot's own log, of a full one and of one where nothing happened yet."""

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import Kith
from lived_log import END, live
from turn_values import talk

from bot.cli.drawing import DARK
from storage.dialog import Vote, VoteValue
from storage.store import SqlDialogStore

pytest_plugins = ("commands",)

WORDINGS = [f"Go on, number {number}." for number in range(30)] + ["Write to <b>anna@example.org</b>."]


@pytest.fixture(autouse=True)
def place(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty log, and few resamples."""
    monkeypatch.setattr("storage.dialog.now", lambda: END)
    for module in ("storage.estimates", "storage.experiments"):
        monkeypatch.setattr(f"{module}.RESAMPLES", 100)


@pytest.fixture
def store(tmp_path: Path) -> SqlDialogStore:
    return SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}")


def report(kith: Kith, *arguments: object) -> str:
    code, _, error = kith("report", "--out", "page.html", *arguments)
    assert code == 0, error
    return Path("page.html").read_text(encoding="utf-8")


def figures(kith: Kith, *arguments: object) -> Any:
    code, out, error = kith("report", "--out", "page.html", "--json", *arguments)
    assert code == 0, error
    return json.loads(out)


def vote(store: SqlDialogStore, person: str, reply: str, value: VoteValue) -> None:
    turn = talk(store, "well", reply, chat=person, person=person)
    store.add_vote(Vote(turn.id, person, value, "button"), person)


def test_a_full_log_makes_a_page_that_needs_nothing_besides_itself(store: SqlDialogStore, kith: Kith) -> None:
    live(store, 80, 60, WORDINGS, votes=0.3)
    code, out, error = kith("report", "--out", "page.html", "--png", "pictures")
    assert (code, error) == (0, "")
    html = Path("page.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href|srcset)\s*=\s*["'](?!data:)""", html)
    assert "<script" not in html and "@import" not in html and "url(" not in html
    assert '<meta name="viewport" content="width=device-width' in html
    assert "Not enough yet" not in html.replace("not enough yet", "")
    assert Path("page.html").stat().st_mode & 0o777 == 0o600
    pictures = [Path(line) for line in out.splitlines()[1:]]
    assert len(pictures) == html.count("<figure>") == 8
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures)


def test_pictures_are_as_wide_as_a_phone_and_have_a_dark_side(store: SqlDialogStore, kith: Kith) -> None:
    live(store, 40, 60, WORDINGS, votes=0.3)
    html = report(kith)
    pairs = re.findall(r'srcset="data:image/svg\+xml;base64,([^"]+)"><img alt="[^"]+" src="data:[^,]+,([^"]+)"', html)
    assert len(pairs) == html.count("<figure>")
    for dark, light in pairs:
        drawn = ElementTree.fromstring(base64.b64decode(light))
        assert float(drawn.attrib["width"].removesuffix("pt")) < 300
        known = set(re.findall("#[0-9a-f]{6}", base64.b64decode(light).decode()))
        assert known <= set(DARK), "a colour that would not turn dark"
        assert not set(re.findall("#[0-9a-f]{6}", base64.b64decode(dark).decode())) & set(DARK)


def test_an_empty_log_says_so_in_each_place(kith: Kith) -> None:
    html = report(kith, "--png", "pictures")
    assert html.count("Not enough yet") == 9
    assert "<figure>" not in html
    assert "shipped" in html
    assert not Path("pictures").exists()


def test_replies_without_votes_are_shown_and_votes_are_not_enough_yet(store: SqlDialogStore, kith: Kith) -> None:
    live(store, 20, 40, WORDINGS, votes=0.0)
    html = report(kith)
    for told in ("nobody has voted", "nobody disliked", "50 votes on replies", "no wording was liked"):
        assert told in html
    assert "How long replies take" in html and "were sent back" in html
    assert "nan" not in re.sub(r"base64,[^\"]+", "", html)


def test_words_are_redacted_and_only_of_people_who_said_yes(store: SqlDialogStore, kith: Kith) -> None:
    vote(store, "telegram:1", "Write to <b>anna@example.org</b>.", 1)
    store.change_person("telegram:2", consent=False)
    vote(store, "telegram:2", "A secret.", -1)
    html = report(kith)
    assert "anna@" not in html and "<b>[email]" not in html
    assert "Write to &lt;b&gt;[email]&lt;/b&gt;." in html
    assert "secret" not in html
    assert figures(kith)["log"]["replied"]["all"]["dislikes"] == 1


def test_only_the_time_that_is_asked_for_counts(store: SqlDialogStore, kith: Kith) -> None:
    live(store, 60, 60, WORDINGS, votes=0.3)
    whole, part = figures(kith), figures(kith, "--since", "10d")
    assert 0 < part["log"]["replied"]["all"]["turns"] < whole["log"]["replied"]["all"]["turns"]
    assert len(part["log"]["replied"]["periods"]) <= 11
    assert [len(each["promotions"]) for each in (whole, part)] == [1, 0]
    assert kith("report", "--out", "page.html", "--since", "soon")[0] == 2


def test_a_missing_library_is_one_sentence_before_anything_is_read(kith: Kith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, error = kith("report", "--out", "page.html")
    assert (code, out) == (2, "")
    assert error == "kith: This needs matplotlib: pip install -e '.[evaluate]' where Kith's source is.\n"
    assert not Path("page.html").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(kith: Kith) -> None:
    Path("file").write_text("")
    code, _, error = kith("report", "--out", "file/page.html")
    assert (code, error.count("\n")) == (2, 1)
    assert "cannot be written" in error
