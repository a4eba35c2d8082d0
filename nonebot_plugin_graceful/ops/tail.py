"""The newest part of a log, also of one that loguru has compressed."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["BROKEN", "is_compressed", "read_tail"]

BROKEN = (EOFError, LookupError, ValueError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)
"""What reading a file that is no archive raises, besides `OSError`."""

_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
}
_ARCHIVES = (".zip", ".tar")
_CHUNK = 1 << 20


def is_compressed(path: Path) -> bool:
    """Tell by its name whether a log is compressed."""
    return path.suffix in (*_OPENERS, *_ARCHIVES)


def read_tail(path: Path, limit: int) -> tuple[str, int]:
    """Read the end of a log.

    Args:
        path: The file.
        limit: Bytes that are read at most.

    Returns:
        Its last lines, and how many bytes there are before them.

    Raises:
        OSError: It cannot be read. One of `BROKEN`: it is not what its name says.

    """
    with _open(path) as file:
        data, before = _last_bytes(file, limit)
    if before:  # not from the middle of a line
        start = data.find(b"\n") + 1
        data, before = data[start:], before + start
    return data.decode("utf-8", "replace"), before


def _last_bytes(file: IO[bytes], limit: int) -> tuple[bytes, int]:
    """Read to the end: an archive cannot be read from there."""
    chunks: deque[bytes] = deque()
    kept = before = 0
    while chunk := file.read(_CHUNK):
        chunks.append(chunk)
        kept += len(chunk)
        while kept - len(chunks[0]) >= limit:
            dropped = len(chunks.popleft())
            kept, before = kept - dropped, before + dropped
    data = b"".join(chunks)
    return data[max(0, kept - limit) :], before + max(0, kept - limit)


@contextmanager
def _open(path: Path) -> Generator[IO[bytes]]:
    with ExitStack() as stack:
        if ".tar" in path.suffixes[-2:]:
            archive = stack.enter_context(tarfile.open(path))
            file = archive.extractfile(archive.next() or "")
            assert file is not None
            yield stack.enter_context(file)
        elif path.suffix == ".zip":
            packed = stack.enter_context(zipfile.ZipFile(path))
            yield stack.enter_context(packed.open(packed.namelist()[0]))
        elif opener := _OPENERS.get(path.suffix):
            yield stack.enter_context(opener(path))
        else:
            yield stack.enter_context(path.open("rb"))
