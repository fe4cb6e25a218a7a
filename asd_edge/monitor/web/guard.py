"""The one check that every request goes through before it reaches a route.

In this order: the Host allow-list (against DNS rebinding), the size and the
time of a request, the Origin of whatever changes something (against forged
requests from other pages), then the log-in. Every answer gets the headers that
keep foreign content out of the page.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from email.utils import formatdate
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asd_edge.monitor.web.passwords import AttemptLimit, Sessions, matches

COOKIE = "asd-edge-session"
MAX_BODY = 4096
MAX_HEADERS = 16384
MAX_PATH = 1024
BODY_S = 10.0
# A clip of 100 s is about 3 MB: the slowest line that may fetch it has 25 kB/s.
RESPONSE_S = 120.0
# What somebody who is not logged in may see: where to log in, and how it looks.
PUBLIC = {"/login", "/static/style.css", "/static/icon.svg"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # Not "no-referrer": with that, browsers send the Origin "null" with the log-in's form.
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what is guarded.
        password: the hashed password; None lets everybody in, for a loopback address.
        hosts: names that a request may call this device, besides the address it came to.
    """

    def __init__(self, app: ASGIApp, password: str | None, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._password = password
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        name = socket.gethostname().lower()
        self._hosts |= {name, f"{name.split('.')[0]}.local"}
        self.sessions = Sessions()
        self._limit = AttemptLimit()
        # One at a time: each takes 16 MB and a while.
        self._scrypt = asyncio.Semaphore(1)
        self._key = secrets.token_bytes(32)
        self._known: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send, scope["path"])
        body = b""
        answer = self._refused(scope)
        if answer is None and scope["method"] == "POST":
            answer, body = await _read(receive)
        if answer is None and self._password is not None and scope["path"] not in PUBLIC:
            answer = await self._not_logged_in(scope)
        try:
            async with asyncio.timeout(RESPONSE_S):
                await (answer or self._app)(scope, _replay(body, receive), send)
        except TimeoutError:
            # Headers may be out: uvicorn closes the connection when an application ends early.
            return

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        size = len(scope["raw_path"]) + sum(len(name) + len(value) for name, value in headers.raw)
        if size + len(scope["query_string"]) > MAX_HEADERS:
            return _error(431, f"more than {MAX_HEADERS} bytes of headers")
        if len(scope["raw_path"]) > MAX_PATH:
            return _error(414, f"more than {MAX_PATH} bytes of path")
        host = headers.get("host", "")
        if not self._is_here(host, scope):
            return _error(421, "this device does not go by that name; see allowed_hosts")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            answer = _error(405, "only GET, HEAD and POST are known")
            answer.headers["allow"] = "GET, HEAD, POST"
            return answer
        if scope["method"] == "POST":
            origin = headers.get("origin", "").lower()
            # A reverse proxy may take care of TLS.
            if origin not in (f"http://{host}".lower(), f"https://{host}".lower()):
                return _error(403, "the request comes from another page (Origin)")
        return None

    def _is_here(self, host: str, scope: Scope) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower().rstrip(".")
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            asked = ipaddress.ip_address(name)
        except ValueError:
            return False
        here = (scope.get("server") or ("",))[0]
        # A number cannot be rebound; it has to be the one that the connection came to.
        return asked.is_loopback or str(asked) == here.removeprefix("::ffff:")

    async def _not_logged_in(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.sessions.valid(session_token(headers)):
            return None
        basic = headers.get("authorization", "")
        if basic:
            return await self._basic(basic, scope)
        if scope["path"] == "/":
            return RedirectResponse("/login", 303)
        return _error(401, "log in first")

    async def _basic(self, header: str, scope: Scope) -> Response | None:
        """Check HTTP basic authentication, which Prometheus and health checks use."""
        # scrypt once, not at every scrape.
        known = hmac.new(self._key, header.encode(), hashlib.sha256).digest()
        if self._known is not None and hmac.compare_digest(known, self._known):
            return None
        try:
            kind, _, value = header.partition(" ")
            password = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            kind = password = ""
        wait = await self.check(password if kind.lower() == "basic" else "", scope)
        if wait is None:
            self._known = known
            return None
        answer = _error(429 if wait else 401, "wrong password", wait)
        if not wait:
            answer.headers["www-authenticate"] = 'Basic realm="asd-edge", charset="UTF-8"'
        return answer

    async def check(self, password: str, scope: Scope) -> float | None:
        """Check a password: None if it is right, else seconds until the next try (0: now)."""
        assert self._password is not None
        address = _network(scope)
        if wait := self._limit.wait(address):
            return wait
        async with self._scrypt:
            if wait := self._limit.wait(address):  # others failed meanwhile
                return wait
            if await asyncio.to_thread(matches, password, self._password):
                self._limit.succeeded(address)
                return None
            self._limit.failed(address)
        return 0.0


def session_token(headers: Headers) -> str:
    """Token of the session cookie, or an empty string."""
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""


def _network(scope: Scope) -> str:
    """Address that attempts are counted for: of IPv6 the /64, of which one owner has them all."""
    text = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return text
    return str(ipaddress.ip_network(f"{address}/64", strict=False))


def _error(status: int, message: str, wait: float | None = None) -> Response:
    headers = {"retry-after": str(int(wait) + 1)} if wait else None
    return JSONResponse({"error": message}, status, headers)


async def _read(receive: Receive) -> tuple[Response | None, bytes]:
    """Read the body of a request, which has to be short and to come soon."""
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return _error(400, "the request ended early"), b""
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    return _error(413, f"more than {MAX_BODY} bytes"), b""
                if not message.get("more_body", False):
                    return None, body
    except TimeoutError:
        return _error(408, f"the request took longer than {BODY_S:.0f} s"), b""


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read already, then whatever the connection has."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send, path: str) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers["date"] = formatdate(usegmt=True)
            # Clips and pictures never change under their name; everything else does.
            kept = path.startswith("/clips/") or path.endswith(".png")
            if message["status"] not in (200, 206) or not kept:
                headers["cache-control"] = "no-store" if path.startswith("/api") else "no-cache"
            else:
                headers["cache-control"] = "private, max-age=86400"
        await send(message)

    return with_headers
