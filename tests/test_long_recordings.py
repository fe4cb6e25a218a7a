"""A day of 48 kHz stereo is scored and enrolled in less than 200 MB.

    ASD_EDGE_DAY=24 pytest tests/test_long_recordings.py        or: make test-day

The variable is the length in hours; without it the test is skipped. The file takes 0.7 GB an hour.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.bundle.locate import EXAMPLES

HOURS = float(os.environ.get("ASD_EDGE_DAY", "0"))
MEGABYTES = 200
# The peak of the process itself, which prints it behind its own lines.
CODE = """
import resource, sys
try:
    from asd_edge.cli.startup import main
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of a normal fan, over and over from another place, with other noise."""
    y, sr = soundfile.read(EXAMPLES / "normal.flac")
    y = np.interp(np.arange(0, len(y), sr / 48000), np.arange(len(y)), y)
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("day") / "day.w64"
    with soundfile.SoundFile(path, "w", 48000, 2, subtype="PCM_16") as file:
        for _ in range(round(HOURS * 3600 * 48000 / len(y))):
            left = np.roll(y, rng.integers(len(y)))
            file.write(np.c_[left, 0.8 * left] + rng.normal(0, 1e-3, (len(y), 2)))
    return path


@pytest.mark.skipif(not HOURS, reason="writes 17 GB: ASD_EDGE_DAY=24, or make test-day")
def test_memory_of_a_day(day: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.asd"
    for arguments in (("enroll", day, "-o", bundle), ("score", day, "--bundle", bundle)):
        done = subprocess.run(
            [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        megabytes = int(done.stderr.split()[-1])
        print(arguments[0], megabytes, "MB", done.stderr)
        assert megabytes < MEGABYTES, arguments[0]
