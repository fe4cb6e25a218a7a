/* Mel frames of any even n_fft, in double precision:
 *
 *     samples --load_tile--> window, fold --rfft_power--> |X|^2 --mel_tile--> F, log --> out
 */
#ifndef ASD_FRAMES_ANY_H
#define ASD_FRAMES_ANY_H

#include "clip.h"
#include "mel_filters.h"
#include "melspec.h"
#include "rfft.h"

#include <stddef.h>

/* What is needed to compute frames; the pointers belong to the melspec_plan. */
typedef struct {
    const melspec_config *config;
    const double *window; /* n_fft */
    const mel_filters *filters;
    const rfft_plan *rfft;
} frames_any_plan;

size_t frames_any_workspace_size(const frames_any_plan *plan); /* bytes, aligned to 64 */

/* Computes the frames first .. first + count - 1, as melspec_compute. */
void frames_any(const frames_any_plan *plan, const clip *clip, size_t first, size_t count,
                float *out, size_t out_stride, char *workspace);

#endif
