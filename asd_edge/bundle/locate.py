"""Find the bundle that a command uses: the first of

1. the one that the user names (--bundle NAME.asd)
2. the one that the environment variable ASD_EDGE_BUNDLE names
3. default.asd in the user's data folder, for example ~/.local/share/asd-edge/
4. asd_edge/data/default.asd, made of synthetic machines, for trying out
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from asd_edge.bundle.format import Bundle

VARIABLE = "ASD_EDGE_BUNDLE"
BUILT_IN = Path(__file__).parents[1] / "data" / "default.asd"
# A normal and a faulty fan of the synthetic machines; they differ in the bearing's defect alone,
# and neither is among the clips that the built-in bundle was made of.
EXAMPLES = Path(__file__).parents[1] / "data" / "examples"


class Found(NamedTuple):
    """A bundle's place, and what led there; empty if the user named it."""

    path: Path
    origin: str


def find(given: Path | None = None) -> Found:
    """Give the bundle that is meant. Whether one is there shows when it is read."""
    if given is not None:
        return Found(given, "")
    if named := os.environ.get(VARIABLE):
        return Found(Path(named), VARIABLE)
    folder = data_folder()
    if folder is not None and (own := folder / "default.asd").exists():
        return Found(own, "the default in your data folder")
    return Found(BUILT_IN, "built in")


def data_folder() -> Path | None:
    """Give the folder for the user's data of asd-edge on this platform.

    None for a user without a home directory, such as that of a container or a service.
    """
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the list of users
        home = Path()  # an absolute XDG_DATA_HOME needs none
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        # The specification wants a relative path ignored.
        named = Path(os.environ.get("XDG_DATA_HOME", ""))
        base = named if named.is_absolute() else home / ".local" / "share"
    return base / "asd-edge" if base.is_absolute() else None


def describe(found: Found, contents: Bundle) -> str:
    """Describe the bundle in one line: its place, its machine and its sections."""
    sections = sorted(contents.calibration.scores)
    if found.path == BUILT_IN:
        return (
            "Bundle: built in, for trying out. It knows synthetic machines "
            f"({', '.join(sections)}) and none of yours: asd-edge enroll makes one that does"
        )
    plural = "section" if len(sections) == 1 else "sections"
    return (
        f"Bundle: {found.path} ({found.origin}). It knows {contents.machine}, "
        f"{plural} {', '.join(sections)}"
    )
