"""Redaction in every loguru sink, NoneBot's and everybody's, whenever it was added.

Why around the sinks, and not as ``logger.configure(patcher=...)``: there is one such patcher, so
the user's and ours would overwrite each other, whoever comes last; patchers of ``logger.patch()``
run after it; it runs for messages that every filter drops; and what an exception looks like is
only known to each handler, which formats its traceback with or without the values of variables.
To replace the exception in the record by one with a shorter text would break whoever asks for its
type, or sends it on.

The text that a sink is given has all of it: message, extra values, tracebacks, causes, groups,
values of variables, all of that as JSON. Functions and handlers of the standard library look into
the record, too: what was bound is redacted there however deep it lies, in a copy. The exception in
the record stays the user's own.

Handlers that are added later are met because loguru never changes its table of handlers: it
copies it (``add`` and ``remove`` alike, in every 0.7), and a copy of ours is ours again.
"""

# ruff: noqa: SLF001  (loguru has no public way to its handlers)

import operator
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from string import Formatter
from typing import Any, NamedTuple, cast

from loguru import logger

from nonebot_plugin_graceful.redaction import SHORTEST_LIMIT, is_ordinary, redact, redact_value

from .recent import Recent

__all__ = ["wrap_sinks"]

_LONG = 4096
# What loguru, and nobody else, puts into a line.
_OWN_FIELDS = frozenset(
    {"time", "level", "name", "function", "line", "module", "elapsed", "file", "process", "thread"}
    | {"message", "exception"}
)
_SHOW_RECORD = frozenset(("CallableSink", "AsyncSink", "StandardSink"))
_FIRST_PART = re.compile(r"[.\[]")
# What a web console prints for the operator to open. A service is called by a name.
_LINK = re.compile(
    r"(https?://(?:localhost|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:]{2,39}\])(?::[0-9]{1,5})?"
    r"[/?#][^\s'\"<>\x1b]{0,512})"
)


def wrap_sinks(
    limit: int = 256, *, redacting: bool = True, links_for: float = 0, recent: Recent | None = None
) -> Callable[[], None]:
    """Redact what is logged, in every sink, and keep the last lines of the console.

    Args:
        limit: Characters of an encoded run that may stay; see `redact`.
        redacting: Whether sinks are given redacted text. `recent` is in any case.
        links_for: Seconds from now on in which the address of a web console keeps its token on
            the console.
        recent: Where the lines of the console are kept.

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
    wrapping = _Wrapping(
        max(limit, SHORTEST_LIMIT), redacting, time.monotonic() + links_for, recent
    )
    with core.lock:
        _unwrap(core)  # one limit at a time
        handlers = _Handlers(core.handlers)
        handlers.wrapping = wrapping
        for number, handler in core.handlers.items():
            handlers[number] = handler
        core.handlers = handlers

    def unwrap() -> None:
        with core.lock:
            if isinstance(core.handlers, _Handlers):
                _unwrap(core)
                core.handlers = dict(core.handlers)

    return unwrap


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


class _Wrapping(NamedTuple):
    """What every sink is wrapped with."""

    limit: int
    redacting: bool
    links_until: float
    recent: Recent | None


class _Handlers(dict[int, Any]):
    """loguru's table of handlers; what is put into it is wrapped."""

    wrapping: _Wrapping

    def __setitem__(self, number: int, handler: Any) -> None:
        handler._sink = _Sink(handler, self.wrapping)
        super().__setitem__(number, handler)

    def copy(self) -> "_Handlers":
        copied = _Handlers(self)
        copied.wrapping = self.wrapping
        return copied

    def __reduce__(self) -> Any:  # see _Sink
        return dict, (dict(self),)


