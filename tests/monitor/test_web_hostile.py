"""What hostile requests get from the page's server, over real connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_monitor import FakeMonitor, clip

from asd_edge.monitor.outlet_config import WebConfig

pytest.importorskip("starlette", reason="needs the extra monitor")
pytest.importorskip("uvicorn", reason="needs the extra monitor")
pytest.importorskip("prometheus_client", reason="needs the extra monitor")

from web_client import ROUTES, Client

from asd_edge.monitor.web import guard, outlet, server


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


def test_numbers_of_any_length(client: Client) -> None:
    """Python refuses to read more than 4300 digits; SQLite has 64 bits."""
    for digits in (30, 900):
        number = "9" * digits
        assert client.ask(f"/api/episodes/{number}")[0].status == 404
        assert client.ask(f"/clips/{number}.flac")[0].status == 404
        path = f"/api/episodes/{number}/acknowledge"
        assert client.ask(path, "POST", b"{}")[0].status == 404
    assert client.ask(f"/api/episodes/{'9' * 5000}")[0].status == 414


@pytest.mark.parametrize(
    "origin",
    ["http://[", "//{host}", "http://{host}/x", "http://{host}@evil", "http://evil#@{host}",
     "http://{host}.evil", "javascript://{host}", "http://{host} http://evil", "http://{host}\t"],
)  # fmt: skip
def test_an_origin_that_looks_like_the_device_s(
    client: Client, monitor: FakeMonitor, origin: str
) -> None:
    given = origin.format(host=client.host)
    answer, _ = client.ask("/api/episodes/7/acknowledge", "POST", b"{}", Origin=given)
    # White space at the end of a header is no part of it.
    assert answer.status == (200 if given.endswith("\t") else 403)
    assert len(monitor.submitted) == (answer.status == 200)


@pytest.mark.parametrize(
    "lines",
    [
        "Host: evil.example\r\nHost: {host}\r\n",
        "Host: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "Host: {host}\r\nContent-Length: -1\r\n",
        "Host: {host}\r\nTransfer-Encoding: identity, chunked\r\n",
        "Host: {host}\r\nTransfer-Encoding: chunked\r\nX: a\0b\r\n",
        "Host : {host}\r\n",
        "",
    ],
)
def test_headers_that_are_read_in_two_ways_are_refused(
    client: Client, monitor: FakeMonitor, lines: str
) -> None:
    """One reader could see another request in them than the next: request smuggling."""
    head = f"POST /api/episodes/7/acknowledge HTTP/1.1\r\nOrigin: http://{client.host}\r\n"
    received = client.raw(f"{head}{lines.format(host=client.host)}\r\n0\r\n\r\n".encode())
    assert int(received.split(b" ", 2)[1]) in (400, 421, 501)
    assert monitor.submitted == []


def test_a_request_inside_a_body_is_none(client: Client, monitor: FakeMonitor) -> None:
    """Of two lengths the chunks count (RFC 9112, 6.3), and what follows needs a Host of its own."""
    head = f"POST /login HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\n"
    inner = "POST /api/episodes/7/acknowledge HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    lengths = f"Content-Length: {5 + len(inner)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = client.raw(f"{head}{lengths}0\r\n\r\n{inner}".encode())
    assert b"HTTP/1.1 200" not in received
    assert monitor.submitted == []


@pytest.mark.parametrize(
    "request_line",
    ["GET http://evil.example/api/state HTTP/1.1", "CONNECT evil.example:80 HTTP/1.1",
     "get /api/state HTTP/1.1", "GET /api/state HTTP/1.1 x", "GET  /api/state HTTP/1.1",
     "PRI * HTTP/2.0", "GET * HTTP/1.1"],
)  # fmt: skip
def test_request_lines_that_are_none(client: Client, request_line: str) -> None:
    received = client.raw(f"{request_line}\r\nHost: {client.host}\r\n\r\n".encode())
    assert int(received.split(b" ", 2)[1]) in (400, 404, 405, 421)
    assert b"fan" not in received


def test_no_other_protocol_is_spoken(client: Client) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /api/state HTTP/1.1\r\nHost: {client.host}\r\n{upgrade}"
    received = client.raw(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 200 ")  # an ordinary answer; nothing was upgraded


@pytest.mark.parametrize(
    "ranges",
    ["0-0," * 1000, ",".join(f"{i}-" for i in range(1000)), "-" + "9" * 30, "0-" + "9" * 30,
     "5-3", "x", "-", ",", "1-1-1"],
)  # fmt: skip
def test_many_and_odd_ranges_of_a_clip(
    client: Client, monitor: FakeMonitor, tmp_path: Path, ranges: str
) -> None:
    (tmp_path / "a.flac").write_bytes(bytes(1000))
    monitor.history.all_clips[3] = clip(tmp_path / "a.flac", 3)
    answer, content = client.ask("/clips/3.flac", Range=f"bytes={ranges}")
    assert answer.status in (200, 206, 400, 416)
    assert len(content) < 3000


@pytest.mark.parametrize(
    "hours",
    ["1" + "0" * 400, "9" * 4000, "1e400", "true", '"1"', "null", "[1]", "{}"],
    ids=["long", "longer", "infinite", "true", "text", "null", "list", "object"],
)
def test_hours_that_are_no_number(client: Client, monitor: FakeMonitor, hours: str) -> None:
    body = f'{{"hours": {hours}}}'.encode()
    assert client.ask("/api/machines/pump/shelve", "POST", body)[0].status == 400
    assert monitor.submitted == []


@pytest.mark.parametrize(
    "path",
    ["/login/../api/state", "//api/state", "/static/style.css/../../api/state", "/api/state;/login",
     "/login%2f..%2fapi/state", "/static/./app.js", "/login/", "/static/style.css/", "/LOGIN"],
)  # fmt: skip
def test_no_way_around_the_log_in(
    serve: Callable[..., Client], password_file: Path, path: str
) -> None:
    answer, content = serve(password_file=password_file).ask(path)
    assert answer.status == 401
    assert b"fan" not in content


@pytest.mark.parametrize(
    "cookie",
    ["asd-edge-session=" + "x" * 9000, "asd-edge-session", "; ;=;;", "=".join("a" * 3000),
     'asd-edge-session="\\073"', "asd-edge-session=; asd-edge-session=a"],
)  # fmt: skip
def test_cookies_that_are_none(
    serve: Callable[..., Client], password_file: Path, cookie: str
) -> None:
    assert serve(password_file=password_file).ask("/api/state", Cookie=cookie)[0].status == 401


def test_a_forged_address_does_not_help_to_guess(
    serve: Callable[..., Client], password_file: Path
) -> None:
    client = serve(password_file=password_file)
    statuses = [
        client.ask(
            "/login",
            "POST",
            b"password=x",
            X_Forwarded_For=f"10.0.0.{i}",
            Forwarded=f"for=10.1.{i}",
        )[0].status
        for i in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2


def test_thousands_of_requests_in_one_piece(client: Client) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode()
    with socket.create_connection(client.address, 20) as connection:
        thread = threading.Thread(target=connection.sendall, args=(request * 2000,))
        thread.start()
        answered = 0
        while answered < 2000 and (part := connection.recv(65_536)):
            answered += part.count(b"HTTP/1.1 ")
        thread.join()
    assert client.ask("/api/state")[0].status == 200
