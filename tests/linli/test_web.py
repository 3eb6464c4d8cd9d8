"""The web build does only what is needed, and says why when it cannot."""

import stat
import sys
from pathlib import Path

import pytest

from linli import web

LOOSE = ("vite.config.ts", "tsconfig.json", "package-lock.json", "package.json")


def a_program(folder: Path, name: str, answer: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def a_workspace(folder: Path) -> Path:
    for name in ("src/a.ts", "console/index.html", *LOOSE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "node_modules").mkdir()
    return folder


def test_the_version_of_a_program_that_does_not_answer_is_none(tmp_path: Path) -> None:
    assert web.major_version(a_program(tmp_path, "node", "echo v24.19.0")) == 24
    assert web.major_version(a_program(tmp_path, "other", "echo nonsense")) == 0
    assert web.major_version(a_program(tmp_path, "broken", "exit 3")) == 0
    assert web.major_version(tmp_path / "missing") == 0


def test_an_old_node_on_the_path_is_not_taken(tmp_path: Path) -> None:
    programs, venv = tmp_path / "programs", tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    a_program(programs, "node", "echo v20.20.2")
    a_program(programs, "npm", "exit 0")
    assert web.find_node(venv, str(programs)) is None
    new = a_program(programs, "node", "echo v24.1.0")
    found = web.find_node(venv, str(programs))
    assert found == web.Node(new, (str(programs / "npm"),))


def test_pages_are_built_once_and_again_when_a_source_changed(tmp_path: Path) -> None:
    folder = a_workspace(tmp_path / "dashboards")
    script = "mkdir -p dist/console && echo page > dist/console/index.html && echo x >> calls"
    node = web.Node(a_program(tmp_path, "node", script), ("npm",))
    assert web.build_pages(node, folder)
    assert not web.build_pages(node, folder)
    (folder / "src" / "a.ts").write_text("changed")
    assert web.build_pages(node, folder)
    assert (folder / "calls").read_text() == "x\nx\n"


def test_packages_are_installed_when_the_lock_changed(tmp_path: Path) -> None:
    folder = a_workspace(tmp_path / "dashboards")
    npm = a_program(tmp_path, "npm", 'echo "$@" >> calls')
    node = web.Node(Path(sys.executable), (str(npm),))
    assert web.install_packages(node, folder)
    assert not web.install_packages(node, folder)
    (folder / "package-lock.json").write_text("changed")
    assert web.install_packages(node, folder)
    assert "ci --ignore-scripts" in (folder / "calls").read_text()


def test_the_types_of_the_api_come_from_the_stored_description(tmp_path: Path) -> None:
    folder = a_workspace(tmp_path / "dashboards")
    node = web.Node(
        a_program(tmp_path, "node", 'echo "$@" > calls'), (str(a_program(tmp_path, "npm", ":")),)
    )
    web.write_api_types(node, folder)
    assert "../docs/openapi.json -o src/shared/api/schema.d.ts" in (folder / "calls").read_text()


def test_a_failed_step_tells_its_name_and_last_words_and_is_not_taken_for_done(
    tmp_path: Path,
) -> None:
    folder = a_workspace(tmp_path / "dashboards")
    npm = a_program(tmp_path, "npm", "echo no space left >&2; exit 7")
    node = web.Node(Path(sys.executable), (str(npm),))
    for _ in range(2):
        with pytest.raises(web.WebBuildError, match=r"npm ci failed with code 7:\nno space left"):
            web.install_packages(node, folder)
