"""Detection on real recordings: what an enrolment with few or many clips catches.

    python benchmarks/real.py --data machines2/slider --data machines2/compressor
    python benchmarks/real.py --toycar toycar      (a folder of MLPerf Tiny's log-mel files)
    python benchmarks/real.py --data synthetic --preset statistics

A data set is a folder in the layout of DCASE Task 2 (`train/`, `test/`, the section and the label
in each file's name), or a folder of such folders. Of each section so many normal training clips are
drawn, five times, enrolled into one bundle for all sections with the model that needs no
training, and the test clips are scored: AUC and pAUC, means over sections; the share of normal
test clips called anomalous for the rate asked; the share of faults caught. Target domain apart.
`--record` keeps them in benchmarks/figures.json, from which README and docs quote them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from figures import record as keep
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from asd_edge.audio.clip_names import is_audio_name, parse_clip_name
from asd_edge.bundle.format import Bundle, read_bundle
from asd_edge.bundle.locate import BUILT_IN
from asd_edge.detector import Detector
from asd_edge.enrolment.enrolment import enroll
from asd_edge.enrolment.recordings import Clip
from asd_edge.scoring.scorer import Scorer

DRAWS = 5
LAGS, JOINED = (1, 2, 4, 8, 16), 8  # of the preset statistics
Scored = dict[str, NDArray[np.float64]]


class DataSet:
    """Embedded clips of one machine, with what their names say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.train: list[Clip] = []
        self.test: list[tuple[Clip, str, str]] = []  # with domain and label

    def draw(self, count: int | None, seed: int) -> list[Clip]:
        """Draw so many training clips of each section, or all."""
        rng = np.random.default_rng(seed)
        drawn: list[Clip] = []
        for section in sorted({clip.section for clip in self.train}):
            own = [clip for clip in self.train if clip.section == section]
            if count is not None and count < len(own):
                own = [own[i] for i in np.sort(rng.choice(len(own), count, replace=False))]
            drawn += own
        return drawn

    def most(self) -> int:
        """Number of training clips of the largest section."""
        sections = [clip.section for clip in self.train]
        return max(sections.count(section) for section in sections)


def read(folder: Path, detector: Detector, splits: tuple[str, ...] = ("train", "test")) -> DataSet:
    """Embed a data set in DCASE's layout."""
    data = DataSet(folder)
    for split in splits:
        for path in sorted((folder / split).iterdir()):
            said = parse_clip_name(path.name) if is_audio_name(path.name) else None
            if said is None:
                continue
            with detector.analyse(path) as analysis:
                # Without the checks of enrolment, which refuse clips of half a second.
                clip = _clip(path.name, said.section, dict(analysis.embeddings))
            if split == "train":
                data.train.append(clip)
            else:
                data.test.append((clip, said.domain or "source", said.label))
    return data


def _clip(name: str, section: str, embeddings: dict[str, NDArray[np.float32]]) -> Clip:
    """Make a clip of which only the embeddings matter."""
    excerpt = np.arange(16000, dtype=np.int16)
    return Clip(name, 0.0, True, section, embeddings, 10.0, 16000, -30.0, excerpt)


def read_toycar(folder: Path, detector: Detector) -> DataSet:
    """Embed MLPerf Tiny's ToyCar files; `toycar.py` says what they are."""
    from toycar import FRAMES, TRAINING_CLIPS

    data = DataSet(folder.with_name("ToyCar"))
    for path in sorted(folder.glob("*.bin")):
        label, _, section, number = path.name.split("_")[:4]
        # The model wants windows of 10 s, these are 6.4 s: what it would compute of them.
        mel = np.fromfile(path, "<f4").reshape(FRAMES, -1).T
        changes = [np.abs(mel[:, lag:] - mel[:, :-lag]).mean(axis=1) for lag in LAGS]
        power = (10 ** (mel / 10)).mean(axis=1).reshape(-1, JOINED).mean(axis=1)
        views = {
            "statistics": np.concatenate([mel.mean(axis=1), *changes]),
            "bands": 10 * np.log10(power),
            "band_changes": np.concatenate(changes).reshape(-1, JOINED).mean(axis=1),
            "level": 10 * np.log10(power.mean(keepdims=True)),
        }
        embeddings = {view: x[np.newaxis].astype(np.float32) for view, x in views.items()}
        clip = _clip(path.name, section, embeddings)
        if label == "normal" and int(number) < TRAINING_CLIPS:
            data.train.append(clip)
        else:
            data.test.append((clip, "source", label))
    return data


