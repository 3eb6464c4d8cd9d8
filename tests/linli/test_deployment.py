"""Dockerfile and docker-compose.yml name only what exists; no Docker engine is needed to know that."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from linli.__main__ import build

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, Any] = COMPOSE["services"]
KNOWN_KEYS = {
    "build", "image", "command", "entrypoint", "depends_on", "volumes", "ports", "restart", "healthcheck",
    "network_mode", "security_opt", "cap_drop", "user",
}  # fmt: skip


def targets() -> list[str]:
    return re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)


def entrypoint(service: dict[str, Any]) -> list[str]:
    if "entrypoint" in service:
        return list(service["entrypoint"])
    target = service["build"]["target"]
    stage = DOCKERFILE.split(f"AS {target}\n", 1)[1].split("\nFROM ", 1)[0]
    found = re.search(r"^ENTRYPOINT (\[.*\])$", stage, re.MULTILINE)
    assert found, target
    return list(yaml.safe_load(found.group(1)))


def check_linli(words: list[str]) -> None:
    assert words[0] == "linli"
    command: Any = get_command(build(words[1:]))
    rest = words[1:]
    while rest and hasattr(command, "commands") and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    known = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    assert not unknown, f"{shlex.join(words)}: {unknown}"
    assert not hasattr(command, "commands") or getattr(command, "invoke_without_command", False), (
        words
    )


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_built_from_a_stage_or_a_known_image_and_runs_a_real_command(
    name: str,
) -> None:
    service = SERVICES[name]
    assert set(service) <= KNOWN_KEYS, set(service) - KNOWN_KEYS
    if "build" in service:
        assert service["build"]["target"] in targets()
        check_linli([*entrypoint(service), *service["command"]])
    else:
        assert service["image"] == "eclipse-mosquitto:2"
        assert service["command"][:2] == ["mosquitto", "-c"]
    test = service.get("healthcheck", {}).get("test", [])
    if test[:2] == ["CMD", "linli"]:
        check_linli(test[1:])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_depends_on_services_that_can_reach_the_state_it_waits_for(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wanted["condition"] == "service_healthy":
            assert "test" in SERVICES[other].get("healthcheck", {})
        if wanted["condition"] == "service_completed_successfully":
            assert SERVICES[other].get("restart") == "no"
    mode = SERVICES[name].get("network_mode", "")
    if mode.startswith("service:"):
        assert mode.removeprefix("service:") in SERVICES


def test_ports_are_published_on_loopback_only_and_volumes_are_declared() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]


def test_no_password_stands_in_the_deployment_files() -> None:
    for text in ((ROOT / "docker-compose.yml").read_text(), DOCKERFILE):
        assert not re.search(r"(password|secret|token)\s*[:=]\s*\S", text, re.IGNORECASE)


def test_every_file_the_images_copy_exists() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source.rstrip("/")).exists(), source


def test_every_image_installs_from_its_own_hash_pinned_lock() -> None:
    for target in ("edge", "cloud", "sim"):
        stage = DOCKERFILE.split(f"AS {target}\n", 1)[1].split("\nFROM ", 1)[0]
        assert f"--require-hashes -r requirements-{target}.lock" in stage
        assert "USER linli" in stage


def test_all_containers_are_the_one_user_who_owns_the_volume() -> None:
    assert "useradd --create-home --uid 10001 --gid 10001 linli" in DOCKERFILE
    assert "chown linli:linli /data" in DOCKERFILE
    for name, service in SERVICES.items():
        if "build" in service:
            assert "user" not in service, name
        else:
            assert service["user"] == "10001:10001", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_ports_and_paths_in_commands_are_those_that_setup_writes() -> None:
    setup = SERVICES["setup"]["command"]
    options = dict(itertools.pairwise(setup))
    assert setup[0] == "/data"
    assert options["--broker-host"] == "broker"
    assert options["--web-bind"] == "0.0.0.0"
    assert f"127.0.0.1 {options['--broker-port']}" in SERVICES["broker"]["healthcheck"]["test"][1]
    assert SERVICES["cloud"]["ports"] == ["127.0.0.1:8600:8600"]
    assert "EXPOSE 8600" in DOCKERFILE
    written = (
        r"/data(/broker/mosquitto\.conf|/cloud/cloud\.yaml|/fleet(/site\.yaml|/edge-[1-4]\.yaml)?)?"
    )
    for name, service in SERVICES.items():
        words = [*service["command"], *service.get("healthcheck", {}).get("test", [])]
        paths = [word for word in words if word.startswith("/")]
        assert all(re.fullmatch(written, path) for path in paths), (name, paths)


def test_an_image_that_can_say_how_it_does_is_asked() -> None:
    for name in ("broker", "edge-1", "edge-2", "edge-3", "edge-4"):
        assert "test" in SERVICES[name]["healthcheck"], name
    cloud = DOCKERFILE.split("AS cloud\n", 1)[1].split("\nFROM ", 1)[0]
    assert "http://127.0.0.1:8600/api/health" in cloud


def test_the_packages_of_the_pages_run_no_scripts_and_come_from_their_lock() -> None:
    assert "RUN npm ci --ignore-scripts" in DOCKERFILE
    assert (ROOT / "dashboards" / "package-lock.json").is_file()
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "var", "dashboards/dist"} <= set(ignored)
