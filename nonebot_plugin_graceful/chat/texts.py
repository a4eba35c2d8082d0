"""What is told to whoever's request was stopped: whose word counts, and what it is filled with."""

import re
import time
from collections.abc import Callable, Iterable

from nonebot_plugin_graceful.core.work import Section, Work

__all__ = ["fill", "text_for"]

PLACEHOLDER = re.compile(r"\{(kind|plugin|reason|elapsed)\}")

Sections = Callable[[Work], tuple[Section, ...]]
"""Gives what a piece of work was in when it was last seen at it."""


def fill(text: str, *, kind: str, plugin: str | None, reason: str, elapsed: float) -> str:
    """Fill the placeholders of a notice.

    Args:
        text: May contain ``{kind}``, ``{plugin}``, ``{reason}`` and ``{elapsed}`` (whole seconds);
            any other brace is left alone.
        kind: What was done.
        plugin: By whom.
        reason: Why it was stopped.
        elapsed: Seconds.

    """
    values = {"kind": kind, "plugin": plugin or "", "reason": reason, "elapsed": f"{elapsed:.0f}"}
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


def text_for(works: Iterable[Work], text: str, reason: str, sections_of: Sections) -> str:
    """Choose the text for one request, on which there may have been work in several tasks.

    Args:
        works: What was stopped.
        text: Said if no section has a word of its own for it.
        reason: What ``{reason}`` is.
        sections_of: What they did.

    """
    works = list(works)
    chosen = min(works, key=lambda work: sections_of(work)[-1].kind.tier)
    silent = False
    for work in works:
        section = _last_with_notice(sections_of(work))
        if section is not None and isinstance(section.notice, str):
            chosen, text, silent = work, section.notice, False
            break
        silent = silent or section is not None
    if silent:
        return ""
    return fill(
        text,
        kind=sections_of(chosen)[-1].kind.name,
        plugin=chosen.origin.plugin if chosen.origin else None,
        reason=reason,
        elapsed=time.monotonic() - chosen.started,
    )


def _last_with_notice(sections: tuple[Section, ...]) -> Section | None:
    """Find the innermost section that says what the chat is told, be it nothing."""
    return next((each for each in reversed(sections) if each.notice not in (None, True)), None)
