/* The samples under a frame, with the padding that the clip lacks. */
#include "melspec_plan.h"

#include <stdint.h>
#include <string.h>

size_t clip_sample_size(const clip *clip)
{
    return clip->format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
}

static void pad(const melspec_plan *plan, const clip *clip, size_t at, size_t count, char *to)
{
    const size_t size = clip_sample_size(clip), last = clip->n_samples - 1;
    if (plan->config.pad_mode == MELSPEC_PAD_CONSTANT) {
        memset(to, 0, count * size);
        return;
    }
    for (size_t j = 0; j < count; j++, at++, to += size) {
        const size_t mirror = at < clip->pad ? clip->pad - at : 2 * last + clip->pad - at;
        memcpy(to, (const char *)clip->y + mirror * size, size);
    }
}

const void *clip_frames(const melspec_plan *plan, const clip *clip, size_t t, size_t count,
                        char *edge)
{
    const size_t hop = (size_t)plan->config.hop_length, size = clip_sample_size(clip);
    const size_t begin = t * hop, end = begin + (count - 1) * hop + (size_t)plan->config.n_fft;
    const size_t first = clip->pad, stop = first + clip->n_samples; /* of what is not padding */
    const char *y = clip->y;
    if (begin >= first && end <= stop)
        return y + (begin - first) * size;
    size_t at = begin;
    if (at < first) {
        const size_t n = (end < first ? end : first) - at;
        pad(plan, clip, at, n, edge);
        at += n;
    }
    if (at < end && at < stop) {
        const size_t n = (end < stop ? end : stop) - at;
        memcpy(edge + (at - begin) * size, y + (at - first) * size, n * size);
        at += n;
    }
    if (at < end)
        pad(plan, clip, at, end - at, edge + (at - begin) * size);
    return edge;
}
