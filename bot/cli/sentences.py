"""What the report says about its pictures: one sentence each, made of the figures in it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from bot.cli.run_file import Run
from bot.cli.tables import cell, is_ours, label, shown

if TYPE_CHECKING:
    from bot.ablation import Talked
    from generation.evaluate import Bits
    from generation.replies import Replies
    from ranking.echo import Echo
    from ranking.fit import Fit
    from ranking.rated import Rated
    from ranking.selection import Retrieved, Selected
    from storage.estimates import Estimate, Row

INTERVALS = (
    "Everything but the pool is measured on dialogs that training holds back; what votes on them have taught is said "
    "where it matters. Intervals hold 95 % of a bootstrap over whole dialogs; differences are paired: both models are "
    "measured on the same draws."
)
SELECTION = (
    "Twenty replies, one of which really came next; the others come from other dialogs of the same source. A ranker of "
    "ours has two numbers. What it expects is a small network inside it, on the retriever's vectors: how near a reply "
    "is to that, a cosine. For P(like) its BERT reads each reply behind the context, and that cosine goes in as well; "
    "it is about the likes of one's own people, not about what came next. Both are given all twenty: a retriever's "
    "best twenty of twenty would be the same set, so there is no row for the two together. Reply alone was taught on "
    "the train split to tell true replies without their contexts: it has to be at chance, or the test leaks."
)
ECHO = (
    "People's own last messages are put among the replies that can be found. Giving them back is what a model of "
    "likeness does by nature; here a high rank is good. Replika's ranks are from another pool, so they compare in kind "
    "only."
)
VOTES = (
    "Does a higher score go with a like? The majority knows the share of likes of each source, reply length is a "
    "regression on it, wording is how often these very words were liked in the train split; the AUC is compared with "
    "those of both. New wordings are replies whose words the train split does not have. Intervals of the ECE lie a "
    "little high: resampling adds scatter."
)
GENERATOR = (
    "What unseen text costs the generator, beside a 5-gram model with Kneser-Ney smoothing of the train split; and "
    "what it says at places in held-back dialogs, beside what people said there, and when it is asked who it is."
)
POLICY = (
    "A reply's total is the weighted sum of its features. Training finds the weights by a logistic regression of likes "
    "on the features that replies had; those of which votes cannot tell stay as they were. What is never said is set."
)
BOT = (
    "The same candidates, chosen from by others: the best of one source in its own opinion, the best of all by the "
    "ranker, the best of all by the policy, and drawn as the running bot draws. A second vote model judges, which "
    "learnt from votes on dialogs that neither ranker nor policy was trained on. Scripted users say the same ten "
    "things whatever they hear."
)
SOURCES = (
    "Where what was said came from: the pool, the listener, the generator, or, when no candidate was fit, a moderated "
    "reply."
)
POOL = (
    "Each message that a reply of the pool is for is asked with itself left out. Found is how often anything is as "
    "near as the threshold; of the right situation, how often the nearest then belongs where the message does."
)

Headline: TypeAlias = "tuple[str, Estimate, Estimate, str, Estimate]"
"""What is measured, ours, the baseline's, the baseline's name, the difference."""


def headlines(run: Run) -> Iterator[Headline]:
    """The figures that matter most."""
    whole = run.ranking.selection[0]
    for row in _ours(whole.rows):
        yield _headline(f"{row.model}: R@1 of 20, {whole.source}", "R@1", row, whole.rows)
    for row in _ours(run.ranking.echo.rows):
        yield _headline(f"{row.model}: mean rank of the context itself", "mean rank", row, run.ranking.echo.rows)
    for part in run.ranking.votes:
        for row in _ours(part.rows):
            yield _headline(f"{row.model}: AUC on votes, {label(part)}", "AUC", row, part.rows)
    costs = run.generator.bits.rows
    for row in _ours(costs):
        if row.against:
            source = list(row.figures)[-1]
            yield _headline(f"generator {row.model}: bits per character, {source}", source, row, costs)


def recall_at_one(selected: "Sequence[Selected]") -> str:
    """What the bars of R@1 show."""
    whole = selected[0]
    found = "; ".join(f"{row.model} {_percent(row.figures['R@1'])}" for row in _ours(whole.rows))
    plain = max((r for r in whole.rows if "MiniLM" in r.model), key=lambda r: r.figures["R@1"].value)
    words = max((r for r in whole.rows if r.model.startswith(("BM25", "TF"))), key=lambda r: r.figures["R@1"].value)
    others = "; ".join(f"{row.model} {_percent(row.figures['R@1'])}" for row in (plain, words))
    return f"The true reply comes first, over {whole.questions} contexts ({whole.source}): {found}; {others}."


def recall(selected: "Sequence[Selected]") -> str:
    """What the curves of R@k show."""
    whole = selected[0]
    found = "; ".join(f"{row.model} {_percent(row.figures['R@5'])}" for row in _ours(whole.rows))
    five = f"Among the first five: {found}"
    blind = next((row.figures["R@5"] for row in whole.rows if row.model == "reply alone"), None)
    if blind is None:
        return f"{five}. The data has too few train dialogs to teach a model on replies alone what a leak would be."
    told = (
        "about what chance has, so the test does not leak"
        if blind.low <= 0.25 <= blind.high
        else "where chance has 25 %, so the test leaks"
    )
    return f"{five}; what was taught on replies alone has {_percent(blind)}, {told}."


def retrieval(found: "Retrieved") -> str:
    """What the table of retrieval shows."""
    precise = "; ".join(
        f"{row.model} {row.figures['MAP'].value:.3f}"
        + (f", a difference of {cell(row.against['MAP'], signed=True)}" if row.against else "")
        for row in found.rows
    )
    chance = sum(1 / rank for rank in range(1, found.replies + 1)) / found.replies
    return (
        f"Among all {found.replies} replies, with the last message alone as the context ({found.contexts} contexts), "
        f"the mean average precision, here the mean of 1 / rank of the true reply, is {precise}; chance has "
        f"{chance:.3f}. Replika published 0.17 for its retriever, on 509 pairs of its own: that is another pool, so it "
        "compares in kind only."
    )


def echo(found: "Echo") -> str:
    """What the bars of echo show."""
    parts = [f"{row.model} {row.figures['mean rank'].value:.1f}" for row in found.rows]
    return f"Of {found.candidates} texts so many are nearer to a context than its own last message: {'; '.join(parts)}."


def policy(found: "Fit") -> str:
    """What the bars of weights show."""
    from storage.estimates import Estimate

    strengths = list(found.strengths.items())[:3]
    largest = ", ".join(f"{name} {value:+.2f}" for name, value in strengths).replace("-", "\N{MINUS SIGN}") or "none"
    version, facts = found.weights.version, found.facts
    if not facts:
        return f"The policy {version!r} has no record of a fit to votes; its largest weights: {largest}."
    auc = {name: " ".join(shown(Estimate(**figure))) for name, figure in facts["auc_on_the_other_half"].items()}
    alone = f", the ranker alone with {auc['ranker alone']}" if "ranker alone" in auc else ""
    measure = "weights by standard deviation" if "spread" in facts else "weights"
    return (
        f"The policy {version!r} was fitted to {facts['votes']:,} votes in {facts['dialogs']:,} dialogs, "
        f"{facts['liked']:,} of them likes; fitted to half of the dialogs it tells likes in the other half with an AUC "
        f"of {auc['fitted']}{alone}. Its largest {measure}: {largest}."
    )


def ablation(talks: "Mapping[str, Talked]") -> str:
    """What the bars of the ablation show."""
    from bot.ablation import DRAWN, GENERATOR, LISTENER, RANKER, RETRIEVAL, WHOLE

    found = []
    for kind, talked in talks.items():
        rows = {row.model: row for row in talked.rows}
        gaps = {name: rows[name].against["liked"] for name in (RETRIEVAL, LISTENER, GENERATOR, RANKER) if name in rows}
        behind = [name for name, gap in gaps.items() if gap.high < 0]
        level = [name for name in gaps if name not in behind]
        liked = _percent(rows[DRAWN if DRAWN in rows else WHOLE].figures["liked"])
        clearly = f"the whole is clearly liked more than {', '.join(behind)}" if behind else "nothing is clear"
        rest = f", not clearly more than {', '.join(level)}" if behind and level else ""
        found.append(f"{kind}: {liked} would be liked; {clearly}{rest}")
    return f"{'; '.join(found).capitalize()}."


def votes(rated: "Sequence[Rated]") -> str:
    """What the bars of AUC show."""
    clear: dict[str, list[str]] = {}
    shorter: dict[str, list[str]] = {}
    for part in rated:
        for row in _ours(part.rows):
            gap = row.against["AUC"]
            if gap.low > 0 or gap.high < 0:
                clear.setdefault(f"{row.model} is {'above' if gap.low > 0 else 'below'}", []).append(label(part))
            if row.against["AUC less reply length"].high < 0:
                shorter.setdefault(row.model, []).append(label(part))
    parts = "; ".join(f"{what} wording on {', '.join(sources)}" for what, sources in clear.items())
    told = (
        f"By an interval that excludes zero, {parts}; all other differences to it hold zero."
        if clear
        else "Nowhere is a difference to wording clear of zero."
    )
    below = "; ".join(f"{model} on {', '.join(sources)}" for model, sources in shorter.items())
    return f"{told} Clearly below reply length: {below}." if below else f"{told} None is clearly below reply length."


def calibration(rated: "Sequence[Rated]") -> str:
    """What the reliability diagrams show."""
    parts = [
        f"{part.source} {row.figures['ECE'].value:.3f} ({part.floor:.3f})"
        for part in rated
        for row in _ours(part.rows)[:1]
    ]
    return (
        "On the dotted line a probability keeps its word; the expected calibration error over 15 bins of equal mass is "
        f"{', '.join(parts)}, in brackets what true probabilities would show on so few votes."
    )


def pool(rows: "Sequence[Row]", abstains: float) -> str:
    """What the lines of the pool show."""
    least = min(rows, key=lambda row: abs(float(row.model) - abstains))
    right = [_percent(row.figures["of the right situation"]) for row in (least, rows[-1])]
    found = [_percent(row.figures["found"]) for row in (least, rows[-1])]
    return (
        f"At a similarity of {least.model}, about where retrieval begins to propose, something is found for {found[0]} "
        f"of messages, and {right[0]} of that is right; at {rows[-1].model} it is {found[1]} and {right[1]}."
    )


def bits(found: "Bits") -> str:
    """What the bars of bits per character show."""
    source = list(found.rows[0].figures)[-1]
    costs = ", ".join(f"{row.model} {row.figures[source].value:.2f}" for row in found.rows)
    parts = []
    for row in _ours(found.rows):
        under = sum(gap.high < 0 for name, gap in row.against.items() if name != source)
        if row.against:
            parts.append(
                f"; {row.model} is under the 5-gram model, clear of zero, on {under} of {len(row.against) - 1}"
            )
    return f"Bits per character of unseen text, {source}: {costs}{''.join(parts)} sources."


def replies(found: "Replies") -> str:
    """What the bars of replies show."""
    people, *models = found.rows
    said = ", ".join(f"{row.model} {row.figures['words'].value:.1f}" for row in models)
    twos = ", ".join(f"{row.model} {row.figures['distinct-2'].value:.2f}" for row in models)
    return (
        f"People's replies have {people.figures['words'].value:.1f} words on average, {said}; of their pairs of words "
        f"{people.figures['distinct-2'].value:.2f} are distinct, {twos}."
    )


def _ours(rows: "Sequence[Row]") -> "list[Row]":
    return [row for row in rows if is_ours(row.model)]


def _headline(what: str, figure: str, row: "Row", rows: "Sequence[Row]") -> Headline:
    baseline = next(other for other in rows if not other.against)
    return what, row.figures[figure], baseline.figures[figure], baseline.model, row.against[figure]


def _percent(figure: "Estimate") -> str:
    return f"{figure.value:.0%}".replace("%", " %")
