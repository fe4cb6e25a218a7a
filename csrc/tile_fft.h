/* From samples to |X|^2: columns, rows and unfolding. A part of tile.h, which has the formulas. */

enum { POINTS = W < 4 ? 2 : W / 2 }; /* of every column, loaded together */

/* Called once in each of a tile's steps, which are blocks of columns and rows. */
INLINE size_t n_steps(const tile_plan *plan) { return plan->B / POINTS + plan->A; }

INLINE void fetch_ahead(ahead *ahead)
{
    for (size_t i = 0; i < ahead->lines_a_step; i++, ahead->samples += CACHE_LINE)
        __builtin_prefetch((const void *)ahead->samples, 0, 2);
    for (size_t i = 0; i < ahead->outs_a_step; i++, ahead->out += ahead->out_stride)
        __builtin_prefetch((const void *)ahead->out, 1, 2);
}

/* ---- columns: samples, window, the first pass ---- */

INLINE cplx windowed(const float *x, size_t stride, const REAL *window)
{
    return (cplx){V_SAMPLES(x) * V_SPLAT(window[0]), V_SAMPLES(x + stride) * V_SPLAT(window[1])};
}

/* Points i and i + A/2 of a column, to y[i] and y[i + A/2]. */
INLINE void put(int A, int i, const cplx *even, const cplx *odd, const REAL *w, REAL *to,
                size_t pitch)
{
    const int half = A / 2;
    cplx e = even[i], o = odd[i];
    join(A, i, &e, &o);
    store(to + (size_t)i * pitch, i == 0 ? e : times_twiddle(e, w + 2 * (i - 1)));
    store(to + (size_t)(i + half) * pitch, times_twiddle(o, w + 2 * (i + half - 1)));
}

/* Even and odd points apart, and each pair of results stored at once: few values are alive at a
 * time, and additions stand beside the multiplications of windows and twiddles.
 * y[i] lies pitch apart from y[i+1]. block: room for W samples of every column. */
INLINE void columns(int A, const tile_plan *plan, const tile_source *source, ahead *ahead,
                    REAL *y, size_t pitch, float *block)
{
    enum { SAMPLES = 2 * POINTS };
    const size_t apart = source->columns_apart, n_rows = W + (size_t)A / apart - 1;
    const size_t stride = (n_rows + 3) / 4 * 4; /* from a sample to the next, in block */
    const REAL *window = PLAN_TABLE(plan) + plan->window_at;
    const REAL *w = PLAN_TABLE(plan) + plan->column_at;
    const float *at[TILE_MAX_COLUMNS];
    for (size_t k = 0; k < (size_t)A; k++)
        at[k] = block + k % apart * SAMPLES * stride + k / apart;
    for (size_t p0 = 0; p0 < plan->B; p0 += POINTS) {
        fetch_ahead(ahead);
        for (size_t g = 0; g < apart; g++)
            load_block(source, n_rows, 2 * (p0 + plan->B * g), SAMPLES,
                       block + g * SAMPLES * stride, stride);
        for (size_t j = 0; j < SAMPLES; j += 2, w += 2 * (A - 1), window += 2 * A) {
            cplx even[TILE_MAX_COLUMNS / 2], odd[TILE_MAX_COLUMNS / 2];
            for (int k = 0; k < A / 2; k++)
                even[k] = windowed(at[2 * k] + j * stride, stride, window + 4 * k);
            dft(A / 2, even);
            for (int k = 0; k < A / 2; k++)
                odd[k] = windowed(at[2 * k + 1] + j * stride, stride, window + 4 * k + 2);
            dft(A / 2, odd);
            REAL *to = y + (p0 + j / 2) * 2 * W;
            put(A, 0, even, odd, w, to, pitch), put(A, 1, even, odd, w, to, pitch);
            if (A >= 8)
                put(A, 2, even, odd, w, to, pitch), put(A, 3, even, odd, w, to, pitch);
            if (A == 16) {
                put(A, 4, even, odd, w, to, pitch), put(A, 5, even, odd, w, to, pitch);
                put(A, 6, even, odd, w, to, pitch), put(A, 7, even, odd, w, to, pitch);
            }
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
        r == 16 ? dft16(z) : dft(r, z);
        for (int i = 0; i < r; i++)
            store(y + (q + s * (size_t)i) * 2 * W, z[i]);
    }
    for (size_t p = 1; p < M; p++) {
        w += 2 * (r - 1), x += s * 2 * W, y += s * (size_t)r * 2 * W;
        for (size_t q = 0; q < s; q++) {
            cplx z[TILE_MAX_COLUMNS];
            for (int k = 0; k < r; k++)
                z[k] = load(x + (q + s * M * (size_t)k) * 2 * W);
            r == 16 ? dft16(z) : dft(r, z);
            store(y + q * 2 * W, z[0]);
            for (int i = 1; i < r; i++)
                store(y + (q + s * (size_t)i) * 2 * W, times_twiddle(z[i], w + 2 * (i - 1)));
        }
    }
}

/* All passes of a row but the last, through two buffers; gives the one that holds the result. */
static REAL *row_passes(const tile_plan *plan, ahead *ahead, const REAL *y, REAL *a, REAL *b)
{
    const REAL *x = y;
    fetch_ahead(ahead);
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
                        REAL *low, REAL *high, level *level)
{
    const size_t s = plan->B / 4, apart = s * W; /* from j to j + 1 */
    const REAL *w = PLAN_TABLE(plan) + plan->unfold_at + 2 * plan->B * i;
    high += (s - 1) * W;
    for (size_t q = 0; q < s; q++, low += W, high -= W, w += 2) {
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
    const size_t B = plan->B, s = B / 4;
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
        store_bin(power, bins + B * W, h);
        for (size_t q = 1; q <= B / 2; q++)
            unfold_pair(power, load(z + q * 2 * W), load(z + (B - q) * 2 * W), w + 2 * q,
                        bins + q * W, bins + (B - q) * W, level);
    } else {
        for (size_t q = 0; q < B / 2; q++)
            unfold_pair(power, load(z + q * 2 * W), load(z + (B - 1 - q) * 2 * W), w + 2 * q,
                        bins + q * W, bins + (B - 1 - q) * W, level);
    }
}

/* From y to the bins, which take the place of their rows. scratch: room for four rows. */
INLINE level rows(int power, const tile_plan *plan, ahead *ahead, REAL *y, size_t pitch,
                REAL *scratch)
{
    const size_t row = plan->B * 2 * W, A = plan->A;
    REAL *a = scratch, *b = a + row, *c = b + row, *d = c + row;
    level level = {V_SPLAT(0), V_SPLAT(0)};
    const REAL *u = row_passes(plan, ahead, y, a, b);
    unfold_own(power, plan, 0, u, c, y, &level);
    for (size_t i = 1; i < A / 2; i++) {
        u = row_passes(plan, ahead, y + i * pitch, a, b);
        const REAL *v = row_passes(plan, ahead, y + (A - i) * pitch, c, d);
        unfold_rows(power, plan, i, u, v, y + i * pitch, y + (A - i) * pitch, &level);
    }
    u = row_passes(plan, ahead, y + A / 2 * pitch, a, b);
    unfold_own(power, plan, A / 2, u, c, y + A / 2 * pitch, &level);
    return level;
}
