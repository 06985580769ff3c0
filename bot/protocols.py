"""The seams of a turn. The pipeline owns them; those who implement them need not import them.

All are batch-first, so that sixteen people who write in the same moment cost one pass through each model, not sixteen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from storage.dialog import Asked, Candidate, Context, Decision, Turn

Source: TypeAlias = Callable[[Sequence[Context]], Sequence[Sequence[Candidate]]]
"""Contexts in, for each one its candidates out (none: the source abstains)."""

Scorer: TypeAlias = Callable[[Sequence[tuple[Context, Sequence[Candidate]]]], Sequence[Sequence[float]]]
"""Contexts with their candidates in, for each one a number a candidate out."""

Policy: TypeAlias = Callable[[Sequence[Candidate], Mapping[str, Sequence[float]]], Decision]
"""Candidates and their features by name in, a decision out; `chosen` is None when nothing is fit to be said."""

Fallback: TypeAlias = Callable[[Context, str], str]
"""A context and the interface's language in, a moderated reply out, for when nothing else is fit to be said."""

Moderation: TypeAlias = Callable[[Sequence[tuple[Context, str]]], Sequence[Candidate | None]]
"""Contexts, each with the interface's language, in; for each one the moderated reply that must be said, or None where
models may answer, out."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What is different for some of the people, in an experiment. What is empty is as for everybody."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    """In place of those of the same name."""
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    """In place of those of the same name."""
    policy: Policy | None = None
    persona: str = ""
    """The name of the persona of chats that chose none."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What decides here, by name, for the log: `experiment`, `variant`, and each part that is another one."""


class DialogStore(Protocol):
    """What the pipeline needs of a store: what was said, and a place for what was decided."""

    def context(self, asked: Asked) -> Context:
        """The dialog up to the message that was asked, with the replies to it that were sent back."""
        ...

    def add_turns(self, batch: Sequence[Turn]) -> Sequence[Turn | LookupError]:
        """Keeps turns with all their candidates, in one transaction: for each the turn, or why it alone was not
        kept."""
        ...
