/* Rows of a tile: the other passes of the transform, and the unfolding to the power spectrum
 * (formulas: tile.h). */
#ifndef ASD_TEMPLATE_ROWS_H
#define ASD_TEMPLATE_ROWS_H

#include "../kernel.h"
#include "dft.h"
#include "prefetch.h"
#include "table.h"
#include "vector.h"

INLINE void pass_in(int r, int i, const REAL *x, size_t distance, cplx *z)
{
    for (int k = i; k < r; k += outer(r))
        z[k] = load(x + (size_t)k * distance);
    inner_dft(SUBTRACT_BY_BOTH, r, i, z);
}

/* is_first: the twiddles are 1. */
INLINE void pass_out(int r, int k, cplx *z, int is_first, const REAL *w, const REAL *w_opaque,
                     REAL *y, size_t distance)
{
    outer_dft(SUBTRACT_BY_BOTH, r, k, z);
    for (int j = 0, i = k; j < outer(r); j++, i += r / outer(r)) {
        const cplx v = z[outer(r) * k + j];
        const REAL *w2 = i < r / 2 ? w_opaque : w;
        store(y + (size_t)i * distance,
              i == 0 || is_first ? v : times_twiddle(v, w + 2 * (i - 1), w2 + 2 * (i - 1)));
    }
}

INLINE void butterflies(int r, size_t M, size_t s, int is_first, const REAL *w, const REAL *x,
                        REAL *y)
{
    const size_t in = s * M * 2 * W, out = s * 2 * W;
    const REAL *w_opaque = V_OPAQUE(w);
    for (size_t q = 0; q < s; q++, x += 2 * W, y += 2 * W) {
        cplx z[TILE_MAX_COLUMNS];
        pass_in(r, 0, x, in, z), pass_in(r, 1, x, in, z);
        if (r == 16)
            pass_in(r, 2, x, in, z), pass_in(r, 3, x, in, z);
        pass_out(r, 0, z, is_first, w, w_opaque, y, out);
        if (r >= 4)
            pass_out(r, 1, z, is_first, w, w_opaque, y, out);
        if (r >= 8)
            pass_out(r, 2, z, is_first, w, w_opaque, y, out),
                pass_out(r, 3, z, is_first, w, w_opaque, y, out);
    }
}

/* Two rows, before or after a pass. */
typedef struct {
    const REAL *u, *v;
} row_pair;

/* A pass of Stockham's transform, of two rows:
 * y[q + s (r p + i)] = w(N)^(p i) sum_k x[q + s (p + M k)] w(r)^(k i), N = r M */
INLINE void pass(int r, size_t M, size_t s, const REAL *w, row_pair x, REAL *a, REAL *b)
{
    const size_t from = s * 2 * W, to = s * (size_t)r * 2 * W;
    butterflies(r, M, s, 1, w, x.u, a);
    butterflies(r, M, s, 1, w, x.v, b);
    for (size_t p = 1; p < M; p++) {
        w += 2 * (r - 1), x.u += from, x.v += from, a += to, b += to;
        butterflies(r, M, s, 0, w, x.u, a);
        butterflies(r, M, s, 0, w, x.v, b);
    }
}

/* All passes of two rows but the last one. scratch: room for four rows. */
static row_pair row_passes(const tile_plan *plan, tile_prefetch *next, const REAL *u, const REAL *v,
                           REAL *scratch)
{
    const size_t row = plan->B * 2 * W;
    row_pair x = {u, v};
    prefetch(next);
    size_t s = 1, N = plan->B;
    for (size_t t = 0; t < plan->n_passes; t++) {
        const REAL *w = table_of(plan) + plan->row_at[t];
        const size_t r = plan->radix[t], M = N / r;
        REAL *a = scratch + t % 2 * 2 * row, *b = a + row;
        switch (r) {
        case 2: pass(2, M, s, w, x, a, b); break;
        case 4: pass(4, M, s, w, x, a, b); break;
        case 8: pass(8, M, s, w, x, a, b); break;
        default: pass(16, M, s, w, x, a, b);
        }
        x = (row_pair){a, b};
        N = M, s *= r;
    }
    return x;
}

/* The last pass, of radix 4: Z[i + A (q + s j)], j = 0 .. 3, from x at q. */
INLINE void last_pass(const REAL *x, size_t s, cplx *z)
{
    const size_t distance = s * 2 * W;
    z[0] = load(x), z[1] = load(x + distance), z[2] = load(x + 2 * distance),
    z[3] = load(x + 3 * distance);
    dft4(SUBTRACT_BY_MULTIPLIERS, &z[0], &z[1], &z[2], &z[3]);
}

/* The sum of |X|^2 over the bins of a frame, and the largest sum of two mirrored bins. */
typedef struct {
    vec sum, loudest;
} energy;

INLINE void add_energy(energy *energy, vec both)
{
    energy->sum = energy->sum + both;
    energy->loudest = V_MAX(energy->loudest, both);
}

