"""What an evaluation brings, made up: two sources, our models and their baselines."""

import math
from dataclasses import replace
from datetime import UTC, datetime

from bot.ablation import CROSSED, GENERATOR, RANKER, RETRIEVAL, WHOLE, BotFigures, Line, Talked, Transcript
from bot.cli.run_file import DataFile, Run
from generation.evaluate import Bits, GeneratorFigures
from generation.replies import Replies
from ranking.echo import Echo
from ranking.evaluate import BASELINE, RankingFigures
from ranking.fit import Fit
from ranking.metrics import Bin
from ranking.policy import Weights
from ranking.rated import Rated
from ranking.selection import Retrieved, Selected
from storage.estimates import Estimate, Row


def estimate(value: float) -> Estimate:
    """Give or take a tenth."""
    return Estimate(value, value - 0.1, value + 0.1)


def row(model: str, against: float | None = None, figure: str = "", **figures: float) -> Row:
    """A row; `against` is the difference of `figure`, or of the first one."""
    found = {name.replace("_", " "): estimate(value) for name, value in figures.items()}
    compared = figure or next(iter(found))
    return Row(model, found, {} if against is None else {compared: estimate(against)})


def selected(source: str, questions: int) -> Selected:
    """The ranker's cosine is best; what sees replies alone is at chance."""
    shares = {
        "chance": 0.05,
        "reply alone": 0.06,
        "BM25, last message": 0.2,
        "plain MiniLM, context": 0.4,
        BASELINE: 0.5,
        "retriever": 0.65,
        "ranker, P(like)": 0.6,
        "ranker, what it expects": 0.75,
    }
    rows = [
        Row(
            model,
            {"R@1": estimate(share), "R@5": estimate(0.25 if share < 0.1 else 0.9)},
            {
                key: estimate(share - other)
                for key, other in {"R@1": 0.5, "R@1 less retriever": 0.65}.items()
                if model != BASELINE and not key.endswith(model)
            },
        )
        for model, share in shares.items()
    ]
    return Selected(source, questions, questions, rows, {model: (share, 1.0) for model, share in shares.items()})


def rated(unseen: bool, gap: float) -> Rated:
    """The ranker is above wording by `gap`, and above reply length by 0.05 more."""
    rows = [
        row("majority", -0.1, AUC=0.5, ECE=0.01),
        row("wording", None, AUC=0.6, ECE=0.02),
        row("ranker", gap, AUC=0.6 + gap, ECE=0.03),
    ]
    rows[-1] = replace(rows[-1], against={**rows[-1].against, "AUC less reply length": estimate(gap + 0.05)})
    return Rated("thumbs", unseen, 120, 30, 0.4, rows, [Bin(0.2, 0.3, 60), Bin(0.8, 0.7, 60)], 0.02)


def ranking_figures() -> RankingFigures:
    """Of one retriever and one ranker."""
    echo = Echo(
        40,
        90,
        [
            row("plain MiniLM, last message", -2.0, mean_rank=0.0),
            row("plain MiniLM, context", None, mean_rank=2.0),
            row("retriever", 20.5, mean_rank=22.5),
        ],
    )
    return RankingFigures(
        {"retriever": "v1", "ranker": "v2"},
        [selected("all sources", 40), selected("films", 20), selected("music", 20)],
        Retrieved(40, 39, [row(BASELINE, None, MAP=0.2), row("retriever", 0.15, MAP=0.35)]),
        echo,
        [rated(False, 0.05), rated(True, 0.2)],
        {"selection": 3.0, "echo": 1.0, "votes": 2.0},
    )


def generator_figures() -> GeneratorFigures:
    """Of one generator, better than the 5-gram model on one source of two."""
    bits = Bits(
        {"films": 5, "music": 5, "all sources": 10},
        [
            Row(
                "starter",
                {name: estimate(value) for name, value in (("films", 1.5), ("music", 2.0), ("all sources", 1.75))},
                {name: estimate(value) for name, value in (("films", -0.5), ("music", 0.0), ("all sources", -0.25))},
            ),
            Row("5-gram", {name: estimate(2.0) for name in ("films", "music", "all sources")}),
        ],
    )
    said = [Row("people", {"words": estimate(9.0), "distinct-2": estimate(0.9)})]
    less = {"words": estimate(-2.0), "distinct-2": estimate(-0.1)}
    said.append(Row("starter", {"words": estimate(7.0), "distinct-2": estimate(0.8)}, less))
    return GeneratorFigures({"starter": "v3"}, bits, Replies(12, 80, said), {"bits": 2.0})


def policy() -> Fit:
    """Of two features fitted to votes, and one that was set."""
    auc = {"value": 0.78, "low": 0.76, "high": 0.8}
    facts = {
        "votes": 1200,
        "liked": 400,
        "dialogs": 90,
        "features": ["ranker", "echo"],
        "spread": {"ranker": 2.0, "echo": 0.05},
        "auc_on_the_other_half": {"fitted": auc, "ranker alone": {**auc, "value": 0.77}},
    }
    return Fit(Weights("fitted 2026-01-01", {"echo": -10.0, "ranker": 0.4, "retrieved": 0.25}, {"unsafe": 1.0}), facts)


def talked(*others: str) -> Talked:
    """The whole bot is liked more than the generator alone; the others are like it."""
    shares = {**dict.fromkeys(others, math.nan), RETRIEVAL: 0.0, GENERATOR: 1.0, RANKER: 0.2, WHOLE: 0.1}
    gaps = {GENERATOR: -0.3, RETRIEVAL: -0.05, RANKER: 0.0, **dict.fromkeys(others, 0.2)}
    rows = []
    for name, generated in shares.items():
        figures = {"liked": estimate(0.4 + gaps.get(name, 0.0)), "words": estimate(8.0)}
        figures |= {"generated": estimate(generated), "listening": estimate(0.0), "fallback": estimate(0.0)}
        rows.append(Row(name, figures, {} if name == WHOLE else {key: estimate(gaps[name]) for key in figures}))
    return Talked(20, 10, rows)


def bot_figures() -> BotFigures:
    """Of two kinds of talk, with one dialog of a turn."""
    line = Line("hello", "Hello yourself.", "retrieval", 0.25)
    return BotFigures(
        {"ranker": "v2", "judge": "v4"},
        {"held-back places": talked("people"), "scripted users": replace(talked(), replies=30)},
        (Transcript("a greeting/1", "a greeting", (line,)),),
        {"held-back places": 1.0},
        CROSSED,
    )


def run() -> Run:
    """All of it."""
    return Run(
        made=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        settings={"ranking": {"seed": 7}, "abstain_below": 0.4},
        data=(DataFile("talk.jsonl", "ab" * 32, 1234),),
        versions={"python": "3.11"},
        models={"retriever": "v1", "ranker": "v2", "generator starter": "v3"},
        seconds={"selection": 3.0},
        ranking=ranking_figures(),
        pool=[
            Row(f"{t:.2f}", {"found": estimate(0.9 - t), "of the right situation": estimate(t)})
            for t in (0.3, 0.4, 0.5)
        ],
        generator=generator_figures(),
        policy=policy(),
        bot=bot_figures(),
    )
