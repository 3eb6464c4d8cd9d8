"""The front end's own checks: unit tests, types, the description of the API, sizes, and a lock without addresses."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from linli import web
from tests.e2e.desk import DIST, ROOT

pytestmark = pytest.mark.xdist_group("e2e")
DASHBOARDS = ROOT / "dashboards"
KIB = 1024


def node_run(node: web.Node, *arguments: str) -> None:
    done = subprocess.run(
        [str(node.program), *arguments],
        cwd=DASHBOARDS,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6_000:]


def test_the_unit_tests_of_the_front_end_pass(node: web.Node) -> None:
    node_run(node, "node_modules/vitest/vitest.mjs", "run", "--reporter=dot", "--no-isolate")


def test_the_front_end_has_no_type_errors(node: web.Node) -> None:
    kept = "node_modules/.cache/vue-tsc.tsbuildinfo"  # only what changed is read again
    node_run(
        node,
        "node_modules/vue-tsc/bin/vue-tsc.js",
        "--noEmit",
        "--incremental",
        "--tsBuildInfoFile",
        kept,
    )


def test_the_types_are_those_of_the_present_api(node: web.Node, tmp_path: Path) -> None:
    made = tmp_path / "schema.d.ts"
    node_run(
        node,
        "node_modules/openapi-typescript/bin/cli.js",
        str(ROOT / "docs" / "openapi.json"),
        "--output",
        str(made),
    )
    kept = DASHBOARDS / "src" / "shared" / "api" / "schema.d.ts"
    assert made.read_text() == kept.read_text(), "run `npm run api-types` in dashboards/"


def gzipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def test_the_console_stays_within_its_size(node: web.Node) -> None:
    assert node.program.is_file()
    page = (DIST / "console" / "index.html").read_text()
    scripts = [DIST / name for name in re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', page)]
    styles = [DIST / name for name in re.findall(r'href="/(assets/[^"]+\.css)"', page)]
    assert scripts
    assert styles
    assert sum(map(gzipped, scripts)) <= 120 * KIB
    assert sum(map(gzipped, styles)) <= 12 * KIB
    lazy = [path for path in (DIST / "assets").glob("*.js") if path not in scripts]
    assert max(map(gzipped, lazy)) <= 240 * KIB, "the charts come later, but not at any size"


def test_the_lock_file_names_no_addresses_and_every_package_has_a_hash() -> None:
    lock = json.loads((DASHBOARDS / "package-lock.json").read_text())
    assert "http" not in json.dumps(
        [part.get("resolved", "") for part in lock["packages"].values()]
    )
    unhashed = [name for name, part in lock["packages"].items() if name and "integrity" not in part]
    assert unhashed == []


def test_every_dependency_is_pinned_exactly() -> None:
    package = json.loads((DASHBOARDS / "package.json").read_text())
    loose = [
        name
        for part in ("dependencies", "devDependencies")
        for name, version in package[part].items()
        if not re.fullmatch(r"\d+\.\d+\.\d+", version)
    ]
    assert loose == []
