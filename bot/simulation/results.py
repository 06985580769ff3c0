"""Rounds of a simulation in files, so that one that was stopped goes on, and what several seeds say together."""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy import stats

from bot.simulation.learning import Plan, Round
from storage.estimates import Estimate


def write_round(file: Path, done: Round) -> None:
    """Writes a round, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        (Path(folder) / file.name).write_text(json.dumps(asdict(done), indent=2) + "\n", encoding="utf-8")
        (Path(folder) / file.name).replace(file)


def read_round(file: Path, plan: Plan) -> Round | None:
    """The round of this very plan that is in a file; None when there is none."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        if Plan(**read["plan"]) != plan:
            return None
        estimates = {name: Estimate(**read[name]) for name in ("before", "after", "gain")}
        pairs = {name: tuple(read[name]) for name in ("turns", "votes", "liked_votes")}
        return Round(**{**read, "plan": plan, **estimates, **pairs})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one figure of each seed, with the 95 % interval of Student's t: seeds are few."""
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)
