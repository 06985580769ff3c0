"""Everything that can be configured: the environment, then `.env`, then `kith.toml` where you are, checked once.

Names are `KITH_*` in the environment and in `.env` (the two Telegram ones as Telegram's own world spells them) and the
field's plain name in `kith.toml`. An unknown name is an error, so that a misspelt one does not go unnoticed.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

TELEGRAM_NAMES = ("TELEGRAM_BOT_TOKEN", "TELEGRAM_API_URL")

Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


class UserError(Exception):
    """A mistake of the person at the keyboard: one sentence that says what to do. The program ends with code 2."""


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
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: kith.db in the data folder")
    persona: str = Field("friend", description="persona of new chats")
    personas_dir: Path | None = Field(None, description="folder of your own persona files (*.toml)")
    generator: str = Field("", description="folder or hub id of a causal language model; default: the starter")
    candidates: int = Field(4, ge=0, le=32, description="replies sampled a turn; 0 switches the generator off")
    max_new_tokens: int = Field(40, ge=1, le=1024, description="length of a sampled reply, in tokens")
    sampling_temperature: float = Field(0.8, gt=0, le=2, description="of the generator's sampling")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus of the generator's sampling")
    examples: int = Field(2, ge=0, le=50, description="dialogs of Kith's voice shown to a generator not trained here")
    remote_url: Url | None = Field(None, description="base URL of an OpenAI-compatible server, used instead")
    remote_model: str = Field("", description="model name on that server")
    remote_key: SecretStr | None = Field(None, description="its API key")
    remote_timeout: float = Field(20, gt=0, description="seconds to wait for that server")
    retriever: str = Field("", description="folder or hub id of a bi-encoder; default: the shipped one")
    retrieved: int = Field(8, ge=0, le=64, description="replies retrieved a turn; 0 switches retrieval off")
    ranker: str = Field("", description="folder or hub id of a ranker; default: the shipped one")
    taste: Path | None = Field(None, description="file of `kith train taste`; default: that of the shipped retriever")
    policy: Path | None = Field(None, description="JSON file of policy weights; default: the shipped one")
    exploration: float = Field(0.3, ge=0, le=10, description="softmax temperature of the choice; 0 = always the best")
    context_messages: int = Field(200, ge=1, le=10_000, description="messages of a dialog that a turn looks back on")
    idle_hours: float = Field(12, gt=0, description="silence after which a fresh dialog begins")
    max_batch: int = Field(16, ge=1, le=256, description="chats answered in one pass")
    turn_seconds: float = Field(60, gt=0, description="time for a reply, after which a model that hangs is left out")
    max_waiting: int = Field(5, ge=1, le=1000, description="messages of a chat that may wait for their replies")
    late_minutes: float = Field(60, gt=0, description="age of a message that gets an apology instead of a reply")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the models; 0: one a core")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="how much is logged")

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

    @field_validator("data_dir", "personas_dir", "taste", "policy")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else None

    @field_validator("generator", "retriever", "ranker")
    @classmethod
    def _there(cls, name: str) -> str:
        """A name that can only be a folder's is one: a hub's client would speak of repositories."""
        if name.startswith(("/", "./", "../", "~")) and not Path(name).expanduser().is_dir():
            raise ValueError(f"there is no folder {name}")
        return str(Path(name).expanduser()) if name.startswith("~") else name

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'kith.db'}"


def env_name(field: str) -> str:
    """A field's name in the environment."""
    return field.upper() if field.upper() in TELEGRAM_NAMES else f"KITH_{field.upper()}"


def load_settings() -> Settings:
    """The settings, or a UserError that names the first wrong one and where it may have come from."""
    known = {env_name(field) for field in Settings.model_fields}
    spelt = {*os.environ, *dotenv_values(".env")}
    for name in sorted(spelt):
        if name.upper().startswith("KITH_") and name.upper() not in known:
            raise UserError(f"{name} is not a setting of Kith: correct or remove it (README.md lists them all).")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        name = env_name(field.lower()) if field.lower() in Settings.model_fields else field
        if first["type"] == "extra_forbidden":
            raise UserError(
                f"{name} is not a setting of Kith: correct or remove it in .env or kith.toml (there names are in lower "
                "case, without KITH_)."
            ) from None
        raise UserError(f"The setting {name} is wrong: {first['msg']} (environment, .env or kith.toml).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, SettingsError, OSError) as error:
        raise UserError(f"The settings cannot be read ({error}): mend .env or kith.toml.") from None
