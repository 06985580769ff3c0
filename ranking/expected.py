"""What a reply to a context should be near to: a small network on the vectors of a context's messages.

The sum of a context's vectors says what the talk is about, and the nearest thing to it is what was just said; a reply
answers. The network learns from dialogs where that is, on vectors that stay as they are, so they are made once and all
else takes minutes. Each batch is of one source: replies of another kind of talk are easily told and teach little. And
the message to answer is among the wrong replies, so that an echo is no answer (Replika's hard negative; the encoder
itself unlearns the topic by it, docs/experiments.md).
"""

import math
import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ranking.vectors import Encoder, Vectors
from storage.corpora import CorpusDialog

HIDDEN = 768
DROPOUT = 0.3
SPREAD = 4.0
"""By which unit vectors are multiplied before they are read: each of their numbers is some hundredths."""
STEPS, BATCH = 3000, 512
PASSES = 16
"""Over all places at the most: an owner's log is small."""
LEARNING_RATE, WEIGHT_DECAY, WARM = 1e-3, 0.05, 50

SHARES: Mapping[str, float] = {
    "self_dialogue": 3.0, "topical_chat": 2.0, "synthetic_persona_chat": 2.0, "voice": 0.7, "curated": 0.5,
    "chatterbot": 0.2, "convai2017": 0.1, "ms_personality_chat": 0.0, "accentor_sgd": 0.0,
    "taskmaster4": 0.0, "koziev_jokes": 0.0, "rusdracor": 0.0, "convai2018": 0.0,
}  # fmt: skip
"""How often a batch is of a source, relative to the others: chit-chat, and small sources less."""
SHARE_OF_OTHERS = 2.0
"""Of sources that are not named: an owner's own log."""
ECHO_WEIGHT = 1.5
"""As how many wrong replies the message to answer counts. On dialogs kept out of training, with 0, 1 and 4: its mean
rank is 1, 17 and 57, R@1 0.70, 0.66 and 0.65."""
MOST = 400_000
"""Messages of a source at the most: a quarter of an hour of embedding on two cores. With 80,000, a quarter of
self_dialogue, R@1 on dialogs kept out of training is 0.710, with all of it 0.722."""
PART = 512
PREFIX = "expected."


class ExpectedReply(nn.Module):
    """Two sums of a context's vectors, its last two messages, a hidden layer: added to the first sum. Replies are
    mapped linearly."""

    def __init__(self, lags: torch.Tensor, width: int, hidden: int = HIDDEN) -> None:
        """`lags`: what each message counts at first, the newest first, shape (lags,)."""
        super().__init__()
        self.lags = nn.Parameter(lags.clone())
        self.evenly = nn.Parameter(torch.full_like(lags, 1 / len(lags) ** 0.5))
        self.read, self.write = nn.Linear(4 * width, hidden), nn.Linear(hidden, width)
        self.reply = nn.Linear(width, width, bias=False)
        for untrained in (self.write.weight, self.write.bias, self.reply.weight):
            nn.init.zeros_(untrained)

    def forward(self, messages: torch.Tensor) -> torch.Tensor:
        """Unit vectors, shape (contexts, width), of messages' vectors, shape (contexts, lags, width), the newest first
        and zeros where there are no more."""
        near, even = ((messages * weights[:, None]).sum(1) for weights in (self.lags, self.evenly))
        begun = functional.normalize(near, dim=-1)
        seen = torch.cat([messages[:, 0], messages[:, 1], begun, even], dim=1) * SPREAD
        hidden = functional.gelu(self.read(functional.dropout(seen, DROPOUT, self.training)))
        hidden = functional.dropout(hidden, DROPOUT, self.training)
        return functional.normalize(begun + self.write(hidden), dim=-1)

    def replies(self, vectors: torch.Tensor) -> torch.Tensor:
        """Unit vectors of replies as they are compared with those of `forward`, of the same shape."""
        mapped: torch.Tensor = self.reply(vectors)
        return functional.normalize(vectors + mapped, dim=-1)

    @torch.inference_mode()
    def asked(self, messages: Vectors) -> Vectors:
        """`forward` on arrays (ranking.vectors.Expected)."""
        made: Vectors = self(torch.from_numpy(messages)).numpy()
        return made

    @torch.inference_mode()
    def answering(self, replies: Vectors) -> Vectors:
        """`replies` on arrays."""
        made: Vectors = self.replies(torch.from_numpy(replies)).numpy()
        return made


@dataclass(frozen=True, slots=True)
class Places:
    """Places in dialogs of one source: rows of `vectors`, whose last one is zeros."""

    before: torch.Tensor
    """Shape (places, lags): the messages before, the newest first."""
    target: torch.Tensor
    """Shape (places,): the message that came."""
    dialog: torch.Tensor
    """Shape (places,): of which dialog."""


