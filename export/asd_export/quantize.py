"""Networks of lower precision, int8 and fp16, written only if they are measured to be faster.

int8 is onnxruntime's static quantisation in the QDQ format, a scale for each output
channel, ranges from training clips. Only convolutions, but the first, and the linear
layer are quantised: the statistics over time are cheap and need their precision, and
onnxruntime's int8 pooling is slower than its float one. fp16 is the conversion that
onnxruntime brings itself (what onnxconverter-common has, maintained further), again
with the statistics left in float32.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from asd_edge.detector import Detector
from asd_edge.model import INPUT, VIEWS, EmbeddingModel, runtime
from asd_edge.verify import relative_error
from asd_export.errors import PrecisionError
from asd_training.data.clips import Clip
from asd_training.evaluation.measures import auc
from asd_training.evaluation.metrics import groups
from asd_training.evaluation.score import analyse_clip, score_clips
from asd_training.learn.augment import shift_bands, statistics_exchange

CALIBRATION_CLIPS = 128
_LEARNED, *_STATISTICS = VIEWS
# None of them makes statistics. A quantised Relu vanishes into the range of the convolution
# before it.
_QUANTISED = ["Conv", "Relu", "Gemm"]
_SHIFT_BANDS = 2
_ROUNDS, _FEWEST_ROUNDS, _SECONDS = 100, 9, 30.0

Mels = NDArray[np.float32]


@dataclass(frozen=True)
class Lower:
    """A lower precision, and what its network has to reach beside the float one.

    Attributes:
        kind: "int8" or "fp16".
        provider: where the network is to run, and is measured.
        max_auc_drop: mean AUC over the groups of the data set's test clips may fall by this.
        min_rank_correlation: Spearman's, of the scores of held-out and changed clips;
            where no test clips are labelled.
        min_speedup: time of the float network over its own.
    """

    kind: str
    provider: str = "cpu"
    max_auc_drop: float = 0.01
    min_rank_correlation: float = 0.99
    min_speedup: float = 1.1


@dataclass(frozen=True)
class Accuracy:
    """Agreement of two detectors; AUCs or the rank correlation are None.

    Attributes:
        clips: that were scored.
        auc_float, auc: mean over machine, section and domain.
        rank_correlation: Spearman's.
    """

    clips: int
    auc_float: float | None = None
    auc: float | None = None
    rank_correlation: float | None = None


@dataclass(frozen=True)
class Timing:
    """Median time of one window in the network, in ms, float and lower precision in turn."""

    float_ms: float
    ms: float
    provider: str

    @property
    def speedup(self) -> float:
        """How many times as fast as float."""
        return self.float_ms / self.ms


def check(lower: Lower, accuracy: Accuracy, timing: Timing, run: Path) -> dict[str, Any]:
    """Give the figures for the bundle's provenance.

    Raises:
        PrecisionError: a limit is not kept.
    """
    if accuracy.auc is not None and accuracy.auc_float is not None:
        good = accuracy.auc_float - accuracy.auc <= lower.max_auc_drop
        what = (
            f"AUC {accuracy.auc_float:.4f} -> {accuracy.auc:.4f} on {accuracy.clips} test clips "
            f"(may fall by {lower.max_auc_drop:g})"
        )
    else:
        correlation = accuracy.rank_correlation or 0.0
        good = correlation >= lower.min_rank_correlation
        what = (
            f"rank correlation of scores {correlation:.4f} on {accuracy.clips} clips "
            f"(at least {lower.min_rank_correlation:g})"
        )
    fast = timing.speedup >= lower.min_speedup
    what += (
        f", network {timing.float_ms:.3g} -> {timing.ms:.3g} ms a window on {timing.provider} "
        f"({timing.speedup:.2f} times as fast, at least {lower.min_speedup:g})"
    )
    if not (good and fast):
        raise PrecisionError(run, lower.kind, what)
    values = {**vars(accuracy), **vars(timing), "speedup": timing.speedup}
    return {name: value for name, value in values.items() if value is not None}


def to_int8(model: bytes, windows: Iterable[Mels]) -> bytes:
    """Quantise a network's convolutions and linear layer.

    Args:
        model: the float ONNX file's content.
        windows: mel spectrograms of normal clips, each [shape=(n_mels, n_frames)].
    """
    runtime()  # before its parts: it switches telemetry off
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
        def __init__(self) -> None:
            self._windows = iter(windows)

        def get_next(self) -> dict[str, Mels] | None:
            window = next(self._windows, None)
            return None if window is None else {INPUT: window[np.newaxis]}

    # Batch normalisation behind a convolution is part of it already: PyTorch's exporter folds it.
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        quantised = Path(folder) / "int8.onnx"
        quantize_static(
            proto,
            quantised,
            Reader(),
            op_types_to_quantize=_QUANTISED,
            # Of one channel: onnxruntime takes five times as long for it in int8.
            nodes_to_exclude=[_first_convolution(proto.graph).name],
            per_channel=True,
            # Pairs of 8-bit products saturate on x86 without VNNI, those with 7-bit weights
            # cannot: every device is to give what this one measured.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            # The embedding itself keeps its precision.
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
        return _finish(onnx.load(quantised), model)


def to_fp16(model: bytes) -> bytes:
    """Convert a network to fp16; its input, its outputs and the statistics stay float32."""
    runtime()  # before its parts: it switches telemetry off
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = onnx.load_from_string(model)
    graph = proto.graph
    statistics = set().union(*(_ancestors(graph, view) for view in _STATISTICS))
    statistics -= _ancestors(graph, _LEARNED)
    # dB values are coarse in fp16, so the normalisation stays float32 too.
    before = _ancestors(graph, _first_convolution(graph).input[0])
    with _quiet():
        half = convert_float_to_float16(
            proto, keep_io_types=True, node_block_list=sorted(statistics | before)
        )
    _undo_detours(half.graph)
    # The converter appends its casts behind the nodes that need them.
    ONNXModel(half).topological_sort()
    return _finish(half, model)


def _undo_detours(graph: Any) -> None:
    """Let nodes that stay float32 read what they did, where that was cast to fp16 and back."""
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    for node in casts.values():
        before = casts.get(node.input[0])
        if node.attribute[0].i == onnx.TensorProto.FLOAT and before is not None:
            node.input[0] = before.input[0]


def _first_convolution(graph: Any) -> Any:
    return next(node for node in graph.node if node.op_type == "Conv")


def _ancestors(graph: Any, output: str) -> set[str]:
    """Name the nodes that an output is computed by."""
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    waiting = [output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting += node.input
    return found


def _finish(proto: Any, model: bytes) -> bytes:
    """Keep the float model's metadata and nothing else that tells of this machine."""
    original = onnx.load_from_string(model)
    for holder in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        del holder.metadata_props[:]
    proto.metadata_props.extend(original.metadata_props)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def accuracy(
    reference: Detector, lower: Detector, test: Sequence[Clip], held_out: Sequence[Clip]
) -> Accuracy:
    """Compare two detectors: by AUC where test clips are labelled, else by rank.

    Args:
        reference: of the float network.
        lower: of the other, with references and calibration of its own.
        test: the data set's test clips, labelled or not.
        held_out: normal clips that the references have not seen.
    """
    known = [clip for clip in test if clip.section in reference.scorer.sections]
    labels: dict[tuple[str, str], set[str]] = {}
    for clip in known:
        labels.setdefault((clip.section, clip.domain), set()).add(clip.label)
    both = {group for group, there in labels.items() if {"normal", "anomaly"} <= there}
    labelled = [
        clip
        for clip in known
        if (clip.section, clip.domain) in both and clip.label in ("normal", "anomaly")
    ]
    if labelled:
        return Accuracy(len(labelled), _auc(reference, labelled), _auc(lower, labelled))
    from scipy.stats import spearmanr

    detectors = (reference, lower)
    scores: list[list[float]] = []
    before = analyse_clip(reference, held_out[-1]).mel(0)
    for clip in held_out:
        analyses = [analyse_clip(d, clip) for d in detectors]
        mel = analyses[0].mel(0)
        for variant in (mel, _shifted(mel), _exchanged(mel, before)):
            batch = variant[np.newaxis]
            scores.append([a.with_mels(batch).scores.score for a in analyses])
        before = mel
    a, b = np.array(scores).T
    return Accuracy(len(scores), rank_correlation=float(spearmanr(a, b).statistic))


