"""asd-train: parse arguments, train, report the result."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asd_edge.cli.exit_status import INTERRUPTED, AsdCommand
from asd_edge.errors import AsdError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.progress import Progress, TaskID

    from asd_training.learn.distributed import Group
    from asd_training.learn.train import Step
    from asd_training.presets import Preset


@click.command(cls=AsdCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--machine",
    help="Machine type, or all: one run each, in folders below --output. "
    "May be left out where DATA has only one.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The run folder."
)
@click.option(
    "--preset",
    default="edge",
    show_default=True,
    help="Recipe: adacos, edge, report, statistics, triplet, or a TOML file of your own.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Change a value of the recipe, as training.lr=1e-4; may be repeated.",
)
@click.option(
    "--channel",
    type=click.IntRange(min=0),
    help="Use this channel, from 0, of recordings of several. Default: the mean of all.",
)
@click.option(
    "--skip-damaged",
    is_flag=True,
    help="Leave out training clips that cannot be read, up to a tenth of them.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the preset's.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Instead of the preset's.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder, if any.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ... or auto.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of the network in training; auto is bfloat16 on GPUs that have it.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Threads for features. Default: cores.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of computed features. Default: asd-edge/features in the user's cache.",
)
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Choice(["tensorboard", "mlflow"]),
    help="Write the metrics of each epoch for this program too, to OUTPUT/tensorboard or "
    "OUTPUT/mlflow; may be repeated.",
)
@click.version_option(package_name="asd-edge")
def main(
    data: Path,
    machine: str | None,
    output: Path,
    preset: str,
    changes: tuple[str, ...],
    channel: int | None,
    skip_damaged: bool,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    resume: bool,
    device: str,
    precision: str,
    jobs: int | None,
    cache: Path | None,
    logs: tuple[str, ...],
) -> None:
    """Learn the normal sound of a machine from DATA.

    DATA is a data set in the layout of DCASE Task 2 or MIMII, folders normal/ and
    anomaly/, or a table made by asd-data features. Only normal training clips are
    used, a share of which is held out for the threshold.

    torchrun --nproc-per-node N -m asd_training.cli.train ... trains on N processes or GPUs.
    """
    from asd_training import presets
    from asd_training.data.training_table import machines
    from asd_training.learn.devices import choose_device, choose_precision
    from asd_training.learn.distributed import group

    recipe = _changed(presets.load(preset, changes), epochs=epochs, batch_size=batch_size)
    if channel is not None:
        front_end = dataclasses.replace(recipe.front_end, channel=channel)
        recipe = dataclasses.replace(recipe, front_end=front_end)
    place = choose_device(device)
    with group(place) as (processes, own_place):
        job = _Job(
            data=data,
            preset=recipe,
            seed=seed,
            resume=resume,
            device=own_place,
            precision=choose_precision(precision, own_place),
            jobs=jobs,
            cache=cache,
            skip_damaged=skip_damaged,
            group=processes,
            logs=logs,
        )
        if machine != "all":
            job.run(machine, output)
            return
        job.run_all(machines(data), output)


def _changed(recipe: Preset, **changes: int | None) -> Preset:
    """Give a preset with other training settings; None leaves one as it is."""
    wanted: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    if wanted and recipe.model is None:
        name = f"--{next(iter(wanted)).replace('_', '-')}"
        raise click.UsageError(f"{name}: preset {recipe.name} trains no network.")
    training = dataclasses.replace(recipe.training, **wanted)
    return dataclasses.replace(recipe, training=training)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What is the same for all machines."""

    data: Path
    preset: Preset
    seed: int
    resume: bool
    device: str
    precision: str
    jobs: int | None
    cache: Path | None
    skip_damaged: bool
    group: Group
    logs: tuple[str, ...]

    def run_all(self, machines: list[str], output: Path) -> None:
        """Train one machine after the other; one that fails does not keep the rest from it."""
        from asd_training.api import started_run

        for name in machines:  # hours before their turn comes
            started_run(output / name, self.resume)
        failed = []
        for name in machines:
            try:
                self.run(name, output / name)
            except AsdError as error:
                if self.group.size > 1:  # the processes must stay together
                    raise
                click.echo(f"Error: {name}: {error}", err=True)
                failed.append(name)
        if failed:
            raise click.ClickException(
                f"{len(failed)} of {len(machines)} machines were not trained: {', '.join(failed)}"
            )

    def run(self, machine: str | None, output: Path) -> None:
        """Train one machine."""
        from asd_training import run_folder
        from asd_training.api import train
        from asd_training.progress import bar

        loggers = _loggers(self.logs, output)

        def on_epoch(row: Mapping[str, float]) -> None:
            _say_epoch(row, self.preset.training.epochs)
            for log in loggers:
                log(row)

        try:
            with bar() as progress:
                train(
                    self.data,
                    output,
                    machine=machine,
                    preset=self.preset,
                    seed=self.seed,
                    resume=self.resume,
                    device=self.device,
                    precision=self.precision,
                    skip_damaged=self.skip_damaged,
                    jobs=self.jobs,
                    cache=self.cache,
                    group=self.group,
                    say=lambda sentence: click.echo(f"Warning: {sentence}", err=True),
                    on_step=_reporter(progress, self.preset.training.epochs),
                    on_epoch=on_epoch,
                )
        except KeyboardInterrupt:
            click.echo(f"Interrupted; --resume goes on with {output}", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        if not self.group.leads:
            return
        config = run_folder.read_config(output)
        clips = len(set(run_folder.read_embeddings(output).normals.clips.tolist()))
        done = f"{output}: {clips} clips of {config.machine}"
        history = run_folder.read_metrics(output)
        if history:
            last = history[-1]
            done += (
                f", {len(history)} epochs in {sum(row['seconds'] for row in history):.0f} s, "
                + ", ".join(f"{name} {last[name]:.4f}" for name in last if name.endswith("loss"))
            )
        click.echo(done, err=True)


def _reporter(progress: Progress, epochs: int) -> Callable[[Step], None]:
    task: TaskID | None = None

    def report(step: Step) -> None:
        nonlocal task
        if task is None:  # only now, so that a resumed run's speed is not overrated
            task = progress.add_task("", completed=step.done - 1, total=step.total, note="")
        progress.update(
            task,
            completed=step.done,
            description=f"Epoch {step.epoch}/{epochs}",
            note=f"loss {step.loss:.4f}",
        )

    return report


def _loggers(names: tuple[str, ...], output: Path) -> list[Callable[[Mapping[str, float]], None]]:
    from asd_training import callbacks

    made: list[Callable[[Mapping[str, float]], None]] = []
    if "tensorboard" in names:
        made.append(callbacks.TensorBoardCallback(output / "tensorboard"))
    if "mlflow" in names:
        made.append(callbacks.MLflowCallback(output / "mlflow", run_name=output.name))
    return made


def _say_epoch(row: Mapping[str, float], epochs: int) -> None:
    """Print one line an epoch where no progress bar is seen."""
    if sys.stderr.isatty():
        return
    losses = ", ".join(f"{name} {row[name]:.4f}" for name in row if name.endswith("loss"))
    click.echo(f"epoch {row['epoch']:.0f}/{epochs}: {losses}, {row['seconds']:.1f} s", err=True)


if __name__ == "__main__":
    main()
