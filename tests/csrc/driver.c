/* The C core without Python. Every buffer is allocated to the byte, so that AddressSanitizer and
 * valgrind see the first byte beyond it. Power spectra are checked against their definition. */
#include "kernel.h"
#include "artefacts.h"
#include "levels.h"
#include "melspec.h"
#include "rfft.h"
#include "scoring.h"
#include "stream.h"

#ifdef NDEBUG
#error "the driver runs with the assertions of the core"
#endif

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void fail(const char *what, long a, long b)
{
    fprintf(stderr, "%s (%ld, %ld)\n", what, a, b);
    exit(1);
}

static unsigned seed = 1;

static double noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 8) / (1 << 23) - 1.0;
}

static double *doubles(size_t n)
{
    double *p = malloc((n ? n : 1) * sizeof *p);
    if (p == NULL)
        fail("no memory", (long)n, 0);
    return p;
}

/* |sum_j x[j] exp(-2 pi i j k / n)|^2 for frames of noise of very different level. */
static void check_rfft(size_t n)
{
    rfft_plan *plan = rfft_plan_create(n);
    if (plan == NULL)
        fail("rfft_plan_create", (long)n, 0);
    double *re = doubles(rfft_tile_size(plan)), *im = doubles(rfft_tile_size(plan));
    double *power = doubles(rfft_power_size(plan)), *work = doubles(rfft_workspace_size(plan));
    double *x = doubles(n * RFFT_LANES);
    for (size_t l = 0; l < RFFT_LANES; l++)
        for (size_t j = 0; j < n; j++) {
            const double v = noise() * pow(10.0, -5.0 * (double)l);
            x[l * n + j] = v;
            (j % 2 ? im : re)[j / 2 * RFFT_LANES + l] = v;
        }
    rfft_power(plan, re, im, power, work);
    for (size_t l = 0; l < RFFT_LANES; l++) {
        double energy = 0;
        for (size_t j = 0; j < n; j++)
            energy += x[l * n + j] * x[l * n + j];
        for (size_t k = 0; k <= n / 2; k++) {
            double a = 0, b = 0;
            for (size_t j = 0; j < n; j++) {
                const double angle = 6.283185307179586 * (double)(j * k % n) / (double)n;
                a += x[l * n + j] * cos(angle);
                b += x[l * n + j] * sin(angle);
            }
            if (!(fabs(power[k * RFFT_LANES + l] - (a * a + b * b)) < 1e-12 * (double)n * energy))
                fail("rfft_power", (long)n, (long)k);
        }
    }
    free(re), free(im), free(power), free(work), free(x);
    rfft_plan_free(plan);
}

/* Computes all frames at once, each of them alone, and both from int16. Every other clip has a tone
 * in little noise, which the kernels compute in single and then in double precision. */
