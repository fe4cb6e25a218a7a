"""Draw mel spectrograms: the one way, with one palette, of explanations and of reports.

viridis and the colours of Okabe and Ito are told apart by colour-blind readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.mel import MelConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
INK, GREY, PALE = "#222222", "#888888", "#DDDDDD"
COLOURS = "viridis"
_TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)


def draw_spectrogram(
    ax: Axes,
    mel_db: NDArray[Any],
    config: MelConfig,
    limits: tuple[float, float],
    *,
    start_s: float = 0.0,
    colours: Any = COLOURS,
) -> AxesImage:
    """Draw a mel spectrogram over time; the y axis counts bands, which are even in mel.

    Args:
        ax: where.
        mel_db: in dB [shape=(n_mels, n_frames)].
        config: of the front end.
        limits: lowest and highest level of the colours, in dB.
        start_s: time of the first frame, in s.
        colours: a colour map of matplotlib, or its name.
    """
    n_mels, n_frames = mel_db.shape
    step = config.hop_length / config.sr
    image = ax.imshow(
        mel_db,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(start_s - step / 2, start_s + (n_frames - 0.5) * step, 0, n_mels),
    )
    ax.set_ylim(0, n_mels)
    _mark_frequencies(ax, config)
    return image


def _mark_frequencies(ax: Axes, config: MelConfig) -> None:
    # Band i is drawn from i to i + 1 and has its centre at edge i + 1.
    edges = mel_frequencies(config)
    shown = [hz for hz in _TICKS_HZ if edges[1] <= hz <= edges[-1]]
    places = np.interp(shown, edges, np.arange(len(edges)) - 0.5)
    apart: list[tuple[float, int]] = []  # mels crowd octaves at the low end: labels would overlap
    for place, hz in zip(places.tolist(), shown, strict=True):
        if not apart or place - apart[-1][0] > 0.05 * len(edges):
            apart.append((place, hz))
    ax.set_yticks([place for place, _ in apart], [str(hz) for _, hz in apart])
