"""Sentence vectors of the pool, kept in files, so that a bot starts without embedding thousands of texts again."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer

QUERY_TOKENS = 64


class Encoder:
    """Texts to unit vectors, by a bi-encoder, through a cache of files. `version` names the model."""

    def __init__(self, model: SentenceTransformer, version: str, caches: Sequence[Path] = ()) -> None:
        """`caches`: files that `save` wrote; those of another model, and broken ones, are passed over."""
        self.model, self.version = model, version
        self.model.max_seq_length = QUERY_TOKENS
        self.known: dict[bytes, NDArray[np.float16]] = {}
        for cache in caches:
            self.known.update(load(cache, version))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of shape (texts, dimensions): from the cache where it has them, nothing new remembered."""
        return self._encode(texts, {})

    def remembered(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same, and new ones are remembered: for the pool, not for what people write."""
        return self._encode(texts, self.known)

    def _encode(self, texts: Sequence[str], memory: dict[bytes, NDArray[np.float16]]) -> NDArray[np.float32]:
        keys = [digest(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.known}
        found: dict[bytes, NDArray[np.float16]] = {}
        if missing:
            vectors = self.model.encode(
                list(missing.values()), normalize_embeddings=True, show_progress_bar=False, batch_size=32
            )
            found = dict(zip(missing, vectors.astype(np.float16), strict=True))
            memory.update(found)
        if not keys:
            return np.zeros((0, self.model.get_embedding_dimension() or 0), np.float32)
        return np.stack([found[key] if key in found else self.known[key] for key in keys]).astype(np.float32)

    def save(self, file: Path, texts: Sequence[str]) -> None:
        """Writes the vectors of the texts as a cache, whole or not at all."""
        vectors = self.remembered(texts).astype(np.float16)
        keys = np.frombuffer(b"".join(digest(text) for text in texts), np.uint8).reshape(-1, 8)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            save_file({"keys": keys, "vectors": vectors}, Path(folder) / file.name, {"version": self.version})
            (Path(folder) / file.name).replace(file)


def load(file: Path, version: str) -> dict[bytes, NDArray[np.float16]]:
    """The vectors of a cache file by the text's digest; nothing when it is missing, broken or of another model."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            if (tensors.metadata() or {}).get("version") != version:
                return {}
            keys, vectors = tensors.get_tensor("keys"), tensors.get_tensor("vectors")
    except (OSError, SafetensorError):
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def digest(text: str) -> bytes:
    """Eight bytes that stand for a text (a million texts collide with a chance of 3 in 100 million)."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
