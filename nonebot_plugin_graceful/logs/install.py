"""Everything the settings ask for, at once."""

from collections.abc import Callable
from pathlib import Path

from nonebot_plugin_graceful.config import Config

from .file import add_log_file
from .recent import Recent
from .sinks import wrap_sinks

__all__ = ["install"]


def install(config: Config, folder: Path) -> Callable[[], None]:
    """Redact what loguru writes, keep the last lines, and write a log file, as the settings say.

    Nothing of it keeps a bot from starting: what cannot be done is one warning.

    Args:
        config: The settings. ``GRACEFUL_REDACT*`` and ``GRACEFUL_LOG_*`` are looked at.
        folder: Where the last lines and a relative ``GRACEFUL_LOG_FILE`` lie: localstore's data
            folder.

    Returns:
        What takes it all back. Nobody has to call it at the end of the process: the files are to
        hold the last line of the shutdown, and are closed at exit.

    """
    undo: list[Callable[[], None]] = []
    recent = Recent(folder, config.graceful_log_buffer) if config.graceful_log_buffer else None
    if recent:
        undo.append(recent.close)
    if recent or config.graceful_redact:
        undo.append(
            wrap_sinks(
                config.graceful_redact_length,
                redacting=config.graceful_redact,
                links_for=config.graceful_redact_links_after,
                recent=recent,
            )
        )
    if config.graceful_log_file:
        undo.append(add_log_file(config, folder))

    def uninstall() -> None:
        while undo:
            undo.pop()()

    return uninstall
