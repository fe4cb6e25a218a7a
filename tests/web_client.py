"""Requests to the page's server, as a browser or somebody hostile makes them."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from asd_edge.monitor.web.server import WebServer

PASSWORD = "correct horse"
ROUTES = ("/", "/static/app.js", "/api/state", "/api/machines/fan/windows", "/api/episodes")
ROUTES += ("/api/machines/fan/columns", "/api/episodes/7/explanation", "/clips/1.flac", "/metrics")
ROUTES += ("/healthz", "/no-such-page", "/api/machines/fan/bands", "/static/index.html")


class Client:
    """Requests to the server, by default with the headers of a browser on the page."""

    def __init__(self, web: WebServer) -> None:
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

    def raw(self, request: bytes, seconds: float = 20.0) -> bytes:
        """Send bytes on a connection of their own; give what comes until it is closed."""
        received = b""
        with socket.create_connection(self.address, seconds) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            try:
                while part := connection.recv(65_536):
                    received += part
            except ConnectionResetError:
                pass
        return received
