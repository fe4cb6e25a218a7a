/* From samples to |X|^2: columns, rows and unfolding. A part of tile.h, which has the formulas. */

enum {
    POINTS = W < 4 ? 2 : W / 2,          /* of every column, loaded together */
    BLOCK_STRIDE = 16 + (W < 4 ? 4 : W), /* of a sample in a block: no fewer than rows are loaded */
};

/* Once in each of a tile's steps, which are blocks of columns and rows. Several at a time, or the
 * loop itself would cost 2 %: some more than asked for, which are soon wanted too. */
INLINE size_t n_steps(const tile_plan *plan) { return plan->B / POINTS + plan->A / 2; }

INLINE void fetch_ahead(ahead *ahead)
{
    for (size_t i = 0; i < ahead->lines_a_step; i += 4, ahead->samples += 4 * CACHE_LINE) {
        const char *p = (const char *)ahead->samples;
        __builtin_prefetch(p, 0, 2), __builtin_prefetch(p + CACHE_LINE, 0, 2);
        __builtin_prefetch(p + 2 * CACHE_LINE, 0, 2), __builtin_prefetch(p + 3 * CACHE_LINE, 0, 2);
    }
    for (size_t i = 0; i < ahead->outs_a_step; i += 2, ahead->out += 2 * ahead->out_stride) {
        __builtin_prefetch((const void *)ahead->out, 1, 2);
        __builtin_prefetch((const void *)(ahead->out + ahead->out_stride), 1, 2);
    }
}

/* ---- columns: samples, window, the first pass ---- */

INLINE cplx windowed(const float *x, const REAL *window)
{
    return (cplx){V_SAMPLES(x) * V_SPLAT(window[0]),
                  V_SAMPLES(x + BLOCK_STRIDE) * V_SPLAT(window[1])};
}

INLINE void column_in(int A, int i, const float *const at[], const REAL *window, cplx *z)
{
    for (int k = i; k < A; k += outer(A))
        z[k] = windowed(at[k], window + 2 * k);
    inner_dft(BY_ADDERS, A, i, z);
}

/* Results to rows pitch apart. */
INLINE void column_out(int A, int k, cplx *z, const REAL *w, const REAL *again, REAL *to,
                       size_t pitch)
{
    outer_dft(BY_ADDERS, A, k, z);
    for (int j = 0, i = k; j < outer(A); j++, i += A / outer(A)) {
        const cplx y = z[outer(A) * k + j];
        const REAL *w2 = i < A / 2 ? again : w; /* for all, there would be too many loads */
        store(to + (size_t)i * pitch,
              i == 0 ? y : times_twiddle(y, w + 2 * (i - 1), w2 + 2 * (i - 1)));
    }
}

/* y[i] lies pitch apart from y[i+1]. block: room for W samples of every column. Blocks end where
 * cache lines do, or lines that two of them share would be fetched twice. */
INLINE void columns(int A, const tile_plan *plan, const tile_source *source, ahead *ahead,
                    REAL *y, size_t pitch, float *block)
{
    enum { ROOM = 2 * POINTS * BLOCK_STRIDE };
    const size_t apart = source->columns_apart, n_rows = W + (size_t)A / apart - 1;
    const size_t point = 2 * (source->is_pcm16 ? sizeof(int16_t) : sizeof(float));
    const size_t offset = (uintptr_t)source->row[0] / point % POINTS & ~(size_t)1;
    const REAL *window = PLAN_TABLE(plan) + plan->window_at;
    const REAL *w = PLAN_TABLE(plan) + plan->column_at;
    const float *first[TILE_MAX_COLUMNS];
    for (size_t k = 0; k < (size_t)A; k++)
        first[k] = block + k % apart * ROOM + k / apart;
    for (size_t p0 = 0, count; p0 < plan->B; p0 += count) {
        count = POINTS - (p0 + offset) % POINTS;
        if (count > plan->B - p0)
            count = plan->B - p0;
        fetch_ahead(ahead);
        load_blocks(source, n_rows, 2 * p0, apart, 2 * plan->B, 2 * count, block, ROOM,
                    BLOCK_STRIDE);
        for (size_t j = 0; j < count; j++, w += 2 * (A - 1), window += 2 * A, y += 2 * W) {
            const REAL *again = V_AFRESH(w);
            const float *at[TILE_MAX_COLUMNS];
            for (int k = 0; k < A; k++)
                at[k] = first[k] + j * 2 * BLOCK_STRIDE;
            cplx z[TILE_MAX_COLUMNS];
            column_in(A, 0, at, window, z), column_in(A, 1, at, window, z);
            if (A == 16)
                column_in(A, 2, at, window, z), column_in(A, 3, at, window, z);
            column_out(A, 0, z, w, again, y, pitch), column_out(A, 1, z, w, again, y, pitch);
            if (A >= 8)
                column_out(A, 2, z, w, again, y, pitch), column_out(A, 3, z, w, again, y, pitch);
        }
    }
}

