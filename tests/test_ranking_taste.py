"""The taste: it learns what votes tell, keeps it in a file, and knows whose vectors it reads."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spoken import context, spoken

from bot.cli import main
from ranking import taste as module
from ranking.encoders import load_encoder
from ranking.pretrained import ModelError
from ranking.taste import load_taste, train_taste
from ranking.vectors import Encoder, Vectors
from storage.corpora import CorpusError, RatedReply
from storage.dialog import Candidate

pytest_plugins = ("tiny",)

LIKED = {"cats": "Cats!", "dogs": "Dogs!"}
"""What each kind of message wants to hear."""


def embed(texts: Sequence[str]) -> Vectors:
    """A direction for each first word, and a little of the text's own."""
    found = []
    for text in texts:
        first = text.lower().strip("!").split(" ")[0]
        own = np.random.default_rng(list(text.encode())).normal(scale=0.3, size=32)
        found.append(own + 3 * np.random.default_rng(list(first.encode())).normal(size=32))
    vectors: Vectors = np.stack(found).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


VOTES = [
    RatedReply(f"d{number}", "s", "train", spoken(f"{topic} number {number}"), reply, LIKED[topic] == reply)
    for number in range(150)
    for topic in LIKED
    for reply in LIKED.values()
]


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(embed, np.ones(2, np.float32), "words 1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 80)


def test_it_tells_what_is_liked_where(encoder: Encoder) -> None:
    taste, facts = train_taste(encoder, VOTES)
    assert facts["auc"] > 0.9
    assert facts["votes"] + facts["checked"] == len(VOTES)
    asked = [context("cats you have not seen"), context("dogs you have not seen")]
    both = [Candidate(reply, "x", 0.0) for reply in LIKED.values()]
    cats, dogs = taste.score([(one, both) for one in asked])
    assert cats[0] > cats[1]
    assert dogs[1] > dogs[0]
    assert taste.score([]) == []
    assert taste.score([(asked[0], [])]) == [[]]


def test_a_file_keeps_it_whole_and_is_for_one_retriever(encoder: Encoder, tmp_path: Path) -> None:
    taste, _ = train_taste(encoder, VOTES)
    file = tmp_path / "deep" / "taste.safetensors"
    taste.save(file, {"version": "mine 1"})
    again = load_taste(file, encoder)
    batch = [(context("cats 1"), [Candidate("Cats!", "x", 0.0)])]
    assert again.score(batch) == taste.score(batch)
    assert again.version == "mine 1"
    with pytest.raises(ModelError, match=r"words 1.*train one with yours"):
        load_taste(file, Encoder(embed, np.ones(2, np.float32), "words 2"))


@pytest.mark.parametrize("content", [None, b"", b"not weights"])
def test_a_file_that_is_none_is_named(encoder: Encoder, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "taste.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=r"taste\.safetensors"):
        load_taste(file, encoder)


def test_the_same_seed_gives_the_same_taste(encoder: Encoder) -> None:
    batch = [(context("cats 1"), [Candidate("Cats!", "x", 0.0)])]
    one, again, other = (train_taste(encoder, VOTES, seed)[0].score(batch) for seed in (1, 1, 2))
    assert one == again != other


def test_a_vote_counts_by_its_weight_and_the_check_is_on_what_people_said(encoder: Encoder) -> None:
    wrong = [replace(v, dialog_id=f"x{v.dialog_id}", liked=not v.liked, weight=0.02, implicit=True) for v in VOTES]
    taste, facts = train_taste(encoder, [*VOTES, *wrong])
    assert facts["auc"] > 0.9
    assert facts["checked"] == train_taste(encoder, VOTES)[1]["checked"]
    cats, _ = taste.score([(context("cats you have not seen"), [Candidate(r, "x", 0.0) for r in LIKED.values()])])[0]
    assert cats > 0


@pytest.mark.parametrize("votes", [[], VOTES[:1], [vote for vote in VOTES if vote.liked]])
def test_too_few_votes_are_a_sentence(encoder: Encoder, votes: list[RatedReply]) -> None:
    with pytest.raises(CorpusError, match="Too few votes"):
        train_taste(encoder, votes)


def test_the_command_trains_one_for_a_retriever(
    retriever_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "votes.jsonl"
    rows = [
        {
            "context": [{"role": "user", "text": vote.messages[0].text}],
            "reply": vote.reply,
            "label": int(vote.liked),
            **{name: getattr(vote, name) for name in ("source", "dialog_id", "split")},
        }
        for vote in VOTES
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "mine.safetensors"
    command = ["train", "taste", "--votes", str(file), "--out", str(out), "--retriever", retriever_folder, "--json"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["votes"] + facts["checked"] == len(VOTES)
    assert load_taste(out, load_encoder(retriever_folder)).version == facts["version"]
    file.write_text("")
    assert main(command) == 2
    assert "Too few votes" in capsys.readouterr().err
