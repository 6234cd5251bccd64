"""A translation package for tests: real in every part, and so small that it says nothing sensible."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import ctranslate2
import numpy as np
import sentencepiece
from ctranslate2.specs import transformer_spec


def tiny_package(folder: Path, source: str, target: str, version: str = "0.1", argos_version: str = "1.11") -> Path:
    """A real CTranslate2 model of random weights, a few hundred kilobytes: it says nothing sensible, by the genuine path."""
    folder.mkdir(parents=True, exist_ok=True)
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
    model.mkdir(exist_ok=True)
    _random_model(vocabulary).save(str(model))
    root = f"translate-{source}_{target}-{version.replace('.', '_')}"
    file = folder / f"{root}.argosmodel"
    metadata = {"package_version": version, "argos_version": argos_version, "from_code": source, "from_name": source}
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
