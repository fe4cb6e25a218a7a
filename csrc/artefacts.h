/* Traces that digital faults leave in a recording's samples (asd_edge/audio/artefacts.py). */
#ifndef ASD_ARTEFACTS_H
#define ASD_ARTEFACTS_H

#include "melspec.h"

#include <stddef.h>

typedef struct {
    /* A stretch of samples, from `start` on, that is played again after `period` samples: 0 if
     * there is none. Of several, the one of which most is played again. */
    size_t period, start;
    size_t length; /* samples of that stretch that are those of a period before */
    /* The samples are those of a rate this many times lower, 1 if not. */
    unsigned factor;
    int is_interpolated; /* with straight lines between them; else each is repeated */
} artefacts;

/* Looks for them in n samples at a rate in Hz, all of them finite.
 *
 * A stretch counts if the same samples, bit for bit, follow one another for a period at least, and
 * is found if one of the places that the search begins at, which are a second apart, lies in its
 * first part. Periods below 10 ms, those of a generator's tone, and above 5 s do not count.
 * The factor is 2, 3, 4, 6 or 8. One that leaves `lowest` Hz or more does not count. n < 2^32. */
void artefacts_find(const void *y, melspec_format format, size_t n, size_t rate, size_t lowest,
                    artefacts *result);

#endif
