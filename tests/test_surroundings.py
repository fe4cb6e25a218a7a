"""Commands in poor surroundings: their results, or one clear line; never a traceback or colours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import write_tone

from asd_edge.bundle import locate
from asd_edge.errors import ConfigError, ParameterError
from asd_edge.monitor.config import Config, MachineConfig, read

COMMAND = [sys.executable, "-m", "asd_edge"]
SCORE = ["score", "--example", "--json"]
# A user of whom the system knows nothing; root here stays the owner of the files.
NOBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
NO_PROC = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
NO_PROC += ['mount -t tmpfs none /proc && exec "$@"', "-"]
READ_ONLY = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
READ_ONLY += ["for d in $(awk '{print $2}' /proc/mounts | sort -r); do case $d in"]
READ_ONLY[-1] += (
    ' /|/tmp|/tmp/*|/var/tmp|/home|/dev/shm) mount -o bind,remount,ro "$d"; esac; done;'
)
READ_ONLY[-1] += ' mount --rbind / / && mount -o bind,remount,ro / && exec "$@"'
READ_ONLY += ["-"]


def run(
    arguments: list[str],
    prefix: Sequence[str] = (),
    **environment: str | None,
) -> subprocess.CompletedProcess[str]:
    """Run asd-edge; None takes a variable away. It must end well or with one line, uncoloured."""
    env = {**os.environ, **environment}
    env = {name: value for name, value in env.items() if value is not None}
    result = subprocess.run(
        [*prefix, *COMMAND, *arguments], capture_output=True, env=env, encoding="latin-1"
    )
    said = result.stderr
    assert "Traceback" not in said, said
    assert "\x1b[" not in said + result.stdout
    assert "onnxruntime" not in said, said
    if result.returncode:
        lines = [x for x in said.splitlines() if not x.startswith(("Bundle: ", "Warning: "))]
        assert len(lines) == 1, said
        assert lines[0].startswith("Error: ")
    return result


def possible(prefix: list[str]) -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    )


@pytest.fixture(scope="module")
def expected() -> str:
    result = run(SCORE)
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 2
    return result.stdout


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a German locale in Latin-1 and a Turkish one."""
    folder = tmp_path_factory.mktemp("locales")
    for name, charset in (("de_DE", "ISO-8859-1"), ("tr_TR", "UTF-8")):
        place = folder / f"{name}.{charset}"
        command = ["localedef", "--no-archive", "-i", name, "-f", charset, place]
        if shutil.which("localedef") is None or subprocess.run(command).returncode > 1:
            pytest.skip("no definitions of locales are installed (tests/install_apt.sh)")
    return folder


@pytest.mark.parametrize("prefix", [NOBODY, NO_PROC, READ_ONLY], ids=["nobody", "proc", "ro"])
def test_a_score_is_the_same(prefix: list[str], expected: str) -> None:
    if not possible(prefix):
        pytest.skip("this system makes no such namespace")
    result = run(SCORE, prefix, HOME=None, XDG_DATA_HOME=None)
    assert result.stdout == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": None, "USER": None, "LOGNAME": None},
        {"HOME": "/nowhere/at/all"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"NO_COLOR": "1", "TERM": "dumb"},
    ],
    ids=str,
)
def test_a_score_does_not_depend_on(environment: dict[str, str | None], expected: str) -> None:
    assert run(SCORE, **environment).stdout == expected


@pytest.mark.parametrize("name", ["de_DE.ISO-8859-1", "tr_TR.UTF-8"])
def test_a_score_does_not_depend_on_the_locale(name: str, expected: str, locales: Path) -> None:
    given = {"LOCPATH": str(locales), "LC_ALL": name, "PYTHONUTF8": "0"}
    program = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.getlocale()[1])"
    shown = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | given, capture_output=True, text=True
    )
    assert shown.stdout.strip() == name.split(".")[1].replace("ISO-8859", "ISO8859")
    assert run(SCORE, **given).stdout == expected


@pytest.mark.parametrize(
    ("prefix", "status"), [([], 0), (NOBODY, 0), (READ_ONLY, 1)], ids=["", "nobody", "ro"]
)
def test_an_enrolment_ends_well_or_with_one_line(
    prefix: list[str], status: int, tmp_path: Path
) -> None:
    if prefix and not possible(prefix):
        pytest.skip("this system makes no such namespace")
    for i in range(6):
        write_tone(tmp_path / "normal" / f"{i}.wav", 200.0, seed=i)
    place = tmp_path / "own.asd"
    result = run(["enroll", str(tmp_path / "normal"), "-o", str(place)], prefix, HOME=None)
    assert (result.returncode, place.exists()) == (status, status == 0)
    if status:
        assert "Read-only file system" in result.stderr


@pytest.mark.parametrize("prefix", [NOBODY, NO_PROC, READ_ONLY], ids=["nobody", "proc", "ro"])
def test_other_commands(prefix: list[str], tmp_path: Path) -> None:
    if not possible(prefix):
        pytest.skip("this system makes no such namespace")
    assert "numpy" in run(["--version"], prefix, HOME=None).stdout
    report = run(["info", "--support"], prefix, HOME=None)
    assert report.returncode == 0
    assert "cannot be told" not in report.stdout
    config = tmp_path / "fan.toml"
    config.write_text(f'[machines.fan]\ncommand = ["true"]\nbundle = "{locate.BUILT_IN}"\n')
    place = ["--replay", str(locate.EXAMPLES / "normal.flac")]
    replayed = run(["monitor", str(config), *place], prefix, HOME=None, XDG_STATE_HOME=None)
    if prefix is NOBODY:
        assert "history.folder is None; expected a folder, because this user has no home" in (
            replayed.stderr
        )


def test_a_stream_without_a_folder_for_temporary_files(tmp_path: Path) -> None:
    if not possible(READ_ONLY):
        pytest.skip("this system makes no such namespace")
    clip = (locate.EXAMPLES / "normal.flac").open("rb")
    with clip:
        done = subprocess.run(
            [*READ_ONLY, *COMMAND, "score", "-"], stdin=clip, capture_output=True, text=True
        )
    assert done.returncode == 1
    assert re.search(r"^Error: -: needs a temporary file.*TMPDIR", done.stderr, re.MULTILINE)


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_places_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(Path, "expanduser", lambda self: no_home())
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY", locate.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    assert locate.data_folder() is None
    assert locate.find() == locate.Found(locate.BUILT_IN, "built in")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert locate.data_folder() == tmp_path / "asd-edge"
    config = Config({"fan": MachineConfig(Path("fan.asd"), device="hw:0")})
    with pytest.raises(ParameterError, match=r"^history.folder is None; .* no home directory$"):
        _ = config.history.path
    file = tmp_path / "fan.toml"
    file.write_text('[machines.fan]\ndevice = "hw:0"\nbundle = "~/fan.asd"\n')
    with pytest.raises(ConfigError, match=r"machines.fan.bundle is '~/fan.asd', and that home"):
        read(file)


def test_the_cache_of_training_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    from asd_training.data.training_table import cache_folder

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(ParameterError, match=r"--cache.*no home directory"):
        cache_folder()
