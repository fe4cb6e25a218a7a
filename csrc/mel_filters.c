#include "mel_filters.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static double hz_to_mel(double hz)
{
    return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + 27.0 * log(hz / 1000.0) / log(6.4);
}

static double mel_to_hz(double mel)
{
    return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * exp((mel - 15.0) * log(6.4) / 27.0);
}

/* Edge i = 0 .. n_mels + 1 of the triangles, in Hz. */
static double edge_hz(const melspec_config *c, size_t i)
{
    const double low = hz_to_mel(c->fmin), high = hz_to_mel(c->fmax);
    return mel_to_hz(low + (high - low) * (double)i / (c->n_mels + 1));
}

static double bin_hz(const melspec_config *c, size_t k) { return (double)k * c->sr / c->n_fft; }

static double triangle(const double edge[3], double f)
{
    const double rise = (f - edge[0]) / (edge[1] - edge[0]);
    const double fall = (edge[2] - f) / (edge[2] - edge[1]);
    return 2.0 / (edge[2] - edge[0]) * fmax(0.0, fmin(rise, fall));
}

/* The smallest range of bins that holds the filter. Every bin between its edges is tried. */
static mel_filter filter_range(const melspec_config *c, const double edge[3], size_t n_bins)
{
    const double bins_per_hz = c->n_fft / c->sr;
    size_t first = (size_t)(edge[0] * bins_per_hz);
    size_t last = (size_t)(edge[2] * bins_per_hz) + 2;
    if (last > n_bins)
        last = n_bins;
    while (first < last && !(triangle(edge, bin_hz(c, first)) > 0.0))
        first++;
    while (last > first && !(triangle(edge, bin_hz(c, last - 1)) > 0.0))
        last--;
    return (mel_filter){.first = first, .last = last, .weight_at = 0};
}

mel_filters *mel_filters_create(const melspec_config *c)
{
    mel_filters *filters = calloc(1, sizeof *filters);
    if (filters == NULL)
        return NULL;
    const size_t n_mels = (size_t)c->n_mels, n_bins = (size_t)c->n_fft / 2 + 1;
    filters->n_mels = n_mels;
    filters->n_bins = n_bins;
    filters->filter = calloc(n_mels, sizeof *filters->filter);
    filters->edge_bin = malloc((n_mels + 2) * sizeof *filters->edge_bin);
    if (filters->filter == NULL || filters->edge_bin == NULL) {
        mel_filters_free(filters);
        return NULL;
    }
    for (size_t i = 0, k = 0; i < n_mels + 2; i++) {
        const double edge = edge_hz(c, i);
        while (k < n_bins && bin_hz(c, k) < edge)
            k++;
        filters->edge_bin[i] = k;
    }
    size_t n_weights = 0;
    for (size_t m = 0; m < n_mels; m++) {
        const double edge[3] = {edge_hz(c, m), edge_hz(c, m + 1), edge_hz(c, m + 2)};
        mel_filter *filter = &filters->filter[m];
        *filter = filter_range(c, edge, n_bins);
        filter->weight_at = n_weights;
        n_weights += filter->last - filter->first;
    }
    /* + 1: there may be no weights, and malloc(0) may give NULL */
    filters->weights = malloc((n_weights + 1) * sizeof *filters->weights);
    if (filters->weights == NULL) {
        mel_filters_free(filters);
        return NULL;
    }
    for (size_t m = 0; m < n_mels; m++) {
        const double edge[3] = {edge_hz(c, m), edge_hz(c, m + 1), edge_hz(c, m + 2)};
        const mel_filter *filter = &filters->filter[m];
        for (size_t k = filter->first; k < filter->last; k++)
            filters->weights[filter->weight_at + (k - filter->first)] =
                triangle(edge, bin_hz(c, k));
    }
    return filters;
}

void mel_filters_free(mel_filters *filters)
{
    if (filters != NULL) {
        free(filters->filter);
        free(filters->weights);
        free(filters->edge_bin);
        free(filters);
    }
}

double mel_filters_weight(const mel_filters *filters, size_t band, size_t bin)
{
    assert(band < filters->n_mels && bin < filters->n_bins);
    const mel_filter *filter = &filters->filter[band];
    return bin >= filter->first && bin < filter->last
               ? filters->weights[filter->weight_at + (bin - filter->first)]
               : 0.0;
}
