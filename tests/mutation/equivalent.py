"""Mutants that do what the code does, by module and the line that is new in them, with the reason.

Written by hand, each after it had survived. They are not drawn: no test can notice them.
"""

from __future__ import annotations

_START = "only where the iteration starts, whose fixed point is the same"
_SAME_ORDER = "source and target are in this order by their names, too"

EQUIVALENT: dict[str, dict[str, str]] = {}
