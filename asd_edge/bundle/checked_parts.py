"""Check and read the parts of a bundle: types and ranges first, then that they fit each other.

What is wrong is a ValueError, of which `reading` makes a BundleError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.contents import EMBEDDING, Golden
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.views import References, ScoringConfig, Standard, View

# Of one window: samples (17 minutes at 16 kHz), values of its spectrogram, and samples that go
# through its FFTs, which bounds the time that it takes to about a second.
_MAX_SAMPLES, _MAX_VALUES, _MAX_WORK = 1 << 24, 1 << 23, 1 << 28
_MAX_VIEWS = 8
_MAX_SCORE = 1e30  # sums and squares of scores stay finite


def expect(condition: object, reason: str) -> None:
    """Raise ValueError with a reason unless a condition holds."""
    if not condition:
        raise ValueError(reason)


def read_front_end(values: Any) -> FrontEnd:
    """Read the front end; its window, spectrogram and time are bounded."""
    expect(isinstance(values, dict) and isinstance(values.get("mel"), dict), "front_end: no object")
    for name in ("clip_seconds", "overlap"):
        expect(_is_number(values[name]), f"front_end: {name} is no number")
    expect(0 < values["clip_seconds"] < 1e5, "front_end: clip_seconds is out of range")
    channel = values["channel"]
    expect(
        channel == "mean" or (type(channel) is int and 0 <= channel < 1024),
        "front_end: channel is out of range",
    )
    front_end = FrontEnd.from_dict(values)
    mel = front_end.mel
    expect(front_end.n_samples <= _MAX_SAMPLES, "front_end: its window is too long")
    expect(math.prod(front_end.shape) <= _MAX_VALUES, "front_end: its spectrogram is too large")
    expect(front_end.n_frames * mel.n_fft <= _MAX_WORK, "front_end: it would take too long")
    return front_end


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def read_views(scoring: Any, stored: Mapping[str, NDArray[Any]]) -> dict[str, View]:
    """Read every view: its rule and standards from the manifest, its references from arrays."""
    expect(isinstance(scoring, dict) and 0 < len(scoring) <= _MAX_VIEWS, "scoring: no views")
    views = {}
    for name, values in scoring.items():
        rule = dict(values)
        weight, standards = rule.pop("weight", 1.0), _standards(rule.pop("standards"))
        expect(
            _is_number(weight) and 0 <= weight < _MAX_SCORE,
            f"scoring: a weight of {weight!r}, not 0 or more",
        )
        parts = rule.get("parts", {})
        expect(isinstance(parts, dict) and len(parts) <= _MAX_VIEWS, "scoring: parts")
        for columns in parts.values():
            expect(
                isinstance(columns, list) and [type(x) for x in columns] == [int, int],
                "scoring: parts are no pairs of columns",
            )
        for key in ("emphasis", "exponent", "guard"):
            expect(_is_number(rule.get(key, 1.0)), f"scoring: {key} is no number")
        expect(rule.get("exponent", 1.0) > 0.1, "scoring: exponent is out of range")
        for key in ("k", "local_density", "few_clips"):
            value = rule.get(key)
            expect(value is None or type(value) is int, f"scoring: {key} is no whole number")
        expect(type(rule.get("pool_sections", False)) is bool, "scoring: pool_sections")
        prefix = f"{name}/"
        own = {k.removeprefix(prefix): x for k, x in stored.items() if k.startswith(prefix)}
        views[name] = View(ScoringConfig(**rule), _references(own), standards, weight)
    sections = {tuple(sorted(set(v.references.sections.tolist()))) for v in views.values()}
    expect(len(sections) == 1, "its views have different sections")
    expect(all(v.standards for v in views.values()), "has views without standards")
    return views


def _standards(values: Any) -> dict[str, Standard]:
    expect(isinstance(values, dict), "scoring: standards is no object")
    standards = {}
    for section, value in values.items():
        numbers = [*value["centres"], *value["spreads"], value["offset"], value["factor"]]
        expect(
            all(_is_number(x) and 0 <= x < _MAX_SCORE for x in numbers),
            f"scoring: a standard of {str(value)[:100]}, not of numbers that are 0 or more",
        )
        standards[section] = Standard.checked(**value)
    return standards


_TYPES = (
    ("embeddings", "f4"),
    ("density", "f4"),
    ("whitening", "f2"),
    ("part_density", "f4"),
    ("part_whitening", "f2"),
    ("reach", "f4"),
)


def _references(own: dict[str, NDArray[Any]]) -> References:
    whitening = own.get("whitening")
    if whitening is not None and whitening.ndim == 2:  # the whole matrix, in early bundles
        expect(whitening.shape[0] == whitening.shape[1] < 10_000, "whitening: its shape")
        own["whitening"] = whitening[np.tril_indices(len(whitening))].astype(np.float16)
    for name, kind in _TYPES:
        expect(name not in own or own[name].dtype == kind, f"{name} is not of the type {kind}")
    for name in ("sections", "domains", "clips"):
        x = own[name]
        expect(x.dtype.kind == "U" and x.ndim == 1, f"{name} is no list of texts")
    references = References(**own)
    for clip in set(references.clips.tolist()):
        path = PurePosixPath(clip)
        expect(
            not path.is_absolute() and ".." not in path.parts and "\0" not in clip,
            f"a reference is called {clip[:100]!r}, which leads out of a folder",
        )
    x = references.embeddings
    expect(np.abs(x).max(initial=0.0) < _MAX_SCORE, "embeddings are out of range")
    for values in (references.whitening, references.part_whitening):
        expect(np.isfinite(values).all(), "whitening is NaN or infinite")
    return references


def read_scores(values: Any) -> dict[str, Any]:
    """Check the calibration's values as they are in the manifest, and give them."""
    expect(isinstance(values, dict) and isinstance(values.get("scores"), dict), "calibration")
    expect(_is_number(values["false_alarm_rate"]), "calibration: false_alarm_rate is no number")
    tail = values.get("tail", "both")
    expect(isinstance(tail, str), "calibration: tail is no text")
    for scores in values["scores"].values():
        expect(isinstance(scores, list), "calibration: scores are no list")
        expect(
            all(_is_number(score) and 0 <= score < _MAX_SCORE for score in scores),
            "calibration: a score is not 0 or more",
        )
    assert isinstance(values, dict)
    return values


