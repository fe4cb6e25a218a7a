"""The documented Python API: what the commands asd-train and asd-evaluate do, as functions.

>>> from asd_training import evaluate, train
>>> run = train("data", "runs/simple", machine="fan", preset="statistics", cache="cache")
>>> evaluate("runs/simple", "data").official_score
1.0
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_training import presets, run_folder
from asd_training.data.training_table import check_sections, load_training_table
from asd_training.errors import RunError
from asd_training.learn import train as loop
from asd_training.learn.devices import choose_device, choose_precision, describe
from asd_training.learn.distributed import Group
from asd_training.presets import Preset
from asd_training.run_folder import RunConfig

if TYPE_CHECKING:
    from asd_training.evaluation.metrics import Results


def _ignore(what: object) -> None:
    """Do nothing; the default of callbacks."""


def train(
    data: str | Path,
    output: str | Path,
    *,
    machine: str | None = None,
    preset: str | Preset = "edge",
    changes: Sequence[str] = (),
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    channel: int | None = None,
    skip_damaged: bool = False,
    jobs: int | None = None,
    cache: str | Path | None = None,
    group: Group = Group(),  # noqa: B008 - frozen, so the default may be shared
    say: Callable[[str], None] = _ignore,
    on_step: loop.Report = _ignore,
    on_epoch: Callable[[Mapping[str, float]], None] = _ignore,
) -> RunConfig:
    """Train one machine and leave a finished run in a folder.

    Args:
        data: a data set, or a table made by asd-data features.
        output: the run folder.
        machine: the machine type; may be None where the data set has only one.
        preset: a recipe: the name of a preset, a path NAME.toml, or a `Preset`.
        changes: values of the recipe to set, as "training.lr=1e-4".
        seed: of the first weights, the draws and the held-out clips.
        resume: go on with the run in the folder, if there is one.
        device: "cpu", "cuda", "cuda:1", ... or "auto".
        precision: of the network in training: "float32", "bfloat16" or "auto".
        channel: of recordings of several, from 0; None takes the preset's, the mean as a rule.
        skip_damaged: leave out clips that cannot be read, up to a tenth of them.
        jobs: threads that compute features; default: the number of cores.
        cache: folder of computed features; default: in the user's cache.
        group: this process among those that train together.
        say: called with each warning, a sentence.
        on_step: called after each step.
        on_epoch: called after each epoch with its row of metrics.csv.

    Returns:
        the configuration that the run folder holds.

    Raises:
        AsdError: whatever is wrong with the data, the recipe or the run folder.

    Example:
        >>> from asd_training import train
        >>> small = ["training.epochs=1", "training.min_items=64", "training.batch_size=32"]
        >>> run = train("data", "runs/edge", preset="edge", changes=small, cache="cache")
        >>> run.machine, run.preset.training.epochs
        ('fan', 1)
    """
    data, output = Path(data), Path(output)
    recipe = _recipe(preset, changes, channel)
    # Before the features, which can take an hour.
    started = started_run(output, resume)
    with group.leader_first():  # it computes the features
        table = load_training_table(
            data,
            machine,
            recipe.front_end,
            None if cache is None else Path(cache),
            jobs,
            skip_damaged=skip_damaged,
            say=say if group.leads else _ignore,
        )
    check_sections(table, recipe)
    place = choose_device(device)
    precision = choose_precision(precision, place)
    config = RunConfig(
        preset=recipe,
        machine=str(table.clips["machine"][0]),
        data=str(data.resolve()),
        seed=seed,
        versions=run_folder.versions(),
        trained_on=describe(place, precision),
    )
    if started is not None:
        _check_same(output, started, config)
    loop.train(
        config,
        table,
        output,
        device=place,
        precision=precision,
        group=group,
        resume=started is not None,
        report=on_step if group.leads else _ignore,
        on_epoch=on_epoch,
    )
    return config


def _recipe(preset: str | Preset, changes: Sequence[str], channel: int | None) -> Preset:
    recipe = presets.load(preset, changes) if isinstance(preset, str) else preset
    if channel is None:
        return recipe
    front_end = dataclasses.replace(recipe.front_end, channel=channel)
    return dataclasses.replace(recipe, front_end=front_end)


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    machine: str | None = None,
    year: int | None = None,
    device: str = "auto",
    say: Callable[[str], None] = _ignore,
) -> Results:
    """Measure how well a run or a bundle tells the test clips of a data set apart.

    Args:
        model: a run, a bundle, or a folder that holds one of a machine each.
        data: the data set.
        machine: the only machine to evaluate.
        year: of DCASE Task 2 whose rules to follow; default: as the data set's layout tells.
        device: where runs compute.
        say: called with each failure and warning, a sentence.

    Returns:
        the metrics; see `asd_training.evaluation.metrics.Results`.

    Raises:
        AsdError: nothing can be evaluated, or no clip is labelled.

    Example:
        >>> from asd_training import evaluate
        >>> results = evaluate("runs/fan", "data")
        >>> results.rows[["section", "domain", "auc", "pauc"]]
          section  domain  auc  pauc
        0      00  source  1.0   1.0
        1      01  source  1.0   1.0
    """
    # Here, because scikit-learn and scipy take a second to import, and training needs neither.
    from asd_training.evaluation.machines import evaluate_model
    from asd_training.evaluation.metrics import evaluate as measure

    evaluation = evaluate_model(
        Path(model), Path(data), machine, device=choose_device(device), say=say
    )
    return measure(evaluation.scores, data, evaluation.year[0] if year is None else year)


def started_run(output: Path, resume: bool) -> RunConfig | None:
    """Give the configuration of the run to go on with, or None for a new run.

    Raises:
        RunError: the folder is in use: by a run that is not to go on, or by something else.
    """
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
