"""The read log, unmasking and legal hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit_entry',
    sa.Column('sequence', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('caseworker_id', sa.Uuid(), nullable=True),
    sa.Column('verb', sa.String(), nullable=False),
    sa.Column('case_id', sa.Uuid(), nullable=True),
    sa.Column('previous', sa.LargeBinary(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('sequence')
    )
    op.create_table('unmasking',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('case_id', sa.Uuid(), nullable=False),
    sa.Column('asked_by', sa.Uuid(), nullable=False),
    sa.Column('granted_by', sa.Uuid(), nullable=True),
    sa.Column('team_key_id', sa.Uuid(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['asked_by'], ['caseworker.id'], ),
    sa.ForeignKeyConstraint(['case_id'], ['case.id'], ),
    sa.ForeignKeyConstraint(['granted_by'], ['caseworker.id'], ),
    sa.ForeignKeyConstraint(['team_key_id'], ['team_key.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('unmasking', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_unmasking_case_id'), ['case_id'], unique=False)

    with op.batch_alter_table('case', schema=None) as batch_op:
        batch_op.add_column(sa.Column('held_at', sa.DateTime(timezone=True), nullable=True))



def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
