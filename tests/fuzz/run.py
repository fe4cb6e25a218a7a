"""Fuzzing that lasts: `python tests/fuzz/run.py sound --minutes 60`, or `make fuzz` for all kinds.

Every input has bounds: 5 s of processor time, a minute on the clock (other processes may be busy),
and 300 MB for the process. What breaks one, or raises anything but the
project's own errors, is written to --found; put it into tests/fuzz/corpus when it is mended.
With atheris installed, `--guided` lets coverage choose the inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import logging
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from fuzz import mutate, targets

SECONDS = 5
WAITING = 60
MEGABYTES = 300
HERE = Path(__file__).parent


class TooSlow(BaseException):
    """Raised by the alarm: not an Exception, so that nothing takes it for an error of its own."""


def on_alarm(number: int, frame: FrameType | None) -> None:
    seconds = f"{SECONDS} s" if number == signal.SIGPROF else f"{WAITING} s on the clock"
    raise TooSlow(f"longer than {seconds}")


def resident_mb() -> float:
    """Memory of this process now: pages of /proc/self/statm."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def peak_mb() -> float:
    """Highest memory since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1e3
    return 0.0


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def seeds(target: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted((HERE / "corpus" / target).glob("*"))]
    if target in ("sound", "stream"):
        found += mutate.seeds_of_sound()
    elif target == "bundle":
        folders = [*(HERE.parent / "bundle" / "schemas").glob("*.asd")]
        found += [targets.packed(path) for path in sorted(folders)]
        found.append(mutate.seed_of_an_enrolment(folders[0]))
    elif target == "name":
        found += [b"section_00_source_train_normal_0000_rpm_1.wav", b"normal_id_00_00000000.wav"]
    elif target == "arguments":
        found += [b"score\0x.wav\0--json", b"info\0x.asd", b"enroll\0x\0-o\0y.asd\0--channel\0mean"]
    elif target == "score_csv":
        found += [b"section_00_source_test_normal_0000.wav,1.5\nsection_00_a.wav,2\n"]
    elif target == "feature_table":
        found.append(mutate.seed_of_a_table())
    return found or [b""]


def try_one(target: str, data: bytes) -> str:
    """Run one input; give "" or what is wrong with it."""
    forget_peak()
    before = resident_mb()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITING)
    try:
        targets.TARGETS[target](data)
    except TooSlow as error:
        return f"slow: {error}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"[
            :200
        ]
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    peak = peak_mb()
    if peak > MEGABYTES and peak - before > 100:
        return f"memory: {peak:.0f} MB"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(targets.TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--inputs", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path, default=HERE / "found")
    parser.add_argument("--guided", action="store_true", help="let atheris choose the inputs")
    arguments = parser.parse_args()
    faulthandler.enable()
    logging.disable()
    warnings.simplefilter("error", RuntimeWarning)
    targets.SCRATCH.mkdir(exist_ok=True)
    if arguments.guided:
        return guided(arguments)
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGPROF, on_alarm)
    rng = np.random.default_rng(arguments.seed)
    pool = seeds(arguments.target)
    found: Counter[str] = Counter()
    end, count, slowest = time.monotonic() + 60 * arguments.minutes, 0, 0.0
    try:
        while time.monotonic() < end and count < arguments.inputs:
            seed = pool[int(rng.integers(len(pool)))]
            if arguments.target == "bundle":
                data = mutate.mutated_bundle(seed, rng)
            else:
                data = mutate.mutated(seed, rng, pool)
            (targets.SCRATCH / "last").write_bytes(data)  # of a crash that nothing can catch
            begin = time.process_time()
            wrong = try_one(arguments.target, data)
            slowest = max(slowest, time.process_time() - begin)
            count += 1
            if wrong:
                kind = wrong.split(": ")[0]
                found[kind] += 1
                if found[kind] <= 3:
                    keep(arguments.found / arguments.target, data, wrong)
    finally:
        shutil.rmtree(targets.SCRATCH, ignore_errors=True)
    print(f"{arguments.target}: {count} inputs, slowest {slowest:.2f} s, findings: {dict(found)}")
    return 1 if found else 0


def keep(folder: Path, data: bytes, wrong: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    print(f"{path}: {wrong}", flush=True)


def guided(arguments: argparse.Namespace) -> int:
    """Hand over to atheris, which ends the process itself."""
    import atheris

    corpus = targets.SCRATCH / "corpus"
    corpus.mkdir()
    for i, data in enumerate(seeds(arguments.target)):
        (corpus / str(i)).write_bytes(data)
    arguments.found.mkdir(parents=True, exist_ok=True)
    target = targets.TARGETS[arguments.target]
    atheris.instrument_all()
    options = [f"-max_total_time={60 * arguments.minutes:.0f}", f"-timeout={SECONDS}"]
    options += [f"-rss_limit_mb={4 * MEGABYTES}", "-max_len=200000"]  # atheris' own memory counts
    options += [f"-artifact_prefix={arguments.found}/{arguments.target}-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
