/* Power spectra of a tile of real frames, in double precision.
 *
 * A tile holds RFFT_LANES frames x[l] of n real samples each. For bins k = 0 .. n/2
 *
 *     power[k][l] = | sum_j x[l][j] exp(-2 pi i j k / n) |^2
 *
 * Each frame is folded into n/2 complex numbers z[j] = x[2j] + i x[2j+1], transformed by
 * a Stockham FFT of n/2 points, and unfolded (see rfft.c). Frames never share a complex
 * transform: a quiet frame keeps its full precision beside a loud one.
 *
 * Lanes are innermost in memory and independent: the bits of a frame's spectrum depend neither on
 * its lane nor on its neighbours.
 *
 * n is any even number from 2 to 2^28. A transform takes about n * (sum of the prime factors of
 * n/2, each with its multiplicity) operations: powers of two are the cheapest, factors 3 and 5 cost
 * little more, and a large prime factor r of n/2 costs r operations for every sample.
 */
#ifndef ASD_RFFT_H
#define ASD_RFFT_H

#include <stddef.h>

#define RFFT_LANES 4 /* 4 doubles: two SSE2 or NEON registers, one AVX2 register */

typedef struct rfft_plan rfft_plan;

/* Makes a plan for frames of n samples. NULL if there is no memory, or n is odd or out of range. A
 * plan is never written again: any number of threads may use it at once. */
rfft_plan *rfft_plan_create(size_t n);

void rfft_plan_free(rfft_plan *plan); /* NULL is allowed */

/* Number of doubles in each of the buffers below. They are fastest one after another from a 64-byte
 * boundary. */
size_t rfft_tile_size(const rfft_plan *plan);      /* re, im: n/2 * RFFT_LANES and a gap */
size_t rfft_power_size(const rfft_plan *plan);     /* power: (n/2 + 1) * RFFT_LANES */
size_t rfft_workspace_size(const rfft_plan *plan); /* work */

/* re[j * RFFT_LANES + l] = x[l][2j] and im[j * RFFT_LANES + l] = x[l][2j + 1] on entry,
 * undefined on return. The four buffers are aligned to double and do not overlap. */
void rfft_power(const rfft_plan *plan, double *restrict re, double *restrict im,
                double *restrict power, double *restrict work);

/* out = (re, im) of exp(-2 pi i a / b), to about one unit in the last place; 0 < b < 2^32. */
void rfft_unit_root(size_t a, size_t b, double *out);

#endif
