"""asd-train: parse arguments, train, say what was done."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli_support import AsdCommand

if TYPE_CHECKING:
    from rich.progress import TaskID

    from asd_training.run import RunConfig
    from asd_training.train import Step


@click.command(cls=AsdCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--machine", help="Machine type; may be left out where DATA has only one.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The run folder."
)
@click.option(
    "--preset",
    default="edge",
    show_default=True,
    help="Recipe: edge, report, or a TOML file of your own.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the preset's.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Instead of the preset's.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder, if any.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ... or auto.")
@click.option("--jobs", type=click.IntRange(min=1), help="Threads for features. Default: cores.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of computed features. Default: asd-edge/features in the user's cache.",
)
@click.version_option(package_name="asd-edge")
def main(
    data: Path,
    machine: str | None,
    output: Path,
    preset: str,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    resume: bool,
    device: str,
    jobs: int | None,
    cache: Path | None,
) -> None:
    """Learn the normal sound of a machine from DATA.

    DATA is a data set in the layout of DCASE Task 2 or MIMII, folders normal/ and
    anomaly/, or a table made by asd-data features. Only normal training clips are
    used, a share of which is held out for the threshold.
    """
    from asd_training import presets
    from asd_training.devices import choose_device
    from asd_training.progress import bar
    from asd_training.run import RunConfig, versions
    from asd_training.train import train
    from asd_training.training_data import load_training_table

    recipe = presets.load(preset)
    changes = {"epochs": epochs, "batch_size": batch_size}
    training = dataclasses.replace(
        recipe.training, **{name: value for name, value in changes.items() if value is not None}
    )
    recipe = dataclasses.replace(recipe, training=training)
    place = choose_device(device)
    # Before the features, which can take an hour.
    started = _check_output(output, resume)
    table = load_training_table(data, machine, recipe.front_end, cache, jobs)
    config = RunConfig(
        preset=recipe,
        machine=str(table.clips["machine"].iloc[0]),
        data=str(data.resolve()),
        seed=seed,
        versions=versions(),
    )
    if started is not None:
        _check_same(output, started, config)
    with bar() as progress:
        task: TaskID | None = None

        def report(step: Step) -> None:
            nonlocal task
            if task is None:  # only now, so that a resumed run's speed is not overrated
                task = progress.add_task("", completed=step.done - 1, total=step.total, note="")
            progress.update(
                task,
                completed=step.done,
                description=f"Epoch {step.epoch}/{recipe.training.epochs}",
                note=f"loss {step.loss:.4f}",
            )

        history = train(
            config, table, output, device=place, resume=started is not None, report=report
        )
    last = history[-1]
    click.echo(
        f"{output}: {len(table.clips)} clips of {config.machine}, {len(history)} epochs in "
        f"{sum(row['seconds'] for row in history):.0f} s, "
        + ", ".join(f"{name} {last[name]:.4f}" for name in last if name.endswith("loss")),
        err=True,
    )


def _check_output(output: Path, resume: bool) -> RunConfig | None:
    """Give the configuration of the run to go on with, or None for a new run."""
    from asd_training import run
    from asd_training.errors import RunError

    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    if not (output / run.CONFIG).is_file():
        raise RunError(output, "is there and is not a run; choose another output folder")
    if not resume:
        raise RunError(output, "is a run already; --resume goes on with it")
    # Interrupted in its first epoch, a run has no checkpoint and begins anew.
    return run.read_config(output) if (output / run.CHECKPOINT).exists() else None


def _check_same(output: Path, started: RunConfig, config: RunConfig) -> None:
    """Check that only the number of epochs differs: the rest makes another run."""
    from asd_training.errors import RunError

    def key(run: RunConfig) -> tuple[object, ...]:
        recipe = run.preset
        return (
            run.machine,
            run.seed,
            dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=1)),
        )

    if key(started) != key(config):
        raise RunError(output, "was started with another preset, machine, seed or batch size")
