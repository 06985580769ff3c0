"""Names for people and chats in exports: the same each time, and telling nothing to who has not this machine's salt."""

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from storage.files import ExportError

SALT_BYTES = 32


def pseudonym(salt: bytes, name: str) -> str:
    """16 hex digits for a person's id or a chat's key: 64 bits, so that among a million two meet once in 40 million."""
    return hmac.new(salt, name.encode(), hashlib.sha256).hexdigest()[:16]


def load_salt(folder: Path) -> bytes:
    """The salt in a folder, made on first use and readable by its owner only. Raises ExportError."""
    file = folder / "salt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            file.touch(mode=0o600, exist_ok=False)
            file.write_bytes(secrets.token_bytes(SALT_BYTES))
        salt = file.read_bytes()
    except OSError as error:
        raise ExportError(f"The salt for pseudonyms in {file} cannot be used ({error.strerror}).") from error
    if len(salt) != SALT_BYTES:
        raise ExportError(f"{file} is no salt of {SALT_BYTES} bytes: remove it, and pseudonyms begin anew.")
    return salt
