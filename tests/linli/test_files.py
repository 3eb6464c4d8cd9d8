"""What the commands write is for the user who runs them: databases hold sessions and what people typed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = """
database: {url: "sqlite:///app.db"}
series: {kind: local, path: series}
broker: {host: 127.0.0.1, port: 1, password_file: broker-password}
rules: rules
"""


def test_a_new_database_is_for_its_user_alone(tmp_path: Path) -> None:
    (tmp_path / "cloud.yaml").write_text(CONFIG)
    (tmp_path / "broker-password").write_text("x")
    (tmp_path / "rules").mkdir()
    script = "import os, sys; os.umask(0o022); from linli.__main__ import main; main()"
    command = [sys.executable, "-c", script, "cloud", "migrate", "--config", str(tmp_path / "cloud.yaml")]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    found = list(tmp_path.glob("app.db*"))
    assert found
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
