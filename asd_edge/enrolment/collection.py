"""Normal clips as they are embedded: of each section at most so many, evenly spread over it.

A day has 8,640 windows of ten seconds, and a week seven times as many. Each one kept costs memory,
and time in every later score; beyond some thousand they tell nothing new. So every second clip of a
section is kept once there are too many, then every fourth, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from asd_edge.audio.recording import ClipWarning
from asd_edge.enrolment.recordings import Clip

# Clips of a section: more than five hours of windows of ten seconds. The fit to them takes 60 MB.
MOST = 2000


@dataclass
class _Section:
    count: int = 0
    stride: int = 1
    kept: list[tuple[int, Clip]] = field(default_factory=list)


class Collection:
    """Clips of recordings, evenly thinned out where there are too many.

    Attributes:
        warnings: about recordings, and about clips that cannot be used.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sections: dict[str, _Section] = {}
        self.warnings: list[ClipWarning] = []

    def add(self, recording: Iterable[Clip | ClipWarning]) -> None:
        """Add the clips of a recording; of one that cannot be read to its end, none stays."""
        before = {name: section.count for name, section in self._sections.items()}
        warnings = []
        try:
            for item in recording:
                if isinstance(item, Clip):
                    self._add(item)
                else:
                    warnings.append(item)
        except BaseException:
            for name, section in self._sections.items():
                section.count = before.get(name, 0)
                section.kept = [entry for entry in section.kept if entry[0] < section.count]
            raise
        self.warnings += warnings

    def _add(self, clip: Clip) -> None:
        section = self._sections.setdefault(clip.section, _Section())
        if section.count % section.stride == 0:
            section.kept.append((section.count, clip))
        section.count += 1
        if len(section.kept) > self._most:
            section.stride *= 2
            section.kept = [entry for entry in section.kept if entry[0] % section.stride == 0]

    @property
    def clips(self) -> list[Clip]:
        """The clips that are kept, by section in the order in which they came."""
        return [clip for section in self._sections.values() for _, clip in section.kept]

    @property
    def passed_over(self) -> int:
        """How many clips are not kept because there are others enough."""
        return sum(section.count - len(section.kept) for section in self._sections.values())


def thinned(clips: Sequence[Clip], most: int = MOST) -> list[Clip]:
    """Keep at most so many clips of each section, evenly spread, in their order."""
    collection = Collection(most)
    collection.add(clips)
    kept = {id(clip) for clip in collection.clips}
    return [clip for clip in clips if id(clip) in kept]
