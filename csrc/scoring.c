#include "scoring.h"

#include "kernel.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = WHITENING_BLOCK };

struct whitening {
    const kernel *kernel;
    size_t d, n_strips;
    _Alignas(CACHE_LINE) char blocks[]; /* see whiten_function */
};

static int half_is_finite(uint16_t half) { return (half >> 10 & 31) != 31; }

/* half is finite. */
static float half_to_float(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float v = exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(1024 + fraction), exponent - 25);
    return half & 0x8000 ? -v : v;
}

/* Copies n values of float16 to float16 or float, which has `bytes`. Returns 0 if one is infinite
 * or NaN. */
static int copy_halves(const uint16_t *from, size_t n, size_t bytes, void *to)
{
    int are_finite = 1;
    for (size_t j = 0; j < n; j++)
        are_finite &= half_is_finite(from[j]);
    if (bytes == sizeof *from)
        memcpy(to, from, n * bytes);
    else
        for (size_t j = 0; j < n && are_finite; j++)
            ((float *)to)[j] = half_to_float(from[j]);
    return are_finite;
}

asd_status whitening_create(const kernel *kernel, const uint16_t *triangle, size_t d,
                            whitening **result)
{
    assert(kernel != NULL && d > 0);
    *result = NULL;
    const size_t n_strips = (d + SIDE - 1) / SIDE, n_blocks = n_strips * (n_strips + 1) / 2;
    const size_t bytes = kernel->reads_float16 ? sizeof(uint16_t) : sizeof(float);
    const size_t size = sizeof(whitening) + n_blocks * SIDE * SIDE * bytes;
    whitening *w = aligned_alloc(CACHE_LINE, size);
    if (w == NULL)
        return ASD_NO_MEMORY;
    memset(w, 0, size);
    w->kernel = kernel;
    w->d = d;
    w->n_strips = n_strips;
    for (size_t i = 0; i < d; i++, triangle += i) {
        const size_t strip = i / SIDE;
        char *block = w->blocks + (strip * (strip + 1) / 2 * SIDE + i % SIDE) * SIDE * bytes;
        for (size_t j = 0; j <= i; j += SIDE, block += SIDE * SIDE * bytes)
            if (!copy_halves(triangle + j, i + 1 - j < SIDE ? i + 1 - j : SIDE, bytes, block)) {
                free(w);
                return ASD_NOT_FINITE;
            }
    }
    *result = w;
    return ASD_OK;
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

void squared_distances(const kernel *kernel, const float *x, size_t n_x, const float *references,
                       size_t n_references, size_t d, double *out)
{
    assert(kernel != NULL);
    for (size_t i = 0; i < n_x; i++)
        for (size_t j = 0; j < n_references; j++)
            *out++ = kernel->squared_distance(x + i * d, references + j * d, d);
}

void embedding_distances(const kernel *kernel, const whitening *whitening, const float *x,
                         size_t n_x, size_t stride, const float *references, size_t n_references,
                         size_t d, double *out, float *workspace)
{
    assert(whitening == NULL || whitening->d == d);
    for (size_t i = 0; i < n_x; i++, x += stride, out += n_references) {
        const float *y = x;
        if (whitening != NULL) {
            whitening_project(whitening, x, 1, workspace, workspace + d);
            y = workspace;
        }
        squared_distances(kernel, y, 1, references, n_references, d, out);
        for (size_t j = 0; j < n_references; j++)
            out[j] = sqrt(out[j]);
    }
}
