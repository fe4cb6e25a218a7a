"""From a run folder to a bundle."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asd_edge import verify
from asd_edge.audio.clip_names import piece_of
from asd_edge.bundle.card import CARD, model_card
from asd_edge.bundle.format import Bundle
from asd_edge.detector import Detector
from asd_edge.errors import MissingFileError
from asd_edge.model import VIEWS, EmbeddingModel
from asd_edge.scoring.scorer import Scorer
from asd_export import parity, quantize
from asd_export.quantize import Lower
from asd_export.to_onnx import to_onnx
from asd_training import reference_selection, run_folder
from asd_training.data.clips import Clip, find_clips
from asd_training.errors import DatasetError, RunError
from asd_training.evaluation.score import analyse_clip
from asd_training.progress import bar
from asd_training.run_folder import Embeddings, RunConfig

if TYPE_CHECKING:
    from rich.progress import Progress

PARITY_CLIPS = 16
LEARNED = VIEWS[0]


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        bundle: as it was written.
        parity: how closely PyTorch, onnxruntime and the runtime agree on training clips.
    """

    bundle: Bundle
    parity: parity.Parity


def export(
    folder: str | Path,
    output: str | Path,
    *,
    data: str | Path | None = None,
    false_alarm_rate: float | None = None,
    lower: Lower | None = None,
    card: Mapping[str, str] | None = None,
) -> Export:
    """Write a bundle for a finished run.

    Args:
        folder: the run.
        output: the bundle, a folder NAME.asd; an existing one is replaced.
        data: where the run's data set lies now, if it moved.
        false_alarm_rate: that the bundle decides at unless told otherwise.
        lower: the precision of the network, if it is not float32, and what it must reach.
        card: texts of the model card: data, evaluation, intended_use, licence, contact; those
            that are not given are written from what is known.

    Returns:
        the bundle, and how closely PyTorch and the runtime agree.

    Raises:
        MissingFileError: no run, or its data set is gone.
        RunError: a run that is damaged or not finished, or has no network to make smaller.
        DatasetError: the data set no longer has the run's clips.
        ParityError: PyTorch, onnxruntime and the edge path disagree; nothing is written.
        PrecisionError: the lower precision does not pay; nothing is written.
        ProviderError: `lower` names a provider that is not there.
        BundleError: `output` is taken by something else.
        ParameterError: a key that a model card does not have.

    Example:
        >>> from asd_export import export
        >>> done = export("runs/fan", "from-run.asd", card={"licence": "CC BY 4.0"})
        >>> done.bundle.machine, done.bundle.provenance["card"]["licence"]
        ('fan', 'CC BY 4.0')
    """
    folder, data = Path(folder), None if data is None else Path(data)
    config = run_folder.read_config(folder)
    embeddings = run_folder.read_embeddings(folder)
    model = run_folder.load_model(folder, config)
    scorer, calibration = reference_selection.scorer_and_calibration(
        config, embeddings, false_alarm_rate
    )
    clips = _clips(config, embeddings, data)
    front_end = config.preset.front_end
    today = int(datetime.datetime.now(datetime.UTC).strftime("%Y%m%d"))
    onnx = to_onnx(model, front_end, version=today)
    device = Detector(front_end, EmbeddingModel(onnx, front_end, scorer.views), scorer, calibration)
    contents = Bundle(
        machine=config.machine,
        front_end=front_end,
        views=scorer.views,
        calibration=calibration,
        golden=verify.record(device, _golden_clip(device, clips), clips[0].section),
        model=onnx,
        provenance={
            **_provenance(config, embeddings),
            CARD: model_card(config.machine, _data_in_words(config, embeddings), card),
        },
    )
    reference = Detector(front_end, model, scorer, calibration)
    agreement = parity.check(contents, reference, _spaced(clips, PARITY_CLIPS), folder)
    contents.provenance["precision"] = {"kind": "float32"}
    if lower is not None:
        root = data or Path(config.data)
        contents, agreement = _lowered(contents, lower, folder, config, embeddings, root, clips)
    contents.provenance["parity"] = asdict(agreement)
    contents.write(output)
    return Export(contents, agreement)


