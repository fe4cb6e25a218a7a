/* Triangular filters on Slaney's mel scale.
 *
 * The scale (Slaney, Auditory Toolbox, 1998) is linear below 1 kHz and logarithmic above:
 *
 *     mel(f) = 3 f / 200                            f < 1000 Hz
 *            = 15 + 27 ln(f / 1000) / ln 6.4        f >= 1000 Hz
 *
 * With edges e[0] .. e[n_mels+1] equally spaced on it from fmin to fmax, and f[k] = k sr / n_fft,
 *
 *     F[m][k] = 2 / (e[m+2] - e[m])                                             equal area
 *               max(0, min((f[k] - e[m]) / (e[m+1] - e[m]),
 *                          (e[m+2] - f[k]) / (e[m+2] - e[m+1])))                triangle
 */
#ifndef ASD_MEL_FILTERS_H
#define ASD_MEL_FILTERS_H

#include "melspec.h"

#include <stddef.h>

/* The bins that a filter weights: first .. last - 1, none where first == last. */
typedef struct {
    size_t first, last;
    size_t weight_at; /* where its weights begin in mel_filters.weights */
} mel_filter;

typedef struct {
    size_t n_mels, n_bins;
    mel_filter *filter; /* n_mels */
    double *weights;
    size_t *edge_bin; /* n_mels + 2: the first bin at or above each edge, or n_bins */
} mel_filters;

mel_filters *mel_filters_create(const melspec_config *config); /* NULL if there is no memory */

void mel_filters_free(mel_filters *filters); /* NULL is allowed */

double mel_filters_weight(const mel_filters *filters, size_t band, size_t bin); /* F[band][bin] */

#endif
