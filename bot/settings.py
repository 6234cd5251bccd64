"""Every environment variable of Tellonce, typed, with its help sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class WrongSetting(Exception):
    """A setting that stops the start; the text says which one and why."""


class Settings(BaseSettings):
    """The operator's choices: ``TELLONCE_DATABASE_URL=postgresql://…`` sets ``database_url``."""

    model_config = SettingsConfigDict(env_prefix="TELLONCE_", env_ignore_empty=True, extra="ignore")

    data_dir: Annotated[Path, Field(description="Folder of everything Tellonce keeps on disk.")] = Path("var")
    database_url: Annotated[str, Field(description="SQLite file or PostgreSQL; empty: tellonce.db in the data folder.")] = ""
    service_key_file: Annotated[
        Path | None, Field(description="File of the service key; empty: the systemd credential service-key, else DATA_DIR/keys.")
    ] = None
    run_dir: Annotated[Path | None, Field(description="Folder of sockets while running; empty: DATA_DIR/run.")] = None
    public_url: Annotated[str, Field(description="Address the vendors post to, as they see it.")] = "http://127.0.0.1:8000"
    host: Annotated[str, Field(description="Address `serve` listens on.")] = "127.0.0.1"
    port: Annotated[int, Field(description="Port `serve` listens on.", ge=0, le=65535)] = 8000
    nlu_url: Annotated[str, Field(description="Where Rasa answers, on this machine; off: keywords alone.")] = (
        "http://127.0.0.1:5005"
    )
    nlu_token: Annotated[SecretStr, Field(description="Rasa's token; empty: `up` makes one for its own Rasa.")] = SecretStr("")
    nlu_timeout: Annotated[float, Field(description="Seconds to wait for Rasa before going on without it.", gt=0)] = 2.0
    working_language: Annotated[str, Field(description="Language of the caseworkers (BCP 47).")] = "en"
    organisation: Annotated[str, Field(description="Name by which the bot introduces itself.")] = "Tellonce"
    place: Annotated[str, Field(description="Jurisdiction file in flows/places, for emergency numbers.")] = "gb"
    session_idle_minutes: Annotated[int, Field(description="Minutes after which a signed-in caseworker is signed out.", gt=0)] = 30
    check_in_hour: Annotated[int, Field(description="Local hour at which check-ins are sent.", ge=8, le=20)] = 11
    time_zone: Annotated[str, Field(description="Time zone of the reporters (IANA).")] = "Europe/London"
    hours: Annotated[
        str, Field(description="When people answer, such as mon-fri 9:00-17:00, sat 10:00-13:00; empty: no time is promised.")
    ] = ""
    holidays: Annotated[str, Field(description="Days on which nobody answers, such as 2026-12-25, 2026-12-26.")] = ""
    metrics_token: Annotated[
        SecretStr,
        Field(description="Lets a monitoring system of another machine read /health and /metrics; empty: this one alone."),
    ] = SecretStr("")
    day_keys_dir: Annotated[
        Path | None,
        Field(description="Folder of the day keys; machines with one database share it; empty: beside the service key's file."),
    ] = None
    case_days: Annotated[int, Field(description="Days after closing until a case is erased.", gt=0)] = 90
    reporter_days: Annotated[
        int, Field(description="Days without a word until a reporter of whom no case is left is erased with their address.", gt=0)
    ] = 30
    audit_head_file: Annotated[
        Path | None,
        Field(description="File on another machine's disk that gets the head of the read log daily; empty: the log of `work`."),
    ] = None
    secure_cookies: Annotated[bool, Field(description="Send the console's cookie over https only.")] = True

    @field_validator("nlu_url")
    @classmethod
    def _stays_on_this_machine(cls, url: str) -> str:
        """Promise 3: what a reporter wrote is understood here or nowhere."""
        if url in ("", "off"):
            return ""
        if urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("Rasa must be on this machine (http://127.0.0.1:PORT); reporters' words leave it for nobody")
        return url

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'tellonce.db'}"

    @property
    def database_folder(self) -> Path | None:
        """The folder of the SQLite file; None where the database keeps its own disk (PostgreSQL)."""
        scheme, _, path = self.database.partition(":///")
        return Path(path).parent if scheme.startswith("sqlite") and path else None

    @property
    def key_file(self) -> Path:
        """Where the service key lies: the file named, else systemd's credential, else a file in the data folder."""
        if self.service_key_file:
            return self.service_key_file
        credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / "service-key"
        return credential if credential.exists() else self.data_dir / "keys" / "service-key"

    @property
    def day_keys(self) -> Path:
        """Where the day keys of unfinished conversations lie; a systemd credential's folder cannot be written."""
        beside = self.service_key_file.parent if self.service_key_file else self.data_dir / "keys"
        return self.day_keys_dir or beside / "days"

    @property
    def runtime_folder(self) -> Path:
        return self.run_dir or self.data_dir / "run"

    @property
    def translate_socket(self) -> Path:
        return self.runtime_folder / "translate.sock"

    @property
    def argos_packages(self) -> Path:
        return self.data_dir / "argos" / "packages"


def load() -> Settings:
    """Read the environment. Raises WrongSetting naming each variable that does not fit, never its value."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"TELLONCE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors(include_input=False))
        raise WrongSetting(wrong) from None
