#include "scoring.h"

#include "kernel.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = WHITENING_BLOCK };

struct whitening {
    const kernel *kernel;
    size_t d, n_strips;
    _Alignas(CACHE_LINE) char blocks[]; /* see whiten_function */
};

static int half_is_finite(uint16_t half) { return (half >> 10 & 31) != 31; }

/* half is finite. */
static float half_to_float(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float v = exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(1024 + fraction), exponent - 25);
    return half & 0x8000 ? -v : v;
}

/* Copies n values of float16 to float16 or float, which has `bytes`. Returns 0 if one is infinite
 * or NaN. */
static int copy_halves(const uint16_t *from, size_t n, size_t bytes, void *to)
{
    int are_finite = 1;
    for (size_t j = 0; j < n; j++)
        are_finite &= half_is_finite(from[j]);
    if (bytes == sizeof *from)
        memcpy(to, from, n * bytes);
    else
        for (size_t j = 0; j < n && are_finite; j++)
            ((float *)to)[j] = half_to_float(from[j]);
    return are_finite;
}

asd_status whitening_create(const kernel *kernel, const uint16_t *triangle, size_t d,
                            whitening **result)
{
    assert(kernel != NULL && d > 0);
    *result = NULL;
    const size_t n_strips = (d + SIDE - 1) / SIDE, n_blocks = n_strips * (n_strips + 1) / 2;
    const size_t bytes = kernel->reads_float16 ? sizeof(uint16_t) : sizeof(float);
    const size_t size = sizeof(whitening) + n_blocks * SIDE * SIDE * bytes;
    whitening *w = aligned_alloc(CACHE_LINE, size);
    if (w == NULL)
        return ASD_NO_MEMORY;
    memset(w, 0, size);
    w->kernel = kernel;
    w->d = d;
    w->n_strips = n_strips;
    for (size_t i = 0; i < d; i++, triangle += i) {
        const size_t strip = i / SIDE;
        char *block = w->blocks + (strip * (strip + 1) / 2 * SIDE + i % SIDE) * SIDE * bytes;
        for (size_t j = 0; j <= i; j += SIDE, block += SIDE * SIDE * bytes)
            if (!copy_halves(triangle + j, i + 1 - j < SIDE ? i + 1 - j : SIDE, bytes, block)) {
                free(w);
                return ASD_NOT_FINITE;
            }
    }
    *result = w;
    return ASD_OK;
}

void whitening_free(whitening *whitening) { free(whitening); }

size_t whitening_workspace_size(const whitening *whitening)
{
    return 2 * whitening->n_strips * SIDE;
}

void whitening_project(const whitening *whitening, const float *x, size_t n, float *y,
                       float *workspace)
{
    const size_t d = whitening->d, padded = whitening->n_strips * SIDE;
    float *from = workspace, *to = workspace + padded;
    memset(from, 0, padded * sizeof *from);
    for (size_t i = 0; i < n; i++, x += d, y += d) {
        memcpy(from, x, d * sizeof *from);
        whitening->kernel->whiten(whitening->blocks, whitening->n_strips, from, to);
        memcpy(y, to, d * sizeof *y);
    }
}

void squared_distances(const kernel *kernel, const float *x, size_t n_x, const float *references,
                       size_t n_references, size_t d, double *out)
{
    assert(kernel != NULL);
    for (size_t i = 0; i < n_x; i++)
        for (size_t j = 0; j < n_references; j++)
            *out++ = kernel->squared_distance(x + i * d, references + j * d, d);
}

size_t reference_workspace_size(const reference_part *part)
{
    return part->whitening == NULL ? 0 : whitening_workspace_size(part->whitening) + part->d;
}

/* 1 - cos, in double precision, since it cancels where vectors are alike. A zero vector is at
 * distance 1 from all. */
static void cosine_distances(const float *x, const float *references, const double *lengths,
                             size_t n, size_t d, double *out)
{
    double square = 0;
    for (size_t k = 0; k < d; k++)
        square += (double)x[k] * x[k];
    const double length = square > 0 ? sqrt(square) : 1;
    for (size_t j = 0; j < n; j++, references += d) {
        double dot = 0;
        for (size_t k = 0; k < d; k++)
            dot += (double)x[k] * references[k];
        const double distance = 1 - dot / length / lengths[j];
        out[j] = distance < 0 ? 0 : distance;
    }
}

