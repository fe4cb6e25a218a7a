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
        double faint_most
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
    ctypedef struct reference_part:
        size_t first
        size_t d
        const whitening *whitening
        const float *references
        const double *lengths
        const double *density
    ctypedef struct reference_set:
        const reference_part *parts
        size_t n_parts
        size_t k
        const double *reach
    size_t reference_workspace_size(const reference_part *part)
    void reference_distances(const kernel *kernel, const reference_part *part, const float *x,
                             size_t start, size_t n, double *out, float *workspace)
    size_t reference_means_workspace_size(const reference_set *set, size_t n, size_t n_sections)
    void reference_means(const kernel *kernel, const reference_set *set, const float *x,
                         size_t n_x, size_t stride, const size_t *edges, size_t n_sections,
                         double *means, size_t *nearest, void *workspace)
    ctypedef struct distance_standard:
        size_t n
        const double *centres
        const double *spreads
        double offset
        double factor
        double exponent
        double emphasis
    double standard_contribution(const distance_standard *standard, const double *distances)


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
    are equal but for the noise of the last of 16 bits, share of pieces with no more than that
    and of the longest stretch of them, and where the first piece of each kind begins."""
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
            result.faint_leading, result.faint_trailing, result.faint, result.faint_most,
            result.held_at, result.faint_at)


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


cdef _as_divisors(object x, Py_ssize_t n):
    """Give a value above 0 for each of n references as float64."""
    values = np.ascontiguousarray(x, dtype=np.float64)
    if values.shape != (n,) or not (values > 0).all():
        raise ParameterError("values.shape", values.shape, f"({n},), all above 0")
    return values


cdef class Neighbours:
    """References of some columns of an embedding, projected already, to which distances are
    measured. They are never written again, so that threads share them."""

    cdef const kernel *_kernel
    cdef reference_part _part
    cdef Py_ssize_t _n
    cdef list _kept  # what the part points to

    def __cinit__(self, references not None, Projection projection, Py_ssize_t first,
                  str instruction_set not None, bint cosine=False, density=None):
        rows = _as_rows(references)
        if rows.ndim != 2 or rows.size == 0 or first < 0:
            raise ParameterError("references.shape", rows.shape, "(n, d) with n > 0 and d > 0")
        if projection is not None and projection._d != rows.shape[1]:
            raise ParameterError("references.shape", rows.shape, f"(n, {projection._d})")
        cdef const float[:, ::1] values = rows
        cdef const double[::1] divisors
        self._kernel = _kernel(instruction_set)
        self._n, self._kept = len(rows), [rows, projection]
        self._part.first, self._part.d = first, rows.shape[1]
        self._part.references = &values[0, 0]
        self._part.whitening = NULL if projection is None else projection._whitening
        self._part.lengths = self._part.density = NULL
        if cosine:
            lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
            lengths[lengths == 0] = 1.0  # a zero vector is at distance 1 from all
            divisors = lengths
            self._part.lengths = &divisors[0]
            self._kept.append(lengths)
        if density is not None:
            divisors = density = _as_divisors(density, self._n)
            self._part.density = &divisors[0]
            self._kept.append(density)

    def distances(self, embeddings not None):
        """Distances of the columns first .. first + d - 1 of embeddings, multiplied with the
        projection if there is one, to the references, float64 [shape=(w, n)]."""
        rows = _as_rows(embeddings)
        _check_width(rows, self._part.first + self._part.d)
        cdef Py_ssize_t n_x = rows.shape[0], stride = rows.shape[1], i
        out = np.empty((n_x, self._n))
        if n_x == 0:
            return out
        cdef float *work = <float *>malloc(
            1 + reference_workspace_size(&self._part) * sizeof(float))
        if work == NULL:
            _check(ASD_NO_MEMORY, "distances")
        cdef const float[:, ::1] x = rows
        cdef double[:, ::1] result = out
        with nogil:
            for i in range(n_x):
                reference_distances(self._kernel, &self._part, &x[i, 0], 0, self._n,
                                    &result[i, 0], work)
        free(work)
        return out


cdef _check_width(object rows, Py_ssize_t needed):
    if rows.ndim != 2 or rows.shape[1] < needed:
        raise ParameterError("embeddings.shape", rows.shape, f"(w, {needed}) or wider")


cdef bint _get_rows(object embeddings, Py_buffer *x) except -1:
    """Whether embeddings are aligned rows of float32 one after the other; if so, gets them."""
    if not isinstance(embeddings, np.ndarray):
        return False
    try:
        PyObject_GetBuffer(embeddings, x, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except ValueError:
        return False
    if x.ndim == 2 and x.format == b"f" and <size_t>x.buf % sizeof(float) == 0:
        return True
    PyBuffer_Release(x)
    return False


cdef class ReferenceSet:
    """The same references measured in parts, the first of which is the whole embedding; `k` nearest
    ones count (0: all). It is never written again, so that threads share it."""

    cdef const kernel *_kernel
    cdef reference_set _set
    cdef Py_ssize_t _n, _width
    cdef list _kept  # what the set points to

    def __cinit__(self, list parts not None, Py_ssize_t k, reach=None):
        cdef Neighbours part
        cdef const double[::1] divisors
        if not parts or k < 0:
            raise ParameterError("parts", len(parts), "one or more, and k at least 0")
        cdef reference_part *copied = <reference_part *>malloc(len(parts) * sizeof(reference_part))
        if copied == NULL:
            _check(ASD_NO_MEMORY, "references")
        self._set.parts, self._set.n_parts = copied, len(parts)  # from here on freed
        self._kept = list(parts)
        part = parts[0]
        self._kernel, self._n = part._kernel, part._n
        for i, part in enumerate(parts):
            if part._n != self._n:
                raise ParameterError("parts", part._n, f"{self._n} references as in the first")
            copied[i] = part._part
            self._width = max(self._width, <Py_ssize_t>(part._part.first + part._part.d))
        self._set.k = k if k else self._n
        self._set.reach = NULL
        if reach is not None:
            divisors = reach = _as_divisors(reach, self._n)
            self._set.reach = &divisors[0]
            self._kept.append(reach)

    def __dealloc__(self):
        free(<void *>self._set.parts)

    def means(self, embeddings not None, tuple edges not None):
        """Mean distances to the k nearest references of each section.

        Section s has the references edges[s] .. edges[s + 1] - 1. For each section: the list of
        what each embedding gives, a tuple of the parts' means, and the number of the reference that
        is nearest to all embeddings together. See scoring.h."""
        cdef Py_buffer x
        if not _get_rows(embeddings, &x):
            embeddings = _as_rows(embeddings)
            if not _get_rows(embeddings, &x):
                raise ParameterError("embeddings.shape", embeddings.shape, "(w, d)")
        cdef Py_ssize_t n_x = x.shape[0], stride = x.shape[1], n_sections = len(edges) - 1
        cdef Py_ssize_t n_parts = self._set.n_parts, i, s, p, last = -1
        cdef size_t *bounds = <size_t *>malloc((2 * n_sections + 1) * sizeof(size_t))
        cdef double *means = <double *>malloc(
            n_sections * n_x * n_parts * sizeof(double)
            + reference_means_workspace_size(&self._set, self._n, n_sections))
        cdef size_t *nearest = bounds + n_sections + 1
        try:
            if n_x == 0 or stride < self._width:
                raise ParameterError("embeddings.shape", (n_x, stride),
                                     f"(w, {self._width}) or wider, w > 0")
            if bounds == NULL or means == NULL:
                _check(ASD_NO_MEMORY, "distances")
            for s in range(n_sections + 1):
                if not last < <Py_ssize_t>edges[s] <= self._n:
                    raise ParameterError("edges", edges, f"ascending, up to {self._n}")
                last = bounds[s] = edges[s]
            with nogil:
                reference_means(self._kernel, &self._set, <const float *>x.buf, n_x, stride,
                                bounds, n_sections, means, nearest,
                                means + n_sections * n_x * n_parts)
            return [
                ([tuple([means[(s * n_x + i) * n_parts + p] for p in range(n_parts)])
                  for i in range(n_x)], nearest[s])
                for s in range(n_sections)
            ]
        finally:
            PyBuffer_Release(&x)
            free(bounds)
            free(means)


cdef class DistanceStandard:
    """Turns distances of the whole and each part into a view's contribution to the score; see
    scoring.h."""

    cdef distance_standard _standard
    cdef object _centres, _spreads

    def __cinit__(self, centres, spreads, *, double offset, double factor, double exponent,
                  double emphasis):
        cdef const double[::1] centres_ = np.array(centres, np.float64, ndmin=1)
        cdef const double[::1] spreads_ = _as_divisors(spreads, len(centres_))
        if len(centres_) == 0:
            raise ParameterError("centres", 0, "one or more")
        self._centres, self._spreads = centres_, spreads_
        self._standard.n = len(centres_)
        self._standard.centres, self._standard.spreads = &centres_[0], &spreads_[0]
        self._standard.offset, self._standard.factor = offset, factor
        self._standard.exponent, self._standard.emphasis = exponent, emphasis

    def contributions(self, distances not None):
        """Contributions of some windows, by the distances of each: the whole's, then each
        part's."""
        cdef size_t p, n = self._standard.n
        cdef double *values = <double *>malloc(n * sizeof(double))
        if values == NULL:
            _check(ASD_NO_MEMORY, "a score")
        try:
            found = []
            for window in distances:
                if len(window) != n:
                    raise ParameterError("distances", len(window), f"{n} of each window")
                for p in range(n):
                    values[p] = window[p]
                found.append(standard_contribution(&self._standard, values))
            return found
        finally:
            free(values)
