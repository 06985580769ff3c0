"""Training a generator, a tiny one: what moves, what is learnt and written, that a run which was stopped or killed goes
on to the same weights, and that two processes train one model."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loopback import free_port
from safetensors.torch import load_file
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from generation.generator import GptGenerator
from generation.sampling import GeneratorError, Sampling
from generation.train import GeneratorTraining, MuonAndAdamW, arguments, read_facts, train_generator, trapezoid
from ranking.training import checkpoints_of
from storage.corpora import CorpusError
from storage.dialog import Context, Message

pytest_plugins = ("tiny",)

ROOT = Path(__file__).parent.parent

KITH = "import sys; from bot.cli import main; sys.exit(main())"

KILLED = """
import os, signal
from transformers import TrainerState

whole = TrainerState.save_to_json

def first(state, path):
    if state.global_step > 10:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(state, path)

TrainerState.save_to_json = first
"""
"""What ends a run by SIGKILL after ten steps with a checkpoint and ten more, when the next one lacks its last file."""

A_MOMENT = 1e-9
"""Minutes after which a run has had its time at its first step."""

Weights = dict[str, torch.Tensor]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty dialogs about dinner, four of them held back."""
    turns = [{"role": "a", "text": "what shall we eat"}, {"role": "b", "text": "Pizza with my cat!"}]
    rows = [
        {"id": f"d{i}", "lang": "en", "split": "valid" if i % 10 == 0 else "train", "turns": turns * (1 + i % 3)}
        for i in range(40)
    ]
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def run(data: Path, tmp_path: Path) -> GeneratorTraining:
    return GeneratorTraining(
        data=(data,), out=tmp_path / "generator", vocab_size=300, width=32, layers=1, length=64,
        batch_rows=2, accumulate=2, steps=6,
    )  # fmt: skip


def weights(folder: Path) -> Weights:
    return dict(load_file(folder / "model.safetensors"))


def at_the_end(run: GeneratorTraining) -> Weights:
    """The weights of the last checkpoint, in full precision."""
    return weights(checkpoints_of(run.out) / f"checkpoint-{run.steps}")


def ends_alike(run: GeneratorTraining, other: GeneratorTraining) -> None:
    """To the bit, in full precision and as written."""
    for one, two in ((at_the_end(run), at_the_end(other)), (weights(run.out), weights(other.out))):
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            assert torch.equal(tensor, two[name]), name