static void check_compute(const melspec_config *config, const kernel *kernel, size_t n_samples)
{
    melspec_plan *plan;
    if (melspec_plan_create(config, kernel, &plan) != ASD_OK)
        fail("melspec_plan_create", config->n_fft, config->n_mels);
    const size_t frames = melspec_n_frames(plan, n_samples), mels = (size_t)config->n_mels;
    double *filters = doubles(mels * ((size_t)config->n_fft / 2 + 1));
    melspec_filterbank(plan, filters);
    free(filters);
    float *y = malloc(n_samples ? n_samples * sizeof *y : 1);
    int16_t *pcm = malloc(n_samples ? n_samples * sizeof *pcm : 1);
    float *whole = malloc(frames ? mels * frames * sizeof *whole : 1);
    float *whole_pcm = malloc(frames ? mels * frames * sizeof *whole : 1);
    float *one = malloc(mels * sizeof *one);
    char *memory = malloc(melspec_workspace_size(plan) + 1);
    if (y == NULL || pcm == NULL || whole == NULL || whole_pcm == NULL || one == NULL ||
        memory == NULL)
        fail("no memory", config->n_fft, (long)n_samples);
    void *work = memory + 1; /* any alignment */
    for (size_t i = 0; i < n_samples; i++) {
        pcm[i] = (int16_t)(n_samples % 2 ? 20000 * sin((double)i) + 10 * noise() : 20000 * noise());
        y[i] = (float)pcm[i] / 32768;
    }
    const asd_status status =
        melspec_compute(plan, y, MELSPEC_FLOAT, n_samples, 0, frames, whole, frames, work);
    if (status != (frames ? ASD_OK : ASD_TOO_SHORT))
        fail("melspec_compute", config->n_fft, (long)n_samples);
    if (melspec_compute(plan, pcm, MELSPEC_PCM16, n_samples, 0, frames, whole_pcm, frames, work) !=
        status)
        fail("melspec_compute of int16", config->n_fft, (long)n_samples);
    if (memcmp(whole, whole_pcm, mels * frames * sizeof *whole) != 0)
        fail("int16 differs from float", config->n_fft, (long)n_samples);
    for (size_t t = 0; t < frames; t++) {
        if (melspec_compute(plan, y, MELSPEC_FLOAT, n_samples, t, 1, one, 1, work) != ASD_OK)
            fail("melspec_compute of one frame", config->n_fft, (long)t);
        for (size_t m = 0; m < mels; m++)
            if (memcmp(&one[m], &whole[m * frames + t], sizeof *one) != 0)
                fail("one frame differs from all", config->n_fft, (long)t);
    }
    if (frames && (melspec_compute(plan, y, MELSPEC_FLOAT, n_samples, frames, 1, one, 1, work) !=
                       ASD_BAD_RANGE ||
                   melspec_compute(plan, y, MELSPEC_FLOAT, n_samples, 0, frames, whole, frames - 1,
                                   work) != ASD_BAD_RANGE))
        fail("frames beyond the clip", config->n_fft, (long)n_samples);
    if (n_samples < (size_t)config->n_fft &&
        melspec_compute_unpadded(plan, y, MELSPEC_FLOAT, n_samples, 1, one, 1, work) !=
            ASD_BAD_RANGE)
        fail("melspec_compute_unpadded beyond the samples", config->n_fft, (long)n_samples);
    memset(y, 0, n_samples * sizeof *y);
    memset(pcm, 0, n_samples * sizeof *pcm);
    melspec_compute(plan, y, MELSPEC_FLOAT, n_samples, 0, frames, whole, frames, work);
    melspec_compute(plan, pcm, MELSPEC_PCM16, n_samples, 0, frames, whole_pcm, frames, work);
    for (size_t i = 0; i < mels * frames && config->log == MELSPEC_LOG_NONE; i++)
        if (whole[i] != 0 || whole_pcm[i] != 0)
            fail("silence is not zero", config->n_fft, (long)i);
    free(y), free(pcm), free(whole), free(whole_pcm), free(one), free(memory);
    melspec_plan_free(plan);
}

