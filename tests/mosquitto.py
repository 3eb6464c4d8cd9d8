"""A real mosquitto of a test's own: authenticated, with the access rules of production, killed and wiped at will."""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

CLOUD = "linli-cloud"
PATIENCE_S = 20.0
_CONFIG = """
per_listener_settings false
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
persistence false
max_inflight_messages 0
max_queued_messages 100000
set_tcp_nodelay true
message_size_limit 8388608
user {user}
"""
_ACL = """user linli-cloud
topic readwrite linli/1/#

pattern write linli/1/+/%u/up/#
pattern write linli/1/+/%u/state
pattern read linli/1/+/%u/down/#
"""


def find(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker on a port of its own; every user's password is its name; `settings` are added to its file."""

    def __init__(
        self,
        folder: Path,
        users: Sequence[str],
        *,
        open_acl: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        passwords = folder / "passwords"
        passwords.write_text("".join(f"{user}:{user}\n" for user in [CLOUD, *users]))
        passwords.chmod(0o600)
        subprocess.run([find("mosquitto_passwd"), "-U", str(passwords)], check=True, timeout=60)
        acl = folder / "acl"
        acl.write_text("pattern readwrite #\n" if open_acl else _ACL)
        acl.chmod(0o600)
        owner = passwords.owner()
        (folder / "mosquitto.conf").write_text(
            "\n".join([_CONFIG.format(port=self.port, folder=folder, user=owner), *settings, ""])
        )

    def start(self) -> None:
        log = (self._folder / "mosquitto.log").open("ab")
        self._process = subprocess.Popen(
            [find("mosquitto"), "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
        )
        log.close()
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, (self._folder / "mosquitto.log").read_text()
                assert time.monotonic() < end, "mosquitto does not listen"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Kill it without warning; what it held in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
