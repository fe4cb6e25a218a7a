from __future__ import annotations

import hashlib
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from click.testing import CliRunner
from scipy import signal
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from asd_edge.cli.exit_status import AsdGroup
from asd_edge.errors import AsdError, ParameterError
from asd_training.cli.data import main
from asd_training.data.clips import find_clips
from asd_training.errors import DatasetError
from asd_training.synth import MACHINES, SAMPLE_RATE
from asd_training.synth.dataset import SynthConfig, write_dataset
from asd_training.synth.models import FAULTS, MODELS, Condition
from asd_training.synth.scene import ClipSpec, draw_setting, render, section_numbers
from asd_training.synth.tones import every_turn, harmonics, noise, ring, slope

Samples = npt.NDArray[np.float64]
SMALL = SynthConfig(("fan", "valve"), sections=2, train=2, target_train=1, test=1, seconds=1)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_same_bytes_whatever_the_jobs(tmp_path: Path) -> None:
    assert write_dataset(tmp_path / "a", SMALL, jobs=1) == 28
    assert write_dataset(tmp_path / "b", SMALL, jobs=2) == 28
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert len(set(digests(tmp_path / "a").values())) == 29  # no two clips are alike


def test_more_clips_leave_the_earlier_ones(tmp_path: Path) -> None:
    small = SynthConfig(("fan",), 1, 1, 1, 1, 1.0, 7)
    large = SynthConfig(("fan", "pump"), 2, 2, 1, 2, 1.0, 7)
    write_dataset(tmp_path / "a", small, jobs=1)
    before = digests(tmp_path / "a")
    write_dataset(tmp_path / "b", large, jobs=1)
    fresh = digests(tmp_path / "b")
    assert {k: v for k, v in before.items() if k.endswith(".wav")}.items() <= fresh.items()
    # Carrying on in the first folder, with one clip lost, ends with the same files.
    lost = next((tmp_path / "a").rglob("*.wav"))
    lost.unlink()
    write_dataset(tmp_path / "a", large, jobs=1)
    assert digests(tmp_path / "a") == fresh


def test_seed_changes_every_clip(tmp_path: Path) -> None:
    spec = ClipSpec("gearbox", 0, "source", "test", "normal", 0)
    assert not np.array_equal(render(spec, 1, 0), render(spec, 1, 1))
    assert np.array_equal(render(spec, 1, 1), render(spec, 1, 1))


def test_layout_round_trip(tmp_path: Path) -> None:
    write_dataset(tmp_path, SMALL, jobs=1)
    clips = find_clips(tmp_path)
    found = {
        ClipSpec(
            c.machine, int(c.section), c.domain, c.split, c.label, int(c.name.split("_")[5][:4])
        )
        for c in clips
    }
    assert found == set(SMALL.specs())
    assert len(clips) == len(found)
    assert sorted({clip.machine for clip in find_clips(tmp_path)}) == ["fan", "valve"]
    assert all(c.attributes.startswith("vel_") == (c.split == "train") for c in clips)
    for clip in clips:
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
        assert info.frames == SAMPLE_RATE
    assert "demos and\ntests only" in (tmp_path / "README.md").read_text()


def test_refuses_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My recordings\n")
    with pytest.raises(DatasetError, match="no synthetic data set"):
        write_dataset(tmp_path, SMALL, jobs=1)
    assert digests(tmp_path).keys() == {"README.md"}
    with pytest.raises(DatasetError, match="is a file"):
        write_dataset(tmp_path / "README.md", SMALL, jobs=1)


def test_refuses_to_mix_two_seeds(tmp_path: Path) -> None:
    one = SynthConfig(("fan",), 1, 1, 0, 0, 1.0, 0)
    write_dataset(tmp_path, one, jobs=1)
    for other in (
        SynthConfig(("fan",), 1, 1, 0, 0, 1.0, 1),
        SynthConfig(("fan",), 1, 1, 0, 0, 2.0),
    ):
        with pytest.raises(DatasetError, match="seed 0, clips of 1 s"):
            write_dataset(tmp_path, other, jobs=1)


@pytest.mark.parametrize(
    "wrong",
    [{"machines": ("drill",)}, {"machines": ()}, {"seconds": 0}, {"train": 0}, {"sections": 101}],
)
def test_config_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        SynthConfig(**wrong)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_fault_is_heard_and_nothing_clips(machine: str) -> None:
    for fault in FAULTS[machine]:
        spectra = []
        for severity, name in ((0.0, ""), (1.0, fault)):
            u = section_numbers(machine, 0, 0)
            condition = Condition(u, fault=name, severity=severity)
            x = MODELS[machine](np.random.default_rng(1), 4 * SAMPLE_RATE, condition)
            assert np.isfinite(x).all()
            power = signal.welch(x / np.std(x), SAMPLE_RATE, nperseg=2048)[1]
            spectra.append(10 * np.log10(power + 1e-12))
        assert np.max(np.abs(spectra[1] - spectra[0])) > 3, fault
    for index in range(4):
        samples = render(ClipSpec(machine, 0, "source", "test", "anomaly", index), 2, 0)
        assert 50 < np.abs(samples).max() < 32767


def test_normal_and_faulty_twin_share_their_setting() -> None:
    for index in range(20):
        normal, faulty = (
            draw_setting(ClipSpec("pump", 1, "target", "test", label, index), 3)
            for label in ("normal", "anomaly")
        )
        assert (normal.fault, normal.severity) == ("", 0.0)
        assert faulty.fault in FAULTS["pump"]
        assert faulty.severity > 0
        assert normal.gain_db == faulty.gain_db
        assert normal.attributes == faulty.attributes