/* A clip in pieces of 0, 1, .. samples, float and int16 in turn, has the frames of the whole. */
static void check_stream(const melspec_config *config, const kernel *kernel, size_t n_samples)
{
    melspec_plan *plan;
    melspec_stream *stream;
    if (melspec_plan_create(config, kernel, &plan) != ASD_OK ||
        melspec_stream_create(plan, &stream) != ASD_OK)
        fail("melspec_stream_create", config->n_fft, config->n_mels);
    const size_t frames = melspec_n_frames(plan, n_samples), mels = (size_t)config->n_mels;
    float *y = malloc(n_samples ? n_samples * sizeof *y : 1);
    float *whole = malloc(frames ? mels * frames * sizeof *whole : 1);
    void *work = malloc(melspec_workspace_size(plan));
    if (y == NULL || whole == NULL || work == NULL)
        fail("no memory", config->n_fft, (long)n_samples);
    for (size_t i = 0; i < n_samples; i++)
        y[i] = (float)(int)(20000 * noise()) / 32768;
    melspec_compute(plan, y, MELSPEC_FLOAT, n_samples, 0, frames, whole, frames, work);
    size_t done = 0;
    for (size_t at = 0, size = 0;; at += size, size = 3 * size + 1) {
        const int is_end = at == n_samples;
        size = size < n_samples - at ? size : n_samples - at;
        const size_t count =
            is_end ? melspec_stream_n_rest(stream) : melspec_stream_n_frames(stream, size);
        float *out = malloc(count ? mels * count * sizeof *out : 1);
        int16_t *pcm = malloc(size ? size * sizeof *pcm : 1);
        if (out == NULL || pcm == NULL)
            fail("no memory", (long)size, (long)count);
        for (size_t i = 0; i < size; i++)
            pcm[i] = (int16_t)(y[at + i] * 32768);
        if (count > 0 && (is_end ? melspec_stream_finish(stream, out, count - 1, work)
                                 : melspec_stream_push(stream, y + at, MELSPEC_FLOAT, size, out,
                                                       count - 1, work)) != ASD_BAD_RANGE)
            fail("more frames than there is room for", (long)at, (long)count);
        const asd_status status =
            is_end     ? melspec_stream_finish(stream, out, count, work)
            : size % 2 ? melspec_stream_push(stream, pcm, MELSPEC_PCM16, size, out, count, work)
                       : melspec_stream_push(stream, y + at, MELSPEC_FLOAT, size, out, count, work);
        if (status != (is_end && frames == 0 ? ASD_TOO_SHORT : ASD_OK))
            fail("melspec_stream", (long)at, (long)size);
        if (done + count > frames)
            fail("more frames in pieces than in the whole", (long)at, (long)size);
        for (size_t m = 0; m < mels; m++)
            for (size_t t = 0; t < count; t++)
                if (memcmp(&out[m * count + t], &whole[m * frames + done + t], sizeof *out) != 0)
                    fail("pieces differ from the whole", config->n_fft, (long)(done + t));
        done += count;
        free(out), free(pcm);
        if (is_end)
            break;
    }
    if (done != frames)
        fail("fewer frames in pieces than in the whole", (long)done, (long)frames);
    free(y), free(whole), free(work);
    melspec_stream_free(stream);
    melspec_plan_free(plan);
}

/* Two embeddings x, which are y = x L when whitened, as references of themselves: whitened, by the
 * columns behind the first with a density, and by their cosine. */
