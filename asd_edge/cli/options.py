"""Options that the commands of asd-edge share, and opening the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from asd_edge.audio.recording import Channel
    from asd_edge.bundle.format import Bundle
    from asd_edge.detector import Detector
    from asd_edge.model import EmbeddingModel

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic in newer releases only


class ChannelType(_ParamType):
    """Value of `--channel`: "mean", or the number of a channel, from 0."""

    name = "mean|N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Channel:
        if value == "mean":
            return "mean"
        try:
            number = int(value)
        except ValueError:
            number = -1
        if number < 0:
            self.fail(f"{value!r} is neither 'mean' nor the number of a channel, from 0")
        return number


_MOST_CHANNELS = 1024  # as in audio.decoding, which takes its time to import


class RawType(_ParamType):
    """Value of `--raw`: rate in Hz and number of channels, "48000,2"."""

    name = "RATE,CHANNELS"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        try:
            rate, channels = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a rate in Hz and a number of channels, such as 16000,1")
        if rate < 1 or channels < 1:
            self.fail(f"{value!r}: the rate and the number of channels are at least 1")
        if channels > _MOST_CHANNELS:
            self.fail(f"{value!r}: the number of channels is at most {_MOST_CHANNELS}")
        return rate, channels


provider_option = click.option(
    "--provider",
    default="cpu",
    show_default=True,
    help="Where the network runs: cpu, cuda, cuda-tf32 (rounds: scores differ in the fourth "
    "digit), xnnpack, acl, ... or auto (cuda where it starts, else cpu).",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads that the network may use.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
WHICH_BUNDLE = (
    "The bundle, a folder NAME.asd. Default: what the environment variable ASD_EDGE_BUNDLE names, "
    "default.asd in the user's data folder (~/.local/share/asd-edge), or the built-in one."
)


class _NamedPath(click.Path):
    """A path that is not empty, as of a variable that is not set: that would be this folder."""

    def convert(self, value: Any, parameter: Any, context: Any) -> Any:
        """Give it as a Path."""
        if value in ("", b""):
            self.fail("an empty name; is a variable not set?", parameter, context)
        return super().convert(value, parameter, context)


NAMED_PATH = _NamedPath(path_type=Path)

bundle_argument = click.argument("bundle", required=False, type=NAMED_PATH)


def network(detector: Detector) -> EmbeddingModel:
    """Give the model of a detector that was made from a bundle."""
    from asd_edge.model import EmbeddingModel

    assert isinstance(detector.model, EmbeddingModel)
    return detector.model


def say_provider(detector: Detector, asked: str) -> None:
    """Say on stderr what "auto" has taken; every other provider is the one that was asked for."""
    if asked == "auto":
        click.echo(f"Provider: {network(detector).provider}", err=True)


def open_bundle(given: Path | None) -> tuple[Path, Bundle]:
    """Read the bundle that is meant, and say which one that is where none was named."""
    from asd_edge.bundle import locate
    from asd_edge.bundle.format import read_bundle

    found = locate.find(given)
    contents = read_bundle(found.path)
    if found.origin:
        click.echo(locate.describe(found, contents), err=True)
    return found.path, contents


def check_section(detector: Detector, section: str | None, bundle: Path) -> None:
    """Refuse a `--section` that the bundle does not know; None is always fine.

    Raises:
        click.BadParameter: says which ones it knows.
    """
    if section is not None and section not in detector.scorer.sections:
        known = ", ".join(detector.scorer.sections)
        raise click.BadParameter(f"{bundle} knows {known}, not {section!r}.", param_hint="section")
