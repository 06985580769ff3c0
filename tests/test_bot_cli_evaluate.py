"""`kith evaluate`: its tables, its file, and what it says when something is missing."""

import gzip
import hashlib
import io
import json
import math
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from figures import bot_figures, estimate, generator_figures, ranking_figures, run

from bot.cli import main, measuring, tables
from bot.cli.run_file import as_json, data_files, save_run, versions, write_whole
from bot.settings import Settings, UserError, env_name
from ranking.evaluate import RankingEvaluation
from ranking.metrics import Bin
from storage.corpora import CorpusError, read_dialogs
from storage.dialog import PoolEntry

pytest_plugins = ("tiny",)

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the default ones, in an empty folder, and tables as wide as in a pipe, whatever ran before."""
    monkeypatch.delenv("COLUMNS", raising=False)
    for field in Settings.model_fields:
        monkeypatch.delenv(env_name(field), raising=False)
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path / "kith"))
    monkeypatch.chdir(tmp_path)


def printed(show: Callable[[], None]) -> str:
    with redirect_stdout(io.StringIO()) as out:
        show()
    return out.getvalue()


# Tables


def test_tables_fit_120_columns_with_every_figure_on_one_line() -> None:
    out = printed(lambda: tables.show_ranking(ranking_figures()))
    assert max(map(len, out.splitlines())) <= 120
    assert "Selection, 1 in 20: films, 20 contexts of 20 dialogs" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "thumbs (new wordings) +0.200 [+0.100, +0.300]" in lines
    assert "thumbs (new wordings) +0.250 [+0.150, +0.350]" in lines[lines.index("AUC less reply length") :]
    assert "Retrieval by the last message alone: the true reply among 39, 40 contexts" in " ".join(lines)


def test_a_difference_is_headed_by_what_it_is_to_and_has_a_column_for_those_who_have_it() -> None:
    lines = [
        " ".join(line.split())
        for line in printed(lambda: tables.show_all_differences(ranking_figures().selection)).splitlines()
    ]
    heads = [place for place, line in enumerate(lines) if " less " in line]
    assert [lines[place] for place in heads] == ["R@1 less plain MiniLM, last message", "R@1 less retriever"]
    assert [lines[place + 2] for place in heads] == [
        "source retriever ranker, P(like) ranker, what it expects",
        "source ranker, P(like) ranker, what it expects",
    ]


def test_figures_have_three_decimals_or_one_where_there_are_tens() -> None:
    assert tables.cell(estimate(0.5)) == "0.500 [0.400, 0.600]"
    assert tables.cell(estimate(0.05), signed=True) == "+0.050 [-0.050, +0.150]"
    assert tables.cell(estimate(9.93)) == "9.9 [9.8, 10.0]"
    assert tables.cell(estimate(math.nan)).strip() == "–"


@pytest.mark.parametrize("model", ["retriever", "ranker", "ranker hub/model, what it expects", "starter"])
def test_models_that_are_measured_are_ours(model: str) -> None:
    assert tables.is_ours(model)
    assert not tables.is_ours("reply alone")


# The run's file


def test_the_file_of_a_run_has_everything_and_is_json_to_anybody(tmp_path: Path) -> None:
    file = save_run(tmp_path / "deep" / "down", run())
    assert file.name == "run-20260102-030405.json"
    found = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["made"] == "2026-01-02T03:04:05+00:00"
    assert found["data"] == [{"name": "talk.jsonl", "sha256": "ab" * 32, "bytes": 1234}]
    whole = found["ranking"]["selection"][0]
    assert whole["rows"][-1]["model"] == "ranker, what it expects"
    assert whole["rows"][-1]["figures"]["R@1"] == {"value": 0.75, "low": 0.65, "high": 0.85}
    assert whole["rows"][-1]["against"]["R@1"]["value"] == 0.25
    assert found["ranking"]["retrieval"]["rows"][-1]["figures"]["MAP"]["value"] == 0.35
    assert found["ranking"]["votes"][0]["bins"][0] == {"predicted": 0.2, "liked": 0.3, "items": 60}
    assert [part.name for part in (tmp_path / "deep" / "down").iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, None),
        (math.inf, None),
        (1 / 3, 0.333333),
        (Bin(0.5, 0.25, 4), {"predicted": 0.5, "liked": 0.25, "items": 4}),
        ((1, "a"), [1, "a"]),
        (Path("a/b"), "a/b"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    ],
)
def test_values_become_json(value: Any, shown: Any) -> None:
    assert as_json({"it": value}) == {"it": shown}


def test_data_files_are_named_by_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(b"two")
    (tmp_path / "a.jsonl.gz").write_bytes(b"one")
    (tmp_path / "README.md").write_bytes(b"no data")
    found = data_files([tmp_path, tmp_path / "b.jsonl"])
    assert [Path(file.name).name for file in found] == ["a.jsonl.gz", "b.jsonl"]
    assert found[1].sha256 == hashlib.sha256(b"two").hexdigest()
    with pytest.raises(CorpusError, match="nowhere"):
        data_files([tmp_path / "nowhere.jsonl"])


def test_versions_name_what_figures_depend_on() -> None:
    found = versions()
    assert {"python", "machine", "kith", "torch", "scikit-learn", "bm25s"} <= set(found)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        write_whole(tmp_path / "file" / "report.html", "")


# The commands


def test_everything_is_measured_once_and_shown_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[RankingEvaluation] = []
    data = tmp_path / "talk.jsonl"
    data.write_text("{}\n")

    def evaluate(what: RankingEvaluation) -> Any:
        asked.append(what)
        return ranking_figures()

    monkeypatch.setattr("ranking.evaluate.evaluate_ranking", evaluate)
    monkeypatch.setattr("generation.evaluate.evaluate_generator", lambda _: generator_figures())
    monkeypatch.setattr(measuring, "pool_rows", lambda *_: run().pool)
    monkeypatch.setattr("bot.ablation.evaluate_bot", lambda *_: run().bot)
    options = ["--data", str(data), "--votes", str(data), "--retriever", "mine", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "all", *options, "--quick", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert (asked[0].retrievers, asked[0].rankers, asked[0].seed) == (("mine",), ("",), 3)
    assert asked[0].positions < 100
    [kept] = (tmp_path / "out").glob("run-*.json")
    found = json.loads(kept.read_text())
    assert found["settings"]["ranking"]["seed"] == 3
    assert found["data"][0]["sha256"] == hashlib.sha256(b"{}\n").hexdigest()
    assert "How good is Kith" in (tmp_path / "out" / "report.html").read_text()
    assert "> hello\n\nHello yourself. `retrieval 0.25`" in (tmp_path / "out" / "dialogs.md").read_text()
    for title in (
        "Selection, 1 in 20",
        "Echo",
        "Votes",
        "Pool",
        "Bits per character",
        "Replies",
        "The whole bot",
        str(kept),
    ):
        assert title in out
    assert main(["evaluate", "all", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"] == found["ranking"]


@pytest.fixture
def ours(tmp_path: Path) -> tuple[Path, Path]:
    """A slice of our own data: 30 dialogs of Kith's voice, 24 of them held back, and 60 judgements, half of them so."""
    voice = list(read_dialogs(ROOT / "generation" / "voice"))
    taken = [[d for d in voice if d.split == split][:count] for split, count in (("valid", 24), ("train", 6))]
    dialogs = [
        {"id": d.id, "source": d.source, "split": d.split, "turns": [
            {"role": "a" if m.role == "user" else "b", "text": m.text} for m in d.messages[:6]
        ]} for part in taken for d in part
    ]  # fmt: skip
    with gzip.open(ROOT / "ranking" / "starter" / "judgements.jsonl.gz", "rt") as stream:
        judged = [json.loads(line) for line in islice(stream, 60)]
    votes = [{**vote, "label": n // 2 % 2, "split": ("train", "valid")[n % 2]} for n, vote in enumerate(judged)]
    files = tmp_path / "dialogs.jsonl", tmp_path / "votes.jsonl"
    for file, records in zip(files, (dialogs, votes), strict=True):
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return files


def test_a_quick_look_at_everything_is_whole(
    ours: tuple[Path, Path],
    retriever_folder: str,
    ranker_folder: str,
    generator_folder: str,
    bi_encoder_folder: str,
    quick_toxicity: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is put in the place of what measures; the models are tiny, and the pool has six situations."""
    texts = {f"food/{n}": (f"what shall we eat {n}", f"i am hungry {n}") for n in range(6)}
    pool = [PoolEntry(name, f"Soup with {name}.", contexts, "curated") for name, contexts in texts.items()]
    monkeypatch.setattr("bot.assemble.curated", lambda: pool)
    monkeypatch.setattr("ranking.toxicity.curated", lambda: pool)
    monkeypatch.setattr("ranking.baselines.packaged_minilm", lambda: bi_encoder_folder)
    monkeypatch.setenv("KITH_THREADS", "1")
    dialogs, votes = map(str, ours)
    models = ["--retriever", retriever_folder, "--ranker", ranker_folder, "--generator", generator_folder]
    options = ["--data", dialogs, "--votes", votes, *models, "--judge", ranker_folder, "--out", str(tmp_path / "out")]
    assert main(["evaluate", "all", *options, "--quick"]) == 0
    assert "The whole bot: scripted users" in capsys.readouterr().out
    [kept] = (tmp_path / "out").glob("run-*.json")
    found = json.loads(kept.read_text())
    assert [file["sha256"] for file in found["data"]] == [hashlib.sha256(f.read_bytes()).hexdigest() for f in ours]
    assert found["ranking"]["selection"][0]["questions"] >= 20
    assert found["ranking"]["votes"][0]["replies"] == 30
    assert {"retriever", "ranker", "bot's policy", "bot's judge"} <= found["models"].keys()
    assert {"selection", "echo", "votes", "pool", "generator, bits", "bot, scripted users"} <= found["seconds"].keys()
    assert found["pool"] and found["generator"]["bits"]["dialogs"]["all sources"] == 6
    assert found["generator"]["replies"]["contexts"] == 8
    assert found["policy"]["facts"]["votes"] > 1000 and "toxic" in found["policy"]["weights"]["vetoes"]
    assert {kind: talked["replies"] for kind, talked in found["bot"]["talks"].items()} == {
        "held-back places": 12, "scripted users": 20
    }  # fmt: skip
    report = (tmp_path / "out" / "report.html").read_text()
    headings = re.findall("<h2>(.*?)</h2>", report)
    assert headings == [
        "Response selection", "Echo", "Votes", "The pool", "The generator", "The policy", "The whole bot",
        "How this was measured",
    ]  # fmt: skip
    assert report.count("<figure>") == 11
    assert (tmp_path / "out" / "dialogs.md").read_text().count("\n> ") == 20


@pytest.mark.parametrize("part", ["ranking", "generator", "bot"])
def test_a_part_has_a_file_of_its_own_where_a_folder_is_named(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures: Any = {"ranking": ranking_figures(), "generator": generator_figures(), "bot": bot_figures()}[part]
    where = {"ranking": "ranking.evaluate", "generator": "generation.evaluate", "bot": "bot.ablation"}[part]
    monkeypatch.setattr(f"{where}.evaluate_{part}", lambda *_: figures)
    data, out = tmp_path / "talk.jsonl", tmp_path / "out"
    data.write_text("{}\n")
    options = ["--data", str(data), *(["--votes", str(data)] if part == "ranking" else []), "--seed", "3"]
    assert main(["evaluate", part, *options]) == 0
    assert not out.exists()
    capsys.readouterr()
    assert main(["evaluate", part, *options, "--out", str(out)]) == 0
    [kept] = out.glob("run-*.json")
    assert str(kept) in capsys.readouterr().out
    found = json.loads(kept.read_text())
    assert found.keys() == {"made", "settings", "data", "versions", "models", "seconds", part}
    assert found[part] == as_json(figures)
    assert (found["settings"][part]["seed"], found["models"]) == (3, dict(figures.models))
    assert found["data"] == [{"name": str(data), "sha256": hashlib.sha256(b"{}\n").hexdigest(), "bytes": 3}]


@pytest.mark.parametrize(
    ("library", "module"), [("bm25s", "ranking.baselines"), ("matplotlib", "bot.cli.evaluate_plots")]
)
def test_a_library_that_is_missing_is_one_sentence_and_code_2(
    library: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk.jsonl").write_text("{}\n")
    monkeypatch.setitem(sys.modules, library, None)
    for name in [name for name in sys.modules if name in (module, "ranking.evaluate", "bot.cli.evaluate_page")]:
        monkeypatch.delitem(sys.modules, name)
    talk = str(tmp_path / "talk.jsonl")
    assert main(["evaluate", "all", "--data", talk, "--votes", talk, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err == f"kith: This needs {library}: pip install -e '.[evaluate]' where Kith's source is.\n"
    assert not (tmp_path / "out").exists()


def test_data_that_is_not_there_is_one_sentence_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "all", "--data", "no.jsonl", "--votes", "no.jsonl", "--out", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "no.jsonl" in err
    assert err.count("\n") == 1