static void check_references(const kernel *kernel, const whitening *w, const float *x,
                             const float *y, size_t d)
{
    float *columns = malloc(2 * d * sizeof *columns);
    if (columns == NULL)
        fail("no memory", (long)d, 0);
    double d0[4], d1[4], d2[4], lengths[2] = {0, 0}, dot = 0, means[12], apart[12];
    const double density[2] = {2, 4}, reach[2] = {1, 2};
    for (size_t i = 0; i < 2; i++) {
        memcpy(columns + i * (d - 1), x + i * d + 1, (d - 1) * sizeof *x);
        for (size_t k = 0; k < d; k++)
            lengths[i] += (double)x[i * d + k] * x[i * d + k];
        lengths[i] = lengths[i] > 0 ? sqrt(lengths[i]) : 1;
    }
    for (size_t k = 0; k < d; k++)
        dot += (double)x[k] * x[d + k];
    squared_distances(kernel, y, 2, y, 2, d, d0);
    squared_distances(kernel, columns, 2, columns, 2, d - 1, d1);
    for (size_t i = 0; i < 4; i++) {
        d0[i] = sqrt(d0[i]), d1[i] = sqrt(d1[i]) / density[i % 2];
        const double cosine =
            (i % 3 == 0 ? lengths[i / 2] * lengths[i / 2] : dot) / lengths[i / 2] / lengths[i % 2];
        d2[i] = cosine > 1 ? 0 : 1 - cosine;
    }
    const reference_part parts[3] = {{.d = d, .whitening = w, .references = y},
                                     {1, d - 1, NULL, columns, NULL, density},
                                     {.d = d, .references = x, .lengths = lengths}};
    reference_set set = {parts, 3, 1, NULL};
    const size_t each[3] = {0, 1, 2}, both[2] = {0, 2};
    size_t nearest[2];
    void *work = malloc(reference_means_workspace_size(&set, 2, 2));
    if (work == NULL)
        fail("no memory", (long)d, 0);
    reference_means(kernel, &set, x, 2, d, each, 2, apart, nearest, work);
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < 2; i++) {
            const double *got = apart + (s * 2 + i) * 3;
            const size_t j = 2 * i + s; /* from embedding i to reference s */
            if (got[0] != d0[j] || got[1] != d1[j] || fabs(got[2] - d2[j]) > 1e-15)
                fail("reference_means of one reference", (long)d, (long)j);
        }
    if (nearest[0] != 0 || nearest[1] != 1)
        fail("the nearest reference of a section", (long)nearest[0], (long)nearest[1]);
    /* The nearest is the embedding itself. */
    reference_means(kernel, &set, x, 2, d, both, 1, means, nearest, work);
    for (size_t i = 0; i < 6; i++)
        if (fabs(means[i]) > 1e-15)
            fail("reference_means of the nearest", (long)d, (long)i);
    set.k = 2, set.reach = reach;
    reference_means(kernel, &set, x, 1, d, both, 1, means, nearest, work);
    const double factor = d0[1] > 0 ? (d0[1] / 2) / d0[1] : 1;
    if (fabs(means[0] - factor * d0[1] / 2) > 1e-9 * d0[1] ||
        fabs(means[1] - factor * d1[1] / 2) > 1e-9 * d1[1])
        fail("reference_means by reach", (long)d, 0);
    const double centres[3] = {1, 1, 1}, spreads[3] = {0.5, 0.5, 0.5};
    const distance_standard standard = {3, centres, spreads, 4, 10, 0.5, 2};
    const double distances[3] = {4, 16, 0}; /* z = 2, 6, -1.5 */
    if (standard_contribution(&standard, distances) != 10 * (6 + 2 * 2 + 4))
        fail("standard_contribution", 0, 0);
    free(work), free(columns);
}

/* x L for L[i][j] = (i - j) / 8 + 1/16, of which float holds every sum exactly. */
static void check_whitening(size_t d, const kernel *kernel)
{
    const size_t n = d * (d + 1) / 2;
    uint16_t *triangle = malloc(n * sizeof *triangle), *to = triangle;
    float *x = malloc(2 * d * sizeof *x), *y = malloc(2 * d * sizeof *y);
    whitening *w;
    if (triangle == NULL || x == NULL || y == NULL)
        fail("no memory", (long)d, 0);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            int exponent = 11; /* of 1/16, offset 15 */
            unsigned k = 2 * (unsigned)(i - j) + 1;
            for (unsigned rest = k; rest > 1; rest /= 2)
                exponent++;
            while (k < 1024)
                k *= 2;
            *to++ = (uint16_t)((unsigned)exponent << 10 | (k & 1023));
        }
    for (size_t i = 0; i < 2 * d; i++)
        x[i] = (float)(i % 7) - 3;
    if (whitening_create(kernel, triangle, d, &w) != ASD_OK)
        fail("whitening_create", (long)d, 0);
    float *work = malloc(whitening_workspace_size(w) * sizeof *work);
    if (work == NULL)
        fail("no memory", (long)d, 0);
    whitening_project(w, x, 2, y, work);
    for (size_t row = 0; row < 2; row++)
        for (size_t j = 0; j < d; j++) {
            float sum = 0;
            for (size_t i = j; i < d; i++)
                sum += x[row * d + i] * ((float)(i - j) / 8 + 1.0f / 16);
            if (sum != y[row * d + j])
                fail("whitening_project", (long)d, (long)j);
        }
    check_references(kernel, w, x, y, d);
    whitening_free(w);
    triangle[n - 1] = 0x7c00;
    if (whitening_create(kernel, triangle, d, &w) != ASD_NOT_FINITE || w != NULL)
        fail("an infinite whitening", (long)d, 0);
    free(triangle), free(work);

    double distances[2];
    squared_distances(kernel, x, 1, x, 2, d, distances);
    if (distances[0] != 0)
        fail("squared_distances of equal rows", (long)d, 0);
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (x[j] - x[d + j]) * (x[j] - x[d + j]);
    if (distances[1] != sum) /* small integers: exact in any order */
        fail("squared_distances", (long)d, 0);
    free(x), free(y);
}

