"""Everything that was logged is on its way, also when the process is ended by force."""

# ruff: noqa: SLF001  (loguru has no public way to its handlers)

import threading
from contextlib import suppress
from typing import Any

from loguru import logger

from .recent import Recent

__all__ = ["flush_sinks"]


def flush_sinks(timeout: float = 0.15) -> bool:
    """Flush what loguru's sinks still hold. For the moment before ``os._exit``.

    A sink may be in use by a thread that will never let go of it: full pipes, a lock. So this
    happens in a thread of its own, and takes no lock of loguru's.

    Args:
        timeout: Seconds after which it is given up.

    Returns:
        Whether everything is flushed.

    """
    done = threading.Event()

    def flush() -> None:
        core: Any = getattr(logger, "_core", None)
        handlers: dict[int, Any] = getattr(core, "handlers", {})
        for handler in list(handlers.values()):
            with suppress(Exception):
                _flush(handler)
        done.set()

    try:
        threading.Thread(target=flush, name="flush log sinks", daemon=True).start()
    except RuntimeError:
        # The interpreter waits for threads at its end, and makes none (3.12). The watchdog, beside
        # whose thread this is, gives it up.
        flush()
    return done.wait(timeout)


def _flush(handler: Any) -> None:
    """Flush one handler: its queue, and its stream or file, which loguru flushes line by line."""
    recent = getattr(handler._sink, "recent", None)
    if isinstance(recent, Recent):
        recent.flush()
    if handler._enqueue:
        handler.complete_queue()
    for attribute in ("_stream", "_file"):
        stream = getattr(handler._sink, attribute, None)
        if stream is not None:
            stream.flush()
