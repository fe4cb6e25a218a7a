/* One tile: W frames, a frame a lane, from samples to mel bands. Included once for each type by
 * every kernel_*.c, which defines
 *
 *     REAL_BITS            32 or 64: float or double
 *     W                    lanes
 *     V_FMA, V_SQRT, V_MIN, V_MAX on vectors; V_FMA(a, b, c) = a b + c, fused where the machine can
 *     V_SPLAT(x)           all lanes x
 *     V_SAMPLES(p)         W floats at p, of any alignment
 *     V_OUT(p, v)          W floats to p, of any alignment
 *
 * With z[j] = x[2j] w[2j] + i x[2j+1] w[2j+1] and m = n/2 = A B, Z = DFT(z) takes two steps,
 *
 *     y[i][p] = w(m)^(p i) sum_k z[p + B k] w(A)^(k i)      p = 0 .. B-1, i = 0 .. A-1    columns
 *     Z[i + A q] = sum_p y[i][p] w(B)^(p q)                 q = 0 .. B-1                  rows
 *
 * of which the first reads the samples and the second, a row at a time in the first-level
 * cache, ends in the power spectrum. Row i and row A - i together hold Z[k] and Z[m-k], which is what
 *
 *     E = Z[k] + conj Z[m-k],  O = (Z[k] - conj Z[m-k]) / i,  W = exp(-2 pi i k / n)
 *     |X[k]|^2 = |E + W O|^2,  |X[m-k]|^2 = |E - W O|^2     (the window is halved)
 *
 * need: the last pass of both rows and this unfolding are one loop. Then the mel bands: between
 * two edges of the triangles, a segment, every bin is in the falling flank of one band and the
 * rising flank of the next.
 *
 *     samples --load_block--> --columns--> y --row, unfold--> |X|^2 --bands--> mel --finish--> out
 */

#if REAL_BITS == 32
#define REAL float
#define INT int32_t
#define F(name) name##_f32
#define PLAN_TABLE(plan) (plan)->table_f32
#define MANTISSA_BITS 23
#define SQRT_HALF_BITS 0x3f3504f3 /* sqrt(1/2) */
#else
#define REAL double
#define INT int64_t
#define F(name) name##_f64
#define PLAN_TABLE(plan) (plan)->table_f64
#define MANTISSA_BITS 52
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#endif

#define vec F(vec)
#define ints F(ints)
#define cplx F(cplx)
#define bits_of F(bits_of)
#define real_of F(real_of)
#define below F(below)
#define choose F(choose)
#define load F(load)
#define store F(store)
#define times F(times)
#define times_twiddle F(times_twiddle)
#define combine F(combine)
#define dft4 F(dft4)
#define dft8 F(dft8)
#define dft16 F(dft16)
#define dft F(dft)
#define columns F(columns)
#define pass F(pass)
#define row_passes F(row_passes)
#define last_pass F(last_pass)
#define level F(level)
#define add_level F(add_level)
#define store_bin F(store_bin)
#define unfold_pair F(unfold_pair)
#define unfold_rows F(unfold_rows)
#define unfold_own F(unfold_own)
#define rows F(rows)
#define bands F(bands)
#define ln F(ln)
#define finish F(finish)
#define tile_compute F(tile_compute)

#if W == 1
typedef REAL vec __attribute__((may_alias));
typedef INT ints;
#else
typedef REAL vec __attribute__((vector_size(W * sizeof(REAL)), may_alias));
typedef INT ints __attribute__((vector_size(W * sizeof(INT))));
#endif

typedef struct {
    vec re, im;
} cplx;

/* ---- vectors ---- */

INLINE ints bits_of(vec v)
{
    ints r;
    memcpy(&r, &v, sizeof r);
    return r;
}

INLINE vec real_of(ints v)
{
    vec r;
    memcpy(&r, &v, sizeof r);
    return r;
}

/* All bits of a lane where a <= b, else none; none for NaN. */
INLINE ints below(vec a, vec b)
{
#if W == 1
    return -(INT)(a <= b);
#else
    return (ints)(a <= b);
#endif
}

INLINE vec choose(ints mask, vec a, vec b)
{
    return real_of((mask & bits_of(a)) | (~mask & bits_of(b)));
}

/* A complex vector in memory: W real parts, W imaginary parts, aligned. */
INLINE cplx load(const REAL *p)
{
    return (cplx){*(const vec *)(const void *)p, *(const vec *)(const void *)(p + W)};
}

