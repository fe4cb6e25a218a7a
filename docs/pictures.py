"""Draw the pictures of docs/explanation from the clips and the bundle that come with asd-edge.

python docs/pictures.py        # writes docs/pictures/*.png; `make docs-pictures` does it too
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
from matplotlib import pyplot as plt

import asd_edge
from asd_edge import Detector
from asd_edge.frontend.bands import mel_frequencies

DATA = Path(asd_edge.__file__).parent / "data"
PICTURES = Path(__file__).parent / "pictures"
NORMAL, FAULT, LINE = "#0072b2", "#d55e00", "#222222"


def clip_to_decision(detector: Detector) -> None:
    """Draw the stages of the faulty example: samples, spectrogram, embedding, score."""
    with detector.analyse(DATA / "examples" / "faulty.flac") as analysis:
        decision, mel = analysis.decision, analysis.mels[0]
        sr, samples = analysis.front_end.mel.sr, analysis.samples
        embedding = analysis.embeddings["statistics"][0]
    references = detector.scorer.views["statistics"].references
    nearest = references.embeddings[references.clips == decision.nearest][0]
    n_mels = mel.shape[0]
    hz = mel_frequencies(analysis.front_end.mel)[1:-1]
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.5), layout="constrained")
    time = np.arange(len(samples)) / sr
    axes[0, 0].plot(time, samples / 32768, color=LINE, lw=0.3)
    axes[0, 0].set(title="1  Samples: 10 s at 16 kHz", xlabel="time in s", xlim=(0, 10))
    axes[0, 1].imshow(mel, origin="lower", aspect="auto", extent=(0, 10, 0, n_mels))
    axes[0, 1].set(title="2  Mel spectrogram: 128 bands", xlabel="time in s", ylabel="band")
    for values, colour, name in (
        (nearest, NORMAL, "nearest normal clip"),
        (embedding, FAULT, "this clip"),
    ):
        axes[1, 0].semilogx(hz[3:], values[3:n_mels], color=colour, lw=1.2, label=name)
    axes[1, 0].set(
        title="3  Embedding: here its first part, the mean of each band",
        xlabel="frequency in Hz",
        ylabel="dB",
    )
    axes[1, 0].legend(frameon=False)
    normal = detector.calibration.scores[decision.section]
    axes[1, 1].hist(normal, bins=20, color=NORMAL, label="other normal clips")
    axes[1, 1].axvline(decision.threshold, color=LINE, ls="--", label="threshold: 1")
    axes[1, 1].axvline(decision.score, color=FAULT, lw=2, label=f"this clip: {decision.score:.1f}")
    axes[1, 1].set(title="4  Score: the distance, in thresholds", xlabel="score", ylabel="clips")
    axes[1, 1].legend(frameon=False)
    figure.savefig(PICTURES / "clip-to-decision.png", dpi=110)
    plt.close(figure)


def threshold(detector: Detector) -> None:
    """Draw how a threshold follows from scores of normal clips and a false-alarm rate."""
    section = "fan"
    scores = np.asarray(detector.calibration.scores[section])
    tail = detector.calibration.tail(section)
    x = np.linspace(0.4, 1.6, 400)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    density = -np.gradient(tail.probability(x), x)
    left.hist(scores, bins=20, density=True, color=NORMAL, label=f"{len(scores)} normal clips")
    left.plot(x, density, color=LINE, label="fitted: Student's t of the cube roots")
    right.semilogy(x, tail.probability(x), color=LINE, label="fitted")
    observed = 1 - (np.arange(len(scores)) + 0.5) / len(scores)
    right.semilogy(np.sort(scores), observed, ".", color=NORMAL, label="normal clips")
    for rate in (0.1, 0.01, 0.001):
        value = detector.calibration.threshold(section, rate).value
        for axis in (left, right):
            axis.axvline(value, color=FAULT, ls="--", lw=1)
        right.plot([0.4, value], [rate, rate], color=FAULT, ls=":", lw=1)
        right.annotate(f" {rate:g} -> {value:.2f}", (value, rate), color=FAULT, va="bottom")
    left.set(title="Scores of normal clips", xlabel="score", xlim=(0.4, 1.6))
    right.set(
        title="Share of normal clips that reach a score",
        xlabel="score",
        xlim=(0.4, 1.6),
        ylim=(3e-4, 1),
    )
    for axis in (left, right):
        axis.legend(frameon=False, loc="upper right")
    figure.savefig(PICTURES / "threshold.png", dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw all of them."""
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 10})
    detector = Detector.load(DATA / "default.asd")
    clip_to_decision(detector)
    threshold(detector)


if __name__ == "__main__":
    main()
