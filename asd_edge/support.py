"""What a bug report needs: versions, device, bundle, and a configuration without secrets."""

from __future__ import annotations

import hashlib
import json
import locale
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# onnxruntime comes in several packages, and two of them at once do not work.
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")
_VARIABLES = re.compile(r"(ASD_EDGE|ORT|OMP|OPENBLAS|PYTHON|LC|XDG)_\w+|LANG|TMPDIR|NO_COLOR")
# Settings that may hold a password or a token: addresses of people, and programs with arguments.
_SECRET = ("user", "webhooks", "apprise")


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that a score is computed with.

    Returns:
        name -> version; "mel kernel" -> its instruction set. What is not there says so.
    """
    found = {"Python": platform.python_version()}
    for name in ("numpy", *_RUNTIMES, "soundfile", "soxr", "click"):
        version = _version(name)
        if version or name not in _RUNTIMES:
            found[name] = version or "not installed"
    if not found.keys() & set(_RUNTIMES):
        found["onnxruntime"] = "not installed"
    found["mel kernel"] = _described(_kernel)
    return found


def report(bundle: Path | None = None, config: Path | None = None) -> dict[str, Any]:
    """Describe the installation and the device. Nothing that is broken makes it fail.

    Args:
        bundle: the bundle that is asked about; by default the one that the commands would take.
        config: configuration of the monitor; what may hold a secret is left out.

    Returns:
        heading -> text, list of texts, or heading -> text; the user's home is written as "~".
    """
    parts: dict[str, Callable[[], Any]] = {
        "asd-edge": lambda: f"{_version('asd-edge')}, {Path(__file__).parent}",
        "versions": versions,
        "extras": _extras,
        "Python": lambda: (
            f"{sys.executable} ({platform.python_implementation()}, {platform.architecture()[0]})"
        ),
        "system": _system,
        "processor": _processor,
        "memory": _memory,
        "kernels": _kernels,
        "environment": _environment,  # before onnxruntime is imported, which sets a variable
        "providers": _providers,
        "sound files": _sound_files,
        "microphones": _microphones,
        "text": _text,
        "bundle": lambda: _bundle(bundle),
    }
    if config is not None:
        parts["configuration"] = lambda: _configuration(config)
    return {name: _without_home(_described(make)) for name, make in parts.items()}


def _described(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # a report is wanted just when something is broken
        return f"is unknown ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _kernel() -> str:
    from asd_edge.frontend.mel import instruction_set

    return instruction_set()


def _kernels() -> str:
    from asd_edge.frontend.mel import instruction_sets

    return f"{_kernel()}, of {', '.join(instruction_sets())}"


def _extras() -> dict[str, str]:
    """Give the packages of the extras, but for those of developers."""
    from importlib.metadata import requires

    found = {}
    for line in requires("asd-edge") or []:
        match = re.match(r"([\w.-]+)[^;]*;\s*extra\s*==\s*['\"](\w+)['\"]", line)
        if match and match[2] not in ("dev", "docs") and match[1] != "asd-edge":
            found[match[1]] = _version(match[1]) or "not installed"
    return found


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    parts = (name, f"{platform.system()} {platform.release()}", platform.machine())
    return ", ".join(filter(None, (*parts, " ".join(platform.libc_ver()))))


def _processor() -> str:
    from asd_edge.bench.hardware import cores, cpu_model

    return f"{cpu_model()}, {cores()} cores for this process"


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 2**20:.0f} MiB"


def _providers() -> str:
    from asd_edge.model import providers, runtime

    return f"{', '.join(providers())} (onnxruntime {runtime().__version__} as imported)"


def _sound_files() -> str:
    import shutil

    import soundfile

    programs = [name for name in ("ffmpeg", "arecord") if shutil.which(name)]
    return f"libsndfile {soundfile.__libsndfile_version__}, {' and '.join(programs) or 'no ffmpeg'}"


def _microphones() -> list[str]:
    from asd_edge.audio.devices import devices

    return [f"{device.name}  {device.description}" for device in devices()]


def _text() -> str:
    stdout = getattr(sys.stdout, "encoding", None)
    place = locale.setlocale(locale.LC_CTYPE)
    return f"stdout {stdout}, file names {sys.getfilesystemencoding()}, locale {place}"


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in sorted(os.environ) if _VARIABLES.fullmatch(name)}


def _bundle(given: Path | None) -> dict[str, str]:
    from asd_edge.bundle import locate
    from asd_edge.bundle.format import MANIFEST, SCHEMA_VERSION, read_bundle

    found = locate.find(given)
    described = {"path": f"{found.path} ({found.origin or 'named'})"}
    manifest = found.path / MANIFEST
    if manifest.is_file():
        content = manifest.read_bytes()
        described["sha256"] = hashlib.sha256(content).hexdigest()
        described["schema"] = _described(lambda: str(json.loads(content).get("schema_version")))
        described["schema"] += f" (this asd-edge writes {SCHEMA_VERSION})"

    def holds() -> str:
        contents = read_bundle(found.path)
        clips = [f"{name} {len(x)}" for name, x in contents.calibration.scores.items()]
        views = ", ".join(contents.views)
        return f"{contents.machine} ({views}); normal clips of sections: {', '.join(clips)}"

    described["holds"] = _described(holds)
    return described


def _configuration(path: Path) -> dict[str, Any]:
    import dataclasses

    from asd_edge.monitor.config import read

    return _shown(dataclasses.asdict(read(path)))


def _shown(table: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not set and what may be secret."""
    shown: dict[str, Any] = {}
    for key, value in table.items():
        if value is None or value == ():
            continue
        if isinstance(value, dict):
            shown[key] = _shown(value)
        elif key in _SECRET:
            shown[key] = f"{len(value)} given" if isinstance(value, tuple) else "given"
        elif key == "command":
            shown[key] = f"{value[0]} and {len(value) - 1} arguments"
        else:
            shown[key] = list(value) if isinstance(value, tuple) else _plain(value)
    return shown


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _without_home(value: Any) -> Any:
    """Write the home directory, whose name is the user's, as "~"."""
    if isinstance(value, dict):
        return {key: _without_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_home(inner) for inner in value]
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails where there is none
    if isinstance(value, str) and len(home) > 1:
        return value.replace(home, "~")
    return value
