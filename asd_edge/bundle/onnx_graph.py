"""Inspect an ONNX file without running it.

onnxruntime runs whatever a model says: it reads weights from other files, and loops as long as
the model likes. A bundle comes from elsewhere, so both are refused before the model is loaded. The
file is in the wire format of protocol buffers (protobuf.dev/programming-guides/encoding);
the field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

# Operators whose time or memory is not bounded by the size of the model and its input.
_UNBOUNDED = frozenset(
    {b"Loop", b"Scan", b"SequenceMap", b"ConstantOfShape", b"Range", b"Tile", b"Expand", b"Pad"}
    | {b"Resize", b"Upsample", b"OneHot", b"EyeLike", b"RandomNormal", b"RandomUniform"}
)
_STANDARD = frozenset({b"", b"ai.onnx", b"com.microsoft"})
_MAX_NODES = 20_000
_MAX_DEPTH = 8  # of graphs in attributes

_LENGTH_DELIMITED, _VARINT = 2, 0
_GRAPH, _FUNCTIONS = 7, 25  # of ModelProto
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of GraphProto
_ATTRIBUTE, _OP_TYPE, _DOMAIN = 5, 4, 7  # of NodeProto
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS = 5, 6, 10, 11  # of AttributeProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto


def refuse_unbounded(model: bytes) -> None:
    """Refuse a model that reads other files or whose time and memory have no bound.

    Raises:
        ValueError: says why.
    """
    nodes = 0

    def graph(content: memoryview, depth: int) -> None:
        nonlocal nodes
        if depth > _MAX_DEPTH:
            raise ValueError("nests graphs too deeply")
        for number, value in _fields(content):
            if number == _NODE:
                nodes += 1
                if nodes > _MAX_NODES:
                    raise ValueError(f"has more than {_MAX_NODES} nodes")
                node(value, depth)
            elif number == _INITIALIZER:
                _tensor(value)
            elif number == _SPARSE:
                raise ValueError("has sparse weights")

    def node(content: memoryview, depth: int) -> None:
        operator, domain = b"", b""
        for number, value in _fields(content):
            if number == _OP_TYPE:
                operator = bytes(value)
            elif number == _DOMAIN:
                domain = bytes(value)
            elif number == _ATTRIBUTE:
                for kind, inner in _fields(value):
                    if kind in (_TENSOR, _TENSORS):
                        _tensor(inner)
                    elif kind in (_SUBGRAPH, _SUBGRAPHS):
                        graph(inner, depth + 1)
        if operator in _UNBOUNDED:
            name = operator.decode()
            raise ValueError(f"has the operator {name}, whose time or memory has no bound")
        if domain not in _STANDARD:
            raise ValueError(f"has an operator of {domain.decode(errors='replace')[:50]!r}")

    for number, value in _fields(memoryview(model)):
        if number == _GRAPH:
            graph(value, 0)
        elif number == _FUNCTIONS:
            raise ValueError("defines functions of its own")


def _tensor(content: memoryview) -> None:
    for number, _ in _fields(content):
        if number in (_EXTERNAL_DATA, _DATA_LOCATION):
            raise ValueError("keeps weights in another file (external data), which is refused")


_NOTHING = memoryview(b"")


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Give the fields of a message: number, and content if it has a length."""
    at, end = 0, len(content)
    while at < end:
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == _LENGTH_DELIMITED:
            length, at = _varint(content, at)
            if length > end - at:
                raise ValueError("is damaged (no ONNX model)")
            yield number, content[at : at + length]
            at += length
            continue
        if wire == _VARINT:
            value, at = _varint(content, at)
            if value == 0:  # the default, as if it were not there
                continue
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError("is damaged (no ONNX model)")
        yield number, _NOTHING


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("is damaged (no ONNX model)")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
