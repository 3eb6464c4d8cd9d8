"""Secrets are made once, for their owner alone; ports are free ones."""

import socket
import stat
from pathlib import Path

from linli.up.home import choose_ports, secret


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
