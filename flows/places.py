"""What help there is where a reporter lives: emergency numbers, how texts reach them, helplines, each with source and date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.engine import complaint, read_texts
from flows.model import FlowError

PLACES = Path(__file__).parent / "places"
DEFAULT = "eu"


class _InFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_InFile):
    """Where a fact was read, and the day it was read in a stored copy of that page. Look again before relying on it."""

    name: str
    address: str
    read: date


class EmergencyText(_InFile):
    """Texting the emergency number: rarely as simple as it sounds. ``says`` is the msgid that tells the reporter how it is."""

    number: str
    says: str
    register_with: str | None = None
    source: Source


class Helpline(_InFile):
    """A line people can call, and text where ``text`` is a number, in the hours and places that ``note`` tells."""

    name: str
    call: str
    text: str | None = None
    note: str
    source: Source


class Place(_InFile):
    """One jurisdiction: ``Place(code="gb", emergency=("999", "112"), …)``. The first number is the one we say."""

    code: str
    name: str
    emergency: tuple[str, ...]
    not_urgent: str | None = None
    support: Mapping[str, str] = {}  # self_harm, child_risk, adult_risk: who helps, as the reporter reads it
    emergency_text: EmergencyText | None = None
    helplines: tuple[Helpline, ...] = ()
    source: Source

    def helps_with(self, need: str) -> str:
        """Who helps with ``self_harm``, ``child_risk`` or ``adult_risk``; the emergency number where no line is known."""
        return self.support.get(need, self.number)

    @property
    def number(self) -> str:
        """What fills {emergency} in our texts."""
        return self.emergency[0]


def load_places(folder: Path = PLACES) -> Mapping[str, Place]:
    """Every place by its code, ``eu`` (112) among them for wherever nothing better is known.

    Raises FlowError, a sentence with the file and the mend.
    """
    places: dict[str, Place] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            place = Place.model_validate(read_texts(path))
        except ValidationError as error:
            raise FlowError(complaint(path, error)) from None
        if not place.emergency:
            raise FlowError(f"{path.name}: the file: 'emergency' is empty; a place needs at least one emergency number")
        if place.code != path.stem:
            raise FlowError(
                f"{path.name}: the file: its code is '{place.code}'; name the file {place.code}.yaml or correct the code"
            )
        places[place.code] = place
    if DEFAULT not in places:
        raise FlowError(f"the places have no {DEFAULT}.yaml; it is the place of everyone whose place is not known, so add it")
    return places
