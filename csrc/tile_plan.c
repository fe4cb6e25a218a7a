#include "tile_plan.h"

#include "rfft.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* When single precision is exact enough. Rounding leaves in every bin an error e of
 *
 *     mean |e|^2 = c^2 E / m,  c = 0.4e-7 sqrt(log2(m) - 1)     noise; E is the sum of all |X|^2
 *     |e|^2 <= 2^-48 max |X|^2                                  images of loud bins
 *
 * On white noise, c was measured at 0.85 to 1.05 of this for n_fft from 64 to 8192. Relative to a
 * band of weights F, the noise has a standard deviation of
 *
 *     c sqrt(2 E/m sum F^2 |X|^2) / sum F |X|^2 <= c sqrt(2 E/m max F / mel)        power
 *     c sqrt(E/m sum F^2 / 2) / mel                                                 amplitude
 *
 * The square of DEVIATIONS times that, plus the square of the images, must stay below 1e-5 squared.
 */
#define DEVIATIONS 6.0

static double noise(size_t m) { return 0.4e-7 * sqrt(log2((double)m) - 1.0); }

static double limit_scale(int power, size_t m, double max_weight, double sum_of_squares)
{
    const double allowed = 1e-5 / (DEVIATIONS * noise(m));
    return power == 1 ? allowed * sqrt(2.0 * (double)m / sum_of_squares)
                      : allowed * allowed * (double)m / (2.0 * max_weight);
}

static double image_weight(size_t m)
{
    const double ratio = 0x1p-24 / (DEVIATIONS * noise(m));
    return ratio * ratio * (double)m;
}

/* Chosen by measurement: AVX-512 has enough registers, 32, for transforms of 16 points. */
static void choose_shape(tile_plan *plan, size_t n, size_t lanes)
{
    const int is_wide = lanes >= 16;
    const size_t m = n / 2, most_for_16 = is_wide ? 1024 : 256;
    plan->n = n;
    plan->m = m;
    plan->A = m > most_for_16 ? 8 : m >= 256 ? 16 : m >= 128 ? 8 : 4;
    plan->B = m / plan->A;
    assert(plan->A <= TILE_MAX_COLUMNS && plan->B >= 4 && plan->B % 4 == 0);
    for (size_t rest = plan->B / 4; rest > 1; rest /= plan->radix[plan->n_passes++])
        plan->radix[plan->n_passes] = rest == 2    ? 2
                                      : rest == 4  ? 4
                                      : rest == 16 ? (is_wide ? 16 : 4)
                                                   : 8;
    assert(plan->n_passes <= TILE_MAX_PASSES);
}

/* Sets the offsets of the parts of the table and returns its length. */
static size_t lay_out(tile_plan *plan)
{
    size_t at = 0, N = plan->B;
    plan->window_at = at, at += plan->n;
    plan->column_at = at, at += 2 * plan->B * (plan->A - 1);
    for (size_t t = 0; t < plan->n_passes; t++, N /= plan->radix[t - 1])
        plan->row_at[t] = at, at += 2 * (N / plan->radix[t]) * (plan->radix[t] - 1);
    plan->unfold_at = at, at += 2 * plan->B * (plan->A / 2 + 1);
    plan->weights_at = at, at += 2 * (plan->m + 1);
    plan->limits_at = at, at += 2 * plan->n_mels;
    return at;
}

static void fill_twiddles(const tile_plan *plan, const double *window, double *table)
{
    const size_t A = plan->A, B = plan->B;
    double *to = table + plan->window_at;
    for (size_t p = 0; p < B; p++)
        for (size_t k = 0; k < A; k++)
            for (size_t part = 0; part < 2; part++)
                *to++ = 0.5 * window[2 * (p + B * k) + part];
    to = table + plan->column_at;
    for (size_t p = 0; p < B; p++)
        for (size_t i = 1; i < A; i++, to += 2)
            rfft_unit_root(p * i, plan->m, to);
    size_t N = B;
    for (size_t t = 0; t < plan->n_passes; N /= plan->radix[t++]) {
        to = table + plan->row_at[t];
        for (size_t p = 0; p < N / plan->radix[t]; p++)
            for (size_t i = 1; i < plan->radix[t]; i++, to += 2)
                rfft_unit_root(p * i, N, to);
    }
    to = table + plan->unfold_at;
    for (size_t i = 0; i <= A / 2; i++)
        for (size_t q = 0; q < B; q++, to += 2)
            rfft_unit_root(i + A * q, plan->n, to);
}

