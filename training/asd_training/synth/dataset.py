"""Write the synthetic data set (layout of DCASE 2022 and later), in parallel and resumable."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge.atomic_files import atomic_path
from asd_edge.errors import ParameterError
from asd_training.errors import DatasetError
from asd_training.synth import MACHINES, SAMPLE_RATE
from asd_training.synth.scene import ClipSpec, draw_setting, render

GENERATOR = 1
"""Version of the sound: one more whenever the same seed gives other samples."""

_MARK = "Made by `asd-data synth`"


@dataclass(frozen=True)
class SynthConfig:
    """What to write: clips per section, and per domain and label for the test set.

    Raises ParameterError for a number out of its range or a machine not in MACHINES.
    """

    machines: tuple[str, ...] = MACHINES
    sections: int = 3
    train: int = 60
    target_train: int = 3
    test: int = 20
    seconds: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        for machine in self.machines:
            if machine not in MACHINES:
                raise ParameterError("machine", machine, f"one of {', '.join(MACHINES)}")
        if not self.machines:
            raise ParameterError("machines", self.machines, "at least one")
        # Names number sections by two digits, clips by four.
        for name, low, high in (
            ("sections", 1, 100),
            ("train", 1, 10000),
            ("target_train", 0, 10000),
            ("test", 0, 10000),
            ("seconds", 1, 600),
            ("seed", 0, 2**63),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ParameterError(name, value, f"{low} to {high}")

    def specs(self) -> Iterator[ClipSpec]:
        """Yield every clip of the data set, each machine at once."""
        for machine in dict.fromkeys(self.machines):
            for section in range(self.sections):
                for domain, count in (("source", self.train), ("target", self.target_train)):
                    for i in range(count):
                        yield ClipSpec(machine, section, domain, "train", "normal", i)
                for domain in ("source", "target"):
                    for label in ("normal", "anomaly"):
                        for i in range(self.test):
                            yield ClipSpec(machine, section, domain, "test", label, i)

    @property
    def command(self) -> str:
        """Give the command line that writes this data set."""
        machines = "".join(f" --machine {m}" for m in self.machines if self.machines != MACHINES)
        return (
            f"asd-data synth OUT{machines} --sections {self.sections} --train {self.train} "
            f"--target-train {self.target_train} --test {self.test} "
            f"--seconds {self.seconds:g} --seed {self.seed}"
        )


def clip_path(spec: ClipSpec, seed: int) -> Path:
    """Give the path of a clip in the data set; as in DCASE 2021, test names tell no attributes."""
    name = f"section_{spec.section:02d}_{spec.domain}_{spec.split}_{spec.label}_{spec.index:04d}"
    if spec.split == "train":
        name += f"_{draw_setting(spec, seed).attributes}"
    return Path(spec.machine, spec.split, f"{name}.wav")


def write_dataset(
    out: str | Path,
    config: SynthConfig,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the data set under `out`; give the number of its clips.

    The same config gives the same bytes whatever `jobs` is (None: one process a
    core), on one machine with one numpy; a larger one of the same seed and
    length leaves the earlier clips as they are. Clips that are there already
    are kept, so that an interrupted run goes on where it was. `progress` is
    called with the numbers of clips done and in all.

    Raises DatasetError if `out` holds anything but a synthetic set of this seed and length.
    """
    out = Path(out)
    _check_place(out, config)
    # First of all: it marks the folder as a synthetic set for a run that goes on.
    _write_readme(out, config)
    specs = list(config.specs())
    write = partial(_write_clip, out, config.seconds, config.seed)
    jobs = jobs or len(os.sched_getaffinity(0))
    if jobs == 1:
        for done, spec in enumerate(specs, 1):
            write(spec)
            if progress:
                progress(done, len(specs))
        return len(specs)
    # Spawned, not forked: a fork copies the locks of other threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_ignore_interrupt)
    with _one_interrupt():
        try:
            for done, _ in enumerate(executor.map(write, specs, chunksize=4), 1):
                if progress:
                    progress(done, len(specs))
        finally:
            executor.shutdown(cancel_futures=True)
    return len(specs)


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent, which stops the work in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C stop the block, and no second one disturb its clearing up.

    An interrupt inside the executor's shutdown would leave its processes waiting for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return

    def once(number: int, frame: FrameType | None) -> None:
        _ignore_interrupt()
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if callable(before):
        signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _write_clip(out: Path, seconds: float, seed: int, spec: ClipSpec) -> None:
    path = out / clip_path(spec, seed)
    if path.exists():
        return
    write_clip(path, render(spec, seconds, seed))


def write_clip(path: Path, samples: NDArray[np.int16]) -> None:
    """Write samples [shape=(n,)] as PCM16, in the format of the suffix (.wav, .flac)."""
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, SAMPLE_RATE, subtype="PCM_16")


def _identity(config: SynthConfig) -> str:
    return f"{_MARK}, generator {GENERATOR}, seed {config.seed}, clips of {config.seconds:g} s."


def _check_place(out: Path, config: SynthConfig) -> None:
    if out.exists() and not out.is_dir():
        raise DatasetError(out, "is a file; name a new or empty folder")
    if not out.exists() or not any(out.iterdir()):
        return
    readme = out / "README.md"
    lines = readme.read_text("utf-8", "replace").splitlines() if readme.is_file() else []
    identity = next((line for line in lines if line.startswith(_MARK)), None)
    if identity is None:
        raise DatasetError(out, "is not empty and no synthetic data set; name a new folder")
    if identity != _identity(config):
        raise DatasetError(
            out,
            f"holds another synthetic data set ({identity.removeprefix(_MARK)[2:-1]}), and two "
            "must not mix; name a new folder or remove that one",
        )


def _write_readme(out: Path, config: SynthConfig) -> None:
    text = f"""\
# Synthetic machine sounds

{_identity(config)}

These sounds were computed, not recorded: simple physical models of seven
machine types with noise from a model of a factory. **They are for demos and
tests only.** A score on them says that a program works, not how well it
detects faults of real machines; do not report it as a result.

    {config.command}

writes the same files again. The layout and the names are those of DCASE Task 2
since 2022: `<machine>/{{train,test}}/section_NN_{{source|target}}_{{train|test}}_
{{normal|anomaly}}_NNNN[_attributes].wav`, {SAMPLE_RATE} Hz, mono, PCM16. Sections are
machines of one type that differ in build and speed; the target domain has other
speeds, more load and another hall. `vel_NN` is the speed in per cent of nominal,
`hall_X` the factory noise. Healthy and faulty machines are equally loud, and the normal and
the anomalous test clip of one number differ in the fault alone (and in the noise's samples).
"""
    with atomic_path(out / "README.md") as temporary:
        temporary.write_text(text, "utf-8")
