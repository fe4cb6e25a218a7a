/* One tile: W frames, a frame a lane, from samples to mel bands. Included once for each type by
 * every kernel_*.c, which defines
 *
 *     REAL_BITS            32 or 64: float or double
 *     W                    lanes
 *     V_SQRT, V_MIN, V_MAX on vectors
 *     V_FMA(a, b, c)       a b + c, fused where the machine can
 *     V_FNMA(a, b, c)      c - a b, likewise
 *     V_SUB(a, b)          a - b; where adders and multipliers are apart, by these
 *     V_SPLAT(x)           all lanes x
 *     V_SAMPLES(p)         W floats at p, of any alignment
 *     V_AFRESH(p)          p, where it pays from a pointer of which the compiler does not know
 *                          that it is p
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
 *     samples --load_blocks--> --columns--> y --row, unfold--> |X|^2 --bands--> mel --finish--> out
 */

#if REAL_BITS == 32
#define REAL float
#define INT int32_t
#define F(name) name##_f32
#define PLAN_TABLE(plan) (plan)->table_f32
#define MANTISSA_BITS 23
#define MARGIN 0.0f /* see `doubts` */
#define FLOOR_MARGIN 1.0f
#define SQRT_HALF_BITS 0x3f3504f3 /* sqrt(1/2) */
#else
#define REAL double
#define INT int64_t
#define F(name) name##_f64
#define PLAN_TABLE(plan) (plan)->table_f64
#define MANTISSA_BITS 52
#define MARGIN 1e-3
#define FLOOR_MARGIN 4.0
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#endif

#define vec F(vec)
#define ints F(ints)
#define cplx F(cplx)
#define bits_of F(bits_of)
#define real_of F(real_of)
#define below F(below)
#define lanes_of F(lanes_of)
#define choose F(choose)
#define load F(load)
#define store F(store)
#define times F(times)
#define times_twiddle F(times_twiddle)
#define combine F(combine)
#define dft4 F(dft4)
#define turned_dft2 F(turned_dft2)
#define turned_dft4 F(turned_dft4)
#define outer F(outer)
#define inner_dft F(inner_dft)
#define outer_dft F(outer_dft)
#define column_in F(column_in)
#define column_out F(column_out)
#define pass_in F(pass_in)
#define pass_out F(pass_out)
#define butterflies F(butterflies)
#define unfold F(unfold)
#define unfold_row_0 F(unfold_row_0)
#define extremes F(extremes)
#define trusted_with F(trusted_with)
#define finish F(finish)
#define POINTS F(points)
#define BLOCK_STRIDE F(block_stride)
#define n_steps F(n_steps)
#define fetch_ahead F(fetch_ahead)
#define windowed F(windowed)
#define columns F(columns)
#define pair F(pair)
#define pass F(pass)
#define row_passes F(row_passes)
#define last_pass F(last_pass)
#define level F(level)
#define add_level F(add_level)
#define store_bin F(store_bin)
#define unfold_pair F(unfold_pair)
#define unfold_rows F(unfold_rows)
#define rows F(rows)
#define bands F(bands)
#define ln F(ln)
#define doubts F(doubts)
#define tile_compute F(tile_compute)

#include "tile_vector.h"

#include "tile_fft.h"

#include "tile_mel.h"

static unsigned tile_compute(const tile_plan *plan, const tile_source *source, float *out,
                             size_t out_stride, void *work)
{
    const size_t pitch = (2 * plan->B + 1) * W;
    float *block = work;
    REAL *y = (REAL *)(void *)(block + TILE_BLOCK);
    REAL *scratch = y + plan->A * pitch;
    REAL *mel = scratch + 8 * plan->B * W;
    ahead next = source->next;
    next.lines_a_step = (next.n_lines + n_steps(plan) - 1) / n_steps(plan);
    next.outs_a_step = (next.n_outs + n_steps(plan) - 1) / n_steps(plan);
    switch (plan->A) {
    case 4: columns(4, plan, source, &next, y, pitch, block); break;
    case 8: columns(8, plan, source, &next, y, pitch, block); break;
    default: columns(16, plan, source, &next, y, pitch, block);
    }
    const level level = plan->power == 1 ? rows(1, plan, &next, y, pitch, scratch)
                                         : rows(2, plan, &next, y, pitch, scratch);
    if (REAL_BITS == 32 && !plan->db) { /* all is done */
        mel = (REAL *)(void *)out;
        return doubts(plan, source, mel, out_stride, level, bands(plan, y, mel, out_stride));
    }
    const extremes extremes = bands(plan, y, mel, W);
    finish(plan, mel, out, out_stride);
    return doubts(plan, source, mel, W, level, extremes);
}

#undef vec
#undef ints
#undef cplx
#undef bits_of
#undef real_of
#undef below
#undef lanes_of
#undef choose
#undef load
#undef store
#undef times
#undef times_twiddle
#undef combine
#undef dft4
#undef turned_dft2
#undef turned_dft4
#undef outer
#undef inner_dft
#undef outer_dft
#undef column_in
#undef column_out
#undef pass_in
#undef pass_out
#undef butterflies
#undef unfold
#undef unfold_row_0
#undef extremes
#undef trusted_with
#undef finish
#undef COS_1
#undef SIN_1
#undef COS_2
#undef POINTS
#undef BLOCK_STRIDE
#undef n_steps
#undef fetch_ahead
#undef windowed
#undef columns
#undef pair
#undef pass
#undef row_passes
#undef last_pass
#undef level
#undef add_level
#undef store_bin
#undef unfold_pair
#undef unfold_rows
#undef rows
#undef bands
#undef ln
#undef doubts
#undef tile_compute
#undef REAL
#undef INT
#undef F
#undef PLAN_TABLE
#undef MANTISSA_BITS
#undef MARGIN
#undef FLOOR_MARGIN
#undef SQRT_HALF_BITS
#undef REAL_BITS
#undef W
#undef V_FMA
#undef V_FNMA
#undef V_SUB
#undef V_SQRT
#undef V_MIN
#undef V_MAX
#undef V_SPLAT
#undef V_SAMPLES
#undef V_AFRESH
#undef V_OUT
#undef V_FROM_INT
