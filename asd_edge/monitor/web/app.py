"""The application: routes of the page, each a few lines on top of the daemon's own questions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import struct
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from asd_edge.errors import AsdError, CommandError, EnrollmentError, ParameterError
from asd_edge.monitor import metrics
from asd_edge.monitor.commands import Acknowledge, Command, Shelve, WasFault, WasNormal
from asd_edge.monitor.outlet_config import WebConfig
from asd_edge.monitor.service import Monitor
from asd_edge.monitor.web import views
from asd_edge.monitor.web.explanations import Explanations
from asd_edge.monitor.web.guard import COOKIE, Guard, session_token
from asd_edge.monitor.web.passwords import SESSION_S, read_password_file

STATIC = Path(__file__).with_name("static")
_POINTS = 480
_COMMAND_S = 20.0
_BY = "page"
_EPISODE_COMMANDS: dict[str, type[Acknowledge] | type[WasNormal] | type[WasFault]] = {
    "acknowledge": Acknowledge,
    "was-normal": WasNormal,
    "was-fault": WasFault,
}


def make_app(config: WebConfig, monitor: Monitor) -> Guard:
    """Make the guarded ASGI application.

    Raises:
        MissingFileError, ParameterError: about the password file.
    """
    password = read_password_file(config.password_file) if config.password_file else None
    pages = _Pages(monitor, password is not None)
    app = Starlette(
        routes=pages.routes(),
        exception_handlers={AsdError: _refused, HTTPException: _http_error},
    )
    app.router.redirect_slashes = False
    guard = Guard(app, password, (config.listen, *config.allowed_hosts))
    pages.guard = guard
    return guard


class _Pages:
    guard: Guard

    def __init__(self, monitor: Monitor, with_password: bool) -> None:
        self._monitor = monitor
        self._with_password = with_password
        self._explanations = Explanations(monitor)

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/", self.page),
            Route("/login", self.login_page),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/api/state", self.state),
            Route("/api/machines/{machine}/windows", self.windows),
            Route("/api/machines/{machine}/columns", self.columns),
            Route("/api/machines/{machine}/bands", self.bands),
            Route("/api/machines/{machine}/shelve", self.shelve, methods=["POST"]),
            Route("/api/episodes", self.episodes),
            Route("/api/episodes/{number:int}", self.episode),
            Route("/api/episodes/{number:int}/explanation", self.explanation),
            Route("/api/episodes/{number:int}/{command}", self.command, methods=["POST"]),
            Route("/clips/{number:int}.flac", self.clip),
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    # The page and the log-in.

    async def page(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def login_page(self, request: Request) -> Response:
        if not self._with_password:
            return RedirectResponse("/", 303)
        return _login_page("")

    async def login(self, request: Request) -> Response:
        if not self._with_password:
            return RedirectResponse("/", 303)
        form = parse_qs((await request.body()).decode(errors="replace"))
        wait = await self.guard.check(form.get("password", [""])[0], request.scope)
        if wait is not None:
            if wait:
                return _login_page(f"Too many attempts. Try again in {wait:.0f} s.", 429, wait)
            return _login_page("That is not the password.", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, self.guard.sessions.begin(), int(SESSION_S), httponly=True, samesite="strict"
        )
        return answer

    async def logout(self, request: Request) -> Response:
        self.guard.sessions.end(session_token(request.headers))
        answer = RedirectResponse("/login" if self._with_password else "/", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    # What the page shows.

    async def state(self, request: Request) -> Response:
        values = views.state(self._monitor.snapshot, time.time())
        values["log_out"] = self._with_password
        return JSONResponse(values)

    async def windows(self, request: Request) -> Response:
        machine = self._machine(request)
        hours = _number(request.query_params, "hours", 24.0, 0.01, 24.0 * 90)
        now = time.time()
        found = await run_in_threadpool(self._monitor.windows, machine, now - hours * 3600, _POINTS)
        return JSONResponse(views.windows(found, hours, now))

    async def columns(self, request: Request) -> Response:
        machine = self._machine(request)
        since = int(_number(request.query_params, "since", 0, 0, 2**53))
        number, bands, columns = await run_in_threadpool(self._monitor.columns, machine, since)
        return Response(
            struct.pack("<QI", number, bands) + columns, media_type="application/octet-stream"
        )

    async def bands(self, request: Request) -> Response:
        state = self._monitor.snapshot.machine(self._machine(request))
        assert state is not None
        return JSONResponse({"edges_hz": await run_in_threadpool(views.band_edges, state.bundle)})

    async def episodes(self, request: Request) -> Response:
        limit = int(_number(request.query_params, "limit", 50, 1, 500))
        found = await run_in_threadpool(self._monitor.history.episodes, limit=limit)
        return JSONResponse([views.episode(e, time.time()) for e in found])

    async def episode(self, request: Request) -> Response:
        number = request.path_params["number"]
        found = await run_in_threadpool(self._monitor.history.episode, number)
        if found is None:
            raise HTTPException(404, "no such alarm")
        return JSONResponse(views.episode(found, time.time()))

    async def explanation(self, request: Request) -> Response:
        found = await run_in_threadpool(self._explanations.get, request.path_params["number"])
        return JSONResponse(found)

    async def clip(self, request: Request) -> Response:
        # The number is looked up; no part of the address ever names a file.
        found = await run_in_threadpool(self._monitor.history.clip, request.path_params["number"])
        if found is None or not found.path.is_file():
            raise HTTPException(404, "no such clip, or it is no longer kept")
        return FileResponse(found.path, media_type="audio/flac")

    # For programs.

    async def metrics(self, request: Request) -> Response:
        text = await run_in_threadpool(metrics.render, self._monitor)
        return Response(text, headers={"content-type": metrics.CONTENT_TYPE})

    async def healthz(self, request: Request) -> Response:
        silent = views.silent(self._monitor.snapshot, time.time())
        values = {"ok": not silent, "no_valid_window_for_3_hops": silent}
        return JSONResponse(values, 503 if silent else 200)

    # Commands.

    async def command(self, request: Request) -> Response:
        make = _EPISODE_COMMANDS.get(request.path_params["command"])
        if make is None:
            raise HTTPException(404, "no such command")
        return await self._submit(make(request.path_params["number"], _BY))

    async def shelve(self, request: Request) -> Response:
        machine = self._machine(request)
        try:
            hours = json.loads(await request.body())["hours"]
        except (ValueError, TypeError, KeyError, RecursionError):
            hours = None
        # The daemon says which hours it takes; here they only have to be a number.
        if type(hours) not in (int, float) or not abs(hours) < 1e9:
            raise HTTPException(400, 'expected a JSON object with a number, such as {"hours": 1}')
        return await self._submit(Shelve(machine, hours * 3600.0, _BY))

    async def _submit(self, command: Command) -> Response:
        try:
            done = await _answer(self._monitor.submit(command))
        except TimeoutError:
            raise HTTPException(
                503, "the daemon has not answered yet; it may still do it"
            ) from None
        return JSONResponse({"done": done})

    def _machine(self, request: Request) -> str:
        name: str = request.path_params["machine"]
        if self._monitor.snapshot.machine(name) is None:
            raise HTTPException(404, "no such machine")
        return name


async def _answer(future: Future[str]) -> str:
    """Wait for the daemon without a thread, so that a command that takes long holds up nothing.

    Raises:
        AsdError: the daemon refuses the command.
        TimeoutError: it has not answered in time.
    """
    loop, answered = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Future[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the page has ended
            loop.call_soon_threadsafe(answered.set)

    future.add_done_callback(tell)
    async with asyncio.timeout(_COMMAND_S):
        await answered.wait()
    return future.result()


def _login_page(message: str, status: int = 200, wait: float = 0.0) -> Response:
    text = (STATIC / "login.html").read_text(encoding="utf-8").replace("{message}", message)
    headers = {"retry-after": str(int(wait) + 1)} if wait else None
    return HTMLResponse(text, status, headers)


def _number(given: Any, name: str, default: float, low: float, high: float) -> float:
    try:
        value = float(given.get(name, default))
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ParameterError(name, given.get(name), f"a number from {low:g} to {high:g}")
    return value


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, _status(error))


def _status(error: Exception) -> int:
    if isinstance(error, ParameterError):
        return 400
    if isinstance(error, LookupError):
        return 404
    # It was understood, and it would be right at another time or of another alarm.
    if isinstance(error, CommandError | EnrollmentError):
        return 409
    return 503  # the device's own trouble, such as a bundle or a history that cannot be read


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
