"""Danger by what an English message means, besides how it is spelt: small networks on the retriever's vector.

Their log-odds and those of the n-grams (ranking/danger_classifier.py) are weighed by a regression. They know the
vectors of one retriever; with another one the n-grams tell alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.vectors import Encoder

MEMBERS, HIDDEN = 3, 256
"""Networks whose log-odds are averaged, and the width of each one's layer."""

LANGUAGE = "en"
"""That of the vectors."""

PROBE = "Nobody would notice if I was not here tomorrow."
"""A text whose vector tells whose vectors these are: a retriever that learnt from votes alone makes the same ones,
under a version of its own."""

SAME = 0.999
"""Cosine from which on two vectors of it are of one retriever; bf16 makes it 0.9999."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reader:
    """`hidden`, `bias` and `out`: a layer of all members side by side, shapes (width, units), (units,) and (units,).
    `joint`: what the n-grams' log-odds count, what these, and what is added. `sure` and `perhaps`: the log-odds from
    which on a message is taken for danger, and may be. `probe`: the retriever's vector of PROBE, (width,)."""

    hidden: Floats
    bias: Floats
    out: Floats
    joint: Floats
    probe: Floats
    sure: float
    perhaps: float

    def knows(self, encoder: Encoder) -> bool:
        """Whether these are the vectors that it was fitted to."""
        vector = encoder.encode([PROBE])[0]
        return vector.shape == self.probe.shape and float(vector @ self.probe) > SAME

    def odds(self, vectors: NDArray[Any], ngrams: NDArray[Any]) -> NDArray[Any]:
        """The log-odds of danger, shape (texts,): of unit vectors, (texts, width), and the n-grams' log-odds."""
        own = np.maximum(vectors @ self.hidden + self.bias, 0) @ self.out
        odds: NDArray[Any] = ngrams * self.joint[0] + own * self.joint[1] + self.joint[2]
        return odds

    def tensors(self) -> dict[str, NDArray[np.float16]]:
        """What a file has of it, besides `facts`."""
        return {f"reader.{name}": getattr(self, name).astype(np.float16, order="C") for name in TENSORS}

    def facts(self) -> dict[str, str]:
        """The rest, as words."""
        return {f"reader_{name}": f"{getattr(self, name):.3f}" for name in ("sure", "perhaps")}


TENSORS = ("hidden", "bias", "out", "joint", "probe")


def reader_of(tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> Reader | None:
    """The one in a file, if there is one. Raises KeyError and ValueError where it is not whole."""
    if "reader_sure" not in facts:
        return None
    parts: dict[str, Any] = {name: tensors[f"reader.{name}"].astype(np.float32) for name in TENSORS}
    if parts["hidden"].shape[1:] != parts["bias"].shape or parts["bias"].shape != parts["out"].shape:
        raise ValueError("its networks do not fit together")
    sure, perhaps = float(facts["reader_sure"]), float(facts["reader_perhaps"])
    return Reader(**parts, sure=sure, perhaps=perhaps)