/* Stores the amplitude or power of a bin, given its power. */
INLINE void store_bin(int power, REAL *bin, vec v)
{
    if (power == 1)
        v = V_SQRT(v);
    *(vec *)(void *)bin = v;
}

/* low = |X[k]|^2 and high = |X[m-k]|^2 from a = Z[k] and b = Z[m-k]. */
INLINE void unfold_pair(int power, cplx a, cplx b, const REAL *w, const REAL *w_opaque, REAL *low,
                        REAL *high, energy *energy)
{
    const vec er = a.re + b.re, ei = a.im - b.im;
    const cplx t = times_twiddle((cplx){a.im + b.im, b.re - a.re}, w, w_opaque);
    const vec lr = er + t.re, li = ei + t.im, hr = er - t.re, hi = ei - t.im;
    const vec l = V_FMA(lr, lr, li * li), h = V_FMA(hr, hr, hi * hi);
    add_energy(energy, l + h);
    store_bin(power, high, h);
    store_bin(power, low, l);
}

/* Bins i + A (q + s j), j = 0 .. 3, from u at q, and their mirrors from v. */
INLINE void unfold(int power, const REAL *u, const REAL *v, size_t s, const REAL *w, REAL *low,
                   REAL *high, energy *energy)
{
    const size_t distance = s * W; /* from j to j + 1 */
    const REAL *w_opaque = V_OPAQUE(w);
    cplx a[4], b[4];
    last_pass(u, s, a);
    last_pass(v, s, b);
    unfold_pair(power, a[0], b[3], w, w_opaque, low, high + 3 * distance, energy);
    unfold_pair(power, a[1], b[2], w + 2 * s, w_opaque + 2 * s, low + distance, high + 2 * distance,
                energy);
    unfold_pair(power, a[2], b[1], w + 4 * s, w_opaque + 4 * s, low + 2 * distance, high + distance,
                energy);
    unfold_pair(power, a[3], b[0], w + 6 * s, w_opaque + 6 * s, low + 3 * distance, high, energy);
}

/* Unfolds rows i and A - i, both before their last pass: q mirrors s - 1 - q. Row A/2 mirrors
 * itself and is done when q is halfway. */
INLINE void unfold_rows(int power, const tile_plan *plan, size_t i, const REAL *u, const REAL *v,
                        REAL *low, REAL *high, energy *energy)
{
    const size_t s = plan->B / 4, end = u == v ? s / 2 : s;
    const REAL *w = table_of(plan) + plan->unfold_at + 2 * plan->B * i;
    high += (s - 1) * W, v += (s - 1) * 2 * W;
    for (size_t q = 0; q < end; q++, u += 2 * W, v -= 2 * W, low += W, high -= W, w += 2)
        unfold(power, u, v, s, w, low, high, energy);
}

/* Unfolds row 0, which mirrors itself: q mirrors s - q. */
INLINE void unfold_row_0(int power, const tile_plan *plan, const REAL *u, REAL *bins,
                         energy *energy)
{
    const size_t B = plan->B, s = B / 4, middle = s / 2;
    const REAL *w = table_of(plan) + plan->unfold_at;
    for (size_t q = 1; q < middle; q++)
        unfold(power, u + q * 2 * W, u + (s - q) * 2 * W, s, w + 2 * q, bins + q * W,
               bins + (s - q) * W, energy);
    cplx a[4];
    last_pass(u + middle * 2 * W, s, a);
    for (size_t j = 0; j < 2; j++) {
        const size_t k = middle + s * j;
        unfold_pair(power, a[j], a[3 - j], w + 2 * k, w + 2 * k, bins + k * W, bins + (B - k) * W,
                    energy);
    }
    last_pass(u, s, a);
    const vec sum = (a[0].re + a[0].im) * V_SPLAT(2), difference = (a[0].re - a[0].im) * V_SPLAT(2);
    const vec l = sum * sum, h = difference * difference;
    add_energy(energy, l + h);
    store_bin(power, bins, l);
    store_bin(power, bins + B * W, h);
    for (size_t j = 1; j <= 2; j++)
        unfold_pair(power, a[j], a[4 - j], w + 2 * s * j, w + 2 * s * j, bins + s * j * W,
                    bins + (B - s * j) * W, energy);
}

/* Transforms the rows of y to bins, which take their place. scratch: room for four rows. */
INLINE energy rows(int power, const tile_plan *plan, tile_prefetch *next, REAL *y, size_t pitch,
                   REAL *scratch)
{
    const size_t A = plan->A;
    REAL *const half = y + A / 2 * pitch;
    energy energy = {V_SPLAT(0), V_SPLAT(0)};
    row_pair x = row_passes(plan, next, y, half, scratch);
    unfold_row_0(power, plan, x.u, y, &energy);
    unfold_rows(power, plan, A / 2, x.v, x.v, half, half, &energy);
    for (size_t i = 1; i < A / 2; i++) {
        REAL *low = y + i * pitch, *high = y + (A - i) * pitch;
        x = row_passes(plan, next, low, high, scratch);
        unfold_rows(power, plan, i, x.u, x.v, low, high, &energy);
    }
    return energy;
}

#endif
