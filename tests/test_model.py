"""The provider that was asked for runs the network, or an error says what is there."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from helpers import invoke

from asd_edge import Detector, model, verify
from asd_edge.bundle.format import Bundle, read_bundle
from asd_edge.cli.main import main
from asd_edge.errors import BundleError, ParameterError, ProviderError
from asd_edge.model import EmbeddingModel

CPU, CUDA, XNNPACK = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Xnnpack"))


class Session:
    """An onnxruntime with more providers than this one: what it was asked for, and its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, listed: list[str]) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fails: dict[str, Exception] = {}
        self.left_out: set[str] = set()
        real = ort.InferenceSession
        monkeypatch.setattr(ort, "get_available_providers", lambda: listed)
        monkeypatch.setattr(ort, "set_default_logger_severity", lambda level: None)

        def start(content: bytes, options: Any, *, providers: Any, enable_fallback: int) -> Any:
            names = [name for name, _ in providers]
            self.calls.append({"names": names, "own": providers[0][1], "options": options})
            assert enable_fallback == 0
            if names[0] in self.fails:
                raise self.fails[names[0]]
            session = real(content, options, providers=[CPU])
            if names[0] not in self.left_out:
                monkeypatch.setattr(session, "get_providers", lambda: names)
            return session

        monkeypatch.setattr(ort, "InferenceSession", start)


