"""asd-edge bench and what it asks the device; nothing here looks at how long anything takes."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import invoke

from asd_edge.analysis import Analysis
from asd_edge.bench import hardware as device_info
from asd_edge.bench import stages as bench
from asd_edge.bench.hardware import State
from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main
from asd_edge.detector import Detector

STAGES = ["read", "mel", "model", "scoring", "whole"]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_bench_prints_every_stage_as_json_lines(tiny_bundle: Path) -> None:
    result = invoke(main, "bench", tiny_bundle, "--json", "--repeat", 3)
    *stages, rest = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["stage"] for row in stages] == STAGES
    for row in stages:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
    whole = stages[-1]["p50_ms"] / 1e3
    assert rest["clips_per_second"] == pytest.approx(1 / whole)
    assert rest["real_time_factor"] == pytest.approx(whole / rest["clip_seconds"])
    assert rest["clip_seconds"] == 10
    assert (rest["clip"], rest["provider"], rest["threads"]) == ("golden", "cpu", 1)
    assert rest["cold_start_ms"] > 0
    assert 20 < rest["peak_memory_MB"] < 500


def test_bench_prints_a_table(tiny_bundle: Path, tiny_data: Path) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    result = invoke(main, "bench", tiny_bundle, clip, "--repeat", 2, "--threads", 2)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == STAGES
    assert len({len(line) for line in lines[:6]}) == 1
    assert "cpu, 2 thread(s), onnxruntime" in result.stdout
    assert str(clip) in result.stdout


def test_bench_names_a_clip_that_is_not_there(tiny_bundle: Path) -> None:
    result = invoke(main, "bench", tiny_bundle, "none.wav", status=1)
    assert result.stderr == "Error: none.wav: no such file\n"


def test_the_golden_clip_is_the_bundle_s(tiny_bundle: Path) -> None:
    golden = read_bundle(tiny_bundle).golden
    with bench.golden_clip(golden, 8000) as path:
        y, sr = soundfile.read(path, dtype="int16")
    assert (sr, len(y)) == (8000, 80000)
    np.testing.assert_array_equal(y[: len(golden.samples)], golden.samples)
    assert not path.exists()


def test_the_stages_together_decide_as_the_detector(
    tiny_bundle: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the times would be those of something else."""
    detector = Detector.load(tiny_bundle)
    analyses = []
    inner = detector.analyse

    def analyse(*arguments: Any, **options: Any) -> Analysis:
        analyses.append(inner(*arguments, **options))
        return analyses[-1]

    monkeypatch.setattr(detector, "analyse", analyse)
    for clip in sorted((tiny_data / "hummer" / "test").glob("*.wav"))[:3]:
        bench.measure(detector, clip, repeat=1)
    assert len(analyses) == 3 * 2 * (5 + 1)
    for stages, whole in zip(analyses[::2], analyses[1::2], strict=True):
        assert stages.__dict__.keys() == whole.__dict__.keys(), "other stages were computed"
        assert stages.decision == whole.decision


def test_the_peak_is_the_child_s_own() -> None:
    """A child begins with the peak of the process that forked it: ours holds a lot here."""
    held = np.ones(300_000_000, dtype=np.uint8)
    _, peak = bench.watch([sys.executable, "-S", "-c", "x = bytearray(50_000_000)"])
    assert 50e6 < peak < 100e6
    assert held[0] == 1


def test_a_child_that_fails_is_an_error() -> None:
    program = "import sys; sys.exit('no such thing')"
    with pytest.raises(bench.ChildError, match="no such thing"):
        bench.watch([sys.executable, "-c", program])


def pi(root: Path, millidegrees: int, khz: int, cooling: int) -> None:
    """The files of a Raspberry Pi 4, as far as they are read."""
    write(root / "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    write(root / "proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 108.00\n")
    thermal = root / "sys/class/thermal"
    write(thermal / "thermal_zone0/type", "cpu-thermal\n")
    write(thermal / "thermal_zone0/temp", f"{millidegrees}\n")
    write(thermal / "thermal_zone1/type", "battery\n")
    write(thermal / "thermal_zone1/temp", "99000\n")
    write(thermal / "cooling_device0/type", "cpufreq-cpu0\n")
    write(thermal / "cooling_device0/cur_state", f"{cooling}\n")
    for core in range(4):
        frequencies = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        write(frequencies / "scaling_cur_freq", f"{khz + core}\n")
        write(frequencies / "cpuinfo_max_freq", "1800000\n")


def test_a_board_that_tells(tmp_path: Path) -> None:
    pi(tmp_path, 61342, 600000, cooling=1)
    assert device_info.cpu_model(tmp_path) == "Raspberry Pi 4 Model B Rev 1.4"
    assert dataclasses.replace(device_info.state(tmp_path), firmware=None) == State(
        temperature_c=61.342, mhz=600.0, max_mhz=1800.0, held_down=True
    )


def test_an_x86_that_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "model name\t: A B 3\nmodel name\t: A B 3\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "4\n")
    write(tmp_path / "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "3\n")
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "acpitz\n")  # temp cannot be read
    assert device_info.cpu_model(tmp_path) == "A B 3"
    state = device_info.state(tmp_path)
    assert (state.throttled_count, state.temperature_c, state.held_down) == (7, None, None)


def test_a_board_that_tells_nothing(tmp_path: Path) -> None:
    assert dataclasses.replace(device_info.state(tmp_path), firmware=None) == State()
    assert device_info.cpu_model(tmp_path)


@pytest.mark.parametrize(
    ("answer", "bits"),
    [("throttled=0x50000", 0x50000), ("throttled=0x0", 0), ("VCHI initialization failed", None)],
)
def test_the_firmware_of_a_raspberry_pi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, bits: int | None
) -> None:
    program = tmp_path / "vcgencmd"
    write(program, f'#!/bin/sh\n[ "$1" = get_throttled ] && echo "{answer}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert device_info.state(tmp_path).firmware == bits


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (State(), State(), []),
        (State(firmware=0), State(firmware=0), []),
        # Bits 16 and up have been set since the start: only news count.
        (State(firmware=0x50000), State(firmware=0x50000), []),
        (State(firmware=0x50000), State(firmware=0xD0000), ["soft temperature limit"]),
        (State(firmware=0), State(firmware=0x40004), ["throttled"]),
        (State(firmware=0x10001), State(firmware=0x10000), ["under-voltage"]),
        (State(throttled_count=7), State(throttled_count=7), []),
        (
            State(throttled_count=7),
            State(throttled_count=9),
            ["cores throttled for heat 2 times"],
        ),
        (State(held_down=False), State(held_down=True), ["frequency held down by the kernel"]),
    ],
)
def test_throttling(before: State, after: State, expected: list[str]) -> None:
    assert device_info.throttling(before, after) == expected


def test_bench_warns_when_the_processor_was_slowed(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([State(firmware=0), State(temperature_c=85.0, firmware=0x40004)])
    monkeypatch.setattr(device_info, "state", lambda: next(states))
    result = invoke(main, "bench", tiny_bundle, "--repeat", 1)
    assert "Warning: the processor was slowed (throttled)" in result.stderr
    assert "throttling        throttled" in result.stdout