def test_sections_stay_apart() -> None:
    for machine in MACHINES:
        u = np.array([section_numbers(machine, section, 0) for section in range(3)])
        gaps = np.abs(u[:, None] - u[None])[np.triu_indices(3, 1)]
        assert gaps.min() > 0.23


def log_bands(x: Samples) -> Samples:
    """Time-averaged log spectrum in 64 bands of 125 Hz, [shape=(64,)]."""
    power = signal.spectrogram(x, SAMPLE_RATE, nperseg=1024, noverlap=512)[2][1:]
    return np.log10(power.reshape(64, 8, -1).mean(axis=1) + 1e-12).mean(axis=1)


@pytest.mark.parametrize("machine", ["fan", "gearbox", "slider"])
def test_faults_are_heard_but_not_louder(machine: str) -> None:
    """RMS must not tell a fault; the Mahalanobis distance to the section's normals must."""
    config = SynthConfig((machine,), sections=2, train=24, target_train=0, test=12, seconds=2)
    sounds = {spec: render(spec, config.seconds, seed=11) / 32768 for spec in config.specs()}
    test = [spec for spec in sounds if spec.split == "test"]
    level = [np.sqrt(np.mean(sounds[spec] ** 2)) for spec in test]
    assert 0.4 <= roc_auc_score([spec.label == "anomaly" for spec in test], level) <= 0.6
    aucs = []
    for section in range(config.sections):
        here = [spec for spec in sounds if (spec.section, spec.domain) == (section, "source")]
        normal = LedoitWolf().fit([log_bands(sounds[s]) for s in here if s.split == "train"])
        here = [spec for spec in here if spec.split == "test"]
        scores = normal.mahalanobis([log_bands(sounds[spec]) for spec in here])
        aucs.append(roc_auc_score([spec.label == "anomaly" for spec in here], scores))
    assert 0.7 <= np.mean(aucs) < 1


# --- building blocks against closed forms


def test_harmonics_is_the_sum_of_cosines() -> None:
    shaft = np.arange(4000) * 37.0 / SAMPLE_RATE + 0.3
    amplitudes = [1.0, 0.5, 0.0, 0.25]
    x = harmonics(np.random.default_rng(5), shaft, 3, amplitudes)
    phases = 2 * np.pi * np.random.default_rng(5).random(4)
    expected = sum(
        a * np.cos(2 * np.pi * 3 * k * shaft + p)
        for k, (a, p) in enumerate(zip(amplitudes, phases, strict=True), 1)
    )
    # float32 powers of z: a few ulp each
    np.testing.assert_allclose(x, expected, atol=1e-5)


def test_harmonics_above_the_band_are_left_out() -> None:
    shaft = np.arange(SAMPLE_RATE) * 3000.0 / SAMPLE_RATE
    power = np.abs(np.fft.rfft(harmonics(np.random.default_rng(0), shaft, 1, [1.0] * 9))) ** 2
    assert set(np.flatnonzero(power > 1e-6 * power.max())) == {3000, 6000}


def test_ring_is_a_decaying_sine() -> None:
    x = np.zeros(800)
    x[0] = 1
    t = np.arange(800) / SAMPLE_RATE
    expected = 0.7 * np.exp(-t / 0.01) * np.sin(2 * np.pi * 900 * t)
    # The filter answers one sample later: y[1] is the first that is not 0.
    np.testing.assert_allclose(ring(x, [(900, 0.01, 0.7)])[:-1], expected[1:], atol=1e-12)


def test_noise_has_its_slope() -> None:
    x = noise(np.random.default_rng(2), 30 * SAMPLE_RATE, slope(2.0))
    f, power = signal.welch(x, SAMPLE_RATE, nperseg=1024)
    use = (f > 100) & (f < 6000)
    fitted = np.polyfit(np.log(f[use]), np.log(power[use]), 1)[0]
    assert fitted == pytest.approx(-2.0, abs=0.1)
    assert np.mean(x**2) == pytest.approx(1.0)


def test_every_turn_is_periodic() -> None:
    shaft = 0.25 + np.arange(SAMPLE_RATE) * 10.0 / SAMPLE_RATE
    times = every_turn(np.random.default_rng(0), shaft, 1)
    np.testing.assert_allclose(times, 1600 * (np.arange(10) + 0.75))


# --- the command


def test_command(tmp_path: Path) -> None:
    out = tmp_path / "set"
    arguments = ["synth", str(out), "--machine", "slider", "--sections", "1", "--train", "1"]
    arguments += ["--test", "1", "--seconds", "1", "--jobs", "1"]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [f"{out}: 8 synthetic clips of 1 s (slider)"]
    assert "--machine slider --sections 1 --train 1" in (out / "README.md").read_text()


def test_command_errors(tmp_path: Path) -> None:
    (tmp_path / "mine.wav").touch()
    result = CliRunner().invoke(main, ["synth", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert CliRunner().invoke(main, ["synth", str(tmp_path), "--machine", "drill"]).exit_code == 2
    blocked = tmp_path / "mine.wav" / "set"
    result = CliRunner().invoke(main, ["synth", str(blocked), "--jobs", "1"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (AsdError("bad clip"), 1, "Error: bad clip\n"),
        (PermissionError(13, "Permission denied", "x.wav"), 1, "Error: x.wav: Permission denied\n"),
        (OSError(28, "No space left on device"), 1, "Error: No space left on device\n"),
        (KeyboardInterrupt(), 130, "Interrupted\n"),
        (click.UsageError("no"), 2, None),
    ],
)
def test_how_commands_end(error: BaseException, status: int, line: str | None) -> None:
    @click.group(cls=AsdGroup)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == status
    assert line is None or result.stderr == line


def test_defects_keep_their_traceback() -> None:
    @click.group(cls=AsdGroup)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(group, ["fail"], catch_exceptions=False)
