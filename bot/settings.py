"""Everything that can be configured: the environment, then `.env`, then `kith.toml` where you are, checked once.

Names are `KITH_*` in the environment and in `.env` (the two Telegram ones as Telegram's own world spells them) and the
field's plain name in `kith.toml`. An unknown name is an error, so that a misspelt one does not go unnoticed.
"""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from bot.experiments import VariantSettings
from bot.model_folders import home, model_name
from bot.rights import Rules, full_id

TELEGRAM_NAMES = ("TELEGRAM_BOT_TOKEN", "TELEGRAM_API_URL")

PASSWORD = re.compile(r"(?<=:)[^:@/][^:@]*(?=@)|(?<=[?&]password=)[^&]+")
"""In a database's URL."""


def _url(text: str) -> str:
    """An address with a host, as a pattern cannot tell it."""
    if not urlsplit(text).hostname or re.search(r"[^\x21-\x7e]", text):
        raise ValueError("an address such as https://example.org/path is needed")
    return text


def _ids(value: object) -> tuple[str, ...]:
    """Ids with commas or spaces between them, or a list of them, as the log names them."""
    listed = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError("a list of ids is needed")
    texts = [str(each) for each in listed if each != ""]
    for text in texts:
        if full_id(text) is None:
            raise ValueError(f"{text!r} is no id: they look like 42, -100123 or console:me")
    return tuple(name for text in texts if (name := full_id(text)))


Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$"), AfterValidator(_url)]
Ids = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_ids)]


class UserError(Exception):
    """A mistake of the person at the keyboard: one sentence that says what to do. The program ends with its code."""

    code = 2


class OutOfReach(UserError):
    """No mistake: what is needed is not there now, and may be there later."""

    code = 75  # EX_TEMPFAIL of sysexits.h


