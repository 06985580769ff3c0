"""Measuring generators: which figures come of which text, next to what, and with which uncertainty."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from remote_server import Server, completion, serving
from spoken import spoken

from bot.cli.run_file import as_json
from generation.evaluate import (
    ALL,
    NGRAM,
    GeneratorEvaluation,
    at_most,
    bits_by_source,
    evaluate_generator,
    load,
    ngram,
)
from generation.generator import GptGenerator
from generation.metrics import bits_per_character
from generation.replies import PEOPLE
from generation.sampling import GeneratorError, Sampling
from storage.corpora import CorpusDialog, CorpusError
from storage.dialog import Candidate, Context

pytest_plugins = ("tiny",)

GREEDY = Sampling(4, 40, top_p=1e-6)
KNOWN = ("what shall we eat", "Pizza!")
SAID = [
    ("it rains, good night", "The cat sleeps all day."),
    ("tell me a joke please", "My dog is ill and I am sad."),
    ("hello", "How are you?"),
    ("good morning", "It rains."),
]


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 on the CPU, so that figures can be compared."""
    monkeypatch.setattr("generation.generator.place", lambda: ("cpu", torch.float32))


@pytest.fixture
def ours(generator_folder: str) -> GptGenerator:
    return GptGenerator(generator_folder, Sampling(1, 40, top_p=1e-6))


@pytest.fixture
def plain(plain_folder: str) -> GptGenerator:
    return GptGenerator(plain_folder, Sampling(1, 40, top_p=1e-6))


def dialog(source: str, number: int, *texts: str, split: str = "valid", lang: str = "en") -> CorpusDialog:
    return CorpusDialog(str(number), source, split, spoken(*texts), lang=lang)


