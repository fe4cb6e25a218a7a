"""Pictures of why alarms were raised, made of their clips when somebody looks.

A process of its own explains the clip: the network runs some hundred times, which
must hold up neither the scoring nor the page, and its memory is given back.
The result is kept beside the clip, as JSON that the page draws.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from asd_edge.monitor.history.schema import Clip
from asd_edge.monitor.service import Monitor

_TIMEOUT_S = 300.0

log = logging.getLogger(__name__)


class Explanations:
    """Explanations of alarms; may be used by any thread.

    Args:
        monitor: the daemon.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._lock = threading.Lock()
        self._running: int | None = None
        self._failed: dict[int, str] = {}

    def get(self, episode: int) -> dict[str, Any]:
        """Give the explanation of an alarm.

        Returns:
            `state`: "ready", with what `explain_clip` made; "working": ask again;
            "none", with the reason.
        """
        clip = self._clip(episode)
        if clip is None:
            return {"state": "none", "reason": "No recording of this alarm is kept."}
        ready = _kept(clip)
        if ready.is_file():
            return {"state": "ready", **json.loads(ready.read_text(encoding="utf-8"))}
        with self._lock:
            if clip.id in self._failed:
                return {"state": "none", "reason": self._failed[clip.id]}
            if self._running is None:
                self._running = clip.id
                threading.Thread(
                    target=self._explain, args=(clip,), name="explain", daemon=True
                ).start()
        return {"state": "working"}

    def _clip(self, episode: int) -> Clip | None:
        """The worst window's recording, else the first one, among those still kept."""
        clips = [c for c in self._monitor.history.clips(episode) if c.windows and c.path.is_file()]
        return max(clips, key=lambda c: (c.role == "worst", c.id), default=None)

    def _explain(self, clip: Clip) -> None:
        reason = "The explanation failed; the log says why."
        try:
            state = self._monitor.snapshot.machine(clip.machine)
            machine = self._monitor.config.machines.get(clip.machine)
            if state is None or machine is None:
                reason = "This machine is no longer listened to."
                return
            first, samples, *_ = max(clip.windows, key=lambda w: w[2] / max(w[3], 1e-9))
            request = {
                "clip": str(clip.path),
                "bundle": state.bundle,
                "first": first,
                "samples": samples,
                "section": machine.section,
                "channel": machine.channel,
                "output": str(_kept(clip)),
            }
            done = subprocess.run(
                [sys.executable, "-m", "asd_edge.monitor.web.explain_clip", json.dumps(request)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
            if done.returncode == 0:
                reason = ""
                return
            log.warning("explaining clip %d failed: %s", clip.id, done.stderr.strip()[-500:])
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("explaining clip %d failed: %s", clip.id, error)
        finally:
            with self._lock:
                self._running = None
                if reason:
                    self._failed[clip.id] = reason


def _kept(clip: Clip) -> Path:
    return clip.path.with_suffix(".explanation.json")