class Settings(BaseSettings):
    """See the table in README.md, which a test keeps equal to this class."""

    model_config = SettingsConfigDict(
        env_prefix="KITH_", env_file=".env", toml_file="kith.toml", extra="forbid", env_ignore_empty=True, frozen=True
    )

    telegram_bot_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("TELEGRAM_BOT_TOKEN", "telegram_bot_token"),
        description="token from @BotFather; without it `make run` opens the terminal chat",
    )  # fmt: skip
    telegram_api_url: Url = Field(
        "https://api.telegram.org", validation_alias=AliasChoices("TELEGRAM_API_URL", "telegram_api_url"),
        description="root of a Bot API server, for one that you host",
    )  # fmt: skip
    webhook_url: Url | None = Field(None, description="public https address; set: webhook, not set: polling")
    webhook_listen: str = Field("127.0.0.1", description="address that the webhook listens on")
    webhook_port: int = Field(8443, ge=1, le=65535, description="port that the webhook listens on")
    webhook_secret: SecretStr | None = Field(None, description="secret token that Telegram sends with each update")
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("kith"),
        description="folder of database, logs, salt and the vectors of an own pool",
    )
    database_url: SecretStr | None = Field(None, description="SQLAlchemy URL; default: kith.db in the data folder")
    database_key: SecretStr | None = Field(None, description="encrypts the SQLite database (SQLCipher)")
    allowed: Ids = Field((), description="ids of the people and chats that may talk to Kith; none: everybody")
    blocked: Ids = Field((), description="ids of people and chats that get nothing")
    admins: Ids = Field((), description="ids of people who may use /stats, /block and /unblock")
    minute_quota: int = Field(30, ge=0, description="replies a minute that one person may ask for; 0: any number")
    day_quota: int = Field(1000, ge=0, description="the same for a day")
    persona: str = Field("friend", description="persona of new chats")
    personas_dir: Path | None = Field(None, description="folder of your own persona files (*.toml)")
    generator: str = Field("", description="folder or hub id of a causal language model; default: the starter")
    candidates: int = Field(4, ge=0, le=32, description="replies sampled a turn; 0 switches the generator off")
    max_new_tokens: int = Field(40, ge=1, le=1024, description="length of a sampled reply, in tokens")
    sampling_temperature: float = Field(0.8, gt=0, le=2, description="of the generator's sampling")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus of the generator's sampling")
    examples: int = Field(2, ge=0, le=50, description="dialogs of Kith's voice shown to a generator of others")
    remote_url: Url | None = Field(None, description="base URL of an OpenAI-compatible server, used instead")
    remote_model: str = Field("", description="model name on that server")
    remote_key: SecretStr | None = Field(None, description="its API key")
    remote_timeout: float = Field(20, gt=0, le=3600, description="seconds to wait for that server")
    retriever: str = Field("", description="folder or hub id of a bi-encoder; default: the shipped one")
    retrieved: int = Field(
        8, ge=0, le=64, description="replies retrieved a turn; 0 switches retrieval and listening off"
    )
    ranker: str = Field("", description="folder or hub id of a ranker; default: the shipped one")
    taste: Path | None = Field(None, description="file of `kith train taste`; default: that of the shipped retriever")
    policy: Path | None = Field(None, description="JSON file of policy weights; default: the shipped one")
    exploration: float = Field(0.15, ge=0, le=10, description="softmax temperature of the choice; 0 = always the best")
    early: float | None = Field(
        None,
        description="total from which generation is not waited for (`kith evaluate early`); none: it always is; only"
        " without exploration",
    )
    experiment: str = Field(
        "experiment", pattern=r"^[\w.-]{1,64}$", description="name of the experiment; another one assigns people anew"
    )
    variants: tuple[VariantSettings, ...] = Field((), description="what differs between groups of people, see below")
    safety: Literal["on", "off"] = Field("on", description="off: nothing is moderated, for owners who know why")
    safety_model: str = Field("", description="folder or hub id of a text classifier that judges replies, used instead")
    help_lines: Path | None = Field(
        None, description="file of help lines for your people; default: bot/help_lines.toml"
    )
    after_talk: Literal["on", "off"] = Field("on", description="off: nobody is asked how they feel after a longer talk")
    context_messages: int = Field(200, ge=1, le=10_000, description="messages of a dialog that a turn looks back on")
    idle_hours: float = Field(12, gt=0, le=1_000_000, description="silence after which a fresh dialog begins")
    keep_days: float = Field(
        0, ge=0, le=100_000, description="days after which messages are deleted; 0: they are kept for ever"
    )
    opted_out_hours: float = Field(
        24,
        gt=0,
        le=1_000_000,
        description="hours of silence after which dialogs are deleted that may not be learnt from",
    )
    implicit_weight: float = Field(
        0.1,
        ge=0,
        le=1,
        description="what a person's going on or leaving counts in training, against a vote; 0: nothing",
    )
    votes_a_person: float = Field(50, gt=0, le=1_000_000, description="votes that one person counts for in training")
    max_batch: int = Field(16, ge=1, le=256, description="chats answered in one pass")
    turn_seconds: float = Field(
        60, gt=0, le=3600, description="time for a reply, after which a model that hangs is left out"
    )
    generate_seconds: float | None = Field(
        None, ge=0, le=3600,
        description="seconds after which a turn that still waits goes without generation; 0: never; default: 0.5 for"
        " the shipped generator, which is not waited for where five or more chats wait at once, 2 for another",
    )  # fmt: skip
    max_waiting: int = Field(5, ge=1, le=1000, description="messages of a chat that may wait for their replies")
    max_waiting_all: int = Field(256, ge=1, le=1_000_000, description="the same for all chats together")
    late_minutes: float = Field(
        60, gt=0, le=1_000_000, description="age of a message that gets an apology instead of a reply"
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the models; 0: OMP_NUM_THREADS, or one a core")
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="how much is logged; DEBUG: people's words too, when something fails",
    )  # fmt: skip
    log_format: str = Field("text", pattern="^(text|json)$", description="a line of the log: text or json")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of `/healthz` and `/metrics`; default: none"
    )
    metrics_listen: str = Field("127.0.0.1", description="address that these listen on")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("data_dir", "personas_dir", "taste", "policy", "help_lines")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return home(path) if path else None

    @field_validator("generator", "retriever", "ranker", "safety_model")
    @classmethod
    def _there(cls, name: str) -> str:
        return model_name(name)

    @field_validator("variants")
    @classmethod
    def _apart(cls, variants: tuple[VariantSettings, ...]) -> tuple[VariantSettings, ...]:
        """Each has a name of its own, and somebody to be compared with."""
        twice = [name for name, count in Counter(each.name for each in variants).items() if count > 1]
        if twice:
            raise ValueError(f"two variants are called {twice[0]}")
        if len(variants) == 1:
            raise ValueError("one variant alone shows nothing: name the other one too, with nothing but its name")
        return variants

    @field_validator("database_url")
    @classmethod
    def _in_a_folder(cls, url: SecretStr | None) -> SecretStr | None:
        """Of a mistyped path no folders are made: the log would begin anew there, and nobody notice."""
        scheme, _, path = url.get_secret_value().partition(":///") if url else ("", "", "")
        folder = Path(path.partition("?")[0]).parent
        if scheme.startswith("sqlite") and not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        return url

    @field_validator("database_key")
    @classmethod
    def _of_sqlite(cls, key: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        url = others.data.get("database_url")
        if key and url and not url.get_secret_value().startswith("sqlite"):
            raise ValueError("only SQLite takes a key; PostgreSQL has means of its own (docs/operations.md)")
        return key

    @property
    def pool_vectors(self) -> Path:
        """Where the vectors of replies that the pool has besides the shipped ones are kept."""
        return self.data_dir / "pool.safetensors"

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in, and with the key as its password."""
        url = self.database_url.get_secret_value() if self.database_url else f"sqlite:///{self.data_dir / 'kith.db'}"
        if self.database_key is None:
            return url
        scheme, _, rest = url.partition("://")
        return f"{scheme}://:{quote(self.database_key.get_secret_value(), safe='')}@{rest}"

    @property
    def secrets(self) -> list[str]:
        """What must never be printed: tokens and keys, and of the database's URL the password."""
        found = [getattr(self, name) for name in SECRETS if name != "database_url"]
        url = self.database_url.get_secret_value() if self.database_url else ""
        passwords = PASSWORD.findall(url)
        return [*(each.get_secret_value() for each in found if each), *passwords, *map(unquote, passwords)]

    @property
    def rules(self) -> Rules:
        """Who may talk and how much."""
        allowed, blocked, admins = map(frozenset, (self.allowed, self.blocked, self.admins))
        return Rules(allowed, blocked, admins, self.minute_quota, self.day_quota)


SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None)
"""The settings that hold secrets."""


