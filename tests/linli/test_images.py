"""What an image copies and installs is enough for its part, and no other part's libraries are in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = {
    "edge": ["contract", "edge"],
    "cloud": ["contract", "cloud"],
    "sim": ["contract", "firmware_sim"],
}
# Runs in a process of its own: refuses our folders that were not copied and libraries that the lock does not name.
GUARD = """
import importlib, importlib.metadata, json, pkgutil, re, sys
plan = json.loads(sys.argv[1])
tops = importlib.metadata.packages_distributions()
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        owners = {plain(owner) for owner in tops.get(top, ())}
        is_ours = top in plan["ours"]
        if (is_ours and top not in plan["copied"]) or (not is_ours and owners and not owners & set(plan["locked"])):
            raise ModuleNotFoundError(f"{top} is not in this image", name=top)
        return None
sys.meta_path.insert(0, Guard())
"""
IMPORT_ALL = """
for package in plan["packages"]:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, package + "."):
        if not found.name.endswith(".migrations.env"):  # runs inside Alembic only
            importlib.import_module(found.name)
"""
RUN = """
sys.argv = ["linli", *plan["arguments"]]
from linli.__main__ import main
main()
"""


def stage(target: str) -> str:
    return (ROOT / "Dockerfile").read_text().split(f"AS {target}\n", 1)[1].split("\nFROM ", 1)[0]


def unpack(target: str, folder: Path) -> list[str]:
    """Copy what the image copies, and give its names."""
    copied = []
    for line in re.findall(r"^COPY (?!--from)(.+)$", stage(target), re.MULTILINE):
        for source in line.split()[:-1]:
            copied.append(source.rstrip("/"))
            here, there = ROOT / copied[-1], folder / copied[-1]
            if here.is_dir():
                shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(here, there)
    return copied


def inside(
    target: str, folder: Path, script: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    lock = (ROOT / f"requirements-{target}.lock").read_text()
    plan = {
        "ours": ["contract", "edge", "cloud", "firmware_sim", "linli", "tests", "benchmarks"],
        "copied": unpack(target, folder),
        "locked": [re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)],
        "packages": STAGES[target],
        "arguments": arguments,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", GUARD + script, json.dumps(plan)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("target", STAGES)
def test_every_module_of_an_image_finds_what_it_imports(target: str, tmp_path: Path) -> None:
    done = inside(target, tmp_path, IMPORT_ALL)
    assert done.returncode == 0, done.stderr[-2_000:]


FOREIGN = {"edge": ("fastapi", "sqlalchemy"), "sim": ("duckdb", "pymodbus"), "cloud": ("pymodbus",)}


@pytest.mark.parametrize(
    ("target", "library"),
    [(target, library) for target, libraries in FOREIGN.items() for library in libraries],
)
def test_an_image_does_not_carry_another_parts_libraries(target: str, library: str) -> None:
    lock = (ROOT / f"requirements-{target}.lock").read_text()
    assert not re.search(rf"^{library}==", lock, re.MULTILINE)


@pytest.mark.parametrize(("target", "part"), [("edge", "edge"), ("cloud", "cloud"), ("sim", "sim")])
def test_the_command_of_an_image_answers_in_it(target: str, part: str, tmp_path: Path) -> None:
    done = inside(target, tmp_path, RUN, part, "--help")
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "Usage: linli" in done.stdout


def test_a_part_that_is_not_in_the_image_is_said_in_one_line(tmp_path: Path) -> None:
    done = inside("edge", tmp_path, RUN, "cloud", "serve")
    assert (done.returncode, done.stderr) == (1, "linli cloud: this part is not installed here\n")


def test_setup_writes_what_every_other_container_reads(tmp_path: Path) -> None:
    app, data = tmp_path / "app", tmp_path / "data"
    app.mkdir()
    words = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    words = words["setup"]["command"][1:]
    done = inside("sim", app, RUN, "up", "prepare", str(data), *words, "--scale", "small")
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    broker = (data / "broker" / "mosquitto.conf").read_text()
    assert "listener 1883 0.0.0.0" in broker
    assert str(data / "broker" / "passwd") in broker
    cloud = yaml.safe_load((data / "cloud" / "cloud.yaml").read_text())
    assert cloud["rules"] == str(app / "config" / "rules")
    assert cloud["web"]["dist"] == str(app / "dashboards" / "dist")
    assert (cloud["broker"]["host"], cloud["web"]["host"]) == ("broker", "0.0.0.0")
    edge = yaml.safe_load((data / "fleet" / "edge-1.yaml").read_text())
    assert edge["uplink"]["host"] == "broker"
    models = (data / "fleet" / edge["models"]).resolve()
    assert models == (app / "config" / "devices").resolve()
    assert {line.get("link", {}).get("type") for line in edge["drivers"]} <= {
        None,
        "tcp",
        "rtu_over_tcp",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in (data / "fleet" / "secrets").iterdir())
