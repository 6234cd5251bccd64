"""Where we are in the updates of a bot we ask for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('polling',
    sa.Column('id', sa.LargeBinary(), nullable=False),
    sa.Column('next_update', sa.BigInteger(), nullable=False),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
