"""The learning path: prompts, experiments, feedback, drift, alerts, lineage, more of traces."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables and columns."""
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("source_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("deliveries", _JSON, nullable=False),
        sa.Column("deliver_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alerts_deliver_at"), ["deliver_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_alerts_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_alerts_source_id"), ["source_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_alerts_status"), ["status"], unique=False)

    op.create_table(
        "drift_monitors",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("state", _JSON, nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("error", _JSON, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("drift_monitors", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_drift_monitors_next_at"), ["next_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_drift_monitors_project_id"), ["project_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_drift_monitors_status"), ["status"], unique=False)

    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("arms", _JSON, nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("state", _JSON, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("report", _JSON, nullable=True),
        sa.Column("decision", _JSON, nullable=True),
        sa.Column("promotion", _JSON, nullable=True),
        sa.Column("meta", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_experiments_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_experiments_status"), ["status"], unique=False)
        batch_op.create_index(
            "uq_experiments_running_alias",
            ["project_id", "alias"],
            unique=True,
            sqlite_where=sa.text("status = 'running'"),
            postgresql_where=sa.text("status = 'running'"),
        )

    op.create_table(
        "feedback",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("trace_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("thumbs", sa.String(length=8), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("correction", sa.Text(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("review", sa.String(length=16), nullable=False),
        sa.Column("reviewer", sa.String(length=128), nullable=True),
        sa.Column("reviewed_at", sa.BigInteger(), nullable=True),
        sa.Column("meta", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_feedback_review"), ["review"], unique=False)
        batch_op.create_index(batch_op.f("ix_feedback_trace_id"), ["trace_id"], unique=False)

    op.create_table(
        "lineage_edges",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("target", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "source", "target", "kind"),
    )
    with op.batch_alter_table("lineage_edges", schema=None) as batch_op:
        batch_op.create_index("ix_lineage_edges_target", ["project_id", "target"], unique=False)

    op.create_table(
        "prompt_label_moves",
        sa.Column("id", _ROW, autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("prompt_id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("source", sa.Integer(), nullable=True),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("undone", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("prompt_label_moves", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_prompt_label_moves_prompt_id"), ["prompt_id"], unique=False
        )

    op.create_table(
        "prompts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("latest", sa.Integer(), nullable=False),
        sa.Column("meta", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "name", name="uq_prompts_project_name"),
    )
    op.create_table(
        "question_vectors",
        sa.Column("trace_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "model"),
    )
    with op.batch_alter_table("question_vectors", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_question_vectors_created_at"), ["created_at"], unique=False
        )

    op.create_table(
        "drift_reports",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("monitor_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column("alert_id", sa.String(length=64), nullable=True),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["drift_monitors.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("drift_reports", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_drift_reports_monitor_id"), ["monitor_id"], unique=False
        )

    op.create_table(
        "experiment_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("experiment_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("experiment_events", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_experiment_events_experiment_id"), ["experiment_id"], unique=False
        )

    op.create_table(
        "prompt_labels",
        sa.Column("prompt_id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("moves", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_id"],
            ["prompts.id"],
        ),
        sa.PrimaryKeyConstraint("prompt_id", "label"),
    )
    op.create_table(
        "prompt_versions",
        sa.Column("prompt_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=12), nullable=False),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt_id"],
            ["prompts.id"],
        ),
        sa.PrimaryKeyConstraint("prompt_id", "number"),
        sa.UniqueConstraint("prompt_id", "digest", name="uq_prompt_versions_digest"),
    )
    with op.batch_alter_table("prompt_versions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_prompt_versions_name", ["project_id", "name", "digest"], unique=False
        )

    with op.batch_alter_table("alias_moves", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source_serving", _JSON, nullable=True))
        batch_op.add_column(sa.Column("serving", _JSON, nullable=True))

    with op.batch_alter_table("aliases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("serving", _JSON, nullable=True))

    with op.batch_alter_table("traces", schema=None) as batch_op:
        batch_op.add_column(sa.Column("alias", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("user_id", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("experiment_id", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("arm", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("shadow_of", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("refused", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("error_code", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("prompt_tokens", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("completion_tokens", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("cost", sa.Float(), nullable=True))
        batch_op.create_index("ix_traces_experiment", ["experiment_id", "id"], unique=False)
        batch_op.create_index("ix_traces_model", ["model", "id"], unique=False)
        batch_op.create_index("ix_traces_status", ["status", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_traces_prompt_version"), ["prompt_version"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_traces_shadow_of"), ["shadow_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_traces_user_id"), ["user_id"], unique=False)

    with op.batch_alter_table("responses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_responses_trace_id"), ["trace_id"], unique=False)

    with op.batch_alter_table("trace_scores", schema=None) as batch_op:
        batch_op.create_index("ix_trace_scores_name", ["name", "value"], unique=False)


def downgrade() -> None:
    """Undo it."""
    with op.batch_alter_table("trace_scores", schema=None) as batch_op:
        batch_op.drop_index("ix_trace_scores_name")

    with op.batch_alter_table("responses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_responses_trace_id"))

    with op.batch_alter_table("traces", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_traces_user_id"))
        batch_op.drop_index(batch_op.f("ix_traces_shadow_of"))
        batch_op.drop_index(batch_op.f("ix_traces_prompt_version"))
        batch_op.drop_index("ix_traces_status")
        batch_op.drop_index("ix_traces_model")
        batch_op.drop_index("ix_traces_experiment")
        batch_op.drop_column("cost")
        batch_op.drop_column("completion_tokens")
        batch_op.drop_column("prompt_tokens")
        batch_op.drop_column("error_code")
        batch_op.drop_column("refused")
        batch_op.drop_column("shadow_of")
        batch_op.drop_column("arm")
        batch_op.drop_column("experiment_id")
        batch_op.drop_column("user_id")
        batch_op.drop_column("alias")

    with op.batch_alter_table("aliases", schema=None) as batch_op:
        batch_op.drop_column("serving")

    with op.batch_alter_table("alias_moves", schema=None) as batch_op:
        batch_op.drop_column("serving")
        batch_op.drop_column("source_serving")

    with op.batch_alter_table("prompt_versions", schema=None) as batch_op:
        batch_op.drop_index("ix_prompt_versions_name")

    op.drop_table("prompt_versions")
    op.drop_table("prompt_labels")
    with op.batch_alter_table("experiment_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_experiment_events_experiment_id"))

    op.drop_table("experiment_events")
    with op.batch_alter_table("drift_reports", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_drift_reports_monitor_id"))

    op.drop_table("drift_reports")
    with op.batch_alter_table("question_vectors", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_question_vectors_created_at"))

    op.drop_table("question_vectors")
    op.drop_table("prompts")
    with op.batch_alter_table("prompt_label_moves", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_prompt_label_moves_prompt_id"))

    op.drop_table("prompt_label_moves")
    with op.batch_alter_table("lineage_edges", schema=None) as batch_op:
        batch_op.drop_index("ix_lineage_edges_target")

    op.drop_table("lineage_edges")
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feedback_trace_id"))
        batch_op.drop_index(batch_op.f("ix_feedback_review"))
        batch_op.drop_index(batch_op.f("ix_feedback_project_id"))

    op.drop_table("feedback")
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_experiments_running_alias",
            sqlite_where=sa.text("status = 'running'"),
            postgresql_where=sa.text("status = 'running'"),
        )
        batch_op.drop_index(batch_op.f("ix_experiments_status"))
        batch_op.drop_index(batch_op.f("ix_experiments_project_id"))

    op.drop_table("experiments")
    with op.batch_alter_table("drift_monitors", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_drift_monitors_status"))
        batch_op.drop_index(batch_op.f("ix_drift_monitors_project_id"))
        batch_op.drop_index(batch_op.f("ix_drift_monitors_next_at"))

    op.drop_table("drift_monitors")
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_alerts_status"))
        batch_op.drop_index(batch_op.f("ix_alerts_source_id"))
        batch_op.drop_index(batch_op.f("ix_alerts_project_id"))
        batch_op.drop_index(batch_op.f("ix_alerts_deliver_at"))

    op.drop_table("alerts")
