"""Processes that multiprocessing has started, which nobody ends once ours is gone."""

import multiprocessing
from contextlib import suppress

__all__ = ["end_children"]


def end_children(*, kill: bool = False) -> list[str]:
    """Tell them to end; wait for none of them, and raise nothing.

    The interpreter waits for them at its end. Who leaves it by force leaves them behind: a worker of
    a ``ProcessPoolExecutor`` waits for its next call for ever. Those of ``subprocess`` are nobody's
    business but the author's.

    Args:
        kill: Whether they are not asked. One that was forked has the server's handler of SIGTERM, so
            asking may not do.

    Returns:
        Their names.

    """
    ended: list[str] = []
    with suppress(Exception):
        for child in multiprocessing.active_children():
            with suppress(Exception):  # of a process that was forked from: not ours to end
                if child.is_alive():
                    (child.kill if kill else child.terminate)()
                    ended.append(child.name)
    return ended
