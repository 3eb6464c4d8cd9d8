"""The node's health as one small file, replaced at one stroke, for `linli up`, `edge status` and the installer."""

from pathlib import Path
from typing import Any, Final

import msgspec

FILE_NAME: Final = "status.json"


def write_status(folder: Path, status: dict[str, Any]) -> None:
    """Replace `status.json` in `folder`."""
    fresh = folder / f".{FILE_NAME}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=2))
    fresh.replace(folder / FILE_NAME)


def read_status(folder: Path) -> dict[str, Any] | None:
    """Give the last status written; None when there is none."""
    try:
        found: dict[str, Any] = msgspec.json.decode((folder / FILE_NAME).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return found
