"""Processes that multiprocessing has started, which nobody ends once ours is gone.

The interpreter waits for them at its end. Who leaves it by force leaves them behind: a worker of a
``ProcessPoolExecutor`` waits for its next call for ever. Those of ``subprocess`` are nobody's
business but the author's.
"""

import multiprocessing
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess

__all__ = ["end_children", "names_of_children"]


def names_of_children() -> list[str]:
    """Name those that are there. It raises nothing."""
    return [child.name for child in _alive()]


def end_children() -> None:
    """End them; wait for none of them, and raise nothing.

    They are not asked. One that was forked has the server's handler of SIGTERM, so asking may not
    do; and once they have ended, so may the threads that the interpreter waits for, and it would end
    by itself, with another exit code: whoever calls this ends the process at once.
    """
    for child in _alive():
        with suppress(Exception):
            child.kill()


def _alive() -> Iterator[BaseProcess]:
    with suppress(Exception):
        for child in multiprocessing.active_children():
            with suppress(Exception):  # of a process that was forked from: not ours to end
                if child.is_alive():
                    yield child
