#include "artefacts.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* A copy at any distance is found by few comparisons: the keys of STEP samples in a row, at places
 * SPACING_MS apart, are put into a table, and every STEPth sample of what follows is looked up.
 * Whatever the distance, one of those keys lies so far before. A key is 8 bytes: 4 samples of 16
 * bits, or 2 floats. */
enum {
    KEY = 8,
    STEP = 128,
    SLOT_BITS = 12,
    SLOTS = 1 << SLOT_BITS,
    PROBES = 8, /* slots that a key may be in */
    SPACING_MS = 1000,
    MOST_PLACES = 256, /* whose keys 16 bits can count */
};
/* Values that differ from the one before, in a stretch of STEP samples: of sound nearly all do.
 * With fewer, as of 8 bits' last steps, stretches are alike by chance. */
enum { MOVES = STEP / 4 };

typedef struct {
    const char *y;
    size_t n, size, rate; /* size in bytes of a sample */
} samples;

static uint64_t key_at(const samples *s, size_t i)
{
    uint64_t key;
    memcpy(&key, s->y + i * s->size, KEY);
    return key;
}

static size_t slot_of(uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - SLOT_BITS));
}

static int is_equal(const samples *s, size_t i, size_t j)
{
    return memcmp(s->y + i * s->size, s->y + j * s->size, s->size) == 0;
}

/* Samples from i on that are those from j on, j > i. */
static size_t common(const samples *s, size_t i, size_t j)
{
    size_t length = 0;
    while (j + length + STEP <= s->n && memcmp(s->y + (i + length) * s->size,
                                               s->y + (j + length) * s->size, STEP * s->size) == 0)
        length += STEP;
    while (j + length < s->n && is_equal(s, i + length, j + length))
        length++;
    return length;
}

/* The same of those before i and j. */
static size_t common_before(const samples *s, size_t i, size_t j)
{
    size_t length = 0;
    while (length < i && is_equal(s, i - length - 1, j - length - 1))
        length++;
    return length;
}

static int moves(const samples *s, size_t i)
{
    int count = 0;
    for (size_t k = i; k < i + STEP; k++)
        count += !is_equal(s, k, k + 1);
    return count >= MOVES;
}

/* The shortest period of a stretch that has the period `period`, over `length` samples more. */
static size_t shortest(const samples *s, size_t start, size_t period, size_t length)
{
    for (size_t part = period / 2; part > 0; part--) {
        const size_t p = period / part;
        if (period % part == 0 && common(s, start, start + p) >= length + period - p)
            return p;
    }
    return period;
}

/* Notes what samples j and i before it, alike for STEP samples, belong to; gives where it ends. */
static size_t note(const samples *s, size_t i, size_t j, size_t begin, artefacts *result)
{
    size_t before = common_before(s, i, j);
    before = before < j - begin ? before : j - begin; /* what was noted before counts once */
    const size_t start = i - before, end = j + common(s, i, j);
    size_t period = j - i, length = end - start - period;
    if (length < period || period > 5 * s->rate)
        return end;
    period = shortest(s, start, period, length);
    length = end - start - period;
    if (period < s->rate / 100)
        return end;
    if (length > result->length) {
        result->period = period;
        result->start = start;
        result->length = length;
    }
    return end;
}

/* The sample of a key by its number in the table. */
static size_t place_of(size_t number, size_t distance)
{
    return (number - 1) / STEP * distance + (number - 1) % STEP;
}

/* The slot of a key: that which has it, or the first free one, or the last that it may be in. */
static uint16_t *slot_for(const samples *s, uint16_t *table, size_t distance, uint64_t key)
{
    size_t slot = slot_of(key);
    for (int probe = 1; probe < PROBES && table[slot] != 0; probe++) {
        if (key_at(s, place_of(table[slot], distance)) == key)
            break;
        slot = (slot + 1) % SLOTS;
    }
    return &table[slot];
}

