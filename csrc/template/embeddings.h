/* Whitening and distances of embeddings, as ../kernel.h specifies them. */
#ifndef ASD_TEMPLATE_EMBEDDINGS_H
#define ASD_TEMPLATE_EMBEDDINGS_H

#include "../kernels/kernels.h"
#include "vector.h"

#if REAL_BITS != 32
#error "embeddings are of single precision"
#endif

#ifndef WHITEN
#define WHITEN whiten_scalar
#define SQUARED_DISTANCE squared_distance_scalar
#endif

/* How the blocks of a whitening are stored. */
#ifdef V_HALF
#define STORED uint16_t
#define V_STORED V_HALF
#else
#define STORED float
#define V_STORED V_SAMPLES
#endif

/* The sums of a block stay in registers, in two chains of additions, of even and of odd rows. */
void WHITEN(const void *blocks, size_t n_strips, const float *x, float *y)
{
    enum { SIDE = WHITENING_BLOCK };
    const STORED *l = blocks;
    memset(y, 0, n_strips * SIDE * sizeof *y);
    for (size_t strip = 0; strip < n_strips; strip++, x += SIDE) {
        vec xs[SIDE];
        for (size_t i = 0; i < SIDE; i++)
            xs[i] = V_SPLAT(x[i]);
        for (float *to = y; to <= y + strip * SIDE; to += SIDE, l += SIDE * SIDE)
            for (size_t j = 0; j < SIDE; j += W) {
                vec even = V_SPLAT(0), odd = V_SPLAT(0);
                for (size_t i = 0; i < SIDE; i += 2) {
                    even = V_FMA(xs[i], V_STORED(l + i * SIDE + j), even);
                    odd = V_FMA(xs[i + 1], V_STORED(l + (i + 1) * SIDE + j), odd);
                }
                V_OUT(to + j, V_SAMPLES(to + j) + (even + odd));
            }
    }
}

double SQUARED_DISTANCE(const float *a, const float *b, size_t d)
{
    enum { CHAINS = 4 };
    vec sum[CHAINS];
    float parts[W];
    size_t i = 0;
    for (size_t c = 0; c < CHAINS; c++)
        sum[c] = V_SPLAT(0);
    for (; i + CHAINS * W <= d; i += CHAINS * W)
        for (size_t c = 0; c < CHAINS; c++) {
            const vec difference = V_SAMPLES(a + i + c * W) - V_SAMPLES(b + i + c * W);
            sum[c] = V_FMA(difference, difference, sum[c]);
        }
    double result = 0;
    for (; i < d; i++)
        result += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    for (size_t c = 0; c < CHAINS; c++) {
        memcpy(parts, &sum[c], sizeof parts);
        for (size_t l = 0; l < W; l++)
            result += parts[l];
    }
    return result;
}

#endif