/* Levels of noise about an offset, behind and before equal samples, against their definition. */
static void check_levels(size_t n, size_t n_equal)
{
    int16_t *pcm = malloc(n * sizeof *pcm);
    float *y = malloc(n * sizeof *y);
    if (pcm == NULL || y == NULL)
        fail("no memory", (long)n, 0);
    for (size_t i = 0; i < n; i++) {
        const int is_inside = i >= n_equal && i + n_equal < n;
        pcm[i] = (int16_t)(is_inside ? 500 + 100 * noise() : 20000);
        y[i] = (float)pcm[i] / 32768;
    }
    const size_t stride = n < LEVELS_LONG ? LEVELS_PIECE : LEVELS_STRIDE;
    const size_t end = n < LEVELS_LONG ? n : n / stride * stride;
    double count = 0, mean = 0, power = 0, n_held = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < end; i++)
            if (i % stride < LEVELS_PIECE) {
                count += pass == 0;
                mean += pass == 0 ? y[i] : 0;
                power += pass == 1 ? (y[i] - mean) * (y[i] - mean) / count : 0;
            }
        mean /= pass == 0 ? count : 1;
    }
    for (size_t i = 0; i < n / stride; i++) {
        const size_t at = i * stride, behind = at + LEVELS_PIECE;
        n_held += behind <= n_equal || at + n_equal >= n || 2 * n_equal >= n;
    }
    const double held = n / stride > 0 ? n_held / (double)(n / stride) : 0;
    levels of_pcm, of_y;
    levels_measure(pcm, MELSPEC_PCM16, n, &of_pcm);
    levels_measure(y, MELSPEC_FLOAT, n, &of_y);
    if (memcmp(&of_pcm, &of_y, sizeof of_y) != 0)
        fail("levels of int16 differ from those of float", (long)n, (long)n_equal);
    const size_t run = 2 * n_equal >= n ? n - 1 : n_equal > 0 ? n_equal - 1 : 0;
    if (!(fabs(of_y.mean - mean) < 1e-6 && fabs(of_y.power - power) < 1e-5 * power + 1e-15) ||
        (n_equal > 0 && (of_y.leading != run || of_y.trailing != run)) || of_y.held != held)
        fail("levels_measure", (long)n, (long)n_equal);
    if (of_y.faint_leading < of_y.leading || of_y.faint_trailing < of_y.trailing ||
        (n_equal > 0 && (of_y.faint_leading != run || of_y.faint_trailing != run)))
        fail("faint ends", (long)n, (long)n_equal);
    if (2 * n_equal >= n && of_y.power != 0)
        fail("equal samples have a level", (long)n, (long)n_equal);
    memset(y, 0, n / 2 * sizeof *y);
    levels_measure(y, MELSPEC_FLOAT, n, &of_y);
    const size_t n_pieces = n / stride, n_zeros = (n / 2 + stride - LEVELS_PIECE) / stride;
    if (n_equal == 0 && n_pieces > 0 && of_y.held != (double)n_zeros / (double)n_pieces)
        fail("zeros", (long)n, (long)n_zeros);
    free(pcm), free(y);
}

