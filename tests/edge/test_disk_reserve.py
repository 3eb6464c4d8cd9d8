"""The space of a spool stays its own, also while the node is stopped."""

from pathlib import Path

from edge.disk_reserve import LOG_BYTES, ReservedDatabase


def opened(path: Path) -> ReservedDatabase:
    return ReservedDatabase(path, is_synced=True, limit_bytes=8_388_608, reserve_bytes=262_144)


def taken_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_the_place_of_the_log_is_kept_while_the_node_is_stopped(tmp_path: Path) -> None:
    path, log, stand_in = (tmp_path / name for name in ("s.db", "s.db-wal", "s.db-reserve"))
    for _ in range(2):
        database = opened(path)
        assert taken_bytes(log) >= LOG_BYTES
        assert not stand_in.exists(), "the place is taken twice"
        database.close()
        assert not log.exists()
        assert taken_bytes(stand_in) >= LOG_BYTES
    path.unlink()
