"""The network as an ONNX model."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator
from importlib import metadata

import onnx
import torch

from asd_edge.frontend.windows import FrontEnd
from asd_edge.model import INPUT, METADATA_KEY
from asd_training.network.views import Network


def to_onnx(model: Network, front_end: FrontEnd, version: int = 1) -> bytes:
    """Convert a network to an ONNX file's content.

    The graph maps "mel" [shape=(batch, n_mels, n_frames)] to an output a view
    [shape=(batch, d)], with the normalisation inside, and carries the front end in
    its metadata.

    Args:
        model: the network; it is not changed.
        front_end: what it was trained behind.
        version: `model_version` of the file.
    """
    frozen = copy.deepcopy(model).cpu().eval()
    # Two clips, because the exporter takes a dimension of 1 for a constant.
    example = torch.zeros(2, *front_end.shape)
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        program = torch.onnx.export(
            frozen,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(frozen.views),
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    # Where the author's Python files lie is nobody's business on the device.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.metadata_props[:]
    proto.producer_name, proto.producer_version = "asd-edge", metadata.version("asd-edge")
    proto.model_version = version
    proto.metadata_props.add(key=METADATA_KEY, value=json.dumps(front_end.to_dict()))
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and warnings from the user, who can do nothing about them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