static void find_copies(const samples *s, artefacts *result)
{
    uint16_t table[SLOTS] = {0}; /* number of a key, from 1 */
    size_t distance = s->rate * SPACING_MS / 1000;
    distance = distance > s->n / MOST_PLACES ? distance : s->n / MOST_PLACES;
    distance = distance < s->n / 4 ? distance : s->n / 4;
    distance += STEP - distance % STEP;
    size_t done = 0;
    for (size_t place = 0; place * distance + 2 * STEP < s->n; place++) {
        const size_t begin = place * distance;
        for (size_t i = begin; i < begin + STEP; i++)
            if (key_at(s, i) != key_at(s, i + 1)) /* not of equal samples, as in silence */
                *slot_for(s, table, distance, key_at(s, i)) =
                    (uint16_t)(place * STEP + (i - begin) + 1);
        for (size_t j = begin + STEP; j <= begin + distance && j + STEP < s->n; j += STEP) {
            const uint64_t key = key_at(s, j);
            const size_t number = *slot_for(s, table, distance, key);
            if (number == 0 || j < done)
                continue;
            const size_t i = place_of(number, distance);
            if (key_at(s, i) == key &&
                memcmp(s->y + i * s->size, s->y + j * s->size, STEP * s->size) == 0 && moves(s, i))
                done = note(s, i, j, done, result);
        }
    }
}

/* Samples of a lower rate that were repeated have differences in one of `factor` places only;
 * with straight lines between them, differences of differences have. Sums of both are taken in
 * PIECES pieces of LENGTH samples, over places that all factors divide. */
enum { PLACES = 24, GROUPS = 8, LENGTH = PLACES * GROUPS, PIECES = 8 };
/* Mean of the other places in units of that one: of sound 1, of rounding to 16 bits 0.7 steps. */
static const float MOST = 0.05f;
static const unsigned FACTORS[] = {8, 6, 4, 3, 2};

/* The largest factor of which one place has nearly all of the sums, 1 for none. */
static unsigned factor_of(const float *sums)
{
    for (size_t f = 0; f < sizeof FACTORS / sizeof *FACTORS; f++) {
        float most = 0, total = 0;
        for (unsigned place = 0; place < FACTORS[f]; place++) {
            float sum = 0;
            for (unsigned i = place; i < PLACES; i += FACTORS[f])
                sum += sums[i];
            total += sum;
            most = sum > most ? sum : most;
        }
        if (total - most <= MOST * most * (float)(FACTORS[f] - 1))
            return FACTORS[f];
    }
    return 1;
}

/* The factor of one piece, 0 if it is without sound. */
static unsigned factor_of_piece(const void *y, melspec_format format, size_t at,
                                int *is_interpolated)
{
    float x[LENGTH + 2], first[PLACES] = {0}, second[PLACES] = {0};
    for (size_t i = 0; i < LENGTH + 2; i++)
        x[i] = format == MELSPEC_PCM16 ? ((const int16_t *)y)[at + i] : ((const float *)y)[at + i];
    float total = 0;
    for (size_t i = 0; i < LENGTH; i += PLACES)
        for (size_t j = 0; j < PLACES; j++) {
            const float a = x[i + j], b = x[i + j + 1], c = x[i + j + 2];
            first[j] += fabsf(b - a);
            second[j] += fabsf((c - b) - (b - a));
        }
    for (size_t j = 0; j < PLACES; j++)
        total += first[j];
    if (total == 0)
        return 0;
    const unsigned repeated = factor_of(first);
    *is_interpolated = repeated == 1;
    return repeated > 1 ? repeated : factor_of(second);
}

static void find_factor(const void *y, melspec_format format, size_t n, artefacts *result)
{
    unsigned votes[2][9] = {{0}}, with_sound = 0;
    /* Three that have none are enough, as of nearly all recordings. */
    for (size_t i = 0; i < PIECES && n >= 2 * LENGTH && votes[1][1] < 3; i++) {
        int is_interpolated = 0;
        const size_t at = i * (n - LENGTH - 2) / PIECES;
        const unsigned factor = factor_of_piece(y, format, at, &is_interpolated);
        with_sound += factor > 0;
        votes[is_interpolated][factor] += factor > 0;
    }
    for (int interpolated = 0; interpolated < 2; interpolated++)
        for (unsigned factor = 2; factor < 9; factor++)
            if (votes[interpolated][factor] > 0 &&
                4 * votes[interpolated][factor] >= 3 * with_sound) {
                result->factor = factor;
                result->is_interpolated = interpolated;
            }
}

void artefacts_find(const void *y, melspec_format format, size_t n, size_t rate, size_t lowest,
                    artefacts *result)
{
    *result = (artefacts){.factor = 1};
    const size_t size = format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
    find_copies(&(samples){y, n, size, rate}, result);
    find_factor(y, format, n, result);
    if (result->factor > 1 && rate >= lowest * result->factor) {
        result->factor = 1;
        result->is_interpolated = 0;
    }
}
