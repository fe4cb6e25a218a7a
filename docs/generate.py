"""Write the reference pages that follow from the code: `make docs-reference`.

    python docs/generate.py            # write docs/reference/*.md
    python docs/generate.py --check    # say which are out of date, exit status 1

The command lines come from click, the keys of presets and of the monitor's configuration from
their dataclasses, the kinds of errors from `asd_edge.errors`, and the fields of JSON outputs from
the schemas in docs/reference/schemas. Figures in README and docs are those that benchmarks
recorded (`benchmarks/figures.py`). The pages are kept in the repository, so that they can be
read there; `tests/docs/test_generated.py` fails when one is out of date.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

DOCS = Path(__file__).parent
REFERENCE, README = DOCS / "reference", DOCS.parent / "README.md"
FIGURES = DOCS.parent / "benchmarks" / "figures.json"
NOTE = "<!-- Written by docs/generate.py. Change the code and run `make docs-reference`. -->\n\n"


def commands() -> str:
    """Describe every command with its arguments and options."""
    from asd_edge.cli.main import main as edge

    roots: dict[str, click.Command] = {"asd-edge": edge}
    for name in ("data", "train", "evaluate"):
        roots[f"asd-{name}"] = import_module(f"asd_training.cli.{name}").main
    roots["asd-export"] = import_module("asd_export.cli").main
    parts = [
        "# Commands\n",
        "Results go to stdout, everything else to stderr. Exit status: 0 all done, 1 something "
        "could not be done (the rest was), 2 wrong usage, 3 an anomalous clip with "
        "`--fail-on-anomaly`, "
        "130 interrupted. `-h` or `--help` prints the same text as this page.\n",
    ]
    for name, command in roots.items():
        parts += [_command(path, c) for path, c in _walk(name, command)]
    return "\n".join(parts)


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _walk(f"{name} {child}", found)


def _command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "").replace("<", "&lt;")  # "<day>" is no HTML
    lines = [f"## {path}\n", "```text", usage, "```\n", text + "\n"]
    rows = []
    for parameter in command.get_params(context):  # the text describes the arguments
        if parameter.param_type_name != "option":
            continue
        record = parameter.get_help_record(context)
        if record and "--help" not in record[0] and "--version" not in record[0]:
            rows.append((f"`{record[0]}`", record[1]))
    if rows:
        lines.append(_table(("option", "meaning"), rows))
    return "\n".join(lines).replace("\b\n", "")


def presets() -> str:
    """Describe every key of a preset, with its default and its value in each preset."""
    from asd_edge.frontend.mel import MelConfig
    from asd_edge.frontend.windows import FrontEnd
    from asd_edge.scoring.views import ScoringConfig
    from asd_training import preset_tables as tables
    from asd_training import presets as module

    names = module.names()
    tables: dict[str, tuple[type, ...]] = {
        "front_end": (FrontEnd,),
        "front_end.mel": (MelConfig,),
        "model": (tables.ModelConfig,),
        "statistics": (tables.StatisticsConfig,),
        "loss": (tables.LossConfig,),
        "augment": (tables.AugmentConfig,),
        "training": (tables.TrainingConfig,),
        "scoring.VIEW": (ScoringConfig, tables.ViewConfig),
    }
    loaded = {name: module.load(name).to_dict() for name in names}
    parts = [
        "# Presets and their keys\n",
        f"A preset is a TOML file; {', '.join(f'`{n}`' for n in names)} come with asd-edge "
        "(`training/asd_training/presets/`). A file of your own names a `base` and what differs:\n",
        '```toml\nbase = "edge"\n\n[training]\nlr = 5e-4\n```\n',
        "`asd-train --preset mine.toml` reads it; `--set training.lr=5e-4` changes one value. "
        "In `[scoring.VIEW]`, VIEW is `embedding` (learned) or `statistics`.\n",
    ]
    for table, configs in tables.items():
        rows = []
        for config in configs:
            for key, kind, default, text in _fields(config):
                if key in ("mel", "scoring"):
                    continue
                used = [
                    f"{name}: {_value(value)}"
                    for name, preset in loaded.items()
                    for value in _lookup(preset, table, key)
                ]
                rows.append((f"`{key}`", kind, default, text, _briefly(used, len(names))))
        head = ("key", "type", "default", "meaning", "in the presets")
        parts += [f"## [{table}]\n", _table(head, rows)]
    return "\n".join(parts)


def _briefly(used: list[str], presets: int) -> str:
    """Give values of presets, as "edge: 32"; one for all if they are alike."""
    values = [x.partition(": ")[2] for x in used]
    if len(used) == presets and len(set(values)) == 1:
        return values[0]
    return "<br>".join(used) or "-"


def _lookup(preset: dict[str, Any], table: str, key: str) -> Iterator[Any]:
    """Values of a key in a preset: one, or one a view."""
    first, _, rest = table.partition(".")
    here = preset.get(first, {})
    if rest == "VIEW":
        yield from (values[key] for values in here.values() if key in values)
    elif rest:
        yield from (here[rest][key] for _ in range(key in here.get(rest, {})))
    else:
        yield from (here[key] for _ in range(key in here))


def monitor_config() -> str:
    """Describe every key of the monitor's configuration file."""
    from asd_edge.monitor import config, outlet_config

    tables: dict[str, type] = {
        "": config.Config,
        "machines.NAME": config.MachineConfig,
        "alarms": config.AlarmConfig,
        "history": config.HistoryConfig,
        "web": outlet_config.WebConfig,
        "mqtt": outlet_config.MqttConfig,
        "notify": outlet_config.NotifyConfig,
    }
    parts = [
        "# The monitor's configuration\n",
        "One TOML file, which `asd-edge monitor --print-config` writes with comments, "
        "`asd-edge monitor FILE --check` tests, and SIGHUP makes the daemon read again. "
        "An unknown key is an error that names the nearest one. The program never rewrites "
        "the file. Paths are relative to it.\n",
    ]
    for table, made in tables.items():
        rows = [
            (f"`{key}`", kind, default, text)
            for key, kind, default, text in _fields(made)
            if table or key == "node"
        ]
        parts.append(f"## {f'[{table}]' if table else 'At the top of the file'}\n")
        if table == "machines.NAME":
            parts.append("One table for each machine; NAME is its id in topics and addresses.\n")
        parts.append(_table(("key", "type", "default", "meaning"), rows))
    example = Path(import_module("asd_edge.monitor").__file__ or "").parent / "example.toml"
    parts += ["## The commented example\n", f"```toml\n{example.read_text()}```\n"]
    return "\n".join(parts)


