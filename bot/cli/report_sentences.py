"""What the page of `kith report` says: one sentence for each picture, made of the figures in it, and what is to be said
where there is not enough yet."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bot.cli.report_plots import counted, in_words, seconds

if TYPE_CHECKING:
    from bot.cli.report_figures import Calibration
    from storage.estimates import Estimate
    from storage.judged import Reason
    from storage.replied import Group, Period
    from storage.report import Step
    from storage.stats import Latency
    from storage.versions import Promotion

INTERVALS = (
    "Lines through bars and numbers in brackets are 95 % intervals over people; with fewer than ten there are none."
)
VOTES = "What people thought of the replies, by 👍, 👎 and reactions."
BY_SOURCE = (
    "Written replies that were found (retrieval), signs of listening, the generator; what is said in grave moments "
    "(moderation), and a fallback when nothing was fit to be said."
)
BY_VERSION = "Models that had more than one version in this time."
EXPERIMENTS = (
    "Each experiment from its beginning. The verdict may be looked at every day: its interval holds at all looks."
)
CALIBRATION = (
    "The ranker says of each reply how probable a 👍 is. Where it keeps its word, dots lie on the dotted line."
)
DISLIKES = "People may say what was wrong with a reply after a 👎."
WORDINGS = (
    "The same words count once for each person, in dialogs of people who said that Kith may learn from them; names and "
    "addresses are left out. Two average votes are added to each wording's own, so that one vote does not decide."
)
LATENCY = (
    "What a reply takes, by the part that works on it; parts that work at once on several chats are counted for each."
)
FUNNEL = (
    "Of the people who came in this time. Dialogs of those who have not said yes are deleted soon, so they seem to "
    "have written less."
)
SERVING = "Which model of each kind decides now, and what was trained and promoted in this time."

NO_REPLIES = "Not enough yet: nothing was answered in this time."
NO_VOTES = "Not enough yet: nobody has voted in this time."
NO_DISLIKES = "Not enough yet: nobody disliked anything in this time."
NO_WORDINGS = "Not enough yet: no wording was {} more often than not by people who said that Kith may learn from them."
NO_EXPERIMENT = "No reply in this time was of an experiment."
NO_VERSIONS = "Nothing to compare: of each model one version decided all the time."
NO_PEOPLE = "Not enough yet: nobody new came in this time."


def votes_over_time(periods: "Sequence[Period]", promotions: "Sequence[Promotion]") -> str:
    """What the votes of all periods show."""
    likes, dislikes = sum(p.likes for p in periods), sum(p.dislikes for p in periods)
    voted = [period for period in periods if period.likes + period.dislikes]
    busiest = max(voted, key=lambda period: period.likes + period.dislikes)
    told = f"{likes:,} likes and {dislikes:,} dislikes, most of them {when(busiest)}"
    lines = "; a dotted line is a promotion" if promotions else ""
    return f"{told}{lines}."


def when(period: "Period") -> str:
    """A period in words."""
    return (
        f"on {period.start:%-d %B}"
        if period.days == 1
        else f"in the {'week' if period.days == 7 else 'four weeks'} from {period.start:%-d %B}"
    )


def by_source(groups: "Sequence[Group]", whole: "Group") -> str:
    """Which source is liked best and least, and what is sent back."""
    voted = [group for group in groups if not math.isnan(group.approval.value)]
    best, worst = (pick(voted, key=lambda group: group.approval.value) for pick in (max, min))
    told = f"{best.name.capitalize()} is liked best ({percent(best.approval)})"
    if best is not worst:
        apart = best.approval.low > worst.approval.high
        told += f", {worst.name} least ({percent(worst.approval)}{'' if apart else ', which may be chance'})"
    return f"{told}; {percent(whole.sent_back, 1)} of all replies were sent back."


def sent_back(whole: "Group") -> str:
    """Where nothing else is known."""
    return f"{percent(whole.sent_back, 1)} of {counted(whole.turns, 'reply', 'replies')} were sent back."


def by_version(by_model: "Mapping[str, Sequence[Group]]") -> str:
    """Where the version with the most replies stands against the next."""
    parts = []
    for model, groups in by_model.items():
        voted = [group for group in groups if not math.isnan(group.approval.value)]
        if len(voted) > 1:
            best = max(voted, key=lambda group: group.approval.value)
            rest = [group for group in voted if group is not best]
            clear = all(best.approval.low > group.approval.high for group in rest)
            parts.append(f"{model} {best.name} is liked best{', clearly' if clear else ', which may be chance'}")
    told = "; ".join(parts) or "no model has two versions with votes"
    return (
        f"{told[0].upper()}{told[1:]}. Versions follow each other, so what else changed meanwhile is in the difference."
    )


def calibration(found: "Calibration") -> str:
    """How far probabilities and votes are apart."""
    value, floor = found.error, found.floor
    about = "as near as so few votes can show" if value.low <= floor else "more than chance explains"
    return (
        f"On {found.votes:,} votes the expected calibration error is {100 * value.value:.1f} points "
        f"[{100 * value.low:.1f}, {100 * value.high:.1f}]; true probabilities would show {100 * floor:.1f}: {about}."
    )


def reasons(found: "Sequence[Reason]") -> str:
    """The most frequent one."""
    named = [reason for reason in found if reason.name]
    total = sum(reason.dislikes for reason in found)
    if not named:
        return f"Nobody has said why: {counted(total, 'dislike')} without a reason."
    first = named[0]
    told = f"Of {counted(total, 'dislike')} {first.dislikes} are because of “{in_words(first.name)}”"
    sources = list(first.by_source.items())
    return f"{told}, most of these on replies by {sources[0][0]} ({sources[0][1]})."


def latency(found: "Sequence[Latency]") -> str:
    """What a reply takes in all, and which part takes longest."""
    total = next(stage for stage in found if stage.stage == "total")
    parts = [stage for stage in found if stage.stage != "total"]
    slowest = f"; most of it is {parts[0].stage}" if parts else ""
    return f"Half of the replies take {seconds(total.p50)} at most, 95 % of them {seconds(total.p95)}{slowest}."


def funnel(steps: "Sequence[Step]") -> str:
    """How many came back."""
    started, *_, voted, back = steps
    return (
        f"Of {counted(started.people, 'person', 'people')} {percent(voted.share)} voted and {percent(back.share)} "
        "came back another day."
    )


def percent(figure: "Estimate", digits: int = 0) -> str:
    """A share, for a sentence."""
    return f"{100 * figure.value:.{digits}f} %"
