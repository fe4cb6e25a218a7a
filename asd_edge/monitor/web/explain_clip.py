"""The process that explains one clip: `python -m asd_edge.monitor.web.explain_clip REQUEST`.

REQUEST is a JSON object, see `Explanations`. The window that the alarm was about is
cut out of the clip, scored and explained as `asd-edge explain` does it.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asd_edge.atomic_files import atomic_path
from asd_edge.bundle.format import read_bundle
from asd_edge.detector import Detector
from asd_edge.explanation.explanation import Explanation, explain
from asd_edge.frontend.bands import mel_frequencies, to_db

# As the live spectrogram: 256 shades over this range below the loudest value.
_RANGE_DB = 80.0


def picture(why: Explanation) -> dict[str, Any]:
    """Give what the page draws.

    Returns:
        `sentence`; `seconds`; `mel`: one byte a band, lowest first, column after column, base64;
        `edges_hz` [n_mels + 1]; `bands` [n_mels]: share of the score, 0 to 1; `time`: the
        stretch that stands out, or None.
    """
    values = to_db(why.mel, why.mel_config)
    shades = np.clip((values - values.max()) / _RANGE_DB + 1.0, 0.0, 1.0) * 255.0
    edges = np.asarray(mel_frequencies(why.mel_config))
    bands = np.sum(list(why.bands.values()), axis=0)
    return {
        "sentence": why.sentence,
        "seconds": why.seconds,
        "n_mels": values.shape[0],
        "n_frames": values.shape[1],
        "mel": base64.b64encode(np.rint(shades.T).astype(np.uint8).tobytes()).decode(),
        "edges_hz": [round(float(x), 1) for x in (edges[:-1] + edges[1:]) / 2],
        "bands": [round(float(x), 5) for x in bands / max(float(bands.sum()), 1e-12)],
        "time": why.time and {"start_s": why.time.low, "end_s": why.time.high},
    }


def main(request: dict[str, Any]) -> None:
    """Explain a clip and write the result."""
    os.nice(10)
    contents = read_bundle(request["bundle"])
    detector = Detector.from_bundle(contents, path=request["bundle"])
    samples, rate = soundfile.read(
        request["clip"], request["samples"], request["first"], dtype="int16"
    )
    with tempfile.TemporaryDirectory() as folder:
        window = Path(folder) / "window.wav"
        soundfile.write(window, samples, rate, subtype="PCM_16")
        why = explain(
            detector,
            contents.golden,
            window,
            section=request["section"],
            channel=request["channel"],
        )
    with atomic_path(request["output"]) as path:
        path.write_text(json.dumps(picture(why)), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
