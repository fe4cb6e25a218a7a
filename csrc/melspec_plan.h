/* What the files behind melspec.h share: the plan, a clip, and who does what.
 *
 *     melspec.c       plans, sizes, calls
 *     stream.c        samples in pieces
 *     mel_filters.c   Slaney's mel scale and triangles
 *     clip.c          where a frame's samples lie, padding
 *     frames_tile.c   n_fft a power of two: tiles of frames for a kernel (kernel.h)
 *     frames_any.c    any other n_fft, in double (rfft.h)
 */
#ifndef ASD_MELSPEC_PLAN_H
#define ASD_MELSPEC_PLAN_H

#include "melspec.h"
#include "rfft.h"
#include "tile_plan.h"

typedef struct {
    size_t first, last; /* bins [first, last) of this filter; empty where equal */
    size_t weight_at;
} mel_filter;

struct melspec_plan {
    melspec_config config;
    size_t n_bins; /* n_fft/2 + 1 */
    size_t pad;
    const kernel *kernel;
    tile_plan *tile; /* where n_fft is a power of two, */
    rfft_plan *rfft; /* where it is not; the other is NULL */
    double *window;  /* n_fft */
    mel_filter *filters;
    double *weights;
};

/* ---- melspec.c ---- */

/* Frames of samples whose padding is there. */
size_t unpadded_frames(const melspec_config *c, size_t n_samples);

/* ---- mel_filters.c ---- */

melspec_status melspec_build_filters(melspec_plan *plan);

/* Edge i = 0 .. n_mels + 1 of the triangles, in Hz. */
double melspec_edge_hz(const melspec_config *c, int i);

/* F[band][bin] of the melspec_plan that context is. */
double melspec_weight(const void *context, size_t band, size_t bin);

/* ---- clip.c ---- */

typedef struct {
    const void *y;
    size_t n_samples, pad;
    melspec_format format;
} clip;

size_t clip_sample_size(const clip *clip);

/* Where the samples of frames t .. t + count - 1 begin, those of the next frame always hop_length
 * further: in y, or, where they reach beyond it, copied to edge. */
const void *clip_frames(const melspec_plan *plan, const clip *clip, size_t t, size_t count,
                        char *edge);

/* ---- frames_tile.c, frames_any.c ---- */

/* Bytes of scratch, to be aligned to 64. */
size_t frames_tile_size(const melspec_plan *plan);
size_t frames_any_size(const melspec_plan *plan);

void frames_tile(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
                 float *out, size_t out_stride, char *memory);
void frames_any(const melspec_plan *plan, const clip *clip, size_t first, size_t count, float *out,
                size_t out_stride, char *memory);

#endif