/* Samples within the last bit, from a place on and for so many, are a gap; as floats too. */
static void check_gap(size_t n, size_t at, size_t length)
{
    int16_t *pcm = malloc(n * sizeof *pcm);
    float *y = malloc(n * sizeof *y);
    if (pcm == NULL || y == NULL)
        fail("no memory", (long)n, 0);
    for (size_t i = 0; i < n; i++) {
        pcm[i] = (int16_t)(i >= at && i < at + length ? 1000 + (int)i % 2 : 1000 * noise());
        y[i] = (float)pcm[i] / 32768;
    }
    const size_t stride = n < LEVELS_LONG ? LEVELS_PIECE : LEVELS_STRIDE;
    size_t count = 0, first = 0;
    for (size_t i = 0; i + stride <= n; i += stride)
        if (i >= at && i + LEVELS_PIECE <= at + length && count++ == 0)
            first = i;
    levels of_pcm, of_y;
    levels_measure(pcm, MELSPEC_PCM16, n, &of_pcm);
    levels_measure(y, MELSPEC_FLOAT, n, &of_y);
    if (of_y.faint != of_pcm.faint || of_y.faint_at != of_pcm.faint_at || of_y.held > 0 ||
        of_y.faint != (double)count / (double)(n / stride) || of_y.faint_most != of_y.faint ||
        of_y.faint_at != first)
        fail("a gap", (long)n, (long)at);
    free(pcm), free(y);
}

/* A stretch that is played again, and samples of a lower rate, in samples that end where memory
 * does; as floats too. */
static void check_artefacts(size_t n, size_t at, size_t period, size_t length)
{
    enum { RATE = 2000 };
    int16_t *pcm = malloc(n * sizeof *pcm);
    float *y = malloc(n * sizeof *y);
    if (pcm == NULL || y == NULL)
        fail("no memory", (long)n, 0);
    seed = (unsigned)(n + at + period); /* whatever kernels a processor has used it for before */
    for (size_t i = 0; i < n; i++)
        pcm[i] = (int16_t)(1000 * noise());
    for (size_t i = at + period; i < at + period + length; i++)
        pcm[i] = pcm[i - period];
    for (size_t i = 0; i < n; i++)
        y[i] = (float)pcm[i] / 32768;
    artefacts found, of_y;
    artefacts_find(pcm, MELSPEC_PCM16, n, RATE, RATE, &found);
    artefacts_find(y, MELSPEC_FLOAT, n, RATE, RATE, &of_y);
    if (memcmp(&found, &of_y, sizeof found) != 0 || found.factor != 1)
        fail("artefacts of int16 differ from those of float", (long)n, (long)period);
    /* By chance a sample before or behind may be alike. */
    const int is_near = found.start + 2 >= at && found.start <= at && found.length >= length &&
                        found.length <= length + 4;
    if (length >= period && length > 0 ? !(found.period == period && is_near) : found.period != 0)
        fail("a stretch that is played again", (long)period, (long)length);
    for (size_t factor = 1; factor < 9; factor++) {
        for (size_t i = 0; i < n; i++)
            y[i] = (float)pcm[i / factor];
        artefacts_find(y, MELSPEC_FLOAT, n, RATE, RATE, &of_y);
        const unsigned expected = factor == 5 || factor == 7 || n < 400 ? 1 : (unsigned)factor;
        if (of_y.factor != expected || of_y.is_interpolated)
            fail("a lower rate", (long)n, (long)factor);
    }
    free(pcm), free(y);
}

