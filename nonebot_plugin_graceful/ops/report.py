"""The last shutdown, for who has no bot that runs: as text, or as a picture in the browser."""

import argparse
import shutil
import sys
import webbrowser
from pathlib import Path

from nonebot_plugin_graceful.core.report import load_report

from .surroundings import REPORT, find_out, whose
from .timeline import draw, write

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP: str = "show the last shutdown, as text or as a picture"
DESCRIPTION: str = (
    "Run it where the bot is run: its settings tell where the report is. If a bot in another folder"
    " has written it, the first line says so."
)

PICTURE = "last_shutdown.svg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell what the command can be given."""
    parser.add_argument("--open", action="store_true", help="show the picture in the browser")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the picture, as SVG")
    parser.add_argument("--file", type=Path, help="another report than that of the last shutdown")
    parser.add_argument(
        "--folder", type=Path, help="the plugin's data folder, if no setting tells it"
    )


def run(options: argparse.Namespace) -> int:
    """Show it."""
    file: Path | None = options.file
    if file is None:
        folder: Path | None = options.folder or find_out().folder
        if folder is None:
            return _complain("where the report is, is not known: see --folder and --file")
        file = folder / REPORT
    report = load_report(file)
    if report is None:
        return _complain(f"there is no report of a shutdown in {file}")
    doubt = whose(file.absolute(), given=bool(options.file or options.folder))
    if not (options.open or options.out):
        encoding = sys.stdout.encoding or "ascii"
        columns = shutil.get_terminal_size().columns
        lines = write(report, columns=columns, ascii_only=not encoding.lower().startswith("utf"))
        first = [doubt, ""] if doubt else []
        sys.stdout.write(
            "\n".join([*first, *lines, ""]).encode(encoding, "replace").decode(encoding)
        )
        return 0
    picture: Path = options.out or file.with_name(PICTURE)
    try:
        picture.write_text(draw(report), encoding="utf-8")
    except OSError as error:
        return _complain(f"cannot write {picture}: {error.strerror or error}")
    if doubt:
        sys.stderr.write(f"{doubt}\n")  # who runs it in a script takes the picture's path
    sys.stdout.write(f"{picture.absolute()}\n")
    if options.open and not webbrowser.open(picture.absolute().as_uri()):
        return _complain("there is no browser to open it with")
    return 0


def _complain(what: str) -> int:
    sys.stderr.write(f"{what}\n")
    return 1
