"""The door to the medium: a file or folder is on it, not only in the system's memory."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the medium.

    Raises:
        OSError: the medium does not take it; what was written must not be relied on.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