/* The lowest of n samples at each place, the highest behind it. */
static void check_range(size_t n)
{
    int16_t *pcm = malloc(n * sizeof *pcm), lowest, highest;
    if (pcm == NULL)
        fail("no memory", (long)n, 0);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            pcm[j] = (int16_t)(100 * noise());
        pcm[(i + 1) % n] = INT16_MAX;
        pcm[i] = INT16_MIN;
        levels_range(pcm, n, &lowest, &highest);
        if (lowest != INT16_MIN || highest != (n > 1 ? INT16_MAX : INT16_MIN))
            fail("levels_range", (long)n, (long)i);
    }
    free(pcm);
}

static void check_refused(melspec_config config)
{
    melspec_plan *plan = (melspec_plan *)&config;
    if (melspec_plan_create(&config, kernel_find(NULL), &plan) != ASD_BAD_CONFIG || plan != NULL)
        fail("a bad config was taken", config.n_fft, config.n_mels);
}

/* Plans within the stated ranges, but as nobody would choose them: rates from 1 Hz to 2 GHz, bands
 * narrower than a bin or than the rounding of their edges. Silence gives zeros whatever the plan
 * is. */
static void check_odd_config(void)
{
    const double sr = exp((noise() + 1) / 2 * log(MELSPEC_MAX_SR));
    const double low = sr / 2 * fabs(noise()),
                 width = (sr / 2 - low) * pow(10, -20 * fabs(noise()));
    const melspec_config config = {
        .sr = sr,
        .n_fft = 64 + 2 * (int)(100 * (noise() + 1)),
        .hop_length = 1 + (int)pow(2, 15 * (noise() + 1)),
        .n_mels = 1 + (int)(100 * (noise() + 1)),
        .fmin = noise() > 0 ? 0 : low,
        .fmax = low + width,
        .power = noise() > 0 ? 1 : 2,
        .log = MELSPEC_LOG_NONE,
        .amin = DBL_MIN,
        .center = noise() > 0,
        .pad_mode = noise() > 0 ? MELSPEC_PAD_CONSTANT : MELSPEC_PAD_REFLECT,
    };
    if (config.fmin < config.fmax) {
        check_compute(&config, kernel_find(NULL), 400);
        check_stream(&config, kernel_find(NULL), 400);
    }
}

