/* libFuzzer's target of the C core: any configuration, any samples, any pieces.
 *
 * The first bytes choose the configuration, which may be out of range, the instruction set and how
 * the samples are cut; the rest are the samples. Buffers are allocated to the byte. Checked are the
 * promises of melspec.h: a frame has the same bits in a clip, alone and in a stream, and a
 * configuration in range has a plan. */
#include "kernel.h"
#include "melspec.h"
#include "scoring.h"
#include "stream.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *data;
    size_t size;
} input;

static uint32_t take(input *in, uint32_t below)
{
    uint32_t value = 0;
    for (int i = 0; i < 3 && in->size > 0; i++, in->data++, in->size--)
        value = value << 8 | *in->data;
    return value % below;
}

static void expect(int condition)
{
    if (!condition)
        abort();
}

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    expect(p != NULL);
    return p;
}

/* The samples [from, from + n) in a buffer that ends with them. */
static void *copied(const uint8_t *y, size_t width, size_t from, size_t n)
{
    void *copy = allocate(n * width);
    if (n > 0)
        memcpy(copy, y + from * width, n * width);
    return copy;
}

static int same(const float *a, const float *b, size_t n_mels, size_t n, size_t stride_a, size_t at)
{
    for (size_t m = 0; m < n_mels; m++)
        if (memcmp(a + m * stride_a + at, b + m * n, n * sizeof *a) != 0)
            return 0;
    return 1;
}

static void check_stream(input *in, const melspec_plan *plan, const uint8_t *y,
                         melspec_format format, size_t width, size_t n, const float *mel,
                         size_t n_frames, void *work)
{
    const size_t n_mels = (size_t)melspec_plan_config(plan)->n_mels;
    melspec_stream *stream;
    if (melspec_stream_create(plan, &stream) != ASD_OK)
        return;
    size_t done = 0;
    for (size_t at = 0; at < n;) {
        size_t step = 1 + take(in, 3000);
        step = step < n - at ? step : n - at;
        const size_t count = melspec_stream_n_frames(stream, step);
        float *out = allocate(n_mels * count * sizeof *out);
        void *piece = copied(y, width, at, step);
        expect(melspec_stream_push(stream, piece, format, step, out, count, work) == ASD_OK);
        expect(done + count <= n_frames || n_frames == 0);
        expect(same(mel, out, n_mels, count, n_frames, done));
        free(piece), free(out);
        done += count;
        at += step;
    }
    const size_t rest = melspec_stream_n_rest(stream);
    float *out = allocate(n_mels * rest * sizeof *out);
    const asd_status status = melspec_stream_finish(stream, out, rest, work);
    expect(status == (n_frames ? ASD_OK : ASD_TOO_SHORT));
    if (n_frames > 0) {
        expect(done + rest == n_frames);
        expect(same(mel, out, n_mels, rest, n_frames, done));
    }
    free(out);
    melspec_stream_free(stream);
}

static void check_mel(input *in, const kernel *kernel)
{
    static const int sizes[] = {0, 63, 64, 66, 100, 256, 512, 1000, 1024, 2048, 2050, 4096};
    const melspec_config config = {
        .sr = take(in, 50000),
        .n_fft = sizes[take(in, sizeof sizes / sizeof *sizes)],
        .hop_length = (int)take(in, 3000) - 1,
        .n_mels = (int)take(in, 200) - 1,
        .fmin = (double)take(in, 9000) - 100,
        .fmax = (double)take(in, 26000) - 100,
        .power = (int)take(in, 4),
        .log = (melspec_log)take(in, 2),
        .amin = (double)take(in, 3) * 1e-10,
        .center = (int)take(in, 3),
        .pad_mode = (melspec_pad_mode)take(in, 2),
    };
    melspec_plan *plan;
    const asd_status status = melspec_plan_create(&config, kernel, &plan);
    expect(status == ASD_OK || (status == ASD_BAD_CONFIG && plan == NULL));
    if (status != ASD_OK)
        return;
    const melspec_format format = (melspec_format)take(in, 2);
    const size_t width = format == MELSPEC_FLOAT ? sizeof(float) : sizeof(int16_t);
    const size_t n = in->size / width, n_mels = (size_t)config.n_mels;
    const uint8_t *y = in->data;
    input cuts = {y, in->size};
    void *whole = copied(y, width, 0, n), *work = allocate(melspec_workspace_size(plan));
    const size_t n_frames = melspec_n_frames(plan, n);
    float *mel = allocate(n_mels * n_frames * sizeof *mel);
    if (n_frames > 0) {
        expect(melspec_compute(plan, whole, format, n, 0, n_frames, mel, n_frames, work) == ASD_OK);
        const size_t t = take(&cuts, (uint32_t)n_frames);
        float *alone = allocate(n_mels * sizeof *alone);
        expect(melspec_compute(plan, whole, format, n, t, 1, alone, 1, work) == ASD_OK);
        expect(same(mel, alone, n_mels, 1, n_frames, t));
        expect(melspec_compute(plan, whole, format, n, n_frames, 1, alone, 1, work) != ASD_OK);
        free(alone);
    }
    check_stream(&cuts, plan, y, format, width, n, mel, n_frames, work);
    free(whole), free(work), free(mel);
    melspec_plan_free(plan);
}

static void check_whitening(input *in, const kernel *kernel)
{
    const size_t d = 1 + take(in, 90), n_triangle = d * (d + 1) / 2;
    uint16_t *triangle = allocate(n_triangle * sizeof *triangle);
    memset(triangle, 0, n_triangle * sizeof *triangle);
    const size_t given = in->size < n_triangle * 2 ? in->size : n_triangle * 2;
    memcpy(triangle, in->data, given);
    whitening *w;
    const asd_status status = whitening_create(kernel, triangle, d, &w);
    free(triangle);
    expect(status == ASD_OK || (status == ASD_NOT_FINITE && w == NULL));
    if (status != ASD_OK)
        return;
    const size_t left = in->size - given, n = left / (d * sizeof(float)) % 9;
    float *x = copied(in->data + given, sizeof *x, 0, n * d);
    float *y = allocate(n * d * sizeof *y);
    float *work = allocate(whitening_workspace_size(w) * sizeof *work);
    double *squares = allocate(n * n * sizeof *squares);
    whitening_project(w, x, n, y, work);
    squared_distances(kernel, y, n, x, n, d, squares);
    free(x), free(y), free(work), free(squares);
    whitening_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    size_t n_kernels = 0;
    while (kernel_available(n_kernels) != NULL)
        n_kernels++;
    const kernel *kernel = kernel_available(take(&in, (uint32_t)n_kernels));
    if (take(&in, 4) == 0)
        check_whitening(&in, kernel);
    else
        check_mel(&in, kernel);
    return 0;
}
