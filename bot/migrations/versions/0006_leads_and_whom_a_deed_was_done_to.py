"""Leads of teams, and whom a deed of the read log was done to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('caseworker', schema=None) as batch_op:
        batch_op.add_column(sa.Column('is_lead', sa.Boolean(), server_default=sa.false(), nullable=False))
    with op.batch_alter_table('audit_entry', schema=None) as batch_op:
        batch_op.add_column(sa.Column('member_id', sa.Uuid(), nullable=True))
        batch_op.create_index('audit_entry_case', ['case_id'], unique=False)
    # Whoever was there first leads: a team without a lead could disable nobody.
    first = "SELECT min(made_at) FROM caseworker AS other WHERE other.team_id = caseworker.team_id AND other.state = 'active'"
    op.execute(f"UPDATE caseworker SET is_lead = true WHERE state = 'active' AND made_at = ({first})")


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
