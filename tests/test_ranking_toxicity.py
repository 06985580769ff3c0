"""The toxicity check: the shipped weights, weights for another retriever, and a classifier out of a folder."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import bert_config, save
from transformers import BertForSequenceClassification, PreTrainedTokenizerBase

from ranking.encoders import load_encoder
from ranking.lines import read_lines
from ranking.listener import replies
from ranking.ngrams import hashed
from ranking.pool import curated
from ranking.pretrained import ModelError
from ranking.safety import VETOES
from ranking.toxicity import BUCKETS, HubToxicity, Toxicity, load_toxicity
from ranking.vectors import Encoder
from storage.corpora import CorpusError
from storage.dialog import Candidate, Context

pytest_plugins = ("tiny",)

LINES = Path(__file__).parent / "safety_lines" / "replies_test.toml"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Toxicity:
    own = tmp_path_factory.mktemp("own") / "toxicity.safetensors"
    return load_toxicity(load_encoder(), own)


def test_most_unfit_replies_are_found_and_few_of_the_pool(shipped: Toxicity) -> None:
    lines = read_lines(LINES)
    found = shipped.probabilities([line.text for line in lines]) >= VETOES["toxic"]
    unfit = np.array([not line.fine for line in lines])
    assert found[unfit].mean() > 0.5
    assert found[unfit].mean() > 2 * found[~unfit].mean()
    ours = [*(entry.reply for entry in curated()[::10]), *(text for tone in replies().values() for text in tone)]
    assert (shipped.probabilities(ours) >= VETOES["toxic"]).mean() < 0.01


def test_another_retriever_gets_weights_of_its_own_which_are_kept(
    bi_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = curated()[::100]
    monkeypatch.setattr("ranking.toxicity.curated", lambda: some)
    own = tmp_path / "data" / "toxicity.safetensors"
    made = load_toxicity(bi_encoder, own)
    stamp = own.stat().st_mtime_ns
    again = load_toxicity(bi_encoder, own)
    assert own.stat().st_mtime_ns == stamp
    texts = ["You are an idiot.", "What a lovely morning.", ""]
    assert made.probabilities(texts) == pytest.approx(again.probabilities(texts), abs=1e-3)
    own.write_bytes(b"broken")
    assert load_toxicity(bi_encoder, own).probabilities(texts) == pytest.approx(made.probabilities(texts), abs=1e-3)


def test_candidates_keep_their_places(shipped: Toxicity) -> None:
    some = [Candidate(text, "generation", 0.0) for text in ("You are an idiot.", "What a lovely morning.")]
    scores = shipped.score([(Context(()), some), (Context(()), []), (Context(()), some[::-1])])
    assert [len(row) for row in scores] == [2, 0, 2]
    assert scores[0] == pytest.approx(scores[2][::-1], abs=1e-3)
    assert scores[0][0] > VETOES["toxic"] > scores[0][1]


def test_every_text_has_its_numbers() -> None:
    for text in ("", "\ud800", "a", "Hello there", "привет" * 5000):
        found = hashed(text, BUCKETS)
        assert len(set(found)) == len(found)
        assert all(0 <= number < BUCKETS for number in found)


def classifier(folder: Path, tokenizer: PreTrainedTokenizerBase, labels: list[str], multi: bool = False) -> str:
    """A text classifier that says the last of its labels, whatever it reads."""
    config = bert_config(tokenizer)
    config.id2label, config.label2id = dict(enumerate(labels)), {label: n for n, label in enumerate(labels)}
    config.problem_type = "multi_label_classification" if multi else "single_label_classification"
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([-4.0] * (len(labels) - 1) + [4.0]))
    return save(folder, model, tokenizer)


@pytest.mark.parametrize(
    ("labels", "multi", "unfit"),
    [
        (["neutral", "toxic"], False, True),
        (["toxic", "non-toxic"], False, False),
        (["LABEL_0", "LABEL_1"], False, True),
        (["insult", "threat"], True, True),
    ],
)
def test_a_classifier_out_of_a_folder_takes_its_place(
    bert_tokenizer: PreTrainedTokenizerBase, tmp_path: Path, labels: list[str], multi: bool, unfit: bool
) -> None:
    model = HubToxicity(classifier(tmp_path, bert_tokenizer, labels, multi))
    some = [Candidate(text, "generation", 0.0) for text in ("hello there", "pizza")]
    for row in model.score([(Context(()), some), (Context(()), some[:1])]):
        assert all((score >= VETOES["toxic"]) == unfit for score in row)
    assert model.score([(Context(()), [])]) == [[]]


def test_a_classifier_that_cannot_be_used_is_one_sentence(
    bert_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        HubToxicity(str(tmp_path / "nowhere"))
    folder = classifier(tmp_path, bert_tokenizer, ["joy", "anger"])
    with pytest.raises(ModelError, match="which are harmless"):
        HubToxicity(folder)


@pytest.mark.parametrize("content", ["[unfit", "unfit = 3", "[unfit.en]\nall = [3]", "[unfit]\nen = ['x']"])
def test_a_wrong_file_of_lines_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "lines.toml"
    file.write_text(content)
    with pytest.raises(CorpusError, match=re.escape(str(file))):
        read_lines(file)