def _auc(detector: Detector, clips: Sequence[Clip]) -> float:
    table, errors = score_clips(detector, clips)
    if errors:
        raise errors[0]
    values = [auc((g["label"] == "anomaly").to_numpy(), g["score"]) for _, g in groups(table)]
    return float(np.mean(values))


def _shifted(mel: Mels) -> Mels:
    import torch

    shifted: Mels = shift_bands(torch.from_numpy(mel), _SHIFT_BANDS).numpy()
    return shifted


def _exchanged(mel: Mels, other: Mels) -> Mels:
    import torch

    pair = (torch.from_numpy(x)[None] for x in (mel, other))
    exchanged: Mels = statistics_exchange(*pair)[0].numpy()
    return exchanged


def timing(reference: EmbeddingModel, lower: EmbeddingModel, mel: Mels, provider: str) -> Timing:
    """Measure one window [shape=(n_mels, n_frames)] in both networks, in turn."""
    batch = mel[np.newaxis]
    for model in (reference, lower) * 2:
        model.embed(batch)
    times: tuple[list[float], list[float]] = ([], [])
    begun = time.perf_counter()
    while len(times[0]) < _ROUNDS:
        for model, own in zip((reference, lower), times, strict=True):
            start = time.perf_counter()
            model.embed(batch)
            own.append(time.perf_counter() - start)
        if len(times[0]) >= _FEWEST_ROUNDS and time.perf_counter() - begun > _SECONDS:
            break
    return Timing(1e3 * float(np.median(times[0])), 1e3 * float(np.median(times[1])), provider)


def difference(reference: EmbeddingModel, lower: EmbeddingModel, mels: Iterable[Mels]) -> float:
    """Largest relative difference of the learned embedding over some windows."""
    return max(
        relative_error(lower.embed(mel[np.newaxis])[_LEARNED], expected)
        for mel in mels
        for expected in [reference.embed(mel[np.newaxis])[_LEARNED]]
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice to developers from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
