"""Pictures of single clips: the map of their embeddings, and spectrograms. See `plots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from asd_edge.explanation.spectrogram import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    ORANGE,
    VERMILLION,
    draw_spectrogram,
)
from asd_edge.frontend.windows import FrontEnd
from asd_training.evaluation.examples import EmbeddingSample
from asd_training.report.plots import new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEVELS = 24
_KINDS = {
    "training": ("training clips (normal)", GREY, "o", 7),
    "normal": ("normal", BLUE, "o", 13),
    "unknown": ("unlabelled", ORANGE, "s", 13),
    "anomaly": ("anomaly", VERMILLION, "x", 18),
}


def embedding_map(sample: EmbeddingSample) -> Figure:
    """Draw the first two principal components of a machine's embeddings, one panel a view.

    The section's number stands at the middle of its clips.
    """
    figure = new_figure(4.6 * len(sample.views), 4.2)
    shown = {}
    for i, (name, vectors) in enumerate(sample.views.items()):
        ax = figure.add_subplot(1, len(sample.views), i + 1)
        style_axes(ax)
        points, shares = principal_components(vectors)
        for kind, (label, colour, marker, size) in _KINDS.items():
            here = sample.kinds == kind
            if here.any():
                shown[label] = ax.scatter(
                    points[here, 0],
                    points[here, 1],
                    s=size,
                    c=colour,
                    marker=marker,
                    linewidths=0.9,
                    alpha=0.8,
                )
        for section in np.unique(sample.sections):
            middle = np.median(points[sample.sections == section], axis=0)
            ax.annotate(str(section), middle, color=INK, fontsize=11, weight="bold", ha="center")
        ax.set_xlabel(f"first component, {shares[0]:.0%} of the variance", fontsize=8, color=INK)
        ax.set_ylabel(f"second component, {shares[1]:.0%}", fontsize=8, color=INK)
        if len(sample.views) > 1:
            ax.set_title(name, fontsize=9, color=INK, parse_math=False)
        ax.tick_params(labelsize=7)
    figure.legend(
        list(shown.values()),
        list(shown),
        loc="outside upper center",
        ncols=4,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    return figure


def principal_components(
    vectors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates [shape=(n, 2)] and shares of the variance [shape=(2,)]; zero beyond the rank."""
    count = min(2, *vectors.shape)
    points, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    if np.ptp(vectors, axis=0).any():
        pca = PCA(count, random_state=0)
        points[:, :count] = pca.fit_transform(vectors)
        shares[:count] = pca.explained_variance_ratio_
    return points, shares


def spectrogram(mel_db: NDArray[np.float64], front_end: FrontEnd, start_seconds: float) -> Figure:
    """Draw a mel spectrogram in dB [shape=(n_mels, n_frames)] in the size that a page shows."""
    from matplotlib import colormaps

    figure = new_figure(3.4, 1.9, layout=None)
    ax = figure.add_axes((0.19, 0.19, 0.79, 0.77))
    style_axes(ax)
    low, high = np.percentile(mel_db, (5, 99.9))
    # Few levels keep the picture small: 63 of them may be in a page.
    colours = colormaps[COLOURS].resampled(_LEVELS)
    limits = (low, max(high, low + 1))
    draw_spectrogram(ax, mel_db, front_end.mel, limits, start_s=start_seconds, colours=colours)
    ax.set_xlabel("s", fontsize=7, color=INK, labelpad=1)
    ax.set_ylabel("Hz", fontsize=7, color=INK, labelpad=1)
    ax.tick_params(labelsize=7)
    return figure
