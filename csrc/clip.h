/* The samples under the frames of a clip, padding included. */
#ifndef ASD_CLIP_H
#define ASD_CLIP_H

#include "melspec.h"

#include <stddef.h>

typedef struct {
    const void *y;
    size_t n_samples;
    melspec_format format;
    size_t pad; /* samples that are missing at each end */
    melspec_pad_mode pad_mode;
    size_t n_fft, hop_length;
} clip;

size_t clip_sample_size(const clip *clip); /* bytes */

/* Gives the first sample of frame t; those of frames t + 1 .. t + count - 1 follow, each hop_length
 * further. The address lies in y, or, where the frames reach beyond it, in `edge`, into which the
 * samples and their padding are then copied: (count - 1) hop_length + n_fft samples. */
const void *clip_frames(const clip *clip, size_t t, size_t count, char *edge);

#endif