INLINE void store(REAL *p, cplx a)
{
    *(vec *)(void *)p = a.re;
    *(vec *)(void *)(p + W) = a.im;
}

INLINE cplx times(cplx a, vec re, vec im)
{
    return (cplx){V_FMA(-a.im, im, a.re * re), V_FMA(a.im, re, a.re * im)};
}

INLINE cplx times_twiddle(cplx a, const REAL *w)
{
    return times(a, V_SPLAT(w[0]), V_SPLAT(w[1]));
}

/* ---- transforms of r points in registers, in place, in natural order ---- */

/* a, b <- a + t, a - t */
INLINE void combine(cplx *a, cplx *b, cplx t)
{
    const cplx s = *a;
    *a = (cplx){s.re + t.re, s.im + t.im};
    *b = (cplx){s.re - t.re, s.im - t.im};
}

INLINE void dft4(cplx *x0, cplx *x1, cplx *x2, cplx *x3)
{
    cplx a = *x0, b = *x2, c = *x1, d = *x3, t;
    t = b, combine(&a, &b, t); /* x0 + x2, x0 - x2 */
    t = d, d = c, combine(&c, &d, t);
    *x0 = a, *x2 = a, combine(x0, x2, c);
    *x1 = b, *x3 = b, combine(x1, x3, (cplx){d.im, -d.re}); /* -i d */
}

/* Halves e and o of even and odd points, of which e[j] and o[j] end as X[j] and X[j + r/2]. */
INLINE void dft8(cplx *x0, cplx *x1, cplx *x2, cplx *x3, cplx *x4, cplx *x5, cplx *x6, cplx *x7)
{
    const vec h = V_SPLAT((REAL)0.70710678118654752440084436210485);
    cplx e0 = *x0, e1 = *x2, e2 = *x4, e3 = *x6, o0 = *x1, o1 = *x3, o2 = *x5, o3 = *x7;
    dft4(&e0, &e1, &e2, &e3);
    dft4(&o0, &o1, &o2, &o3);
    *x0 = e0, combine(x0, x4, o0);
    const cplx a = {o1.re + o1.im, o1.im - o1.re}; /* sqrt 2 w(8) o1 */
    *x1 = (cplx){V_FMA(h, a.re, e1.re), V_FMA(h, a.im, e1.im)};
    *x5 = (cplx){V_FMA(-h, a.re, e1.re), V_FMA(-h, a.im, e1.im)};
    *x2 = e2, combine(x2, x6, (cplx){o2.im, -o2.re});
    const cplx b = {o3.im - o3.re, -o3.re - o3.im}; /* sqrt 2 w(8)^3 o3 */
    *x3 = (cplx){V_FMA(h, b.re, e3.re), V_FMA(h, b.im, e3.im)};
    *x7 = (cplx){V_FMA(-h, b.re, e3.re), V_FMA(-h, b.im, e3.im)};
}

INLINE void dft16(cplx *x)
{
    const vec h = V_SPLAT((REAL)0.70710678118654752440084436210485);
    const vec c = V_SPLAT((REAL)0.92387953251128675612818318939679); /* cos(pi / 8) */
    const vec s = V_SPLAT((REAL)0.38268343236508977172845998403040);
    cplx e[8], o[8];
    for (int k = 0; k < 8; k++) {
        e[k] = x[2 * k];
        o[k] = x[2 * k + 1];
    }
    dft8(&e[0], &e[1], &e[2], &e[3], &e[4], &e[5], &e[6], &e[7]);
    dft8(&o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7]);
    x[0] = e[0], combine(&x[0], &x[8], o[0]);
    x[1] = e[1], combine(&x[1], &x[9], times(o[1], c, -s));
    x[3] = e[3], combine(&x[3], &x[11], times(o[3], s, -c));
    x[4] = e[4], combine(&x[4], &x[12], (cplx){o[4].im, -o[4].re});
    x[5] = e[5], combine(&x[5], &x[13], times(o[5], -s, -c));
    x[7] = e[7], combine(&x[7], &x[15], times(o[7], -c, -s));
    const cplx a = {o[2].re + o[2].im, o[2].im - o[2].re};
    x[2] = (cplx){V_FMA(h, a.re, e[2].re), V_FMA(h, a.im, e[2].im)};
    x[10] = (cplx){V_FMA(-h, a.re, e[2].re), V_FMA(-h, a.im, e[2].im)};
    const cplx b = {o[6].im - o[6].re, -o[6].re - o[6].im};
    x[6] = (cplx){V_FMA(h, b.re, e[6].re), V_FMA(h, b.im, e[6].im)};
    x[14] = (cplx){V_FMA(-h, b.re, e[6].re), V_FMA(-h, b.im, e[6].im)};
}

