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
    from asd_training.run_folder import RunConfig


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

    def run_all(self, machines: list[str], output: Path) -> None:
        """Train one machine after the other; one that fails does not keep the rest from it."""
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
        from asd_training.data.training_table import check_sections, load_training_table
        from asd_training.learn.train import train
        from asd_training.progress import bar
        from asd_training.run_folder import RunConfig, versions

        # Before the features, which can take an hour.
        started = _check_output(output, self.resume)
        if not self.group.leads:
            self.group.wait()  # until the leader has computed the features
        table = load_training_table(
            self.data,
            machine,
            self.preset.front_end,
            self.cache,
            self.jobs,
            skip_damaged=self.skip_damaged,
            say=lambda sentence: (
                click.echo(f"Warning: {sentence}", err=True) if self.group.leads else None
            ),
        )
        if self.group.leads:
            self.group.wait()
        check_sections(table, self.preset)
        config = RunConfig(
            preset=self.preset,
            machine=str(table.clips["machine"].iloc[0]),
            data=str(self.data.resolve()),
            seed=self.seed,
            versions=versions(),
        )
        if started is not None:
            _check_same(output, started, config)
        try:
            with bar() as progress:
                history = train(
                    config,
                    table,
                    output,
                    device=self.device,
                    precision=self.precision,
                    group=self.group,
                    resume=started is not None,
                    report=_reporter(progress, config) if self.group.leads else lambda step: None,
                    on_epoch=lambda row: _say_epoch(row, config),
                )
        except KeyboardInterrupt:
            click.echo(f"Interrupted; --resume goes on with {output}", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        if not self.group.leads:
            return
        done = f"{output}: {len(table.clips)} clips of {config.machine}"
        if history:
            last = history[-1]
            done += (
                f", {len(history)} epochs in {sum(row['seconds'] for row in history):.0f} s, "
                + ", ".join(f"{name} {last[name]:.4f}" for name in last if name.endswith("loss"))
            )
        click.echo(done, err=True)


def _reporter(progress: Progress, config: RunConfig) -> Callable[[Step], None]:
    task: TaskID | None = None
    epochs = config.preset.training.epochs

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


def _say_epoch(row: Mapping[str, float], config: RunConfig) -> None:
    """Print one line an epoch where no progress bar is seen."""
    if sys.stderr.isatty():
        return
    losses = ", ".join(f"{name} {row[name]:.4f}" for name in row if name.endswith("loss"))
    epochs = config.preset.training.epochs
    click.echo(f"epoch {row['epoch']:.0f}/{epochs}: {losses}, {row['seconds']:.1f} s", err=True)


def _check_output(output: Path, resume: bool) -> RunConfig | None:
    """Give the configuration of the run to go on with, or None for a new run."""
    from asd_training import run_folder
    from asd_training.errors import RunError

    if not output.exists():
        return None
    # A process that was killed while it wrote its first file leaves a hidden one.
    if output.is_dir() and all(path.name.startswith(".run.") for path in output.iterdir()):
        return None
    if not (output / run_folder.CONFIG).is_file():
        raise RunError(output, "is there and is not a run; choose another output folder")
    if not resume:
        raise RunError(output, "is a run already; --resume goes on with it")
    # Interrupted in its first epoch, a run has no checkpoint and begins anew.
    return run_folder.read_config(output) if (output / run_folder.CHECKPOINT).exists() else None


def _check_same(output: Path, started: RunConfig, config: RunConfig) -> None:
    """Check that only the number of epochs differs: the rest makes another run."""
    from asd_training.errors import RunError

    def key(run: RunConfig) -> tuple[object, ...]:
        recipe = run.preset
        training = dataclasses.replace(recipe.training, epochs=0, patience=0, checkpoint_every=0)
        return (
            run.machine,
            run.seed,
            {**recipe.to_dict(), "training": dataclasses.asdict(training)},
        )

    if key(started) != key(config):
        raise RunError(output, "was started with another preset, machine, seed or batch size")


if __name__ == "__main__":
    main()
