"""Who owns which shards: one row a shard, taken for some seconds, numbered so that a late writer is refused."""

from typing import Final, NamedTuple

import sqlalchemy as sa

from cloud.kit.sql import Connection, metadata

lease_table: Final = sa.Table(
    "shard_lease",
    metadata,
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(120), nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
)


class LeaseRow(NamedTuple):
    """One owned shard; `until` in Unix ms, `token` grows with every new owner."""

    shard: int
    owner: str
    until: int
    token: int


def read(connection: Connection, first: int, last: int) -> list[LeaseRow]:
    """Give the leases of shards `first` to `last` that were ever taken, locked for this transaction."""
    statement = (
        sa.select(lease_table)
        .where(lease_table.c.shard.between(first, last))
        .order_by(lease_table.c.shard)
        .with_for_update()
    )
    return [LeaseRow(*row) for row in connection.execute(statement)]


def replace(connection: Connection, rows: list[LeaseRow]) -> None:
    """Write these leases over whatever stands there."""
    shards = [row.shard for row in rows]
    connection.execute(sa.delete(lease_table).where(lease_table.c.shard.in_(shards)))
    connection.execute(sa.insert(lease_table), [row._asdict() for row in rows])


def extend(connection: Connection, owner: str, token: int, until: int) -> int:
    """Prolong the leases of this owner and token, and tell how many shards that were."""
    mine = sa.and_(lease_table.c.owner == owner, lease_table.c.token == token)
    return connection.execute(sa.update(lease_table).where(mine).values(until=until)).rowcount


def count(connection: Connection, owner: str, token: int) -> int:
    """Tell how many shards this owner holds under this token."""
    mine = sa.and_(lease_table.c.owner == owner, lease_table.c.token == token)
    statement = sa.select(sa.func.count()).select_from(lease_table).where(mine)
    return int(connection.execute(statement).scalar_one())