def fit_expected(
    encoder: Encoder,
    dialogs: Sequence[CorpusDialog],
    begin: ExpectedReply | None = None,
    echo_weight: float = ECHO_WEIGHT,
    seed: int = 0,
    batch: int = BATCH,
) -> ExpectedReply | None:
    """A network that tells the message that came next from those that came elsewhere in its source, and from the one
    before it, which counts as `echo_weight` of these. It goes on from `begin`. None for fewer places than two
    batches."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    vectors, sources = places_of(encoder, dialogs, draw)
    count = sum(len(places.target) for places in sources.values())
    if count < 2 * batch:
        return None
    model = deepcopy(begin) or ExpectedReply(torch.from_numpy(np.asarray(encoder.lags)), encoder.width)
    log_scale = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.AdamW([*model.parameters(), log_scale], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = min(STEPS, PASSES * count // batch)
    pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / WARM, 1 - step / steps))
    weights = [share_of(source) for source in sources]
    model.train()
    for _ in tqdm(range(steps), desc="expected replies", mininterval=2, disable=None):
        places = draw.choices(list(sources.values()), weights)[0]
        some = torch.randint(len(places.target), (batch,))
        found = scores(model, log_scale.exp(), vectors, places, some, echo_weight)
        loss = functional.cross_entropy(found, torch.arange(batch))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        pace.step()
    return model.eval()


def scores(
    model: ExpectedReply,
    scale: torch.Tensor,
    vectors: torch.Tensor,
    places: Places,
    some: torch.Tensor,
    echo_weight: float,
) -> torch.Tensor:
    """Shape (some, some + 1): of each place in `some` the replies of all, its own in the diagonal, and at the end the
    message to answer. The same words, and what another place of the same dialog has, are no wrong replies."""
    before, target, dialog = places.before[some], places.target[some], places.dialog[some]
    asked, replies = model(vectors[before]), model.replies(vectors[target])
    fair = (target[:, None] != target[None]) & (dialog[:, None] != dialog[None])
    fair.fill_diagonal_(True)
    others: torch.Tensor = (asked @ replies.T).masked_fill(~fair, -1.0) * scale
    if echo_weight == 0:
        return others
    last = before[:, 0]
    echo = (asked * model.replies(vectors[last])).sum(1).masked_fill(last == target, -1.0) * scale + math.log(
        echo_weight
    )
    return torch.cat([others, echo[:, None]], dim=1)


def places_of(
    encoder: Encoder, dialogs: Sequence[CorpusDialog], draw: random.Random
) -> tuple[torch.Tensor, dict[str, Places]]:
    """The vectors of all distinct messages and a row of zeros, and the places of each source that SHARES takes."""
    texts: dict[str, int] = {}
    rows: dict[str, list[tuple[list[int], int, int]]] = {}
    taken: dict[str, int] = {}
    lags = len(encoder.lags)
    for number, dialog in enumerate(draw.sample(dialogs, len(dialogs))):
        said = [message.text for message in dialog.messages]
        if len(said) < 2 or share_of(dialog.source) == 0 or taken.get(dialog.source, 0) + len(said) > MOST:
            continue
        taken[dialog.source] = taken.get(dialog.source, 0) + len(said)
        ids = [texts.setdefault(text, len(texts)) for text in said]
        for place in range(1, len(ids)):
            before = ids[max(0, place - lags) : place][::-1]
            rows.setdefault(dialog.source, []).append((before + [-1] * (lags - len(before)), ids[place], number))
    known = list(texts)
    made = [
        encoder.encode(known[start : start + PART])
        for start in tqdm(range(0, len(known), PART), desc="messages", mininterval=2, disable=None)
    ]
    vectors = np.concatenate([*made, np.zeros((1, encoder.width), np.float32)])
    columns = {source: [torch.tensor(column) for column in zip(*found, strict=True)] for source, found in rows.items()}
    return torch.from_numpy(vectors), {source: Places(*found) for source, found in columns.items()}


def share_of(source: str) -> float:
    """How often a batch is of a source."""
    return SHARES.get(source, SHARE_OF_OTHERS)


def state_of(model: ExpectedReply) -> dict[str, torch.Tensor]:
    """Its weights, by names that no BERT has."""
    return {PREFIX + name: value for name, value in model.state_dict().items()}


def expected_of(state: dict[str, torch.Tensor]) -> ExpectedReply | None:
    """The network whose weights are in a state, which loses them; None where there are none."""
    own = {name.removeprefix(PREFIX): state.pop(name) for name in list(state) if name.startswith(PREFIX)}
    if not own:
        return None
    model = ExpectedReply(own["lags"], own["reply.weight"].shape[0], own["read.weight"].shape[0])
    model.load_state_dict(own)
    return model.eval()
