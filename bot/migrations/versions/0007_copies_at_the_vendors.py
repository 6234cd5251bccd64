"""What is erased here and still to be deleted at the vendor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('vendor_copy',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('box', sa.LargeBinary(), nullable=True),
    sa.Column('state', sa.String(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('vendor_copy', schema=None) as batch_op:
        batch_op.create_index('vendor_copy_due', ['state', 'due_at'], unique=False)

    with op.batch_alter_table('message', schema=None) as batch_op:
        batch_op.add_column(sa.Column('vendor_box', sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
