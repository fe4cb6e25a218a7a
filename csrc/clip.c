/* The samples under a frame, with the padding that the clip lacks. */
#include "melspec_plan.h"

#include <stdint.h>
#include <string.h>

size_t clip_sample_size(const clip *clip)
{
    return clip->format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
}

int clip_holds(const melspec_plan *plan, const clip *clip, size_t t)
{
    const size_t begin = t * (size_t)plan->config.hop_length; /* in the padded signal */
    return begin >= clip->pad && begin - clip->pad + (size_t)plan->config.n_fft <= clip->n_samples;
}

const void *clip_frame(const melspec_plan *plan, const clip *clip, size_t t, char *edge)
{
    const size_t n_fft = (size_t)plan->config.n_fft, pad = clip->pad, n = clip->n_samples;
    const size_t begin = t * (size_t)plan->config.hop_length, size = clip_sample_size(clip);
    const char *y = clip->y;
    if (clip_holds(plan, clip, t))
        return y + (begin - pad) * size;
    for (size_t j = 0; j < n_fft;) {
        const size_t at = begin + j;
        if (at >= pad && at - pad < n) { /* all that the clip has, at once */
            const size_t rest = n - (at - pad), count = rest < n_fft - j ? rest : n_fft - j;
            memcpy(edge + j * size, y + (at - pad) * size, count * size);
            j += count;
            continue;
        }
        if (plan->config.pad_mode == MELSPEC_PAD_CONSTANT)
            memset(edge + j * size, 0, size);
        else
            memcpy(edge + j * size, y + (at < pad ? pad - at : 2 * (n - 1) + pad - at) * size, size);
        j++;
    }
    return edge;
}
