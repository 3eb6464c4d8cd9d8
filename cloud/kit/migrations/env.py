"""What Alembic runs: the migrations inside the transaction it is handed."""

from alembic import context

from cloud.kit.migrations import load_tables, relaxed_foreign_keys
from cloud.kit.sql import metadata

load_tables()
connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True
)
with relaxed_foreign_keys(connection), context.begin_transaction():
    context.run_migrations()
