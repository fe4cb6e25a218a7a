#include "levels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Every machine has vectors of this length or computes them in pieces: a piece takes some 200
 * instructions, which is too little for a kernel of each instruction set. */
enum { LANES = 4, N_VECTORS = LEVELS_PIECE / LANES };
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));

/* Mean and squares of n samples. */
typedef struct {
    size_t n;
    double mean;    /* less the clip's first sample */
    double squares; /* sum of (x - mean)^2 */
} moments;

/* A piece as floats, less its first sample: those of a constant are exactly 0, and an offset loses
 * no digits. */
typedef struct {
    floats v[N_VECTORS];
    float first;
} piece;

static float sample_at(const void *y, melspec_format format, size_t i)
{
    return format == MELSPEC_PCM16 ? ((const int16_t *)y)[i] : ((const float *)y)[i];
}

static void load(const void *y, melspec_format format, size_t at, piece *piece)
{
    const float first = piece->first = sample_at(y, format, at);
    const int16_t *pcm = (const int16_t *)y + at;
    const float *real = (const float *)y + at;
    float x[LEVELS_PIECE];
    if (format == MELSPEC_PCM16)
        for (size_t i = 0; i < LEVELS_PIECE; i++)
            x[i] = (float)pcm[i] - first;
    else
        for (size_t i = 0; i < LEVELS_PIECE; i++)
            x[i] = real[i] - first;
    memcpy(piece->v, x, sizeof x);
}

static float total(floats v) { return (v[0] + v[1]) + (v[2] + v[3]); }

static moments moments_of_piece(const piece *piece, double first)
{
    floats even = {0}, odd = {0};
    for (size_t i = 0; i < N_VECTORS; i += 2) {
        even += piece->v[i];
        odd += piece->v[i + 1];
    }
    const float mean = total(even + odd) / LEVELS_PIECE;
    even = odd = (floats){0};
    for (size_t i = 0; i < N_VECTORS; i += 2) {
        const floats v = piece->v[i] - mean, w = piece->v[i + 1] - mean;
        even += v * v;
        odd += w * w;
    }
    return (moments){LEVELS_PIECE, piece->first - first + mean, total(even + odd)};
}

/* The same of samples at..n-1, which are no whole piece. */
static moments moments_of_rest(const void *y, melspec_format format, size_t at, size_t n,
                               double first)
{
    moments rest = {n - at, 0, 0};
    for (size_t i = at; i < n; i++)
        rest.mean += (sample_at(y, format, i) - first) / (double)rest.n;
    for (size_t i = at; i < n; i++) {
        const double v = sample_at(y, format, i) - first - rest.mean;
        rest.squares += v * v;
    }
    return rest;
}

static int is_constant(const piece *piece)
{
    size_t i = 0;
    while (i < N_VECTORS * LANES && piece->v[i / LANES][i % LANES] == 0)
        i++;
    return i == N_VECTORS * LANES;
}

/* Samples in a row that are equal to sample i, from the next one on; step is 1, or -1 for those
 * before it. */
static size_t run_length(const void *y, melspec_format format, size_t n, size_t i, size_t step)
{
    const float value = sample_at(y, format, i);
    size_t run = 0;
    while (run + 1 < n && sample_at(y, format, i + (run + 1) * step) == value)
        run++;
    return run;
}

/* The same of samples that differ by at most two steps of 16 bits: the noise of the last bit. */
static size_t faint_length(const void *y, melspec_format format, size_t n, size_t i, size_t step)
{
    const float most = format == MELSPEC_PCM16 ? 2 : 2.0f / 32768;
    float lowest = sample_at(y, format, i), highest = lowest;
    size_t run = 0;
    for (; run + 1 < n; run++) {
        const float value = sample_at(y, format, i + (run + 1) * step);
        lowest = value < lowest ? value : lowest;
        highest = value > highest ? value : highest;
        if (highest - lowest > most)
            break;
    }
    return run;
}

void levels_measure(const void *y, melspec_format format, size_t n, levels *result)
{
    assert(n > 0);
    const size_t stride = n < LEVELS_LONG ? LEVELS_PIECE : LEVELS_STRIDE;
    const size_t n_pieces = n / stride;
    const double first = sample_at(y, format, 0);
    size_t n_held = 0;
    /* Sums over the pieces: of samples, of their means and squares of these. */
    double count = 0, sum = 0, between = 0, within = 0;
    for (size_t i = 0; i <= n_pieces; i++) {
        moments m = {0};
        if (i < n_pieces) {
            piece piece;
            load(y, format, i * stride, &piece);
            m = moments_of_piece(&piece, first);
            n_held += is_constant(&piece);
        } else if (n < LEVELS_LONG && i * stride < n) {
            m = moments_of_rest(y, format, i * stride, n, first);
        }
        count += (double)m.n;
        sum += (double)m.n * m.mean;
        between += (double)m.n * m.mean * m.mean;
        within += m.squares;
    }
    const double scale = format == MELSPEC_PCM16 ? 1.0 / 32768 : 1.0;
    const double mean = first + sum / count;
    const double power = (within + between - sum * sum / count) / count;
    /* Floats far beyond full scale overflow: their level is infinite, and they have no offset. */
    result->mean = isfinite(mean) ? mean * scale : 0;
    result->power = !isfinite(power) ? INFINITY : power > 0 ? power * scale * scale : 0;
    result->held = n_pieces > 0 ? (double)n_held / (double)n_pieces : 0;
    result->leading = run_length(y, format, n, 0, 1);
    result->trailing = run_length(y, format, n, n - 1, (size_t)-1);
    result->faint_leading = faint_length(y, format, n, 0, 1);
    result->faint_trailing = faint_length(y, format, n, n - 1, (size_t)-1);
}

void levels_range(const int16_t *y, size_t n, int16_t *lowest, int16_t *highest)
{
    assert(n > 0);
    /* Both halves at once, neither of which waits for the other's minimum. Of an odd number, both
     * have the sample in the middle. */
    const size_t half = (n + 1) / 2;
    const int16_t *a = y, *b = y + (n - half);
    int16_t low_a = *y, low_b = *y, high_a = *y, high_b = *y;
    for (size_t i = 0; i < half; i++) {
        low_a = a[i] < low_a ? a[i] : low_a;
        low_b = b[i] < low_b ? b[i] : low_b;
        high_a = a[i] > high_a ? a[i] : high_a;
        high_b = b[i] > high_b ? b[i] : high_b;
    }
    *lowest = low_a < low_b ? low_a : low_b;
    *highest = high_a > high_b ? high_a : high_b;
}
