"""httpx, and httpx2 that goes on where it stopped: what is needed of either, in one place.

OpenAI's SDK from 3 on and Anthropic's from 2 on are built on httpx2; NoneBot and most plugins use
httpx. The two have the same names and differ in their classes. Neither is imported before somebody
asks for it.
"""

import functools
import importlib
from typing import Any, Literal, get_args

__all__ = ["Name", "derive", "import_library", "library_of"]

Name = Literal["httpx", "httpx2"]


def import_library(name: str) -> Any:
    """Import a library by its name.

    Raises:
        ImportError: It is not installed.
        ValueError: It is none of the two.

    """
    names = get_args(Name)
    if name not in names:
        raise ValueError(f"library has to be one of {', '.join(names)}; it is {name!r}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"library={name!r} needs the package {name} to be installed") from error


def library_of(thing: object) -> Any:
    """Give the library that a request or a response is of."""
    return _library_of(type(thing))


@functools.cache
def _library_of(cls: type[Any]) -> Any:
    for base in cls.__mro__:
        package = base.__module__.partition(".")[0]
        if package in get_args(Name):
            return importlib.import_module(package)
    raise TypeError(f"{cls!r} is a class of neither httpx nor httpx2")


@functools.cache
def derive(mixin: type[Any], library: Any, base: str) -> type[Any]:
    """Make of a class one that is the library's too."""
    return type(mixin.__name__.lstrip("_"), (mixin, getattr(library, base)), {})