/* ---- rows ---- */

INLINE void pass_in(int r, int i, const REAL *x, size_t apart, cplx *z)
{
    for (int k = i; k < r; k += outer(r))
        z[k] = load(x + (size_t)k * apart);
    inner_dft(BY_BOTH, r, i, z);
}

/* is_first: twiddles are 1 */
INLINE void pass_out(int r, int k, cplx *z, int is_first, const REAL *w, const REAL *again, REAL *y,
                     size_t apart)
{
    outer_dft(BY_BOTH, r, k, z);
    for (int j = 0, i = k; j < outer(r); j++, i += r / outer(r)) {
        const cplx v = z[outer(r) * k + j];
        const REAL *w2 = i < r / 2 ? again : w;
        store(y + (size_t)i * apart,
              i == 0 || is_first ? v : times_twiddle(v, w + 2 * (i - 1), w2 + 2 * (i - 1)));
    }
}

INLINE void butterflies(int r, size_t M, size_t s, int is_first, const REAL *w, const REAL *x,
                        REAL *y)
{
    const size_t in = s * M * 2 * W, out = s * 2 * W;
    const REAL *again = V_AFRESH(w);
    for (size_t q = 0; q < s; q++, x += 2 * W, y += 2 * W) {
        cplx z[TILE_MAX_COLUMNS];
        pass_in(r, 0, x, in, z), pass_in(r, 1, x, in, z);
        if (r == 16)
            pass_in(r, 2, x, in, z), pass_in(r, 3, x, in, z);
        pass_out(r, 0, z, is_first, w, again, y, out);
        if (r >= 4)
            pass_out(r, 1, z, is_first, w, again, y, out);
        if (r >= 8)
            pass_out(r, 2, z, is_first, w, again, y, out),
                pass_out(r, 3, z, is_first, w, again, y, out);
    }
}

/* Rows before or after some pass. */
typedef struct {
    const REAL *u, *v;
} pair;

/* Stockham's pass, of two rows:
 * y[q + s (r p + i)] = w(N)^(p i) sum_k x[q + s (p + M k)] w(r)^(k i), N = r M */
INLINE void pass(int r, size_t M, size_t s, const REAL *w, pair x, REAL *a, REAL *b)
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

/* All passes of two rows but the last, through scratch, which has room for four. */
static pair row_passes(const tile_plan *plan, ahead *ahead, const REAL *u, const REAL *v,
                       REAL *scratch)
{
    const size_t row = plan->B * 2 * W;
    pair x = {u, v};
    fetch_ahead(ahead);
    size_t s = 1, N = plan->B;
    for (size_t t = 0; t < plan->n_passes; t++) {
        const REAL *w = PLAN_TABLE(plan) + plan->row_at[t];
        const size_t r = plan->radix[t], M = N / r;
        REAL *a = scratch + t % 2 * 2 * row, *b = a + row;
        switch (r) {
        case 2: pass(2, M, s, w, x, a, b); break;
        case 4: pass(4, M, s, w, x, a, b); break;
        case 8: pass(8, M, s, w, x, a, b); break;
        default: pass(16, M, s, w, x, a, b);
        }
        x = (pair){a, b};
        N = M, s *= r;
    }
    return x;
}

/* The last pass, of radix 4: Z[i + A (q + s j)], j = 0 .. 3, from x at q */
INLINE void last_pass(const REAL *x, size_t s, cplx *z)
{
    const size_t apart = s * 2 * W;
    z[0] = load(x), z[1] = load(x + apart), z[2] = load(x + 2 * apart), z[3] = load(x + 3 * apart);
    dft4(BY_MULTIPLIERS, &z[0], &z[1], &z[2], &z[3]);
}

/* What `doubts` has to know of the bins: the sum of |X|^2, and the largest sum of two mirrored bins. */
typedef struct {
    vec energy, loudest;
} level;

INLINE void add_level(level *level, vec both)
{
    level->energy = level->energy + both;
    level->loudest = V_MAX(level->loudest, both);
}

/* A bin, of amplitude or power, from its power. */
INLINE void store_bin(int power, REAL *bin, vec v)
{
    if (power == 1)
        v = V_SQRT(v);
    *(vec *)(void *)bin = v;
}

