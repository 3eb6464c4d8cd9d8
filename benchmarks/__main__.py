"""Run all benchmarks, print a table and write JSON: `python -m benchmarks [--quick] [NAME …]`."""

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks

Row = dict[str, Any]
SKIP = {"__main__", "ingest_load", "stand"}


def names() -> list[str]:
    """Find every benchmark: a module with `run(quick) -> list[dict]`."""
    return sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in SKIP)


def table(rows: list[Row]) -> Table:
    """Lay the figures out beside their targets and references."""
    out = Table(
        title=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    for column in ("benchmark", "figure"):
        out.add_column(column)
    for column in ("value", "unit", "target", "reference in the same run"):
        out.add_column(column, justify="right")
    out.add_column("")
    for row in rows:
        verdict = {True: "[green]reached[/]", False: "[red]not reached[/]", None: ""}[
            row.get("passed")
        ]
        out.add_row(
            row["benchmark"],
            row["name"],
            number(row["value"]),
            row["unit"],
            str(row.get("target") or ""),
            str(row.get("reference") or ""),
            verdict,
        )
    return out


def number(value: object) -> str:
    """Write a figure with three significant digits or thousands separators."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main() -> int:
    """Run the benchmarks named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; default: all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes; for a first look"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("var/bench.json"), help="where the figures are written"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(names())
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in chosen.names or names():
        print(f"[bench] {name} …", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        rows += [{"benchmark": name, **row} for row in module.run(chosen.quick)]
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    Console(width=None if sys.stdout.isatty() else 170).print(table(rows))
    print(f"written: {chosen.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
