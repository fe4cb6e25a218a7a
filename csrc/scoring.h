/* Distances between embeddings (asd_edge/scoring). */
#ifndef ASD_SCORING_H
#define ASD_SCORING_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct kernel kernel; /* kernel.h */

/* out[i][j] = |x[i] - references[j]|^2 for rows of d values, with a relative error below
 * max(d, 16) 2^-26. */
void squared_distances(const kernel *kernel, const float *x, size_t n_x, const float *references,
                       size_t n_references, size_t d, double *out);

/* Whitening multiplies embeddings with a lower triangular matrix L of float16, after which the
 * euclidean distance is the Mahalanobis distance (asd_edge/scoring/whitening.py). A whitening is
 * never written again once it is built: threads may share it. */
typedef struct whitening whitening;

/* triangle: the rows of L one after the other, up to the diagonal, d (d + 1) / 2 float16 in all, d
 * > 0. On ASD_OK, whitening_free must free *result; otherwise *result is NULL. ASD_NOT_FINITE if a
 * value is infinite or NaN. */
asd_status whitening_create(const kernel *kernel, const uint16_t *triangle, size_t d,
                            whitening **result);

void whitening_free(whitening *whitening); /* NULL is allowed */

size_t whitening_workspace_size(const whitening *whitening); /* floats that a call below needs */

/* y = x L for n rows of d values. */
void whitening_project(const whitening *whitening, const float *x, size_t n, float *y,
                       float *workspace);

/* Distances of n_x embeddings to references of d values, out[i][j] = |y[i] - references[j]|. y[i]
 * is the d values at x + i * stride, multiplied with L if a whitening of d is given (not NULL).
 * `workspace` is whitening_workspace_size + d floats, and not used without a whitening. */
void embedding_distances(const kernel *kernel, const whitening *whitening, const float *x,
                         size_t n_x, size_t stride, const float *references, size_t n_references,
                         size_t d, double *out, float *workspace);

#endif
