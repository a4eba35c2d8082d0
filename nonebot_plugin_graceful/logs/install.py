"""Everything the settings ask for, at once."""

from collections.abc import Callable
from pathlib import Path

from nonebot_plugin_graceful.config import Config

from .file import add_log_file
from .sinks import install_redaction

__all__ = ["install"]


def install(config: Config, folder: Path) -> Callable[[], None]:
    """Redact what loguru writes, and write a log file, as the settings say.

    Nothing of it keeps a bot from starting: what cannot be done is one warning.

    Args:
        config: The settings. ``GRACEFUL_REDACT*`` and ``GRACEFUL_LOG_*`` are looked at.
        folder: Where a relative ``GRACEFUL_LOG_FILE`` lies: localstore's data folder.

    Returns:
        What takes it all back. Nobody has to call it at the end of the process: the file is to
        hold the last line of the shutdown, and loguru closes it at exit.

    """
    undo: list[Callable[[], None]] = []
    if config.graceful_redact:
        undo.append(install_redaction(config.graceful_redact_length))
    if config.graceful_log_file:
        undo.append(add_log_file(config, folder))

    def uninstall() -> None:
        while undo:
            undo.pop()()

    return uninstall