/* low = |X[k]|^2 and high = |X[m-k]|^2 from a = Z[k] and b = Z[m-k]. */
INLINE void unfold_pair(int power, cplx a, cplx b, const REAL *w, const REAL *again, REAL *low,
                        REAL *high, level *level)
{
    const vec er = a.re + b.re, ei = a.im - b.im;
    const cplx t = times_twiddle((cplx){a.im + b.im, b.re - a.re}, w, again);
    const vec lr = er + t.re, li = ei + t.im, hr = er - t.re, hi = ei - t.im;
    const vec l = V_FMA(lr, lr, li * li), h = V_FMA(hr, hr, hi * hi);
    add_level(level, l + h);
    store_bin(power, high, h);
    store_bin(power, low, l);
}

/* Bins i + A (q + s j), j = 0 .. 3, from u at q, and their mirrors from v. */
INLINE void unfold(int power, const REAL *u, const REAL *v, size_t s, const REAL *w, REAL *low,
                   REAL *high, level *level)
{
    const size_t apart = s * W; /* from j to j + 1 */
    const REAL *again = V_AFRESH(w);
    cplx a[4], b[4];
    last_pass(u, s, a);
    last_pass(v, s, b);
    unfold_pair(power, a[0], b[3], w, again, low, high + 3 * apart, level);
    unfold_pair(power, a[1], b[2], w + 2 * s, again + 2 * s, low + apart, high + 2 * apart, level);
    unfold_pair(power, a[2], b[1], w + 4 * s, again + 4 * s, low + 2 * apart, high + apart, level);
    unfold_pair(power, a[3], b[0], w + 6 * s, again + 6 * s, low + 3 * apart, high, level);
}

/* Rows i and A - i, both before their last pass: q mirrors s - 1 - q. Row A/2, its own partner,
 * is done halfway. */
INLINE void unfold_rows(int power, const tile_plan *plan, size_t i, const REAL *u, const REAL *v,
                        REAL *low, REAL *high, level *level)
{
    const size_t s = plan->B / 4, end = u == v ? s / 2 : s;
    const REAL *w = PLAN_TABLE(plan) + plan->unfold_at + 2 * plan->B * i;
    high += (s - 1) * W, v += (s - 1) * 2 * W;
    for (size_t q = 0; q < end; q++, u += 2 * W, v -= 2 * W, low += W, high -= W, w += 2)
        unfold(power, u, v, s, w, low, high, level);
}

/* Row 0, its own partner, in which q mirrors s - q. */
INLINE void unfold_row_0(int power, const tile_plan *plan, const REAL *u, REAL *bins, level *level)
{
    const size_t B = plan->B, s = B / 4, middle = s / 2;
    const REAL *w = PLAN_TABLE(plan) + plan->unfold_at;
    for (size_t q = 1; q < middle; q++)
        unfold(power, u + q * 2 * W, u + (s - q) * 2 * W, s, w + 2 * q, bins + q * W,
               bins + (s - q) * W, level);
    cplx a[4];
    last_pass(u + middle * 2 * W, s, a);
    for (size_t j = 0; j < 2; j++) {
        const size_t k = middle + s * j;
        unfold_pair(power, a[j], a[3 - j], w + 2 * k, w + 2 * k, bins + k * W, bins + (B - k) * W,
                    level);
    }
    last_pass(u, s, a);
    const vec sum = (a[0].re + a[0].im) * V_SPLAT(2), difference = (a[0].re - a[0].im) * V_SPLAT(2);
    const vec l = sum * sum, h = difference * difference;
    add_level(level, l + h);
    store_bin(power, bins, l);
    store_bin(power, bins + B * W, h);
    for (size_t j = 1; j <= 2; j++)
        unfold_pair(power, a[j], a[4 - j], w + 2 * s * j, w + 2 * s * j, bins + s * j * W,
                    bins + (B - s * j) * W, level);
}

/* From y to the bins, which take the place of their rows. scratch: room for four rows. */
INLINE level rows(int power, const tile_plan *plan, ahead *ahead, REAL *y, size_t pitch,
                  REAL *scratch)
{
    const size_t A = plan->A;
    REAL *const half = y + A / 2 * pitch;
    level level = {V_SPLAT(0), V_SPLAT(0)};
    pair x = row_passes(plan, ahead, y, half, scratch);
    unfold_row_0(power, plan, x.u, y, &level);
    unfold_rows(power, plan, A / 2, x.v, x.v, half, half, &level);
    for (size_t i = 1; i < A / 2; i++) {
        REAL *low = y + i * pitch, *high = y + (A - i) * pitch;
        x = row_passes(plan, ahead, low, high, scratch);
        unfold_rows(power, plan, i, x.u, x.v, low, high, &level);
    }
    return level;
}
