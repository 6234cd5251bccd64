"""``tellonce languages`` against a server of this machine: the public index is never reached."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot import language_commands as languages
from bot.__main__ import commands
from tests.translations.tiny import tiny_package
from translations import apertium, downloads, machine, packages


@dataclass
class Mirror:
    """A server with files, an ETag for each, ranges, and lines that break after so many bytes."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    ranges: list[str | None] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def index(self) -> str:
        return f"{self.address}/index.json"

    def offer(self, *entries: dict[str, Any]) -> None:
        self.files["/index.json"] = json.dumps(entries).encode()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = mirror.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            tag = mirror.tags.get(self.path, '"one"')
            asked = self.headers.get("Range")
            start = 0
            if self.path != "/index.json":
                mirror.ranges.append(asked)
            if asked and self.headers.get("If-Range") == tag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            left = mirror.breaks.pop(0) if mirror.breaks and self.path != "/index.json" else len(content)
            self.wfile.write(content[start : start + left])

        def log_message(self, format: str, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    mirror.address = f"http://127.0.0.1:{server.server_port}"
    yield mirror
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package(tmp_path_factory.mktemp("tiny"), "so", "en")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "argos" / "packages"


def _entry(file: Path, link: str, sha256: str | None = None, source: str = "so", target: str = "en") -> dict[str, Any]:
    entry = {"package_version": "0.1", "argos_version": "1.9", "from_code": source, "to_code": target, "type": "translate"}
    return {**entry, "links": [link], **({"sha256": sha256} if sha256 else {})}


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def test_a_language_is_installed_from_an_index_and_its_hash_is_pinned(mirror: Mirror, tiny: Path, folder: Path) -> None:
    mirror.files["/so.argosmodel"] = tiny.read_bytes()
    mirror.offer(_entry(tiny, "so.argosmodel"))
    assert languages.install(folder, ["so"], "en", mirror.index, None) == 0
    assert _names(folder) == ["translate-so_en-0_1"]
    assert json.loads((folder.parent / "pins.json").read_text()) == {"so-en 0.1": packages.sha256_of(tiny)}
    assert _names(folder.parent / "downloads") == []


def test_another_file_under_a_pinned_version_is_refused_and_the_old_one_stays(mirror: Mirror, tiny: Path, folder: Path) -> None:
    mirror.files["/so.argosmodel"] = tiny.read_bytes()
    mirror.offer(_entry(tiny, "so.argosmodel"))
    languages.install(folder, ["so-en"], "en", mirror.index, None)
    mirror.files["/so.argosmodel"] = tiny.read_bytes() + b"more"
    mirror.tags["/so.argosmodel"] = '"two"'
    assert languages.install(folder, ["so-en"], "en", mirror.index, None) == 1
    assert _names(folder) == ["translate-so_en-0_1"]
    assert _names(folder.parent / "downloads") == []


@pytest.mark.parametrize("where", ["index", "option"])
def test_a_file_with_another_hash_than_the_one_given_is_deleted(mirror: Mirror, tiny: Path, folder: Path, where: str) -> None:
    mirror.files["/so.argosmodel"] = tiny.read_bytes()
    mirror.offer(_entry(tiny, "so.argosmodel", "0" * 64 if where == "index" else None))
    assert languages.install(folder, ["so-en"], "en", mirror.index, "1" * 64 if where == "option" else None) == 1
    assert _names(folder) == _names(folder.parent / "downloads") == []


def test_a_broken_line_costs_no_second_download(mirror: Mirror, tiny: Path, folder: Path, tmp_path: Path) -> None:
    content = tiny.read_bytes()
    mirror.files["/so.argosmodel"] = content
    mirror.breaks = [1000, 2000]
    seen: list[tuple[int, int | None]] = []
    offer = downloads.Offer("so", "en", "0.1", (f"{mirror.address}/so.argosmodel",), packages.sha256_of(tiny))
    file = downloads.fetch(offer, tmp_path / "d", None, lambda done, total: seen.append((done, total)))
    assert file.read_bytes() == content
    assert mirror.ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert seen[-1] == (len(content), len(content))


def test_a_later_command_goes_on_where_an_earlier_one_stopped(mirror: Mirror, tiny: Path, folder: Path) -> None:
    mirror.files["/so.argosmodel"] = tiny.read_bytes()
    mirror.offer(_entry(tiny, "so.argosmodel"))
    mirror.breaks = [700, 700, 700]
    assert languages.install(folder, ["so-en"], "en", mirror.index, None) == 1
    assert _names(folder) == []
    assert languages.install(folder, ["so-en"], "en", mirror.index, None) == 0
    assert mirror.ranges[-1] == "bytes=2100-"


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(mirror: Mirror, tiny: Path, folder: Path) -> None:
    mirror.files["/so.argosmodel"] = b"x" * 5000
    mirror.offer(_entry(tiny, "so.argosmodel"))
    mirror.breaks = [700, 700, 700]
    languages.install(folder, ["so-en"], "en", mirror.index, None)
    mirror.files["/so.argosmodel"] = tiny.read_bytes()
    mirror.tags["/so.argosmodel"] = '"two"'
    assert languages.install(folder, ["so-en"], "en", mirror.index, None) == 0


def test_the_second_link_serves_where_the_first_is_dead(mirror: Mirror, tiny: Path, folder: Path) -> None:
    mirror.files["/so.argosmodel"] = tiny.read_bytes()
    mirror.offer({**_entry(tiny, ""), "links": ["gone.argosmodel", "ipfs://x", "so.argosmodel"]})
    assert languages.install(folder, ["so-en"], "en", mirror.index, None) == 0


def test_a_stick_with_an_index_and_a_single_file_install_alike(tiny: Path, folder: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "so.argosmodel").write_bytes(tiny.read_bytes())
    (stick / "index.json").write_text(json.dumps([_entry(tiny, "so.argosmodel", packages.sha256_of(tiny))]))
    assert languages.install(folder, ["so"], "en", str(stick), None) == 0
    assert languages.remove(folder, ["so"], "en") == 0
    assert _names(folder) == []
    assert languages.install(folder, [str(tiny)], "en", downloads.PUBLIC_INDEX, packages.sha256_of(tiny)) == 0
    assert _names(folder) == ["translate-so_en-0_1"]


def test_the_embedded_pair_needs_no_index(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert languages.install(folder, ["pt"], "en", downloads.PUBLIC_INDEX, None) == 0
    assert _names(folder) == sorted(direction.name for direction in packages.EMBEDDED)


@pytest.mark.parametrize(
    ("index", "why"),
    [
        (b"[{]", "not a list of Argos packages"),
        (b'{"a": 1}', "not a list"),
        (b'[{"from_code": "so"}]', "not a list"),
        (None, "reached"),
    ],
)
def test_a_wrong_index_is_said(
    mirror: Mirror, folder: Path, index: bytes | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if index is not None:
        mirror.files["/index.json"] = index
    assert languages.install(folder, ["so"], "en", mirror.index, None) == 1
    assert why in capsys.readouterr().err


def test_a_package_that_cannot_be_loaded_never_gets_among_the_others(tiny: Path, packages_dir: Path, tmp_path: Path) -> None:
    """Each fault alone; the packages that were there are untouched and still translate."""
    import zipfile

    before = _names(packages_dir)
    with zipfile.ZipFile(tiny) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    root = "translate-so_en-0_1"
    metadata = json.loads(members[f"{root}/metadata.json"])
    faults = {
        "half its weights": {f"{root}/model/model.bin": members[f"{root}/model/model.bin"][:5000]},
        "no weights": {f"{root}/model/model.bin": b""},
        "noise for pieces": {f"{root}/sentencepiece.model": b"noise"},
        "for the next Argos": {f"{root}/metadata.json": json.dumps({**metadata, "argos_version": "2.0"}).encode()},
        "not for translation": {f"{root}/metadata.json": json.dumps({**metadata, "type": "sbd"}).encode()},
    }
    for fault, changed in faults.items():
        file = tmp_path / f"{fault.replace(' ', '-')}.argosmodel"
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in {**members, **changed}.items():
                archive.writestr(name, content)
        assert languages.install(packages_dir, [str(file)], "en", downloads.PUBLIC_INDEX, None) == 1, fault
        assert _names(packages_dir) == before, fault
    half = tmp_path / "half.argosmodel"
    half.write_bytes(tiny.read_bytes()[:3000])
    assert languages.install(packages_dir, [str(half)], "en", downloads.PUBLIC_INDEX, None) == 1
    assert _names(packages_dir) == before


def test_a_newer_package_replaces_the_older_one_of_its_direction(tiny: Path, folder: Path, tmp_path: Path) -> None:
    newer = tiny_package(tmp_path / "newer", "so", "en", "0.2")
    packages.install(tiny, folder)
    packages.install(newer, folder)
    assert _names(folder) == ["translate-so_en-0_2"]


def test_a_running_process_ends_to_be_started_again_with_a_new_package(tiny: Path, folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    socket_path = tmp_path / "t.sock"
    child = machine.start(socket_path, folder)
    try:
        assert machine.Translator(socket_path).wait_until_ready(60)
        packages.install(tiny, folder)
        assert child.wait(10) == 0
    finally:
        machine.stop(child)
    child = machine.start(socket_path, folder)
    try:
        health = machine.Translator(socket_path).wait_for_health(60)
        assert health is not None
        assert health.pairs == (("so", "en"),)
    finally:
        machine.stop(child)


def test_check_names_what_is_broken_and_what_is_whole(tiny: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install(tiny, folder)
    assert languages.check(folder) == 0
    (folder / "translate-ar_en-half").mkdir()
    assert languages.check(folder) == 1
    said = capsys.readouterr().out
    assert "ok       translate-so_en-0_1" in said
    assert "broken   package translate-ar_en-half: metadata.json is missing" in said
    assert "rough gist of es" in said


def test_the_list_says_what_works_by_which_route_and_how_well(tiny: Path, folder: Path) -> None:
    packages.install(tiny, folder)
    packages.install_embedded(folder)
    rows = {row.code: row for row in languages.rows(folder, "en")}
    assert rows["pt"].to_working == languages.Way("argos", "embedded", "pt → en")
    assert rows["so"].to_working == languages.Way("argos", "installed", "so → en")
    assert rows["so"].from_working.quality == "interpreter"
    assert rows["pt"].words == "unreviewed"
    assert rows["ko"].to_working.engine == "none"
    assert (rows["es"].to_working.quality == "rough_gist") == apertium.is_installed("es")
    assert rows["es"].from_working.quality == "interpreter"
    through = {row.code: row for row in languages.rows(folder, "pt")}
    assert through["so"].to_working == languages.Way("argos", "installed", "so → en → pt")
    assert through["es"].to_working.quality == "interpreter"


def test_the_commands_speak(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELLONCE_DATA_DIR", str(tmp_path))
    run = CliRunner()
    assert run.invoke(commands, ["languages", "install", str(tiny)]).exit_code == 0
    listed = run.invoke(commands, ["languages", "list", "--json"])
    assert {"code": "so", "words": "none"}.items() <= json.loads(listed.stdout)["languages"][23].items()
    assert "Somali" in run.invoke(commands, ["languages", "list"]).stdout
    assert run.invoke(commands, ["languages", "remove", "translate-so_en-0_1"]).exit_code == 0
    assert run.invoke(commands, ["languages", "remove", "../.."]).exit_code == 1
    assert run.invoke(commands, ["languages", "install", "klingon"]).exit_code == 1
