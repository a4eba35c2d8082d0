"""Looking at what is in flight, and cancelling it while the bot runs on."""

from .lifecycle import ShuttingDownHook, lifecycle
from .registry import Record, TaskInfo, registry
from .stopping import Stopping

__all__ = ["cancel", "is_shutting_down", "on_shutting_down", "stop", "tasks"]


def tasks() -> list[TaskInfo]:
    """List what is in flight, the longest first. Needs a running event loop."""
    infos = [registry.info(family.record) for family in registry.families() if family.record.begun]
    return sorted(infos, key=lambda info: -info.age)


def cancel(
    id: int | None = None,  # noqa: A002 - it is what TaskInfo calls it
    *,
    kind: str | None = None,
    plugin: str | None = None,
    user: str | None = None,
    chat: str | None = None,
    reason: str = "cancelled",
) -> list[TaskInfo]:
    """Cancel what is in flight and fits every criterion given, but never the caller.

    Needs a running event loop.

    It returns at once; who swallows the cancellation is cancelled again. Matchers of lower
    priority do not take the event over from one that was cancelled.

    Args:
        id: As :class:`TaskInfo` tells it.
        kind: Its kind.
        plugin: The plugin whose handler or job it is.
        user: On whose behalf it works.
        chat: The group, channel or person it works for.
        reason: What ``Interrupted`` says.

    Returns:
        What was told to stop.

    Raises:
        TypeError: No criterion was given.

    """
    criteria = {"id": id, "kind": kind, "plugin": plugin, "user": user, "chat": chat}
    wanted = {name: value for name, value in criteria.items() if value is not None}
    if not wanted:
        raise TypeError(f"cancel() needs one of {', '.join(criteria)}")
    infos: list[TaskInfo] = []
    records: set[Record] = set()
    current = registry.current()  # /cancel all is not to cancel itself
    for family in registry.families():
        info = registry.info(family.record)
        if not family.record.begun:
            continue
        if family.record is not current and all(
            getattr(info, name) == value for name, value in wanted.items()
        ):
            infos.append(info)
            records.add(family.record)
    if records:
        stop(records, reason)
    return infos


def stop(records: set[Record], reason: str) -> None:
    """Cancel these, again and again until they end or prove to be stragglers."""
    for record in records:
        for hook in registry.on_cancel:
            hook(record)
    stopping = Stopping(
        lambda: [family for family in registry.families() if family.record in records],
        reason,
        limits=registry.limits,
        is_busy=registry.is_busy,
    )
    stopping.step()  # now; not when the loop comes round to it
    registry.run_internal(stopping.run(), "cancel")


def is_shutting_down() -> bool:
    """Whether the shutdown has begun. From any thread."""
    return lifecycle.stopping


def on_shutting_down(hook: ShuttingDownHook) -> ShuttingDownHook:
    """Be told that the bot is being stopped while it can still talk.

    A decorator. The hooks start together when the shutdown begins, before anything is cancelled;
    each has ``GRACEFUL_HOOK_TIMEOUT`` seconds.

    Args:
        hook: A function without parameters, sync or async. A sync one runs in the event loop.

    """
    lifecycle.hooks.append(hook)
    return hook