def _lowered(
    contents: Bundle,
    lower: Lower,
    folder: Path,
    config: RunConfig,
    embeddings: Embeddings,
    root: Path,
    clips: list[Clip],
) -> tuple[Bundle, parity.Parity]:
    """Make a bundle of lower precision of a float one, all it holds computed by its own network."""
    if LEARNED not in contents.views:
        raise RunError(folder, f"has no network; there is nothing to convert to {lower.kind}")
    front_end, rate = contents.front_end, contents.calibration.false_alarm_rate
    held = set(embeddings.normals.clips[embeddings.held_out].tolist())
    held_out = [clip for clip in clips if clip.name in held]
    learned_from = [clip for clip in clips if clip.name not in held]

    def load(model: bytes) -> EmbeddingModel:
        return EmbeddingModel(model, front_end, contents.views, lower.provider)

    # The bundles' own references hold the clips that accuracy is measured on.
    unseen = reference_selection.unseen_scorer
    before = load(contents.model)
    tried = Detector(front_end, before, unseen(config, embeddings), contents.calibration)
    with bar() as progress:
        if lower.kind == "int8":
            seen = _advancing(_spaced(learned_from, quantize.CALIBRATION_CLIPS), progress)
            windows = (analyse_clip(tried, clip).mel(0) for clip in seen)
            model = quantize.to_int8(contents.model, windows)
        else:
            model = quantize.to_fp16(contents.model)
        after = load(model)
        again = _embed_again(
            Detector(front_end, after, Scorer(contents.views), contents.calibration),
            embeddings,
            _advancing(clips, progress),
        )
    scorer, calibration = reference_selection.scorer_and_calibration(config, again, rate)
    tried_low = Detector(front_end, after, unseen(config, again), contents.calibration)
    lowered = Detector(front_end, after, scorer, calibration)
    chosen = _spaced(clips, PARITY_CLIPS)
    test = [clip for clip in find_clips(root, config.machine) if clip.split == "test"]
    mels = [analyse_clip(tried, clip).mel(0) for clip in chosen]
    figures = quantize.check(
        lower,
        quantize.accuracy(tried, tried_low, test, held_out),
        quantize.timing(before, after, mels[0], lower.provider),
        folder,
    )
    figures["embedding_difference"] = quantize.difference(before, after, mels)
    golden = contents.golden
    made = replace(
        contents,
        views=scorer.views,
        calibration=calibration,
        golden=verify.record(lowered, golden.samples, golden.section),
        model=model,
        provenance={**contents.provenance, "precision": {"kind": lower.kind, **figures}},
    )
    return made, parity.check(made, lowered, chosen, folder, lower.provider)


def _spaced(clips: list[Clip], count: int) -> list[Clip]:
    """Take so many of the clips at most, evenly spaced."""
    chosen = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    return [clips[i] for i in chosen]


def _advancing(clips: list[Clip], progress: Progress) -> Iterator[Clip]:
    """Show how far a loop over clips has come."""
    task = progress.add_task("Clips", total=len(clips), note="")
    for clip in clips:
        yield clip
        progress.advance(task)


def _embed_again(detector: Detector, embeddings: Embeddings, clips: Iterable[Clip]) -> Embeddings:
    """Embed the run's clips by another network, row for row."""
    normals = embeddings.normals
    views = {name: x.copy() for name, x in normals.views.items()}
    for clip in clips:
        rows = normals.clips == clip.name
        for name, x in analyse_clip(detector, clip).embeddings.items():
            views[name][rows] = x
    return Embeddings(replace(normals, views=views), embeddings.held_out)


def _clips(config: RunConfig, embeddings: Embeddings, data: Path | None) -> list[Clip]:
    """Find the sound files of the run's clips again."""
    root = data or Path(config.data)
    if not root.is_dir():
        raise MissingFileError(
            root, "folder with the sound files that the run was trained on; name it by --data"
        )
    known = set(embeddings.normals.clips.tolist())
    pieces: dict[str, list[str]] = {}
    for name in known:
        pieces.setdefault(piece_of(name)[0], []).append(name)
    clips = [
        clip if name == clip.name else replace(clip, name=name, start_s=piece_of(name)[1])
        for clip in find_clips(root, config.machine)
        for name in sorted(pieces.get(clip.name, []), key=lambda name: piece_of(name)[1])
    ]
    if len(clips) < len(known):
        raise DatasetError(
            root, f"has {len(clips)} of the {len(known)} clips that the run was trained on"
        )
    return clips


def _golden_clip(device: Detector, clips: list[Clip]) -> NDArray[np.int16]:
    """Mix the last clip into the first: no reference, so its score is more than rounding."""
    n = device.front_end.n_samples
    mixed = np.zeros(n, np.float32)
    for clip in (clips[0], clips[-1]):
        y = analyse_clip(device, clip).samples
        scale = 2**-15 if y.dtype == np.int16 else 1.0
        mixed += np.float32(0.5 * scale) * np.resize(y, n)
    # 16 bits are what the device replays, so they are also what the export looks at.
    samples: NDArray[np.int16] = np.clip(np.round(mixed * 32768), -32768, 32767).astype(np.int16)
    return samples


def _data_in_words(config: RunConfig, embeddings: Embeddings) -> str:
    normals = embeddings.normals
    sections = np.unique(normals.sections).tolist()
    return (
        f"{len(np.unique(normals.clips))} normal clips of {config.machine} in "
        f"{Path(config.data).name}, section{'s' if len(sections) > 1 else ''} "
        f"{', '.join(sections)}"
    )


def _provenance(config: RunConfig, embeddings: Embeddings) -> dict[str, Any]:
    held, clips = embeddings.held_out, embeddings.normals.clips
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "preset": config.preset.name,
        "recipe": config.preset.label,
        "seed": config.seed,
        "data": Path(config.data).name,
        "training_clips": len(np.unique(clips[~held])),
        "held_out_clips": len(np.unique(clips[held])),
        "exported_on": platform.machine(),
        "versions": config.versions
        | {name: version(name) for name in ("asd-edge", "onnx", "onnxruntime")},
    }
