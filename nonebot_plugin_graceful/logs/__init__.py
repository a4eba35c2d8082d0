"""What is done to loguru: texts without blobs and secrets, files, and flushing at the end."""

from .file import add_log_file, find_log_files
from .flush import flush_sinks
from .install import install
from .recent import Recent, read_recent
from .sinks import wrap_sinks

__all__ = [
    "Recent",
    "add_log_file",
    "find_log_files",
    "flush_sinks",
    "install",
    "read_recent",
    "wrap_sinks",
]
