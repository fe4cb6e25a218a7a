#include "stream.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Samples are kept, as floats and with their padding, until the frames that contain them are
 * complete. A long piece is taken in blocks, so that the buffer never grows. Less than a frame
 * remains after a block, and with reflection the last samples, which are mirrored behind the clip.
 */
enum { BLOCK_HOPS = 32, MAX_BLOCK = 65536 };

/* With more samples to come at once, frames are computed in multiples of this, since a tile that is
 * not full costs as much as a full one. */
enum { WHOLE_TILES = 16 };

struct melspec_stream {
    const melspec_plan *plan;
    const melspec_config *config; /* the plan's */
    size_t pad;
    size_t capacity, n;
    size_t next;          /* where the next frame begins; beyond n if hop_length > n_fft */
    int is_empty;         /* no sample has come */
    int has_frame;        /* a frame has been computed */
    int needs_reflection; /* the mirrored samples in front of the clip are not complete yet */
    float buffer[];       /* n padded samples */
};

static int is_reflecting(const melspec_config *c)
{
    return c->center && c->pad_mode == MELSPEC_PAD_REFLECT;
}

asd_status melspec_stream_create(const melspec_plan *plan, melspec_stream **out)
{
    const melspec_config *c = melspec_plan_config(plan);
    const size_t n_fft = (size_t)c->n_fft, hop = (size_t)c->hop_length;
    size_t block = hop < MAX_BLOCK / BLOCK_HOPS ? BLOCK_HOPS * hop : MAX_BLOCK;
    block = block < n_fft ? n_fft : block;
    const size_t capacity = n_fft + 1 + block;
    melspec_stream *stream = malloc(sizeof *stream + capacity * sizeof(float));
    *out = stream;
    if (stream == NULL)
        return ASD_NO_MEMORY;
    *stream = (melspec_stream){
        .plan = plan,
        .config = c,
        .pad = c->center ? n_fft / 2 : 0,
        .capacity = capacity,
        .is_empty = 1,
        .needs_reflection = is_reflecting(c),
    };
    stream->n = stream->needs_reflection ? 0 : stream->pad;
    memset(stream->buffer, 0, stream->n * sizeof(float));
    return ASD_OK;
}

void melspec_stream_free(melspec_stream *stream) { free(stream); }

/* Frames that are complete with n padded samples in the buffer. */
static size_t n_complete(const melspec_stream *s, size_t n)
{
    return n < s->next ? 0 : melspec_n_unpadded_frames(s->plan, n - s->next);
}

size_t melspec_stream_n_frames(const melspec_stream *s, size_t n)
{
    if (!s->needs_reflection)
        return n_complete(s, s->n + n);
    return s->n + n <= s->pad ? 0 : n_complete(s, s->n + n + s->pad);
}

size_t melspec_stream_n_rest(const melspec_stream *s)
{
    return s->is_empty || s->needs_reflection ? 0 : n_complete(s, s->n + s->pad);
}

static void append(melspec_stream *s, const void *y, melspec_format format, size_t n)
{
    float *to = s->buffer + s->n;
    assert(n <= s->capacity - s->n);
    if (format == MELSPEC_FLOAT)
        memcpy(to, y, n * sizeof *to);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = (float)((const int16_t *)y)[i] * (1.0f / 32768);
    s->n += n;
}

/* Puts the mirrored samples in front of the first pad + 1 samples. */
static void reflect_front(melspec_stream *s)
{
    const size_t pad = s->pad;
    assert(s->n == pad + 1 && s->n + pad <= s->capacity);
    memmove(s->buffer + pad, s->buffer, s->n * sizeof(float));
    for (size_t j = 0; j < pad; j++)
        s->buffer[j] = s->buffer[2 * pad - j];
    s->n += pad;
    s->needs_reflection = 0;
}

/* Computes the frames that are complete, drops the samples that no later frame contains, and
 * returns the number of frames. */
static size_t advance(melspec_stream *s, int is_more, float *out, size_t out_stride,
                      void *workspace)
{
    const size_t keep = s->pad + 1;
    size_t count = n_complete(s, s->n);
    if (is_more && count > WHOLE_TILES)
        count -= count % WHOLE_TILES;
    if (count > 0) {
        const asd_status status =
            melspec_compute_unpadded(s->plan, s->buffer + s->next, MELSPEC_FLOAT, s->n - s->next,
                                     count, out, out_stride, workspace);
        assert(status == ASD_OK);
        (void)status;
    }
    s->has_frame |= count > 0;
    s->next += count * (size_t)s->config->hop_length;
    size_t dropped = s->next < s->n ? s->next : s->n;
    if (is_reflecting(s->config) && dropped + keep > s->n)
        dropped = s->n > keep ? s->n - keep : 0;
    if (dropped > 0)
        memmove(s->buffer, s->buffer + dropped, (s->n - dropped) * sizeof(float));
    s->n -= dropped;
    s->next -= dropped;
    return count;
}

asd_status melspec_stream_push(melspec_stream *s, const void *y, melspec_format format, size_t n,
                               float *out, size_t out_stride, void *workspace)
{
    const size_t size = format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
    if (n > SIZE_MAX / 2 || out_stride < melspec_stream_n_frames(s, n))
        return ASD_BAD_RANGE;
    for (const char *from = y; n > 0;) {
        const size_t room = (s->needs_reflection ? s->pad + 1 : s->capacity) - s->n;
        const size_t taken = n < room ? n : room;
        append(s, from, format, taken);
        s->is_empty = 0;
        from += taken * size;
        n -= taken;
        if (s->needs_reflection && s->n > s->pad)
            reflect_front(s);
        if (!s->needs_reflection)
            out += advance(s, n > 0, out, out_stride, workspace);
    }
    return ASD_OK;
}

asd_status melspec_stream_finish(melspec_stream *s, float *out, size_t out_stride, void *workspace)
{
    const size_t pad = s->pad, end = s->n;
    if (!s->has_frame && melspec_stream_n_rest(s) == 0)
        return ASD_TOO_SHORT;
    if (out_stride < melspec_stream_n_rest(s))
        return ASD_BAD_RANGE;
    assert(end + pad <= s->capacity);
    for (size_t j = 0; j < pad; j++)
        s->buffer[end + j] = is_reflecting(s->config) ? s->buffer[end - 2 - j] : 0.0f;
    s->n += pad;
    advance(s, 0, out, out_stride, workspace);
    return ASD_OK;
}
