"""Tables and statements of the community, its places and the positions from the site file."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa

from cloud.devices.model import Place, PlaceKind, Site
from cloud.devices.store import edge_table, position_table
from cloud.kit.sql import Connection, insert, metadata

site_table: Final = sa.Table(
    "site",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name_zh", sa.String(120), nullable=False),
    sa.Column("name_en", sa.String(120), nullable=False),
    sa.Column("width_m", sa.Float, nullable=False),
    sa.Column("depth_m", sa.Float, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False, server_default="1"),
)
place_table: Final = sa.Table(
    "place",
    metadata,
    sa.Column("path", sa.String(120), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name_zh", sa.String(120), nullable=False),
    sa.Column("name_en", sa.String(120), nullable=False),
    sa.Column("x", sa.Float),
    sa.Column("y", sa.Float),
    sa.Column("width", sa.Float),
    sa.Column("depth", sa.Float),
    sa.Column("floors", sa.Integer),
)
_CHUNK: Final = 500


def site(connection: Connection) -> Site | None:
    """Give the community, or None before a site file was imported."""
    row = connection.execute(sa.select(site_table).limit(1)).one_or_none()
    return Site(row.id, row.name_zh, row.name_en, row.width_m, row.depth_m) if row else None


def revision(connection: Connection) -> int:
    """Give the number that grows with every import, 0 before the first."""
    return connection.execute(sa.select(sa.func.max(site_table.c.revision))).scalar_one() or 0


def places(connection: Connection) -> dict[str, Place]:
    """Give all places by path, parents before their children."""
    rows = connection.execute(sa.select(place_table).order_by(place_table.c.path))
    return {
        row.path: Place(
            row.path, PlaceKind(row.kind), row.name_zh, row.name_en,
            row.x, row.y, row.width, row.depth, row.floors,
        )
        for row in rows
    }  # fmt: skip


def save_site(connection: Connection, site: Site, places: Sequence[Place]) -> None:
    """Replace the community and its places."""
    number = revision(connection) + 1
    connection.execute(sa.delete(site_table))
    connection.execute(sa.insert(site_table).values(**asdict(site), revision=number))
    connection.execute(sa.delete(place_table))
    rows = [asdict(place) for place in places]
    _insert_all(connection, place_table, rows)


def save_positions(connection: Connection, positions: Iterable[tuple[str, float, float]]) -> None:
    """Replace where devices stand on the site plan: (device, x, y) in metres."""
    connection.execute(sa.delete(position_table))
    rows = [{"device": device, "x": x, "y": y} for device, x, y in positions]
    _insert_all(connection, position_table, rows)


def save_edge_names(connection: Connection, names: Iterable[tuple[str, str]]) -> None:
    """Make the edges known by id and name, whether or not they were ever heard of."""
    for edge_id, name in names:
        statement = insert(connection, edge_table).values(id=edge_id, name=name)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={"name": name})
        )


def _insert_all(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _CHUNK):
        connection.execute(sa.insert(table), rows[start : start + _CHUNK])
