"""What ``tellonce languages`` does: say what works, install, remove and check the translation packages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from translations import apertium, catalog, downloads, packages
from translations.packages import PackageError

# Recognised, answered with the menu, and never promised: nobody here reads them, and no package was ever measured.
GIST_ONLY = {"ca": ("Català", "Catalan"), "gl": ("Galego", "Galician")}
_INTERPRETER = "interpreter"


@dataclass(frozen=True)
class Way:
    """How a language is translated in one direction: ``Way("argos", "embedded", "pt → en")``.

    ``engine``: argos, apertium, none (a person), or same. ``quality``: embedded (measured, docs/languages.md), installed (the
    operator's, not measured), rough_gist (for the caseworker's eyes only), or interpreter.
    """

    engine: str
    quality: str
    route: str = ""


@dataclass(frozen=True)
class Row:
    """One language of the list. ``words``: whether the bot's own words exist and were reviewed."""

    code: str
    name: str
    english_name: str
    to_working: Way
    from_working: Way
    words: str


# -- list ----------------------------------------------------------------------------------------------------------------------


def rows(packages_dir: Path, working: str) -> list[Row]:
    """Every language with what works to and from the working language."""
    pairs = _pairs(packages_dir)
    found = []
    for code, language in catalog.languages().items():
        to, back = _way(code, working, pairs, is_inward=True), _way(working, code, pairs, is_inward=False)
        found.append(Row(code, language.name, language.english_name, to, back, language.catalog))
    for code, (name, english_name) in GIST_ONLY.items():
        found.append(Row(code, name, english_name, _way(code, working, pairs, is_inward=True), Way("none", _INTERPRETER), "none"))
    return found


def print_rows(packages_dir: Path, working: str, as_json: bool) -> int:
    """Print the list. Returns the exit status."""
    found = rows(packages_dir, working)
    refused = packages.installed(packages_dir)[1]
    if as_json:
        typer.echo(
            json.dumps({"working": working, "languages": [asdict(row) for row in found], "refused": refused}, ensure_ascii=False)
        )
        return 0
    typer.echo(f"{'':8} {'language':22} {'to ' + working:32} {'from ' + working:28} the bot's own words")
    for row in found:
        to, back = _said(row.to_working), _said(row.from_working)
        typer.echo(f"{row.code:8} {row.english_name:22} {to:32} {back:28} {row.words}")
    typer.echo(
        "\nembedded: measured, see docs/languages.md. installed: brought by you, not measured. rough gist: for caseworkers only."
    )
    typer.echo("interpreter: the original is delivered, and a person must translate it.")
    for sentence in refused:
        typer.echo(f"left out: {sentence}")
    return 0


def _pairs(packages_dir: Path) -> dict[tuple[str, str], str]:
    """What is installed: ``{("pt", "en"): "embedded"}``."""
    embedded = {direction.name for direction in packages.EMBEDDED}
    pairs: dict[tuple[str, str], str] = {}
    for folder in packages.installed(packages_dir)[0]:
        metadata = packages.read_metadata(folder)
        pair = packages.our_code(metadata["from_code"]), packages.our_code(metadata["to_code"])
        if pairs.get(pair) != "installed":
            pairs[pair] = "embedded" if folder.name in embedded else "installed"
    return pairs


def _way(source: str, target: str, pairs: dict[tuple[str, str], str], *, is_inward: bool) -> Way:
    if source == target:
        return Way("same", "same")
    if quality := pairs.get((source, target)):
        return Way("argos", quality, f"{source} → {target}")
    for middle in dict.fromkeys(["en", *(one for pair in pairs for one in pair)]):
        if (source, middle) in pairs and (middle, target) in pairs:
            return Way("argos", "installed", f"{source} → {middle} → {target}")
    if is_inward and target == apertium.TARGET and apertium.is_installed(source):
        middle = " → es" if len(apertium.WAYS[source]) > 1 else ""
        return Way("apertium", "rough_gist", f"{source}{middle} → {target}")
    return Way("none", _INTERPRETER)


def _said(way: Way) -> str:
    if way.engine in {"none", "same"}:
        return "—" if way.engine == "same" else way.quality
    through = f" by {way.route.split(' → ')[1]}" if way.route.count("→") > 1 else ""
    return f"{way.quality.replace('_', ' ')}{through} ({way.engine})"


# -- install and remove --------------------------------------------------------------------------------------------------------


def install(packages_dir: Path, wanted: Sequence[str], working: str, index: str, sha256: str | None) -> int:
    """Install files, languages (``ar``: both ways) or directions (``ar-en``). Returns the exit status.

    What fails is said and leaves everything else as it was.
    """
    if sha256 and len(wanted) != 1:
        raise PackageError("--sha256 is the hash of one file: install one file or one direction at a time")
    status = 0
    for one in wanted:
        try:
            if one.endswith(".argosmodel") or Path(one).is_file():
                _install_file(Path(one), packages_dir, sha256)
            else:
                _install_language(one, packages_dir, working, index, sha256)
        except PackageError as error:
            typer.echo(f"tellonce: {error}", err=True)
            status = 1
    return status


