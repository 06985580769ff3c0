"""Where bi-encoders come from: the shipped one, one of your own, MiniLM as published, or any SentenceTransformer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ranking.delta import has_delta, starter_version, trained_version
from ranking.dialog_encoder import DECAY, LAGS, MESSAGE_TOKENS, load_dialog_encoder
from ranking.pretrained import HUB_ID, SHA256, ModelError
from ranking.vectors import Embed, Encoder, Vectors

STARTER = Path(__file__).parent / "starter" / "retriever"
SHIPPED_VECTORS = Path(__file__).parent / "starter" / "curated.safetensors"

PLAIN = "minilm"
"""The name of the packaged all-MiniLM-L6-v2 as it was published: a baseline. Its name on the hub does as well."""


def load_encoder(name: str = "", caches: Sequence[Path] = ()) -> Encoder:
    """A bi-encoder: "" for the shipped one, PLAIN for MiniLM untrained, a folder that `kith train retriever` wrote, or
    a folder or hub id of any SentenceTransformer. Raises ModelError when it cannot be loaded."""
    try:
        if name in (PLAIN, HUB_ID):
            version, (embed, lags) = f"all-MiniLM-L6-v2 {SHA256[:8]}", dialog_encoder("")
        elif name == "":
            version, (embed, lags) = starter_version(STARTER), dialog_encoder(str(STARTER))
        elif has_delta(name):
            version, (embed, lags) = trained_version(name), dialog_encoder(name)
        else:
            version, (embed, lags) = Path(name).name, any_bi_encoder(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"The retriever {name or STARTER} cannot be loaded: {error}") from error
    return Encoder(embed, lags, version, (SHIPPED_VECTORS, *caches))


def dialog_encoder(name: str) -> tuple[Embed, Vectors]:
    """One of ours, "" for MiniLM, straight on transformers: sentence-transformers takes seconds to import."""
    model = load_dialog_encoder(name)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = model(texts).numpy()
        return vectors

    return embed, model.lags.detach().numpy()


def any_bi_encoder(name: str) -> tuple[Embed, Vectors]:
    """One of sentence-transformers' kind; what further messages count is that of plain MiniLM."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(name)
    model.max_seq_length = MESSAGE_TOKENS

    def embed(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return vectors

    return embed, np.array([DECAY**lag for lag in range(LAGS)], np.float32)
