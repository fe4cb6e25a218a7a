"""The server: uvicorn in a thread of its own, with limits on slow and on many connections."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from typing import Any

import anyio.to_thread
import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from asd_edge.errors import AsdError, ParameterError
from asd_edge.monitor.outlet_config import WebConfig
from asd_edge.monitor.service import Monitor
from asd_edge.monitor.web.app import make_app

# A request's first line and headers have to be whole within this time, also on a kept connection.
HEADER_S = 10.0
MAX_CONNECTIONS = 64
_MAX_HEADER = 16384
_STOP_S = 5.0
# Each thread that answers has a connection to the history with a cache of 2 MB, and what the
# allocator keeps for it; more of them would be no faster, and others wait for their turn.
_THREADS = 4


class AddressError(AsdError, OSError):
    """An address that the page cannot listen on."""

    def __init__(self, listen: str, port: int, reason: str) -> None:
        super().__init__(f"the page cannot listen on {listen} port {port}: {reason}")


class _Protocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no whole request comes in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HEADER_S, self.transport.abort)


class _Server(uvicorn.Server):
    """A server that sleeps until it is asked: uvicorn's own looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        if not self.should_exit:
            await self._end.wait()
        # asyncio leaks a connection that was accepted and not made yet when its listener is closed.
        for server in self.servers:
            for listener in server.sockets:
                self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # One that was accepted just now was not asked to end.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # in which they are closed

    def stop(self) -> None:
        """End it; may be called by any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)


class WebServer:
    """The running page; `start` makes one.

    Attributes:
        address: what it listens on: host and port.
    """

    def __init__(self, config: WebConfig, monitor: Monitor) -> None:
        settings = uvicorn.Config(
            make_app(config, monitor),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # not a line for each request that is none
            access_log=False,
            server_header=False,
            date_header=False,  # which would be written once a second; see `guard`
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=int(HEADER_S),
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_MAX_HEADER,
        )
        self._server = _Server(settings)
        self._socket = _listen(config)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a browser finds it; by the device's name if it listens on all addresses."""
        host, port = self.address
        if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
            host = socket.gethostname()
        return f"http://{_in_url(host)}:{port}/"

    def stop(self) -> None:
        """Close all connections and end."""
        self._server.stop()
        self._thread.join(_STOP_S)
        self._socket.close()

    def _run(self) -> None:
        # Not Server.run: that one is for the main thread, whose signals it takes.
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        # Starlette's way to say so: its threads are anyio's, which it requires.
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        await self._server.serve(sockets=[self._socket])


def check(config: WebConfig) -> None:
    """Refuse to let other machines in without a password.

    Raises:
        ParameterError: another address than loopback, and no password.
        AddressError: a name that cannot be resolved.
    """
    if config.password_file is not None:
        return
    for *_, (address, *_rest) in _resolve(config):
        if not ipaddress.ip_address(str(address).partition("%")[0]).is_loopback:
            raise ParameterError(
                "listen",
                config.listen,
                "127.0.0.1 or another loopback address without password_file",
            )


def _resolve(config: WebConfig) -> list[Any]:
    try:
        return socket.getaddrinfo(
            config.listen, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise AddressError(config.listen, config.port, f"{error}") from error


def _listen(config: WebConfig) -> socket.socket:
    check(config)
    family, kind, protocol, _, address = _resolve(config)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MAX_CONNECTIONS)  # from now on whoever comes early waits
    except OSError as error:
        listener.close()
        reason = error.strerror or f"{error}"
        if error.errno == errno.EADDRINUSE:
            reason += " (is another monitor running?)"
        raise AddressError(config.listen, config.port, reason) from error
    return listener


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
