"""Results of `asd-edge score`: a table for people, JSON Lines, CSV."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import click

from asd_edge.cli.display import harmless

if TYPE_CHECKING:
    from asd_edge.decision import Decision, Window

CANNOT_JUDGE = "cannot judge"


class Output(Protocol):
    """Where results go, each as soon as there is one."""

    def decided(self, decision: Decision) -> None:
        """Show the decision of a clip."""

    def failed(self, clip: str, kind: str, reason: str) -> None:
        """Show that a clip cannot be judged or read: the kind of error, and its reason in words."""


def outcome(decision: Decision) -> str:
    """Name the outcome of a decision in one word."""
    return "anomalous" if decision.anomalous else "normal"


class JsonLines:
    """One JSON object a clip.

    Args:
        origin: what every object says of the bundle.
    """

    def __init__(self, origin: Mapping[str, Any]) -> None:
        self._origin = dict(origin)

    def decided(self, decision: Decision) -> None:
        """Print a decision with all its windows."""
        values = decision._asdict()
        values["warnings"] = [{"kind": w.kind, "reason": w.reason} for w in decision.warnings]
        values["windows"] = windows = [window._asdict() for window in decision.windows]
        for window in windows:
            if not math.isfinite(window["level_db"]):
                window["level_db"] = None  # no sound at all; JSON has no infinity
        values["ratio"] = decision.ratio if math.isfinite(decision.ratio) else None
        self._print({"clip": values.pop("clip"), "outcome": outcome(decision), **values})

    def failed(self, clip: str, kind: str, reason: str) -> None:
        """Print why there is no decision."""
        self._print(
            {
                "clip": clip,
                "outcome": CANNOT_JUDGE,
                "warnings": [{"kind": kind, "reason": reason}],
            }
        )

    def _print(self, values: dict[str, Any]) -> None:
        from asd_edge.audio.recorded_at import recorded_at  # here: the table does without

        values["recorded_at"] = recorded_at(values["clip"])
        click.echo(json.dumps(values | self._origin))


class Csv:
    """Comma-separated values: a row a clip, or a row a window."""

    _COLUMNS = ("clip", "section", "score", "threshold", "ratio", "p_value", "outcome")

    def __init__(self, windows: bool) -> None:
        self._windows = windows
        times = ("start_s", "end_s") if windows else ()
        self._row((*self._COLUMNS, "warnings", "nearest", *times))

    def decided(self, decision: Decision) -> None:
        """Print the rows of a clip."""
        d = decision
        kinds = " ".join(warning.kind for warning in d.warnings)
        if not self._windows:
            values = (d.score, d.threshold, d.ratio, d.p_value, outcome(d))
            self._row((d.clip, d.section, *values, kinds, d.nearest))
            return
        for w in d.windows:
            values = (w.score, d.threshold, d.ratio_of(w), w.p_value, _window_outcome(w))
            self._row((d.clip, d.section, *values, kinds, d.nearest, w.start_s, w.end_s))

    def failed(self, clip: str, kind: str, reason: str) -> None:
        """Print a row without figures."""
        times = ("", "") if self._windows else ()
        self._row((clip, "", "", "", "", "", CANNOT_JUDGE, kind, "", *times))

    def _row(self, values: tuple[object, ...]) -> None:
        import csv  # here, because scoring rarely needs it

        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            [harmless(x) if isinstance(x, str) else x for x in values]
        )
        click.echo(text.getvalue(), nl=False)


class Table:
    """Rows for people.

    Args:
        names: of the clips, for the width of their column.
        windows: print a row for each window too.
    """

    def __init__(self, names: list[str], windows: bool) -> None:
        self._width = min(max((len(harmless(name)) for name in names), default=4), 72)
        self._windows = windows
        self._header_printed = False

    def decided(self, decision: Decision) -> None:
        """Print the row of a clip."""
        d = decision
        section = d.section if d.section_known else f"~{d.section}"
        verdict = click.style("ANOMALOUS", fg="red") if d.anomalous else "normal"
        if not d.anomalous:
            verdict = click.style(verdict, fg="green")
        if len(d.windows) > 1 and d.anomalous:
            verdict += f"  {_which(d)}"
        if d.warnings:
            verdict += f"  ! {', '.join(warning.kind for warning in d.warnings)}"
        self._row(d.clip, section, d.score, d.threshold, d.ratio, d.p_value, verdict)
        if self._windows:
            for w in d.windows:
                name = f"  {w.start_s:.1f}-{w.end_s:.1f} s"
                word = _window_outcome(w)
                self._row(name, "", w.score, d.threshold, d.ratio_of(w), w.p_value, word)

    def failed(self, clip: str, kind: str, reason: str) -> None:
        """Print a row without figures."""
        self._header()
        click.echo(f"{self._short(clip)}  {'':49}{CANNOT_JUDGE}  ! {kind}")

    def _row(
        self, clip: str, section: str, score: float, threshold: float, ratio: float, p: float,
        verdict: str,
    ) -> None:  # fmt: skip
        self._header()
        click.echo(
            f"{self._short(clip)}  {harmless(section):7}  {score:9.4g}  {threshold:9.4g}  "
            f"{f'x {ratio:.2f}':>7}  {p:7.2g}  {verdict}"
        )

    def _header(self) -> None:
        if not self._header_printed:
            columns = f"section  {'score':>9}  {'threshold':>9}  {'ratio':>7}  p-value  decision"
            click.echo(f"{'clip':{self._width}}  {columns}")
            self._header_printed = True

    def _short(self, name: str) -> str:
        name = harmless(name)
        if len(name) > self._width:
            name = "…" + name[1 - self._width :]
        return f"{name:{self._width}}"


def _which(decision: Decision) -> str:
    """Say how many windows are anomalous, when, and where the worst one is."""
    spans: list[tuple[float, float]] = []
    for w in decision.windows:
        if w.anomalous and spans and w.start_s <= spans[-1][1]:
            spans[-1] = spans[-1][0], w.end_s
        elif w.anomalous:
            spans.append((w.start_s, w.end_s))
    times = ", ".join(f"{start:.0f}-{end:.0f} s" for start, end in spans[:3])
    times += ", ..." if len(spans) > 3 else ""
    count = sum(window.anomalous for window in decision.windows)
    worst = decision.worst
    text = f"{count} of {len(decision.windows)} windows ({times})"
    return f"{text}, worst {worst.score:.3g} at {worst.start_s:.0f}-{worst.end_s:.0f} s"


def _window_outcome(window: Window) -> str:
    if not window.valid:
        return "left out"
    return "anomalous" if window.anomalous else "normal"
