"""``python -m nonebot_plugin_graceful COMMAND``: what is done without a bot that runs."""

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

from .ops import bundle, doctor, report
from .workers import worker

__all__ = ["main"]


class Command(Protocol):
    """A module that is a command."""

    HELP: str
    """What it does, in one line without a full stop."""
    DESCRIPTION: str
    """What else to know."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Tell what it can be given."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        ...


COMMANDS: dict[str, Command] = {
    "bundle": bundle,
    "doctor": doctor,
    "report": report,
    "worker": worker,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None: those of the process.

    Returns:
        The exit code.

    """
    parser = argparse.ArgumentParser("python -m nonebot_plugin_graceful")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
