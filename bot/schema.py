"""Which schema a database has, and bringing it to ours."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

_MIGRATIONS = Path(__file__).parent / "migrations"


class WrongSchema(Exception):
    """The database and the code do not fit; the text says what to run."""


def migrate(engine: sa.Engine) -> None:
    """Bring the database to the schema of this code. Raises WrongSchema when it is newer."""
    from alembic import command  # here: it costs every process half a second and 13 MB, and is needed once a release
    from alembic.config import Config  # as above

    if schema_state(engine) == "newer":
        raise WrongSchema("the database is newer than this Tellonce: install the newer release; nothing was changed")
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_schema(engine: sa.Engine) -> None:
    """Raises WrongSchema unless the database fits this code."""
    state = schema_state(engine)
    if state == "newer":
        raise WrongSchema("the database is newer than this Tellonce: install the newer release")
    if state != "current":
        raise WrongSchema("the database has not been set up for this release: run `tellonce migrate`")


def schema_state(engine: sa.Engine) -> str:
    """``current``, ``older``, ``empty`` or ``newer``."""
    ours = revisions()
    with engine.connect() as connection:
        is_set_up = sa.inspect(connection).has_table("alembic_version")
        here = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if is_set_up else None
    if here is None:
        return "empty"
    if here == ours[-1]:
        return "current"
    return "older" if here in ours else "newer"


def revisions() -> list[str]:
    """The revisions of this code, the oldest first: each file of a migration begins with its own."""
    return sorted(path.name.split("_")[0] for path in (_MIGRATIONS / "versions").glob("*_*.py"))
