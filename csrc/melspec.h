/* Mel spectrogram, librosa's definition.
 *
 *     S[k][t]   = | sum_j y[t hop + j - pad] w[j] exp(-2 pi i j k / n_fft) | ^ power
 *     mel[m][t] = sum_k F[m][k] S[k][t]
 *     dB:         20/power log10(max(mel[m][t], amin))
 *
 * y are the samples, continued beyond both ends by zeros or by reflection; pad = n_fft/2 with
 * center, else 0. w is the periodic Hann window w[j] = 1/2 - 1/2 cos(2 pi j / n_fft).
 * F are Slaney's triangles on Slaney's mel scale, of equal area (mel_filters.c).
 *
 * Samples are float or int16, results float. Where n_fft is a power of two, all between is float
 * too, for frames whose bands that keeps exact enough, and double for the others; for other n_fft
 * it is double. The relative error against exact arithmetic is below 1e-5 for whatever lies above
 * -100 dB of the clip's peak, a full-scale tone in the same frame included. Silence gives exact
 * zeros. A frame's result depends on the samples under its window alone, to the last bit: not on
 * the call that computes it, nor on how many frames are computed with it. Different instruction
 * sets may differ in the last bits. Non-finite samples make the frames that see them non-finite
 * (NaN or infinite) and have no other effect.
 *
 * A plan is built once and never written again; any number of threads may share it, each call
 * with a workspace and an output of its own. The caller owns all buffers. They must not
 * overlap. Samples and output are aligned to float; a workspace may have any alignment.
 */
#ifndef ASD_MELSPEC_H
#define ASD_MELSPEC_H

#include <stddef.h>

typedef enum {
    MELSPEC_OK = 0,
    MELSPEC_BAD_CONFIG, /* a field of the config outside the range stated at it */
    MELSPEC_TOO_SHORT,  /* fewer samples than melspec_n_frames needs for one frame */
    MELSPEC_BAD_RANGE,  /* frames asked for that the samples do not give */
    MELSPEC_NO_INSTRUCTION_SET, /* none of that name, or not on this machine */
    MELSPEC_NO_MEMORY
} melspec_status;

typedef enum { MELSPEC_PAD_CONSTANT = 0, MELSPEC_PAD_REFLECT } melspec_pad_mode;
typedef enum { MELSPEC_LOG_NONE = 0, MELSPEC_LOG_DB } melspec_log;
typedef enum { MELSPEC_FLOAT = 0, MELSPEC_PCM16 } melspec_format; /* int16, scaled by 1/32768 */

#define MELSPEC_MIN_N_FFT 64
#define MELSPEC_MAX_N_FFT 1048576
#define MELSPEC_MAX_N_MELS 65536

typedef struct {
    double sr;                 /* Hz, > 0 */
    int n_fft;                 /* even, MELSPEC_MIN_N_FFT .. MELSPEC_MAX_N_FFT */
    int hop_length;            /* >= 1; may exceed n_fft */
    int n_mels;                /* 1 .. MELSPEC_MAX_N_MELS */
    double fmin, fmax;         /* Hz, 0 <= fmin < fmax <= sr/2 */
    int power;                 /* 1 amplitude, 2 power */
    melspec_log log;
    double amin;               /* > 0 and finite; used by MELSPEC_LOG_DB */
    int center;                /* 0 or 1 */
    melspec_pad_mode pad_mode; /* used with center */
} melspec_config;

typedef struct melspec_plan melspec_plan;

/* The i-th instruction set that plans can be made for here, fastest first; NULL at the end:
 * "avx512", "avx2", "sse2", "neon", "scalar". */
const char *melspec_instruction_set(size_t i);

/* instruction_set is one of those names, or NULL for the fastest.
 * On MELSPEC_OK *plan is to be freed with melspec_plan_free, else it is NULL. */
melspec_status melspec_plan_create(const melspec_config *config, const char *instruction_set,
                                   melspec_plan **plan);

void melspec_plan_free(melspec_plan *plan); /* NULL is allowed */

/* Frames that a clip of n_samples gives, 1 + (n_samples + 2 pad - n_fft) / hop; 0 where it is
 * too short: below 1 sample with zeros as padding, below n_fft/2 + 1 with reflection, below
 * n_fft without center. */
size_t melspec_n_frames(const melspec_plan *plan, size_t n_samples);

/* Bytes of scratch that one call of melspec_compute or melspec_frames needs. */
size_t melspec_workspace_size(const melspec_plan *plan);

/* F as a dense row-major matrix of n_mels x (n_fft/2 + 1) doubles. Filters too narrow to
 * hold a bin are rows of zeros. */
void melspec_filterbank(const melspec_plan *plan, double *out);

/* Frames first .. first + count - 1 of the clip y. Frame t, band m goes to
 * out[m * out_stride + (t - first)]; out_stride >= count. */
melspec_status melspec_compute(const melspec_plan *plan, const void *y, melspec_format format,
                               size_t n_samples, size_t first, size_t count, float *out,
                               size_t out_stride, void *workspace);

/* The same for samples whose padding, if any, is already there: frame t starts at y[t hop]. */
melspec_status melspec_frames(const melspec_plan *plan, const void *y, melspec_format format,
                              size_t n_samples, size_t count, float *out, size_t out_stride,
                              void *workspace);

/* ---- streams: the same frames, bit for bit, from samples that come in pieces ---- */

/* It refers to the plan and serves one thread at a time. Its memory is fixed: a frame, and 32 hops
 * or a frame, whichever is more, but no more than 65536 samples or a frame. */
typedef struct melspec_stream melspec_stream;

/* On MELSPEC_OK *stream is to be freed with melspec_stream_free, else it is NULL. */
melspec_status melspec_stream_create(const melspec_plan *plan, melspec_stream **stream);

void melspec_stream_free(melspec_stream *stream); /* NULL is allowed */

/* Frames that n more samples complete, and those that the padding behind the clip completes. */
size_t melspec_stream_n_frames(const melspec_stream *stream, size_t n);
size_t melspec_stream_n_rest(const melspec_stream *stream);

/* Takes n samples and computes the frames that are complete with them, as melspec_compute. */
melspec_status melspec_stream_push(melspec_stream *stream, const void *y, melspec_format format,
                                   size_t n, float *out, size_t out_stride, void *workspace);

/* Ends the clip and computes its last frames. After it the stream can only be freed.
 * MELSPEC_TOO_SHORT as melspec_n_frames says. */
melspec_status melspec_stream_finish(melspec_stream *stream, float *out, size_t out_stride,
                                     void *workspace);

#endif
