"""The picture of an explanation: spectrogram, bands, times, nearest normal clip.

The one module of the runtime that needs matplotlib (the extra `plot`), and only when
something is drawn. `spectrogram` has the palette.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic_files import atomic_path
from asd_edge.errors import OptionalDependencyError
from asd_edge.explanation.attribution import LEARNED, STATISTICS
from asd_edge.explanation.explanation import Explanation
from asd_edge.explanation.spectrogram import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    INK,
    ORANGE,
    VERMILLION,
    draw_spectrogram,
)
from asd_edge.frontend.bands import mel_frequencies, to_db

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
DPI = 120
_VIEWS = {
    STATISTICS: (VERMILLION, ""),
    LEARNED: (BLUE, "////"),
    "bands": (GREEN, ""),
    "band_changes": (ORANGE, "////"),
}
# Below the loudest value; recordings of machines hold little below that.
_RANGE_DB = 70.0


def check() -> None:
    """Raise OptionalDependencyError where matplotlib is missing."""
    _figure(1, 1)


def draw(why: Explanation, path: str | Path) -> None:
    """Draw an explanation.

    Args:
        why: the explanation.
        path: a file in one of FORMATS, replaced whole.

    Raises:
        OptionalDependencyError: matplotlib is not installed.
    """
    path = Path(path)
    both = why.normal.mel is not None
    figure = _figure(10, 9.2 if both else 6.8)
    grid = figure.add_gridspec(3 if both else 2, 2, width_ratios=(3.4, 1))
    name = _shown(why.decision.clip)
    # A number and its unit stay on one line.
    sentence = re.sub(r"(?<=\d) (?=k?Hz|dB|s\b)", "\N{NO-BREAK SPACE}", why.sentence)
    figure.suptitle(
        f"{name}\n" + "\n".join(textwrap.wrap(sentence, 125, break_on_hyphens=False)),
        fontsize=10.5,
        color=INK,
        parse_math=False,
    )

    clip = figure.add_subplot(grid[0, 0])
    values = to_db(why.mel, why.mel_config)
    top = values.max() if why.normal.mel is None else _loudest(why)
    limits = (max(top - _RANGE_DB, values.min()), top)
    image = _spectrogram(clip, why, values, limits, COLOURS)
    clip.set_title("the clip", fontsize=10, color=INK)
    figure.colorbar(image, ax=clip, label="level in dB", pad=0.01)
    bars = figure.add_subplot(grid[0, 1], sharey=clip)
    _draw_bands(bars, why)

    where = figure.add_subplot(grid[1, 0], sharex=clip, sharey=clip)
    _spectrogram(where, why, values, limits, "gray_r")
    overlay = _draw_drops(where, why)
    figure.colorbar(overlay, ax=where, label="fall of the score", pad=0.01)
    spectra = figure.add_subplot(grid[1, 1], sharey=clip)
    _draw_spectra(spectra, why, values)

    if both:
        normal = figure.add_subplot(grid[2, 0], sharey=clip)
        assert why.normal.mel is not None
        other = _spectrogram(
            normal, why, to_db(why.normal.mel, why.mel_config), limits, COLOURS, own=False
        )
        title = f"nearest normal clip: {_shown(why.normal.clip)}"
        normal.set_title(title, fontsize=10, parse_math=False)
        figure.colorbar(other, ax=normal, label="level in dB", pad=0.01)
        normal.set_xlabel("time in s")
    else:
        where.set_xlabel("time in s")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def _shown(clip: str) -> str:
    """Name of a file as a picture can hold it: no controls, and no bytes that are no text."""
    return "".join(c if c.isprintable() else "?" for c in Path(clip).name)


def _loudest(why: Explanation) -> float:
    assert why.normal.mel is not None
    return float(max(to_db(x, why.mel_config).max() for x in (why.mel, why.normal.mel)))


def _spectrogram(
    ax: Axes,
    why: Explanation,
    values: NDArray[Any],
    limits: tuple[float, float],
    colours: str,
    own: bool = True,
) -> Any:
    """Draw the clip's spectrogram, or another one."""
    step = why.mel_config.hop_length / why.mel_config.sr
    # What is behind the clip's own length repeats it.
    frames = min(values.shape[1], int(why.seconds / step) + 1) if own else values.shape[1]
    start = why.start if own else 0.0
    image = draw_spectrogram(
        ax, values[:, :frames], why.mel_config, limits, start_s=start, colours=colours
    )
    ax.set_ylabel("frequency in Hz")
    ax.set_xlim(start, start + (why.seconds if own else frames * step))
    return image


