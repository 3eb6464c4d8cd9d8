"""What was synced is asked of the medium, and a medium that refuses is told."""

import os
from pathlib import Path

import pytest

from cloud.kit.disk import sync


def test_files_and_folders_are_handed_to_the_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    asked: list[int] = []
    monkeypatch.setattr("os.fsync", lambda handle: asked.append(os.fstat(handle).st_ino))
    sync(file)
    sync(tmp_path)
    assert asked == [file.stat().st_ino, tmp_path.stat().st_ino]


def test_no_handle_is_left_open_when_the_medium_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("os.fsync", refuse)
    before = os.dup(0)
    os.close(before)
    with pytest.raises(OSError, match="no space"):
        sync(tmp_path)
    after = os.dup(0)
    os.close(after)
    assert after == before