def written(folder: Path, dialogs: Sequence[CorpusDialog]) -> Path:
    file = folder / "dialogs.jsonl"
    lines = [
        {"id": d.id, "source": d.source, "split": d.split, "lang": d.lang, "turns": [
            {"role": "a" if m.role == "user" else "b", "text": m.text} for m in d.messages
        ]} for d in dialogs
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def some() -> list[CorpusDialog]:
    """Two sources, both splits."""
    return [
        dialog(source, number, *texts, split=split)
        for source in ("cats", "dogs")
        for split in ("train", "valid")
        for number, texts in enumerate([*SAID, KNOWN])
    ]


# The whole


def test_every_model_has_a_row_and_every_source_a_figure(tmp_path: Path, generator_folder: str) -> None:
    run = GeneratorEvaluation((written(tmp_path, some()),), (generator_folder,), GREEDY, most=4, replies=6)
    found = evaluate_generator(run)
    name = Path(generator_folder).name
    assert found.models == {name: name}
    assert found.bits.dialogs == {"cats": 4, "dogs": 4, ALL: 8}
    assert [(row.model, list(row.figures)) for row in found.bits.rows] == [
        (name, ["cats", "dogs", ALL]), (NGRAM, ["cats", "dogs", ALL]),
    ]  # fmt: skip
    assert found.replies is not None
    assert found.replies.contexts == 6
    assert [row.model for row in found.replies.rows] == [PEOPLE, name]
    assert set(found.seconds) == {NGRAM, "bits", "replies", "identity", "likes"}
    assert found.identity == []
    assert found.liked == []


def test_every_persona_is_asked_who_it_is_when_there_is_what_sees_a_human(
    tmp_path: Path, generator_folder: str
) -> None:
    asked: list[str] = []

    def claims_human(context: Context, candidate: Candidate) -> float:
        asked.append(context.persona)
        return 1.0

    facts = {"": "I am Kith.", "friend": "I am Kith.", "sailor": "I am Kith, at sea."}
    data = (written(tmp_path, some()),)
    run = GeneratorEvaluation(
        data, (generator_folder,), GREEDY, facts, most=1, replies=0, identity=1, claims_human=claims_human
    )
    [row] = evaluate_generator(run).identity
    assert row.model == Path(generator_folder).name
    assert row.figures["later: claims human"].value == 1
    assert {persona: asked.count(persona) for persona in asked} == {"I am Kith.": 24, "I am Kith, at sea.": 24}
    assert "claims_human" not in as_json(run)


def test_the_same_seed_gives_the_same_figures(tmp_path: Path, generator_folder: str) -> None:
    data, sampling = (written(tmp_path, some()),), Sampling(1, 20, temperature=2.0, top_p=1.0)
    first, again = (
        evaluate_generator(GeneratorEvaluation(data, (generator_folder,), sampling, replies=4)) for _ in range(2)
    )
    assert (first.bits, first.replies) == (again.bits, again.replies)


def test_without_a_train_split_there_is_no_5_gram_model(tmp_path: Path, generator_folder: str) -> None:
    held = [d for d in some() if d.split == "valid"]
    found = evaluate_generator(GeneratorEvaluation((written(tmp_path, held),), (generator_folder,), replies=0))
    assert [(row.model, dict(row.against)) for row in found.bits.rows] == [(Path(generator_folder).name, {})]
    assert found.replies is None


@pytest.mark.parametrize(
    ("dialogs", "message"),
    [
        ([dialog("cats", 0, *KNOWN, split="train")], "none of the files has any of the valid split"),
        ([dialog("cats", 0, "привет", "да", lang="ru")], "none of the files has any of the valid split"),
        ([dialog("cats", 0, "x" * 999, "y")], "begins with a text that all of the models can read"),
        ([dialog("cats", 0, "", "")], "begins with a text that all of the models can read"),
    ],
)
def test_data_that_says_nothing_is_a_mistake_in_one_sentence(
    tmp_path: Path, generator_folder: str, dialogs: list[CorpusDialog], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        evaluate_generator(GeneratorEvaluation((written(tmp_path, dialogs),), (generator_folder,)))


def test_models_are_called_by_their_folders_and_loaded_once(generator_folder: str, tmp_path: Path) -> None:
    twin = tmp_path / Path(generator_folder).name
    twin.symlink_to(generator_folder)
    found = load(GeneratorEvaluation((), (generator_folder, str(twin), generator_folder), GREEDY))
    assert list(found) == [twin.name, str(twin)]
    assert {model.sampling.candidates for model in found.values()} == {1}
    with pytest.raises(GeneratorError, match="cannot be loaded"):
        load(GeneratorEvaluation((), (str(tmp_path / "nowhere"),)))


def test_a_server_stands_beside_local_models_with_its_replies(tmp_path: Path, generator_folder: str) -> None:
    data, server = (written(tmp_path, some()),), Server()
    server.answer = lambda number, body: (200, completion("Meow."))
    with serving(server):
        models = (generator_folder, f"{server.url}#big/chat")
        found = evaluate_generator(GeneratorEvaluation(data, models, GREEDY, replies=6, remote_key="secret"))
    local = Path(generator_folder).name
    assert [row.model for row in found.bits.rows] == [local, NGRAM]
    assert found.replies is not None
    _, ours, served = found.replies.rows
    assert (ours.model, served.model) == (local, "big/chat")
    assert served.figures["words"].value == 1
    assert {request["model"] for request in server.asked} == {"big/chat"}
    assert {request["n"] for request in server.asked} == {1}
    assert set(server.keys) == {"Bearer secret"}
    assert "secret" not in json.dumps(as_json(GeneratorEvaluation(data, remote_key="secret")))


@pytest.mark.parametrize("status", [500, 404])
def test_a_server_that_does_not_answer_is_no_model_that_says_nothing(
    tmp_path: Path, generator_folder: str, status: int
) -> None:
    server = Server(answer=lambda number, body: (status, "{}"))
    with serving(server), pytest.raises(GeneratorError, match="OpenAI-compatible"):
        models = (generator_folder, f"{server.url}#m")
        evaluate_generator(GeneratorEvaluation((written(tmp_path, some()),), models, GREEDY, replies=2))


@pytest.mark.parametrize(
    ("models", "message"),
    [(("http://127.0.0.1:9/v1",), "#MODEL"), (("http://127.0.0.1:9/v1#m",), "at least one local model")],
)
def test_servers_are_named_with_a_model_and_beside_a_local_one(models: tuple[str, ...], message: str) -> None:
    with pytest.raises(GeneratorError, match=message):
        evaluate_generator(GeneratorEvaluation((), models))


def test_a_sample_has_at_most_so_many_of_each_source() -> None:
    dialogs = [dialog(source, number) for source in ("a", "b") for number in range(9)] + [dialog("c", 0)]
    chosen = at_most(dialogs, 3, seed=0)
    assert [d.source for d in chosen] == ["a"] * 3 + ["b"] * 3 + ["c"]
    assert chosen == at_most(dialogs, 3, seed=0) != at_most(dialogs, 3, seed=1)


# Bits


def test_bits_are_those_of_the_training_s_own_measure_and_differ_by_their_difference(ours: GptGenerator) -> None:
    held = [d for d in some() if d.split == "valid"]
    baseline = ngram([d for d in some() if d.split == "train"], ours)
    model, grams = bits_by_source({"ours": ours}, baseline, held).rows
    expected = bits_per_character(ours.model, ours.tokenizer, held, "en", 128)
    assert model.figures["cats"].value == pytest.approx(expected["cats"], abs=1e-3)
    for source in ("cats", "dogs", ALL):
        gap = model.figures[source].value - grams.figures[source].value
        assert model.against[source].value == pytest.approx(gap)
        assert model.against[source].low <= gap <= model.against[source].high
    assert not grams.against


def test_the_5_gram_model_knows_what_it_was_trained_on(ours: GptGenerator) -> None:
    """And its tokens make words, not characters."""
    held = [dialog("known", 0, *KNOWN), dialog("strange", 0, "zzxq vvqj", "Qqj!")]
    baseline = ngram([dialog("known", number, *KNOWN, split="train") for number in range(20)], ours)
    _, grams = bits_by_source({"ours": ours}, baseline, held).rows
    assert grams.figures["known"].value < 0.2
    assert grams.figures["strange"].value > 4


def test_models_with_other_tokenizers_and_less_room_are_measured_on_the_same_text(
    ours: GptGenerator, plain: GptGenerator
) -> None:
    """The narrow one has no room for the end of the dialog, so that neither is asked about it."""
    long = [dialog("cats", 0, *KNOWN, *KNOWN, "zzxqvvqjzzxqvvqj " * 4)]
    short = [dialog("cats", 0, *KNOWN, *KNOWN)]
    alone = bits_by_source({"ours": ours}, None, long).rows[0].figures["cats"].value
    both = bits_by_source({"ours": ours, "plain": plain}, None, long).rows
    assert [row.model for row in both] == ["ours", "plain"]
    assert both[0].figures == bits_by_source({"ours": ours}, None, short).rows[0].figures
    assert both[0].figures["cats"].value < alone


# The command


def test_the_command_shows_three_tables_that_fit_120_columns(
    tmp_path: Path, generator_folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bot.cli import main

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("KITH_GENERATOR", generator_folder)
    monkeypatch.setenv("KITH_THREADS", "1")
    data = written(tmp_path, [*some(), *(dialog(name, 0, *KNOWN) for name in ("e", "f", "synthetic_persona_chat"))])
    command = ["evaluate", "generator", "--data", str(data), "--most", "2", "--replies", "4", "--identity", "1"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "Bits per character, 7 dialogs" in out
    assert "Replies in 4 contexts" in out
    assert "Asked who it is" in out
    assert max(map(len, out.splitlines())) <= 120
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bits"]["dialogs"][ALL] == 7
    assert document["replies"]["rows"][0]["model"] == PEOPLE
