"""The model: one onnxruntime session, from mel spectrograms to embeddings."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge import native_stderr
from asd_edge.errors import BundleError, ParameterError, ProviderError
from asd_edge.frontend.windows import FrontEnd

INPUT = "mel"  # [shape=(batch, n_mels, n_frames)]
# Its outputs, each [shape=(batch, d)]: what the network learned, and statistics over time: of every
# band, of neighbouring bands joined (their power, their changes), and of all bands together.
VIEWS = ("embedding", "statistics", "bands", "band_changes", "level")
# Of the first run: processor time, because a device may be busy with other things, and time by the
# clock. A network for a device takes milliseconds.
MAX_SECONDS = 4.0
MAX_WAIT_SECONDS = 60.0
METADATA_KEY = "asd_edge.front_end"
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Short names of providers whose package is another one than "onnxruntime", and what brings them.
_INSTALL = {
    "cuda": "{pip} uninstall onnxruntime, then {pip} install 'onnxruntime-gpu[cuda,cudnn]'",
    "openvino": "{pip} uninstall onnxruntime, then {pip} install onnxruntime-openvino",
}
# "CUDA failure 100: no CUDA-capable device is detected ; GPU=0 ; hostname=...", deep in a message.
_CUDA_FAILURE = re.compile(r"(CUDA|CUDNN|CUBLAS) failure \d+:[^;]*")
_LOOK = "Look with nvidia-smi whether the driver finds a GPU that has memory to spare"
# CUDA that may round the network's products to TF32, a mantissa of 10 bits instead of 23.
TF32 = "cuda-tf32"


class EmbeddingModel:
    """An ONNX model from mel spectrograms to embeddings.

    Attributes:
        provider: short name of the provider that runs the network, such as "cpu".
        threads: threads that it may use.

    Args:
        model: the ONNX file's content.
        front_end: what the model was trained behind; the model's metadata and
            input shape must say the same.
        views: outputs that are wanted; the model has just these.
        provider: "cpu", "cuda", "xnnpack", "acl", ..., an onnxruntime name such as
            "CUDAExecutionProvider", or "auto" for CUDA where it starts and else CPU.
            "cuda" computes in float32; "cuda-tf32" lets it round to TF32, which changes the
            fourth digit of a score.
        threads: threads inside an operator, at least 1. One is the default: the networks
            meant for a device take well under a millisecond, and a second thread costs
            more to wake than it saves (figures in benchmarks/RESULTS.md).
        path: what messages call the model.

    Raises:
        BundleError: not an ONNX model, or one for another front end.
        ProviderError: a provider that is not there or does not start.
        ParameterError: no thread.
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
        if not isinstance(threads, int) or not 1 <= threads <= 1024:
            raise ParameterError("threads", threads, "a whole number from 1 to 1024")
        self._session = _open(model, provider, threads, path)
        self._views = list(views)
        self.provider = _short(self._session.get_providers()[0])
        if provider.lower() == TF32:
            self.provider = TF32
        self.threads = threads
        self._path = path
        self._proven = False
        self._dimensions: dict[str, int] = {}
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
        try:
            exported = json.loads(metadata.get(METADATA_KEY, "null"))
        except (ValueError, RecursionError) as error:
            raise BundleError(path, "model.onnx", "has damaged metadata (no JSON)") from error
        # Which channel of a microphone array a machine is on, enrolment decides.
        channel = {"channel": front_end.channel}
        if not isinstance(exported, dict) or exported | channel != front_end.to_dict():
            raise BundleError(path, "model.onnx", "was exported for another front end")

    def expect(self, view: str, dimensions: int) -> None:
        """Refuse a model whose embeddings of a view have another length than the references."""
        self._dimensions[view] = dimensions
        for output in self._session.get_outputs():
            stated = output.shape[-1] if output.shape else None
            if output.name == view and isinstance(stated, int) and stated != dimensions:
                raise self._misfit(view, stated)

    def _misfit(self, view: str, got: int) -> BundleError:
        reason = f"gives {got} values as {view!r}, its references have {self._dimensions[view]}"
        return BundleError(self._path, "model.onnx", reason)

    def embed(self, mel: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Embed mel spectrograms.

        Args:
            mel: [shape=(batch, n_mels, n_frames)].

        Returns:
            view -> [shape=(batch, d)]

        Raises:
            ProviderError: the provider fails, as when its memory is full.
            BundleError: the model takes too long, or gives something else.
        """
        try:
            if self._proven:
                outputs = self._session.run(self._views, {INPUT: mel})
            else:
                outputs = self._first_run(mel)
        except BundleError:
            raise
        except Exception as error:  # onnxruntime's own classes share no public base
            others = [name for name in providers() if name != self.provider]
            raise ProviderError(self.provider, others, f"failed ({_line(error)})") from error
        return dict(zip(self._views, outputs, strict=True))

    def _first_run(self, mel: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run the model under a watchdog and look at what it gives.

        A model may take as long as it likes, and a bundle comes from elsewhere. The time does not
        depend on the sound (a bundle's model has no loops), so that one run tells for all.
        """
        options = runtime().RunOptions()
        options.log_severity_level = 4
        done = threading.Event()

        started = time.process_time()
        give_up = time.monotonic() + MAX_WAIT_SECONDS

        def watch() -> None:
            while not done.wait(MAX_SECONDS / 4):
                used = time.process_time() - started
                if used > MAX_SECONDS or time.monotonic() > give_up:
                    options.terminate = True
                    return

        watchdog = threading.Thread(target=watch, daemon=True)
        watchdog.start()
        try:
            outputs: list[Any] = self._session.run(self._views, {INPUT: mel}, options)
        except Exception as error:
            if options.terminate:
                reason = f"takes more than {MAX_SECONDS:g} s for {len(mel)} window(s)"
                raise BundleError(self._path, "model.onnx", reason) from error
            raise
        finally:
            done.set()
            watchdog.join()
        for view, x in zip(self._views, outputs, strict=True):
            if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 2:
                raise BundleError(self._path, "model.onnx", f"gives no float32 matrix as {view!r}")
            if len(x) != len(mel):
                reason = f"gives {len(x)} embeddings of {len(mel)} window(s) as {view!r}"
                raise BundleError(self._path, "model.onnx", reason)
            if x.shape[1] != self._dimensions.get(view, x.shape[1]):
                raise self._misfit(view, x.shape[1])
        self._proven = True
        return outputs


def runtime() -> Any:
    """Import onnxruntime; this is the only place of the project that does.

    onnxruntime 1.29 and later collects telemetry on Linux and sends it to its vendor, unless
    `ORT_DISABLE_TELEMETRY=1` is set before the import. Nothing may leave the device unasked, so it
    is set here; a value from outside is respected.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if "onnxruntime" not in sys.modules:
        _import_quietly()
    import onnxruntime  # here, because `--help` and argument errors do not need it

    return onnxruntime


def _import_quietly() -> None:
    """Import onnxruntime without its coloured warnings about processors and GPUs it cannot name.

    It prints them from native code while it is imported, before any setting of its logger holds.
    """
    printed: list[bytes] = []
    try:
        with native_stderr.captured() as printed:
            import onnxruntime  # noqa: F401 - for what it prints
    finally:
        libraries = (b"onnxruntime", b"cpuinfo")
        native_stderr.pass_on(x for x in printed if not any(word in x for word in libraries))


def providers() -> list[str]:
    """Short names of the providers that this onnxruntime build has, such as ["cuda", "cpu"].

    Being listed does not mean that one starts: its libraries may be missing.
    """
    return [_short(name) for name in _available()]


def _available() -> list[str]:
    # Azure sends work to a server and has no operator of its own: all would run on the CPU.
    names = runtime().get_available_providers()
    return [name for name in names if name != "AzureExecutionProvider"]


def _short(name: str) -> str:
    return name.lower().removesuffix("executionprovider")


def _open(model: bytes, provider: str, threads: int, path: str | Path) -> Any:
    """Open a session on the provider that was asked for, and on no other."""
    available = _available()
    if provider == "auto":
        if _CUDA in available:
            with contextlib.suppress(ProviderError):
                return _open(model, _CUDA, threads, path)
        provider = _CPU
    wanted = "cuda" if provider.lower() == TF32 else provider.lower()
    for name in available:
        if wanted in (name.lower(), _short(name)):
            break
    else:
        raise ProviderError(provider, map(_short, available), advice=_install(wanted))
    try:
        session = _start(model, name, threads, tf32=provider.lower() == TF32)
        if session.get_providers()[0] == name:
            return session
        # Some providers whose libraries do not load are left out in silence.
        reason = "a library that it needs does not load"
    except Exception as error:  # onnxruntime's own classes share no public base
        if name == _CPU:
            raise BundleError(path, "model.onnx", f"cannot be loaded ({_line(error)})") from error
        _open(model, _CPU, threads, path)  # is it the model? Then this says so.
        reason = _line(error)
    others = [_short(other) for other in available if other != name]
    raise ProviderError(
        provider,
        others,
        f"is in this onnxruntime build but fails ({reason})",
        advice=_LOOK if _CUDA_FAILURE.match(reason) else _install(name),
    )


def _install(provider: str) -> str | None:
    import shlex  # here, because almost no process needs it

    how = _INSTALL.get(_short(provider))
    pip = f"{shlex.quote(sys.executable or 'python3')} -m pip"  # of this environment
    return f"To install it: {how.format(pip=pip)}" if how else None


def _start(model: bytes, name: str, threads: int, *, tf32: bool = False) -> Any:
    ort = runtime()
    options = ort.SessionOptions()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its failures are raised; its chatter is not for users
    # Threads that spin between clips take a core from the rest of the device for nothing
    # (38 ms of processor time after each clip, measured; the network needs 0.4).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    provider_options: dict[str, str] = {}
    if name == "XnnpackExecutionProvider":
        # It has threads of its own; onnxruntime's documentation asks for one outside.
        provider_options["intra_op_num_threads"] = str(threads)
        threads = 1
    if name == _CUDA:
        # TF32 is this provider's default: an embedding of an H100 was 4.4e-4 off the CPU's.
        provider_options["use_tf32"] = "1" if tf32 else "0"
        _load_cuda_from_pip(ort)
    options.intra_op_num_threads = threads
    if name != _CPU:
        ort.set_default_logger_severity(4)  # loading a provider logs outside of the session
    # The CPU runs the operators that the chosen provider lacks.
    names = [(name, provider_options)] + ([] if name == _CPU else [(_CPU, {})])
    # With fallback, a failure would print on stdout and go on with the CPU.
    return ort.InferenceSession(model, options, providers=names, enable_fallback=0)


def _load_cuda_from_pip(ort: Any) -> None:
    """Load the CUDA and cuDNN libraries that pip installed, where the system has none.

    onnxruntime has this since 1.21. What does not load is reported on stdout, where results go;
    the provider that does not start for want of it is reported by `_open`.
    """
    if preload := getattr(ort, "preload_dlls", None):
        with contextlib.redirect_stdout(io.StringIO()):
            preload()


def _line(error: Exception) -> str:
    """What went wrong, on one line: of CUDA's errors, whose place in the source comes first, that
    alone.
    """
    text = " ".join(str(error).split())
    cuda = _CUDA_FAILURE.search(text)
    return cuda[0].strip() if cuda else text[:200]
