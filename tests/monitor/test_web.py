"""The page's server over real connections: routes, log-in, and what hostile ones get."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_monitor import BANDS, FakeMonitor, clip, episode, machine, window

from asd_edge.errors import MissingFileError, ParameterError
from asd_edge.monitor.commands import Acknowledge, Shelve, WasFault, WasNormal
from asd_edge.monitor.outlet_config import WebConfig

pytest.importorskip("starlette", reason="needs the extra monitor")
pytest.importorskip("uvicorn", reason="needs the extra monitor")
pytest.importorskip("prometheus_client", reason="needs the extra monitor")

from asd_edge.monitor.web import guard, outlet, passwords, server

PASSWORD = "correct horse"
PROMTOOL = shutil.which("promtool")


class Client:
    """Requests to the server, by default with the headers of a browser on the page."""

    def __init__(self, web: server.WebServer) -> None:
        self.address = web.address
        self.host = f"127.0.0.1:{web.address[1]}"
        self.cookie = ""

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        **headers: str | None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        given = {"Host": self.host, "Cookie": self.cookie or None}
        if method == "POST":
            given["Origin"] = f"http://{self.host}"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def json(self, path: str) -> Any:
        answer, content = self.ask(path)
        assert answer.status == 200, content
        return json.loads(content)

    def log_in(self, password: str = PASSWORD) -> http.client.HTTPResponse:
        answer, _ = self.ask("/login", "POST", f"password={password}".encode())
        if answer.status == 303:
            self.cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        return answer


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("password") / "password"
    path.write_text(passwords.hash_password(PASSWORD) + "\n")
    return path


@pytest.fixture
def monitor() -> FakeMonitor:
    state = machine(
        name="<img src=x onerror=alert(1)>", status="alarm", episodes=(episode(7),), last=window()
    )
    found = FakeMonitor(state, machine("pump"))
    found.history.all_episodes = [episode(7)]
    return found


@pytest.fixture
def serve(monitor: FakeMonitor) -> Iterator[Callable[..., Client]]:
    started = []

    def start(**settings: Any) -> Client:
        started.append(outlet.start(WebConfig(port=0, **settings), monitor))
        return Client(started[-1])

    yield start
    for web in started:
        web.stop()


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    return serve()


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


ROUTES = ("/", "/static/app.js", "/api/state", "/api/machines/fan/windows", "/api/episodes")
ROUTES += ("/api/machines/fan/columns", "/api/episodes/7/explanation", "/clips/1.flac", "/metrics")
ROUTES += ("/healthz", "/no-such-page", "/api/machines/fan/bands", "/static/index.html")


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


# Hostile requests.


@pytest.mark.parametrize(
    "path",
    [
        "/clips/../../../etc/passwd",
        "/clips/..%2f..%2f..%2fetc%2fpasswd.flac",
        "/clips/%2e%2e/%2e%2e/etc/passwd",
        "/clips/1%00.flac",
        "/clips/-1.flac",
        "/clips/1e3.flac",
        "/clips/99999999999999999999999999.flac",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/passwords.py",
        "/static//etc/passwd",
        "/static/....//....//etc/passwd",
        "/static/..\\app.py",
        "//etc/passwd",
    ],
)
def test_no_path_leads_to_another_file(client: Client, path: str) -> None:
    answer, content = client.ask(path)
    assert answer.status in (400, 404), path
    assert b"root:" not in content
    assert b"import" not in content


@pytest.mark.parametrize(
    "origin",
    [None, "http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "file://"],
)
def test_other_pages_cannot_give_commands(
    client: Client, monitor: FakeMonitor, origin: str | None
) -> None:
    for path in ("/api/episodes/7/acknowledge", "/api/machines/fan/shelve", "/login", "/logout"):
        answer, _ = client.ask(path, "POST", b'{"hours": 1}', Origin=origin)
        assert answer.status == 403, path
    assert monitor.submitted == []


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8420", "", "localhost.evil.example", "10.0.0.1"),
        *("[::2]", "127.0.0.1@evil.example", "[", "a" * 5000),
    ],
)
def test_a_name_that_is_not_the_device_s_is_refused(client: Client, host: str) -> None:
    answer, content = client.ask("/api/state", Host=host, Origin=f"http://{host}")
    assert answer.status == 421
    assert b"fan" not in content


def test_names_of_the_device_are_taken(serve: Callable[..., Client]) -> None:
    client = serve(allowed_hosts=("Fan.Example",))
    port = client.address[1]
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "[::1]", "fan.example:80"):
        assert client.ask("/api/state", Host=host)[0].status == 200, host
    assert client.ask("/api/state", Host=socket.gethostname())[0].status == 200


def test_methods_that_are_not_used_are_refused(client: Client) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        assert client.ask("/api/state", method)[0].status == 405
    assert client.ask("/api/episodes/7/acknowledge")[0].status in (404, 405)


def test_every_answer_forbids_foreign_content(
    serve: Callable[..., Client], password_file: Path
) -> None:
    for client in (serve(), serve(password_file=password_file)):
        for path in (*ROUTES, "/login"):
            answer, _ = client.ask(path)
            policy = answer.getheader("Content-Security-Policy") or ""
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.getheader("X-Content-Type-Options") == "nosniff"
            assert answer.getheader("Access-Control-Allow-Origin") is None
            assert answer.getheader("Server") is None


def test_an_oversized_request_is_refused(client: Client) -> None:
    answer, _ = client.ask("/api/machines/fan/shelve", "POST", b" " * 5000)
    assert answer.status == 413
    assert client.ask("/api/state", Cookie="x" * 100_000)[0].status in (400, 431)
    assert client.ask("/" + "x" * 100_000)[0].status in (400, 414, 431)


def test_an_endless_body_is_cut_off(client: Client) -> None:
    with socket.create_connection(client.address, 20) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        received = b""
        try:
            for _ in range(10_000):
                connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        except OSError:
            pass
        try:
            received = connection.recv(4096)
        except OSError:
            return
    assert b" 413 " in received.split(b"\r\n")[0]


@pytest.mark.parametrize(
    "begin",
    ["", "GET /api/state HTTP/1.1\r\nHost: x\r\n", "POST /login HTTP/1.1\r\nHost: {host}\r\n"
     "Origin: http://{host}\r\nContent-Length: 100\r\n\r\npassw"],
    ids=["nothing", "half a header", "half a body"],
)  # fmt: skip
def test_slow_requests_are_ended(
    serve: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    monkeypatch.setattr(server, "HEADER_S", 0.5)
    monkeypatch.setattr(guard, "BODY_S", 0.5)
    client = serve()
    with socket.create_connection(client.address, 20) as connection:
        connection.sendall(begin.format(host=client.host).encode())
        received = b""
        while part := connection.recv(4096):
            received += part
    assert received == b"" or b" 408 " in received.split(b"\r\n")[0]


def test_a_kept_connection_is_ended_too(
    serve: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_S", 3.0)
    client = serve()
    request = f"GET /healthz HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode()
    with socket.create_connection(client.address, 20) as connection:
        connection.sendall(request)
        assert connection.recv(65_536)
        connection.sendall(request)
        assert connection.recv(65_536)
        connection.sendall(request[:20])
        while connection.recv(65_536):
            pass


def test_many_slow_connections_leave_room_for_others_after_a_while(
    serve: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_S", 1.0)
    client = serve()
    held = [socket.create_connection(client.address, 20) for _ in range(200)]
    for connection in held:
        connection.sendall(b"GET / HTTP/1.1\r\n")
    end = time.monotonic() + 20
    while client.ask("/api/state")[0].status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    for connection in held:
        connection.close()


def test_nonsense_is_answered_and_harms_nobody(client: Client) -> None:
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"\0" * 4096,
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        with socket.create_connection(client.address, 20) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert client.ask("/api/state")[0].status == 200


def test_stopping_does_not_wait_for_anybody(monitor: FakeMonitor) -> None:
    web = outlet.start(WebConfig(port=0), monitor)
    with socket.create_connection(web.address, 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        web.stop()
    assert "web" not in {thread.name for thread in threading.enumerate()}
