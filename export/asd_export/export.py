"""From a run folder to a bundle."""

from __future__ import annotations

import datetime
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from asd_edge import audio
from asd_edge.bundle import Bundle, Golden
from asd_edge.detector import Detector
from asd_edge.errors import MissingFileError
from asd_edge.model import EmbeddingModel
from asd_edge.scoring import Scorer
from asd_export import parity
from asd_export.network import to_onnx
from asd_training import run, selection
from asd_training.clips import Clip, find_clips
from asd_training.errors import DatasetError
from asd_training.run import Embeddings, RunConfig

PARITY_CLIPS = 16


@dataclass(frozen=True)
class Export:
    """What was exported, for the closing message."""

    bundle: Bundle
    parity: parity.Parity


def export(
    folder: Path,
    output: Path,
    *,
    data: Path | None = None,
    false_alarm_rate: float | None = None,
) -> Export:
    """Write a bundle for a finished run.

    Args:
        folder: the run.
        output: the bundle, a folder NAME.asd; one that is there is replaced.
        data: where the run's data set lies now, if it moved.
        false_alarm_rate: that the bundle decides at unless told otherwise.

    Raises:
        MissingFileError: no run, or its data set is gone.
        RunError: a run that is damaged or not finished.
        DatasetError: the data set no longer has the run's clips.
        ParityError: PyTorch, onnxruntime and the edge path disagree; nothing is written.
        BundleError: `output` is taken by something else.
    """
    config = run.read_config(folder)
    embeddings = run.read_embeddings(folder)
    model = run.load_model(folder, config)
    scorer, calibration = selection.scorer_and_calibration(config, embeddings, false_alarm_rate)
    clips = _clips(config, embeddings, data)
    front_end = config.preset.front_end
    onnx = to_onnx(model, front_end)
    contents = Bundle(
        machine=config.machine,
        front_end=front_end,
        views=scorer.views,
        calibration=calibration,
        golden=_golden(clips, scorer, EmbeddingModel(onnx, front_end, scorer.views), config),
        model=onnx,
        provenance=_provenance(config, embeddings),
    )
    reference = Detector(front_end, model, scorer, calibration)
    chosen = np.linspace(0, len(clips) - 1, min(PARITY_CLIPS, len(clips))).round().astype(int)
    agreement = parity.check(contents, reference, [clips[i] for i in chosen], folder)
    contents.provenance["parity"] = asdict(agreement)
    contents.write(output)
    return Export(contents, agreement)


def _clips(config: RunConfig, embeddings: Embeddings, data: Path | None) -> list[Clip]:
    """Find the sound files of the run's clips again."""
    root = data or Path(config.data)
    if not root.is_dir():
        raise MissingFileError(
            root, "folder with the sound files that the run was trained on; name it by --data"
        )
    known = set(embeddings.normals.clips.tolist())
    clips = [clip for clip in find_clips(root, config.machine) if clip.name in known]
    if len(clips) < len(known):
        raise DatasetError(
            root, f"has {len(clips)} of the {len(known)} clips that the run was trained on"
        )
    return clips


def _golden(clips: list[Clip], scorer: Scorer, model: EmbeddingModel, config: RunConfig) -> Golden:
    """Take the first clip with the last one mixed in: no reference, so no score of rounding."""
    front_end = config.preset.front_end
    mixed = np.zeros(front_end.n_samples, np.float32)
    for clip in (clips[0], clips[-1]):
        y = audio.read(clip.path, front_end.mel.sr, front_end.channel)
        mixed += 0.5 * np.resize(y, front_end.n_samples)
    clip = clips[0]
    # 16 bits are what the device replays, so they are also what the export looks at.
    samples = np.clip(np.round(mixed * 32768), -32768, 32767).astype(np.int16)
    mel = front_end.features(samples.astype(np.float32) / np.float32(32768))
    embeddings = model.embed(mel[np.newaxis])
    return Golden(
        samples=samples,
        mel=mel,
        embeddings={view: x[0] for view, x in embeddings.items()},
        score=scorer.score(embeddings, clip.section).score,
        section=clip.section,
    )


def _provenance(config: RunConfig, embeddings: Embeddings) -> dict[str, Any]:
    held, clips = embeddings.held_out, embeddings.normals.clips
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "preset": config.preset.name,
        "seed": config.seed,
        "data": Path(config.data).name,
        "training_clips": len(np.unique(clips[~held])),
        "held_out_clips": len(np.unique(clips[held])),
        "exported_on": platform.machine(),
        "versions": config.versions
        | {name: version(name) for name in ("asd-edge", "onnx", "onnxruntime")},
    }
