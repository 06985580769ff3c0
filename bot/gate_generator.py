"""The gate for generators: do they find liked replies likelier, what does text cost them, and what do they write?"""

from collections.abc import Sequence

import numpy as np

from bot.assemble import load_generator, set_seed
from bot.gate_features import is_unfit
from bot.pipeline import Pipeline
from bot.settings import Settings, UserError
from bot.verdict import SPOKEN_MARGIN, Figure, about_as_often, must_be_better, no_dearer, no_more
from generation.generator import GptGenerator
from generation.metrics import per_character
from generation.reply_costs import preference, reply_costs
from ranking.metrics import auc
from ranking.regression import Totals, ordered, places
from storage.dialog import Candidate, Context
from storage.estimates import Floats, compared, draws, interval, mean, measured
from storage.voted import Voted

TAKEN = 0.75
"""Share of its words from which on a reply is an echo or a repetition: the veto of the policy."""

SAMPLES = 4
"""Replies that are drawn at each place."""


def generator_figures(before: Settings, after: Settings, pipeline: Pipeline, votes: Sequence[Voted]) -> list[Figure]:
    """The figures of the generators that two settings name. `pipeline` judges what they write. Raises UserError when a
    server writes."""
    current, candidate = load_local(before), load_local(after)
    figures = figures_of_votes(current, candidate, votes) if votes else []
    found = places()
    drawn = draws([str(number) for number in range(len(found))])
    old, new = (ordered(likelihoods(model), found) for model in (current, candidate))
    figures.append(about_as_often("good likelier than bad", *compared(old, new, drawn, mean)))
    contexts = [place.context for place in found]
    now, then = (written(model, contexts, pipeline) for model in (current, candidate))
    for name in now:
        figures.append(
            no_more(f"{name} among what it writes", *compared(now[name], then[name], drawn, mean), SPOKEN_MARGIN)
        )
    return figures


def load_local(settings: Settings) -> GptGenerator:
    """The generator of these settings. Raises UserError for one on a server."""
    local = settings.model_copy(update={"candidates": SAMPLES})
    if settings.remote_url:
        raise UserError(
            "A server writes the replies (KITH_REMOTE_URL), which does not say what a text costs it: unset it."
        )
    model = load_generator(local)
    assert isinstance(model, GptGenerator)
    return model


def figures_of_votes(current: GptGenerator, candidate: GptGenerator, votes: Sequence[Voted]) -> list[Figure]:
    """Preference and bits per character on held-out dialogs."""
    pairs = [(vote.context, vote.turn.decision.reply) for vote in votes]
    now, then = (reply_costs(model, pairs, model.version) for model in (current, candidate))
    dialogs = [vote.turn.asked.dialog_id for vote in votes]
    liked = np.array([float(vote.liked) for vote in votes])
    old, new = (np.stack([preference(costs), liked], axis=1) for costs in (now, then))
    told = compared(old, new, draws(dialogs), auc)
    last = list({dialog: number for number, dialog in enumerate(dialogs)}.values())  # the longest of each dialog
    drawn = draws([dialogs[number] for number in last])
    current_bits, bits, _ = compared(now[last][:, 2:], then[last][:, 2:], drawn, per_character)
    value, resampled = measured(np.concatenate([now[last][:, 2:], then[last][:, 2:]], axis=1), drawn, grown)
    growth = interval(value, resampled.tolist())
    return [
        must_be_better("AUC of likelihood on votes", *told),
        no_dearer("bits per character", current_bits, bits, growth),
    ]


def grown(columns: Floats) -> float:
    """By which share bits per character grew; `columns` has shape (dialogs, 4), bits and characters of both."""
    return per_character(columns[:, 2:]) / per_character(columns[:, :2]) - 1


def likelihoods(model: GptGenerator) -> Totals:
    """How likely replies are, for their length."""

    def judge(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        pairs = [(context, candidate.text) for context, candidates in batch for candidate in candidates]
        found = iter(preference(reply_costs(model, pairs, model.version)).tolist())
        return [[next(found) for _ in candidates] for _, candidates in batch]

    return judge


def written(model: GptGenerator, contexts: Sequence[Context], pipeline: Pipeline) -> dict[str, Floats]:
    """The share of faulty replies at each place, shape (places,), by fault."""
    set_seed(0)
    samples = [found for start in range(0, len(contexts), 8) for found in model.sample(contexts[start : start + 8])]
    batch = [
        (context, [Candidate(sample.text, "generation", sample.score) for sample in some if sample.text])
        for context, some in zip(contexts, samples, strict=True)
    ]
    scores = {name: scorer(batch) for name, scorer in pipeline.scorers.items()}
    shares: dict[str, list[float]] = {"empty": [], "echoes": [], "repetitions": [], "safety hits": []}
    for number, (_, candidates) in enumerate(batch):
        rows = [{name: found[number][i] for name, found in scores.items()} for i in range(len(candidates))]
        shares["empty"].append(1 - len(candidates) / SAMPLES)
        shares["echoes"].append(sum(row["echo"] >= TAKEN for row in rows) / SAMPLES)
        shares["repetitions"].append(sum(row["repetition"] >= TAKEN for row in rows) / SAMPLES)
        shares["safety hits"].append(sum(map(is_unfit, rows)) / SAMPLES)
    return {name: np.array(values) for name, values in shares.items()}
