"""Whether a document version in work has no other beside it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the mark."""
    op.add_column(
        "vector_store_files",
        sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    """Undo it."""
    with op.batch_alter_table("vector_store_files", schema=None) as batch_op:
        batch_op.drop_column("alone")
