/* A clip whose samples come in pieces: kept, as floats and with the padding, until the frames that
 * see them are complete.
 *
 * A long piece is taken in blocks, so that the buffer never grows. What stays behind after a block
 * is less than a frame, and with reflection the last samples, for the image behind the clip. */
#include "melspec_plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_HOPS = 32, MAX_BLOCK = 65536 };

struct melspec_stream {
    const melspec_plan *plan;
    size_t capacity, n;
    size_t next;          /* where the next frame begins; beyond n where hop_length > n_fft */
    int is_empty;         /* no sample has come */
    int has_frame;        /* one has been given */
    int is_head_open;     /* reflection: the image in front is not complete yet */
    float buffer[];       /* n padded samples */
};

static int is_reflecting(const melspec_config *c)
{
    return c->center && c->pad_mode == MELSPEC_PAD_REFLECT;
}

melspec_status melspec_stream_create(const melspec_plan *plan, melspec_stream **out)
{
    const size_t n_fft = (size_t)plan->config.n_fft, hop = (size_t)plan->config.hop_length;
    size_t block = hop < MAX_BLOCK / BLOCK_HOPS ? BLOCK_HOPS * hop : MAX_BLOCK;
    block = block < n_fft ? n_fft : block;
    const size_t capacity = n_fft + 1 + block;
    melspec_stream *stream = malloc(sizeof *stream + capacity * sizeof(float));
    *out = stream;
    if (stream == NULL)
        return MELSPEC_NO_MEMORY;
    *stream = (melspec_stream){.plan = plan, .capacity = capacity, .is_empty = 1};
    stream->is_head_open = is_reflecting(&plan->config);
    stream->n = stream->is_head_open ? 0 : plan->pad;
    memset(stream->buffer, 0, stream->n * sizeof(float));
    return MELSPEC_OK;
}

void melspec_stream_free(melspec_stream *stream) { free(stream); }

/* Complete with n padded samples in the buffer. */
static size_t complete(const melspec_stream *s, size_t n)
{
    return n < s->next ? 0 : unpadded_frames(&s->plan->config, n - s->next);
}

size_t melspec_stream_n_frames(const melspec_stream *s, size_t n)
{
    const size_t pad = s->plan->pad;
    if (!s->is_head_open)
        return complete(s, s->n + n);
    return s->n + n <= pad ? 0 : complete(s, s->n + n + pad);
}

size_t melspec_stream_n_rest(const melspec_stream *s)
{
    return s->is_empty || s->is_head_open ? 0 : complete(s, s->n + s->plan->pad);
}

static void append(melspec_stream *s, const void *y, melspec_format format, size_t n)
{
    float *to = s->buffer + s->n;
    if (format == MELSPEC_FLOAT)
        memcpy(to, y, n * sizeof *to);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = (float)((const int16_t *)y)[i] * (1.0f / 32768);
    s->n += n;
}

/* With pad + 1 samples known, their image goes in front of them. */
static void close_head(melspec_stream *s)
{
    const size_t pad = s->plan->pad;
    memmove(s->buffer + pad, s->buffer, s->n * sizeof(float));
    for (size_t j = 0; j < pad; j++)
        s->buffer[j] = s->buffer[2 * pad - j];
    s->n += pad;
    s->is_head_open = 0;
}

/* Computes what is complete, drops what no later frame sees, gives the number of frames. With more
 * to come at once, only whole tiles: a rest costs as much as one. */
static size_t advance(melspec_stream *s, int is_more, float *out, size_t out_stride,
                      void *workspace)
{
    const size_t keep = s->plan->pad + 1;
    size_t count = complete(s, s->n);
    if (is_more && count > TILE_MAX_LANES)
        count -= count % TILE_MAX_LANES;
    if (count > 0)
        melspec_frames(s->plan, s->buffer + s->next, MELSPEC_FLOAT, s->n - s->next, count, out,
                       out_stride, workspace);
    s->has_frame |= count > 0;
    s->next += count * (size_t)s->plan->config.hop_length;
    size_t dropped = s->next < s->n ? s->next : s->n;
    if (is_reflecting(&s->plan->config) && dropped + keep > s->n)
        dropped = s->n > keep ? s->n - keep : 0;
    if (dropped > 0)
        memmove(s->buffer, s->buffer + dropped, (s->n - dropped) * sizeof(float));
    s->n -= dropped;
    s->next -= dropped;
    return count;
}

melspec_status melspec_stream_push(melspec_stream *s, const void *y, melspec_format format,
                                   size_t n, float *out, size_t out_stride, void *workspace)
{
    const size_t size = format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
    if (n > SIZE_MAX / 2 || out_stride < melspec_stream_n_frames(s, n))
        return MELSPEC_BAD_RANGE;
    for (const char *from = y; n > 0;) {
        const size_t room = (s->is_head_open ? s->plan->pad + 1 : s->capacity) - s->n;
        const size_t taken = n < room ? n : room;
        append(s, from, format, taken);
        s->is_empty = 0;
        from += taken * size;
        n -= taken;
        if (s->is_head_open && s->n > s->plan->pad)
            close_head(s);
        if (!s->is_head_open)
            out += advance(s, n > 0, out, out_stride, workspace);
    }
    return MELSPEC_OK;
}

melspec_status melspec_stream_finish(melspec_stream *s, float *out, size_t out_stride,
                                     void *workspace)
{
    const size_t pad = s->plan->pad, end = s->n;
    if (!s->has_frame && melspec_stream_n_rest(s) == 0)
        return MELSPEC_TOO_SHORT;
    if (out_stride < melspec_stream_n_rest(s))
        return MELSPEC_BAD_RANGE;
    for (size_t j = 0; j < pad; j++)
        s->buffer[end + j] = is_reflecting(&s->plan->config) ? s->buffer[end - 2 - j] : 0.0f;
    s->n += pad;
    advance(s, 0, out, out_stride, workspace);
    return MELSPEC_OK;
}
