"""Alembic's entry point: runs on the connection, and in the transaction, that `Database` opened."""

from alembic import context

from cluster.records import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    compare_type=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
