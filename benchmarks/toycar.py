"""Detection on real ToyCar clips: every preset beside detectors that need no training.

    python shared/tools/unpack_toycar.py toycar
    python benchmarks/toycar.py --data toycar

The folder holds the log-mel files of MLPerf Tiny's anomaly detection task (ToyADMOS ToyCar of
DCASE 2020 Task 2: 200 frames x 128 mels of n_fft 1024, hop 512, 16 kHz). Of each of the four
cars (ids, here sections) normal clips 0..239 are for training, the others and all anomalies
for testing. A run sees what a run of sound files would: the same hold-out, references,
calibration and scoring; only the front end is the files'.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from detection import Board

from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_training import presets
from asd_training.data.feature_table import FeatureTable
from asd_training.presets import Preset

MEL = MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=128, log="db", center=False)
FRAMES = 200
FRONT_END = FrontEnd(MEL, clip_seconds=((FRAMES - 1) * 512 + 1024) / 16000)
TRAINING_CLIPS = 240  # of each id, the first normal ones
_NAME = re.compile(r"(normal|anomaly)_id_(\d\d)_(\d+)_hist_librosa\.bin")


def read(folder: Path) -> FeatureTable:
    """Read the folder as the feature table that the sound files would have given."""
    rows, features = [], []
    for path in sorted(folder.glob("*.bin")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise click.ClickException(f"{path}: not named as MLPerf Tiny's ToyCar files are")
        label, section, number = match[1], match[2], int(match[3])
        train = label == "normal" and number < TRAINING_CLIPS
        rows.append((path.name, section, label, "train" if train else "test"))
        features.append(np.fromfile(path, "<f4").reshape(FRAMES, MEL.n_mels).T)
    if not rows:
        raise click.ClickException(f"{folder}: no files NAME_hist_librosa.bin")
    frame = pd.DataFrame(rows, columns=["clip", "section", "label", "split"]).assign(
        machine="ToyCar",
        domain="source",
        attributes="",
        n_windows=1,
        first=range(len(rows)),
        digest="",
    )
    clips = {name: np.array(frame[name].tolist()) for name in frame}
    return FeatureTable(FRONT_END, clips, np.stack(features))


def fitted(preset: Preset, epochs: int | None) -> Preset:
    """Give a preset whose input is these files, and its epochs unless others are asked for."""
    training = preset.training
    if epochs is not None and preset.model is not None:
        training = dataclasses.replace(training, epochs=epochs)
    return dataclasses.replace(preset, front_end=FRONT_END, training=training)


def amplitude(table: FeatureTable) -> FeatureTable:
    """Give amplitudes instead of decibels, which is the input of the report's network."""
    return dataclasses.replace(table, features=10 ** (table.features / 20))


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--preset", "names", multiple=True, help="Default: all that come with asd-edge.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the presets'.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one a detector and seed.")
def main(
    data: Path,
    names: tuple[str, ...],
    seeds: int,
    epochs: int | None,
    threads: int,
    as_json: bool,
) -> None:
    """Print AUC and pAUC of presets and training-free detectors on ToyCar clips."""
    torch.set_num_threads(threads)
    table = read(data)
    recipes = [fitted(presets.load(name), epochs) for name in names or presets.names()]
    board = Board(as_json)
    board.run(table, recipes, seeds, {"report": amplitude(table)})
    board.show("ToyCar, mean over ids")


if __name__ == "__main__":
    main()
