# cython: language_level=3, boundscheck=False, wraparound=False
"""The C core's only binding: validate, allocate, one nogil call, status -> exception."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport uint16_t
from libc.stdlib cimport free, malloc

import math

import numpy as np

from asd_edge.errors import ParameterError


cdef extern from "melspec.h" nogil:
    ctypedef enum melspec_status:
        MELSPEC_OK
        MELSPEC_BAD_CONFIG
        MELSPEC_TOO_SHORT
        MELSPEC_BAD_RANGE
        MELSPEC_NO_INSTRUCTION_SET
        MELSPEC_NO_MEMORY
    ctypedef enum melspec_pad_mode:
        MELSPEC_PAD_CONSTANT
        MELSPEC_PAD_REFLECT
    ctypedef enum melspec_log:
        MELSPEC_LOG_NONE
        MELSPEC_LOG_DB
    ctypedef enum melspec_format:
        MELSPEC_FLOAT
        MELSPEC_PCM16
    int MELSPEC_MIN_N_FFT
    int MELSPEC_MAX_N_FFT
    int MELSPEC_MAX_N_MELS
    ctypedef struct melspec_config:
        double sr
        int n_fft
        int hop_length
        int n_mels
        double fmin
        double fmax
        int power
        melspec_log log
        double amin
        int center
        melspec_pad_mode pad_mode
    ctypedef struct melspec_plan:
        pass
    const char *melspec_instruction_set(size_t i)
    melspec_status melspec_plan_create(const melspec_config *config, const char *instruction_set,
                                       melspec_plan **plan)
    void melspec_plan_free(melspec_plan *plan)
    size_t melspec_n_frames(const melspec_plan *plan, size_t n_samples)
    size_t melspec_workspace_size(const melspec_plan *plan)
    void melspec_filterbank(const melspec_plan *plan, double *out)
    melspec_status melspec_compute(const melspec_plan *plan, const void *y, melspec_format format,
                                   size_t n_samples, size_t first, size_t count, float *out,
                                   size_t out_stride, void *workspace)
    ctypedef struct melspec_stream:
        pass
    melspec_status melspec_stream_create(const melspec_plan *plan, melspec_stream **stream)
    void melspec_stream_free(melspec_stream *stream)
    size_t melspec_stream_n_frames(const melspec_stream *stream, size_t n)
    size_t melspec_stream_n_rest(const melspec_stream *stream)
    melspec_status melspec_stream_push(melspec_stream *stream, const void *y,
                                       melspec_format format, size_t n, float *out,
                                       size_t out_stride, void *workspace)
    melspec_status melspec_stream_finish(melspec_stream *stream, float *out, size_t out_stride,
                                         void *workspace)

cdef extern from "scoring.h" nogil:
    melspec_status c_squared_distances "squared_distances"(
        const float *x, size_t n_x, const float *references, size_t n, size_t d,
        const char *instruction_set, double *out)
    ctypedef struct whitening:
        pass
    melspec_status whitening_create(const uint16_t *triangle, size_t d,
                                    const char *instruction_set, whitening **result)
    void whitening_free(whitening *w)
    size_t whitening_workspace_size(const whitening *w)
    void whitening_project(const whitening *w, const float *x, size_t n, float *y,
                           float *workspace)


MIN_N_FFT = MELSPEC_MIN_N_FFT
MAX_N_FFT = MELSPEC_MAX_N_FFT
MAX_N_MELS = MELSPEC_MAX_N_MELS


def instruction_sets():
    """Those that plans can be made for on this machine, fastest first."""
    names = []
    while melspec_instruction_set(len(names)) != NULL:
        names.append(melspec_instruction_set(len(names)).decode())
    return tuple(names)


cdef _check(melspec_status status):
    if status == MELSPEC_NO_MEMORY:
        raise MemoryError("no memory for the mel spectrogram")
    if status == MELSPEC_BAD_CONFIG:
        raise ParameterError("config", "a mel plan's", "fields within the ranges of melspec.h")
    if status == MELSPEC_TOO_SHORT:
        raise ParameterError("y", "a clip", "at least the samples of one frame")
    if status != MELSPEC_OK:
        raise ParameterError("n_frames", "a count", "at most the frames that the samples give")


cdef _check_set(melspec_status status, instruction_set):
    if status == MELSPEC_NO_INSTRUCTION_SET:
        raise ParameterError("instruction_set", instruction_set,
                             f"one of {', '.join(instruction_sets())} on this machine")
    _check(status)


cdef melspec_format _get_samples(object y, Py_buffer *samples) except? MELSPEC_PCM16:
    """Plain buffers: typed memoryviews would take a tenth of a short clip's time."""
    PyObject_GetBuffer(y, samples, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    if samples.ndim == 1 and samples.format[1] == 0:
        if samples.format[0] == b"f":
            return MELSPEC_FLOAT
        if samples.format[0] == b"h":
            return MELSPEC_PCM16
    PyBuffer_Release(samples)
    raise ParameterError("y", "a buffer of another kind", "one dimension of float32 or int16")


cdef class Plan:
    """A melspec_plan: read-only once built, so threads share it without a lock."""

    cdef melspec_plan *_plan
    cdef void *_spare  # a workspace between calls: fresh pages would cost as much as a short clip
    cdef Py_ssize_t _n_mels
    cdef Py_ssize_t _n_bins

    def __cinit__(self, *, double sr, int n_fft, int hop_length, int n_mels, double fmin,
                  double fmax, int power, bint db, double amin, bint center, bint reflect,
                  str instruction_set=None):
        cdef melspec_config config
        config.sr = sr
        config.n_fft = n_fft
        config.hop_length = hop_length
        config.n_mels = n_mels
        config.fmin = fmin
        config.fmax = fmax
        config.power = power
        config.log = MELSPEC_LOG_DB if db else MELSPEC_LOG_NONE
        config.amin = amin
        config.center = center
        config.pad_mode = MELSPEC_PAD_REFLECT if reflect else MELSPEC_PAD_CONSTANT
        cdef bytes name = b"" if instruction_set is None else instruction_set.encode()
        cdef const char *wanted = NULL if instruction_set is None else <const char *>name
        _check_set(melspec_plan_create(&config, wanted, &self._plan), instruction_set)
        self._n_mels = n_mels
        self._n_bins = n_fft // 2 + 1

    def __dealloc__(self):
        melspec_plan_free(self._plan)
        free(self._spare)

    cdef void *_borrow_workspace(self) except NULL:
        cdef void *work = self._spare
        self._spare = NULL  # under the interpreter's lock; a thread that finds NULL makes its own
        if work == NULL:
            work = malloc(melspec_workspace_size(self._plan))
        if work == NULL:
            _check(MELSPEC_NO_MEMORY)
        return work

    cdef void _return_workspace(self, void *work) noexcept:
        if self._spare == NULL:
            self._spare = work
        else:
            free(work)

    def compute(self, y not None):
        """Mel spectrogram of a whole clip, padded as configured [shape=(n_mels, n_frames)]."""
        cdef Py_buffer samples
        cdef Py_buffer result
        cdef melspec_format format = _get_samples(y, &samples)
        cdef size_t n_samples = samples.len // samples.itemsize
        cdef size_t n_frames = melspec_n_frames(self._plan, n_samples)
        cdef melspec_status status
        cdef void *work
        try:
            out = np.empty((self._n_mels, n_frames), dtype=np.float32)
            work = self._borrow_workspace()
            PyObject_GetBuffer(out, &result, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            with nogil:
                status = melspec_compute(self._plan, samples.buf, format, n_samples, 0, n_frames,
                                         <float *>result.buf, n_frames, work)
            PyBuffer_Release(&result)
            self._return_workspace(work)
        finally:
            PyBuffer_Release(&samples)
        _check(status)
        return out

    def filterbank(self):
        """Weights of the mel filters, float64 [shape=(n_mels, 1 + n_fft/2)]."""
        out = np.empty((self._n_mels, self._n_bins), dtype=np.float64)
        cdef double[:, ::1] view = out
        melspec_filterbank(self._plan, &view[0, 0])
        return out


cdef class Stream:
    """A melspec_stream, for one thread at a time."""

    cdef melspec_stream *_stream
    cdef Plan _plan
    cdef bint _is_busy

    def __cinit__(self, Plan plan not None):
        self._plan = plan
        _check(melspec_stream_create(plan._plan, &self._stream))

    def __dealloc__(self):
        melspec_stream_free(self._stream)

    def push(self, y not None):
        """Frames that these samples complete [shape=(n_mels, n_frames)]."""
        cdef Py_buffer samples
        cdef melspec_format format = _get_samples(y, &samples)
        try:
            return self._run(samples.buf, format, samples.len // samples.itemsize, False)
        finally:
            PyBuffer_Release(&samples)

    def finish(self):
        """Frames that the padding behind the clip completes [shape=(n_mels, n_frames)]."""
        return self._run(NULL, MELSPEC_FLOAT, 0, True)

    cdef _run(self, const void *samples, melspec_format format, size_t n_samples, bint is_end):
        if self._is_busy:
            raise ParameterError("stream", "in use by another thread", "a stream for each thread")
        cdef size_t n_frames = (melspec_stream_n_rest(self._stream) if is_end else
                                melspec_stream_n_frames(self._stream, n_samples))
        cdef Py_buffer result
        cdef melspec_status status
        out = np.empty((self._plan._n_mels, n_frames), dtype=np.float32)
        cdef void *work = self._plan._borrow_workspace()
        PyObject_GetBuffer(out, &result, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        self._is_busy = True
        with nogil:
            if is_end:
                status = melspec_stream_finish(self._stream, <float *>result.buf, n_frames, work)
            else:
                status = melspec_stream_push(self._stream, samples, format, n_samples,
                                             <float *>result.buf, n_frames, work)
        self._is_busy = False
        PyBuffer_Release(&result)
        self._plan._return_workspace(work)
        _check(status)
        return out


def squared_distances(x not None, references not None, str instruction_set=None):
    """Squared euclidean distances of embeddings to references, float64 [shape=(w, n)]."""
    a = np.ascontiguousarray(x, dtype=np.float32)
    b = np.ascontiguousarray(references, dtype=np.float32)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ParameterError("shapes", (a.shape, b.shape), "(w, d) and (n, d)")
    out = np.empty((len(a), len(b)))
    cdef size_t n_a = len(a), n_b = len(b), d = a.shape[1]
    if out.size == 0:
        return out
    cdef bytes name = b"" if instruction_set is None else instruction_set.encode()
    cdef const char *wanted = NULL if instruction_set is None else <const char *>name
    cdef const float[:, ::1] rows = a
    cdef const float[:, ::1] others = b
    cdef double[:, ::1] result = out
    cdef melspec_status status
    with nogil:
        status = c_squared_distances(&rows[0, 0], n_a, &others[0, 0], n_b, d, wanted,
                                     &result[0, 0])
    _check_set(status, instruction_set)
    return out


cdef class Projection:
    """A whitening L, ready to multiply embeddings with; read-only, so threads share it."""

    cdef whitening *_whitening
    cdef Py_ssize_t _d

    def __cinit__(self, const uint16_t[::1] triangle not None, str instruction_set=None):
        self._d = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
        if self._d == 0 or self._d * (self._d + 1) // 2 != len(triangle):
            raise ParameterError("triangle", f"{len(triangle)} values", "d (d + 1) / 2 of them")
        cdef bytes name = b"" if instruction_set is None else instruction_set.encode()
        cdef const char *wanted = NULL if instruction_set is None else <const char *>name
        cdef melspec_status status = whitening_create(&triangle[0], self._d, wanted,
                                                      &self._whitening)
        if status == MELSPEC_BAD_CONFIG:
            raise ParameterError("triangle", "NaN or infinite", "finite values")
        _check_set(status, instruction_set)

    def __dealloc__(self):
        whitening_free(self._whitening)

    def __call__(self, embeddings not None):
        """Embeddings times L, float32 [shape=(n, d)]."""
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self._d:
            raise ParameterError("embeddings.shape", rows.shape, f"(n, {self._d})")
        out = np.empty_like(rows)
        if len(rows) == 0:
            return out
        cdef const float[:, ::1] x = rows
        cdef float[:, ::1] y = out
        cdef float *work = <float *>malloc(
            whitening_workspace_size(self._whitening) * sizeof(float))
        if work == NULL:
            _check(MELSPEC_NO_MEMORY)
        with nogil:
            whitening_project(self._whitening, &x[0, 0], x.shape[0], &y[0, 0], work)
        free(work)
        return out
