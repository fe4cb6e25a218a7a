"""Count the outcomes of one `asd-edge score`, and print the summary."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli.clips import Failures
from asd_edge.cli.display import harmless

if TYPE_CHECKING:
    from asd_edge.audio.recording import ClipWarning
    from asd_edge.cli.score_output import Output
    from asd_edge.decision import Decision
    from asd_edge.detector import Detector

# Clips behind a threshold; of fewer it lies so high that faults stay below it, and what it is
# worth depends on which clips they happened to be.
_FEW = 40
_ENOUGH = 100


class Tally:
    """Shows each result as it comes and counts; one line for each kind of warning at the end.

    Attributes:
        failures: clips without a decision.
        anomalous: clips that are.

    Args:
        output: where results go.
        people: whether people read them, and want advice.
    """

    def __init__(self, output: Output, people: bool) -> None:
        self._output, self._people = output, people
        self.anomalous = 0
        self.failures = Failures()
        self._warnings: dict[str, list[ClipWarning]] = {}
        self._sections: set[str] = set()

    def add(self, path: Path, result: Decision | Exception) -> None:
        """Show the result of a clip."""
        if isinstance(result, Exception):
            kind = getattr(result, "kind", "") or type(result).__name__
            reason = getattr(result, "reason", "") or " ".join(str(result).split())[:500]
            self._output.failed(str(path), kind, reason)
            self.failures.add(path, result)
            return
        self._output.decided(result)
        self.anomalous += result.anomalous
        self._sections.add(result.section)
        for warning in result.warnings:
            self._warnings.setdefault(warning.kind, []).append(warning)

    def finish(self, detector: Detector, count: int) -> None:
        """Say on stderr what is to be said when all `count` clips are done."""
        self.failures.finish()
        for warnings in self._warnings.values():
            first = harmless(f"{warnings[0].clip} {warnings[0].reason}")
            more = f" (and {len(warnings) - 1} more like it)" if len(warnings) > 1 else ""
            click.echo(f"Warning: {first}{more}", err=True)
        if self._people:
            self._say_how_few(detector)
        if self.failures.count:
            click.echo(f"{self.failures.count} of {count} clips could not be scored.", err=True)

    def _say_how_few(self, detector: Detector) -> None:
        thresholds = [detector.threshold(section) for section in self._sections]
        n = min((t.n for t in thresholds if t.rule != "given"), default=_FEW)
        if n < _FEW:
            minutes = math.ceil((_ENOUGH - n) * detector.front_end.clip_seconds / 60)
            click.echo(
                f"Note: {n} clips stand behind this threshold; it can miss what it should catch: "
                f"record {minutes} minutes more of normal sound (asd-edge enroll --add)",
                err=True,
            )
