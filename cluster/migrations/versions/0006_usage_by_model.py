"""Usage by model: each row of a key and a month is of one model, or of none."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_COUNTS = ("requests", "prompt_tokens", "completion_tokens")


def upgrade() -> None:
    """Give the table a model in its key. What was counted so far is of no known one."""
    _make("usage_by_model", sa.Column("model", sa.String(length=256), nullable=False))
    names = f"project_id, key_id, month, {', '.join(_COUNTS)}, cost, updated_at"
    op.execute(f"INSERT INTO usage_by_model ({names}, model) SELECT {names}, '' FROM usage")  # noqa: S608 - constants
    op.drop_table("usage")
    op.rename_table("usage_by_model", "usage")


def downgrade() -> None:
    """Add the models up again."""
    _make("usage_by_key")
    sums = ", ".join(f"SUM({name})" for name in (*_COUNTS, "cost"))
    names = f"project_id, key_id, month, {', '.join(_COUNTS)}, cost, updated_at"
    op.execute(
        f"INSERT INTO usage_by_key ({names}) SELECT project_id, key_id, month, {sums}, "  # noqa: S608 - constants
        "MAX(updated_at) FROM usage GROUP BY project_id, key_id, month"
    )
    op.drop_table("usage")
    op.rename_table("usage_by_key", "usage")


def _make(name: str, *more: sa.Column[str]) -> None:
    op.create_table(
        name,
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        *more,
        *(sa.Column(count, sa.BigInteger(), nullable=False) for count in _COUNTS),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "key_id", "month", *(one.name for one in more)),
    )
