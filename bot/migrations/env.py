"""How Alembic runs our migrations: on the connection that schema.py hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlmodel import SQLModel

from bot import models


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own types as plain SQLAlchemy, so that a migration does not change when a type does."""
    if kind == "type" and isinstance(item, models.Moment):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and type(item).__name__ == "AutoString":
        return "sa.String()"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_item=render_item,
    compare_type=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
