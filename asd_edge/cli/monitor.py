"""asd-edge monitor: listen day and night."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli.exit_status import AsdCommand
from asd_edge.cli.startup import quick_start

if TYPE_CHECKING:
    from asd_edge.monitor.config import Config


@click.command(cls=AsdCommand)
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.argument("recordings", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Test devices, level, load, broker and disk, and end.")
@click.option("--devices", is_flag=True, help="List the microphones of this device, and end.")
@click.option("--print-config", is_flag=True, help="Print a commented example of CONFIG, and end.")
@click.option("--print-unit", is_flag=True, help="Print a systemd unit for CONFIG, and end.")
@click.option("--hash-password", is_flag=True, help="Make the line for a password file, and end.")
@click.option(
    "--replay",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE...",
    help="Play these recordings instead of the microphone. Their history is kept apart from that "
    "of the microphone.",
)
@click.option("--machine", help="The machine that --replay is for, if there are several.")
def monitor(
    config: Path | None,
    recordings: tuple[Path, ...],
    check: bool,
    devices: bool,
    print_config: bool,
    print_unit: bool,
    hash_password: bool,
    replay: tuple[Path, ...],
    machine: str | None,
) -> None:
    """Listen to the machines of CONFIG (TOML), decide, and raise alarms, until interrupted."""
    if print_config:
        click.echo((Path(__file__).parents[1] / "monitor" / "example.toml").read_text(), nl=False)
        return
    if devices:
        _print_devices()
        return
    if hash_password:
        _hash_password()
        return
    if config is None:
        raise click.UsageError("name the configuration file; --print-config prints an example.")
    if recordings and not replay:
        raise click.UsageError(f"one configuration file, not {recordings[0]} too.")
    if print_unit:
        _print_unit(config)
        return
    with quick_start():
        from asd_edge.monitor.config import read
        from asd_edge.monitor.daemon import Daemon
    settings = read(config)
    if check:
        _check(settings)
    elif replay:
        _replay(settings, machine, (*replay, *recordings))
    else:
        Daemon(settings, config, _say).run()


def _say(line: str) -> None:
    from asd_edge.cli.display import harmless

    click.echo(harmless(line), err=True)


def _print_devices() -> None:
    from asd_edge.audio.devices import devices

    found = devices()
    if not found:
        raise click.ClickException("no microphone is here; does `arecord -l` list one?")
    for device in found:
        click.echo(f"{device.name}  {device.description}")


def _print_unit(config: Path) -> None:
    from asd_edge.monitor.config import read
    from asd_edge.monitor.systemd import program, unit, unreachable

    bundles = [machine.bundle for machine in read(config).machines.values()]
    for path in unreachable([program(), config, *bundles]):
        click.echo(
            f"Warning: {path} lies in a home, which the service cannot read; move it to /opt or "
            "/etc, and bundles to /var/lib/asd-edge, where `was normal` can write them.",
            err=True,
        )
    click.echo(unit(config), nl=False)


def _hash_password() -> None:
    from asd_edge.monitor.web.passwords import hash_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    click.echo(hash_password(password))


def _check(settings: Config) -> None:
    from asd_edge.monitor.check import check

    wrong = 0
    for what, trouble in check(settings):
        wrong += trouble is not None
        click.echo(f"{what}: {trouble or 'fine'}")
    if wrong:
        click.echo(f"{wrong} of these need{'s' if wrong == 1 else ''} attention.", err=True)
        sys.exit(1)


def _replay(settings: Config, machine: str | None, files: tuple[Path, ...]) -> None:
    from asd_edge.monitor.events import AlarmEvent, Bus
    from asd_edge.monitor.replay import START, Replay, read_files

    if machine is None and len(settings.machines) > 1:
        raise click.UsageError(f"name one of {', '.join(settings.machines)} with --machine.")
    name = machine or next(iter(settings.machines))
    if name not in settings.machines:
        raise click.BadParameter(f"no machine is called {name!r}.", param_hint="--machine")
    folder = settings.history.path / "replay"
    history = dataclasses.replace(settings.history, folder=folder)
    bus = Bus()
    events = bus.subscribe("replay", 10_000)
    play = Replay(dataclasses.replace(settings, history=history), name, bus, _say)
    try:
        for block in read_files(files, play.rate, play.channels):
            play.play([block])
            while isinstance(event := events.get(0), AlarmEvent):
                click.echo(
                    f"{event.at - START:10.1f} s  {event.action}  {event.episode.kind}  "
                    f"{event.episode.sentence}".rstrip()
                )
    finally:
        play.close()
    counts = ", ".join(f"{n} {kind}" for kind, n in play.machine.counts.items() if n)
    _say(f"{name}: {counts}; the history is in {folder}")