void reference_distances(const kernel *kernel, const reference_part *part, const float *x,
                         size_t start, size_t n, double *out, float *workspace)
{
    const size_t d = part->d;
    const float *references = part->references + start * d;
    x += part->first;
    if (part->whitening != NULL) {
        assert(part->whitening->d == d);
        whitening_project(part->whitening, x, 1, workspace, workspace + d);
        x = workspace;
    }
    if (part->lengths != NULL)
        cosine_distances(x, references, part->lengths + start, n, d, out);
    else {
        squared_distances(kernel, x, 1, references, n, d, out);
        for (size_t j = 0; j < n; j++)
            out[j] = sqrt(out[j]);
    }
    if (part->density != NULL)
        for (size_t j = 0; j < n; j++)
            out[j] /= part->density[start + j];
}

/* Mean of the k smallest of n values; `smallest` has room for k. An embedding with a NaN makes all
 * of them NaN, and so the mean. */
static double mean_of_smallest(const double *values, size_t n, size_t k, double *smallest)
{
    double sum = 0;
    size_t kept = 0;
    for (size_t j = 0; j < n; j++) {
        const double value = values[j];
        if (k >= n) {
            sum += value;
            continue;
        }
        if (kept == k && value >= smallest[k - 1])
            continue;
        size_t place = kept < k ? kept++ : k - 1;
        for (; place > 0 && smallest[place - 1] > value; place--)
            smallest[place] = smallest[place - 1];
        smallest[place] = value;
    }
    if (k >= n)
        return sum / (double)n;
    for (size_t j = 0; j < k; j++)
        sum += smallest[j];
    return sum / (double)k;
}

/* The workspace: doubles for the distances, their sums over the embeddings, distances by reach and
 * the smallest ones, a factor for each section; then floats for a part. */
size_t reference_means_workspace_size(const reference_set *set, size_t n, size_t n_sections)
{
    size_t floats = 0;
    for (size_t p = 0; p < set->n_parts; p++) {
        const size_t needed = reference_workspace_size(&set->parts[p]);
        floats = needed > floats ? needed : floats;
    }
    return (4 * n + n_sections) * sizeof(double) + floats * sizeof(float);
}

void reference_means(const kernel *kernel, const reference_set *set, const float *x, size_t n_x,
                     size_t stride, const size_t *edges, size_t n_sections, double *means,
                     size_t *nearest, void *workspace)
{
    const size_t begin = edges[0], n = edges[n_sections] - begin;
    double *distances = workspace, *sums = distances + n, *farther = sums + n;
    double *smallest = farther + n, *factors = smallest + n;
    float *work = (float *)(factors + n_sections);
    assert(set->k >= 1 && n_sections > 0);
    memset(sums, 0, n * sizeof *sums);
    for (size_t i = 0; i < n_x; i++, x += stride)
        for (size_t p = 0; p < set->n_parts; p++) {
            reference_distances(kernel, &set->parts[p], x, begin, n, distances, work);
            for (size_t j = 0; j < n && p == 0; j++) {
                sums[j] += distances[j];
                farther[j] = set->reach == NULL ? 0 : distances[j] / set->reach[begin + j];
            }
            for (size_t s = 0; s < n_sections; s++) {
                const size_t at = edges[s] - begin, count = edges[s + 1] - edges[s];
                double mean = mean_of_smallest(distances + at, count, set->k, smallest);
                assert(count > 0);
                if (p == 0)
                    factors[s] =
                        set->reach == NULL || !(mean > 0)
                            ? 1
                            : mean_of_smallest(farther + at, count, set->k, smallest) / mean;
                means[(s * n_x + i) * set->n_parts + p] = mean * factors[s];
            }
        }
    for (size_t s = 0; s < n_sections; s++) {
        nearest[s] = edges[s];
        for (size_t j = edges[s]; j < edges[s + 1]; j++)
            if (sums[j - begin] < sums[nearest[s] - begin])
                nearest[s] = j;
    }
}

/* Of a clip that is a reference the distance is rounding, which a root would blow up; unseen clips
 * are never so near, at a 64th of the ordinary distance (a cube root of 1/4). */
static const double NEAREST = 0.25;

/* A NaN stays one: no comparison with it is true. */
double standard_contribution(const distance_standard *standard, const double *distances)
{
    double highest = 0, whole = 0;
    assert(standard->n > 0);
    for (size_t p = 0; p < standard->n; p++) {
        const double centre = standard->centres[p], least = NEAREST * centre;
        const double x = pow(distances[p], standard->exponent);
        const double z = ((x < least ? least : x) - centre) / standard->spreads[p];
        if (p == 0)
            highest = whole = z;
        else if (z > highest)
            highest = z;
    }
    const double sum = highest + standard->emphasis * whole + standard->offset;
    return (sum < 0 ? 0 : sum) * standard->factor;
}
