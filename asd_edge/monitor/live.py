"""The live spectrogram of the page: made of what the microphone gave, while somebody looks."""

from __future__ import annotations

import collections
import threading
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from asd_edge.audio.ring import Ring
from asd_edge.frontend.bands import to_db
from asd_edge.frontend.mel import MelConfig, MelSpectrogram

_SECONDS = 60
_COLUMNS_PER_SECOND = 8
# Seconds that are transformed at once: a minute of 48 kHz would take 60 MB while it lasts.
_CHUNK_S = 2
_RANGE_DB, _HEADROOM_DB = 80.0, 20.0


class LiveSpectrogram:
    """Columns of bytes, about eight a second; any thread may ask for them.

    It is a picture alone: what is judged goes through `Detector.analyse`. While nobody asks, it
    costs nothing; somebody who begins to look gets the last minute.

    Args:
        ring: the samples.
        rate: of the samples.
        channel: number of a channel, or "mean".
        config: of the bundle's front end.
    """

    def __init__(
        self, ring: Ring, rate: int, channel: int | Literal["mean"], config: MelConfig
    ) -> None:
        self._ring, self._rate, self._channel, self._config = ring, rate, channel, config
        self._mel = MelSpectrogram(config)
        self._frames = max(1, round(config.sr / config.hop_length / _COLUMNS_PER_SECOND))
        self._kept: collections.deque[bytes] = collections.deque(
            maxlen=_SECONDS * _COLUMNS_PER_SECOND
        )
        self._total = 0
        self._at = -1  # number of the next sample; -1 before the first question
        self._top: float | None = None
        self._lock = threading.Lock()
        self._begin()

    def columns(self, since: int) -> tuple[int, int, bytes]:
        """See `service.Monitor.columns`."""
        with self._lock:
            self._catch_up()
            first = self._total - len(self._kept)
            kept = list(self._kept)[max(0, since - first) :]
            return self._total, self._config.n_mels, b"".join(kept)

    def _begin(self) -> None:
        self._stream = self._mel.stream()
        self._resampler = soxr.ResampleStream(self._rate, self._config.sr, 1, dtype="float32")
        self._left = np.zeros((self._config.n_mels, 0))

    def _catch_up(self) -> None:
        total = self._ring.total
        first = max(self._ring.oldest, total - _SECONDS * self._rate)
        if self._at < first:
            self._at = first
            self._begin()
        found = []
        while self._at < total:
            n = min(total - self._at, _CHUNK_S * self._rate)
            samples = self._ring.read(self._at, n)
            if samples is None:
                break
            self._at += n
            found.append(self._transform(samples))
        if found and (loudest := np.concatenate(found, axis=1)).size:
            self._add(loudest)

    def _transform(self, samples: NDArray[np.int16]) -> NDArray[np.float64]:
        """Give the columns that are complete with these samples, in dB [shape=(n_mels, n)]."""
        one = samples.mean(axis=1) if self._channel == "mean" else samples[:, self._channel]
        y = one.astype(np.float32) / np.float32(32768)
        if self._rate != self._config.sr:
            y = self._resampler.resample_chunk(y)
        mel = np.concatenate([self._left, to_db(self._stream.push(y), self._config)], axis=1)
        n = mel.shape[1] // self._frames
        self._left = mel[:, n * self._frames :]
        whole = mel[:, : n * self._frames].reshape(len(mel), n, self._frames)
        loudest: NDArray[np.float64] = whole.max(axis=2)
        return loudest

    def _add(self, loudest: NDArray[np.float64]) -> None:
        """Append columns of levels in dB [shape=(n_mels, n)].

        255 stands for the loudest value of the first ones and 20 dB more, 0 for 80 dB less.
        """
        if self._top is None:
            self._top = float(loudest.max()) + _HEADROOM_DB
        scaled = 255 * (1 + (loudest.T - self._top) / _RANGE_DB)
        columns = np.clip(np.round(scaled), 0, 255).astype(np.uint8)
        self._kept.extend(column.tobytes() for column in columns)
        self._total += len(columns)
