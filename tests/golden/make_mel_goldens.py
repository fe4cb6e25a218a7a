"""Write mel.npz: mel spectrograms by librosa in float64, for tests without librosa.

    python tests/golden/make_mel_goldens.py

The clip is synthetic and seeded: a chirp, noise 60 dB below it, a click, a stretch of
silence. Results are stored as float32 (relative rounding 6e-8).
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import librosa
import numpy as np

SR = 16000
CASES: list[dict[str, Any]] = [
    {"n_fft": 1024, "hop_length": 512, "n_mels": 128},
    {"n_fft": 1024, "hop_length": 512, "n_mels": 64, "log": "db", "pad_mode": "reflect"},
    {"n_fft": 2048, "hop_length": 512, "n_mels": 128, "power": 1},
    {"n_fft": 2048, "hop_length": 700, "n_mels": 40, "power": 1, "log": "db", "center": False},
    {"n_fft": 400, "hop_length": 160, "n_mels": 40, "fmin": 20.0, "fmax": 7600.0},
    {"n_fft": 882, "hop_length": 441, "n_mels": 32, "center": False},
    {"n_fft": 1022, "hop_length": 300, "n_mels": 32, "pad_mode": "reflect"},
    {"n_fft": 64, "hop_length": 100, "n_mels": 16},
]


def synthetic_clip() -> np.ndarray:
    """Half a second at SR, float32 [shape=(8000,)]."""
    rng = np.random.default_rng(20210302)
    t = np.arange(SR // 2) / SR
    y = 0.8 * np.sin(2 * np.pi * (200 * t + 6000 * t**2))
    y += 8e-4 * rng.standard_normal(t.size)
    y[3000] += 0.9
    y[5000:7200] = 0
    return y.astype(np.float32)


def reference(y: np.ndarray, case: dict[str, Any]) -> np.ndarray:
    """Compute by librosa, in float64 from end to end."""
    options = {"power": 2, **case}
    log = options.pop("log", "none")
    mel: np.ndarray = librosa.feature.melspectrogram(
        y=y.astype(np.float64), sr=SR, dtype=np.float64, window="hann", **options
    )
    if log == "none":
        return mel
    if options["power"] == 1:
        mel = librosa.amplitude_to_db(mel, ref=1.0, amin=1e-5, top_db=None)
    else:
        mel = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)
    return mel


def main() -> None:
    """Write the file beside this script."""
    y = synthetic_clip()
    arrays: dict[str, Any] = {"y": y, "librosa": np.array(version("librosa"))}
    for i, case in enumerate(CASES):
        arrays[f"config_{i}"] = np.array(json.dumps({"sr": SR, **case}))
        arrays[f"mel_{i}"] = reference(y, case).astype(np.float32)
    np.savez_compressed(Path(__file__).parent / "mel.npz", **arrays)


if __name__ == "__main__":
    main()