def env_name(field: str) -> str:
    """A field's name in the environment."""
    return field.upper() if field.upper() in TELEGRAM_NAMES else f"KITH_{field.upper()}"


def load_settings() -> Settings:
    """The settings, or a UserError that names the first wrong one and where it may have come from."""
    known = {env_name(field) for field in Settings.model_fields}
    try:
        for name in sorted({*os.environ, *dotenv_values(".env")}):
            if name.upper().startswith("KITH_") and name.upper() not in known:
                raise UserError(f"{name} is not a setting of Kith: correct or remove it (README.md lists them all).")
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        name = env_name(field.lower()) if field.lower() in Settings.model_fields else field
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            raise UserError(
                f"{name} is not a setting of Kith: correct or remove it in .env or kith.toml (there names are in lower "
                "case, without KITH_)."
            ) from None
        inside = [f"entry {part + 1}" if isinstance(part, int) else str(part) for part in first["loc"][1:]]
        wrong = ": ".join([*inside, first["msg"]])
        raise UserError(f"The setting {name} is wrong: {wrong} (environment, .env or kith.toml).") from None
    except (ValueError, RecursionError, SettingsError, OSError) as error:  # of broken TOML and of odd bytes
        raise UserError(f"The settings cannot be read ({error}): mend .env or kith.toml.") from None
