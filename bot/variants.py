"""The variants of an experiment, with their models loaded; a model that two of them name is loaded once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bot.experiments import VariantSettings, assigned
from bot.personas import load_personas
from bot.protocols import Scorer, Source, Variant
from bot.settings import Settings, UserError
from ranking.policy import ScoringPolicy, Weights, load_weights
from ranking.ranker import CrossEncoderRanker
from ranking.safety import guarded
from ranking.taste import Taste, load_taste
from ranking.vectors import Encoder

if TYPE_CHECKING:
    from generation.generator import GptGenerator
    from generation.remote import RemoteGenerator


def load_variants(
    settings: Settings,
    weights: Weights,
    encoder: Encoder,
    load_generator: "Callable[[Settings], GptGenerator | RemoteGenerator]",
) -> Callable[[str], Variant] | None:
    """Which variant a person is in, by their id; None without an experiment. `weights` are those of people whose
    variant names no policy. Raises UserError, or the error of the part that cannot be had."""
    if not settings.variants:
        return None

    @cache
    def ranker(name: str) -> CrossEncoderRanker:
        return CrossEncoderRanker(name, encoder)

    @cache
    def taste(file: Path) -> Taste:
        return load_taste(file, encoder)

    @cache
    def generator(name: str) -> "GptGenerator | RemoteGenerator":
        return load_generator(settings.model_copy(update={"generator": name, "remote_url": None}))

    def load(given: VariantSettings) -> Variant:
        check(settings, given)
        sources: dict[str, Source] = {}
        scorers: dict[str, Scorer] = {}
        versions = {"experiment": settings.experiment, "variant": given.name}
        if given.generator:
            sources["generation"] = generator(given.generator).propose
            versions["generation"] = generator(given.generator).version
        if given.ranker:
            scorers["ranker"], versions["ranker"] = ranker(given.ranker).score, ranker(given.ranker).version
        if given.taste:
            scorers["taste"], versions["taste"] = taste(given.taste).score, taste(given.taste).version
        policy = None
        if given.policy or given.exploration is not None:
            exploration = settings.exploration if given.exploration is None else given.exploration
            policy = ScoringPolicy(own_weights(settings, given) or weights, exploration)
            versions["policy"] = policy.version
        return Variant(sources, scorers, policy, given.persona, versions)

    loaded = {given.name: load(given) for given in settings.variants}
    return lambda person_id: loaded[assigned(person_id, settings.experiment, settings.variants).name]


def own_weights(settings: Settings, given: VariantSettings) -> Weights | None:
    """The weights of the policy that a variant names. No variant is less safe than what the settings say."""
    if given.policy is None:
        return None
    weights = load_weights(given.policy)
    return guarded(weights) if settings.safety == "on" else weights


def check(settings: Settings, given: VariantSettings) -> None:
    """Raises UserError for what can be known before anything is loaded."""
    personas = load_personas(settings.personas_dir)
    if given.persona and given.persona not in personas:
        raise UserError(
            f"The variant {given.name} has the persona {given.persona!r}, which is none of {', '.join(personas)}: "
            "choose one of these."
        )
    if given.generator and not settings.candidates:
        raise UserError(f"The variant {given.name} names a generator, which KITH_CANDIDATES=0 switches off.")
