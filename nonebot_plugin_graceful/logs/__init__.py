"""What is done to loguru: texts without blobs and secrets, a file, and flushing at the end."""

from .file import add_log_file, find_log_files
from .flush import flush_sinks
from .install import install
from .sinks import install_redaction

__all__ = ["add_log_file", "find_log_files", "flush_sinks", "install", "install_redaction"]
