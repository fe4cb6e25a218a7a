"""A day's clips: of each section at most so many stay, evenly spread; a bad file leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from asd_edge.audio.recording import ClipWarning
from asd_edge.enrolment.collection import Collection, thinned
from asd_edge.enrolment.recordings import Clip


def clip(start: int, section: str = "00") -> Clip:
    return Clip("day.wav", float(start), False, section, {}, 1.0, 16000, -30.0, np.empty(0, "i2"))


def test_all_stay_until_there_are_too_many() -> None:
    collection = Collection(most=100)
    collection.add(clip(i) for i in range(100))
    assert [c.start_s for c in collection.clips] == list(range(100))
    assert collection.passed_over == 0


@pytest.mark.parametrize("count", [101, 200, 201, 1000, 8640])
def test_what_stays_is_evenly_spread(count: int) -> None:
    collection = Collection(most=100)
    collection.add(clip(i) for i in range(count))
    starts = [c.start_s for c in collection.clips]
    assert 50 < len(starts) <= 100
    assert len(set(np.diff(starts))) == 1
    assert starts[-1] >= count - np.diff(starts)[0]
    assert collection.passed_over == count - len(starts)


def test_a_small_section_loses_nothing_to_a_large_one() -> None:
    collection = Collection(most=100)
    collection.add(clip(i, "01" if i % 100 == 7 else "00") for i in range(3000))
    assert sum(c.section == "01" for c in collection.clips) == 30
    assert 50 < sum(c.section == "00" for c in collection.clips) <= 100


def test_a_recording_that_fails_leaves_nothing_behind() -> None:
    def broken() -> Iterator[Clip | ClipWarning]:
        yield ClipWarning("b", "offset", "has an offset")
        yield from (clip(i) for i in range(1000, 1500))
        raise ValueError("cut off")

    collection = Collection(most=100)
    collection.add([clip(1), ClipWarning("a", "offset", "has an offset"), clip(2)])
    with pytest.raises(ValueError, match="cut off"):
        collection.add(broken())
    assert {c.start_s for c in collection.clips} <= {1.0, 2.0}
    assert [w.clip for w in collection.warnings] == ["a"]


def test_thinning_a_list_keeps_its_order() -> None:
    clips = [clip(i, str(i % 2)) for i in range(50)]
    kept = thinned(clips, 10)
    assert [c.start_s for c in kept] == sorted(c.start_s for c in kept)
    assert 10 < len(kept) <= 20
    assert thinned(clips, 50) == clips
