# cython: language_level=3, boundscheck=False, wraparound=False
"""The C core's only binding: validate, allocate, one nogil call, status -> exception."""

from libc.stdlib cimport free, malloc

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
    melspec_status melspec_frames(const melspec_plan *plan, const void *y, melspec_format format,
                                  size_t n_samples, size_t count, float *out, size_t out_stride,
                                  void *workspace)


ctypedef fused samples_t:
    float
    short


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
        cdef melspec_status status = melspec_plan_create(&config, wanted, &self._plan)
        if status == MELSPEC_NO_INSTRUCTION_SET:
            raise ParameterError("instruction_set", instruction_set,
                                 f"one of {', '.join(instruction_sets())} on this machine")
        _check(status)
        self._n_mels = n_mels
        self._n_bins = n_fft // 2 + 1

    def __dealloc__(self):
        melspec_plan_free(self._plan)
        free(self._spare)

    def compute(self, const samples_t[::1] y not None):
        """Mel spectrogram of a whole clip, padded as configured [shape=(n_mels, n_frames)]."""
        cdef const samples_t *samples = NULL
        if y.shape[0] > 0:
            samples = &y[0]
        return self._run(samples, y.shape[0],
                         MELSPEC_PCM16 if samples_t is short else MELSPEC_FLOAT,
                         melspec_n_frames(self._plan, y.shape[0]), True)

    def frames(self, const samples_t[::1] y not None, Py_ssize_t n_frames):
        """The first n_frames frames of samples that carry their padding; frame t starts at t * hop."""
        if n_frames < 0:
            raise ParameterError("n_frames", n_frames, "at least 0")
        cdef const samples_t *samples = NULL
        if y.shape[0] > 0:
            samples = &y[0]
        return self._run(samples, y.shape[0],
                         MELSPEC_PCM16 if samples_t is short else MELSPEC_FLOAT, n_frames, False)

    cdef _run(self, const void *samples, size_t n_samples, melspec_format format,
              size_t n_frames, bint padded):
        out = np.empty((self._n_mels, n_frames), dtype=np.float32)
        cdef float[:, ::1] view = out
        cdef float *result = &view[0, 0] if n_frames > 0 else NULL
        cdef melspec_status status = MELSPEC_NO_MEMORY
        cdef void *work = self._spare
        self._spare = NULL  # under the interpreter's lock; a thread that finds NULL makes its own
        with nogil:
            if work == NULL:
                work = malloc(melspec_workspace_size(self._plan))
            if work != NULL:
                if padded:
                    status = melspec_compute(self._plan, samples, format, n_samples, 0,
                                             n_frames, result, n_frames, work)
                else:
                    status = melspec_frames(self._plan, samples, format, n_samples, n_frames,
                                            result, n_frames, work)
        if self._spare == NULL:
            self._spare = work
        else:
            free(work)
        _check(status)
        return out

    def filterbank(self):
        """Weights of the mel filters, float64 [shape=(n_mels, 1 + n_fft/2)]."""
        out = np.empty((self._n_mels, self._n_bins), dtype=np.float64)
        cdef double[:, ::1] view = out
        melspec_filterbank(self._plan, &view[0, 0])
        return out
