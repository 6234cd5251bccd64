"""What the vendors tell us: what became of a text, and who blocked us."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from bot import clock, outbox, windows
from bot.messages import Delivery, Standing
from bot.models import Address, EarlyNews, Message
from bot.outgoing import show_to_caseworkers
from bot.store import Transaction, lock_reporter, touch_reporter

EARLY_FOR = timedelta(hours=12)  # news of an unknown text: twice as long as a text is tried again
AT_ONCE = 100  # news heard in one transaction
# A vendor's news may come late or out of order: a text only ever moves to a higher step.
_STEP = {"queued": 0, "sending": 0, "sent": 1, "delivered": 2, "read": 3, "failed": 2, "stopped": 2, "closed": 2, "cancelled": 9}
_STEP |= {"held": 0, "invited": 0}

_table: Any = Message.__table__  # type: ignore[attr-defined]
_message: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_early: Any = EarlyNews.__table__.c  # type: ignore[attr-defined]


def record_standing(db: Transaction, standing: Standing) -> None:
    """Somebody blocked us: nothing more is sent. Unblocked: they may be written to again, unless they asked for silence."""
    found_by = db.vault.index(f"{standing.channel}\0{standing.address}", "address")
    reporter = db.execute(sa.select(_address.reporter_id).where(_address.found_by == found_by)).scalar()
    if reporter is None:
        return
    state = lock_reporter(db, reporter).state
    if standing.is_blocked and state != "silent":
        outbox.opt_out(db, reporter)
    elif not standing.is_blocked and state == "opted_out":
        touch_reporter(db, reporter, state="open")


def record_delivery(db: Transaction, channel: str, delivery: Delivery) -> bool:
    """Note what a vendor says of a text; news that is older than what we know is ignored. False: we do not know this text (yet)."""
    found_by = db.vault.index(f"{channel}\0{delivery.external_id}", "vendor id")
    return _record_news(db, found_by, delivery)


def keep_news(db: Transaction, channel: str, delivery: Delivery) -> None:
    """Keep news of a text we do not know: its sending may not be noted yet, or noted only when a lost answer is cleared up."""
    found_by = db.vault.index(f"{channel}\0{delivery.external_id}", "vendor id")
    db.insert(EarlyNews(found_by=found_by, state=delivery.state))


def hear_news(db: Transaction) -> int:
    """Look again for the texts of the news we kept; what nobody knows after a while is dropped. Returns how many were found."""
    known = sa.select(*_early).join_from(EarlyNews.__table__, _table, _message.external_id == _early.found_by)  # type: ignore[attr-defined]
    heard = db.execute(known.order_by(_early.came_at).limit(AT_ONCE)).all()
    for news in heard:
        _record_news(db, news.found_by, Delivery("", news.state))
    done = [news.id for news in heard]
    db.execute(sa.delete(EarlyNews).where(sa.or_(_early.id.in_(done), _early.came_at <= clock.now() - EARLY_FOR)))
    return len(heard)


def _record_news(db: Transaction, found_by: bytes, delivery: Delivery) -> bool:
    row = db.execute(_KNOWN, {"vendor_id": found_by}).one_or_none()
    if row is None:
        return False
    if _STEP[delivery.state] <= _STEP[row.state]:
        return True
    if delivery.state == "closed":
        windows.try_again_once_open(db, row.id)
        return True
    if delivery.state == "stopped":
        outbox.opt_out(db, row.reporter_id)
    db.execute(_NEWS if delivery.state == "sent" else _LAST_NEWS, {"about": row.id, "state": delivery.state})
    if delivery.state in ("failed", "stopped"):
        show_to_caseworkers(db, row.id)
        if row.author == "invitation":
            windows.withdraw_invitation(db, row.address_id)
    return True


# Built once (see store).
_KNOWN = sa.select(_message.id, _message.state, _message.reporter_id, _message.author, _message.address_id).where(
    _message.external_id == sa.bindparam("vendor_id")
)
_NEWS = sa.update(_table).where(_message.id == sa.bindparam("about"))
_LAST_NEWS = _NEWS.values(body=None)
