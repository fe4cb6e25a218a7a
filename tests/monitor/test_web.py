"""The page's server over real connections: routes, and who may come in."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_monitor import BANDS, FakeMonitor, clip, episode, machine, window

from asd_edge.errors import (
    AsdError,
    BundleError,
    CommandError,
    EnrollmentError,
    HistoryError,
    MissingFileError,
    NoSuchTargetError,
    ParameterError,
)
from asd_edge.monitor.commands import Acknowledge, Shelve, WasFault, WasNormal
from asd_edge.monitor.outlet_config import WebConfig
from asd_edge.monitor.state import Window

pytest.importorskip("starlette", reason="needs the extra monitor")
pytest.importorskip("uvicorn", reason="needs the extra monitor")
pytest.importorskip("prometheus_client", reason="needs the extra monitor")

from real_parts import wait_for
from web_client import PASSWORD, ROUTES, Client

from asd_edge.monitor.web import guard, outlet, passwords, server

PROMTOOL = shutil.which("promtool")


# Routes.


def test_the_page_and_its_files(client: Client) -> None:
    answer, content = client.ask("/")
    assert answer.status == 200
    assert b"<title>asd-edge</title>" in content
    for path in ("app.js", "alarms.js", "charts.js", "common.js", "spectrogram.js", "style.css"):
        answer, content = client.ask(f"/static/{path}")
        assert answer.status == 200, path
        # Everything comes from the device: nothing names another address.
        assert b"https://" not in content, path


def test_the_state(client: Client, monitor: FakeMonitor) -> None:
    now = time.time()
    state = machine(last=window(end=now - 4), last_valid=window(end=now - 4), last_heard=now - 4)
    monitor.snapshot = replace(monitor.snapshot, machines=(state,))
    found = client.json("/api/state")
    assert found["node"] == "shed"
    assert found["machines"][0]["headline"].startswith("Normal. Last heard 4")
    assert found["machines"][0]["tone"] == "good"
    assert found["machines"][0]["last"]["ratio"] == 0.5
    assert "log_out" in found


def test_windows_of_a_day(client: Client, monitor: FakeMonitor) -> None:
    now = time.time()
    monitor.history.all_windows = [
        window(end=now - 100, ratio=0.7),
        window(end=now - 90, ratio=None),
        window(end=now - 90_000, ratio=3.0),
        window("pump", end=now - 90, ratio=2.0),
    ]
    found = client.json("/api/machines/fan/windows?hours=24")
    assert found["ratio"] == [0.7, None]
    assert found["validity"] == ["valid", "gap"]
    # Heard for less than a day: what there is fills the chart.
    assert found["until"] - found["since"] == pytest.approx(600)
    monitor.history.all_windows[0] = window(end=now - 86_380)
    found = client.json("/api/machines/fan/windows?hours=24")
    assert found["until"] - found["since"] == pytest.approx(86_390, abs=5)


def test_one_alarm(client: Client, monitor: FakeMonitor) -> None:
    monitor.history.all_episodes = [episode(7, clips=(1, 2))]
    assert client.json("/api/episodes/7")["clips"] == [1, 2]
    assert client.ask("/api/episodes/8")[0].status == 404


def test_columns_of_the_live_spectrogram(client: Client, monitor: FakeMonitor) -> None:
    monitor.spectrogram = np.arange(3 * BANDS, dtype=np.uint8).reshape(3, BANDS)
    _, content = client.ask("/api/machines/fan/columns?since=1")
    assert struct.unpack("<QI", content[:12]) == (3, BANDS)
    assert content[12:] == monitor.spectrogram[1:].tobytes()


def test_a_clip_by_its_number_and_in_ranges(
    client: Client, monitor: FakeMonitor, tmp_path: Path
) -> None:
    path = tmp_path / "anything.flac"
    path.write_bytes(bytes(range(256)) * 100)
    monitor.history.all_clips[3] = clip(path, 3)
    answer, content = client.ask("/clips/3.flac")
    assert (answer.status, content) == (200, path.read_bytes())
    assert answer.getheader("Content-Type") == "audio/flac"
    answer, content = client.ask("/clips/3.flac", Range="bytes=100-199")
    assert (answer.status, content) == (206, path.read_bytes()[100:200])
    assert answer.getheader("Content-Range") == "bytes 100-199/25600"
    assert client.ask("/clips/3.flac", Range="bytes=30000-")[0].status == 416
    path.unlink()
    assert client.ask("/clips/3.flac")[0].status == 404
    assert client.ask("/clips/4.flac")[0].status == 404


@pytest.mark.parametrize(
    ("path", "body", "command"),
    [
        ("/api/episodes/7/acknowledge", b"{}", Acknowledge(7, "page")),
        ("/api/episodes/7/was-normal", b"{}", WasNormal(7, "page")),
        ("/api/episodes/7/was-fault", b"{}", WasFault(7, "page")),
        ("/api/machines/pump/shelve", b'{"hours": 8}', Shelve("pump", 28_800.0, "page")),
    ],
)
def test_commands(
    client: Client, monitor: FakeMonitor, path: str, body: bytes, command: object
) -> None:
    answer, content = client.ask(path, "POST", body)
    assert answer.status == 200, content
    assert monitor.submitted == [command]
    assert json.loads(content) == {"done": f"{type(command).__name__} done."}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/episodes/8/acknowledge", b"{}", 404),
        ("/api/episodes/7/explode", b"{}", 404),
        ("/api/episodes/x/acknowledge", b"{}", 404),
        ("/api/machines/nobody/shelve", b'{"hours": 1}', 404),
        ("/api/machines/pump/shelve", b"", 400),
        ("/api/machines/pump/shelve", b'{"hours": "long"}', 400),
        ("/api/machines/pump/shelve", b'{"hours": NaN}', 400),
        ("/api/machines/pump/shelve", b"[" * 2000, 400),
        ("/api/machines/pump/shelve", b"\xff\xfe", 400),
    ],
)
def test_commands_that_are_none(client: Client, path: str, body: bytes, status: int) -> None:
    answer, content = client.ask(path, "POST", body)
    assert answer.status == status
    assert json.loads(content)["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CommandError("this alarm is acknowledged already"), 409),
        (EnrollmentError("no clip fits"), 409),
        (NoSuchTargetError("there is no alarm 7"), 404),
        (ParameterError("shelve", "25 hours", "0 to 24 hours"), 400),
        (BundleError("fan.asd", "model.onnx", "is damaged"), 503),
        (HistoryError("history.sqlite", "cannot be read"), 503),
    ],
)
def test_the_status_of_a_refusal(
    client: Client, monitor: FakeMonitor, error: AsdError, status: int
) -> None:
    def refuse(_: object) -> Future[str]:
        future: Future[str] = Future()
        future.set_exception(error)
        return future

    monitor.submit = refuse  # type: ignore[method-assign]
    answer, content = client.ask("/api/episodes/7/acknowledge", "POST", b"{}")
    assert (answer.status, json.loads(content)) == (status, {"error": str(error)})


def test_commands_that_take_long_hold_up_nothing(client: Client, monitor: FakeMonitor) -> None:
    futures: list[Future[str]] = []

    def wait(_: object) -> Future[str]:
        futures.append(Future())
        return futures[-1]

    monitor.submit = wait  # type: ignore[method-assign]
    answers: list[int] = []

    def command() -> None:
        answers.append(client.ask("/api/episodes/7/was-normal", "POST", b"{}")[0].status)

    threads = [threading.Thread(target=command) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(futures) == len(threads))
    assert client.json("/api/machines/fan/windows?hours=24")["end"] == []
    for future in futures:
        future.set_result("done")
    for thread in threads:
        thread.join(20)
    assert answers == [200] * len(threads)


def test_many_clients_are_answered_by_few_threads(client: Client, monitor: FakeMonitor) -> None:
    together = most = 0
    lock = threading.Lock()

    def slow(*_: object) -> list[Window]:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.02)
        with lock:
            together -= 1
        return []

    monitor.windows = slow  # type: ignore[method-assign]
    path = "/api/machines/fan/windows?hours=24"
    threads = [threading.Thread(target=client.json, args=(path,)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 1 <= most <= 4


@pytest.mark.parametrize("hours", ["0", "1e99", "nan", "inf", "x", "", "-1"])
def test_a_number_out_of_range(client: Client, hours: str) -> None:
    answer, content = client.ask(f"/api/machines/fan/windows?hours={hours}")
    assert answer.status == 400
    assert "hours" in json.loads(content)["error"]


def test_health_is_bad_without_a_valid_window_for_three_hops(
    client: Client, monitor: FakeMonitor
) -> None:
    now = time.time()
    fine = machine(last_heard=now - 20)
    monitor.snapshot = replace(monitor.snapshot, machines=(fine, machine("rest", status="off")))
    answer, content = client.ask("/healthz")
    assert (answer.status, json.loads(content)["ok"]) == (200, True)
    monitor.snapshot = replace(monitor.snapshot, machines=(fine, machine("b", last_heard=now - 40)))
    answer, content = client.ask("/healthz")
    assert answer.status == 503
    assert json.loads(content)["no_valid_window_for_3_hops"] == ["b"]
    # Right after the start there was no time for a window.
    young = machine(last_heard=None, status="starting", since=now - 5)
    monitor.snapshot = replace(monitor.snapshot, machines=(young,))
    assert client.ask("/healthz")[0].status == 200


def test_metrics(client: Client, monitor: FakeMonitor) -> None:
    counts = {"valid": 12, "gap": 1, "gaps": 1}
    monitor.change("fan", last_valid=window(ratio=0.5), counts=counts)
    answer, content = client.ask("/metrics")
    assert answer.status == 200
    assert (answer.getheader("Content-Type") or "").startswith("text/plain; version=0.0.4")
    lines = content.decode().splitlines()
    assert 'asd_edge_ratio{machine="fan"} 0.5' in lines
    assert 'asd_edge_windows_total{machine="fan",window="valid"} 12.0' in lines
    assert 'asd_edge_status{machine="fan",status="alarm"} 1.0' in lines
    assert 'asd_edge_microphone_up{machine="pump"} 1.0' in lines
    # No value is better than a wrong one.
    assert not [line for line in lines if line.startswith('asd_edge_ratio{machine="pump"')]


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (tests/install_apt.sh)")
def test_prometheus_finds_no_fault_in_the_metrics(client: Client, monitor: FakeMonitor) -> None:
    monitor.change("fan", last_valid=window(ratio=0.5), counts={"valid": 12})
    assert PROMTOOL is not None
    _, content = client.ask("/metrics")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=content, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


# Who may come in.


def test_another_address_without_a_password_is_refused(password_file: Path) -> None:
    for listen in ("0.0.0.0", "::"):
        with pytest.raises(ParameterError, match="password_file"):
            outlet.start(WebConfig(listen=listen, port=0), FakeMonitor(machine()))
        assert "password_file" in outlet.check(WebConfig(listen=listen))[0]
    assert outlet.check(WebConfig(listen="0.0.0.0", password_file=password_file)) == []
    assert outlet.check(WebConfig(listen="127.0.0.1")) == []


def test_a_password_file_that_is_none(tmp_path: Path) -> None:
    config = WebConfig(port=0, password_file=tmp_path / "none")
    with pytest.raises(MissingFileError):
        outlet.start(config, FakeMonitor(machine()))
    (tmp_path / "none").write_text("hunter2 in the clear\n")
    (fault,) = outlet.check(config)
    assert "--hash-password" in fault
    assert "hunter2" not in fault


def test_a_port_that_is_taken_is_said(client: Client) -> None:
    with pytest.raises(server.AddressError, match=r"port \d+: .*is another monitor running"):
        outlet.start(WebConfig(port=client.address[1]), FakeMonitor(machine()))


def test_the_address_is_one_for_a_browser(password_file: Path) -> None:
    for listen, host in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
        web = outlet.start(WebConfig(listen=listen, port=0), FakeMonitor(machine()))
        assert web.url == f"http://{host}:{web.address[1]}/"
        web.stop()
    everywhere = WebConfig(listen="0.0.0.0", port=0, password_file=password_file)
    web = outlet.start(everywhere, FakeMonitor(machine()))
    assert web.url == f"http://{socket.gethostname()}:{web.address[1]}/"
    web.stop()


def test_every_route_asks_for_the_log_in(
    serve: Callable[..., Client], password_file: Path, monitor: FakeMonitor
) -> None:
    client = serve(password_file=password_file)
    for path in ROUTES:
        answer, content = client.ask(path)
        assert answer.status == (303 if path == "/" else 401), path
        assert b"fan" not in content
    for path in ("/api/episodes/7/acknowledge", "/api/machines/fan/shelve", "/logout"):
        assert client.ask(path, "POST", b"{}")[0].status == 401, path
    assert monitor.submitted == []
    assert client.ask("/login")[0].status == 200
    assert client.log_in().status == 303
    assert client.ask("/api/state")[0].status == 200
    assert client.ask("/")[0].status == 200


def test_a_session_s_cookie_is_for_the_page_alone(
    serve: Callable[..., Client], password_file: Path
) -> None:
    client = serve(password_file=password_file)
    cookie = client.log_in().getheader("Set-Cookie") or ""
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert len(client.cookie.split("=")[1]) >= 43
    answer, _ = client.ask("/logout", "POST", b"")
    assert answer.status == 303
    # Logged out on the device, not only forgotten by the browser.
    assert client.ask("/api/state")[0].status == 401
    client.cookie = f"{guard.COOKIE}=made-up"
    assert client.ask("/api/state")[0].status == 401


def test_guessing_passwords_is_slowed_down(
    serve: Callable[..., Client], password_file: Path
) -> None:
    client = serve(password_file=password_file)
    statuses = [client.log_in(f"guess {i}").status for i in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    # Not even the right one, or guessing on would pay; and not by the other way in.
    answer = client.log_in()
    assert answer.status == 429
    assert 0 < int(answer.getheader("Retry-After") or 0) <= 61
    value = base64.b64encode(f"x:{PASSWORD}".encode()).decode()
    assert client.ask("/metrics", Authorization=f"Basic {value}")[0].status == 429


def test_attempts_come_back_with_time() -> None:
    now = 0.0
    limit = passwords.AttemptLimit(lambda: now)
    for _ in range(5):
        assert limit.wait("a") == 0
        limit.failed("a")
    assert limit.wait("a") == 60.0
    assert limit.wait("b") == 0
    now = 59.0
    assert limit.wait("a") == pytest.approx(1.0)
    now = 60.0
    assert limit.wait("a") == pytest.approx(0.0)
    limit.failed("a")
    assert limit.wait("a") == pytest.approx(60.0)
    limit.succeeded("a")
    assert limit.wait("a") == 0


def test_sessions_end() -> None:
    now = 0.0
    sessions = passwords.Sessions(lambda: now)
    token = sessions.begin()
    assert sessions.valid(token)
    now = passwords.SESSION_S
    assert not sessions.valid(token)
    many = [sessions.begin() for _ in range(150)]
    assert not sessions.valid(many[0])
    assert sessions.valid(many[-1])


def test_prometheus_may_use_basic_authentication(
    serve: Callable[..., Client], password_file: Path
) -> None:
    client = serve(password_file=password_file)
    right = base64.b64encode(f"prometheus:{PASSWORD}".encode()).decode()
    assert client.ask("/metrics", Authorization=f"Basic {right}")[0].status == 200
    assert client.ask("/metrics", Authorization=f"Basic {right}")[0].status == 200
    wrong = base64.b64encode(b"prometheus:guess").decode()
    for value in (f"Basic {wrong}", "Basic %%%", f"Bearer {right}", "Basic"):
        assert client.ask("/metrics", Authorization=value)[0].status == 401, value


def test_hashes_of_one_password_differ() -> None:
    one, other = (passwords.hash_password(PASSWORD) for _ in range(2))
    assert one != other
    assert passwords.matches(PASSWORD, one)
    assert passwords.matches(PASSWORD, other)
    assert not passwords.matches(PASSWORD + " ", one)
    with pytest.raises(ParameterError, match="8 characters"):
        passwords.hash_password("short")