def find(folders: tuple[Path, ...]) -> Iterator[Path]:
    """Data sets among folders and those in them."""
    for folder in folders:
        if (folder / "train").is_dir():
            yield folder
        else:
            yield from sorted(p for p in folder.iterdir() if (p / "train").is_dir())


def trained(data: DataSet, drawn: list[Clip], preset: str, rate: float) -> tuple[Bundle, DataSet]:
    """Train a preset on the clips drawn and export it; give the test clips as it embeds them."""
    from asd_export import export
    from asd_training import train

    with tempfile.TemporaryDirectory() as scratch:
        clips = Path(scratch, "data", data.name, "train")
        clips.mkdir(parents=True)
        for clip in drawn:
            (clips / clip.name).symlink_to((data.folder / "train" / clip.name).resolve())
        run, bundle = Path(scratch, "run"), Path(scratch, "bundle.asd")
        train(clips.parents[1], run, preset=preset, device="cpu")
        export(run, bundle, false_alarm_rate=rate)
        contents = read_bundle(bundle)
    return contents, read(data.folder, Detector.from_bundle(contents), ("test",))


def scores(contents: Bundle, data: DataSet, rate: float) -> Scored:
    """Score the test clips: scores, and whether each is at or above its threshold."""
    scorer = Scorer(contents.views)
    found, above = [], []
    for clip, _, _ in data.test:
        scored = scorer.score(clip.embeddings, clip.section)
        threshold = contents.calibration.threshold(scored.section, rate).value
        found.append(scored.score)
        above.append(scored.score >= threshold)
    return {"score": np.array(found), "above": np.array(above, float)}


def measure(data: DataSet, scored: Scored, domain: str) -> dict[str, float]:
    """AUC and pAUC, means over sections; false alarms and faults caught, of all clips together."""
    labels = np.array([label for _, _, label in data.test])
    sections = np.array([clip.section for clip, _, _ in data.test])
    inside = np.array([d == domain for _, d, _ in data.test])
    areas = []
    for section in np.unique(sections[inside]):
        own = inside & (sections == section)
        truth = labels[own] == "anomaly"
        if 0 < truth.sum() < len(truth):
            s = scored["score"][own]
            areas.append((roc_auc_score(truth, s), roc_auc_score(truth, s, max_fpr=0.1)))
    auc, pauc = np.mean(areas, axis=0) if areas else (np.nan, np.nan)
    normal, fault = inside & (labels == "normal"), inside & (labels == "anomaly")

    def share(rows: NDArray[np.bool_]) -> float:
        return float(scored["above"][rows].mean()) if rows.any() else float("nan")

    return {"auc": auc, "pauc": pauc, "false_alarms": share(normal), "caught": share(fault)}


def measured(
    data: DataSet, source: Bundle, preset: str | None, count: int | None, draws: int, rate: float
) -> dict[str, dict[str, float]]:
    """Learn from so many clips of each section and measure: domain -> means over the draws."""
    rows: dict[str, list[dict[str, float]]] = {}
    for draw in range(draws if count else 1):
        drawn = data.draw(count, draw)
        if preset is None:
            contents, test = (
                enroll(source, drawn, machine=data.name, false_alarm_rate=rate).bundle,
                data,
            )
        else:
            contents, test = trained(data, drawn, preset, rate)
        scored = scores(contents, test, rate)
        for domain in sorted({d for _, d, _ in test.test}):
            rows.setdefault(domain, []).append(measure(test, scored, domain))
    return {
        domain: {key: float(np.mean([v[key] for v in values])) for key in values[0]}
        for domain, values in rows.items()
    }