@pytest.fixture
def contents(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


def test_the_cpu_by_either_name(contents: Bundle) -> None:
    for name in ("cpu", "CPU", "CPUExecutionProvider", "auto"):
        network = EmbeddingModel(contents.model, contents.front_end, contents.views, name)
        assert network.provider == "cpu"


def test_one_that_is_missing(contents: Bundle) -> None:
    with pytest.raises(ProviderError, match=r"'xnnpack' is not in this .* build; it has: .*cpu"):
        EmbeddingModel(contents.model, contents.front_end, contents.views, "xnnpack")


def test_azure_is_none(monkeypatch: pytest.MonkeyPatch, contents: Bundle) -> None:
    """It would run everything on the CPU."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["AzureExecutionProvider", CPU])
    assert model.providers() == ["cpu"]
    with pytest.raises(ProviderError, match=r"it has: cpu$"):
        EmbeddingModel(contents.model, contents.front_end, contents.views, "azure")


def test_cuda_where_it_starts(monkeypatch: pytest.MonkeyPatch, contents: Bundle) -> None:
    session = Session(monkeypatch, [CUDA, CPU])
    for name in ("cuda", "auto"):
        assert (
            EmbeddingModel(contents.model, contents.front_end, contents.views, name).provider
            == "cuda"
        )
    assert [call["names"] for call in session.calls] == [[CUDA, CPU], [CUDA, CPU]]


def test_cuda_rounds_to_tf32_only_where_asked(
    monkeypatch: pytest.MonkeyPatch, contents: Bundle
) -> None:
    session = Session(monkeypatch, [CUDA, CPU])
    for name, used in (("cuda", "0"), ("auto", "0"), ("cuda-tf32", "1"), ("CUDA-TF32", "1")):
        network = EmbeddingModel(contents.model, contents.front_end, contents.views, name)
        assert session.calls[-1]["own"] == {"use_tf32": used}
        assert network.provider == ("cuda-tf32" if used == "1" else "cuda")
        assert verify.tolerance(network.provider) == (2e-3 if used == "1" else 1e-4)
    assert verify.tolerance("cpu") == 1e-4


def test_tf32_passes_verify_with_its_own_tolerance(tiny_bundle: Path) -> None:
    contents = read_bundle(tiny_bundle)
    detector = Detector.from_bundle(contents)
    network = detector.model
    assert isinstance(network, EmbeddingModel)
    honest = network.embed
    network.embed = lambda mel: {k: x * np.float32(1.0005) for k, x in honest(mel).items()}
    for name, passed in (("cuda", False), ("cuda-tf32", True)):
        network.provider = name
        checks = {check.stage: check for check in verify.verify(detector, contents.golden)}
        assert checks["embedding"].passed is passed
        assert checks["mel"].tolerance == 1e-4


def test_cuda_libraries_from_pip_are_loaded_quietly(
    monkeypatch: pytest.MonkeyPatch, contents: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    Session(monkeypatch, [CUDA, XNNPACK, CPU])
    loaded: list[str] = []

    def preload_dlls() -> None:
        print("Failed to load libcudnn.so.9")  # as onnxruntime does
        loaded.append("yes")

    monkeypatch.setattr(ort, "preload_dlls", preload_dlls, raising=False)
    EmbeddingModel(contents.model, contents.front_end, contents.views, "cpu")
    EmbeddingModel(contents.model, contents.front_end, contents.views, "xnnpack")
    assert loaded == []
    EmbeddingModel(contents.model, contents.front_end, contents.views, "cuda")
    assert loaded == ["yes"]
    monkeypatch.delattr(ort, "preload_dlls")  # onnxruntime before 1.21
    EmbeddingModel(contents.model, contents.front_end, contents.views, "cuda")
    assert capsys.readouterr().out == ""


def test_cuda_says_what_to_install(monkeypatch: pytest.MonkeyPatch, contents: Bundle) -> None:
    install = r"To install it: .*'onnxruntime-gpu\[cuda,cudnn\]'"
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])
    for name in ("cuda", "cuda-tf32", "CUDAExecutionProvider"):
        with pytest.raises(ProviderError, match=install):
            EmbeddingModel(contents.model, contents.front_end, contents.views, name)
    session = Session(monkeypatch, [CUDA, CPU])
    session.left_out = {CUDA}
    with pytest.raises(ProviderError, match=install):
        EmbeddingModel(contents.model, contents.front_end, contents.views, "cuda")


def test_cuda_left_out_in_silence(monkeypatch: pytest.MonkeyPatch, contents: Bundle) -> None:
    session = Session(monkeypatch, [CUDA, CPU])
    session.left_out = {CUDA}
    with pytest.raises(ProviderError, match=r"'cuda' .* fails .*library.*; it has: cpu\."):
        EmbeddingModel(contents.model, contents.front_end, contents.views, "cuda")
    assert (
        EmbeddingModel(contents.model, contents.front_end, contents.views, "auto").provider == "cpu"
    )


def test_cuda_that_raises(monkeypatch: pytest.MonkeyPatch, contents: Bundle) -> None:
    session = Session(monkeypatch, [CUDA, CPU])
    # As onnxruntime 1.31 words it: the place in its source is longer than what happened.
    place = "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 " + "void f() " * 30
    session.fails = {CUDA: RuntimeError(f"{place}CUDA failure 100:\n no device ; GPU=0 ; host=pi")}
    with pytest.raises(
        ProviderError, match=r"fails \(CUDA failure 100: no device\); it has: cpu. Look with nvidia"
    ):
        EmbeddingModel(contents.model, contents.front_end, contents.views, "cuda")
    assert (
        EmbeddingModel(contents.model, contents.front_end, contents.views, "auto").provider == "cpu"
    )


def test_a_damaged_model_is_not_the_provider_s_fault(
    monkeypatch: pytest.MonkeyPatch, contents: Bundle
) -> None:
    Session(monkeypatch, [CUDA, CPU])
    for name in ("cuda", "auto", "cpu"):
        with pytest.raises(BundleError, match=r"model.onnx cannot be loaded"):
            EmbeddingModel(b"no model", contents.front_end, contents.views, name)


def test_a_provider_that_fails_while_it_runs(contents: Bundle) -> None:
    network = EmbeddingModel(contents.model, contents.front_end, contents.views)
    with pytest.raises(ProviderError, match="provider 'cpu' failed"):
        network.embed(np.zeros((1, 2, 3), np.float32))


@pytest.mark.parametrize("threads", [0, -1, 1.5, 10**9])
def test_a_number_of_threads(contents: Bundle, threads: int) -> None:
    with pytest.raises(ParameterError, match="expected a whole number from 1 to 1024"):
        EmbeddingModel(contents.model, contents.front_end, contents.views, threads=threads)


def test_threads_and_spinning(monkeypatch: pytest.MonkeyPatch, contents: Bundle) -> None:
    session = Session(monkeypatch, [XNNPACK, CPU])
    EmbeddingModel(contents.model, contents.front_end, contents.views, "cpu", threads=2)
    network = EmbeddingModel(
        contents.model, contents.front_end, contents.views, "xnnpack", threads=3
    )
    assert (network.provider, network.threads) == ("xnnpack", 3)
    cpu, xnnpack = session.calls
    assert cpu["options"].intra_op_num_threads == 2
    assert cpu["own"] == {}
    # XNNPACK has its own threads; onnxruntime's beside them would only be in the way.
    assert xnnpack["options"].intra_op_num_threads == 1
    assert xnnpack["own"] == {"intra_op_num_threads": "3"}
    for call in session.calls:
        key = "session.intra_op.allow_spinning"
        assert call["options"].get_session_config_entry(key) == "0"
    with pytest.raises(ParameterError):
        EmbeddingModel(contents.model, contents.front_end, contents.views, threads=0)


def test_auto_says_what_it_took(tiny_bundle: Path, tiny_data: Path) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    score = ["score", clip, "--bundle", tiny_bundle, "--json"]
    assert invoke(main, *score, "--provider", "auto").stderr == "Provider: cpu\n"
    assert invoke(main, *score).stderr == ""
    assert invoke(main, "verify", tiny_bundle, "--provider", "auto").stderr == "Provider: cpu\n"
    info = json.loads(invoke(main, "info", tiny_bundle, "--provider", "auto", "--json").stdout)
    assert info["provider"] == "cpu"
    assert "cpu" in info["providers"]
    text = invoke(main, "info", tiny_bundle).stdout
    assert "providers         " + ", ".join(info["providers"]) in text


def test_a_device_that_is_busy_with_other_things_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, contents: Bundle
) -> None:
    """The bound of the first run is of processor time; a loaded device needs longer."""

    class Late:
        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, *arguments: Any) -> Any:
            time.sleep(0.5)
            return self._session.run(*arguments)

    monkeypatch.setattr(model, "MAX_SECONDS", 0.2)
    mel = np.zeros((1, *contents.front_end.shape), np.float32)
    for wait, fine in ((60.0, True), (0.3, False)):
        monkeypatch.setattr(model, "MAX_WAIT_SECONDS", wait)
        network = EmbeddingModel(contents.model, contents.front_end, contents.views)
        network._session = Late(network._session)
        if fine:
            assert len(network.embed(mel)) == len(contents.views)
        else:
            with pytest.raises(BundleError, match="takes more than"):
                network.embed(mel)
