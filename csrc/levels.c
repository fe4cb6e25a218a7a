#include "levels.h"

#include <assert.h>
#include <math.h>

/* Every machine has vectors of half this length or computes them in pieces: a piece takes some 200
 * instructions, which is too little for a kernel of each instruction set. */
enum { LANES = 8 };

/* Mean and squares of n samples. */
typedef struct {
    size_t n;
    double mean;    /* less the clip's first sample */
    double squares; /* sum of (x - mean)^2 */
} moments;

static float sample_at(const void *y, melspec_format format, size_t i)
{
    return format == MELSPEC_PCM16 ? ((const int16_t *)y)[i] : ((const float *)y)[i];
}

static float total(const float *v)
{
    return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

/* A piece is read twice, less its first sample: those of a constant are exactly 0, and an offset
 * loses no digits. Lanes that are written out become vectors. */
#define DEFINE_MOMENTS_OF_PIECE(name, type)                                                        \
    static moments name(const type *x, double first)                                               \
    {                                                                                              \
        float sums[LANES] = {0}, squares[LANES] = {0};                                             \
        const float own = x[0];                                                                    \
        for (size_t i = 0; i < LEVELS_PIECE; i += LANES)                                           \
            for (size_t lane = 0; lane < LANES; lane++)                                            \
                sums[lane] += (float)x[i + lane] - own;                                            \
        const float mean = total(sums) / LEVELS_PIECE;                                             \
        for (size_t i = 0; i < LEVELS_PIECE; i += LANES)                                           \
            for (size_t lane = 0; lane < LANES; lane++) {                                          \
                const float v = ((float)x[i + lane] - own) - mean;                                 \
                squares[lane] += v * v;                                                            \
            }                                                                                      \
        return (moments){LEVELS_PIECE, own - first + mean, total(squares)};                        \
    }

DEFINE_MOMENTS_OF_PIECE(moments_of_pcm, int16_t)
DEFINE_MOMENTS_OF_PIECE(moments_of_floats, float)

static moments moments_of_piece(const void *y, melspec_format format, size_t at, double first)
{
    return format == MELSPEC_PCM16 ? moments_of_pcm((const int16_t *)y + at, first)
                                   : moments_of_floats((const float *)y + at, first);
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

static int is_constant(const void *y, melspec_format format, size_t piece)
{
    return run_length(y, format, LEVELS_PIECE, piece, 1) == LEVELS_PIECE - 1;
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

/* Pieces lie so far apart that the processor does not foresee the next one: twice as slow. */
static void prefetch(const void *y, melspec_format format, size_t at)
{
    const size_t size = format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
    const char *piece = (const char *)y + at * size;
    for (size_t i = 0; i < LEVELS_PIECE * size; i += 64)
        __builtin_prefetch(piece + i);
}

void levels_measure(const void *y, melspec_format format, size_t n, levels *result)
{
    assert(n > 0);
    const size_t stride = n < LEVELS_LONG ? LEVELS_PIECE : LEVELS_STRIDE;
    const size_t n_pieces = n / stride;
    const double first = sample_at(y, format, 0);
    const double step = format == MELSPEC_PCM16 ? 1 : 1.0 / 32768;
    size_t n_held = 0, n_faint = 0, faint_last = 0, run = 0, longest = 0;
    /* Sums over the pieces: of samples, of their means and squares of these. */
    result->held_at = result->faint_at = 0;
    double count = 0, sum = 0, between = 0, within = 0;
    for (size_t i = 0; i <= n_pieces; i++) {
        moments m = {0};
        if (i < n_pieces) {
            if (i + 1 < n_pieces)
                prefetch(y, format, (i + 1) * stride);
            m = moments_of_piece(y, format, i * stride, first);
            if (m.squares <= LEVELS_PIECE * step * step) {
                if (n_faint++ == 0)
                    result->faint_at = i * stride;
                run = n_faint > 1 && faint_last + stride == i * stride ? run + 1 : 1;
                longest = run > longest ? run : longest;
                faint_last = i * stride;
                if (is_constant(y, format, i * stride) && n_held++ == 0)
                    result->held_at = i * stride;
            }
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
    const int is_gap = n_faint > 0 && (result->faint_at + (n_faint - 1) * stride == faint_last ||
                                       2 * n_faint <= n_pieces);
    result->faint = is_gap ? (double)n_faint / (double)n_pieces : 0;
    result->faint_most = is_gap ? (double)longest / (double)n_pieces : 0;
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
