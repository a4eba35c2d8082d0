"""Every GRACEFUL_* setting: its name, its default, and what it may be."""

import json
import os
import re
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Config", "ConfigError", "KindConfig", "doubts", "load"]

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MoreThanZeroSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
KindName = Annotated[str, Field(min_length=1, max_length=40)]

LEAST_LEFT = 0.5
"""Seconds of the deadline that are kept for what comes after the hooks and the threads."""
LEAST_TOKEN = 8
"""Characters of a token that a page may have: ten are tried in a minute."""
NO_SETTINGS = frozenset({"GRACEFUL_REPORT_FILE"})
"""What has our prefix in the environment and is none: a drill tells its bot where to report."""


SECRETS = frozenset({"graceful_page_token", "graceful_database_url"})
"""Settings whose values are not for the log."""


class ConfigError(ValueError):
    """A setting has a value it cannot have; the message names the setting."""


class KindConfig(BaseModel):
    """One entry of ``GRACEFUL_KINDS``. What is left out keeps its default."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    tier: int = 2
    grace: Seconds = 0.0
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
    graceful_blocked: Seconds = 1.0
    graceful_restart: Literal["exec", "exit"] = "exec"

    # kinds
    graceful_kinds: dict[KindName, KindConfig] = {}
    graceful_plugin_kinds: dict[str, KindName] = {}

    # what survives a restart
    graceful_resume: list[Annotated[str, Field(min_length=1)]] = []
    graceful_resume_max_age: MoreThanZeroSeconds = 300.0
    graceful_resume_attempts: Annotated[int, Field(ge=1)] = 3
    graceful_resume_notice: str = ""
    graceful_resume_failed_notice: str = "机器人刚才重启了，你之前的请求没能继续，请再发一次。"

    # work on other machines
    graceful_database_url: str = ""

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
    graceful_cancel_notice: str = ""
    graceful_notice_limit: Annotated[int, Field(ge=0)] = 20
    graceful_notice_timeout: MoreThanZeroSeconds = 1.0
    graceful_mute_cancelled: bool = True
    graceful_commands: bool = True
    graceful_cancel_on_recall: bool = True
    graceful_cancel_command: str = ""
    graceful_back_notice: str = "重启好了，用了 {elapsed} 秒。"
    graceful_health_path: str = ""
    graceful_metrics_path: str = ""
    graceful_page_path: str = "/graceful"
    graceful_page_token: Annotated[str, Field(max_length=256)] = ""

    @field_validator("graceful_signals")
    @classmethod
    def _known_signals(cls, names: list[str]) -> list[str]:
        for name in names:
            if not name.startswith("SIG") or not hasattr(signal, name):
                raise ValueError(f"{name!r} is no signal of this platform")
            if name in ("SIGKILL", "SIGSTOP"):
                raise ValueError(f"{name} cannot be caught")
        return list(dict.fromkeys(names))

    @field_validator("graceful_health_path", "graceful_metrics_path", "graceful_page_path")
    @classmethod
    def _absolute_path(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError("has to start with a slash, as in /healthz")
        # the servers have meanings of their own for braces and the like
        if not re.fullmatch(r"(/[\w.~%+-]+)*/?", path):
            raise ValueError("may have letters, digits, . ~ + - _ between single slashes")
        return path

    @model_validator(mode="after")
    def _paths_of_their_own(self) -> "Config":
        paths = {
            "GRACEFUL_HEALTH_PATH": self.graceful_health_path,
            "GRACEFUL_METRICS_PATH": self.graceful_metrics_path,
            "GRACEFUL_PAGE_PATH": self.graceful_page_token and self.graceful_page_path,
        }
        taken: dict[str, str] = {}
        for name, path in paths.items():
            if path and (other := taken.setdefault(path.rstrip("/"), name)) != name:
                raise ValueError(f"{other} and {name} are the same, {path}")
        return self

    @field_validator("graceful_page_token", mode="before")
    @classmethod
    def _as_text(cls, token: object) -> object:
        # a number is JSON, and so NoneBot reads one
        return str(token) if isinstance(token, int) and not isinstance(token, bool) else token

    @field_validator("graceful_page_token")
    @classmethod
    def _hard_to_guess(cls, token: str) -> str:
        if token and (len(token) < LEAST_TOKEN or not all("!" <= each <= "~" for each in token)):
            raise ValueError(
                f"has to be at least {LEAST_TOKEN} letters, digits and signs; a good one is made by"
                " python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        return token

    @field_validator("graceful_database_url")
    @classmethod
    def _postgres(cls, url: str) -> str:
        if url and not url.startswith("postgresql://"):
            raise ValueError("has to be as in postgresql://user:password@host/database, or empty")
        return url

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
    def reserve(self) -> float:
        """Seconds of the deadline that no grace has: the hooks and the threads have them."""
        return min(self.graceful_thread_timeout + LEAST_LEFT, self.graceful_deadline / 2)

    @property
    def last_moments(self) -> float:
        """Seconds of the deadline in which no hook runs any more: for the report, and the interpreter.

        None of them are the threads': these have had the time that the hooks took.
        """
        return min(LEAST_LEFT, self.graceful_deadline / 2)

    @property
    def longest_grace(self) -> float:
        """Seconds that no grace exceeds: who does not end afterwards, has to be cancelled yet."""
        left = self.graceful_deadline - self.reserve - self.graceful_cancel_timeout
        return max(left, 0.0)

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
        lines = "\n  ".join(_problem(problem) for problem in error.errors())
        raise ConfigError(f"wrong settings:\n  {lines}") from None


def doubts(
    config: Config, names: Iterable[str], *, kinds: Collection[str], plugins: Collection[str]
) -> Iterator[str]:
    """Tell what is allowed, and yet hardly what was meant.

    Args:
        config: The settings.
        names: The names of everything that is set for the bot, in upper or lower case.
        kinds: Of which something is known.
        plugins: The ids of those that are loaded.

    """
    known = {name.upper() for name in Config.model_fields}
    for name in sorted({name.upper() for name in names} - known - NO_SETTINGS):
        if name.startswith("GRACEFUL_"):
            yield f"{name} is no setting{_meant(name, known)}"
    for plugin, kind in config.graceful_plugin_kinds.items():
        setting = f"GRACEFUL_PLUGIN_KINDS[{plugin}]"
        if plugin not in plugins:
            yield f"{setting}: no plugin with this id is loaded{_meant(plugin, plugins)}"
        if kind not in kinds:
            yield f"{setting}: nothing is known of a kind {kind!r}{_meant(kind, kinds)}"
    yield from _doubts_of_resume(config, kinds=kinds, plugins=plugins)
    for name, kind in config.graceful_kinds.items():
        if kind.grace > config.longest_grace:
            yield (
                f"GRACEFUL_KINDS[{name}][grace] is {kind.grace:g} s, of which GRACEFUL_DEADLINE="
                f"{config.graceful_deadline:g} leaves {config.longest_grace:g} s: "
                f"GRACEFUL_DEADLINE={_deadline_for(kind.grace, config):g} would leave all of it"
            )


def _doubts_of_resume(
    config: Config, *, kinds: Collection[str], plugins: Collection[str]
) -> Iterator[str]:
    """Tell of what is to be resumed, and is neither a plugin nor a kind."""
    known = {*plugins, *kinds, *config.graceful_plugin_kinds.values()}
    for name in dict.fromkeys(config.graceful_resume):
        if name not in known:
            # A kind that is first named in `async with track(...)` is not known at the start.
            way_out = ". If a plugin names its work so, put it into GRACEFUL_KINDS as well"
            yield (
                f"GRACEFUL_RESUME[{name}]: no plugin with this id is loaded, and nothing is known"
                f" of such a kind{_meant(name, known) or way_out}"
            )


def _problem(problem: "ErrorDetails") -> str:
    """Tell what is wrong with a setting, and what it is; but nothing secret."""
    said = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # it is wrong of several together, which it names
        return said
    name, *path = problem["loc"]
    given = "" if name in SECRETS else f" (it is {problem['input']!r})"
    return f"{str(name).upper()}{_path(tuple(path))}: {said}{given}"


def _meant(name: str, names: Collection[str]) -> str:
    """Guess which of the names was meant."""
    close = get_close_matches(name, names, n=1, cutoff=0.75)
    close += sorted(each for each in names if each in name or name in each)
    return f". Is it {close[0]}?" if close else ""


def _deadline_for(grace: float, config: Config) -> float:
    """Give the least deadline that leaves a grace whole."""
    until_cancelled = grace + config.graceful_cancel_timeout
    return min(until_cancelled + config.graceful_thread_timeout + LEAST_LEFT, 2 * until_cancelled)


def _parse(raw: str) -> Any:
    """Read JSON where it is JSON, as NoneBot does with its ``.env`` files."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" for part in location)
