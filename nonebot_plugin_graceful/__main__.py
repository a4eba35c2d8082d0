"""``python -m nonebot_plugin_graceful bundle``: pack what a bug report needs."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from .ops.bundle import find_out, pack

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None: those of the process.

    Returns:
        The exit code.

    """
    parser = argparse.ArgumentParser("python -m nonebot_plugin_graceful")
    commands = parser.add_subparsers(required=True, metavar="command")
    bundle = commands.add_parser(
        "bundle",
        help="pack logs, the last shutdown report and versions into a zip for a bug report",
        description="Run it where the bot is run: its settings are read from there. "
        "Secrets are masked, but have a look at what you publish.",
    )
    bundle.add_argument("--out", type=Path, metavar="FILE", help="the zip to write")
    bundle.add_argument("--log", type=Path, metavar="FILE", help="the log, if no setting tells it")
    bundle.add_argument(
        "--folder", type=Path, help="the plugin's data folder, if no setting tells it"
    )
    options = parser.parse_args(arguments)
    return _bundle(options.out, folder=options.folder, log=options.log)


def _bundle(out: Path | None, *, folder: Path | None, log: Path | None) -> int:
    out = out or Path(f"graceful-{datetime.now().astimezone():%Y%m%d-%H%M%S}.zip")
    found = find_out(folder=folder, log=log)
    try:
        packed = pack(found, out)
    except OSError as error:
        sys.stderr.write(f"cannot write {out}: {error.strerror or error}\n")
        return 1
    width = max(len(name) for name, _ in packed)
    lines = [f"{out.absolute()}, {out.stat().st_size:,} bytes, secrets masked:"]
    lines += [f"  {name:<{width}}  {size:>12,} bytes" for name, size in packed]
    lines += [f"  without {what}" for what in found.missing]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