static void fill_bands(const tile_plan *plan, const mel_filters *filters, size_t *segment,
                       double *table)
{
    double *limits = table + plan->limits_at;
    double *max = limits,
           *squares = limits + 1; /* of each band's weights, first gathered in place */
    for (size_t s = 0; s <= plan->n_mels; s++) {
        segment[s] = filters->edge_bin[s];
        assert(segment[s] <= filters->edge_bin[s + 1]);
        for (size_t k = segment[s]; k < filters->edge_bin[s + 1]; k++) {
            double *w = table + plan->weights_at + 2 * (k - segment[0]);
            for (size_t flank = 0; flank < 2; flank++) {
                const size_t band = s - flank;
                if (band >= plan->n_mels) /* no band falls in segment 0, none rises in the last */
                    continue;
                w[flank] = mel_filters_weight(filters, band, k);
                max[2 * band] = fmax(max[2 * band], w[flank]);
                squares[2 * band] += w[flank] * w[flank];
            }
        }
    }
    segment[plan->n_mels + 1] = filters->edge_bin[plan->n_mels + 1];
    for (size_t band = 0; band < plan->n_mels; band++, limits += 2) {
        const int is_empty = !(limits[0] > 0.0);
        limits[0] = is_empty ? 0.0 : limit_scale(plan->power, plan->m, limits[0], limits[1]);
        limits[1] = is_empty ? (plan->power == 1 ? 1e18 : 1e36) : 0.0;
    }
}

tile_plan *tile_plan_create(const melspec_config *config, const mel_filters *filters,
                            const double *window, size_t lanes)
{
    tile_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return NULL;
    choose_shape(plan, (size_t)config->n_fft, lanes);
    plan->n_mels = filters->n_mels;
    plan->power = config->power;
    plan->is_db = config->log == MELSPEC_LOG_DB;
    plan->image_weight = image_weight(plan->m);
    plan->amin = config->amin;
    plan->db_scale = 20.0 / config->power / log(10.0);
    plan->db_floor = 20.0 / config->power * log10(config->amin);
    const size_t length = lay_out(plan);
    double *table = calloc(length, sizeof *table);
    float *rounded = malloc(length * sizeof *rounded);
    size_t *segment = malloc((plan->n_mels + 2) * sizeof *segment);
    uint32_t *bin_at = malloc((plan->m + 1) * sizeof *bin_at);
    plan->table_f64 = table;
    plan->table_f32 = rounded;
    plan->segment = segment;
    plan->bin_at = bin_at;
    if (table == NULL || rounded == NULL || segment == NULL || bin_at == NULL) {
        tile_plan_free(plan);
        return NULL;
    }
    fill_twiddles(plan, window, table);
    fill_bands(plan, filters, segment, table);
    for (size_t k = 0; k < plan->m; k++)
        bin_at[k] = (uint32_t)(k % plan->A * (2 * plan->B + 1) + k / plan->A);
    bin_at[plan->m] = (uint32_t)plan->B;
    for (size_t i = 0; i < length; i++)
        rounded[i] = (float)table[i];
    return plan;
}

void tile_plan_free(tile_plan *plan)
{
    if (plan != NULL) {
        free((void *)plan->table_f64);
        free((void *)plan->table_f32);
        free((void *)plan->segment);
        free((void *)plan->bin_at);
        free(plan);
    }
}

/* The largest vector has 64 bytes, in float and in double. The order is that of template/tile.h. */
size_t tile_work_size(const tile_plan *plan)
{
    const size_t vectors = plan->A * (2 * plan->B + 1) + 8 * plan->B + plan->n_mels;
    return TILE_BLOCK * sizeof(float) + 64 * vectors;
}
