"""Sound from a microphone: a child process that writes raw samples, and a thread that drains it.

The samples go into a ring of fixed size. The number of a sample is the truth about time: what
comes without a break is numbered without a break, and where samples may be missing (the child was
started anew, nothing came for a second, arecord reports an overrun) a break is noted. A device
that is not there, or gives nothing, is a state, never an exception.

The reading thread sleeps while nobody waits for a sample: the kernel's pipe holds what comes
meanwhile, and each wake-up costs a device that listens for years.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asd_edge.audio.ring import Ring
from asd_edge.audio.stream_time import StreamTime

State = Literal["starting", "ok", "missing", "stalled"]

# Seconds from a silent try to the next one. A device that is back is heard after 20 s at the
# latest, so that a whole window of 10 s is judged within 35.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
STALL = 1.0  # without samples for so long, some may be missing afterwards
HOPELESS = 10.0  # without samples for so long, the child is started anew
_PIPE_BYTES = 1 << 20  # the kernel's buffer between the child and this process: 10 s of 48 kHz
_LONGEST_REST = 0.5  # seconds between two looks into the pipe
_REST_MARGIN = 0.25  # seconds before the sample that is waited for
# The first blocks of a stream are taken one by one: they tell its time, and the child's block.
_FIRST_BLOCKS = 20
_TAIL_BYTES = 2000
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032
_OVERRUN = re.compile(rb"overrun|xrun", re.IGNORECASE)


def arecord(device: str, rate: int, channels: int) -> list[str]:
    """Give the command that records from an ALSA device.

    Raw samples: a WAV file from arecord ends at 2 GiB.
    """
    return [
        *("arecord", "-q", "-D", device, "-t", "raw", "-f", "S16_LE"),
        *("-r", str(rate), "-c", str(channels)),
    ]


@dataclass(frozen=True)
class Status:
    """State of a capture at one moment.

    Attributes:
        state: "starting" until the first sample, "ok", "stalled" (the child runs and gives
            nothing) or "missing" (it does not run).
        since: when that began, by the monotonic clock.
        sentence: the last line that the child wrote on stderr, or what starting it said.
        stream: number of the stretch without breaks.
        gaps, stalls, restarts: how often samples may have been lost, nothing came for a second,
            and the child had to be started again.
        rate_measured: samples a second that really came, over the last minute.
        rate_off: how often that was found to differ by more than 0.5 %.
    """

    state: State
    since: float
    sentence: str
    stream: int
    gaps: int
    stalls: int
    restarts: int
    rate_measured: float | None
    rate_off: int


class Capture:
    """Runs a command that writes raw samples, and starts it again whenever it ends.

    Args:
        command: a program that writes signed 16 bit little-endian samples to its stdout.
        rate: samples a second that it gives.
        channels: interleaved.
        seconds: that the ring holds.
        wake: called by the reading thread when the sample `wanted` is there, and at every break
            and change of state; must not wait.

    Attributes:
        wanted: number of samples that somebody waits for; whoever sets it looks at `ring.total`
            afterwards. With 0 every block is wanted.
        beat: monotonic time at which the reading thread last went round.
    """

    def __init__(
        self,
        command: Sequence[str],
        rate: int,
        channels: int = 1,
        *,
        seconds: float = 90.0,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.command, self.rate, self.channels = list(command), rate, channels
        self.ring = Ring(round(seconds * rate), channels)
        self._wake = wake
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._state: State = "starting"
        self._since = time.monotonic()
        self._tail = b""
        self._error = ""
        self._stalls = self._restarts = self._gaps = 0
        self._breaks: collections.deque[int] = collections.deque(maxlen=1000)
        self._break_after_block = False
        self._stream = 0
        self._time = StreamTime(rate)
        self._blocks = 0  # of this stream
        self._longest_rest = 0.0
        self._heard = 0.0  # when samples came last, or the child was started
        self.wanted = 0
        self.beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Begin to record; once is enough."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End the child and the thread."""
        self._stop.set()
        self._end_child()
        if self._thread.is_alive():
            self._thread.join(5)

    @property
    def status(self) -> Status:
        """State at this moment."""
        return Status(
            state=self._state,
            since=self._since,
            sentence=self._error or _last_line(self._tail),
            stream=self._stream,
            gaps=self._gaps,
            stalls=self._stalls,
            restarts=self._restarts,
            rate_measured=self._time.rate_measured,
            rate_off=self._time.rate_off,
        )

    def next_break(self, after: int) -> int | None:
        """Give the number of the first sample after a break that is above `after`, if any."""
        return next((at for at in list(self._breaks) if at > after), None)

    def time_of(self, sample: int) -> float:
        """Give the monotonic time at which a sample was recorded, as the newest ones came."""
        return self._time.time_of(sample)

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            began = time.monotonic()
            got = self._record()
            if self._stop.is_set():
                return
            self._to("missing")
            if got and time.monotonic() - began > LONGEST_PAUSE:
                pause = 0.0
            pause = next_pause(pause)
            end = time.monotonic() + pause_left(pause, time.monotonic() - self._heard)
            while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
                self.beat = time.monotonic()
                self._stop.wait(min(left, 0.5))
            self._restarts += 1

    def _record(self) -> bool:
        """Run the child until it ends or gives up; True if it gave any samples."""
        self._heard = time.monotonic()
        try:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for this program, which then ends the child
            )
        except OSError as error:
            self._error = f"{self.command[0]}: {error.strerror}"
            return False
        self._child = child
        assert child.stdout is not None
        with contextlib.suppress(OSError):
            fcntl.fcntl(child.stdout, _F_SETPIPE_SZ, _PIPE_BYTES)
        # Where the kernel grants less, the child must not wait for this thread either.
        held = fcntl.fcntl(child.stdout, _F_GETPIPE_SZ) / (2 * self.channels * self.rate)
        self._longest_rest = min(_LONGEST_REST, held / 4)
        try:
            return self._drain(child)
        finally:
            self._end_child()
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
            self._child = None

    def _drain(self, child: subprocess.Popen[bytes]) -> bool:
        assert child.stdout is not None
        assert child.stderr is not None
        out, err = child.stdout.fileno(), child.stderr.fileno()
        buffer = bytearray(_PIPE_BYTES)
        left, got, open_pipes = 0, False, [out, err]
        rest = 0.0
        while not self._stop.wait(rest) if rest else not self._stop.is_set():
            ready, _, _ = select.select(open_pipes, [], [], 0.5)
            now = self.beat = time.monotonic()
            if err in ready:
                text = os.read(err, 1 << 16)
                if text:
                    self._take_stderr(text)
                else:
                    open_pipes.remove(err)
            if out in ready:
                size = os.readv(out, [memoryview(buffer)[left:]])
                if size == 0:
                    while select.select([err], [], [], 0.5)[0] and (text := os.read(err, 4096)):
                        self._take_stderr(text)
                    break
                if not got or self._state == "stalled":
                    self._break()
                if not got:
                    self._tail, self._error = b"", ""
                got, self._heard = True, now
                left = self._take(buffer, left + size, now, single=rest == 0)
                self._to("ok")
            elif now - self._heard > STALL and got and self._state != "stalled":
                self._stalls += 1
                self._to("stalled")
            if now - self._heard > HOPELESS:
                self._error = f"no sound for {HOPELESS:.0f} s"
                break
            # A child that says much must not wait until its words are read.
            rest = self._rest() if self._state == "ok" and err not in ready else 0.0
        return got

    def _rest(self) -> float:
        """Give the seconds for which nothing has to be read."""
        if self._blocks < _FIRST_BLOCKS:
            return 0.0
        missing = (self.wanted - self.ring.total) / self.rate - _REST_MARGIN
        return min(max(0.0, missing), self._longest_rest)

    def _take(self, buffer: bytearray, size: int, now: float, *, single: bool = True) -> int:
        """Put whole samples into the ring; give the number of bytes left of one that is not."""
        frame = 2 * self.channels
        whole = size - size % frame
        samples = np.frombuffer(buffer, "<i2", whole // 2).reshape(-1, self.channels)
        self.ring.write(samples.astype(np.int16, copy=False))
        buffer[: size - whole] = buffer[whole:size]
        if self._break_after_block:
            self._break_after_block = False
            self._breaks.append(self.ring.total)
        self._blocks += 1
        self._time.note(self.ring.total, now, len(samples) if single else None)
        if self.ring.total >= self.wanted:
            self._wake()
        return size - whole

    def _take_stderr(self, text: bytes) -> None:
        self._error = ""  # what the child printed says more
        self._tail = (self._tail + text)[-_TAIL_BYTES:]
        if _OVERRUN.search(text):
            # Samples of before may still be on their way: it happened before the end of the next
            # block, and after the last one.
            self._break()
            self._break_after_block = True

    def _break(self) -> None:
        """Note that samples may be missing before the next one."""
        self._gaps += self.ring.total > 0
        self._breaks.append(self.ring.total)
        self._stream += 1
        self._time.restart()
        self._blocks = 0
        self._wake()

    def _to(self, state: State) -> None:
        if state != self._state:
            self._state, self._since = state, time.monotonic()
            self._wake()

    def _end_child(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
            os.killpg(child.pid, signal.SIGCONT)  # a stopped one would not hear it
            try:
                child.wait(1)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(5)


def next_pause(pause: float) -> float:
    """Give the seconds to wait before the child is started again, of those before (0: none)."""
    return min(max(2 * pause, SHORTEST_PAUSE), LONGEST_PAUSE)


def pause_left(pause: float, in_vain: float) -> float:
    """Give the seconds still to wait, when the last try was silent for `in_vain` seconds."""
    return max(pause - in_vain, SHORTEST_PAUSE)


def _last_line(tail: bytes) -> str:
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "")
