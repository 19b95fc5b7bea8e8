"""Say of a training file what it holds."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the column; files that are there have nothing in it."""
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.add_column(sa.Column("meta", _JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.drop_column("meta")