def _draw_bands(ax: Axes, why: Explanation) -> None:
    left = np.zeros(len(why.mel))
    for name, values in why.bands.items():
        colour, hatch = _VIEWS.get(name, (GREY, ""))
        ax.barh(
            np.arange(len(left)) + 0.5,
            values,
            1.0,
            left=left,
            hatch=hatch,
            label=f"{name}, {why.views[name]:.3g} in all",
            facecolor=(colour, 0.85),
            edgecolor="white",
            linewidth=0.0,
        )
        left = left + values
    _mark(ax, why)
    ax.set_title("what each band gives", fontsize=10, color=INK)
    ax.set_xlabel(f"part of the score, {why.score:.3g}")
    ax.set_xlim(0, 1.05 * max(float(left.max()), 1e-12))
    _legend(ax)
    ax.tick_params(labelleft=False)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_drops(ax: Axes, why: Explanation) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    red, green, blue = (int(VERMILLION[i : i + 2], 16) / 255 for i in (1, 3, 5))
    colours = LinearSegmentedColormap.from_list(
        "drops", [(red, green, blue, 0.0), (red, green, blue, 0.9)]
    )
    rows, columns = why.drops.shape
    y = np.searchsorted(why.row_of_band, np.arange(rows + 1))
    x = why.start + np.arange(columns + 1) * why.seconds / columns
    highest = max(float(why.drops.max()), 1e-12)
    overlay = ax.pcolormesh(
        x, y, np.maximum(why.drops, 0), cmap=colours, vmin=0, vmax=highest, shading="flat"
    )
    _mark(ax, why)
    if why.time is not None:
        for at in (why.time.low, why.time.high):
            ax.axvline(at, color=INK, linewidth=1, linestyle="--")
    ax.set_title("where the score falls when a block is made normal", fontsize=10, color=INK)
    return overlay


def _draw_spectra(ax: Axes, why: Explanation, values: NDArray[Any]) -> None:
    y = np.arange(len(values)) + 0.5
    # The mean in the front end's units is what the statistics are of.
    clip = to_db(why.mel.mean(axis=1), why.mel_config)
    if why.normal.spectrum is not None:
        normal = to_db(why.normal.spectrum, why.mel_config)
        ax.plot(normal, y, color=BLUE, linewidth=1.4, linestyle="--", label="nearest normal")
    ax.plot(clip, y, color=VERMILLION, linewidth=1.4, label="the clip")
    _mark(ax, why)
    ax.set_title("mean over time", fontsize=10, color=INK)
    ax.set_xlabel("level in dB")
    _legend(ax)
    ax.tick_params(labelleft=False)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(ax: Axes) -> None:
    # Below: what stands out may be anywhere inside.
    ax.legend(
        fontsize=8,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.27),
        borderaxespad=0,
        handlelength=1.5,
    )


def _mark(ax: Axes, why: Explanation) -> None:
    """Frame the stretches of bands that the sentence names."""
    edges = mel_frequencies(why.mel_config)
    for stretch in why.stretches:
        first, last = np.searchsorted(edges, (stretch.low, stretch.high)).tolist()
        for at in (first, last - 1):
            ax.axhline(at, color=INK, linewidth=0.8, linestyle=":")


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionalDependencyError("matplotlib", "plot") from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure
