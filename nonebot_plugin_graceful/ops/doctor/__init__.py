"""What does not fit between the bot's settings and whoever starts and stops it."""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nonebot_plugin_graceful.config import ConfigError, load
from nonebot_plugin_graceful.ops.surroundings import init_nonebot

from .docker import check_compose, check_dockerfiles, check_kubernetes
from .finding import Finding, Folder
from .services import check_pm2, check_supervisor, check_systemd
from .settings import check_loading, check_settings

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "examine", "run"]

HELP: str = "see whether settings and deployment fit together, and what to do if not"
DESCRIPTION: str = (
    "Run it in the bot's folder: its settings, bot.py, and the files by which it is deployed are"
    " read from there. Nothing is run or changed. The exit code is 1 if something is wrong."
)


_BOT = re.compile(r"\bbot\.py\b|\bnb run\b|\bnb_cli\b|nonebot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell what the command can be given: nothing."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Look, and say what was found."""
    del options
    folder = Folder(Path.cwd())
    try:
        values, _ = init_nonebot(folder.unread)
    except Exception as error:  # settings of others', most likely
        folder.unread.append(f"NoneBot's settings: {type(error).__name__}: {error}")
        values = {}
    findings = examine(folder, values, os.environ)
    sys.stdout.write("\n".join([*_lines(findings), *_summary(folder, findings), ""]))
    return int(any(finding.wrong for finding in findings))


def examine(folder: Folder, values: Mapping[str, Any], environ: Mapping[str, str]) -> list[Finding]:
    """Examine a bot.

    Args:
        folder: Where it is started.
        values: NoneBot's settings, by lower-case name.
        environ: The environment.

    """
    try:
        config = load(values, environ)
    except ConfigError as error:
        return [Finding("settings", str(error), "see .env.example")]
    names = {*values, *environ}
    findings = [*check_settings(config, values, names, folder), *check_loading(folder)]
    for check in (
        check_dockerfiles,
        check_compose,
        check_kubernetes,
        check_systemd,
        check_supervisor,
        check_pm2,
    ):
        findings += check(config, folder)
    findings += _check_process_1(Path("/proc/1/cmdline"))
    return findings


def _check_process_1(file: Path) -> Iterable[Finding]:
    """Look who is process 1, if this is run inside the bot's container."""
    try:
        command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return
    program = Path(command.partition(" ")[0]).name
    if program.startswith(("python", "uv", "nb")) and _BOT.search(command):
        yield Finding(
            "process 1",
            f"it is the bot itself ({command}): nothing collects the children that others leave",
            "init: true in compose.yaml, or docker run --init",
        )


def _lines(findings: list[Finding]) -> Iterable[str]:
    for finding in sorted(findings, key=lambda finding: not finding.wrong):
        yield f"{'WRONG' if finding.wrong else 'MAYBE'}  {finding.where}: {finding.what}"
        yield f"       -> {finding.advice}"


def _summary(folder: Folder, findings: list[Finding]) -> Iterable[str]:
    wrong = sum(finding.wrong for finding in findings)
    yield f"{wrong or 'nothing'} wrong; looked at {', '.join(['settings', *folder.read])}"
    for what in dict.fromkeys(folder.unread):
        yield f"  without {what}"