class _Sink:
    """Around a handler's sink."""

    __slots__ = (
        "_is_console",
        "_shows_record",
        "_wrapping",
        "_write_on",
        "original",
        "recent",
        "write",
    )

    def __init__(self, handler: Any, wrapping: _Wrapping) -> None:
        self.original = handler._sink
        self._write_on: Callable[[Any], None] = self.original.write
        self._wrapping = wrapping
        # Functions are given the record with the text, and some go by that: web panels, notifiers.
        # A handler of the standard library is given what was bound.
        self._shows_record = type(self.original).__name__ in _SHOW_RECORD
        self._is_console = _is_console(self.original)
        self.recent = wrapping.recent if self._is_console else None
        self.write = self._make_write(message_only=_shows_message_only(handler))

    def _make_write(self, *, message_only: bool) -> Callable[[Any], None]:
        """Make what loguru calls for every line, with all that it needs in variables of its own.

        Args:
            message_only: Whether nothing but the message, and an exception, can be redacted.

        """
        write_on, write_redacted, recent = self._write_on, self._write_redacted, self.recent
        limit = self._wrapping.limit
        is_clean = is_ordinary if message_only else is_ordinary.__wrapped__
        has_more = (_has_extra if message_only else _has_more) if self._shows_record else None

        def write(message: Any) -> None:
            record = message.record
            text = record["message"] if message_only else message
            if (
                len(text) > limit
                or record["exception"] is not None
                or not is_clean(text)
                or (has_more and has_more(message))
            ):
                write_redacted(message)
                return
            if recent is not None:
                recent.pending.append(str(message))
                if not recent.awake:
                    recent.wake()
            write_on(message)

        return write

    def _write_redacted(self, message: Any) -> None:
        limit, redacting, links_until, recent = self._wrapping
        clean = redact(message if len(message) < _LONG else self._shorter(message), limit)
        if recent is not None and self._is_console:
            recent.add(clean)
        if not redacting:
            self._write_on(message)
            return
        if clean is not message or (self._shows_record and _has_more(message)):
            if self._is_console and time.monotonic() < links_until:
                clean = _redact_but_links(message, limit)
            message = self._redacted(message, clean)
        self._write_on(message)

    def _shorter(self, message: Any) -> str:
        """Redact the part that the record has, too, so that a picture is read once for both."""
        if not self._wrapping.redacting:
            return message
        record = message.record
        part = record["message"]
        record["message"] = clean = redact(part, self._wrapping.limit)
        start = message.find(part[:64])
        if start < 0 or not message.startswith(part, start):  # as JSON, or in colours
            return message
        return message[:start] + clean + message[start + len(part) :]

    def _redacted(self, message: Any, text: str) -> Any:
        # In the record that all handlers share: those after this one have less to do.
        record, limit = message.record, self._wrapping.limit
        record["message"] = redact(record["message"], limit)
        extra = record["extra"]
        for key, value in extra.items():
            clean = redact_value(value, limit, key)
            if clean is not value:
                extra[key] = clean
        redacted = type(message)(text)
        redacted.record = record
        return redacted

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def __reduce__(self) -> Any:
        # A logger that is pickled, for a process of multiprocessing, or copied, leaves this
        # behind: there it may be that nothing of this plugin can be imported.
        return operator.getitem, ([self.original], 0)


def _is_console(sink: Any) -> bool:
    """Tell whether a sink is what the operator looks at: a terminal, or what is in its place."""
    stream = getattr(sink, "_stream", None)
    if stream is None:
        return False
    return stream in (sys.stdout, sys.stderr) or (
        getattr(stream, "name", None) in ("<stdout>", "<stderr>")
    )


def _shows_message_only(handler: Any) -> bool:
    """Tell whether all that people can put into a handler's text is the message."""
    try:
        if handler._is_formatter_dynamic or handler._serialize:
            return False
        fields = {
            field for _, field, _, _ in Formatter().parse(handler._formatter.strip()) if field
        }
    except (AttributeError, TypeError, ValueError):
        return False
    return all(_FIRST_PART.split(field, 1)[0] in _OWN_FIELDS for field in fields)


def _has_extra(message: Any) -> bool:
    """Tell whether values were bound to a line; NoneBot binds its log level to each."""
    extra = message.record["extra"]
    return len(extra) > 1 or (len(extra) == 1 and "nonebot_log_level" not in extra)


def _has_more(message: Any) -> bool:
    """Tell whether a record holds more than its text."""
    return _has_extra(message) or message.record["message"] not in message


def _redact_but_links(text: str, limit: int) -> str:
    # of a split by one group, every other piece is what was found
    pieces = _LINK.split(text)
    pieces[::2] = [redact(piece, limit) for piece in pieces[::2]]
    return "".join(pieces)
