"""systemd, supervisor and pm2: how they start the bot, and how long it may take to end."""

import configparser
import re
from collections.abc import Iterator

from nonebot_plugin_graceful.bot.restart import EXIT_CODE
from nonebot_plugin_graceful.config import Config

from .finding import RUNNERS, Finding, Folder, needed, seconds_of, starts_by_a_shell, too_short

__all__ = ["check_pm2", "check_supervisor", "check_systemd"]

SYSTEMDS_PATIENCE = 90.0
SUPERVISORS_PATIENCE = 10.0
PM2S_PATIENCE = 1.6
MILLISECONDS = 1000


def check_systemd(config: Config, folder: Folder) -> Iterator[Finding]:
    """Find in units what does not fit."""
    for name, text in folder.texts("*.service"):
        parsed = _ini(name, text.replace("\\\n", " "), folder)
        if parsed is None or not parsed.has_section("Service"):
            continue
        folder.looked_at(name)
        unit = parsed["Service"]
        written = unit.get("TimeoutStopSec", unit.get("TimeoutSec"))
        seconds = SYSTEMDS_PATIENCE if written is None else seconds_of(written)
        advice = f"TimeoutStopSec={needed(config):g} or more"
        if seconds == 0:  # as infinity
            seconds = None
        if finding := too_short(name, "TimeoutStopSec", seconds, config, advice):
            yield finding
        yield from _check_start(name, unit)
        yield from _check_restart(name, unit, config)


def _check_start(name: str, unit: "configparser.SectionProxy") -> Iterator[Finding]:
    start, access = unit.get("ExecStart", ""), unit.get("NotifyAccess", "")
    hears = unit.get("Type") == "notify" or "WatchdogSec" in unit
    if starts_by_a_shell(start):
        yield Finding(
            name,
            "ExecStart runs a shell: the bot is not the main process",
            "ExecStart=/path/to/.venv/bin/python bot.py, or `exec` in the shell",
        )
    elif hears and RUNNERS.search(start) and access != "all":
        yield Finding(
            name,
            "ExecStart is a runner, and systemd listens to the main process alone: it never hears"
            " READY=1, and takes the bot for one that does not start",
            "ExecStart=/path/to/.venv/bin/python bot.py, or NotifyAccess=all without WatchdogSec=",
        )
    elif "WatchdogSec" in unit and RUNNERS.search(start):
        yield Finding(
            name,
            "WatchdogSec= is for the main process, which is a runner and gives no sign of life",
            "ExecStart=/path/to/.venv/bin/python bot.py",
        )
    mode = unit.get("KillMode", "control-group")
    if mode == "none":
        yield Finding(name, "KillMode=none leaves the bot running", "KillMode=mixed")
    elif mode == "control-group":
        yield Finding(
            name,
            "KillMode is control-group: what the bot has started (a browser, ffmpeg) gets SIGTERM"
            " together with it, and is gone when its hooks want to end it",
            "KillMode=mixed",
            wrong=False,
        )


def _check_restart(
    name: str, unit: "configparser.SectionProxy", config: Config
) -> Iterator[Finding]:
    forced = unit.get("RestartForceExitStatus", "").split()
    if config.graceful_restart == "exit" and not (
        unit.get("Restart", "no") in ("always", "on-failure") or str(EXIT_CODE) in forced
    ):
        yield Finding(
            name,
            f"GRACEFUL_RESTART=exit, and systemd does not start the bot again at exit code {EXIT_CODE}",
            f"RestartForceExitStatus={EXIT_CODE}, or GRACEFUL_RESTART=exec",
        )


def check_supervisor(config: Config, folder: Folder) -> Iterator[Finding]:
    """Find in programs what does not fit."""
    for name, text in folder.texts("*.conf", "supervisor*.ini"):
        if "[program:" not in text:
            continue
        parsed = _ini(name, text, folder, comment=";")
        if parsed is None:
            continue
        folder.looked_at(name)
        for section in parsed.sections():
            if not section.startswith("program:"):
                continue
            program, where = parsed[section], f"{name}, {section}"
            seconds = seconds_of(program.get("stopwaitsecs", SUPERVISORS_PATIENCE))
            advice = f"stopwaitsecs={needed(config):.0f} or more"
            if finding := too_short(where, "stopwaitsecs", seconds, config, advice):
                yield finding
            command = program.get("command", "")
            alone = program.get("stopasgroup", "false").lower() not in ("true", "1", "yes", "on")
            if alone and (starts_by_a_shell(command) or RUNNERS.search(command)):
                yield Finding(
                    where,
                    "command is a shell or a runner, which may keep the signal for itself",
                    "stopasgroup=true and killasgroup=true",
                )


def check_pm2(config: Config, folder: Folder) -> Iterator[Finding]:
    """Find a kill_timeout that is too short. What is JavaScript is not run, but read over."""
    for name, text in folder.texts("ecosystem.config.*", "*.config.cjs", "pm2*.json", "pm2*.js"):
        plain = re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", text, flags=re.DOTALL)
        if "script" not in plain:
            continue
        folder.looked_at(name)
        found = re.findall(r"""["']?kill_timeout["']?\s*:\s*["']?([\d_]+)""", plain)
        seconds = min(
            (int(each.replace("_", "")) / MILLISECONDS for each in found), default=PM2S_PATIENCE
        )
        what = "kill_timeout" + " (default)" * (not found)
        advice = f"kill_timeout: {needed(config) * MILLISECONDS:.0f} or more"
        if finding := too_short(name, what, seconds, config, advice):
            yield finding


def _ini(
    name: str, text: str, folder: Folder, *, comment: str | None = None
) -> configparser.ConfigParser | None:
    parser = configparser.ConfigParser(
        strict=False,
        interpolation=None,
        allow_no_value=True,
        inline_comment_prefixes=comment and (comment,),
    )
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        folder.unread.append(f"{name}: {str(error).splitlines()[0]}")
        return None
    return parser