INLINE void dft(int r, cplx *x)
{
    if (r == 2) {
        const cplx t = x[1];
        x[1] = x[0], combine(&x[0], &x[1], t);
    } else if (r == 4)
        dft4(&x[0], &x[1], &x[2], &x[3]);
    else if (r == 8)
        dft8(&x[0], &x[1], &x[2], &x[3], &x[4], &x[5], &x[6], &x[7]);
    else
        dft16(x);
}

/* ---- columns: samples, window, the first pass ---- */

/* y[i] lies pitch apart from y[i+1]. block: room for W samples of every column. */
INLINE void columns(int A, const tile_plan *plan, const tile_source *source, REAL *y,
                    size_t pitch, float *block)
{
    enum { POINTS = W < 4 ? 2 : W / 2, SAMPLES = 2 * POINTS };
    const size_t apart = source->columns_apart, n_rows = W + (size_t)A / apart - 1;
    const size_t stride = (n_rows + 3) / 4 * 4; /* from a sample to the next, in block */
    const REAL *window = PLAN_TABLE(plan) + plan->window_at;
    const REAL *w = PLAN_TABLE(plan) + plan->column_at;
    const float *at[TILE_MAX_COLUMNS];
    for (size_t k = 0; k < (size_t)A; k++)
        at[k] = block + k % apart * SAMPLES * stride + k / apart;
    for (size_t p0 = 0; p0 < plan->B; p0 += POINTS) {
        for (size_t g = 0; g < apart; g++)
            load_block(source, n_rows, 2 * (p0 + plan->B * g), SAMPLES,
                       block + g * SAMPLES * stride, stride);
        for (size_t j = 0; j < SAMPLES; j += 2, w += 2 * (A - 1), window += 2 * A) {
            cplx x[TILE_MAX_COLUMNS];
            for (int k = 0; k < A; k++) {
                const float *even = at[k] + j * stride;
                x[k].re = V_SAMPLES(even) * V_SPLAT(window[2 * k]);
                x[k].im = V_SAMPLES(even + stride) * V_SPLAT(window[2 * k + 1]);
            }
            dft(A, x);
            REAL *to = y + (p0 + j / 2) * 2 * W;
            store(to, x[0]);
            for (int i = 1; i < A; i++)
                store(to + (size_t)i * pitch, times_twiddle(x[i], w + 2 * (i - 1)));
        }
    }
}

/* ---- rows ---- */

/* Stockham's pass: y[q + s (r p + i)] = w(N)^(p i) sum_k x[q + s (p + M k)] w(r)^(k i), N = r M */
INLINE void pass(int r, size_t M, size_t s, const REAL *w, const REAL *x, REAL *y)
{
    for (size_t q = 0; q < s; q++) { /* p = 0: twiddles are 1 */
        cplx z[TILE_MAX_COLUMNS];
        for (int k = 0; k < r; k++)
            z[k] = load(x + (q + s * M * (size_t)k) * 2 * W);
        dft(r, z);
        for (int i = 0; i < r; i++)
            store(y + (q + s * (size_t)i) * 2 * W, z[i]);
    }
    for (size_t p = 1; p < M; p++) {
        w += 2 * (r - 1), x += s * 2 * W, y += s * (size_t)r * 2 * W;
        for (size_t q = 0; q < s; q++) {
            cplx z[TILE_MAX_COLUMNS];
            for (int k = 0; k < r; k++)
                z[k] = load(x + (q + s * M * (size_t)k) * 2 * W);
            dft(r, z);
            store(y + q * 2 * W, z[0]);
            for (int i = 1; i < r; i++)
                store(y + (q + s * (size_t)i) * 2 * W, times_twiddle(z[i], w + 2 * (i - 1)));
        }
    }
}

/* All passes of a row but the last, through two buffers; gives the one that holds the result. */
static REAL *row_passes(const tile_plan *plan, const REAL *y, REAL *a, REAL *b)
{
    const REAL *x = y;
    size_t s = 1, N = plan->B;
    for (size_t t = 0; t < plan->n_passes; t++) {
        const REAL *w = PLAN_TABLE(plan) + plan->row_at[t];
        const size_t r = plan->radix[t], M = N / r;
        switch (r) {
        case 2: pass(2, M, s, w, x, a); break;
        case 4: pass(4, M, s, w, x, a); break;
        case 8: pass(8, M, s, w, x, a); break;
        default: pass(16, M, s, w, x, a);
        }
        x = a, a = b, b = (REAL *)(void *)x;
        N = M, s *= r;
    }
    return b;
}

