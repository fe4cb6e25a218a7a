/* Slaney's mel scale (Auditory Toolbox, 1998) is linear below 1 kHz and logarithmic above:
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
#include "melspec_plan.h"

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

double melspec_edge_hz(const melspec_config *c, int i)
{
    const double low = hz_to_mel(c->fmin), high = hz_to_mel(c->fmax);
    return mel_to_hz(low + (high - low) * i / (c->n_mels + 1));
}

static double filter_weight(const melspec_config *c, const double edge[3], size_t k)
{
    const double f = (double)k * c->sr / c->n_fft;
    const double rise = (f - edge[0]) / (edge[1] - edge[0]);
    const double fall = (edge[2] - f) / (edge[2] - edge[1]);
    return 2.0 / (edge[2] - edge[0]) * fmax(0.0, fmin(rise, fall));
}

/* The smallest range of bins that holds the filter, by a look at each bin between its edges. */
static mel_filter filter_range(const melspec_config *c, const double edge[3], size_t n_bins)
{
    const double bins_per_hz = c->n_fft / c->sr;
    size_t first = (size_t)(edge[0] * bins_per_hz);
    size_t last = (size_t)(edge[2] * bins_per_hz) + 2;
    if (last > n_bins)
        last = n_bins;
    while (first < last && !(filter_weight(c, edge, first) > 0.0))
        first++;
    while (last > first && !(filter_weight(c, edge, last - 1) > 0.0))
        last--;
    return (mel_filter){.first = first, .last = last, .weight_at = 0};
}

melspec_status melspec_build_filters(melspec_plan *plan)
{
    const melspec_config *c = &plan->config;
    const size_t n_mels = (size_t)c->n_mels;
    plan->filters = calloc(n_mels, sizeof *plan->filters);
    if (plan->filters == NULL)
        return MELSPEC_NO_MEMORY;
    size_t n_weights = 0;
    for (int m = 0; m < c->n_mels; m++) {
        const double edge[3] = {melspec_edge_hz(c, m), melspec_edge_hz(c, m + 1), melspec_edge_hz(c, m + 2)};
        mel_filter *filter = &plan->filters[m];
        *filter = filter_range(c, edge, plan->n_bins);
        filter->weight_at = n_weights;
        n_weights += filter->last - filter->first;
    }
    plan->weights = malloc((n_weights + 1) * sizeof *plan->weights); /* + 1: never of size 0 */
    if (plan->weights == NULL)
        return MELSPEC_NO_MEMORY;
    for (int m = 0; m < c->n_mels; m++) {
        const double edge[3] = {melspec_edge_hz(c, m), melspec_edge_hz(c, m + 1), melspec_edge_hz(c, m + 2)};
        const mel_filter *filter = &plan->filters[m];
        for (size_t k = filter->first; k < filter->last; k++)
            plan->weights[filter->weight_at + (k - filter->first)] = filter_weight(c, edge, k);
    }
    return MELSPEC_OK;
}

double melspec_weight(const void *context, size_t band, size_t bin)
{
    const melspec_plan *plan = context;
    const mel_filter *filter = &plan->filters[band];
    return bin >= filter->first && bin < filter->last
               ? plan->weights[filter->weight_at + (bin - filter->first)]
               : 0.0;
}

void melspec_filterbank(const melspec_plan *plan, double *out)
{
    for (int m = 0; m < plan->config.n_mels; m++, out += plan->n_bins) {
        const mel_filter *filter = &plan->filters[m];
        for (size_t k = 0; k < plan->n_bins; k++)
            out[k] = k >= filter->first && k < filter->last
                         ? plan->weights[filter->weight_at + (k - filter->first)]
                         : 0.0;
    }
}
