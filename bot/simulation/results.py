"""Rounds of a simulation in files, so that one that was stopped goes on, and what several seeds say together."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bot.simulation.foretold import Foretold
from bot.simulation.learning import Plan, Round, Talked
from bot.simulation.people import community
from bot.simulation.speech import sayings
from bot.simulation.world import Heard
from storage.estimates import Estimate
from storage.files import written_whole


def write_round(file: Path, done: Round) -> None:
    """Writes a round, whole or not at all."""
    write(file, asdict(done))


def write(file: Path, content: Any) -> None:
    """Writes JSON, whole or not at all."""
    with written_whole(file) as made:
        made.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_round(file: Path, plan: Plan) -> Round | None:
    """The round of this very plan that is in a file; None when there is none."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        if Plan(**read["plan"]) != plan:
            return None
        estimates = {name: Estimate(**read[name]) for name in ("before", "after", "gain")}
        pairs = {name: tuple(read[name]) for name in ("turns", "votes", "liked_votes")}
        told = read["foretold"]
        foretold = Foretold(Estimate(**told["approval"]), told["doubt"], tuple(told["sure"]))
        return Round(**{**read, "plan": plan, **estimates, **pairs, "foretold": foretold})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_talked(file: Path, talked: Talked) -> None:
    """Writes what people heard, whole or not at all."""
    rows = [[h.person.id, h.turn_id, h.at.isoformat(), h.source, h.liked, h.vote] for h in talked.heard]
    write(file, {"plan": asdict(talked.plan), "day": talked.day, "talks": talked.talks, "heard": rows})


def read_talked(file: Path, plan: Plan) -> Talked | None:
    """What people of this very plan heard, out of a file; None when there is none."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        if before_learning(Plan(**read["plan"])) != before_learning(plan):
            return None
        people = {p.id: p for p in community(plan.seed, plan.people, plan.trolls, sorted(sayings()))}
        heard = [
            Heard(people[name], turn, datetime.fromisoformat(at), *rest) for name, turn, at, *rest in read["heard"]
        ]
        return Talked(plan, heard, read["day"], read["talks"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def before_learning(plan: Plan) -> Plan:
    """The part of a plan that what people say before they teach hangs on."""
    return replace(plan, after=0, poison=False)


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one figure of each seed, with the 95 % interval of Student's t: seeds are few."""
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)