/* The last pass, of radix 4: Z[i + A (q + s j)], j = 0 .. 3, from x at q */
INLINE void last_pass(const REAL *x, size_t s, cplx *z)
{
    const size_t apart = s * 2 * W;
    z[0] = load(x), z[1] = load(x + apart), z[2] = load(x + 2 * apart), z[3] = load(x + 3 * apart);
    dft4(&z[0], &z[1], &z[2], &z[3]);
}

/* What `doubts` has to know of the bins: the sum of |X|^2, and the largest of two mirrored bins. */
typedef struct {
    vec energy, loudest;
} level;

INLINE void add_level(level *level, vec pair)
{
    level->energy = level->energy + pair;
    level->loudest = V_MAX(level->loudest, pair);
}

/* A bin, of amplitude or power, from its power. */
INLINE void store_bin(int power, REAL *bin, vec v)
{
    if (power == 1)
        v = V_SQRT(v);
    *(vec *)(void *)bin = v;
}

/* low = |X[k]|^2 and high = |X[m-k]|^2 from a = Z[k] and b = Z[m-k]. */
INLINE void unfold_pair(int power, cplx a, cplx b, const REAL *w, REAL *low, REAL *high,
                        level *level)
{
    const vec er = a.re + b.re, ei = a.im - b.im;
    const cplx t = times_twiddle((cplx){a.im + b.im, b.re - a.re}, w);
    const vec lr = er + t.re, li = ei + t.im, hr = er - t.re, hi = ei - t.im;
    const vec l = V_FMA(lr, lr, li * li), h = V_FMA(hr, hr, hi * hi);
    add_level(level, l + h);
    store_bin(power, high, h);
    store_bin(power, low, l);
}

/* Rows i and A - i, both before their last pass. */
INLINE void unfold_rows(int power, const tile_plan *plan, size_t i, const REAL *u, const REAL *v,
                        REAL *bins, level *level)
{
    const size_t s = plan->B / 4, step = (plan->A + 1) * W; /* from q to q + 1 */
    const size_t apart = s * step;                          /* from j to j + 1 */
    const REAL *w = PLAN_TABLE(plan) + plan->unfold_at + 2 * plan->B * i;
    REAL *low = bins + i * W, *high = bins + (plan->A - i) * W + (s - 1) * step;
    for (size_t q = 0; q < s; q++, low += step, high -= step, w += 2) {
        cplx a[4], b[4];
        last_pass(u + q * 2 * W, s, a);
        last_pass(v + (s - 1 - q) * 2 * W, s, b);
        unfold_pair(power, a[0], b[3], w, low, high + 3 * apart, level);
        unfold_pair(power, a[1], b[2], w + 2 * s, low + apart, high + 2 * apart, level);
        unfold_pair(power, a[2], b[1], w + 4 * s, low + 2 * apart, high + apart, level);
        unfold_pair(power, a[3], b[0], w + 6 * s, low + 3 * apart, high, level);
    }
}

/* Rows 0 and A/2, each of which is its own partner. z: room for a row. */
INLINE void unfold_own(int power, const tile_plan *plan, size_t i, const REAL *u, REAL *z,
                       REAL *bins, level *level)
{
    const size_t B = plan->B, s = B / 4, step = (plan->A + 1) * W;
    const REAL *w = PLAN_TABLE(plan) + plan->unfold_at + 2 * B * i;
    for (size_t q = 0; q < s; q++) {
        cplx a[4];
        last_pass(u + q * 2 * W, s, a);
        for (size_t j = 0; j < 4; j++)
            store(z + (q + s * j) * 2 * W, a[j]);
    }
    if (i == 0) {
        const cplx a = load(z);
        const vec sum = (a.re + a.im) * V_SPLAT(2), difference = (a.re - a.im) * V_SPLAT(2);
        const vec l = sum * sum, h = difference * difference;
        add_level(level, l + h);
        store_bin(power, bins, l);
        store_bin(power, bins + B * step, h);
        for (size_t q = 1; q <= B / 2; q++)
            unfold_pair(power, load(z + q * 2 * W), load(z + (B - q) * 2 * W), w + 2 * q,
                        bins + q * step, bins + (B - q) * step, level);
    } else {
        bins += i * W;
        for (size_t q = 0; q < B / 2; q++)
            unfold_pair(power, load(z + q * 2 * W), load(z + (B - 1 - q) * 2 * W), w + 2 * q,
                        bins + q * step, bins + (B - 1 - q) * step, level);
    }
}