def remove(packages_dir: Path, wanted: Sequence[str], working: str) -> int:
    """Remove packages by the name of their folder, a direction or a language. Returns the exit status."""
    status = 0
    for one in wanted:
        try:
            for name in [folder.name for folder in _folders_of(packages_dir, one, working)] or [one]:
                packages.remove(name, packages_dir)
                typer.echo(f"removed {name}")
        except PackageError as error:
            typer.echo(f"tellonce: {error}", err=True)
            status = 1
    return status


def _install_file(file: Path, packages_dir: Path, sha256: str | None) -> None:
    if not file.is_file():
        raise PackageError(f"there is no file {file}")
    found = packages.sha256_of(file)
    if sha256 and found != sha256.lower():
        raise PackageError(f"package file {file.name}: its SHA-256 is {found}, not the one you gave")
    typer.echo(f"installed {packages.install(file, packages_dir, is_tried=True)} (SHA-256 {found})")


def _install_language(one: str, packages_dir: Path, working: str, index: str, sha256: str | None) -> None:
    directions = _directions(one, working)
    known = {(direction.source, direction.target) for direction in packages.EMBEDDED}
    if set(directions) <= known and index == downloads.PUBLIC_INDEX:
        for name in packages.install_embedded(packages_dir):
            typer.echo(f"installed {name} (embedded)")
        return
    offers = downloads.read_index(index)
    chosen = [
        (source, target, downloads.choose(offers, packages.argos_codes(source), packages.argos_codes(target)))
        for source, target in directions
    ]
    if not any(offer for _, _, offer in chosen):
        raise PackageError(f"the index has no package for {one}: bring a file, or its texts need an interpreter")
    for source, target, offer in chosen:
        if offer is None:
            typer.echo(f"not in the index: {source} to {target}", err=True)
        else:
            _install_offer(offer, packages_dir, sha256)


def _install_offer(offer: downloads.Offer, packages_dir: Path, sha256: str | None) -> None:
    pins = packages_dir.parent / "pins.json"
    key = f"{offer.source}-{offer.target} {offer.version}"
    first = not (sha256 or offer.sha256 or key in _read_pins(pins))
    with _progress(f"{offer.source} → {offer.target} {offer.version}") as progress:
        file = downloads.fetch(offer, packages_dir.parent / "downloads", sha256 or _read_pins(pins).get(key), progress)
    try:
        found = packages.sha256_of(file)
        name = packages.install(file, packages_dir, is_tried=True)
    finally:
        file.unlink()
    _write_pin(pins, key, found)
    typer.echo(f"installed {name} (SHA-256 {found})")
    if first:
        typer.echo("  Nobody vouched for this hash. It is pinned from now on: compare it with a second source.")


def _directions(one: str, working: str) -> list[tuple[str, str]]:
    codes = {*catalog.languages(), *GIST_ONLY}
    if one in codes and one != working:
        return [(one, working), (working, one)]
    for source in codes:
        target = one.removeprefix(f"{source}-")
        if target != one and target in codes and target != source:
            return [(source, target)]
    raise PackageError(f"{one} is no language of ours, no direction such as ar-en and no file: see tellonce languages list")


def _folders_of(packages_dir: Path, one: str, working: str) -> list[Path]:
    """The packages of a direction, or both ways between a language and the caseworkers'."""
    if (packages_dir / one).is_dir():
        return []
    directions = _directions(one, working)
    folders = []
    for folder in packages.installed(packages_dir)[0]:
        metadata = packages.read_metadata(folder)
        if (packages.our_code(metadata["from_code"]), packages.our_code(metadata["to_code"])) in directions:
            folders.append(folder)
    return folders


def _read_pins(pins: Path) -> dict[str, str]:
    try:
        read = json.loads(pins.read_text("utf-8"))
        return {str(key): str(value) for key, value in read.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError):
        raise PackageError(f"{pins} cannot be read: it holds the hashes seen so far; mend it or move it away") from None


def _write_pin(pins: Path, key: str, sha256: str) -> None:
    fresh = pins.with_suffix(".new")
    fresh.write_text(json.dumps({**_read_pins(pins), key: sha256}, indent=1) + "\n", "utf-8")
    fresh.replace(pins)


@contextmanager
def _progress(label: str) -> Iterator[downloads.Progress]:
    """A bar on a screen; in a log, nothing until it is done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# -- check ---------------------------------------------------------------------------------------------------------------------


def check(packages_dir: Path) -> int:
    """Verify every package and let each translate in a process of its own. Returns 1 when one of them is broken."""
    usable, refused = packages.installed(packages_dir)
    for folder in usable:
        try:
            packages.try_out(folder)
            typer.echo(f"ok       {folder.name}")
        except PackageError as error:
            refused.append(str(error))
    for source in apertium.WAYS:
        state = "ok      " if apertium.is_installed(source) else "missing "
        mend = "" if apertium.is_installed(source) else f": {apertium.install_line(source)}"
        typer.echo(f"{state} rough gist of {source}{mend}")
    for sentence in refused:
        typer.echo(f"broken   {sentence}")
    if not usable and not refused:
        typer.echo("There is no translation package: tellonce languages install pt")
    return 1 if refused else 0
