"""Secrets are made once, for their owner alone; ports are free ones."""

import shutil
import socket
import stat
from pathlib import Path

import pytest

from linli.up import home
from linli.up.home import HomeError, choose_ports, claimed, secret


def test_a_secret_is_random_kept_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "edge"
    first = secret(path)
    assert len(first) >= 32
    assert secret(path) == first
    assert secret(tmp_path / "secrets" / "other") != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_taken_web_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = choose_ports(port, field_ports=10)
    assert ports.web != port
    assert len({ports.broker, ports.web, ports.field}) == 3


def test_a_folder_is_used_by_one_launcher_at_a_time_and_free_again_after_it(tmp_path: Path) -> None:
    taken = pytest.raises(HomeError, match=r"in use by .*http://127\.0\.0\.1:8600; stop it")
    with claimed(tmp_path, 8600), taken, claimed(tmp_path, 8601):
        pass
    with claimed(tmp_path, 8602):
        assert "8602" in (tmp_path / "in-use").read_text()


def test_a_folder_that_cannot_be_written_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = pytest.raises(HomeError, match=r"cannot write .*Not a directory; choose another")
    with refused, claimed(tmp_path / "file" / "home", 8600):
        pass


def test_a_nearly_full_disk_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=17_000_000)
    monkeypatch.setattr(home.shutil, "disk_usage", lambda _: full)
    refused = pytest.raises(HomeError, match="only 17 MB are free")
    with refused, claimed(tmp_path, 8600):
        pass