@pytest.fixture(autouse=True)
def kept_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of runs that came to their end, too: the model is written in bf16."""
    monkeypatch.setattr("generation.train.end", lambda out, finished: None)


def test_a_model_is_made_trained_measured_and_written(run: GeneratorTraining) -> None:
    before = train_generator(replace(run, steps=1, out=run.out.parent / "untrained"))
    measured = train_generator(replace(run, steps=30, muon_lr=2e-2, adamw_lr=3e-2))
    assert measured["talks"] < before["talks"] / 2
    written = json.loads((run.out / "training.json").read_text())
    assert written["bits_per_character"] == measured
    assert (written["steps"], written["finished"], written["dialogs"]) == ("30 of 30", True, {"talks": 36})
    assert written["train_tokens_seen"] == 30 * 64 * 4
    assert str(run.out.parent) not in (run.out / "training.json").read_text()
    assert {tensor.dtype for tensor in weights(run.out).values()} == {torch.bfloat16}
    generator = GptGenerator(str(run.out), Sampling(1, 20, top_p=1e-6))
    ((said,),) = generator.propose([Context((Message("user", "what shall we eat"),))])
    assert said.text == "Pizza with my cat!"


@pytest.mark.parametrize("from_bert", [False, True])
def test_a_run_that_was_stopped_and_goes_on_ends_like_one_that_was_not(
    run: GeneratorTraining, bert_folder: str, from_bert: bool
) -> None:
    run = replace(run, encoder=bert_folder if from_bert else "")
    train_generator(run)
    stopped = replace(run, out=run.out.parent / "stopped", minutes=A_MOMENT)
    for steps in ("1 of 6", "2 of 6"):
        train_generator(stopped)
        written = json.loads((stopped.out / "training.json").read_text())
        assert (written["steps"], written["finished"]) == (steps, False)
    resumed = replace(stopped, minutes=0.0)
    train_generator(resumed)
    ends_alike(run, resumed)


def typed(run: GeneratorTraining) -> list[str]:
    """The command line of such a run."""
    numbers = ("vocab_size", "width", "layers", "length", "batch_rows", "accumulate", "steps")
    options = [f"--{name.replace('_', '-')}={getattr(run, name)}" for name in numbers]
    return ["train", "generator", "--data", str(run.data[0]), "--out", str(run.out), *options]


def python(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def test_a_run_that_was_killed_and_goes_on_ends_like_one_that_was_not(run: GeneratorTraining) -> None:
    run = replace(run, width=64, steps=25)
    train_generator(run)
    killed = replace(run, out=run.out.parent / "killed")
    ended = python("-c", KILLED + KITH, *typed(killed))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    ten, twenty = (checkpoints_of(killed.out) / f"checkpoint-{steps}" for steps in (10, 20))
    assert {file.name for file in ten.iterdir()} - {file.name for file in twenty.iterdir()} == {"trainer_state.json"}
    assert not (killed.out / "model.safetensors").exists()
    train_generator(killed)
    ends_alike(run, killed)


def test_two_processes_train_one_model_as_one_with_twice_the_rows_does(run: GeneratorTraining) -> None:
    two = replace(run, width=64, batch_rows=1, steps=0)
    rules = ["--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}", "--no-python"]
    command = [sys.executable, "-c", KITH, *typed(two), "--json"]
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    ended = python("-m", "torch.distributed.run", *rules, *command, GLOO_SOCKET_IFNAME=loopback)
    assert ended.returncode == 0, ended.stderr
    written = json.loads((two.out / "training.json").read_text())
    assert ended.stdout.count('"talks"') == ended.stderr.count("rows of 64 tokens") == 1
    assert (written["processes"], written["steps"], written["finished"]) == (2, "3 of 3", True)
    assert written["train_tokens_seen"] == 3 * 64 * 4
    assert not checkpoints_of(two.out).exists()
    GptGenerator(str(two.out), Sampling(1, 20)).propose([Context((Message("user", "what shall we eat"),))])

    def distance(rows: int) -> float:
        """From what one process comes to."""
        alone = replace(two, out=two.out.parent / f"alone{rows}", batch_rows=rows, steps=3)
        train_generator(alone)
        other = weights(two.out)
        return sum(float((tensor - other[name]).float().norm()) for name, tensor in weights(alone.out).items())

    assert distance(rows=2) < distance(rows=1) / 2


def test_a_model_that_begins_with_a_bert_learns_and_is_written_like_any_other(
    run: GeneratorTraining, bert_folder: str
) -> None:
    train_generator(replace(run, encoder=bert_folder, steps=30, muon_lr=2e-2, adamw_lr=3e-2))
    settings = json.loads((run.out / "training.json").read_text())["settings"]
    assert settings["encoder"] == Path(bert_folder).name
    assert json.loads((run.out / "config.json").read_text())["model_type"] == "bert"
    generator = GptGenerator(str(run.out), Sampling(1, 20, top_p=1e-6))
    ((said,),) = generator.propose([Context((Message("user", "what shall we eat"),))])
    assert said.text == "Pizza with my cat!"


def test_a_mistaken_encoder_is_told_before_anything_is_read(run: GeneratorTraining, bert_folder: str) -> None:
    with pytest.raises(GeneratorError, match="a length of 256 is too long"):
        train_generator(replace(run, data=(run.out / "nowhere",), encoder=bert_folder, length=256))
    assert not run.out.exists()


@pytest.mark.parametrize("computes", [False, True])
def test_on_a_processor_bf16_is_used_where_it_computes_in_it(
    run: GeneratorTraining, computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": computes})
    assert arguments(run, 6).bf16 is computes


@pytest.mark.parametrize(
    ("muon_lr", "adamw_lr", "moves"),
    [
        (1e-2, 1e-2, lambda name: True),
        (1e-2, 0.0, lambda name: "proj" in name),
        (0.0, 1e-2, lambda name: "proj" not in name),
    ],
)
def test_under_the_trainer_muon_moves_the_matrices_and_adamw_all_else(
    run: GeneratorTraining, generator_folder: str, muon_lr: float, adamw_lr: float, moves: Callable[[str], bool]
) -> None:
    onward = replace(run, base=generator_folder, muon_lr=muon_lr, adamw_lr=adamw_lr, steps=2, weight_decay=0.0)
    train_generator(onward)
    before, after = weights(Path(generator_folder)), at_the_end(onward)
    assert before.keys() == after.keys()
    assert len(before) > 9
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(filter(moves, before))


def test_embeddings_are_adamws_whatever_they_are_called() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=8, n_embd=8, n_layer=1, n_head=2))
    names = {id(p): name for name, p in model.named_parameters()}
    muon, adamw = (
        {names[id(p)] for group in part.param_groups for p in group["params"]}
        for part in MuonAndAdamW(model, 0.1, 0.1, 0.0).parts
    )
    assert muon == {f"transformer.h.0.{n}.weight" for n in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}
    assert {"transformer.wte.weight", "transformer.wpe.weight", "transformer.ln_f.bias"} <= adamw
    assert muon | adamw == set(names.values())
    assert not muon & adamw


def test_a_bert_that_writes_has_its_tables_and_its_output_with_adamw() -> None:
    """The output layer is the table of words again, and belongs to one of the two only."""
    config = BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, is_decoder=True
    )
    model = BertLMHeadModel(config)
    names = {id(p): name for name, p in model.named_parameters()}
    muon, adamw = (
        [names[id(p)] for group in part.param_groups for p in group["params"]]
        for part in MuonAndAdamW(model, 0.1, 0.1, 0.0).parts
    )
    assert len(muon) == 7
    assert all(".layer.0." in name or "transform.dense" in name for name in muon)
    assert {f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")} < set(adamw)
    assert sorted(muon + adamw) == sorted(names.values())


def test_the_optimizers_state_comes_back_and_its_groups_are_the_ones_that_schedulers_see() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    optimizer = MuonAndAdamW(model, 0.1, 0.1, 0.0)
    model(torch.ones(1, 4)).square().sum().backward()
    optimizer.step()
    other = MuonAndAdamW(model, 0.3, 0.3, 0.0)
    other.load_state_dict(optimizer.state_dict())
    for group in other.param_groups:
        group["lr"] = 0.0
    before = [p.clone() for p in model.parameters()]
    other.step()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@given(st.integers(1, 5000), st.data())
def test_the_learning_rate_rises_stays_and_falls_to_nothing(steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < trapezoid(step, steps) <= 1
    assert trapezoid(steps, steps) == 0
    if steps >= 100:
        assert trapezoid(0, steps) < trapezoid(steps // 50, steps) == trapezoid(steps // 2, steps) == 1
        assert trapezoid(steps - 1, steps) < 0.1


def test_the_facts_of_a_folders_personas_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text('name = "b"\nfacts = ["I am b."]\n')
    (tmp_path / "a.toml").write_text('name = "a"\nfacts = ["I am a.", "I sing."]\n')
    assert read_facts(tmp_path) == {"a": ("I am a.", "I sing."), "b": ("I am b.",)}


@pytest.mark.parametrize("content", ["facts = [", 'name = "a"\n', "facts = 7"])
def test_a_persona_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(CorpusError, match=f"{tmp_path} holds no persona"):
        read_facts(tmp_path)
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(CorpusError, match=r"a\.toml cannot be read as a persona"):
        read_facts(tmp_path)


def test_without_dialogs_in_the_language_there_is_nothing_to_train_on(run: GeneratorTraining) -> None:
    with pytest.raises(ValueError, match="No dialogs to train on"):
        train_generator(replace(run, lang="ru"))
    with pytest.raises(CorpusError, match="does not exist"):
        train_generator(replace(run, data=(run.out / "nowhere",)))


def test_a_run_says_how_big_it_is(run: GeneratorTraining, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "generation.train")
    train_generator(replace(run, steps=1, loss_on="assistant"))
    assert "rows of 64 tokens, 1 steps" in caplog.text
