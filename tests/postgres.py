"""A real PostgreSQL of the test run's own: on a socket in a folder of its own, as another user when we are root."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

PATIENCE_S: Final = 60.0


def find_programs() -> Path | None:
    """Give the folder of the newest installed server, None when there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


PROGRAMS: Final = find_programs()
DIALECTS: Final = ("sqlite", "postgresql") if PROGRAMS else ("sqlite",)


class Postgres:
    """One server; each test gets a database of its own. Trust reigns only on the socket in its folder."""

    def __init__(self, programs: Path) -> None:
        # A socket's path has at most 107 bytes, which pytest's own folders may exceed.
        self.folder = Path(tempfile.mkdtemp(prefix="linli-pg-", dir="/tmp"))
        self._programs = programs
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        try:
            subprocess.run(
                [str(programs / "initdb"), "-D", str(self.folder / "cluster"), "-U", "linli",
                 "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
                check=True, capture_output=True, cwd=self.folder, timeout=PATIENCE_S, **self._user,
            )  # fmt: skip
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", str(self.folder / "cluster"),
             "-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}",
             "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB",
             "-c", "max_connections=60"],
            stdout=log, stderr=log, cwd=self.folder, **self._user,
        )  # fmt: skip
        log.close()
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.run("select 1")
            except psycopg.OperationalError:
                said = (self.folder / "log").read_text(errors="replace")
                assert self._process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Stop it at once, as a crash would; what was committed stays."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(PATIENCE_S)
            self._process = None

    def run(self, statement: str) -> None:
        """Run one statement on the server's own database."""
        with psycopg.connect(
            f"host={self.folder} user=linli dbname=postgres", autocommit=True, connect_timeout=5
        ) as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # not a literal

    def new_database(self) -> str:
        """Make an empty database and give its URL."""
        name = f"test_{next(self._numbers)}"
        self.run(f"create database {name}")
        return f"postgresql+psycopg://linli@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        self.run(f"drop database {sa.make_url(url).database} with (force)")

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
