"""The family of errors: its members, their builtins, and kinds that a program can tell apart."""

from __future__ import annotations

import inspect

import pytest

from asd_edge import errors
from asd_edge.errors import AsdError

FAMILY = {
    "ParameterError": (ValueError, "parameter"),
    "MissingFileError": (FileNotFoundError, "missing_file"),
    "AudioError": (ValueError, None),
    "UnfitError": (ValueError, None),
    "BundleError": (ValueError, "bundle"),
    "EnrollmentError": (ValueError, "enrolment"),
    "ProviderError": (ValueError, "provider"),
    "OptionalDependencyError": (ImportError, "missing_dependency"),
    "ConfigError": (ValueError, "config"),
    "HistoryError": (OSError, "history"),
    "CommandError": (RuntimeError, "command"),
    "NoSuchTargetError": (LookupError, "no_such_target"),
}


def test_the_family() -> None:
    found = {
        name: member
        for name, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, AsdError) and member is not AsdError
    }
    assert found.keys() == FAMILY.keys()
    for name, (builtin, kind) in FAMILY.items():
        assert issubclass(found[name], builtin)
        assert f"+-- {name}" in (errors.__doc__ or "")
        if kind is not None:
            assert found[name].kind == kind
            assert f'"{kind}"' in (errors.__doc__ or "")


def test_kinds_of_clips() -> None:
    assert errors.AudioError("a.wav", "is cut off", "truncated").kind == "truncated"
    unfit = errors.UnfitError("a.wav", "is silent (-95 dBFS)", "silent")
    assert str(unfit) == (
        "a.wav: cannot be judged: it is silent (-95 dBFS); is the input muted, or is it another "
        "device?"
    )
    assert (unfit.kind, unfit.reason) == ("silent", "is silent (-95 dBFS)")


def test_a_missing_package_is_added_by_the_pip_of_this_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/home/me/my venv/bin/python")
    assert str(errors.OptionalDependencyError("matplotlib", "plot")) == (
        "matplotlib is not installed; to install it: "
        "'/home/me/my venv/bin/python' -m pip install 'asd-edge[plot]'"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = str(errors.OptionalDependencyError("matplotlib", "plot"))
    assert "comes with asd-edge[plot]" in said
    assert "has no pip" in said
