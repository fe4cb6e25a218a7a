/* Distances between embeddings (asd_edge/scoring.py). */
#ifndef ASD_SCORING_H
#define ASD_SCORING_H

#include "melspec.h"

#include <stdint.h>

/* out[i][j] = |x[i] - references[j]|^2, rows of d; relative error below max(d, 16) 2^-26.
 * instruction_set as for melspec_plan_create. */
melspec_status squared_distances(const float *x, size_t n_x, const float *references, size_t n,
                                 size_t d, const char *instruction_set, double *out);

/* Whitening: embeddings times a lower triangular matrix L of float16, which makes the Mahalanobis
 * distance a euclidean one (asd_edge/whitening.py). */
typedef struct whitening whitening;

/* triangle: L's rows one after the other, up to the diagonal, d (d + 1) / 2 float16 in all, d > 0.
 * On MELSPEC_OK *result is to be freed with whitening_free, else it is NULL; MELSPEC_BAD_CONFIG
 * where a value is infinite or NaN. */
melspec_status whitening_create(const uint16_t *triangle, size_t d, const char *instruction_set,
                                whitening **result);

void whitening_free(whitening *whitening); /* NULL is allowed */

/* Floats of scratch that a call of whitening_project needs. */
size_t whitening_workspace_size(const whitening *whitening);

/* y = x L for n rows of d. */
void whitening_project(const whitening *whitening, const float *x, size_t n, float *y,
                       float *workspace);

#endif
