"""What `kith evaluate` runs: the measuring of ranking/ and generation/, on models of the settings or those named."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from bot.ablation import BotEvaluation, BotFigures
    from bot.cli.run_file import Run
    from bot.pool_growth import GrowthFigures
    from bot.settings import Settings
    from generation.evaluate import GeneratorEvaluation, GeneratorFigures
    from ranking.evaluate import RankingEvaluation, RankingFigures
    from storage.estimates import Row

Asked = TypeVar("Asked", "RankingEvaluation", "GeneratorEvaluation", "BotEvaluation")
Found = TypeVar("Found", "RankingFigures", "GeneratorFigures", "BotFigures")


def ranking_run(
    settings: "Settings",
    data: Sequence[Path],
    votes: Sequence[Path],
    retrievers: Sequence[str] | None,
    rankers: Sequence[str] | None,
    positions: int,
    most_votes: int,
    seed: int,
) -> "RankingEvaluation":
    """What is measured of retriever and ranker: those in the settings where none are named."""
    from bot.assemble import taste_file
    from ranking.evaluate import RankingEvaluation

    named = tuple(retrievers or [settings.retriever])
    return RankingEvaluation(
        dialogs=tuple(data),
        votes=tuple(votes),
        retrievers=named,
        rankers=tuple(rankers or [settings.ranker]),
        taste=taste_file(settings.taste if named[0] == settings.retriever else None, named[0]),
        positions=positions,
        most_votes=most_votes,
        seed=seed,
    )


def generator_run(
    settings: "Settings", data: Sequence[Path], models: Sequence[str] | None, seed: int
) -> "GeneratorEvaluation":
    """What is measured of the generator, which is told what the persona of the settings is told; who it is it is asked
    as each persona."""
    from bot.personas import known_persona, load_personas
    from generation.evaluate import GeneratorEvaluation
    from generation.sampling import Sampling
    from ranking.limits import claims_human

    personas = load_personas(settings.personas_dir)
    facts = {name: persona.system for name, persona in personas.items()}
    return GeneratorEvaluation(
        data=tuple(data),
        models=tuple(models or [settings.generator]),
        sampling=Sampling(1, settings.max_new_tokens, settings.sampling_temperature, settings.top_p),
        facts=facts | {"": facts[known_persona(personas, settings.persona)]},
        identity=8,
        claims_human=claims_human,
        examples=settings.examples,
        remote_key=settings.remote_key.get_secret_value() if settings.remote_key else "",
        remote_timeout=settings.remote_timeout,
        seed=seed,
    )


def bot_run(data: Sequence[Path], judge: str, self_play: int, seed: int) -> "BotEvaluation":
    """What is measured of the whole bot."""
    from bot.ablation import BotEvaluation

    return BotEvaluation(data=tuple(data), judge=judge, self_play=self_play, seed=seed)


def pool_rows(settings: "Settings", seed: int, resamples: int = 1000, most: int = 0) -> "list[Row]":
    """What retrieval finds in the pool of the settings; `most` of its contexts are asked, 0 for all."""
    from bot.assemble import load_retriever, open_store
    from ranking.evaluate import pool_precision

    with open_store(settings) as store:
        retriever = load_retriever(settings, store)
    return pool_precision(retriever.index, retriever.encoder, seed, resamples, most)


def measure_growth(
    settings: "Settings", data: Sequence[Path], places: int, orders: int, judge: str, seed: int
) -> "GrowthFigures":
    """What shares of that pool are worth at held-back places. Raises UserError without data."""
    from bot.pool_growth import GrowthEvaluation, evaluate_growth
    from bot.settings import UserError

    if not data:
        raise UserError("--growth needs --data: the dialogs at whose held-back places the pool is to answer.")
    return evaluate_growth(settings, GrowthEvaluation(tuple(data), places, orders, judge, seed=seed))


def measure(
    settings: "Settings",
    of_ranking: "RankingEvaluation",
    of_generator: "GeneratorEvaluation",
    of_bot: "BotEvaluation",
) -> "Run":
    """Everything, with what it was measured on and by; pool and whole bot with the first of the models."""
    from bot.ablation import evaluate_bot, weights_in_use
    from bot.assemble import set_up_libraries
    from bot.cli.run_file import Run, data_files, versions
    from generation.evaluate import evaluate_generator
    from ranking.evaluate import evaluate_ranking, labels
    from ranking.fit import load_fit
    from ranking.retriever import ABSTAIN_BELOW

    set_up_libraries(settings)
    made, files = datetime.now(UTC), data_files([*of_ranking.dialogs, *of_ranking.votes])
    policy = replace(load_fit(settings.policy), weights=weights_in_use(settings))
    ranked = evaluate_ranking(of_ranking)
    started = time.monotonic()
    first = settings.model_copy(
        update={
            "retriever": of_ranking.retrievers[0],
            "ranker": of_ranking.rankers[0],
            "generator": of_generator.models[0],
        }
    )
    pooled = pool_rows(first, of_ranking.seed, of_ranking.resamples, of_ranking.pool)
    seconds = {"pool": round(time.monotonic() - started, 1)}
    written = evaluate_generator(of_generator)
    named = labels("generator", list(written.models))
    generators = dict(zip(named, written.models.values(), strict=True))
    talked = evaluate_bot(first, of_bot)
    return Run(
        made=made,
        settings={
            "ranking": of_ranking,
            "generator": of_generator,
            "bot": of_bot,
            "abstain_below": ABSTAIN_BELOW,
        },
        data=files,
        versions=versions(),
        models={**ranked.models, **generators, **{f"bot's {k}": v for k, v in talked.models.items()}},
        seconds={
            **ranked.seconds,
            **seconds,
            **{f"generator, {k}": s for k, s in written.seconds.items()},
            **{f"bot, {k}": s for k, s in talked.seconds.items()},
        },
        ranking=ranked,
        pool=pooled,
        generator=written,
        policy=policy,
        bot=talked,
    )


def measure_part(
    part: str, asked: Asked, evaluate: Callable[[Asked], Found], data: Iterable[Path], out: Path | None
) -> tuple[Found, Path | None]:
    """The figures of one part and, where there is a folder for it, the run's file in it, which is that of a run of
    everything without the other parts."""
    from bot.cli.run_file import Origin, data_files, save_run, versions

    made, files = datetime.now(UTC), data_files(data) if out else ()
    found = evaluate(asked)
    if not out:
        return found, None
    origin = Origin(made, {part: asked}, files, versions(), found.models, found.seconds)
    return found, save_run(out, origin, **{part: found})