def named(
    data: str, learned: str, count: int | None, domain: str, mean: dict[str, float]
) -> dict[str, float]:
    """Name the figures of a row for README and docs; shares become percent."""
    parts = ["real", data.lower(), *([learned] if learned != "enrolment" else [])]
    parts += [str(count or "all"), *([domain] if domain != "source" else [])]
    prefix = "_".join(parts)
    return {
        f"{prefix}_auc": round(mean["auc"], 6),
        f"{prefix}_pauc": round(mean["pauc"], 6),
        f"{prefix}_false_alarms_percent": round(100 * mean["false_alarms"], 4),
        f"{prefix}_caught_percent": round(100 * mean["caught"], 4),
    }


@click.command()
@click.option("--data", multiple=True, type=click.Path(path_type=Path, exists=True))
@click.option("--toycar", type=click.Path(path_type=Path, exists=True))
@click.option("--preset", "presets", multiple=True, help="Train it instead of enrolling.")
@click.option("--clips", multiple=True, type=click.IntRange(min=5), help="Default: 6 12 24 48.")
@click.option("--all/--no-all", "whole", default=True, help="Also with all clips.")
@click.option("--draws", type=click.IntRange(min=1), default=DRAWS, show_default=True)
@click.option("--false-alarm-rate", "rate", type=float, default=0.01, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one a row.")
@click.option("--record", is_flag=True, help="Keep the figures for README: benchmarks/figures.json")
def main(
    data: tuple[Path, ...],
    toycar: Path | None,
    presets: tuple[str, ...],
    clips: tuple[int, ...],
    whole: bool,
    draws: int,
    rate: float,
    as_json: bool,
    record: bool,
) -> None:
    """Print what enrolments with few and with all clips catch on real recordings."""
    if toycar is not None and presets:
        raise click.UsageError("benchmarks/toycar.py trains presets on ToyCar's log-mel files.")
    source = read_bundle(BUILT_IN)
    detector = Detector.from_bundle(source)
    fa = f"FA, {rate:g} asked"
    table = Table("data", "learned by", "clips", "domain", "AUC", "pAUC", fa, "caught")
    sets = [lambda f=folder: read(f, detector) for folder in find(data)]
    if toycar is not None:
        sets.append(lambda: read_toycar(toycar, detector))
    figures: dict[str, float] = {}
    for make in sets:
        one = make()
        counts: list[int | None] = [n for n in clips or (6, 12, 24, 48) if n < one.most()]
        if whole:
            counts.append(None)
        for preset in presets or (None,):
            for count in counts:
                for domain, mean in measured(one, source, preset, count, draws, rate).items():
                    learned, number = preset or "enrolment", str(count or f"all ({one.most()})")
                    row = {"data": one.name, "learned_by": learned, "clips": number}
                    if as_json:
                        click.echo(json.dumps(row | {"domain": domain} | mean))
                    if record:
                        figures |= named(one.name, learned, count, domain, mean)
                    table.add_row(
                        *row.values(),
                        domain,
                        f"{mean['auc']:.3f}",
                        f"{mean['pauc']:.3f}",
                        f"{100 * mean['false_alarms']:.1f} %",
                        f"{100 * mean['caught']:.0f} %",
                    )
    if not as_json:
        Console(width=100).print(table)
    if record:
        arguments = [Path(x).name for x in sys.argv[1:]]  # without the folders above data sets
        keep(figures, " ".join(["python benchmarks/real.py", *arguments]))


if __name__ == "__main__":
    main()
