"""Packages: built once, checked always, and one broken folder takes no other down."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.translations.tiny import tiny_package
from translations import machine, packages
from translations.machine import Translator


def test_both_embedded_directions_are_installed_with_their_licence(packages_dir: Path) -> None:
    assert packages.install_embedded(packages_dir) == ["translate-pt_en-firefox-1_0", "translate-en_pt-firefox-1_0"]
    for name in packages.install_embedded(packages_dir):
        metadata = packages.read_metadata(packages_dir / name)
        assert metadata["license"] == "MPL-2.0"
        assert "mozilla.org/MPL/2.0" in (packages_dir / name / "README.md").read_text()
    assert {entry.name for entry in packages_dir.iterdir()} == set(packages.install_embedded(packages_dir))


def test_installing_again_touches_nothing_whole_and_mends_what_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "argos" / "packages"
    first, second = (folder / name for name in packages.install_embedded(folder))
    untouched = (second / "metadata.json").stat().st_mtime_ns
    packages.weights(first).write_bytes(b"half of it")
    packages.install_embedded(folder)
    assert packages.sha256_of(packages.weights(first)) == packages.EMBEDDED[0].sha256
    assert (second / "metadata.json").stat().st_mtime_ns == untouched
    assert [entry.name for entry in folder.parent.iterdir()] == ["packages"], "nothing temporary is left"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a/metadata.json": "{}"}, "metadata.json"),
        ({"a/metadata.json": json.dumps({"from_code": "xx", "to_code": "en", "package_version": "1"})}, "sentencepiece"),
        ({"../evil": "x"}, "outside"),
        ({"a/one": "1", "b/two": "2"}, "exactly one folder"),
    ],
)
def test_a_wrong_package_file_is_refused_with_its_reason(tmp_path: Path, members: dict[str, str], why: str) -> None:
    file = tmp_path / "wrong.argosmodel"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    folder = tmp_path / "argos" / "packages"
    with pytest.raises(packages.PackageError, match=why):
        packages.install(file, folder)
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "argos" / "evil").exists()


def test_half_a_download_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "half.argosmodel"
    file.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(packages.PackageError, match="whole zip"):
        packages.install(file, tmp_path / "packages")


def test_a_real_ctranslate2_package_works_beside_a_broken_one_and_pivots(packages_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "argos" / "packages"
    folder.mkdir(parents=True)
    for package in packages_dir.iterdir():
        shutil.copytree(package, folder / package.name)
    packages.install(tiny_package(tmp_path, "so", "en"), folder)
    (folder / "translate-ar_en-broken").mkdir()
    child = machine.start(tmp_path / "t.sock", folder)
    try:
        translator = Translator(tmp_path / "t.sock")
        assert translator.wait_until_ready(60)
        health = translator.ping()
        assert health is not None
        assert set(health.pairs) == {("so", "en"), ("en", "pt"), ("pt", "en")}
        assert [reason.split(":")[0] for reason in health.refused] == ["package translate-ar_en-broken"]
        assert translator.translate("Ninguém me ajudou.", "pt", "en").text == "No one helped me."
        direct = translator.translate("Waan ka baqayaa.", "so", "en")
        assert (direct.engine, direct.route) == ("argos/ctranslate2", ("so", "en"))
        pivot = translator.translate("Waan ka baqayaa.", "so", "pt")
        assert (pivot.engine, pivot.route) == ("argos/ctranslate2+firefox-marian", ("so", "en", "pt"))
        assert len(pivot.model.split("+")) == 2
    finally:
        machine.stop(child)
