"""Turns of the log on which a policy decided, out of the records of `kith export dialogs`: what was said before, what
could have been said and how likely, what was said, and the vote."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.dialog import Candidate, Context, Decision, Message, Scored


@dataclass(frozen=True, slots=True)
class Decided:
    """A turn whose reply was drawn from its candidates."""

    dialog_id: str
    context: Context
    decision: Decision
    """`chosen` is not None."""
    vote: int
    """Over 0: liked; under 0: disliked; 0: no vote stands."""


def decided_turns(record: Mapping[str, Any]) -> Iterator[Decided]:
    """Those of a record, in their order; fallbacks and what was moderated are none. Raises KeyError, TypeError,
    ValueError for a record of another shape."""
    said: list[Message] = []
    for message in record["messages"]:
        said.append(Message("user", str(message["text"])))
        sent_back: list[str] = []
        for turn in message["turns"]:
            if turn["reason"] == "policy":
                context = Context(tuple(said), rejected=tuple(sent_back))
                vote = sum(vote["value"] for vote in turn["votes"])
                yield Decided(str(record["id"]), context, _decision(turn), vote)
            if turn["rejected"]:
                sent_back.append(turn["reply"])
        said += [Message("assistant", turn["reply"]) for turn in message["turns"] if not turn["rejected"]]


def _decision(turn: Mapping[str, Any]) -> Decision:
    ranked = tuple(map(_scored, turn["candidates"]))
    chosen = [place for place, candidate in enumerate(turn["candidates"]) if candidate["chosen"]]
    if len(chosen) != 1 or not 0 < ranked[chosen[0]].probability <= 1:
        raise ValueError("no reply was drawn")
    return Decision(turn["reply"], "policy", ranked, chosen[0])


def _scored(candidate: Mapping[str, Any]) -> Scored:
    features = {str(name): _number(value) for name, value in candidate["features"].items()}
    probability = _number(candidate["probability"])
    if not 0 <= probability <= 1:
        raise ValueError(f"{probability} is no probability")
    said = Candidate(str(candidate["text"]), str(candidate["source"]), _number(candidate["score"]))
    return Scored(said, features, _number(candidate["total"]), probability, str(candidate["veto"]))


def _number(value: float | None) -> float:
    """Null stands for what was not finite."""
    return math.nan if value is None else float(value)
