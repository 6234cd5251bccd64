"""When people answer, as the organisation set it: the only thing from which a time may be promised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOKED_AHEAD = 60  # days; who is closed for longer promises nothing
_PART = re.compile(r"(\w{3})(?:-(\w{3}))? (\d{1,2}:\d{2})-(\d{1,2}:\d{2})")


@dataclass(frozen=True)
class Hours:
    """``Hours({0: ((time(9), time(17)),)}, frozenset({date(2026, 12, 25)}), ZoneInfo("Europe/London"))``: Mondays from 9 to 5."""

    days: Mapping[int, Sequence[tuple[time, time]]]
    holidays: frozenset[date]
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        here = now.astimezone(self.zone)
        return any(start <= here.time() < end for start, end in self._on(here.date()))

    def opens_next(self, now: datetime) -> datetime | None:
        """When somebody is there again, in their own zone; None if that is too far off to be said."""
        here = now.astimezone(self.zone)
        for day in (here.date() + timedelta(days=ahead) for ahead in range(LOOKED_AHEAD)):
            for start, _ in self._on(day):
                if (opening := datetime.combine(day, start, self.zone)) > here:
                    return opening
        return None

    def _on(self, day: date) -> Sequence[tuple[time, time]]:
        return () if day in self.holidays else self.days.get(day.weekday(), ())


def read_hours(days: str, holidays: str, zone: str) -> Hours | None:
    """``read_hours("mon-fri 9:00-17:00, sat 10:00-13:00", "2026-12-25", "Europe/London")``; None where no days are set.

    Raises ValueError, which quotes the part that cannot be read.
    """
    open_on: dict[int, list[tuple[time, time]]] = {}
    for part in filter(None, (part.strip() for part in days.lower().split(","))):
        found = _PART.fullmatch(part)
        if not found or not {found[1], found[2] or found[1]} <= set(DAYS):
            raise ValueError(f"'{part}' is not like 'mon-fri 9:00-17:00'")
        start, end = (time.fromisoformat(clock.zfill(5)) for clock in (found[3], found[4]))
        if start >= end:
            raise ValueError(f"'{part}' ends before it begins")
        first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
        for day in range(first, last + 1 if last >= first else last + 8):
            open_on.setdefault(day % 7, []).append((start, end))
    if not open_on:
        return None
    closed = frozenset(date.fromisoformat(day.strip()) for day in holidays.split(",") if day.strip())
    return Hours({day: tuple(sorted(spans)) for day, spans in open_on.items()}, closed, ZoneInfo(zone))
