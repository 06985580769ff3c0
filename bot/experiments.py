"""Experiments: some people get this, others that, and the log says who got what.

A variant is what the settings name of it, in kith.toml

    experiment = "colder"

    [[variants]]
    name = "now"

    [[variants]]
    name = "colder"
    weight = 2
    exploration = 0.1

or as JSON in the environment. A person is in the same variant for as long as the experiment has that name, and its
variants their weights.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from bot.model_folders import home, model_name

Model = Annotated[str, AfterValidator(model_name)]
File = Annotated[Path, AfterValidator(home)]


class VariantSettings(BaseModel):
    """What is different for some of the people. What is not named is as the settings say for everybody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,64}$")]
    weight: float = Field(1.0, gt=0, le=1_000_000)
    policy: File | None = None
    ranker: Model = ""
    taste: File | None = None
    generator: Model = ""
    persona: str = ""
    exploration: float | None = Field(None, ge=0, le=10)


def assigned(person_id: str, experiment: str, variants: Sequence[VariantSettings]) -> VariantSettings:
    """The variant of a person, by a hash of the experiment's name and theirs: the same on every machine, and in another
    experiment another one. `variants` are at least one."""
    digest = hashlib.sha256(f"{experiment}\0{person_id}".encode()).digest()
    left = int.from_bytes(digest[:8]) / 2**64 * sum(variant.weight for variant in variants)
    for variant in variants:
        left -= variant.weight
        if left < 0:
            return variant
    return variants[-1]  # what rounding left over
