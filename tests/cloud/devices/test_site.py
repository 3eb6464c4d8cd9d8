"""The site file: every mistake at once with its line, and the same file twice changes nothing."""

from pathlib import Path

import pytest

from cloud.devices import place_store, registry, store
from cloud.devices.directory import Directory
from cloud.devices.site import parse_site, read_site
from cloud.kit.sql import Database
from contract.config_text import ConfigError

GOOD = """
site: {id: shuibei, name_zh: 水贝社区, name_en: Shuibei, width_m: 600, depth_m: 400}
places:
  - {path: b01/f01, kind: floor, name_zh: 1层, name_en: F1}
  - {path: b01, kind: building, name_zh: 水贝一街1号, name_en: 1 Shuibei St, x: 120, y: 40}
  - {path: b01/f01/r101, kind: room, name_zh: 老王川菜馆, name_en: Lao Wang, x: 4, y: 3}
edges: [{id: shuibei-edge-1, name: 一号边缘节点}]
devices: [{id: shuibei-smoke-001, x: 122.5, y: 43}]
"""
BAD = """
site: {id: Shui bei, name_zh: 水贝, name_en: S, width_m: -1, depth_m: 400}
places:
  - {path: b01, kind: bilding, name_zh: 一, name_en: one}
  - {path: B/2, kind: floor, name_zh: 二, name_en: two}
devices: [{id: d, x: 1, y: .nan, colour: red}]
"""
CROSSED = """
site: {id: s, name_zh: 水贝, name_en: S, width_m: 1, depth_m: 1}
places:
  - {path: b01, kind: room, name_zh: 一, name_en: one}
  - {path: b02/f01, kind: floor, name_zh: 二, name_en: two}
  - {path: b03, kind: building, name_zh: 三, name_en: three}
  - {path: b03, kind: building, name_zh: 三, name_en: three}
edges: [{id: e, name: 一}, {id: e, name: 二}]
"""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (BAD, {"site.id", "site.width_m", "places[0].kind", "places[1].path", "devices[0].y", "devices[0].colour"}),
        (CROSSED, {"places[0].kind", "places[1].path", "places[3].path", "edges[1].id"}),
    ],
)  # fmt: skip
def test_all_mistakes_are_told_at_once_with_their_lines(text: str, places: set[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_site(text, "site.yaml")
    assert {mistake.path for mistake in raised.value.mistakes} == places
    assert all(mistake.line > 1 for mistake in raised.value.mistakes)


def test_a_file_that_is_not_there_is_one_clear_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_site(tmp_path / "site.yaml")


def test_importing_twice_changes_nothing_but_the_revision(database_url: str) -> None:
    database = Database(database_url)
    database.create_all()
    site = parse_site(GOOD, "site.yaml")
    seen = []
    for _ in range(2):
        with database.write() as connection:
            registry.import_site(connection, site)
        with database.read() as connection:
            seen.append((place_store.site(connection), place_store.places(connection)))
            revision = place_store.revision(connection)
            assert store.edges(connection)["shuibei-edge-1"].name == "一号边缘节点"
    assert seen[0] == seen[1]
    assert revision == 2
    assert list(seen[0][1]) == ["b01", "b01/f01", "b01/f01/r101"]
    directory = Directory()
    with database.read() as connection:
        directory.refresh(connection)
    place = directory.place("b01/f01/r101")
    assert place is not None
    assert (place.name_zh, place.x) == ("水贝一街1号 1层 老王川菜馆", 120)
    assert directory.place("b09") is None
    database.close()
