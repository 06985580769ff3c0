"""Names for people and chats in exports."""

import hashlib
import hmac
from pathlib import Path

import pytest

from storage.files import ExportError
from storage.pseudonyms import load_salt, pseudonym


def test_a_pseudonym_is_the_same_each_time_and_another_under_another_salt() -> None:
    assert pseudonym(b"salt", "telegram:42") == pseudonym(b"salt", "telegram:42")
    names = {pseudonym(salt, name) for salt in (b"salt", b"other") for name in ("telegram:42", "telegram:43")}
    assert len(names) == 4
    assert hmac.new(b"salt", b"telegram:42", hashlib.sha256).hexdigest().startswith(pseudonym(b"salt", "telegram:42"))


def test_the_salt_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    salt = load_salt(folder)
    assert load_salt(folder) == salt
    assert load_salt(tmp_path) != salt
    assert (folder / "salt").stat().st_mode & 0o777 == 0o600


def test_a_salt_that_was_cut_off_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(ExportError, match="remove it"):
        load_salt(tmp_path)


def test_a_folder_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=r"file/salt cannot be used \(.+\)\.$"):
        load_salt(tmp_path / "file")
