"""The judgment path: evals, their runs and items, comparisons, and what judges said."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "evals",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("data_source_config", _JSON, nullable=False),
        sa.Column("testing_criteria", _JSON, nullable=False),
        sa.Column("meta", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("evals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evals_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_evals_updated_at"), ["updated_at"], unique=False)

    op.create_table(
        "eval_runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("eval_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=True),
        sa.Column("data_source", _JSON, nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("meta", _JSON, nullable=False),
        sa.Column("summary", _JSON, nullable=True),
        sa.Column("report", _JSON, nullable=True),
        sa.Column("page_key", sa.String(length=1024), nullable=True),
        sa.Column("error", _JSON, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["eval_id"], ["evals.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("eval_runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eval_runs_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_eval_runs_eval_id"), ["eval_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_eval_runs_status"), ["status"], unique=False)

    op.create_table(
        "eval_items",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=True),
        sa.Column("item", _JSON, nullable=False),
        sa.Column("given", _JSON, nullable=True),
        sa.Column("sample", _JSON, nullable=True),
        sa.Column("scores", _JSON, nullable=True),
        sa.Column("error", _JSON, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["eval_runs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run_id", "number", name="uq_eval_items_run_number"),
    )
    with op.batch_alter_table("eval_items", schema=None) as batch_op:
        batch_op.create_index("ix_eval_items_run_status", ["run_id", "status"], unique=False)

    op.create_table(
        "eval_comparisons",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("baseline_run", sa.String(length=64), nullable=False),
        sa.Column("candidate_run", sa.String(length=64), nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("report", _JSON, nullable=False),
        sa.Column("page_key", sa.String(length=1024), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("eval_comparisons", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_eval_comparisons_project_id"), ["project_id"], unique=False
        )

    op.create_table(
        "judge_verdicts",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "key"),
    )
    with op.batch_alter_table("judge_verdicts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_judge_verdicts_created_at"), ["created_at"], unique=False
        )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("judge_verdicts")
    op.drop_table("eval_comparisons")
    op.drop_table("eval_items")
    op.drop_table("eval_runs")
    op.drop_table("evals")
