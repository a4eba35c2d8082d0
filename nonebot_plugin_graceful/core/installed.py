"""The tree that the public functions act on: there is one bot in a process."""

from collections.abc import Callable

from .tree import Tree

__all__ = ["install", "tree"]

tree: Tree = Tree()
"""Before the plugin is wired, that of a plain asyncio program."""


def install(new: Tree) -> Callable[[], None]:
    """Have the public functions act on another tree.

    Returns:
        Takes it back.

    """
    global tree
    before, tree = tree, new

    def restore() -> None:
        global tree  # noqa: PLW0603
        tree = before

    return restore
