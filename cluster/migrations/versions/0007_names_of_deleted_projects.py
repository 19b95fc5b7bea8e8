"""Names of deleted projects are free: a name is there once among those that are active."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_LAST = (
    "CREATE TRIGGER audit_events_last BEFORE DELETE ON audit_events "
    "WHEN NOT EXISTS (SELECT 1 FROM projects "
    "WHERE id = OLD.project_id AND status = 'deleting') "
    "BEGIN SELECT RAISE(ABORT, 'audit events go with their project only'); END"
)
"""As 0005 made it. It names the table that SQLite makes anew, and must be away meanwhile."""


def upgrade() -> None:
    """Replace the constraint by an index of the active ones."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_events_last")
        with op.batch_alter_table(
            "projects", naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"}
        ) as batch_op:
            batch_op.drop_constraint("uq_projects_name", type_="unique")
        op.execute(_LAST)
    else:
        op.drop_constraint("projects_name_key", "projects", type_="unique")
    active = sa.text("status = 'active'")
    op.create_index(
        "ix_projects_active_name",
        "projects",
        ["name"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )


def downgrade() -> None:
    """Undo it. Fails where a name is there twice."""
    op.drop_index("ix_projects_active_name", "projects")
    if op.get_bind().dialect.name != "sqlite":
        op.create_unique_constraint("projects_name_key", "projects", ["name"])
        return
    op.execute("DROP TRIGGER audit_events_last")
    with op.batch_alter_table("projects") as batch_op:
        batch_op.create_unique_constraint("uq_projects_name", ["name"])
    op.execute(_LAST)
