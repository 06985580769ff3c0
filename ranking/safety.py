"""What keeps Kith's replies fit to be said: its features, each with a veto, whatever a file of policy weights says."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ranking.danger import DangerSigns
from ranking.features import Batch, scorer
from ranking.limits import claims_human, instructs, with_minor
from ranking.policy import Weights

VETOES: Mapping[str, float] = {
    "toxic": 0.5,
    "ungentle": 1.0,
    "claims_human": 1.0,
    "instructs": 1.0,
    "with_minor": 1.0,
}
"""By feature, the limit from which on a candidate is not said. `toxic` is ranking/toxicity.py's."""


def safety_features(danger: DangerSigns) -> dict[str, Callable[[Batch], list[list[float]]]]:
    """All but `toxic`, which needs a model, by the name under which they are logged."""
    single = {"claims_human": claims_human, "instructs": instructs, "with_minor": with_minor}
    return {"ungentle": danger.ungentle, **{name: scorer(feature) for name, feature in single.items()}}


def guarded(weights: Weights) -> Weights:
    """The weights with these vetoes; a file that names one sets its limit."""
    return replace(weights, vetoes={**VETOES, **weights.vetoes})
