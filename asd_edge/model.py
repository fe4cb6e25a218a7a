"""The model: one onnxruntime session, from mel spectrograms to embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import BundleError, ParameterError, ProviderError
from asd_edge.frontend import FrontEnd

INPUT = "mel"  # [shape=(batch, n_mels, n_frames)]
# Its outputs, each [shape=(batch, d)]: what the network learned, `asd_training.statistics`.
VIEWS = ("embedding", "statistics")
METADATA_KEY = "asd_edge.front_end"


class EmbeddingModel:
    """An ONNX model from mel spectrograms to embeddings.

    Args:
        model: the ONNX file's content.
        front_end: what the model was trained behind; the model's metadata and
            input shape must say the same.
        views: outputs that are wanted; the model has just these.
        provider: "cpu", "cuda", ..., an onnxruntime name such as
            "CUDAExecutionProvider", or "auto" for CUDA where it works and else CPU.
        threads: threads inside an operator, at least 1.
        path: what messages call the model.

    Raises:
        BundleError: not an ONNX model, or one for another front end.
        ProviderError: a provider that is not there or does not start.
    """

    def __init__(
        self,
        model: bytes,
        front_end: FrontEnd,
        views: Iterable[str],
        provider: str = "cpu",
        threads: int = 1,
        path: str | Path = "model",
    ) -> None:
        import onnxruntime as ort  # here, because `--help` and argument errors do not need it

        if threads < 1:
            raise ParameterError("threads", threads, "at least 1")
        available = ort.get_available_providers()
        names = _provider_names(provider, available)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # its failures are raised; its chatter is not for users
        try:
            self._session = ort.InferenceSession(model, options, providers=names)
        except Exception as error:  # onnxruntime's own classes share no public base
            raise BundleError(path, "model.onnx", f"cannot be loaded ({_line(error)})") from error
        if self._session.get_providers()[0] != names[0] and provider != "auto":
            # onnxruntime falls back in silence when a provider's libraries do not load.
            raise ProviderError(provider, [name for name in available if name != names[0]])
        self._views = list(views)
        self._check(front_end, path)

    def _check(self, front_end: FrontEnd, path: str | Path) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [i.name for i in inputs] != [INPUT] or {o.name for o in outputs} != set(self._views):
            wanted = " and ".join(map(repr, self._views))
            raise BundleError(path, "model.onnx", f"does not map {INPUT!r} to {wanted}")
        if tuple(inputs[0].shape[1:]) != front_end.shape:
            raise BundleError(
                path,
                "model.onnx",
                f"takes {tuple(inputs[0].shape[1:])}, the front end gives {front_end.shape}",
            )
        metadata = self._session.get_modelmeta().custom_metadata_map
        if json.loads(metadata.get(METADATA_KEY, "null")) != front_end.to_dict():
            raise BundleError(path, "model.onnx", "was exported for another front end")

    def embed(self, mel: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Embed mel spectrograms.

        Args:
            mel: [shape=(batch, n_mels, n_frames)].

        Returns:
            view -> [shape=(batch, d)]
        """
        outputs = self._session.run(self._views, {INPUT: mel})
        return dict(zip(self._views, outputs, strict=True))


def _provider_names(provider: str, available: list[str]) -> list[str]:
    if provider == "auto":
        return [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
    for name in available:
        if provider.lower() in (name.lower(), name.lower().removesuffix("executionprovider")):
            # The CPU runs the operators that the chosen provider lacks.
            return list(dict.fromkeys([name, "CPUExecutionProvider"]))
    raise ProviderError(provider, [name.removesuffix("ExecutionProvider") for name in available])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
