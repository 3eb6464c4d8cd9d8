"""Files and functions stay small enough to be read at once."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = sorted(
    path
    for folder in ("contract", "edge", "cloud", "firmware_sim", "linli", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "versions" not in path.parts  # migrations are generated
)
FRONT_END = sorted(
    path
    for pattern in ("*.ts", "*.vue")
    for path in (ROOT / "dashboards").rglob(pattern)
    if "node_modules" not in path.parts
    and "dist" not in path.parts
    and "schema.d.ts" not in path.name
)


@pytest.mark.parametrize(
    "path", [*PYTHON, *FRONT_END], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{path}: {lines} lines; cut it by noun"


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_has_at_most_50_lines(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = [
        f"{path.name}:{node.lineno} {node.name} ({node.end_lineno - node.lineno + 1})"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > 50
    ]
    assert not long, long
