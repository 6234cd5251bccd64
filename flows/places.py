"""What help there is where a reporter lives: emergency numbers, how texts reach them, helplines, each with source and date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.engine import complaint, read_texts
from flows.model import FlowError

PLACES = Path(__file__).parent / "places"
DEFAULT = "eu"


class _InFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_InFile):
    """Where a fact was read, and the day it was read in a stored copy of that page; without a day nobody did: look first."""

    name: str
    address: str
    read: date | None = None


class EmergencyText(_InFile):
    """Writing to the emergency services: rarely as simple as it sounds. ``says`` is the msgid that tells the reporter how it is."""

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


class Support(_InFile):
    """Who helps with one need, as the reporter reads it: ``Support(says="Samaritans 116 123", source=…)``.

    ``unsure``: widely known, but its own page was not read; look before relying on it.
    """

    says: str
    source: Source
    unsure: bool = False


class Place(_InFile):
    """One jurisdiction: ``Place(code="gb", emergency=("999", "112"), …)``. The first number is the one we say."""

    code: str
    name: str
    emergency: tuple[str, ...]
    not_urgent: str | None = None
    support: Mapping[Literal["self_harm", "child_risk", "adult_risk"], Support] = {}
    rights: str = ""  # what a reporter may ask for there, for the caseworkers
    based_on: str | None = None  # the place whose facts hold wherever this file says nothing else
    emergency_text: EmergencyText | None = None
    helplines: tuple[Helpline, ...] = ()
    source: Source

    @property
    def helpers(self) -> Mapping[str, str]:
        """Who helps with each need; a need without a line is left to the emergency number."""
        return {need: support.says for need, support in self.support.items()}

    @property
    def lines(self) -> tuple[str, ...]:
        """The helplines as a reporter reads them; those whose own page or a report of it was not read are for caseworkers alone."""
        texts = ((line, f" (SMS {line.text})" if line.text else "") for line in self.helplines if line.source.read)
        return tuple(f"{line.name} {line.call}{text}" for line, text in texts)

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
            place = Place.model_validate(_with_base(folder, read_texts(path)))
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


def _with_base(folder: Path, texts: object) -> object:
    """A state or nation says only where it differs: the rest is its country's."""
    if not isinstance(texts, dict) or not isinstance(texts.get("based_on"), str):
        return texts
    path = folder / f"{texts['based_on']}.yaml"
    if not path.exists():
        raise FlowError(
            f"{texts.get('code')}.yaml: 'based_on' names '{texts['based_on']}', which has no file; add it or correct it"
        )
    base = read_texts(path)
    return {**base, **texts} if isinstance(base, dict) else texts
