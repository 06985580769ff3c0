"""The policy: candidates and their features in, a decision out, with the probability with which it was made.

It sees features and nothing else, so a logged turn can be decided again under other weights without loading a model.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.dialog import Candidate, Decision, Scored

SHIPPED = Path(__file__).parent / "starter" / "policy.json"


class PolicyError(ValueError):
    """A file of weights that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a policy is made of. `vetoes`: a candidate whose feature is at or over its limit is never said."""

    version: str
    weights: Mapping[str, float]
    vetoes: Mapping[str, float]


class ScoringPolicy:
    """The total of a candidate is the weighted sum of its features; the reply is drawn from the softmax of the totals
    of all that are not vetoed."""

    def __init__(self, weights: Weights, temperature: float = 0.0, seed: int | None = None) -> None:
        """`temperature` of the softmax; 0 always takes the best. `seed` is for repeatable runs: the generator of random
        numbers is made once, never again for each message."""
        self.weights, self.temperature = weights, temperature
        self.random = random.Random(seed)

    @property
    def version(self) -> str:
        """The version of the weights, with the temperature."""
        return f"{self.weights.version}, temperature {self.temperature:g}"

    def __call__(self, candidates: Sequence[Candidate], features: Mapping[str, Sequence[float]]) -> Decision:
        """Ranks, vetoes, draws. `chosen` is None and `reply` empty when nothing is left to say."""
        rows = [{name: float(values[i]) for name, values in features.items()} for i in range(len(candidates))]
        totals = [sum(weight * row.get(name, 0.0) for name, weight in self.weights.weights.items()) for row in rows]
        vetoes = [self._veto(row, total) for row, total in zip(rows, totals, strict=True)]
        probabilities = softmax(
            [t if not v else -math.inf for t, v in zip(totals, vetoes, strict=True)], self.temperature
        )
        ranked = sorted(
            map(Scored, candidates, rows, totals, probabilities, vetoes),
            key=lambda scored: (bool(scored.veto), -scored.total),
        )
        if all(vetoes):
            return Decision("", "fallback", tuple(ranked), None)
        chosen = self.random.choices(range(len(ranked)), [scored.probability for scored in ranked])[0]
        return Decision(ranked[chosen].candidate.text, "policy", tuple(ranked), chosen)

    def again(self, decision: Decision) -> Decision:
        """What this policy makes of a logged decision's candidates; a feature that one lacks counts as 0."""
        names = dict.fromkeys(name for scored in decision.ranked for name in scored.features)
        features = {name: [scored.features.get(name, 0.0) for scored in decision.ranked] for name in names}
        return self([scored.candidate for scored in decision.ranked], features)

    def _veto(self, row: Mapping[str, float], total: float) -> str:
        for name, limit in self.weights.vetoes.items():
            if row.get(name, 0.0) >= limit:
                return name
        return "" if all(map(math.isfinite, (*row.values(), total))) else "not a number"


def softmax(totals: Sequence[float], temperature: float) -> list[float]:
    """Probabilities; -inf gets none. Temperature 0 gives all to the best (the first of equals)."""
    best = max(totals, default=-math.inf)
    if best == -math.inf:
        return [0.0] * len(totals)
    if temperature == 0:
        first = totals.index(best)
        return [float(i == first) for i in range(len(totals))]
    raised = [math.exp((total - best) / temperature) for total in totals]
    return [value / sum(raised) for value in raised]


def load_weights(file: Path | None = None) -> Weights:
    """Weights from a JSON file `{"version", "weights": {feature: number}, "vetoes": {feature: limit}}`, by default
    the shipped ones. Raises PolicyError on a file that is missing or has another shape."""
    file = file or SHIPPED
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        weights, vetoes = ({str(k): float(v) for k, v in read[part].items()} for part in ("weights", "vetoes"))
        if not all(map(math.isfinite, (*weights.values(), *vetoes.values()))):
            raise ValueError("a weight is not a number")
        return Weights(str(read["version"]), weights, vetoes)
    except (OSError, ValueError, OverflowError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise PolicyError(f"{file} is not a file of policy weights ({error}).") from error