/* From y to the bins. scratch: room for four rows. */
INLINE level rows(int power, const tile_plan *plan, const REAL *y, size_t pitch, REAL *bins,
                REAL *scratch)
{
    const size_t row = plan->B * 2 * W, A = plan->A;
    REAL *a = scratch, *b = a + row, *c = b + row, *d = c + row;
    level level = {V_SPLAT(0), V_SPLAT(0)};
    const REAL *u = row_passes(plan, y, a, b);
    unfold_own(power, plan, 0, u, c, bins, &level);
    for (size_t i = 1; i < A / 2; i++) {
        u = row_passes(plan, y + i * pitch, a, b);
        const REAL *v = row_passes(plan, y + (A - i) * pitch, c, d);
        unfold_rows(power, plan, i, u, v, bins, &level);
    }
    u = row_passes(plan, y + A / 2 * pitch, a, b);
    unfold_own(power, plan, A / 2, u, c, bins, &level);
    return level;
}

/* ---- bands ---- */

/* mel[band][W] from the bins. */
INLINE void bands(const tile_plan *plan, const REAL *bins, REAL *mel)
{
    const REAL *w = PLAN_TABLE(plan) + plan->weights_at;
    vec rising = V_SPLAT(0);
    for (size_t s = 0; s <= plan->n_mels; s++) {
        vec rise = V_SPLAT(0), fall = rising;
        const REAL *end = bins + plan->segment[s + 1] * W;
        for (const REAL *bin = bins + plan->segment[s] * W; bin < end; bin += W, w += 2) {
            const vec v = *(const vec *)(const void *)bin;
            rise = V_FMA(V_SPLAT(w[0]), v, rise);
            fall = V_FMA(V_SPLAT(w[1]), v, fall);
        }
        if (s > 0)
            *(vec *)(void *)(mel + (s - 1) * W) = fall;
        rising = rise;
    }
}

/* ln x for normal x; NaN where x is not finite. With x = 2^e (1 + f), sqrt(1/2) <= 1 + f <
 * sqrt(2), ln x = e ln 2 + f - f^2 / 2 + f^3 P(f); P by Moshier (Cephes, logf), relative error
 * of P's part below 1e-7, of the whole below 2e-7 or 2e-7 absolute, whichever is more. */
INLINE vec ln(vec x)
{
    const INT one_up = (INT)1 << MANTISSA_BITS; /* of the exponent */
    const ints e = (bits_of(x) - (INT)SQRT_HALF_BITS) >> MANTISSA_BITS;
    const vec f = real_of(bits_of(x) - e * one_up) - V_SPLAT(1);
    vec p = V_SPLAT((REAL)7.0376836292e-2);
    p = V_FMA(p, f, V_SPLAT((REAL)-1.1514610310e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)1.1676998740e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-1.2420140846e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)1.4249322787e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-1.6668057665e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)2.0000714765e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-2.4999993993e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)3.3333331174e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-0.5));
    p = V_FMA(p * f, f, f);
    return V_FMA(V_FROM_INT(e), V_SPLAT((REAL)0.69314718055994530942), p) + (x - x);
}

#if REAL_BITS == 32
/* Lanes whose result may be further than the contract allows from the exact one.
 *
 * Rounding leaves two errors in a bin, and neither knows of the bin's own size: noise, spread
 * evenly over all bins, and images of loud bins in others, the mirrored one above all. A band is
 * trusted where it is large enough beside what makes them,
 *
 *     scale mel + offset >= sum of |X|^2 + image max |X|^2      (amplitude: left side squared)
 *
 * with scale and image from the law in tile_plan.c. Bands more than 110 dB below the
 * frame's loudest are out of the contract, which ends at 100 dB. Energies near the ends of float's range are not
 * trusted, nor is one of zero if the samples are not: squares may have left the range. */