def read_calibration(values: dict[str, Any], views: Mapping[str, View]) -> Calibration:
    """Make the calibration of checked scores; its sections must have references."""
    sections = set(next(iter(views.values())).references.sections.tolist())
    for section in values["scores"]:
        expect(section in sections, f"calibration: section {section!r} has no references")
    return Calibration.from_dict(values)


def read_provenance(values: Any) -> dict[str, Any]:
    """Check the values of the provenance that are computed with, and give all of it."""
    expect(isinstance(values, dict), "provenance is no object")
    added = values.get("added_clips", 0)
    expect(type(added) is int and added >= 0, "provenance: added_clips")
    facts = values.get("enrolled")
    if facts is not None:
        expect(isinstance(facts, dict), "provenance: enrolled is no object")
        for name, least in (("clips", 1), ("seconds", 0), ("median_level_db", -1000)):
            expect(_is_number(facts[name]) and facts[name] >= least, f"provenance: {name}")
        levels = facts.get("level_range_db", [0, 0])
        expect(isinstance(levels, list) and len(levels) == 2, "provenance: level_range_db")
        expect(all(_is_number(x) for x in levels), "provenance: level_range_db")
        if "level_range_db" in facts:
            rate = facts["lowest_rate"]
            expect(type(rate) is int and 0 < rate < 1 << 31, "provenance: lowest_rate")
        encodings = facts.get("encodings", ["PCM"])
        expect(
            isinstance(encodings, list) and all(type(name) is str for name in encodings),
            "provenance: encodings is no list of texts",
        )
    assert isinstance(values, dict)
    return values


def read_golden(
    stored: Mapping[str, NDArray[Any]],
    front_end: FrontEnd,
    views: Mapping[str, View],
    thresholds: Mapping[str, float],
) -> Golden:
    """Read the golden clip; its score is divided by its section's threshold, if one is given."""
    prefixed = {f"{EMBEDDING}embedding" if k == "embedding" else k: x for k, x in stored.items()}
    embeddings = {
        name.removeprefix(EMBEDDING): x
        for name, x in prefixed.items()
        if name.startswith(EMBEDDING)
    }
    samples, mel = stored["samples"], stored["mel"]
    expect(samples.dtype == np.int16 and samples.ndim == 1, "samples are not 16-bit")
    expect(front_end.mel.n_fft <= len(samples) <= front_end.n_samples, "samples: their number")
    expect(mel.dtype == np.float32 and mel.shape == front_end.shape, "mel: its shape")
    expect(set(embeddings) == set(views), "embeddings are not those of the views")
    for name, x in embeddings.items():
        d = views[name].references.embeddings.shape[1]
        expect(x.dtype == np.float32 and x.shape == (d,), f"embedding of {name}: its shape")
    for x in (mel, *embeddings.values()):
        expect(np.isfinite(x).all(), "values are NaN or infinite")
    score, section = stored["score"], stored["section"]
    expect(score.shape == section.shape == () and section.dtype.kind == "U", "score: its shape")
    expect(math.isfinite(float(score)), "score is NaN or infinite")
    units = float(score) / thresholds.get(str(section), 1.0)
    return Golden(samples, mel, embeddings, units, str(section))