def errors() -> str:
    """Draw the tree of errors with what each stands for."""
    from asd_edge import errors as module

    others = ("errors", "presets", "learn.devices")
    modules = [module, *(import_module(f"asd_training.{name}") for name in others)]
    modules.append(import_module("asd_export.errors"))
    classes = [
        c
        for m in modules
        for c in vars(m).values()
        if inspect.isclass(c) and issubclass(c, module.AsdError) and c.__module__ == m.__name__
    ]
    rows = []
    for c in classes:
        builtins = [b.__name__ for b in c.__mro__ if b.__module__ == "builtins"]
        where = "" if c.__module__ == module.__name__ else f" ({c.__module__})"
        doc = inspect.cleandoc(c.__doc__ or "")
        kinds = re.findall(r'"(\w+)"', doc) or [c.kind]
        first = doc.splitlines()[0]
        rows.append(
            (f"`{c.__name__}`{where}", builtins[0], " ".join(f"`{k}`" for k in kinds), first)
        )
    tree = (module.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    return "\n".join(
        [
            "# Errors\n",
            "Whatever a user can cause is an `asd_edge.AsdError`, and the builtin that fits as "
            "well. `kind` is for programs; the message says what is wrong, with which file, and "
            "what to do. "
            "On the command line an error is one line on stderr and exit status 1.\n",
            f"```text\n{inspect.cleandoc(tree)}\n```\n",
            _table(("class", "is also", "kind", "when"), rows),
            "## Warnings\n",
            "A warning does not end anything: it is in JSON as `warnings`, marked in the table, "
            "and said once on stderr.\n",
            _table(("kind", "what may make the decision worthless"), list(WARNINGS.items())),
        ]
    )


def json_outputs() -> str:
    """Describe the fields of every JSON output from its schema."""
    parts = [
        "# JSON outputs and tables\n",
        "With `--json` a command prints JSON Lines: one object a line, as soon as there is one. "
        "Each has a [JSON Schema](https://json-schema.org/), which tests hold the commands to. "
        "Fields may be added; those named here keep their meaning. The files that `asd-evaluate` "
        "leaves for programs are described here too.\n",
    ]
    for path in sorted((REFERENCE / "schemas").glob("*.json")):
        schema = json.loads(path.read_text())
        parts += [
            f"## {_as_code(schema['title'])}\n",
            f"{schema['description']} Schema: [`{path.name}`](schemas/{path.name}).\n",
            _table(("field", "type", "meaning"), list(_properties(schema, ""))),
        ]
    return "\n".join(parts)


def _as_code(title: str) -> str:
    """Set a command, file or topic in a title as code."""
    if " of " in title:
        files, _, command = title.partition(" of ")
        return ", ".join(f"`{name}`" for name in files.split(", ")) + f" of `{command}`"
    return f"MQTT `{title[5:]}`" if title.startswith("MQTT ") else f"`{title}`"


def _properties(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for variant in (schema, *schema.get("oneOf", ())):
        required = variant.get("required", ())
        for name, value in variant.get("properties", {}).items():
            kinds = value.get("type", "string")
            kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
            if "enum" in value:
                kind = ", ".join(f"`{x}`" for x in value["enum"])
            optional = "" if name in required else " (not always)"
            yield f"`{prefix}{name}`", kind + optional, value.get("description", "")
            if value.get("type") == "array" and "properties" in value.get("items", {}):
                yield from _properties(value["items"], f"{prefix}{name}[].")
            elif "properties" in value:
                yield from _properties(value, f"{prefix}{name}.")
            elif isinstance(every := value.get("additionalProperties"), dict):
                yield from _properties(every, f"{prefix}{name}.NAME.")


def _fields(config: type) -> Iterator[tuple[str, str, str, str]]:
    """Give (name, type, default, meaning) of a dataclass whose docstring names its attributes."""
    texts = _attributes(inspect.cleandoc(config.__doc__ or ""))
    for field in dataclasses.fields(config):
        if field.default is not dataclasses.MISSING:
            default = _value(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = "-" if field.name == "node" else _value(field.default_factory())
        else:
            default = "required"
        text = texts.get(field.name, "")
        yield field.name, _kind(str(field.type)), default, text[:1].upper() + text[1:]


def _attributes(doc: str) -> dict[str, str]:
    """Read the section "Attributes" of a docstring: name -> text; "a, b: text" gives both."""
    found: dict[str, str] = {}
    names: list[str] = []
    section = doc.partition("Attributes:\n")[2].split("\n\n")[0]
    for line in section.splitlines():
        head = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if head and not line.startswith("     "):
            names = head[1].split(", ")
            found |= dict.fromkeys(names, head[2].strip())
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _kind(annotation: str) -> str:
    """Word a type as TOML knows it."""
    text = annotation.replace(" | None", "")
    if "tuple" in text:
        return "list"
    words = {"str": "text", "Path": "path", "int": "integer", "float": "number", "bool": "boolean"}
    if text.startswith("Channel") or "Literal" in text:
        return '"mean" or integer' if "mean" in text or text == "Channel" else "text"
    return words.get(text, "text" if text == "Mode" else "table")


def _value(value: Any) -> str:
    if value is None or value in ((), [], {}):
        return "-"
    if dataclasses.is_dataclass(value):
        return "-"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(value, default=str)}`"


def _table(head: tuple[str, ...], rows: typing.Sequence[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(c.replace("\n", " ").replace("|", "\\|") for c in cells) + " |"

    return "\n".join([row(head), "|" + "---|" * len(head), *map(row, rows)]) + "\n"


WARNINGS = {
    "`offset`": "The recording has a constant offset larger than its sound; it is removed.",
    "`leading_silence`": "The clip begins with zeros, or with the noise of the last bit.",
    "`trailing_silence`": "The clip ends with zeros, or with the noise of the last bit.",
    "`gaps`": "One value, or the noise of the last bit, for a time: samples lost, input muted.",
    "`repeats`": "The recorder plays the same samples again and again for a time.",
    "`upsampled`": "Samples of a lower rate, each repeated or joined by straight lines.",
    "`clipping`": "Samples at full scale: the gain is too high.",
    "`level`": "Much louder or quieter than every clip that was enrolled.",
    "`length`": "Shorter than the clips that were enrolled; it is repeated to fill a window.",
    "`longer`": "Judged by more at once than twice the length of the clips enrolled.",
    "`bandwidth`": "Nothing at high frequencies, where all clips enrolled have sound.",
    "`rate`": "Recorded at a rate too low for the model's frequencies.",
    "`encoding`": "Of a lossy format (MP3, AAC), unlike the clips enrolled, or the reverse.",
    "`channel`": "Of another channel than the one that the bundle is about, as you asked.",
    "`silent_windows`": "Windows without any sound, which are left out of the decision.",
    "`dead_channel`": "A channel without sound or with mere noise, which makes the mean quieter.",
    "`inverted_channel`": "Channels with opposite sound, which partly cancel in the mean.",
    "`unfinished`": "The header lacks the length (a recorder lost power?); read to the end.",
    "`wrapped`": "The recording is longer than its header can state; read to the end.",
    "`more_sound`": "Bytes behind what the header states; they are not read.",
    "`no_length`": "The format's header has no length, so that a cut-off file looks whole.",
    "`cut_off`": "An MP3 file without a length whose last frame is not whole.",
    "`decoder`": "The MPEG decoder complains: the file may be damaged.",
    "`outlier`": "At enrolment: much further from the other clips than they are from each other.",
    "`duplicate`": "At enrolment: the same sound as another clip, also in another format.",
}

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "presets.md": presets,
    "monitor-config.md": monitor_config,
    "errors.md": errors,
    "json-outputs.md": json_outputs,
}


def outdated() -> dict[Path, str]:
    """Give the pages that are not what the code and the benchmarks give, with what they should be.

    Raises:
        KeyError: a page quotes a figure that no benchmark has recorded.
    """
    wanted = {REFERENCE / name: NOTE + make().rstrip() + "\n" for name, make in PAGES.items()}
    for path in (README, *DOCS.rglob("*.md")):
        wanted.setdefault(path, with_figures(path.read_text()))
    return {p: text for p, text in wanted.items() if not p.is_file() or p.read_text() != text}


def with_figures(text: str) -> str:
    """Put the recorded value into each `<!--figure NAME-->...<!--/figure-->` of a page.

    A format may follow the name, as in `<!--figure real_slider_all_auc .3f-->`.
    """
    runs = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    recorded = {name: x for run in runs.values() for name, x in run["figures"].items()}

    def value(found: re.Match[str]) -> str:
        figure = format(recorded[found[1]], (found[2] or "").strip() or ".3g")
        return f"<!--figure {found[1]}{found[2] or ''}-->{figure}<!--/figure-->"

    return re.sub(r"<!--figure (\w+)( [^ >-]+)?-->.*?<!--/figure-->", value, text)


def main() -> int:
    """Write or check the pages."""
    old = outdated()
    for path, text in old.items():
        if "--check" not in sys.argv:
            path.write_text(text)
        print(path)
    return int("--check" in sys.argv and bool(old))


if __name__ == "__main__":
    sys.exit(main())
