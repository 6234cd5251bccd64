"""An index for each list of the queue, and the language of a case by its keyed hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

WAITING, CLOSED = sa.text("state <> 'closed'"), sa.text("state = 'closed'")
LISTS = (
    ('case_waiting', ['team_id', 'risk', 'opened_at', 'id'], WAITING),
    ('case_waiting_hers', ['team_id', 'claimed_by', 'risk', 'opened_at', 'id', 'language'], WAITING),
    ('case_waiting_language', ['team_id', 'language', 'risk', 'opened_at', 'id', 'claimed_by'], WAITING),
    ('case_closed', ['team_id', 'closed_at', 'id'], CLOSED),
    ('case_closed_hers', ['team_id', 'claimed_by', 'closed_at', 'id'], CLOSED),
    ('case_closed_language', ['team_id', 'language', 'closed_at', 'id'], CLOSED),
)


def upgrade() -> None:
    op.add_column('case', sa.Column('language', sa.LargeBinary(), nullable=True))
    for name, columns, where in LISTS:
        op.create_index(name, 'case', columns, unique=False, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    raise NotImplementedError("restore the backup made before the upgrade")
