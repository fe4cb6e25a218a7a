"""ROC curves, score histograms and training curves, as PNG files or SVG text.

matplotlib is imported when a plot is made, and only its object interface is used: no pyplot,
no global state, no display. Colours are those of Okabe and Ito, told apart by colour-blind
readers; line styles and widths say the same once more.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from asd_edge.atomic_files import atomic_path
from asd_edge.errors import OptionalDependencyError, ParameterError
from asd_edge.explanation.spectrogram import BLUE, GREEN, GREY, INK, ORANGE, PALE, VERMILLION
from asd_training.errors import DatasetError
from asd_training.evaluation.measures import MAX_FPR, auc
from asd_training.evaluation.metrics import check_scores, comparisons

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
HUGE = 1e100
"""Scores above this are drawn in units of it."""
# Where the bars of a histogram with logarithmic counts begin: below one clip.
_LEAST_COUNT = 0.6
_COUNTED = "; AUC (normal + anomalous clips)"  # what the numbers above a panel are
# Highest over lowest score from which on the bins grow with the score.
_WIDE = 10.0
_PALE_IN_PAGE = "#a8a8a8"  # seen on light and on dark paper
_DOMAIN_STYLE = {"source": (BLUE, "-"), "target": (ORANGE, "--"), "": (BLUE, "-")}
# No hatches: browsers print them opaque.
_LABEL_STYLE = {
    "normal": (BLUE, 1.0, "normal"),
    "anomaly": (VERMILLION, 2.0, "anomaly"),
    "unknown": (GREY, 1.0, "unlabelled"),
}


def roc_plot(scores: pd.DataFrame, path: str | Path, year: int = 2021) -> None:
    """Draw `roc_figure` to a PNG file, replaced whole.

    Raises:
        DatasetError: No group has both normal and anomalous clips.
        ParameterError: As `asd_training.evaluation.metrics.check_scores`.
        OptionalDependencyError: matplotlib is not installed.
    """
    figure = roc_figure(scores, year)
    if figure is None:
        raise DatasetError(path, "no ROC curve without both normal and anomalous clips")
    save_png(figure, path)


def roc_figure(scores: pd.DataFrame, year: int = 2021) -> Figure | None:
    """ROC curves, one panel a machine and section, one curve a domain; the pAUC's part is shaded.

    Args:
        scores: See `asd_training.evaluation.metrics`; unlabelled clips are left out.
        year: Whose rules say what is compared.

    Returns:
        The figure, or None where no group has both normal and anomalous clips.
    """
    check_scores(scores)
    panels: dict[tuple[str, str], list[tuple[str, pd.DataFrame]]] = {}
    for compared in comparisons(scores, year):
        if compared.judged["label"].nunique() == 2:
            machine, domain, section = compared.key
            panels.setdefault((machine, section), []).append((domain, compared.judged))
    if not panels:
        return None
    panels = dict(sorted(panels.items()))
    from sklearn.metrics import roc_curve  # here, because training curves need none

    figure, axes = _grid([(*key, "") for key in panels], panel_width=2.2, panel_height=2.45)
    shown: dict[str, Any] = {}
    for ax, ((machine, section), curves) in zip(axes, panels.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=PALE, linewidth=1, zorder=1)
        ax.axvspan(0, MAX_FPR, color=PALE, alpha=0.45, linewidth=0, zorder=0)
        title = [_title(machine, section)]
        for domain, judged in curves:
            positive = (judged["label"] == "anomaly").to_numpy()
            rates = roc_curve(positive, judged["score"])[:2]
            colour, style = _DOMAIN_STYLE.get(domain, (GREEN, ":"))
            (shown[domain or "ROC"],) = ax.plot(*rates, style, color=colour, linewidth=1.5)
            title.append(f"{domain} {_summary(judged, judged)}".lstrip())
        ax.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_title("\n".join(title), fontsize=8, color=INK, parse_math=False)
    _label(figure, "false-positive rate (shaded: part of the pAUC)", "true-positive rate")
    _legend(figure, shown, f"ROC curves{_COUNTED}")
    return figure


def histogram_plot(
    scores: pd.DataFrame,
    path: str | Path,
    thresholds: Mapping[Any, float] | None = None,
    year: int = 2021,
) -> None:
    """Draw `histogram_figure` to a PNG file, replaced whole; raises the same."""
    save_png(histogram_figure(scores, thresholds, year), path)


def histogram_figure(
    scores: pd.DataFrame,
    thresholds: Mapping[Any, float] | None = None,
    year: int = 2021,
    most_columns: int = 6,
) -> Figure:
    """Histograms of the scores, one panel a machine, section and domain.

    Args:
        scores: See `asd_training.evaluation.metrics`.
        thresholds: Section, or (machine, section), to the threshold drawn in its panels;
            sections that it does not name get none.
        year: Whose rules say which AUC is written above a panel.
        most_columns: of panels.

    Raises:
        ParameterError: As `asd_training.evaluation.metrics.check_scores`, or the table is empty.
        OptionalDependencyError: matplotlib is not installed.
    """
    check_scores(scores)
    lines = dict(thresholds or {})
    largest = float(scores["score"].abs().max()) if len(scores) else 0.0
    unit = HUGE if largest > HUGE else 1.0
    if unit > 1:  # the differences of such numbers are infinite
        scores = scores.assign(score=scores["score"] / unit)
        lines = {key: value / unit for key, value in lines.items()}
    panels = comparisons(scores, year)
    if not panels:
        raise ParameterError("scores", "an empty table", "at least one clip")
    # By machine and section first, so that the two domains of a section are neighbours.
    panels = sorted(panels, key=lambda item: (item.key[0], item.key[2]))
    keys = [(machine, section, domain) for machine, domain, section in (p.key for p in panels)]
    figure, axes = _grid(keys, 2.5, 1.85, most_columns)
    shown: dict[str, Any] = {}
    for ax, ((machine, domain, section), group, judged, _) in zip(axes, panels, strict=True):
        threshold = lines.get((machine, section), lines.get(section))
        edges = _bin_edges(group["score"].to_numpy(dtype=float), threshold)
        for label, (colour, width, legend) in _LABEL_STYLE.items():
            values = group.loc[group["label"] == label, "score"].to_numpy(dtype=float)
            if values.size:
                counts, _ = np.histogram(values, edges)
                shown[legend] = ax.stairs(
                    counts,
                    edges,
                    baseline=_LEAST_COUNT,
                    fill=True,
                    facecolor=(colour, 0.4),
                    edgecolor=colour,
                    linewidth=width,
                )
        if threshold is not None:
            shown["threshold"] = ax.axvline(threshold, color=INK, linewidth=1.3, linestyle="--")
        ax.margins(x=0.02)
        # One clip is seen beside hundreds, and normal clips beside anomalies of any distance.
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(bottom=_LEAST_COUNT)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
        if _is_wide(edges):
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
            ax.minorticks_off()
        else:
            ax.locator_params(axis="x", nbins=4)
        title = f"{_title(machine, section, domain)}\n{_summary(group, judged)}"
        ax.set_title(title, fontsize=8, color=INK, parse_math=False)
    _label(
        figure, "anomaly score" if unit == 1 else f"anomaly score / {unit:g}", "clips (logarithmic)"
    )
    compared = any(judged["label"].nunique() == 2 for _, _, judged, _ in panels)
    _legend(figure, shown, f"Anomaly scores{_COUNTED if compared else ''}")
    return figure


def training_curves(history: pd.DataFrame, path: str | Path) -> None:
    """Draw the losses by epoch; the lowest validation loss is marked.

    Args:
        history: Columns epoch, train_loss and, where there is one, val_loss; NaN leaves a gap.
        path: PNG file, replaced whole.

    Raises:
        ParameterError: A column is absent, the table empty or every loss NaN.
        OptionalDependencyError: matplotlib is not installed.
    """
    if absent := {"epoch", "train_loss"} - set(history.columns):
        raise ParameterError("columns of history", list(history.columns), f"also {sorted(absent)}")
    figure = new_figure(6.4, 3.8)
    ax = figure.add_subplot()
    style_axes(ax)
    epochs = history["epoch"].to_numpy()
    curves = {"train_loss": ("training", BLUE, "-"), "val_loss": ("validation", VERMILLION, "--")}
    drawn = []
    for column, (name, colour, style) in curves.items():
        if column not in history.columns:
            continue
        losses = history[column].to_numpy(dtype=float)
        finite = losses[np.isfinite(losses)]
        if not finite.size:
            continue
        drawn.append(finite)
        # One epoch is no line, so short histories show their points.
        marker = "o" if len(epochs) <= 20 else ""
        ax.plot(
            epochs, losses, style, color=colour, marker=marker, markersize=3.5, label=name, lw=1.6
        )
        if column == "val_loss":
            best = int(np.flatnonzero(losses == finite.min())[0])
            ax.plot(
                epochs[best],
                losses[best],
                "o",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor=INK,
                label=f"lowest, {losses[best]:.4g} at epoch {epochs[best]:.0f}",
            )
    if not drawn:
        raise ParameterError("history", "no finite loss", "at least one")
    values = np.concatenate(drawn)
    if values.min() > 0 and values.max() > 30 * values.min():
        ax.set_yscale("log")
    elif values.min() >= 0:
        ax.set_ylim(bottom=0)
    first, last = float(epochs.min()), float(epochs.max())
    margin = 0.02 * (last - first) or 0.5
    ax.set_xlim(first - margin, last + margin)
    ax.locator_params(axis="x", integer=True, min_n_ticks=1)
    ax.set_xlabel("epoch", fontsize=10, color=INK)
    ax.set_ylabel("loss", fontsize=10, color=INK)
    ax.set_title("Training", fontsize=11, color=INK)
    ax.tick_params(labelsize=9)
    ax.legend(fontsize=9, frameon=False)
    save_png(figure, path)


def _bin_edges(scores: np.ndarray, threshold: float | None) -> np.ndarray:
    """Edges of 1.5 sqrt(n) bins, at least 10, at most 40, over the scores and the threshold."""
    low, high = float(scores.min()), float(scores.max())
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    # A range of huge numbers in which 0.5 is nothing.
    while np.nextafter(low, np.inf) - low > (high - low) / 100:
        low -= 100 * abs(low) * np.finfo(float).eps
        high += 100 * abs(high) * np.finfo(float).eps
    count = min(40, max(10, round(1.5 * math.sqrt(scores.size)))) + 1
    if low > 0 and low * _WIDE < high and high / float(np.median(scores)) > _WIDE / 2:
        return np.geomspace(low, high, count)
    return np.linspace(low, high, count)


def _is_wide(edges: np.ndarray) -> bool:
    """Whether the bins grow with the score, so that the axis is to be logarithmic."""
    return bool(np.diff(edges)[-1] > 2 * np.diff(edges)[0])


def _summary(group: pd.DataFrame, judged: pd.DataFrame) -> str:
    if judged["label"].nunique() == 2:
        area = auc((judged["label"] == "anomaly").to_numpy(), judged["score"])
        counted = judged["label"].value_counts()  # more than `group`, where domains share anomalies
        return f"AUC {area:.3f} ({counted['normal']} + {counted['anomaly']})"
    counts = {label: int((group["label"] == label).sum()) for label in _LABEL_STYLE}
    return ", ".join(
        f"{count} {_LABEL_STYLE[label][2]}" for label, count in counts.items() if count
    )


def _title(machine: str, section: str, domain: str = "") -> str:
    return " ".join(filter(None, (machine, section, domain)))


def _columns(keys: list[tuple[str, str, str]], most: int) -> int:
    """Columns of a grid somewhat wider than high, at most `most`, that does not split a machine.

    `keys` are (machine, section, domain), sorted. Where machines are too many panels for a
    row or of different numbers, sections are kept whole instead, if they can be.
    """
    wanted = min(most, math.ceil(math.sqrt(1.6 * len(keys))))
    for parts in (1, 2):
        sizes = set(Counter(key[:parts] for key in keys).values())
        if len(sizes) == 1 and (size := sizes.pop()) <= most:
            return min(len(keys), size * max(1, wanted // size))
    return min(len(keys), wanted)


def _grid(
    keys: list[tuple[str, str, str]], panel_width: float, panel_height: float, most_columns: int = 6
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a key, row by row; sizes in inches."""
    columns = _columns(keys, most_columns)
    rows = math.ceil(len(keys) / columns)
    figure = new_figure(max(panel_width * columns, 4.2) + 0.5, panel_height * rows + 1.1)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(len(keys))]
    for ax in axes:
        style_axes(ax)
        ax.tick_params(labelsize=7)
    return figure, axes


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty figure, sizes in inches; `layout` is matplotlib's.

    Raises:
        OptionalDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise OptionalDependencyError("matplotlib", "train") from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(ax: Axes) -> None:
    """Two quiet axes instead of a frame."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(color=GREY, labelcolor=INK)
    ax.set_axisbelow(True)


def _label(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9, color=INK)
    figure.supylabel(y, fontsize=9, color=INK)


def _legend(figure: Figure, shown: Mapping[str, Any], title: str) -> None:
    # The layout keeps room for a legend outside, not for one beside a figure title: it is both.
    legend = figure.legend(
        list(shown.values()),
        list(shown),
        title=title,
        loc="outside upper center",
        ncols=4,
        fontsize=9,
        title_fontsize=10,
        frameon=False,
        labelcolor=INK,
    )
    legend.get_title().set_color(INK)


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def to_svg(figure: Figure) -> str:
    """Give a figure as an `<svg>` element for a page: no background, ink in the page's colour.

    The text stays text. Ids that the drawing does not refer to are left out, so that many
    figures fit into one page.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "asd-edge"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z][\w.]*_\d+"', "", text)
    return text.replace(INK.lower(), "currentColor").replace(PALE.lower(), _PALE_IN_PAGE)
