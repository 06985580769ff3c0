"""The page of `kith report`: the bot's own log, for its owner, in one column that a phone shows whole."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from bot.cli import report_plots as plots
from bot.cli import report_sentences as sentences
from bot.cli.experiments import FIGURES as OF_VARIANTS
from bot.cli.experiments import sentence as verdict_sentence
from bot.cli.models import how
from bot.cli.page import Listing, Section, as_html, whole_page

if TYPE_CHECKING:
    from bot.cli.report_figures import Figures
    from storage.estimates import Row
    from storage.judged import Wording
    from storage.replied import Group
    from storage.versions import Promotion


def page(figures: "Figures", made_of: "Sequence[Section]") -> str:
    """The whole page, of its sections."""
    title = f"Kith, {figures.made:%Y-%m-%d}"
    return whole_page(title, "narrow", [_head(figures), *map(as_html, made_of)])


def sections(figures: "Figures") -> list[Section]:
    """What the page tells, in its order."""
    return [
        _votes(figures),
        _sources(figures),
        _dislikes(figures),
        _wordings(figures),
        _funnel(figures),
        _latency(figures),
        _serving(figures),
        _versions(figures),
        _experiments(figures),
        _calibration(figures),
    ]


def pictures(made_of: Sequence[Section]) -> Iterator[tuple[str, Any]]:
    """The pictures by a name for a file."""
    for section in made_of:
        for number, (figure, _) in enumerate(section.pictures):
            name = section.heading.lower().replace(" ", "-")
            yield f"{name}-{number + 1}.png" if number else f"{name}.png", figure


def _votes(figures: "Figures") -> Section:
    heading, periods = "Votes over time", figures.log.replied.periods
    if not _votes_in([figures.log.replied.all]):
        return Section(heading, sentences.VOTES, notes=[sentences.NO_VOTES])
    told = sentences.votes_over_time(periods, figures.promotions)
    return Section(heading, sentences.VOTES, [(plots.votes_over_time(periods, figures.promotions), told)])


def _sources(figures: "Figures") -> Section:
    heading, replied = "Where replies come from", figures.log.replied
    if not replied.by_source:
        return Section(heading, sentences.BY_SOURCE, notes=[sentences.NO_REPLIES])
    tables = {"By source": _rows(replied.by_source)}
    notes = [] if _votes_in(replied.by_source) else [sentences.NO_VOTES]
    told = sentences.by_source(replied.by_source, replied.all) if not notes else sentences.sent_back(replied.all)
    return Section(heading, sentences.BY_SOURCE, [(plots.approval_bars(replied.by_source), told)], tables, notes)


def _versions(figures: "Figures") -> Section:
    heading = "Versions"
    several = {model: groups for model, groups in figures.log.replied.by_version.items() if len(groups) > 1}
    if not several:
        nothing = sentences.NO_VERSIONS if figures.log.replied.by_version else sentences.NO_REPLIES
        return Section(heading, sentences.BY_VERSION, notes=[nothing])
    if not any(map(_votes_in, several.values())):
        return Section(heading, sentences.BY_VERSION, notes=[sentences.NO_VOTES])
    tables = {model: _rows(groups) for model, groups in several.items()}
    return Section(
        heading, sentences.BY_VERSION, [(plots.version_bars(several), sentences.by_version(several))], tables
    )


def _experiments(figures: "Figures") -> Section:
    from storage.estimates import Row

    heading, found = "Experiments", figures.log.experiments
    if not found:
        return Section(heading, sentences.EXPERIMENTS, notes=[sentences.NO_EXPERIMENT])
    shown, tables = [], {}
    for each in found:
        first, *others = each.variants
        verdicts = "; ".join(verdict_sentence(variant, first.name) for variant in others)
        shown.append((plots.variant_bars(each), f"{each.name}: {verdicts or 'one variant has replies so far'}."))
        tables[each.name] = [
            Row(name.replace("_", " "), {v.name: getattr(v, name) for v in each.variants}) for name in OF_VARIANTS
        ]
    return Section(heading, sentences.EXPERIMENTS, shown, tables)


def _calibration(figures: "Figures") -> Section:
    from bot.cli.report_figures import FEWEST_VOTES

    heading, found = "Does the ranker keep its word", figures.calibration
    if found is None:
        count = len(figures.log.judged.expected)
        told = f"Not enough yet: {FEWEST_VOTES} votes on replies that the ranker judged are needed, {count} are there."
        return Section(heading, sentences.CALIBRATION, notes=[told])
    return Section(heading, sentences.CALIBRATION, [(plots.reliability(found), sentences.calibration(found))])


def _dislikes(figures: "Figures") -> Section:
    heading, found = "What people dislike", figures.log.judged.reasons
    if not found:
        return Section(heading, sentences.DISLIKES, notes=[sentences.NO_DISLIKES])
    return Section(heading, sentences.DISLIKES, [(plots.reason_bars(found), sentences.reasons(found))])


def _wordings(figures: "Figures") -> Section:
    judged = figures.log.judged
    both = (("Liked most", "liked", judged.best), ("Disliked most", "disliked", judged.worst))
    notes = [sentences.NO_WORDINGS.format(word) for _, word, found in both if not found]
    listings = {caption: _listing(found) for caption, _, found in both if found}
    return Section("Best and worst replies", sentences.WORDINGS, notes=notes, listings=listings)


def _listing(found: "Sequence[Wording]") -> Listing:
    lines = [
        (w.text, w.likes, w.dislikes, ", ".join(filter(None, (w.source, plots.in_words(w.reason) if w.reason else ""))))
        for w in found
    ]
    return Listing(("reply", "👍", "👎", "from, because"), lines)


def _latency(figures: "Figures") -> Section:
    heading, found = "How long replies take", figures.log.latency
    slow = [stage for stage in found if stage.p95 >= 0.0005]  # the others would only show zeros
    if not slow:
        return Section(heading, sentences.LATENCY, notes=[sentences.NO_REPLIES])
    return Section(heading, sentences.LATENCY, [(plots.latency_bars(slow), sentences.latency(slow))])


def _funnel(figures: "Figures") -> Section:
    heading, steps = "Who stays", figures.log.funnel
    if not steps[0].people:
        return Section(heading, sentences.FUNNEL, notes=[sentences.NO_PEOPLE])
    return Section(heading, sentences.FUNNEL, [(plots.funnel_bars(steps), sentences.funnel(steps))])


def _serving(figures: "Figures") -> Section:
    serving = [(each.kind, each.name or "shipped", each.by) for each in figures.serving.values()]
    listings = {"Serving now": Listing(("kind", "model", "by"), serving)}
    if figures.promotions:
        lines = [
            (f"{each.at:%-d %b} {each.kind} {each.name or 'shipped'}", how(each), gate(each))
            for each in figures.promotions
        ]
        listings["Promotions"] = Listing(("version", "how", "the gate said"), lines)
    if figures.versions:
        made = [(each.name, each.state, each.card.get("votes", "")) for each in figures.versions]
        listings["Trained"] = Listing(("version", "state", "votes"), made)
    return Section("What serves", sentences.SERVING, listings=listings)


def gate(promotion: "Promotion") -> str:
    """The gate's verdict in a few words."""
    verdict: Mapping[str, Any] = promotion.verdict
    if not verdict:
        return "was not asked"
    gains = [each for each in verdict.get("figures", ()) if each.get("rule") == "gain over 0" and each.get("gain")]
    told = [f"{each['name']} {_gain(each['gain'])} on {verdict.get('votes', 0)} votes" for each in gains[:1]]
    refusals = verdict.get("refusals", ())
    return "; ".join([*told, *refusals]) or "passed"


def _gain(gain: Mapping[str, float | None]) -> str:
    value, low, high = (gain.get(name) for name in ("value", "low", "high"))
    return "not known" if None in (value, low, high) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _rows(groups: "Sequence[Group]") -> "list[Row]":
    from storage.estimates import Row

    return [Row(group.name, {"approval": group.approval, "sent back": group.sent_back}) for group in groups]


def _votes_in(groups: "Sequence[Group]") -> int:
    return sum(group.likes + group.dislikes for group in groups)


def _head(figures: "Figures") -> str:
    log, whole = figures.log, figures.log.replied.all
    begun = log.since or (log.replied.periods[0].start if log.replied.periods else None)
    time = f"{begun:%-d %B %Y} to {figures.made:%-d %B %Y}" if begun else f"Nothing yet, {figures.made:%-d %B %Y}"
    counts = [
        ("people who wrote", f"{log.people:,}"),
        ("dialogs", f"{log.dialogs:,}"),
        ("replies", f"{whole.turns:,}"),
        ("votes", f"{whole.likes + whole.dislikes:,}"),
        ("of the votes are likes", _share(whole.approval.value)),
        ("of the replies were sent back", _share(whole.sent_back.value, 1)),
    ]
    tiles = "".join(f"<li><b>{value}</b>{escape(name)}</li>" for name, value in counts)
    return (
        f"<h1>How is Kith doing?</h1>\n<p class='quiet'>{time}, days of UTC. {escape(sentences.INTERVALS)}</p>\n"
        f"<ul class='counts'>{tiles}</ul>"
    )


def _share(value: float, digits: int = 0) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f} %"
