"""Sound from a microphone: a child process that writes raw samples, and a thread that drains it.

The samples go into a ring of fixed size. The number of a sample is the truth about time: what
comes without a break is numbered without a break, and where samples may be missing (the child was
started anew, nothing came for a second, arecord reports an overrun) a break is noted. A device
that is not there, or gives nothing, is a state, never an exception.
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
from numpy.typing import NDArray

State = Literal["starting", "ok", "missing", "stalled"]

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before the child is started again
STALL = 1.0  # without samples for so long, some may be missing afterwards
HOPELESS = 10.0  # without samples for so long, the child is started anew
RATE_TOLERANCE = 0.005
_RATE_SPAN = 60.0  # seconds over which the rate is measured
_PIPE_BYTES = 1 << 20  # the kernel's buffer between the child and this process: 10 s of 48 kHz
_TAIL_BYTES = 2000
_F_SETPIPE_SZ = 1031
_OVERRUN = re.compile(rb"overrun|xrun", re.IGNORECASE)


def arecord(device: str, rate: int, channels: int) -> list[str]:
    """Give the command that records from an ALSA device.

    Raw samples: a WAV file from arecord ends at 2 GiB.
    """
    return [
        *("arecord", "-q", "-D", device, "-t", "raw", "-f", "S16_LE"),
        *("-r", str(rate), "-c", str(channels)),
    ]


class Ring:
    """The newest samples of a stream, in memory that is taken once.

    Args:
        n: samples that it holds.
        channels: of each.
    """

    def __init__(self, n: int, channels: int) -> None:
        self._samples = np.zeros((n, channels), np.int16)
        self._lock = threading.Lock()
        self.total = 0  # samples that were ever written: the number of the next one

    @property
    def oldest(self) -> int:
        """Number of the oldest sample that is still there."""
        return max(0, self.total - len(self._samples))

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples [shape=(n, channels)]."""
        size = len(self._samples)
        with self._lock:
            skipped = max(0, len(samples) - size)
            at = (self.total + skipped) % size
            kept = samples[skipped:]
            first = min(len(kept), size - at)
            self._samples[at : at + first] = kept[:first]
            self._samples[: len(kept) - first] = kept[first:]
            self.total += len(samples)

    def read(self, start: int, n: int) -> NDArray[np.int16] | None:
        """Copy `n` samples from number `start` on; None if they are not all there."""
        with self._lock:
            if start < self.oldest or start + n > self.total or n < 0:
                return None
            at = start % len(self._samples)
            first = self._samples[at : at + n]
            if len(first) == n:
                return first.copy()
            return np.concatenate([first, self._samples[: n - len(first)]])


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
        wake: called by the reading thread whenever samples came; must not wait.
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
        self._stalls = self._restarts = self._gaps = self._rate_off = 0
        self._breaks: collections.deque[int] = collections.deque(maxlen=1000)
        self._break_after_block = False
        self._stream = 0
        self._anchor: float | None = None  # monotonic time of sample 0 of an even stream
        self._last = (0, 0.0)
        self._marks: collections.deque[tuple[float, int]] = collections.deque()
        self._rate_measured: float | None = None
        self._off = False
        self._largest = 0  # block
        self.beat = time.monotonic()  # when the reading thread last went round
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
            rate_measured=self._rate_measured,
            rate_off=self._rate_off,
        )

    def next_break(self, after: int) -> int | None:
        """Give the number of the first sample after a break that is above `after`, if any."""
        return next((at for at in list(self._breaks) if at > after), None)

    def time_of(self, sample: int) -> float:
        """Give the monotonic time at which a sample was recorded, as the newest ones came."""
        number, at = self._last
        return at - (number - sample) / self.rate

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
            end = time.monotonic() + pause
            while not self._stop.is_set() and time.monotonic() < end:
                self.beat = time.monotonic()
                self._stop.wait(0.5)
            self._restarts += 1

    def _record(self) -> bool:
        """Run the child until it ends or gives up; True if it gave any samples."""
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
        last = time.monotonic()
        while not self._stop.is_set():
            ready, _, _ = select.select(open_pipes, [], [], 0.5)
            now = self.beat = time.monotonic()
            if err in ready:
                text = os.read(err, 4096)
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
                got, last = True, now
                left = self._take(buffer, left + size, now)
                self._to("ok")
            elif now - last > STALL and got and self._state != "stalled":
                self._stalls += 1
                self._to("stalled")
            if now - last > HOPELESS:
                self._error = f"no sound for {HOPELESS:.0f} s"
                break
        return got

    def _take(self, buffer: bytearray, size: int, now: float) -> int:
        """Put whole samples into the ring; give the number of bytes left of one that is not."""
        frame = 2 * self.channels
        whole = size - size % frame
        samples = np.frombuffer(buffer, "<i2", whole // 2).reshape(-1, self.channels)
        self.ring.write(samples.astype(np.int16, copy=False))
        buffer[: size - whole] = buffer[whole:size]
        if self._break_after_block:
            self._break_after_block = False
            self._breaks.append(self.ring.total)
        self._note_time(now)
        self._wake()
        return size - whole

    def _note_time(self, now: float) -> None:
        total = self.ring.total
        # Samples come in blocks, late by up to a block: the earliest ones tell the time best.
        # A sound card's clock may be off by 500 ppm, so that the estimate may creep by as much.
        anchor = now - total / self.rate
        if self._anchor is None:
            self._anchor = anchor
        else:
            creep = self._anchor + 5e-4 * (now - self._last[1])
            self._anchor = min(anchor, creep)
        self._largest = max(self._largest, total - self._last[0])
        self._last = (total, self._anchor + total / self.rate)
        self._marks.append((now, total))
        while self._marks and now - self._marks[0][0] > _RATE_SPAN:
            first, number = self._marks.popleft()
            if self._marks and now - self._marks[0][0] <= _RATE_SPAN:
                self._measure(total - number, now - first)

    def _measure(self, samples: int, seconds: float) -> None:
        was_off = self._off
        self._rate_measured = samples / seconds
        # Samples come in blocks, so that the count is sure to a block only.
        tolerance = RATE_TOLERANCE + self._largest / samples
        self._off = abs(self._rate_measured / self.rate - 1) > tolerance
        self._rate_off += self._off and not was_off

    def _take_stderr(self, text: bytes) -> None:
        self._error = ""  # the child's own word is better
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
        self._anchor = None
        self._marks.clear()

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


def _last_line(tail: bytes) -> str:
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "")
