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

/* How embeddings are measured against n references: as a whole, or by some columns. */
typedef struct {
    size_t first, d;            /* the columns first .. first + d - 1 of an embedding */
    const whitening *whitening; /* multiplies them, or NULL */
    const float *references;    /* [n][d], multiplied already */
    const double *lengths; /* [n], euclidean, above 0: the distance is 1 - the cosine; or NULL */
    const double *density; /* [n]: what distances to each reference are divided by; or NULL */
} reference_part;

/* Floats that reference_distances needs. */
size_t reference_workspace_size(const reference_part *part);

/* Distances of one embedding to the references start .. start + n - 1, euclidean unless the part
 * says otherwise. */
void reference_distances(const kernel *kernel, const reference_part *part, const float *x,
                         size_t start, size_t n, double *out, float *workspace);

typedef struct {
    const reference_part *parts; /* all of the same references; the first is the whole embedding */
    size_t n_parts, k;           /* k >= 1 */
    const double *reach;         /* [n] of references that reach farther than others; or NULL */
} reference_set;

/* Bytes that reference_means needs for n references in n_sections. */
size_t reference_means_workspace_size(const reference_set *set, size_t n, size_t n_sections);

/* Mean distances of n_x embeddings, each at a multiple of stride behind x, to the k nearest
 * references of each section (to all, where there are fewer), of each part: means[s][i][part].
 * Section s has the references edges[s] .. edges[s + 1] - 1, at least one. Where references reach
 * farther, the means of all parts are multiplied with the ratio of the mean of
 * distance / reach and the mean of the first part's distances. nearest[s] is the reference that is
 * nearest to all embeddings together in the first part. */
void reference_means(const kernel *kernel, const reference_set *set, const float *x, size_t n_x,
                     size_t stride, const size_t *edges, size_t n_sections, double *means,
                     size_t *nearest, void *workspace);

/* What makes the distances of views comparable (asd_edge/scoring/views.py: Standard). */
typedef struct {
    size_t n; /* distances of an embedding: of the whole, then of each part */
    const double *centres, *spreads; /* [n] */
    double offset, factor, exponent, emphasis;
} distance_standard;

/* With x = distance ^ exponent and z = (x - centre) / spread:
 * factor * (max z + emphasis * z of the whole + offset), not below 0. */
double standard_contribution(const distance_standard *standard, const double *distances);

#endif
