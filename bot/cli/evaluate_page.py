"""A run of `kith evaluate all` as one page that needs nothing besides itself: pictures, what is seen in them, and all
numbers with their intervals."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from bot.cli import evaluate_plots as plots
from bot.cli import sentences
from bot.cli.page import Listing, Section, as_html, cell, facts, whole_page
from bot.cli.run_file import Run, as_json
from bot.cli.tables import title

if TYPE_CHECKING:
    from bot.ablation import BotFigures
    from generation.evaluate import GeneratorFigures
    from ranking.fit import Fit
    from storage.estimates import Row


def page(run: Run) -> str:
    """The whole page."""
    return whole_page(
        f"Kith, measured {run.made:%Y-%m-%d}", "wide", [_head(run), *map(as_html, sections(run)), _how(run)]
    )


def sections(run: Run) -> list[Section]:
    """What the page tells, in its order."""
    found = run.ranking
    rated = [part for part in found.votes if not part.unseen]
    abstains = float(run.settings["abstain_below"])
    return [
        Section(
            "Response selection",
            sentences.SELECTION,
            [
                (plots.recall_bars(found.selection), sentences.recall_at_one(found.selection)),
                (plots.recall_curves(found.selection), sentences.recall(found.selection)),
            ],
            {**{title(part): part.rows for part in found.selection}, title(found.retrieval): found.retrieval.rows},
            [sentences.retrieval(found.retrieval)],
        ),
        Section(
            "Echo",
            sentences.ECHO,
            [(plots.echo_bars(found.echo), sentences.echo(found.echo))],
            {title(found.echo): found.echo.rows},
        ),
        Section(
            "Votes",
            sentences.VOTES,
            [
                (plots.vote_bars(found.votes), sentences.votes(found.votes)),
                (plots.reliability(rated), sentences.calibration(rated)),
            ],
            {title(part): part.rows for part in found.votes},
        ),
        Section(
            "The pool",
            sentences.POOL,
            [(plots.pool_lines(run.pool, abstains), sentences.pool(run.pool, abstains))],
            {"By threshold of similarity": run.pool},
        ),
        _generator(run.generator),
        _policy(run.policy),
        _bot(run.bot),
    ]


def _generator(found: "GeneratorFigures") -> Section:
    pictures = [(plots.bit_bars(found.bits), sentences.bits(found.bits))]
    tables = {"Bits per character": _turned(found.bits.rows, "5-gram")}
    if found.replies:
        pictures.append((plots.reply_bars(found.replies), sentences.replies(found.replies)))
        told = f"Replies in {found.replies.contexts} contexts, distinct-n of {found.replies.words} words"
        tables[told] = _turned(found.replies.rows, "people")
    if found.identity:
        tables["Asked who it is, as an opening and later in a dialog"] = _turned(found.identity, "")
    return Section("The generator", sentences.GENERATOR, pictures, tables)


def _policy(found: "Fit") -> Section:
    """The fitted weights as a picture, what votes had no say in as words."""
    from storage.estimates import NONE, Estimate, Row

    weights, vetoes = found.weights.weights, found.weights.vetoes
    spread = found.facts.get("spread", {})
    rows = [
        Row(
            name,
            {
                "weight": Estimate(weights[name], NONE.low, NONE.high),
                "standard deviation": Estimate(spread.get(name, NONE.value), NONE.low, NONE.high),
            },
        )
        for name in found.strengths
    ]
    fitted = found.facts.get("features", ())
    lines = [(name, f"weight {weight:g}") for name, weight in weights.items() if name not in fitted]
    lines += [(name, f"never said from {limit:g} on") for name, limit in vetoes.items()]
    return Section(
        "The policy",
        sentences.POLICY,
        [(plots.policy_bars(found), sentences.policy(found))],
        {"Weights": rows} if rows else {},
        listings={"Kept or set, not fitted": Listing(("feature", ""), lines)} if lines else {},
    )


def _bot(found: "BotFigures") -> Section:
    from bot.ablation import WHOLE

    pictures = [
        (plots.ablation_bars(found.talks), sentences.ablation(found.talks)),
        (plots.source_mix(found.talks), sentences.SOURCES),
    ]
    tables = {f"{kind}, {part.dialogs} dialogs": _turned(part.rows, WHOLE) for kind, part in found.talks.items()}
    return Section("The whole bot", f"{sentences.BOT} {found.policy}", pictures, tables)


def _turned(rows: "Sequence[Row]", baseline: str) -> "list[Row]":
    """Figures down, models across: where there are more figures than models."""
    from storage.estimates import Row

    return [
        Row(
            name,
            {row.model: row.figures[name] for row in rows},
            {f"{row.model} less {baseline}": row.against[name] for row in rows if name in row.against},
        )
        for name in rows[0].figures
    ]


def _head(run: Run) -> str:
    models = ", ".join(f"{name} {version}" for name, version in run.models.items())
    return (
        f"<h1>How good is Kith?</h1>\n<p class='quiet'>Measured {run.made:%Y-%m-%d %H:%M} UTC. Models: "
        f"{escape(models)}.</p>\n<p>{escape(sentences.INTERVALS)}</p>\n{_summary(run)}"
    )


def _summary(run: Run) -> str:
    """The figures that matter most, each with its baseline."""
    lines = [
        f"<tr><td>{escape(what)}<br><i>against {escape(name)}</i></td><td>{cell(ours)}</td><td>{cell(theirs)}</td>"
        f"<td>{cell(gap, signed=True)}</td></tr>"
        for what, ours, theirs, name, gap in sentences.headlines(run)
    ]
    heads = "".join(f"<th>{name}</th>" for name in ("", "ours", "baseline", "difference"))
    return f'<div class="scroll"><table><tr>{heads}</tr>{"".join(lines)}</table></div>'


def _how(run: Run) -> str:
    seconds = {name: f"{value:.0f} s" for name, value in run.seconds.items()}
    files = ((file.name, f"{file.sha256} ({file.bytes:,} bytes)") for file in run.data)
    return "\n".join(
        [
            "<h2>How this was measured</h2>",
            f"<p>The same numbers are in {escape(run.name)}, for programs.</p>",
            facts("Settings", _flat(run.settings)),
            facts("Time", seconds.items()),
            facts("Versions", run.versions.items()),
            facts("Data, by SHA-256", files),
        ]
    )


def _flat(settings: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    """Settings of settings with both names."""
    for name, value in as_json(settings).items():
        inside = value.items() if isinstance(value, dict) else [("", value)]
        yield from ((f"{name} {part}".strip(), found) for part, found in inside)
