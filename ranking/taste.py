"""Taste: P(👍 | context, reply) by a small network on the retriever's vectors, which are there anyway.

A cross-encoder reads more but needs far more votes than a bot gets in a year; this learns from some thousands in half a
minute on two cores: `kith train taste --votes RATINGS --out FILE`. The bot has one as the feature `taste`; another,
trained on votes of other dialogs, is the judge of `kith evaluate bot`.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ranking.features import length, question
from ranking.pretrained import ModelError
from ranking.vector_files import write_table
from ranking.vectors import Encoder
from storage.corpora import CorpusError, RatedReply, held_back
from storage.dialog import Candidate, Context

STARTER = Path(__file__).parent / "starter" / "taste.safetensors"
JUDGE = Path(__file__).parent / "starter" / "judge.safetensors"

WIDTH, HIDDEN = 48, 64
MEMBERS = 3
"""Networks whose log-odds are averaged: one alone depends on its seed."""
DROPOUT = 0.5
STEPS, BATCH = 500, 256
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.1
PARTS = 4
"""Of the votes, each told by the others."""
CHECKED = 0.1
"""Of the dialogs, not trained on, to see what was learnt."""


class Network(nn.Module):
    """One member: vectors to fewer numbers, their products with the reply's, and what is known of the reply."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, WIDTH)
        self.read = nn.Sequential(
            nn.Linear(7 * WIDTH + 4, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1)
        )

    def forward(self, vectors: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Log-odds, shape (pairs,). `vectors` has shape (pairs, 4, width): reply, last message, whole context, and what
        the assistant said before; `known` (pairs, 4)."""
        narrow = self.narrow(functional.dropout(vectors, DROPOUT, self.training))
        reply, others = narrow[:, :1], narrow[:, 1:]
        read: torch.Tensor = self.read(torch.cat([narrow.flatten(1), (reply * others).flatten(1), known], dim=1))
        return read.squeeze(1)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the networks read of pairs."""

    vectors: torch.Tensor
    known: torch.Tensor


class Taste:
    """Scores candidates by their log-odds of a 👍."""

    def __init__(self, encoder: Encoder, members: Sequence[Network], version: str = "") -> None:
        self.encoder, self.members, self.version = encoder, members, version

    @torch.inference_mode()
    def score(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """For each context, the log-odds of each of its candidates."""
        read = inputs(self.encoder, [(context, c.text) for context, candidates in batch for c in candidates])
        odds = iter(self.log_odds(read).tolist())
        return [[next(odds) for _ in candidates] for _, candidates in batch]

    def log_odds(self, read: Inputs) -> torch.Tensor:
        """The members' mean, shape (pairs,)."""
        return torch.stack([member.eval()(read.vectors, read.known) for member in self.members]).mean(0)

    def save(self, file: Path, facts: Mapping[str, str]) -> None:
        """Writes weights and facts, whole or not at all."""
        tensors = {
            f"{n}.{k}": v.numpy() for n, member in enumerate(self.members) for k, v in member.state_dict().items()
        }
        write_table(file, tensors, {"retriever": self.encoder.version, **facts})


def load_taste(file: Path, encoder: Encoder) -> Taste:
    """A taste out of a file. Raises ModelError when it cannot be read, or learnt from another retriever's vectors."""
    try:
        with safe_open(file, framework="pt") as stored:
            facts = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        if facts.get("retriever") != encoder.version:
            raise ModelError(f"{file} was trained with the retriever {facts.get('retriever')}: train one with yours.")
        members = []
        for number in range(len({name.split(".")[0] for name in tensors})):
            member = Network(encoder.width)
            member.load_state_dict(
                {k.removeprefix(f"{number}."): v for k, v in tensors.items() if k.startswith(f"{number}.")}
            )
            members.append(member)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"The taste {file} cannot be loaded: {error}") from error
    return Taste(encoder, members, str(facts.get("version", "")))


def train_taste(encoder: Encoder, votes: Sequence[RatedReply], seed: int = 0) -> tuple[Taste, dict[str, Any]]:
    """A taste, and what is known of it: how many votes it learnt from, each by its weight, and its AUC on the votes of
    dialogs that were kept out. Raises CorpusError when either part lacks likes or dislikes."""
    from sklearn.metrics import roc_auc_score  # 1.1 s, and a bot that runs learns nothing

    rows = [vote for vote in votes if vote.split == "train"]
    held = {vote.dialog_id for vote in votes if vote.split != "train"}
    rows = [vote for vote in rows if vote.dialog_id not in held]
    rows = [vote for vote in rows if not (vote.implicit and for_checking(vote))]
    checked = np.array([for_checking(vote) for vote in rows], bool)
    liked = torch.tensor([float(vote.liked) for vote in rows])
    if len(set(zip(liked.tolist(), checked.tolist(), strict=True))) < 4:
        raise CorpusError("Too few votes to learn a taste from: some hundreds are needed, of both kinds.")
    read = inputs(encoder, [(Context(vote.messages), vote.reply) for vote in rows])
    weights = torch.tensor([vote.weight for vote in rows])
    learnt = torch.from_numpy(np.flatnonzero(~checked))
    members = []
    with tqdm(total=MEMBERS * STEPS, desc="taste", mininterval=2, disable=None) as bar:
        for number in range(MEMBERS):
            torch.manual_seed(seed * MEMBERS + number)
            members.append(trained(Network(encoder.width), read, liked, weights, learnt, bar))
    taste = Taste(encoder, members)
    apart = torch.from_numpy(np.flatnonzero(checked))
    with torch.inference_mode():
        told = taste.log_odds(Inputs(read.vectors[apart], read.known[apart]))
    auc = float(roc_auc_score(liked[apart], told))
    return taste, {"votes": len(learnt), "checked": len(apart), "auc": round(auc, 4)}


def told_by_others(
    encoder: Encoder, votes: Sequence[RatedReply], more: Sequence[RatedReply], seed: int = 0
) -> list[float]:
    """For each vote, the log-odds by networks that learnt from the votes of other dialogs, and from `more`: what a
    taste that learns from all of them is worth on new ones. One network a part, not MEMBERS."""
    rows = [*votes, *more]
    part = np.array([zlib.crc32(f"taste {seed} {vote.dialog_id}".encode()) % PARTS for vote in votes], int)
    of = np.concatenate([part, np.full(len(more), PARTS)])
    liked = torch.tensor([float(vote.liked) for vote in rows])
    read = inputs(encoder, [(Context(vote.messages), vote.reply) for vote in rows])
    weights = torch.tensor([vote.weight for vote in rows])
    told = np.zeros(len(votes))
    with tqdm(total=PARTS * STEPS, desc="taste, apart", mininterval=2, disable=None) as bar:
        for number in range(PARTS):
            torch.manual_seed(seed * PARTS + number)
            learnt, apart = (torch.from_numpy(np.flatnonzero(which)) for which in (of != number, part == number))
            network = trained(Network(encoder.width), read, liked, weights, learnt, bar)
            with torch.inference_mode():
                told[part == number] = network(read.vectors[apart], read.known[apart]).numpy()
    return [round(value, 4) for value in told.tolist()]


def for_checking(vote: RatedReply) -> bool:
    """Whether a vote is not trained on, by its dialog."""
    return held_back(f"taste {vote.dialog_id}", CHECKED)


def trained(
    network: Network,
    read: Inputs,
    liked: torch.Tensor,
    weights: torch.Tensor,
    learnt: torch.Tensor,
    bar: "tqdm[Any]",
) -> Network:
    """A network after STEPS of binary cross-entropy on those pairs, each times its weight."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    network.train()
    for _ in range(STEPS):
        some = learnt[torch.randperm(len(learnt))[:BATCH]]
        odds = network(read.vectors[some], read.known[some])
        loss = functional.binary_cross_entropy_with_logits(odds, liked[some], weights[some])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        bar.update()
    return network.eval()


def inputs(encoder: Encoder, pairs: Sequence[tuple[Context, str]]) -> Inputs:
    """What the networks read of contexts and replies."""
    contexts = [context for context, _ in pairs]
    last, whole = encoder.contexts(contexts)
    replies = encoder.encode([reply for _, reply in pairs])
    before = encoder.encode([(context.said("assistant") or ("",))[-1] for context in contexts])
    candidates = [Candidate(reply, "", 0.0) for _, reply in pairs]
    known = np.stack(
        [
            (replies * last).sum(1),
            (encoder.answering(replies) * encoder.asked(contexts)).sum(1),
            [length(context, c) for context, c in zip(contexts, candidates, strict=True)],
            [question(context, c) for context, c in zip(contexts, candidates, strict=True)],
        ],
        axis=1,
    )
    return Inputs(
        torch.from_numpy(np.stack([replies, last, whole, before], axis=1)),
        torch.from_numpy(known.astype(np.float32)),
    )
