/* Mel spectrogram, as librosa defines it.
 *
 *     S[k][t]   = | sum_j y[t hop + j - pad] w[j] exp(-2 pi i j k / n_fft) | ^ power
 *     mel[m][t] = sum_k F[m][k] S[k][t]
 *     dB:         20/power log10(max(mel[m][t], amin))
 *
 * y is the clip, continued beyond both ends by zeros or by reflection. pad is n_fft/2 with
 * `center`, else 0. w is the periodic Hann window, w[j] = 1/2 - 1/2 cos(2 pi j / n_fft). F holds
 * triangular filters of equal area on Slaney's mel scale (mel_filters.h).
 *
 * Samples are float or int16, results are float. Where n_fft is a power of two, a frame is computed
 * in single precision if that is known to be exact enough for all of its bands, and in double
 * precision if not. Other n_fft always run in double precision. The relative error against exact
 * arithmetic is below 1e-5 for every band above -100 dB of the clip's peak, even beside a
 * full-scale tone in the same frame. Silence gives exact zeros.
 *
 * The bits of a frame depend only on the samples under its window, neither on the call that
 * computes it nor on the frames beside it. Different instruction sets may differ in the last bits.
 * A non-finite sample makes the frames that contain it non-finite (NaN or infinite) and changes no
 * other frame.
 *
 * A plan is never written again once it is built: any number of threads may share it, if each call
 * has a workspace and an output of its own. The caller owns all buffers, and they must not overlap.
 * The output is aligned to float, the samples to their own type; a workspace
 * may have any alignment.
 */
#ifndef ASD_MELSPEC_H
#define ASD_MELSPEC_H

#include "status.h"

#include <stddef.h>

typedef enum { MELSPEC_PAD_CONSTANT = 0, MELSPEC_PAD_REFLECT } melspec_pad_mode;
typedef enum { MELSPEC_LOG_NONE = 0, MELSPEC_LOG_DB } melspec_log;
typedef enum { MELSPEC_FLOAT = 0, MELSPEC_PCM16 } melspec_format; /* int16 is scaled by 2^-15 */

#define MELSPEC_MAX_SR 2147483647
#define MELSPEC_MIN_N_FFT 64
#define MELSPEC_MAX_N_FFT 1048576
#define MELSPEC_MAX_N_MELS 65536

typedef struct {
    double sr;         /* Hz, 1 .. MELSPEC_MAX_SR */
    int n_fft;         /* even, MELSPEC_MIN_N_FFT .. MELSPEC_MAX_N_FFT */
    int hop_length;    /* >= 1; it may exceed n_fft */
    int n_mels;        /* 1 .. MELSPEC_MAX_N_MELS */
    double fmin, fmax; /* Hz, 0 <= fmin < fmax <= sr/2 */
    int power;         /* 1: amplitude, 2: power */
    melspec_log log;
    double amin;               /* > 0 and finite; used by MELSPEC_LOG_DB */
    int center;                /* 0 or 1 */
    melspec_pad_mode pad_mode; /* used with center */
} melspec_config;

typedef struct melspec_plan melspec_plan;
typedef struct kernel kernel; /* kernel.h */

/* On ASD_OK, melspec_plan_free must free *plan; otherwise *plan is NULL. */
asd_status melspec_plan_create(const melspec_config *config, const kernel *kernel,
                               melspec_plan **plan);

void melspec_plan_free(melspec_plan *plan); /* NULL is allowed */

const melspec_config *melspec_plan_config(const melspec_plan *plan);

/* Number of frames of a clip of n_samples, 1 + (n_samples + 2 pad - n_fft) / hop. It is 0 where the
 * clip is too short: below 1 sample if zeros are the padding, below n_fft/2 + 1 with reflection,
 * below n_fft without center. */
size_t melspec_n_frames(const melspec_plan *plan, size_t n_samples);

/* The same for samples that include their padding. */
size_t melspec_n_unpadded_frames(const melspec_plan *plan, size_t n_samples);

/* Bytes of the workspace of a call below. */
size_t melspec_workspace_size(const melspec_plan *plan);

/* Writes F as a dense row-major matrix of n_mels x (n_fft/2 + 1) doubles. Filters too narrow to
 * hold a bin are rows of zeros. */
void melspec_filterbank(const melspec_plan *plan, double *out);

/* Computes the frames first .. first + count - 1 of the clip y. Band m of frame t goes to
 * out[m * out_stride + (t - first)]; out_stride >= count. */
asd_status melspec_compute(const melspec_plan *plan, const void *y, melspec_format format,
                           size_t n_samples, size_t first, size_t count, float *out,
                           size_t out_stride, void *workspace);

/* Computes the first `count` frames of samples that include their padding: frame t begins at
 * y[t hop]. */
asd_status melspec_compute_unpadded(const melspec_plan *plan, const void *y, melspec_format format,
                                    size_t n_samples, size_t count, float *out, size_t out_stride,
                                    void *workspace);

#endif
