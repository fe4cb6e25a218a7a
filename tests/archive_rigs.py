"""A Dask scheduler, workers and servers of files on loopback, most in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# For a busy machine; what is waited for takes a moment.
PATIENCE_S = 60.0


def wait_for(found: Callable[[], Any]) -> Any:
    """Wait until something is true, and give it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@contextlib.contextmanager
def killed_when(found: Callable[[], Any], victim: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process as soon as something is true, which must stay true once it is."""
    ended = threading.Event()

    def kill() -> None:
        while not found() and not ended.wait(0.05):
            pass
        victim.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()
    assert found()
    assert victim.wait() == -signal.SIGKILL


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def sftp(folder: Path) -> Iterator[str]:
    """Serve a folder by SFTP, to read, from threads of this process; give its URL."""
    import paramiko

    class Login(paramiko.ServerInterface):
        def check_auth_password(self, username: str, password: str) -> int:
            known = (username, password) == ("asd", "secret")
            return int(paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED)

        def get_allowed_auths(self, username: str) -> str:
            return "password"

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return int(paramiko.OPEN_SUCCEEDED)

    class Files(paramiko.SFTPServerInterface):
        def stat(self, path: str) -> Any:
            try:
                return paramiko.SFTPAttributes.from_stat((folder / path.lstrip("/")).stat())
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        lstat = stat

        def list_folder(self, path: str) -> Any:
            found = sorted((folder / path.lstrip("/")).iterdir())
            return [paramiko.SFTPAttributes.from_stat(p.stat(), p.name) for p in found]

        def open(self, path: str, flags: int, attr: Any) -> Any:
            handle = paramiko.SFTPHandle(flags)
            handle.readfile = (folder / path.lstrip("/")).open("rb")
            return handle

    key = paramiko.ECDSAKey.generate()
    transports: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener is closed at the end
                while True:
                    transport = paramiko.Transport(listener.accept()[0])
                    transports.append(transport)
                    transport.add_server_key(key)
                    transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
                    transport.start_server(threading.Event(), server=Login())

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"sftp://asd:secret@127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            for transport in transports:
                transport.close()


class Processes:
    """Processes that a test starts; each is ended by its number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self._folder,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._running.append(process)
        return process

    def scheduler(self) -> str:
        """Start a scheduler; give its address."""
        port = free_port()
        arguments = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show")
        self.start("distributed.cli.dask_scheduler", *arguments)
        wait_for(lambda: answers(port))
        return f"tcp://127.0.0.1:{port}"

    def worker(self, scheduler: str) -> subprocess.Popen[bytes]:
        """Start a worker that nobody starts again."""
        arguments = ("--no-nanny", "--nthreads", "1", "--no-dashboard")
        return self.start("distributed.cli.dask_worker", scheduler, *arguments)

    def s3(self) -> str:
        """Start an S3 server; give its address."""
        port = free_port()
        self.start("moto.server", "-H", "127.0.0.1", "-p", str(port))
        wait_for(lambda: answers(port))
        return f"http://127.0.0.1:{port}"

    def s3_for(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """Start an S3 server that the test's process and its workers use; give its address."""
        endpoint = self.s3()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()  # those of another server
        return endpoint

    def http(self, folder: Path) -> str:
        """Start a server that lists and sends the files of a folder; give its address."""
        port = free_port()
        arguments = (str(port), "--bind", "127.0.0.1", "--directory", str(folder))
        self.start("http.server", *arguments)
        wait_for(lambda: answers(port))
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
