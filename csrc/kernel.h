/* Kernels: the work that reads and computes much, compiled for different instruction sets.
 *
 * A kernel computes a tile: W frames side by side, one in each lane of its vectors, from samples to
 * mel bands (template/tile.h). It also multiplies by whitening matrices and measures distances
 * (template/embeddings.h). kernels/avx2_f32.c and its neighbours compile these templates, one file
 * for each instruction set and precision; kernel.c lists them and finds those that the machine
 * supports.
 *
 * A kernel reads nothing but a tile_plan and the samples. The bits of a frame depend only on its
 * samples. Kernels with fused multiply-add give the same bits as each other for the same plan,
 * whatever their width, so a wide one may leave a few frames to a narrower one.
 */
#ifndef ASD_KERNEL_H
#define ASD_KERNEL_H

#include "tile_plan.h"

#include <stddef.h>
#include <stdint.h>

/* Memory that the next tile will need and that this one prefetches: the cache lines of its samples,
 * and the line of each band's row of the output, out_stride bytes apart. This costs 2 % and saves
 * 20 % where the samples are not in the caches. Addresses are numbers, since the last step may
 * count beyond the end. */
typedef struct {
    uintptr_t samples, out;
    size_t n_lines, n_outs, out_stride;
    size_t lines_per_step, outs_per_step; /* set by the kernel */
} tile_prefetch;

/* Where a tile's samples are: sample j of lane l is row[l][j]. If column_step = c < A, neighbouring
 * frames overlap by a multiple of n / A: row[l + q][j] == row[l][j + q c n / A] for l + q up to
 * W - 1 + A/c - 1, and samples are transposed once for all the frames that share them. */
typedef struct {
    const void *row[TILE_MAX_ROWS];
    size_t n_frames;    /* in the first lanes; the results of the other lanes are not used */
    int is_pcm16;       /* samples are int16, to be scaled by 2^-15, instead of float */
    size_t column_step; /* A if frames share no samples */
    tile_prefetch next;
} tile_source;

/* Computes W frames into out[band * out_stride + lane]. Returns, as bits, the lanes whose frames
 * need double precision (`lanes_needing_double` in template/bands.h): in single precision all of
 * them; in double precision those for which single precision is certain to ask for it. */
typedef unsigned tile_function(const tile_plan *plan, const tile_source *source, float *out,
                               size_t out_stride, void *work);

/* y = x L. L is lower triangular and stored in square blocks of WHITENING_BLOCK, by rows of blocks
 * up to the diagonal, each block by rows; in float, or in float16 if the machine converts it. x and
 * y have n_strips * WHITENING_BLOCK values. */
typedef void whiten_function(const void *blocks, size_t n_strips, const float *x, float *y);

enum { WHITENING_BLOCK = 16 }; /* a multiple of every W */

/* sum (a[i] - b[i])^2 over i = 0 .. d-1, accumulated in float but for the last sum. */
typedef double distance_function(const float *a, const float *b, size_t d);

typedef struct kernel kernel;
struct kernel {
    const char *name; /* "avx512", "avx2", "sse2", "neon" or "scalar" */
    int (*is_supported)(void);
    const kernel *narrower; /* gives the same bits; for tiles of fewer frames; or NULL */
    size_t lanes_f32, lanes_f64;
    tile_function *tile_f32, *tile_f64;
    whiten_function *whiten;
    int reads_float16; /* whether `whiten` takes blocks of float16 */
    distance_function *squared_distance;
};

/* The i-th kernel that this machine supports, fastest first; NULL at the end. */
const kernel *kernel_available(size_t i);

/* The kernel of that name, or the fastest for NULL; NULL if this machine does not support it. */
const kernel *kernel_find(const char *name);

#endif
