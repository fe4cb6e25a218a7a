# cython: language_level=3, boundscheck=False, wraparound=False
"""The only binding of the C core. A call validates its arguments, allocates the result, runs one
function of the core without the interpreter's lock, and turns its status into an exception."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int16_t, uint16_t
from libc.stdlib cimport free, malloc

import math

import numpy as np

from asd_edge.errors import ParameterError


cdef extern from "status.h" nogil:
    ctypedef enum asd_status:
        ASD_OK
        ASD_NO_MEMORY
        ASD_BAD_CONFIG
        ASD_TOO_SHORT
        ASD_BAD_RANGE
        ASD_NOT_FINITE

cdef extern from "kernel.h" nogil:
    ctypedef struct kernel:
        const char *name
    const kernel *kernel_available(size_t i)

cdef extern from "melspec.h" nogil:
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
    asd_status melspec_plan_create(const melspec_config *config, const kernel *kernel,
                                   melspec_plan **plan)
    void melspec_plan_free(melspec_plan *plan)
    size_t melspec_n_frames(const melspec_plan *plan, size_t n_samples)
    size_t melspec_workspace_size(const melspec_plan *plan)
    void melspec_filterbank(const melspec_plan *plan, double *out)
    asd_status melspec_compute(const melspec_plan *plan, const void *y, melspec_format format,
                               size_t n_samples, size_t first, size_t count, float *out,
                               size_t out_stride, void *workspace)

cdef extern from "stream.h" nogil:
    ctypedef struct melspec_stream:
        pass
    asd_status melspec_stream_create(const melspec_plan *plan, melspec_stream **stream)
    void melspec_stream_free(melspec_stream *stream)
    size_t melspec_stream_n_frames(const melspec_stream *stream, size_t n)
    size_t melspec_stream_n_rest(const melspec_stream *stream)
    asd_status melspec_stream_push(melspec_stream *stream, const void *y, melspec_format format,
                                   size_t n, float *out, size_t out_stride, void *workspace)
    asd_status melspec_stream_finish(melspec_stream *stream, float *out, size_t out_stride,
                                     void *workspace)

cdef extern from "levels.h" nogil:
    ctypedef struct levels:
        double mean
        double power
        double held
        size_t leading
        size_t trailing
        size_t faint_leading
        size_t faint_trailing
        double faint
        size_t held_at
        size_t faint_at
    void levels_measure(const void *y, melspec_format format, size_t n, levels *result)
    void levels_range(const int16_t *y, size_t n, int16_t *lowest, int16_t *highest)

cdef extern from "artefacts.h" nogil:
    ctypedef struct artefacts:
        size_t period
        size_t start
        size_t length
        unsigned factor
        bint is_interpolated
    void artefacts_find(const void *y, melspec_format format, size_t n, size_t rate,
                        size_t lowest, artefacts *result)

cdef extern from "scoring.h" nogil:
    ctypedef struct whitening:
        pass
    asd_status whitening_create(const kernel *kernel, const uint16_t *triangle, size_t d,
                                whitening **result)
    void whitening_free(whitening *w)
    size_t whitening_workspace_size(const whitening *w)
    void whitening_project(const whitening *w, const float *x, size_t n, float *y,
                           float *workspace)
    void embedding_distances(const kernel *kernel, const whitening *w, const float *x, size_t n_x,
                             size_t stride, const float *references, size_t n_references, size_t d,
                             double *out, float *workspace)


MIN_N_FFT = MELSPEC_MIN_N_FFT
MAX_N_FFT = MELSPEC_MAX_N_FFT
MAX_N_MELS = MELSPEC_MAX_N_MELS


# name -> address of the kernel: the processor is asked once, since asking takes microseconds on
# virtual machines.
cdef dict _kernels = {}


cdef void _find_kernels():
    cdef const kernel *found = kernel_available(0)
    while found != NULL:
        _kernels[found.name.decode()] = <size_t>found
        found = kernel_available(len(_kernels))


_find_kernels()


def instruction_sets():
    """Instruction sets that this machine supports, fastest first."""
    return tuple(_kernels)


cdef const kernel *_kernel(str instruction_set) except NULL:
    cdef object address = _kernels.get(instruction_set)
    if address is None:
        raise ParameterError("instruction_set", instruction_set,
                             f"one of {', '.join(_kernels)} on this machine")
    return <const kernel *><size_t>address


cdef _check(asd_status status, str what):
    """Raise what a status means; `what` was asked for."""
    if status == ASD_NO_MEMORY:
        raise MemoryError(f"not enough memory for {what}")
    if status == ASD_BAD_CONFIG:
        raise ParameterError("config", f"a config of {what}", "fields within their ranges")
    if status == ASD_TOO_SHORT:
        raise ParameterError("y", "a clip", "at least the samples of one frame")
    if status == ASD_BAD_RANGE:
        raise ParameterError("n_frames", "a count", "at most the frames that the samples give")
    if status == ASD_NOT_FINITE:
        raise ParameterError("triangle", "NaN or infinite", "finite values")


cdef melspec_format _get_samples(object y, Py_buffer *samples) except? MELSPEC_PCM16:
    """Fill `samples` from a plain buffer; a typed memoryview would take a tenth of the time of a
    short clip. Arrays that are not aligned to their type, as from `numpy.frombuffer`, are copied."""
    PyObject_GetBuffer(y, samples, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    if samples.ndim == 1 and samples.format[1] == 0:
        if samples.format[0] == b"f":
            return MELSPEC_FLOAT
        if samples.format[0] == b"h":
            return MELSPEC_PCM16
    PyBuffer_Release(samples)
    if isinstance(y, np.ndarray) and not y.flags.aligned:
        return _get_samples(y.copy(), samples)
    raise ParameterError("y", "a buffer of another kind", "one dimension of float32 or int16")


def measure_levels(y not None):
    """Levels of samples, float32 or int16 [shape=(n,)], n > 0, as levels.h defines them: mean,
    power, share of pieces of one value, leading and trailing samples that are equal, and such that
    are equal but for the noise of the last of 16 bits, share of pieces with no more than that,
    and where the first piece of each kind begins."""
    cdef Py_buffer samples
    cdef melspec_format format = _get_samples(y, &samples)
    cdef size_t n = samples.len // samples.itemsize
    cdef levels result
    if n > 0:
        with nogil:
            levels_measure(samples.buf, format, n, &result)
    PyBuffer_Release(&samples)
    if n == 0:
        raise ParameterError("y", "no samples", "at least one")
    return (result.mean, result.power, result.held, result.leading, result.trailing,
            result.faint_leading, result.faint_trailing, result.faint, result.held_at,
            result.faint_at)


def find_artefacts(y not None, size_t rate, size_t lowest):
    """Traces of digital faults in samples, float32 or int16 [shape=(n,)], at a rate in Hz, as
    artefacts.h defines them: period, start and length of the longest stretch that is played again,
    the factor of a lower rate, and whether lines are between its samples. None if there are none."""
    cdef Py_buffer samples
    cdef melspec_format format = _get_samples(y, &samples)
    cdef artefacts result
    with nogil:
        artefacts_find(samples.buf, format, samples.len // samples.itemsize, rate, lowest, &result)
    PyBuffer_Release(&samples)
    if result.period == 0 and result.factor == 1:
        return None
    return (result.period, result.start, result.length, result.factor, result.is_interpolated)


def int16_range(y not None):
    """Lowest and highest of int16 samples [shape=(n,)], n > 0. NumPy reads them twice for that."""
    cdef Py_buffer samples
    cdef melspec_format format = _get_samples(y, &samples)
    cdef size_t n = samples.len // samples.itemsize
    cdef int16_t lowest = 0, highest = 0
    if n > 0 and format == MELSPEC_PCM16:
        with nogil:
            levels_range(<const int16_t *>samples.buf, n, &lowest, &highest)
    PyBuffer_Release(&samples)
    if n == 0 or format != MELSPEC_PCM16:
        raise ParameterError("y", "no int16 samples", "at least one")
    return lowest, highest


cdef class Plan:
    """A melspec_plan. It is never written again, so that threads share it without a lock."""

    cdef melspec_plan *_plan
    cdef void *_spare  # a workspace kept between calls: new pages cost as much time as a short clip
    cdef Py_ssize_t _n_mels
    cdef Py_ssize_t _n_bins

    def __cinit__(self, *, double sr, int n_fft, int hop_length, int n_mels, double fmin,
                  double fmax, int power, bint db, double amin, bint center, bint reflect,
                  str instruction_set not None):
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
        _check(melspec_plan_create(&config, _kernel(instruction_set), &self._plan),
               "a mel spectrogram")
        self._n_mels = n_mels
        self._n_bins = n_fft // 2 + 1

    def __dealloc__(self):
        melspec_plan_free(self._plan)
        free(self._spare)

    cdef void *_borrow_workspace(self) except NULL:
        cdef void *work = self._spare
        self._spare = NULL  # the interpreter's lock is held; a thread that finds NULL allocates
        if work == NULL:
            work = malloc(melspec_workspace_size(self._plan))
        if work == NULL:
            _check(ASD_NO_MEMORY, "a mel spectrogram")
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
        cdef asd_status status
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
        _check(status, "a mel spectrogram")
        return out

    def filterbank(self):
        """Weights of the mel filters, float64 [shape=(n_mels, 1 + n_fft/2)]."""
        out = np.empty((self._n_mels, self._n_bins), dtype=np.float64)
        cdef double[:, ::1] view = out
        melspec_filterbank(self._plan, &view[0, 0])
        return out


cdef class Stream:
    """A melspec_stream. It serves one thread at a time."""

    cdef melspec_stream *_stream
    cdef Plan _plan
    cdef bint _is_busy

    def __cinit__(self, Plan plan not None):
        self._plan = plan
        _check(melspec_stream_create(plan._plan, &self._stream), "a stream")

    def __dealloc__(self):
        melspec_stream_free(self._stream)

    def push(self, y not None):
        """Compute the frames that these samples complete [shape=(n_mels, n_frames)]."""
        cdef Py_buffer samples
        cdef melspec_format format = _get_samples(y, &samples)
        try:
            return self._run(samples.buf, format, samples.len // samples.itemsize, False)
        finally:
            PyBuffer_Release(&samples)

    def finish(self):
        """Compute the frames that the padding behind the clip completes, likewise."""
        return self._run(NULL, MELSPEC_FLOAT, 0, True)

    cdef _run(self, const void *samples, melspec_format format, size_t n_samples, bint is_end):
        if self._is_busy:
            raise ParameterError("stream", "in use by another thread", "a stream for each thread")
        cdef size_t n_frames = (melspec_stream_n_rest(self._stream) if is_end else
                                melspec_stream_n_frames(self._stream, n_samples))
        cdef Py_buffer result
        cdef asd_status status
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
        _check(status, "a mel spectrogram")
        return out


cdef _as_rows(object x):
    """Give embeddings as float32 that is contiguous and aligned, without a copy where they are."""
    rows = np.ascontiguousarray(x, dtype=np.float32)
    return rows if rows.flags.aligned else rows.copy()


cdef class Projection:
    """A whitening L, with which it multiplies embeddings. It is never written again, so that
    threads share it."""

    cdef whitening *_whitening
    cdef Py_ssize_t _d

    def __cinit__(self, const uint16_t[::1] triangle not None, str instruction_set not None):
        self._d = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
        if self._d == 0 or self._d * (self._d + 1) // 2 != len(triangle):
            raise ParameterError("triangle", f"{len(triangle)} values", "d (d + 1) / 2 of them")
        _check(whitening_create(_kernel(instruction_set), &triangle[0], self._d,
                                &self._whitening), "a whitening")

    def __dealloc__(self):
        whitening_free(self._whitening)

    def __call__(self, embeddings not None):
        """Multiply embeddings with L, float32 [shape=(n, d)]."""
        rows = _as_rows(embeddings)
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
            _check(ASD_NO_MEMORY, "a whitening")
        with nogil:
            whitening_project(self._whitening, &x[0, 0], x.shape[0], &y[0, 0], work)
        free(work)
        return out


cdef class Neighbours:
    """References of some columns of an embedding, projected already, to which distances are
    measured. They are never written again, so that threads share them."""

    cdef const kernel *_kernel
    cdef Projection _projection
    cdef const float[:, ::1] _references
    cdef Py_ssize_t _n, _d, _first

    def __cinit__(self, references not None, Projection projection, Py_ssize_t first,
                  str instruction_set not None):
        rows = _as_rows(references)
        if rows.ndim != 2 or rows.size == 0 or first < 0:
            raise ParameterError("references.shape", rows.shape, "(n, d) with n > 0 and d > 0")
        if projection is not None and projection._d != rows.shape[1]:
            raise ParameterError("references.shape", rows.shape, f"(n, {projection._d})")
        self._kernel = _kernel(instruction_set)
        self._projection = projection
        self._references = rows
        self._n, self._d, self._first = rows.shape[0], rows.shape[1], first

    def distances(self, embeddings not None, Py_ssize_t start, Py_ssize_t stop):
        """Euclidean distances of the columns first .. first + d - 1 of embeddings, multiplied with
        the projection if there is one, to the references start .. stop - 1, float64
        [shape=(w, stop - start)]."""
        if not 0 <= start < stop <= self._n:
            raise ParameterError("references", (start, stop), f"a part of {self._n}")
        rows = _as_rows(embeddings)
        if rows.ndim != 2 or rows.shape[1] < self._first + self._d:
            needed = self._first + self._d
            raise ParameterError("embeddings.shape", rows.shape, f"(w, {needed}) or wider")
        cdef Py_ssize_t n_x = rows.shape[0], stride = rows.shape[1]
        out = np.empty((n_x, stop - start))
        if n_x == 0:
            return out
        cdef const whitening *w = NULL
        cdef float *work = NULL
        if self._projection is not None:
            w = self._projection._whitening
            work = <float *>malloc((whitening_workspace_size(w) + self._d) * sizeof(float))
            if work == NULL:
                _check(ASD_NO_MEMORY, "a whitening")
        cdef Py_buffer x
        cdef Py_buffer result
        PyObject_GetBuffer(rows, &x, PyBUF_C_CONTIGUOUS)
        PyObject_GetBuffer(out, &result, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        with nogil:
            embedding_distances(self._kernel, w, <const float *>x.buf + self._first, n_x, stride,
                                &self._references[start, 0], stop - start, self._d,
                                <double *>result.buf, work)
        PyBuffer_Release(&x)
        PyBuffer_Release(&result)
        free(work)
        return out
