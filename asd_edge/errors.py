"""The family of errors: each is an AsdError and also the builtin that fits.

    AsdError
    +-- ParameterError (ValueError)             "parameter"
    +-- MissingFileError (FileNotFoundError)    "missing_file"
    +-- AudioError (ValueError)                 "unreadable", "truncated", "silent", ...
    |   +-- UnfitError                          "silent", "overdriven", "too_short", ...
    +-- BundleError (ValueError)                "bundle"
    +-- EnrollmentError (ValueError)            "enrolment"
    +-- ProviderError (ValueError)              "provider"
    +-- OptionalDependencyError (ImportError)   "missing_dependency"
    +-- ConfigError (ValueError)                "config"
    +-- HistoryError (OSError)                  "history"
    +-- CommandError (RuntimeError)             "command"
        +-- NoSuchTargetError (LookupError)     "no_such_target"

Behind each class are the values of `kind`, by which a program tells errors apart. A message says
what is wrong, with which file, and what to do. It is made in the class, so that every place that
raises an error words it alike.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path


class AsdError(Exception):
    """Base class: whatever asd-edge itself reports about its input.

    Attributes:
        kind: machine-readable reason; see the module.

    Example:
        >>> from asd_edge import AsdError, Detector
        >>> try:
        ...     Detector.load("nowhere.asd")
        ... except AsdError as error:
        ...     print(error.kind, isinstance(error, FileNotFoundError))
        missing_file True
    """

    kind: str = "error"


class ParameterError(AsdError, ValueError):
    """A parameter outside its range."""

    kind = "parameter"

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name} is {value!r}; expected {expected}")


class MissingFileError(AsdError, FileNotFoundError):
    """A file or folder that is not there."""

    kind = "missing_file"

    def __init__(self, path: str | Path, what: str = "file", advice: str = "") -> None:
        scheme, colon, _ = str(path).partition(":/")  # a Path makes one slash of two
        if colon and len(scheme) > 1 and scheme.isalnum():
            advice = f"URLs are not read: {'give the path' if scheme == 'file' else 'download it'}"
        super().__init__(f"{path}: no such {what}" + (f"; {advice}" if advice else ""))


class AudioError(AsdError, ValueError):
    """A file that exists but cannot be scored as sound.

    Attributes:
        kind: machine-readable reason: "unreadable", "empty", "truncated", "silent", "too_short",
            "not_finite", "rate", "no_such_channel", "channels_cancel", "needs_ffmpeg".
    """

    def __init__(self, path: str | Path, reason: str, kind: str = "unreadable") -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class UnfitError(AudioError):
    """A clip that can be read but not judged.

    Attributes:
        kind: machine-readable reason: "silent", "mostly_silent", "overdriven", "int16_scale",
            "too_short", "too_long", "lower_rate".
    """

    def __init__(self, path: str | Path, reason: str, kind: str) -> None:
        advice = "; is the input muted, or is it another device?" if kind == "silent" else ""
        super().__init__(path, f"cannot be judged: it {reason}{advice}", kind)
        self.reason = reason


class BundleError(AsdError, ValueError):
    """A bundle that is damaged, incomplete or of another version."""

    kind = "bundle"

    def __init__(self, path: str | Path, part: str, reason: str) -> None:
        self.part = part
        super().__init__(f"{path}: {part} {reason}")


class EnrollmentError(AsdError, ValueError):
    """Clips that no bundle can be made of, or a bundle that they cannot be added to."""

    kind = "enrolment"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ProviderError(AsdError, ValueError):
    """An execution provider that this onnxruntime build does not have, or that fails.

    Args:
        name: what the user asked for.
        available: short names of the others that the build has.
        reason: what is wrong with it, if not that it is missing.
        advice: what to do: how to get a build that has it, and the libraries that it needs.
    """

    kind = "provider"

    def __init__(
        self,
        name: str,
        available: Iterable[str],
        reason: str | None = None,
        advice: str | None = None,
    ) -> None:
        reason = reason or "is not in this onnxruntime build"
        end = f". {advice}" if advice else ""
        super().__init__(f"provider {name!r} {reason}; it has: {', '.join(available)}{end}")


class OptionalDependencyError(AsdError, ImportError):
    """A feature whose extra is not installed.

    No package index has asd-edge, but the pip of its own environment finds it installed there and
    adds what the extra names; so the message names that environment's Python. Environments that
    uv or a container file made have no pip.
    """

    kind = "missing_dependency"

    def __init__(self, package: str, extra: str) -> None:
        # Here, because almost no process gets to this line.
        import shlex
        from importlib.util import find_spec

        python = shlex.quote(sys.executable or "python3")
        install = f"to install it: {python} -m pip install 'asd-edge[{extra}]'"
        if find_spec("pip") is None:
            install = (
                f"it comes with asd-edge[{extra}]; {python} has no pip, so it is added by "
                "what made that environment"
            )
        super().__init__(f"{package} is not installed; {install}")


class ConfigError(AsdError, ValueError):
    """A configuration file with a key that is unknown, missing, or has a wrong value."""

    kind = "config"

    def __init__(self, path: str | Path, key: str, reason: str) -> None:
        self.key = key
        super().__init__(f"{path}: {key} {reason}")


class HistoryError(AsdError, OSError):
    """A history that cannot be read or written."""

    kind = "history"

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class CommandError(AsdError, RuntimeError):
    """A command that the daemon refuses as things are, such as a second acknowledgement."""

    kind = "command"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class NoSuchTargetError(CommandError, LookupError):
    """A command for an alarm or a machine that does not exist."""

    kind = "no_such_target"
