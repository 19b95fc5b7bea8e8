"""How many workers died while a document version was in work."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the count."""
    op.add_column(
        "vector_store_files",
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    """Undo it."""
    with op.batch_alter_table("vector_store_files", schema=None) as batch_op:
        batch_op.drop_column("deaths")
