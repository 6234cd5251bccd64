"""How many codes the whole house tries, in one row."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table('code_tries',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('busy_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('refused', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.bulk_insert(table, [{'id': 1, 'busy_until': datetime(1970, 1, 1, tzinfo=UTC), 'refused': 0}])


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
