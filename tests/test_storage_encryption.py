"""An encrypted log, where SQLCipher's library is installed: it works as any other, and its files tell nothing."""

import sys
from pathlib import Path

import pytest
from turn_values import CHAT, PERSON, talk

from storage.backups import backup, restore
from storage.database import StoreError, open_database
from storage.dialog import Vote
from storage.store import SqlDialogStore

KEY = "a%20key%20with%20%22quotes%22%20%26%20%2F%20%D1%91"
"""`a key with "quotes" & / ё`, as a URL has it."""

needs_sqlcipher = pytest.mark.usefixtures("sqlcipher")


@pytest.fixture
def sqlcipher() -> None:
    pytest.importorskip("sqlcipher3")


@pytest.fixture
def encrypted_url(tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    return f"sqlite://:{KEY}@/{tmp_path / 'data' / 'kith.db'}"


def bytes_in(folder: Path) -> bytes:
    """Everything that is in the files of a folder."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def said(url: str) -> list[str]:
    with SqlDialogStore(url) as store:
        return [m["text"] for d in store.personal_data(PERSON)["dialogs"] for m in d["messages"]]


@needs_sqlcipher
def test_an_encrypted_log_keeps_turns_votes_and_silence(encrypted_url: str, tmp_path: Path) -> None:
    with SqlDialogStore(encrypted_url) as store:
        turn = talk(store, "my deepest secret", "I hear you.", "Another secret")
        store.add_vote(Vote(turn.id, PERSON, 1, "button"), CHAT)
        assert (tmp_path / "data" / "kith.db-wal").stat().st_size > 0
        assert b"secret" not in bytes_in(tmp_path) and b"SQLite" not in bytes_in(tmp_path)
    with SqlDialogStore(encrypted_url) as store:
        assert store.turn(turn.id) == turn
        assert store.vote_of(turn.id, PERSON) is not None
        store.forget(PERSON)
    assert said(encrypted_url) == []


@needs_sqlcipher
@pytest.mark.parametrize("key", ["", ":wrong@"])
def test_without_the_key_it_is_refused_in_one_sentence_that_names_the_setting(
    encrypted_url: str, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    SqlDialogStore(encrypted_url).close()
    with pytest.raises(StoreError, match="KITH_DATABASE_KEY") as error:
        open_database(encrypted_url.replace(f":{KEY}@", key))
    assert "wrong" not in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@needs_sqlcipher
def test_so_is_a_plain_log_with_a_key(encrypted_url: str) -> None:
    SqlDialogStore(encrypted_url.replace(f":{KEY}@", "")).close()
    with pytest.raises(StoreError, match="KITH_DATABASE_KEY"):
        open_database(encrypted_url)


@needs_sqlcipher
def test_its_backup_is_encrypted_and_comes_back(encrypted_url: str, tmp_path: Path) -> None:
    file = tmp_path / "kith.backup"
    with SqlDialogStore(encrypted_url) as store:
        talk(store, "my deepest secret", "I hear you.")
        backup(encrypted_url, file)
        talk(store, "said since", "Yes.")
    assert b"secret" not in file.read_bytes()
    kept = restore(encrypted_url, file)
    assert said(encrypted_url) == ["my deepest secret"]
    assert kept is not None and b"secret" not in bytes_in(tmp_path)
    with pytest.raises(StoreError, match="KITH_DATABASE_KEY"):
        restore(encrypted_url.replace(f":{KEY}@", ""), file)
    with pytest.raises(StoreError, match="another KITH_DATABASE_KEY"):
        restore(encrypted_url.replace(KEY, "another"), file)
    assert said(encrypted_url) == ["my deepest secret"]


@needs_sqlcipher
def test_a_log_that_was_plain_is_encrypted_by_restoring_its_backup(encrypted_url: str, tmp_path: Path) -> None:
    plain, file = encrypted_url.replace(f":{KEY}@", ""), tmp_path / "kith.backup"
    with SqlDialogStore(plain) as store:
        talk(store, "my deepest secret", "I hear you.")
    backup(plain, file)
    kept = restore(encrypted_url, file)
    assert kept is not None
    kept.unlink()
    file.unlink()
    assert said(encrypted_url) == ["my deepest secret"]
    assert b"secret" not in bytes_in(tmp_path)


def test_without_its_library_a_key_is_refused_with_the_command_to_type(
    encrypted_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlcipher3", None)
    with pytest.raises(StoreError, match=r"pip install -e '\.\[encrypted\]'"):
        open_database(encrypted_url)
