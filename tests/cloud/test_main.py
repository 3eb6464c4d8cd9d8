"""The commands as people type them, in one process."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from cloud.__main__ import app
from cloud.kit.backup import check_copy
from cloud.kit.clock import SystemClock
from cloud.kit.sql import Database
from cloud.series.model import LaneMark, SeriesKey
from cloud.series.service import open_reader, open_series

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "linli-cloud").write_text("x\n")
    path = tmp_path / "cloud.yaml"
    path.write_text(f"rules: {ROOT / 'config' / 'rules'}\nweb: {{port: 0}}\n")
    yield path
    structlog.reset_defaults()


def linli(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_first_migration_prints_the_first_login_once(config: Path) -> None:
    first = json.loads(linli("migrate", "--config", config, "--json").stdout)
    assert first["first_login"]["username"] == "admin"
    assert len(first["first_login"]["password"]) == 23
    again = linli("migrate", "--config", config)
    assert again.exit_code == 0
    assert "first login" not in again.stdout
    database = (config.parent / "app.db").read_bytes()
    assert first["first_login"]["password"].encode() not in database


def test_a_command_on_an_old_database_says_what_to_do(config: Path) -> None:
    refused = linli("add-user", "li", "--role", "duty", "--config", config)
    assert refused.exit_code == 1
    assert "linli cloud migrate" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_people_are_added_and_given_new_passwords(config: Path) -> None:
    linli("migrate", "--config", config)
    added = json.loads(
        linli("add-user", "li", "--role", "duty", "--config", config, "--json").stdout
    )
    again = linli("add-user", "li", "--role", "duty", "--config", config)
    assert again.exit_code == 1
    assert "taken" in again.stderr
    changed = json.loads(linli("set-password", "li", "--config", config, "--json").stdout)
    assert changed["password"] not in {None, added["password"]}
    assert linli("set-password", "nobody", "--config", config).exit_code == 1


def test_check_config_prints_every_mistake_with_its_line(config: Path) -> None:
    assert linli("check-config", "--config", config).exit_code == 0
    config.write_text("web: {prot: 1}\nshards: [1]\n")
    told = linli("check-config", "--config", config)
    assert told.exit_code == 1
    assert "cloud.yaml:1: web.prot" in told.stderr
    assert "cloud.yaml:2: shards" in told.stderr
    found = json.loads(linli("check-config", "--config", config, "--json").stdout)
    assert [mistake["line"] for mistake in found["mistakes"]] == [1, 2]


def test_check_config_reads_the_rules_too(config: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    config.write_text("rules: rules\n")
    told = linli("check-config", "--config", config)
    assert (told.exit_code, "rules" in told.stderr) == (1, True)


def store_gas(folder: Path, values: list[float], end: int) -> None:
    series = open_series(folder, SystemClock())
    with closing(series):
        number = series.register([SeriesKey("shuibei-gas-001", "gas_lel_pct")])
        [one] = number.values()
        rows = [(end - 1_000 * (len(values) - n), one, value, 0) for n, value in enumerate(values)]
        series.append(rows, [LaneMark("shuibei-edge-1", 1, "data", 1)])


def test_a_backup_can_be_opened_and_holds_everything(config: Path, tmp_path: Path) -> None:
    linli("migrate", "--config", config)
    linli("add-user", "li", "--role", "duty", "--config", config)
    store_gas(tmp_path / "series", [1.0, 2.0, 3.0], SystemClock().now_ms())
    copy = tmp_path / "copies" / "one"
    made = linli("backup", copy, "--config", config, "--json")
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["app_bytes"] > 0
    check_copy(copy / "app.db")
    with closing(sqlite3.connect(copy / "app.db")) as restored:
        names = {row[0] for row in restored.execute("select username from user_account")}
    assert names == {"admin", "li"}
    with closing(open_reader(copy / "series")) as reader:
        assert [item.value for item in reader.latest()] == [3.0]
    assert linli("backup", copy, "--config", config).exit_code == 1


def test_a_restored_backup_works_in_place(config: Path, tmp_path: Path) -> None:
    linli("migrate", "--config", config)
    linli("backup", tmp_path / "copy", "--config", config)
    for file in tmp_path.glob("app.db*"):
        file.unlink()
    (tmp_path / "copy" / "app.db").rename(tmp_path / "app.db")
    assert linli("add-user", "li", "--role", "duty", "--config", config).exit_code == 0


def test_a_damaged_copy_is_noticed(tmp_path: Path) -> None:
    from cloud.errors import UnavailableError

    file = tmp_path / "bad.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute("create table t (x)")
        made.executemany("insert into t values (?)", [("y" * 500,)] * 200)
        made.commit()
    content = bytearray(file.read_bytes())
    content[4096:12_288] = b"\xff" * 8_192
    file.write_bytes(bytes(content))
    with pytest.raises(UnavailableError, match="damaged"):
        check_copy(file)


def test_replay_tells_what_the_rules_would_have_raised(config: Path, tmp_path: Path) -> None:
    linli("migrate", "--config", config)
    rising = [1.0] * 30 + [60.0] * 120
    store_gas(tmp_path / "series", rising, SystemClock().now_ms() - 1_000)
    told = linli("replay", "--days", "0.1", "--config", config, "--json")
    assert told.exit_code == 0, told.stderr
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert "shuibei-gas-001" in {alert["subject"] for alert in found}
    with closing(sqlite3.connect(tmp_path / "app.db")) as database:
        assert database.execute("select count(*) from alerts").fetchone() == (0,)


def test_an_untouched_history_is_whole(config: Path) -> None:
    linli("migrate", "--config", config)
    assert linli("verify-history", "--config", config, "--json").stdout.strip() == (
        '{"checked": 0, "broken": []}'
    )


def test_a_site_is_imported_again_and_again(config: Path, tmp_path: Path) -> None:
    linli("migrate", "--config", config)
    site = tmp_path / "site.yaml"
    site.write_text(
        "site: {id: shuibei, name_zh: 水贝社区, name_en: Shuibei, width_m: 600, depth_m: 400}\n"
        "places: [{path: b01, kind: building, name_zh: 一号, name_en: One, x: 1, y: 2}]\n"
        "edges: []\ndevices: []\n"
    )
    for _ in range(2):
        assert "1 places" in linli("import-site", site, "--config", config).stdout
    site.write_text("site: {id: shuibei}\n")
    assert linli("import-site", site, "--config", config).exit_code == 1


def test_a_taken_port_is_told_in_one_line(config: Path, tmp_path: Path) -> None:
    import socket

    linli("migrate", "--config", config)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(
            f"rules: {ROOT / 'config' / 'rules'}\nweb: {{port: {taken.getsockname()[1]}}}\n"
        )
        refused = linli("serve", "--config", config)
    assert refused.exit_code == 1
    assert "cannot listen" in refused.stderr


def test_the_module_is_a_command_and_ends_when_asked(config: Path) -> None:
    linli("migrate", "--config", config)
    command = [sys.executable, "-m", "cloud", "serve", "--config", str(config)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_database_open_elsewhere_is_migrated_too(config: Path, tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path}/app.db")
    with closing(other), other.read() as connection:
        connection.exec_driver_sql("select 1")
        assert linli("migrate", "--config", config).exit_code == 0


def heads(folder: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(folder / "app.db")) as database:
        epoch, seq = database.execute("select epoch, seq from journal_head").fetchone()
        return int(epoch), int(seq)


def test_a_backup_is_put_back_with_a_new_epoch_and_what_was_there_is_kept(
    config: Path, tmp_path: Path
) -> None:
    home, copy = config.parent, tmp_path / "copy"
    linli("migrate", "--config", config)
    assert linli("backup", copy, "--config", config).exit_code == 0
    epoch, seq = heads(copy)
    linli("add-user", "later", "--role", "duty", "--config", config)
    (home / "series").mkdir(exist_ok=True)
    (home / "series" / "mark").write_text("present")
    done = linli("restore", copy, "--config", config, "--json")
    assert done.exit_code == 0, done.stderr
    assert heads(home)[0] > epoch
    assert heads(home)[1] == seq
    assert heads(copy) == (epoch, seq)
    assert linli("set-password", "admin", "--config", config).exit_code == 0
    assert linli("set-password", "later", "--config", config).exit_code == 1
    kept = [Path(path) for path in json.loads(done.stdout)["kept"]]
    assert any((path / "mark").is_file() for path in kept)
    assert any(path.name.startswith("app.db.before-") for path in kept)


def test_nothing_is_restored_over_a_running_service_or_from_a_damaged_backup(
    config: Path, tmp_path: Path
) -> None:
    linli("migrate", "--config", config)
    copy = tmp_path / "copy"
    linli("backup", copy, "--config", config)
    with closing(sqlite3.connect(config.parent / "app.db")) as database, database:
        far = SystemClock().now_ms() + 60_000
        database.execute("insert into shard_lease values (0, 'worker', ?, 1)", (far,))
    running = linli("restore", copy, "--config", config)
    assert (running.exit_code, "stop `linli cloud serve`" in running.stderr) == (1, True)
    missing = linli("restore", tmp_path / "nowhere", "--config", config)
    assert (missing.exit_code, "app.db is missing" in missing.stderr) == (1, True)
    (copy / "app.db").write_bytes(b"SQLite format 3\0 but no more")
    damaged = linli("restore", copy, "--config", config)
    assert (damaged.exit_code, "damaged" in damaged.stderr) == (1, True)
    assert not [*config.parent.glob("*.before-*")]
