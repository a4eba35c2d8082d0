"""Every GRACEFUL_* setting: its name, its default, and what it may be."""

import json
import os
import signal
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

__all__ = ["Config", "ConfigError", "KindConfig", "load"]

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MoreThanZeroSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
KindName = Annotated[str, Field(min_length=1, max_length=40)]


class ConfigError(ValueError):
    """A setting has a value it cannot have; the message names the setting."""


class KindConfig(BaseModel):
    """One entry of ``GRACEFUL_KINDS``. What is left out keeps its default."""

    model_config = ConfigDict(extra="forbid")

    tier: int | None = None
    grace: Seconds | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    timeout: MoreThanZeroSeconds | None = None


class Config(BaseModel):
    """The plugin's settings, all optional."""

    # how long
    graceful_deadline: MoreThanZeroSeconds = 8.0
    graceful_cancel_timeout: Seconds = 1.0
    graceful_thread_timeout: Seconds = 1.0
    graceful_hook_timeout: MoreThanZeroSeconds = 1.0
    graceful_shield_timeout: Seconds = 3.0
    graceful_signals: list[str] = ["SIGINT", "SIGTERM"]

    # kinds
    graceful_kinds: dict[KindName, KindConfig] = {}
    graceful_plugin_kinds: dict[str, KindName] = {}

    # retries and HTTP
    graceful_retry_attempts: Annotated[int, Field(ge=1)] = 3
    graceful_retry_max_wait: MoreThanZeroSeconds = 30.0
    graceful_retry_budget: MoreThanZeroSeconds = 300.0
    graceful_retry_throttle: bool = True
    graceful_http_connect_timeout: MoreThanZeroSeconds = 10.0

    # logs
    graceful_redact: bool = True
    graceful_redact_length: Annotated[int, Field(ge=128)] = 256
    graceful_redact_links_after: Seconds = 60.0
    graceful_log_buffer: Annotated[int, Field(ge=0)] = 2000
    graceful_log_file: str = ""
    graceful_log_level: str | int = "DEBUG"
    graceful_log_rotation: str | int = "10 MB"
    graceful_log_retention: str | int = "14 days"
    graceful_log_compression: str = ""

    # people
    graceful_notice: str = ""
    graceful_notice_limit: Annotated[int, Field(ge=0)] = 20
    graceful_notice_timeout: MoreThanZeroSeconds = 1.0
    graceful_mute_cancelled: bool = True
    graceful_commands: bool = True
    graceful_cancel_on_recall: bool = True
    graceful_cancel_command: str = ""
    graceful_health_path: str = ""

    @field_validator("graceful_signals")
    @classmethod
    def _known_signals(cls, names: list[str]) -> list[str]:
        for name in names:
            if not name.startswith("SIG") or not hasattr(signal, name):
                raise ValueError(f"{name!r} is no signal of this platform")
            if name in ("SIGKILL", "SIGSTOP"):
                raise ValueError(f"{name} cannot be caught")
        return list(dict.fromkeys(names))

    @field_validator("graceful_health_path")
    @classmethod
    def _absolute_path(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError("has to start with a slash, as in /healthz")
        return path

    @field_validator("graceful_log_compression")
    @classmethod
    def _known_compression(cls, name: str) -> str:
        known = ("", "gz", "bz2", "xz", "lzma", "tar", "tar.gz", "tar.bz2", "tar.xz", "zip")
        if name not in known:
            raise ValueError(f"has to be one of {', '.join(known[1:])}, or empty")
        return name

    @field_validator("graceful_log_level")
    @classmethod
    def _upper_case(cls, level: str | int) -> str | int:
        return level.upper() if isinstance(level, str) else level

    @property
    def kind_overrides(self) -> dict[str, dict[str, Any]]:
        """``GRACEFUL_KINDS`` with only what was written in it."""
        return {
            name: kind.model_dump(exclude_unset=True) for name, kind in self.graceful_kinds.items()
        }


LogLevelName = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]


def load(values: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Config:
    """Validate the settings.

    Args:
        values: What NoneBot read, by lower-case name.
        environ: The environment. NoneBot itself sees a setting it does not know beforehand only
            in its ``.env`` files; a container sets variables. The environment goes first, as it
            does for NoneBot's own settings.

    Raises:
        ConfigError: A value cannot be used. Every wrong setting is named, with what it may be.

    """
    merged = {name: values[name] for name in Config.model_fields if name in values}
    for name in Config.model_fields:
        raw = environ.get(name.upper(), environ.get(name))
        if raw is not None:
            merged[name] = _parse(raw)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        lines = [
            f"{str(problem['loc'][0]).upper()}{_path(problem['loc'][1:])}: "
            f"{problem['msg'].removeprefix('Value error, ')} (it is {problem['input']!r})"
            for problem in error.errors()
        ]
        raise ConfigError("wrong settings:\n  " + "\n  ".join(lines)) from None


def _parse(raw: str) -> Any:
    """Read JSON where it is JSON, as NoneBot does with its ``.env`` files."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" for part in location)
