"""Settings that nobody meant: whatever stands in the environment, .env or kith.toml is a setting or one sentence."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.personas import load_personas
from bot.settings import Settings, UserError, env_name, load_settings
from ranking.policy import PolicyError, load_weights
from storage.database import StoreError, open_database

NAMES = sorted(Settings.model_fields)
BROKEN = [
    b"\xff\xfe", b"\xef\xbb\xbfcandidates = 1", b"a = " + b"[" * 50_000, b"candidates = " + b"1" * 5000,
    b"candidates = 1e999",
    b"candidates = 1\ncandidates = 2", b"[candidates]\nx = 1", b"\0", b"=", b"candidates", b"candidates = 1979-05-27",
]  # fmt: skip
ODD = [
    "", " ", "~nobody-of-this-name/x", "~", "\x01", "ж", "-1", "0", "inf", "nan", "1e308", "9" * 400, "[]", "{}",
    "null", "true", "http://", "http://[", "http://a b", "https://ж.example", "file:///etc/passwd", "../..",
    "/dev/null", "@ann", "1,,2", "telegram:", "'", '"', "${HOME}", "%s", "a" * 5000, "sqlite://", "postgresql://h:x/y",
]  # fmt: skip

TOML = st.recursive(
    st.text(max_size=8) | st.sampled_from(ODD) | st.integers() | st.floats() | st.booleans(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text("ab", min_size=1), some, max_size=2),
    max_leaves=4,
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper() in {env_name(field) for field in NAMES}:
            monkeypatch.delenv(name)
    return tmp_path


def loads() -> Settings | None:
    """The settings, or None for one sentence."""
    try:
        return load_settings()
    except UserError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
        return None


@given(name=st.sampled_from(NAMES), value=TOML)
def test_any_value_in_kith_toml_is_taken_or_one_sentence(place: Path, name: str, value: object) -> None:
    # JSON's notation is TOML's, but for tables and numbers that are none.
    (place / "kith.toml").write_text(f"{name} = {json.dumps(value)}\n", encoding="utf-8", errors="replace")
    loads()


@given(name=st.sampled_from(NAMES), value=st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"])))
@example(name="data_dir", value="~nobody-of-this-name/kith")
@example(name="generator", value="~nobody-of-this-name/model")
def test_any_value_in_the_environment_is_taken_or_one_sentence(place: Path, name: str, value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(env_name(name), value.replace("\0", ""))
        loads()


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("file", ["kith.toml", ".env"])
def test_a_broken_file_is_taken_or_one_sentence(place: Path, file: str, content: bytes) -> None:
    (place / file).write_bytes(content)
    loads()


@given(content=st.binary(max_size=80))
def test_any_bytes_in_the_files_are_taken_or_one_sentence(place: Path, content: bytes) -> None:
    for file in ("kith.toml", ".env"):
        (place / file).write_bytes(content)
        loads()
        (place / file).unlink()


@pytest.mark.parametrize("file", ["kith.toml", ".env"])
def test_a_folder_in_place_of_a_file_is_no_setting(place: Path, file: str) -> None:
    (place / file).mkdir()
    assert loads()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idle_hours", "1e308"),
        ("keep_days", "1e7"),
        ("opted_out_hours", "1e308"),
        ("late_minutes", "1e308"),
        ("remote_timeout", "inf"),
        ("webhook_url", '"https://["'),
        ("data_dir", '"a\\u0000b"'),
        ("data_dir", '"~nobody-of-this-name/kith"'),
        ("generator", '"~nobody-of-this-name/model"'),
        ("telegram_api_url", '"https://a.example/\\u0001"'),
        ("admins", "[true]"),
        ("allowed", "{}"),
    ],
)
def test_what_would_fail_later_is_told_at_once(place: Path, name: str, value: str) -> None:
    (place / "kith.toml").write_text(f"{name} = {value}\n")
    with pytest.raises(UserError, match=f"^The setting {env_name(name)} is wrong"):
        load_settings()


@given(url=st.sampled_from(ODD) | st.text(max_size=30).map("sqlite:///x{}".format) | st.text(max_size=9))
@example(url="postgresql://user:secret@host:port/kith")
@example(url="postgresql://user:secret@[::1/kith")
@example(url="sqlite:///x.db?timeout=long")
@example(url="sqlite:///x.db?check_same_thread=banana")
@example(url="postgresql:///x?host=/nowhere&port=abc")
def test_a_database_url_is_opened_or_one_sentence_without_a_password(place: Path, url: str) -> None:
    try:
        open_database(url).dispose()
    except StoreError as error:
        assert "secret" not in str(error)


PERSONA = b'facts = ["I am Kith."]\n[name]\nen = "Kith"\n[description]\nen = "kind"\n'


@given(content=st.binary(max_size=60) | st.integers(0, len(PERSONA)).map(lambda size: PERSONA[:size]))
@example(content=b"facts = " + b"[" * 50_000)
@example(content=b"facts = " + b"1" * 5000)
@example(content=PERSONA + b"trust = true\n")
def test_a_persona_file_is_a_persona_or_one_sentence(place: Path, content: bytes) -> None:
    (place / "sailor.toml").write_bytes(content)
    try:
        assert "sailor" in load_personas(place)
    except UserError as error:
        assert "sailor.toml" in str(error)


@given(content=st.binary(max_size=60))
@example(content=b"[" * 200_000)
@example(content=b'{"version": 1, "weights": {"a": ' + b"1" * 400 + b'}, "vetoes": {}}')
@example(content=b'{"version": 1, "weights": {"a": 1e999}, "vetoes": {}}')
def test_a_policy_file_is_a_policy_or_one_sentence(place: Path, content: bytes) -> None:
    (place / "policy.json").write_bytes(content)
    with pytest.raises(PolicyError, match=r"policy\.json is not a file of policy weights"):
        load_weights(place / "policy.json")
