/* Kernels: the same tile of mel frames computed with different instruction sets, and the steps of scoring
 * that read much memory (scoring_kernel.h).
 *
 * A kernel computes W frames side by side, a frame a vector lane, from samples to mel bands
 * (tile.h). kernel_avx512.c, kernel_avx2.c, ... give tile.h their vectors; kernel.c picks one
 * of them at run time and frames_tile.c feeds it tiles. Each has two functions, of one source: in float, and
 * in double for the frames whose float result is not known to be good enough (see tile_plan).
 *
 * All that a kernel reads is a tile_plan, fit for every instruction set. A frame's bits
 * depend on its samples alone. With one plan, kernels with fused multiply-add give the same bits as
 * each other, whatever their width, so a wide one may leave its rest to a narrower one.
 */
#ifndef ASD_KERNEL_H
#define ASD_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    CACHE_LINE = 64, /* bytes */
    TILE_MAX_LANES = 16,
    TILE_MAX_COLUMNS = 16,                              /* radix of the first pass */
    TILE_MAX_ROWS = TILE_MAX_LANES + TILE_MAX_COLUMNS,  /* of samples, see tile_source */
    TILE_MAX_PASSES = 16,
    WHITEN_SIDE = 16, /* a multiple of any W */
    TILE_BLOCK = TILE_MAX_COLUMNS * 16 * 32 /* floats, see columns in tile_fft.h */
};

/* n = n_fft, a power of two; m = n/2 = A B points in A columns and rows of B (see tile.h). All
 * numbers lie in one table, as doubles and, rounded, as floats. Offsets count elements. */
typedef struct {
    size_t n, m, A, B;
    size_t n_passes;                 /* of a row, but for the last, which is of radix 4 */
    size_t radix[TILE_MAX_PASSES];
    size_t row_at[TILE_MAX_PASSES];  /* w(N)^(p i), p-major, i = 1 .. r-1 */
    size_t window_at;                /* w[2j], w[2j+1], halved; j = p + B k, p-major */
    size_t column_at;                /* w(m)^(p i), p-major, i = 1 .. A-1 */
    size_t unfold_at;                /* exp(-2 pi i k / n), k = i + A q, by i = 0 .. A/2, then q */

    size_t n_mels;
    const size_t *segment;           /* segment s holds bins segment[s] .. segment[s+1] - 1 */
    const uint32_t *bin_at;          /* where bin k = i + A q lies: row i, place q; in vectors */
    size_t weights_at;               /* a bin's weight in band s and in band s - 1 */
    size_t trust_at;                 /* a band's (scale, offset), see `doubts` in tile_mel.h */
    int power, db;
    double image;                    /* see there too */
    double amin, db_scale, db_floor; /* dB: db_scale ln(mel), db_floor where mel <= amin */

    const float *table_f32;
    const double *table_f64;
} tile_plan;

/* What the next tile will need, to be fetched from memory while this one is computed: cache lines of
 * samples, and the line in which each band's row of out goes on, out_stride bytes apart. It costs
 * 2 %, and saves 20 % where samples come from memory. Addresses are numbers, since the last step
 * may count on beyond the end. */
typedef struct {
    uintptr_t samples, out;
    size_t n_lines, n_outs, out_stride;
    size_t lines_a_step, outs_a_step; /* the kernel's own */
} ahead;

/* Where a tile's samples are. Lane l, sample j is row[l][j]. With columns_apart = c < A, frames
 * overlap by a multiple of n / A: row[l + q][j] == row[l][j + q c n / A] for l + q up to
 * W - 1 + A/c - 1, and samples are transposed once for all frames that share them. */
typedef struct {
    const void *row[TILE_MAX_ROWS];
    size_t n_frames;      /* in the first lanes; what the others hold is of no matter */
    int is_pcm16;         /* int16, to be scaled by 2^-15, instead of float */
    size_t columns_apart; /* A: nothing is shared */
    ahead next;
} tile_source;

/* Computes W frames, out[band * out_stride + lane]. Returns the lanes, as bits, whose frames need double
 * (`doubts` in tile_mel.h says when): all of them in float, in double those that float is
 * sure to name. */
typedef unsigned tile_function(const tile_plan *plan, const tile_source *source,
                               float *out, size_t out_stride, void *work);

/* y = x L. L is lower triangular and lies in square blocks of WHITEN_SIDE, by rows of blocks up to the
 * diagonal, each block by rows; float, or float16 where the machine converts it. x and y are n_strips *
 * WHITEN_SIDE long. */
typedef void whiten_function(const void *blocks, size_t n_strips, const float *x, float *y);
/* sum (a[i] - b[i])^2, i = 0 .. d-1, in float but for the last sum. */
typedef double distance_function(const float *a, const float *b, size_t d);

typedef struct kernel kernel;
struct kernel {
    const char *name;
    int (*is_supported)(void);
    const kernel *narrow; /* the same bits for tiles of fewer frames, or NULL */
    size_t lanes_f32, lanes_f64;
    tile_function *compute_f32, *compute_f64;
    whiten_function *whiten;
    int whitens_halves; /* blocks are of float16 */
    distance_function *squared_distance;
};

/* The widest kernel that this machine has, or the one of that name; NULL where there is none. */
const kernel *kernel_find(const char *name);

/* The i-th kernel that this machine has, widest first; NULL at the end. */
const kernel *kernel_available(size_t i);

#endif
