"""Redaction in every loguru sink, NoneBot's and everybody's, whenever it was added.

Why around the sinks, and not as ``logger.configure(patcher=...)``: there is one such patcher, so
the user's and ours would overwrite each other, whoever comes last; patchers of ``logger.patch()``
run after it; it runs for messages that every filter drops; and what an exception looks like is
only known to each handler, which formats its traceback with or without the values of variables.
To replace the exception in the record by one with a shorter text would break whoever asks for its
type, or sends it on.

The text that a sink is given has all of it: message, extra values, tracebacks, causes, groups,
values of variables, all of that as JSON. The exception in the record stays the user's own.

Handlers that are added later are met because loguru never changes its table of handlers: it
copies it (``add`` and ``remove`` alike, in every 0.7), and a copy of ours is ours again.
"""

# ruff: noqa: SLF001  (loguru has no public way to its handlers)

import operator
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, cast

from loguru import logger

from nonebot_plugin_graceful.core.redaction import redact

__all__ = ["install_redaction"]

_LONG = 4096


def install_redaction(limit: int = 256) -> Callable[[], None]:
    """Redact what is logged, in every sink.

    Args:
        limit: Characters of an encoded run that may stay; see `redact`.

    Returns:
        What takes it back: afterwards loguru is what it was.

    """
    core: Any = getattr(logger, "_core", None)
    if not _is_known(core):
        logger.warning(
            f"loguru {version('loguru')} keeps its sinks in another way than 0.7: "
            "logs are not redacted (GRACEFUL_REDACT)"
        )
        return lambda: None
    with core.lock:
        _unwrap(core)  # one limit at a time
        handlers = _Handlers(core.handlers)
        handlers.limit = limit
        for number, handler in core.handlers.items():
            handlers[number] = handler
        core.handlers = handlers

    def uninstall() -> None:
        with core.lock:
            if isinstance(core.handlers, _Handlers):
                _unwrap(core)
                core.handlers = dict(core.handlers)

    return uninstall


def _is_known(core: Any) -> bool:
    handlers = getattr(core, "handlers", None)
    return (
        isinstance(handlers, dict)
        and hasattr(core, "lock")
        and all(
            hasattr(getattr(handler, "_sink", None), "write")
            for handler in cast("dict[int, Any]", handlers).values()
        )
    )


def _unwrap(core: Any) -> None:
    for handler in core.handlers.values():
        if isinstance(handler._sink, _Sink):
            handler._sink = handler._sink.original


class _Handlers(dict[int, Any]):
    """loguru's table of handlers; what is put into it redacts."""

    limit: int

    def __setitem__(self, number: int, handler: Any) -> None:
        handler._sink = _Sink(handler._sink, self.limit)
        super().__setitem__(number, handler)

    def copy(self) -> "_Handlers":
        copied = _Handlers(self)
        copied.limit = self.limit
        return copied

    def __reduce__(self) -> Any:  # see _Sink
        return dict, (dict(self),)


class _Sink:
    """Around a handler's sink."""

    __slots__ = ("limit", "original", "shows_record", "write_on")

    def __init__(self, original: Any, limit: int) -> None:
        self.original = original
        self.write_on = original.write
        self.limit = limit
        # Functions are given the record with the text, and some go by that: web panels, notifiers.
        self.shows_record = type(original).__name__ in ("CallableSink", "AsyncSink")

    def write(self, message: Any) -> None:
        text = redact(message if len(message) < _LONG else self._shorter(message), self.limit)
        if text is not message or (self.shows_record and _has_more(message)):
            message = self._redacted(message, text)
        self.write_on(message)

    def _shorter(self, message: Any) -> str:
        """Redact the part that the record has, too, so that a picture is read once for both."""
        record = message.record
        part = record["message"]
        record["message"] = clean = redact(part, self.limit)
        start = message.find(part[:64])
        if start < 0 or not message.startswith(part, start):  # as JSON, or in colours
            return message
        return message[:start] + clean + message[start + len(part) :]

    def _redacted(self, message: Any, text: str) -> Any:
        # In the record that all handlers share: those after this one have less to do.
        record = message.record
        record["message"] = redact(record["message"], self.limit)
        extra = record["extra"]
        for key, value in extra.items():
            if type(value) is str:
                extra[key] = redact(value, self.limit)
        redacted = type(message)(text)
        redacted.record = record
        return redacted

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def __reduce__(self) -> Any:
        # A logger that is pickled, for a process of multiprocessing, or copied, leaves this
        # behind: there it may be that nothing of this plugin can be imported.
        return operator.getitem, ([self.original], 0)


def _has_more(message: Any) -> bool:
    """Tell whether a record holds more than its text; NoneBot binds its log level to each."""
    extra = message.record["extra"]
    return (
        len(extra) > 1
        or (extra and "nonebot_log_level" not in extra)
        or message.record["message"] not in message
    )
