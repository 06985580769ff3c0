"""Where bi-encoders come from: the shipped one, one of your own, MiniLM as published, or any SentenceTransformer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ranking.delta import has_delta, starter_version, trained_version
from ranking.dialog_encoder import DECAY, LAGS, MESSAGE_TOKENS, DialogEncoder, load_dialog_encoder
from ranking.pretrained import HUB_ID, SHA256, loading
from ranking.serving import pack, serving_dtype
from ranking.vectors import Embed, Encoder, Vectors

STARTER = Path(__file__).parent / "starter" / "retriever"
SHIPPED_VECTORS = Path(__file__).parent / "starter" / "curated.safetensors"

PLAIN = "minilm"
"""The name of the packaged all-MiniLM-L6-v2 as it was published: a baseline. Its name on the hub does as well."""


def load_encoder(name: str = "", caches: Sequence[Path] = ()) -> Encoder:
    """A bi-encoder: "" for the shipped one, PLAIN for MiniLM untrained, a folder that `kith train retriever` wrote, or
    a folder or hub id of any SentenceTransformer. Raises ModelError when it cannot be loaded."""
    known = (SHIPPED_VECTORS, *caches)
    with loading(f"The retriever {name or STARTER}"):
        version = encoder_version(name)  # of the shipped one it says what is missing
        if name in (PLAIN, HUB_ID):
            return encoder_of(serving(load_dialog_encoder()), version, known)
        if name == "" or has_delta(name):
            return encoder_of(serving(load_dialog_encoder(name or str(STARTER))), version, known)
        return Encoder(*any_bi_encoder(name), version, known)


def encoder_version(name: str = "") -> str:
    """The version of a bi-encoder by that name, without loading it. Raises ModelError and OSError."""
    if name in (PLAIN, HUB_ID):
        return f"all-MiniLM-L6-v2 {SHA256[:8]}"
    if name == "":
        return starter_version(STARTER)
    return trained_version(name) if has_delta(name) else Path(name).name


def encoder_of(model: DialogEncoder, version: str, caches: Sequence[Path] = ()) -> Encoder:
    """One of ours, straight on transformers: sentence-transformers takes seconds to import."""

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = model(texts).numpy()
        return vectors

    likeness, listening = (None if part is None else part.numpy() for part in (model.likeness, model.listening))
    return Encoder(embed, model.lags.detach().numpy(), version, caches, likeness, listening, model.expected)


def serving(model: DialogEncoder) -> DialogEncoder:
    """The same, in the number format of this machine."""
    model.bert.to(serving_dtype())
    pack(model.bert)
    return model


def any_bi_encoder(name: str) -> tuple[Embed, Vectors]:
    """One of sentence-transformers' kind; what further messages count is that of plain MiniLM."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(name, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    model.max_seq_length = MESSAGE_TOKENS

    def embed(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return vectors

    return embed, np.array([DECAY**lag for lag in range(LAGS)], np.float32)