int main(void)
{
    for (size_t n = 2; n <= 200; n += 2)
        check_rfft(n);
    const size_t sizes[] = {242, 338, 400, 480, 882, 1000, 1022, 1024, 1250, 2018};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_rfft(sizes[i]);
    if (rfft_plan_create(0) != NULL || rfft_plan_create(65) != NULL)
        fail("rfft_plan_create of a bad size", 0, 65);
    rfft_plan_free(NULL);
    melspec_plan_free(NULL);
    melspec_stream_free(NULL);

    const int n_ffts[] = {64, 74, 100, 128, 512};
    const int hops[] = {1, 37, 64, 301};
    const kernel *kernel;
    for (size_t k = 0; (kernel = kernel_available(k)) != NULL; k++)
        for (int i = 0; i < 5; i++)
            for (int h = 0; h < 4; h++)
                for (int mode = 0; mode < 3; mode++)
                    for (size_t n = 0; n <= 300; n += n < 4 ? 1 : 74) {
                        const melspec_config config = {
                            .sr = 16000,
                            .n_fft = n_ffts[i],
                            .hop_length = hops[h],
                            .n_mels = 1 + 13 * h,
                            .fmin = 100.0 * i,
                            .fmax = mode ? 8000 : 3333,
                            .power = 1 + mode % 2,
                            .log = h % 2 ? MELSPEC_LOG_DB : MELSPEC_LOG_NONE,
                            .amin = 1e-10,
                            .center = mode > 0,
                            .pad_mode = mode == 2 ? MELSPEC_PAD_REFLECT : MELSPEC_PAD_CONSTANT,
                        };
                        /* Enough frames for a wide tile and a rest, but for hops of 1. */
                        check_compute(&config, kernel, h ? n * (size_t)hops[h] / 8 : n);
                        check_stream(&config, kernel, h ? n * (size_t)hops[h] / 8 : n);
                    }

    for (size_t k = 0; (kernel = kernel_available(k)) != NULL; k++)
        for (size_t d = 1; d < 50; d++)
            check_whitening(d, kernel);

    for (size_t n = 1; n < 40000; n = n < 300 ? n + 1 : n * 5 / 4)
        for (size_t n_equal = 0; n_equal <= n; n_equal = 3 * n_equal + 1)
            check_levels(n, n_equal);
    for (size_t n = 1; n < 100; n++)
        check_range(n);
    for (size_t n = 1000; n < 50000; n *= 7)
        for (size_t at = 0; at < n / 2; at += n / 5)
            check_gap(n, at, n / 4 + at / 2);
    check_gap(40000, 2048, 36000); /* more than half, in one stretch */
    for (size_t n = 0; n < 2000; n = 2 * n + 1)
        check_artefacts(n, 0, 0, 0);
    for (size_t period = 20; period < 8000; period = 2 * period + 1)
        for (size_t at = 0; at < 4000; at += 777)
            check_artefacts(20000, at, period, period + 2200 < 8000 ? period + 2200 : period);

    for (int i = 0; i < 200; i++)
        check_odd_config();

    const melspec_config good = {16000, 64, 1, 8, 0, 8000, 2, MELSPEC_LOG_NONE, 1e-10, 1, 0};
    check_compute(&good, kernel_find(NULL), 100);
    check_stream(&good, kernel_find(NULL), 5000); /* more than it holds */
    if (kernel_find("mmx") != NULL || kernel_find("scalar") == NULL ||
        kernel_find(NULL) != kernel_available(0))
        fail("kernel_find", 0, 0);
    const double not_numbers[] = {NAN, INFINITY, -INFINITY, -1, -1e-300, 1e308};
    for (size_t i = 0; i < sizeof not_numbers / sizeof *not_numbers; i++) {
        melspec_config bad = good;
        const double v = not_numbers[i];
        bad = good, bad.sr = v, check_refused(bad);
        bad = good, bad.fmin = v, check_refused(bad);
        bad = good, bad.fmax = v, check_refused(bad);
        if (v != 1e308)
            bad = good, bad.amin = v, check_refused(bad);
    }
    melspec_config bad;
    bad = good, bad.sr = 0.5, bad.fmax = 0.25, check_refused(bad);
    bad = good, bad.sr = 1e-320, bad.fmax = 1e-321, check_refused(bad);
    bad = good, bad.n_fft = 62, check_refused(bad);
    bad = good, bad.n_fft = 65, check_refused(bad);
    bad = good, bad.n_fft = -64, check_refused(bad);
    bad = good, bad.n_fft = INT_MIN, check_refused(bad);
    bad = good, bad.n_fft = MELSPEC_MAX_N_FFT + 2, check_refused(bad);
    bad = good, bad.hop_length = 0, check_refused(bad);
    bad = good, bad.hop_length = -1, check_refused(bad);
    bad = good, bad.n_mels = 0, check_refused(bad);
    bad = good, bad.n_mels = -1, check_refused(bad);
    bad = good, bad.n_mels = MELSPEC_MAX_N_MELS + 1, check_refused(bad);
    bad = good, bad.fmax = 8001, check_refused(bad);
    bad = good, bad.fmin = 8000, check_refused(bad);
    bad = good, bad.power = 0, check_refused(bad);
    bad = good, bad.power = 3, check_refused(bad);
    bad = good, bad.amin = 0, check_refused(bad);
    bad = good, bad.center = 2, check_refused(bad);
    bad = good, bad.center = -1, check_refused(bad);
    memset(&bad, 0xff, sizeof bad), check_refused(bad);
    memset(&bad, 0, sizeof bad), check_refused(bad);
    return 0;
}
