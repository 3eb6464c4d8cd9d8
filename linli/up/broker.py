"""The broker of a demonstration: Mosquitto where it is installed, else the embedded one; both know all users."""

import base64
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.topics import Channel, topic
from linli.up.home import CLOUD_USER

SEARCH: Final = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto")


@dataclass(frozen=True, slots=True)
class BrokerCommand:
    """How to start the broker, and its name for people."""

    name: str
    argv: list[str]


def find_mosquitto() -> str | None:
    """Find Mosquitto, also where Debian keeps it out of a user's PATH."""
    found = shutil.which("mosquitto")
    return found or next((path for path in SEARCH if Path(path).exists()), None)


def rights(edges: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Give what each user may publish and subscribe: an edge its own `up/#` and `state`, and its own `down/#`."""
    publish = {CLOUD_USER: ["linli/1/#"]}
    subscribe = {CLOUD_USER: ["linli/1/#"]}
    for edge in edges:
        state = topic(edge, Channel.STATE)
        own = state.removesuffix(Channel.STATE.value)
        publish[edge] = [f"{own}up/#", state]
        subscribe[edge] = [f"{own}down/#"]
    return publish, subscribe


def mosquitto_hash(password: str, salt: bytes) -> str:
    """Give a line of Mosquitto's password file: PBKDF2 with SHA-512, its type 7, 101 rounds as its own tool writes.

    So few rounds are enough only because these passwords are 24 random bytes, which nobody can guess.
    """
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101, 64)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def prepare(
    folder: Path,
    bind: str,
    port: int,
    passwords: Mapping[str, str],
    *,
    embedded: bool = False,
    mosquitto: str | None = None,
) -> BrokerCommand:
    """Write the broker's files and tell how to start it.

    Args:
        folder: where its configuration goes.
        bind: the address it listens on.
        port: on that address.
        passwords: of every user, in clear; only hashes are written.
        embedded: do without Mosquitto even where it is installed.
        mosquitto: the program that will be started, when that happens on another machine or in a container.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    program = mosquitto or (None if embedded else find_mosquitto())
    if program is None:
        return _embedded(folder, f"{bind}:{port}", passwords)
    return _mosquitto(folder, f"{port} {bind}", passwords, program)


def _mosquitto(
    folder: Path, listener: str, passwords: Mapping[str, str], program: str
) -> BrokerCommand:
    publish, subscribe = rights([user for user in passwords if user != CLOUD_USER])
    lines: list[str] = []
    for user in passwords:
        lines.append(f"user {user}")
        lines += [f"topic write {allowed}" for allowed in publish[user]]
        lines += [f"topic read {allowed}" for allowed in subscribe[user]]
        lines.append("")
    acl, users, config = folder / "acl", folder / "passwd", folder / "mosquitto.conf"
    acl.write_text("\n".join(lines), encoding="utf-8")
    users.touch(mode=0o600)
    users.write_text(
        "".join(
            f"{user}:{mosquitto_hash(word, secrets.token_bytes(12))}\n"
            for user, word in passwords.items()
        ),
        encoding="utf-8",
    )
    for path in (acl, users):
        path.chmod(0o600)
    settings = [
        f"listener {listener}",
        "allow_anonymous false",
        f"password_file {users.resolve()}",
        f"acl_file {acl.resolve()}",
        # The acknowledgement is end to end, so nothing needs to outlive the broker.
        "persistence false",
        "max_inflight_messages 2000",
        # The default of 1,000 drops what a slow subscriber has not fetched yet.
        "max_queued_messages 200000",
        "max_packet_size 4194304",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        # As root it would give up its rights and then be unable to read its own files.
        settings.append("user root")
    config.write_text("\n".join(settings) + "\n", encoding="utf-8")
    return BrokerCommand("Mosquitto", [program, "-c", str(config.resolve())])


def _embedded(folder: Path, bind: str, passwords: Mapping[str, str]) -> BrokerCommand:
    from cloud.kit.password import Passwords  # noqa: PLC0415 - only where no Mosquitto is installed

    publish, subscribe = rights([user for user in passwords if user != CLOUD_USER])
    hasher = Passwords()
    users, plan = folder / "embedded-passwd", folder / "embedded.json"
    users.touch(mode=0o600)
    users.write_text(
        "".join(f"{user}:{hasher.hash(word)}\n" for user, word in passwords.items()),
        encoding="utf-8",
    )
    document = {
        "bind": bind,
        "password_file": str(users.resolve()),
        "publish": publish,
        "subscribe": subscribe,
    }
    plan.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return BrokerCommand(
        "embedded amqtt", [sys.executable, "-m", "linli", "broker", "run", str(plan.resolve())]
    )
