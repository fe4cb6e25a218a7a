#include "scoring.h"
#include "kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct whitening {
    const kernel *kernel;
    size_t d, n_strips;
    _Alignas(CACHE_LINE) char blocks[]; /* see whiten_function */
};

enum { SIDE = WHITEN_SIDE };

static int is_finite(uint16_t half) { return (half >> 10 & 31) != 31; }

/* A finite float16 as float. */
static float value(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float v = exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(1024 + fraction), exponent - 25);
    return half & 0x8000 ? -v : v;
}

/* Part of a row, to float16 or float; 0 where one is infinite or NaN. */
static int put(const uint16_t *from, size_t n, size_t bytes, void *to)
{
    int result = 1;
    for (size_t j = 0; j < n; j++)
        result &= is_finite(from[j]);
    if (bytes == sizeof *from)
        memcpy(to, from, n * bytes);
    else
        for (size_t j = 0; j < n && result; j++)
            ((float *)to)[j] = value(from[j]);
    return result;
}

melspec_status whitening_create(const uint16_t *triangle, size_t d, const char *instruction_set,
                                whitening **result)
{
    *result = NULL;
    const kernel *kernel = kernel_find(instruction_set);
    if (kernel == NULL)
        return MELSPEC_NO_INSTRUCTION_SET;
    const size_t n_strips = (d + SIDE - 1) / SIDE, n_blocks = n_strips * (n_strips + 1) / 2;
    const size_t bytes = kernel->whitens_halves ? sizeof(uint16_t) : sizeof(float);
    const size_t size = sizeof(whitening) + n_blocks * SIDE * SIDE * bytes;
    whitening *w = aligned_alloc(CACHE_LINE, size);
    if (w == NULL)
        return MELSPEC_NO_MEMORY;
    memset(w, 0, size);
    w->kernel = kernel;
    w->d = d;
    w->n_strips = n_strips;
    for (size_t i = 0; i < d; i++, triangle += i) {
        const size_t strip = i / SIDE;
        char *block = w->blocks + (strip * (strip + 1) / 2 * SIDE + i % SIDE) * SIDE * bytes;
        for (size_t j = 0; j <= i; j += SIDE, block += SIDE * SIDE * bytes)
            if (!put(triangle + j, i + 1 - j < SIDE ? i + 1 - j : SIDE, bytes, block)) {
                free(w);
                return MELSPEC_BAD_CONFIG;
            }
    }
    *result = w;
    return MELSPEC_OK;
}

void whitening_free(whitening *whitening) { free(whitening); }

size_t whitening_workspace_size(const whitening *whitening)
{
    return 2 * whitening->n_strips * SIDE;
}

void whitening_project(const whitening *whitening, const float *x, size_t n, float *y,
                       float *workspace)
{
    const size_t d = whitening->d, padded = whitening->n_strips * SIDE;
    float *from = workspace, *to = workspace + padded;
    memset(from, 0, padded * sizeof *from);
    for (size_t i = 0; i < n; i++, x += d, y += d) {
        memcpy(from, x, d * sizeof *from);
        whitening->kernel->whiten(whitening->blocks, whitening->n_strips, from, to);
        memcpy(y, to, d * sizeof *y);
    }
}

melspec_status squared_distances(const float *x, size_t n_x, const float *references, size_t n,
                                 size_t d, const char *instruction_set, double *out)
{
    const kernel *kernel = kernel_find(instruction_set);
    if (kernel == NULL)
        return MELSPEC_NO_INSTRUCTION_SET;
    for (size_t i = 0; i < n_x; i++)
        for (size_t j = 0; j < n; j++)
            *out++ = kernel->squared_distance(x + i * d, references + j * d, d);
    return MELSPEC_OK;
}
