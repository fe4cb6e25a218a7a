"""Bundles that are replaced on disk: loaded aside, checked, and swapped between two windows."""

from __future__ import annotations

import threading
from collections.abc import Callable

from asd_edge.errors import AsdError
from asd_edge.monitor.listening import Listening
from asd_edge.monitor.windows import Judge, digest


class Bundles:
    """Watches the bundles of all machines.

    Args:
        later: lets the daemon's loop do something; may be called by any thread.
        say: prints a line.
    """

    def __init__(
        self, later: Callable[[Callable[[], None]], None], say: Callable[[str], None]
    ) -> None:
        self._later, self._say = later, say

    def look(self, one: Listening) -> None:
        """Begin to load the bundle of a machine if another one lies there now."""
        path = one.machine.config.bundle
        found = digest(path)
        if one.loading:
            return
        if found is None:
            one.machine.bundle_trouble = f"{path} is gone; the one in memory stays in use"
            one.seen = None
        elif found != one.seen:
            one.loading = True
            threading.Thread(target=self._load, args=(one, found), daemon=True).start()

    def _load(self, one: Listening, found: tuple[float, int]) -> None:
        judge, trouble = None, ""
        try:
            judge = Judge(one.machine.config)
        except (AsdError, OSError) as error:
            trouble = f"{error}; the one in memory stays in use"

        def swap() -> None:
            one.loading, one.seen = False, found
            one.machine.bundle_trouble = trouble
            if judge is not None:
                one.machine.swap(judge)
                self._say(f"{one.machine.id}: {one.machine.config.bundle} was replaced; it is used")

        self._later(swap)
