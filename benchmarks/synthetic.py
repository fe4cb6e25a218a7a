"""Detection on the synthetic machines: presets beside detectors that need no training.

    asd-data synth synth
    python benchmarks/synthetic.py --data synth

Any data set with test labels will do in the place of the synthetic one. The preset report,
whose input differs, takes hours a machine and is left out; name it by --preset to have it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import torch
from detection import Board

from asd_training import presets
from asd_training.data import feature_table
from asd_training.data.clips import find_clips


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--machine", "machines", multiple=True, help="Default: all that are in the data.")
@click.option("--preset", "names", multiple=True, help="Default: statistics and edge.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one a detector and seed.")
def main(
    data: Path,
    machines: tuple[str, ...],
    names: tuple[str, ...],
    seeds: int,
    threads: int,
    as_json: bool,
) -> None:
    """Print AUC and pAUC of presets and training-free detectors by machine."""
    torch.set_num_threads(threads)
    recipes = [presets.load(name) for name in names or ("statistics", "edge")]
    for machine in machines or sorted({clip.machine for clip in find_clips(data)}):
        board = Board(as_json)
        clips = find_clips(data, machine)
        tables = {}
        with tempfile.TemporaryDirectory() as folder:
            for number, recipe in enumerate(recipes):
                path = Path(folder) / f"{number}.parquet"
                feature_table.update(path, clips, recipe.front_end)
                tables[recipe.name] = feature_table.load(path)
        board.run(tables[recipes[0].name], recipes, seeds, tables)
        board.show(f"{machine}, mean over sections and domains")


if __name__ == "__main__":
    main()
