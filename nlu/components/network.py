"""The tuned E5 as texts are read with it: its layers run by ONNX Runtime, eight bits a weight, on one core."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions
from scipy.special import erf, softmax

from components.e5 import HALFWAY, HEAD, HEADS, LAYERS, MADE_BY_TUNING, NEVER, WIDTH, Tokens, layers

_BLOCK = 64  # weights that share one scale
_MOST, _ZERO = 127, 128  # the weights of a block lie within ±127, kept without a sign
_INT8 = 4  # ONNX Runtime's level of accuracy at which it multiplies whole numbers
_THEIRS = "com.microsoft"
_STANDARD = 17  # the version of ONNX's own operators
_FORMAT = 9  # and of its file


@dataclass(frozen=True)
class Seen:
    """What the network makes of one text.

    ``row``: ROW numbers, what the tokens are on average half-way and at the end. ``odds``: one row of QUESTIONS at the end and one
    half-way: the log odds of an indicator, and of each strand if there is one.
    """

    row: np.ndarray
    odds: np.ndarray


class Network:
    """The tokens, the layers and the head. ``added``: what tuning made."""

    def __init__(self, tokens: Tokens, added: Mapping[str, np.ndarray]) -> None:
        self._tokens = tokens
        self._head = {name: added[name].astype(np.float32) for name in (*HEAD, *HALFWAY)}
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the second core belongs to the rest of the house
        self._session = InferenceSession(_model(tokens, added), options, providers=["CPUExecutionProvider"])

    def read(self, texts: Sequence[str]) -> list[Seen]:
        """One Seen a text."""
        states, mask = self._tokens.embed(texts)
        half_way, at_end = self._session.run(None, {"states": states, "is_token": mask.astype(np.int32)})
        half, end = _mean(half_way, mask), _mean(at_end, mask)
        rows = [mean / np.linalg.norm(mean, axis=1, keepdims=True) for mean in (half, end)]
        odds = [self._asked(at_end, end, mask), rows[0] @ self._head["half"] + self._head["half_bias"]]
        return [Seen(*each) for each in zip(np.concatenate(rows, axis=1), np.stack(odds, axis=1))]

    def _asked(self, states: np.ndarray, mean: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The head's log odds: every token votes on each question, weighted by attention; the mean of all adds its own."""
        head = self._head
        inner = states @ head["inner"] + head["inner_bias"]
        inner *= (1 + erf(inner / np.sqrt(2, dtype=np.float32))) / 2
        weight = softmax(inner @ head["attention"] + ((1 - mask) * np.float32(NEVER))[..., None], axis=1)
        said: np.ndarray = (weight * (inner @ head["vote"])).sum(axis=1) + head["vote_bias"] + mean @ head["mean"]
        return said


def network(tuned: Path = MADE_BY_TUNING) -> Network:
    """One copy of each for the whole process."""
    return _made(tuned)


@cache
def _made(tuned: Path) -> Network:
    with np.load(tuned) as added:
        made = Network(_tokens(), {name: added[name] for name in added.files})
    ctypes.CDLL(None).malloc_trim(0)  # 120 MB: making it takes several times what stays
    return made


@cache
def _tokens() -> Tokens:
    return Tokens()


def _mean(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    mean: np.ndarray = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return mean


def _model(tokens: Tokens, added: Mapping[str, np.ndarray]) -> bytes:
    """The layers of BERT in ONNX's format.

    In: ``states``, texts x tokens x WIDTH, and ``is_token``, texts x tokens, 1 or 0. Out: the states half-way and at the end.
    """
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, numbers: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(numbers), name))
        return name

    def node(kind: str, taken: Sequence[str], made: str, **settings: Any) -> str:
        nodes.append(helper.make_node(kind, taken, [made], **settings))
        return made

    def times(rows: str, layer: Mapping[str, np.ndarray], name: str, place: str) -> str:
        inputs, outputs = layer[name].shape
        blocks = layer[name].T.reshape(outputs, inputs // _BLOCK, _BLOCK)
        scales = np.abs(blocks).max(axis=-1) / _MOST
        whole = (np.rint(blocks / scales[..., None]) + _ZERO).astype(np.uint8)
        held = [constant(f"{place}.{name}.whole", whole), constant(f"{place}.{name}.scales", scales.ravel())]
        size = {"K": inputs, "N": outputs, "bits": 8, "block_size": _BLOCK, "accuracy_level": _INT8}
        product = node("MatMulNBits", [rows, *held], f"{place}.{name}.times", domain=_THEIRS, **size)
        return node("Add", [product, constant(f"{place}.{name}.bias", layer[name + "b"])], f"{place}.{name}.out")

    def levelled(rows: str, more: str, layer: Mapping[str, np.ndarray], names: Sequence[str], place: str) -> str:
        held = [constant(f"{place}.{name}", layer[name]) for name in names]
        made = f"{place}.{names[0]}.out"
        return node("SkipLayerNormalization", [rows, more, *held], made, domain=_THEIRS, epsilon=tokens.epsilon)

    def through(layer: Mapping[str, np.ndarray], rows: str, place: str) -> str:
        asked = [times(rows, layer, name, place) for name in "qkv"]
        heard = node("MultiHeadAttention", [*asked, "", "is_token"], f"{place}.heard", domain=_THEIRS, num_heads=HEADS)
        rows = levelled(rows, times(heard, layer, "ao", place), layer, ("aw", "ab"), place)
        inner = node("FastGelu", [times(rows, layer, "fi", place)], f"{place}.inner", domain=_THEIRS)
        return levelled(rows, times(inner, layer, "fo", place), layer, ("ow", "ob"), place)

    states = ["states"]
    for number, layer in enumerate(layers(tokens, added)):
        states.append(through(layer, states[-1], f"layer{number}"))
    shape = ["texts", "tokens", WIDTH]
    taken = [_value("states", TensorProto.FLOAT, shape), _value("is_token", TensorProto.INT32, shape[:2])]
    given = [_value(states[place], TensorProto.FLOAT, shape) for place in (LAYERS // 2, LAYERS)]
    operators = [helper.make_opsetid("", _STANDARD), helper.make_opsetid(_THEIRS, 1)]
    graph = helper.make_graph(nodes, "e5", taken, given, constants)
    model: bytes = helper.make_model(graph, opset_imports=operators, ir_version=_FORMAT).SerializeToString()
    return model


def _value(name: str, kind: int, shape: Sequence[str | int]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)