static unsigned doubts(const tile_plan *plan, const tile_source *source, const float *mel,
                       level level)
{
    const vec energy = V_FMA(V_SPLAT((float)plan->image), level.loudest, level.energy);
    const float *trust = plan->table_f32 + plan->trust_at;
    const float floor = plan->power == 1 ? 3.16e-6f : 1e-11f;
    static const char zeros[128]; /* n >= 64: divides the size of every frame */
    float sum[W], least[W];
    vec lowest = V_SPLAT(INFINITY);
    for (size_t m = 0; m < plan->n_mels; m++) {
        const vec v = *(const vec *)(const void *)(mel + m * W);
        lowest = V_MIN(lowest, V_FMA(v, V_SPLAT(trust[2 * m]), V_SPLAT(trust[2 * m + 1])));
    }
    if (plan->power == 1)
        lowest = lowest * lowest;
    memcpy(sum, &energy, sizeof sum);
    memcpy(least, &lowest, sizeof least);
    unsigned result = 0;
    for (size_t l = 0; l < W; l++) {
        int doubt = 0;
        if (sum[l] == 0.0f) {
            const size_t size = source->is_pcm16 ? sizeof(int16_t) : sizeof(float);
            const char *row = source->row[l];
            for (size_t i = 0; i < plan->n * size && !doubt; i += sizeof zeros)
                doubt = memcmp(row + i, zeros, sizeof zeros) != 0;
        } else if (!(sum[l] > 1e-22f && sum[l] < 1e34f)) {
            doubt = 1;
        } else if (!(least[l] >= sum[l])) {
            float peak = 0.0f;
            for (size_t m = 0; m < plan->n_mels; m++)
                peak = mel[m * W + l] > peak ? mel[m * W + l] : peak;
            for (size_t m = 0; m < plan->n_mels && !doubt; m++) {
                const float v = mel[m * W + l];
                float bound = v * trust[2 * m] + trust[2 * m + 1];
                if (plan->power == 1)
                    bound *= bound;
                doubt = !(bound >= sum[l]) && !(v < floor * peak);
            }
        }
        result |= (unsigned)(doubt != 0) << l;
    }
    return result;
}
#endif

INLINE void finish(const tile_plan *plan, const REAL *mel, float *out, size_t out_stride)
{
    const vec amin = V_SPLAT((REAL)plan->amin), scale = V_SPLAT((REAL)plan->db_scale);
    const vec floor = V_SPLAT((REAL)plan->db_floor);
    for (size_t m = 0; m < plan->n_mels; m++, mel += W, out += out_stride) {
        const vec v = *(const vec *)(const void *)mel;
        V_OUT(out, plan->db ? choose(below(v, amin), floor, ln(v) * scale) : v);
    }
}

static unsigned tile_compute(const tile_plan *plan, const tile_source *source, float *out,
                             size_t out_stride, void *work)
{
    const size_t pitch = (2 * plan->B + 1) * W;
    float *block = work;
    REAL *y = (REAL *)(void *)(block + TILE_BLOCK);
    REAL *bins = y + plan->A * pitch;
    REAL *scratch = bins + plan->n_slots * W;
    REAL *mel = scratch + 8 * plan->B * W;
    switch (plan->A) {
    case 4: columns(4, plan, source, y, pitch, block); break;
    case 8: columns(8, plan, source, y, pitch, block); break;
    default: columns(16, plan, source, y, pitch, block);
    }
    for (size_t q = 0; q < plan->B; q++) /* the holes */
        *(vec *)(void *)(bins + (plan->A + q * (plan->A + 1)) * W) = V_SPLAT(0);
    const level level = plan->power == 1 ? rows(1, plan, y, pitch, bins, scratch)
                                         : rows(2, plan, y, pitch, bins, scratch);
    bands(plan, bins, mel);
    finish(plan, mel, out, out_stride);
#if REAL_BITS == 32
    return doubts(plan, source, mel, level);
#else
    (void)level;
    return 0;
#endif
}

#undef vec
#undef ints
#undef cplx
#undef bits_of
#undef real_of
#undef below
#undef choose
#undef load
#undef store
#undef times
#undef times_twiddle
#undef combine
#undef dft4
#undef dft8
#undef dft16
#undef dft
#undef columns
#undef pass
#undef row_passes
#undef last_pass
#undef level
#undef add_level
#undef store_bin
#undef unfold_pair
#undef unfold_rows
#undef unfold_own
#undef rows
#undef bands
#undef ln
#undef finish
#undef tile_compute
#undef REAL
#undef INT
#undef F
#undef PLAN_TABLE
#undef MANTISSA_BITS
#undef SQRT_HALF_BITS
#undef REAL_BITS
#undef W
#undef V_FMA
#undef V_SQRT
#undef V_MIN
#undef V_MAX
#undef V_SPLAT
#undef V_SAMPLES
#undef V_OUT
#undef V_FROM_INT
