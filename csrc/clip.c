#include "clip.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

size_t clip_sample_size(const clip *clip)
{
    return clip->format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
}

/* Writes `count` samples of padding. Positions are counted from the first sample of the padding. */
static void write_padding(const clip *clip, size_t position, size_t count, char *to)
{
    const size_t size = clip_sample_size(clip), last = clip->n_samples - 1;
    if (clip->pad_mode == MELSPEC_PAD_CONSTANT) {
        memset(to, 0, count * size);
        return;
    }
    for (size_t j = 0; j < count; j++, position++, to += size) {
        const size_t mirrored =
            position < clip->pad ? clip->pad - position : 2 * last + clip->pad - position;
        assert(mirrored < clip->n_samples);
        memcpy(to, (const char *)clip->y + mirrored * size, size);
    }
}

const void *clip_frames(const clip *clip, size_t t, size_t count, char *edge)
{
    const size_t size = clip_sample_size(clip);
    const size_t begin = t * clip->hop_length;
    const size_t end = begin + (count - 1) * clip->hop_length + clip->n_fft;
    const size_t first = clip->pad, stop = first + clip->n_samples; /* of what is not padding */
    const char *y = clip->y;
    assert(count > 0 && end <= stop + clip->pad);
    if (begin >= first && end <= stop)
        return y + (begin - first) * size;
    size_t position = begin;
    if (position < first) {
        const size_t n = (end < first ? end : first) - position;
        write_padding(clip, position, n, edge);
        position += n;
    }
    if (position < end && position < stop) {
        const size_t n = (end < stop ? end : stop) - position;
        memcpy(edge + (position - begin) * size, y + (position - first) * size, n * size);
        position += n;
    }
    if (position < end)
        write_padding(clip, position, end - position, edge + (position - begin) * size);
    return edge;
}
