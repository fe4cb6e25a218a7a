/* Levels of a clip's samples (asd_edge/checks.py). */
#ifndef ASD_LEVELS_H
#define ASD_LEVELS_H

#include "melspec.h"

#include <stddef.h>
#include <stdint.h>

/* Full scale is 1, of int16 samples too. */
typedef struct {
    double mean;
    double power;    /* mean square of the samples less their mean; 0 if all are equal */
    double held;     /* share of the pieces in which all samples are equal, of 0 or another value */
    size_t leading;  /* samples that follow the first one and are equal to it */
    size_t trailing; /* samples before the last one that are equal to it */
    /* The same of samples that all lie within two steps of 16 bits. */
    size_t faint_leading, faint_trailing;
    /* Share of the pieces whose root mean square is at most one such step; 0 if they are more than
     * half and not all in one stretch: the pauses of a machine that is recorded softly. */
    double faint;
    double faint_most;        /* the same of the longest stretch of such pieces */
    size_t held_at, faint_at; /* where the first piece of each kind begins; 0 without one */
} levels;

/* Measures n samples, n > 0, all of them finite; of floats beyond 1e18 the power may be infinite.
 * Mean, power, held and faint are those of pieces of LEVELS_PIECE samples: of every one, or, from
 * LEVELS_LONG samples on, of the first one in every LEVELS_STRIDE samples. The relative error of
 * mean and power is below 1e-9 of the power. */
void levels_measure(const void *y, melspec_format format, size_t n, levels *result);

/* Lowest and highest of n samples, n > 0. */
void levels_range(const int16_t *y, size_t n, int16_t *lowest, int16_t *highest);

enum { LEVELS_PIECE = 128, LEVELS_STRIDE = 2048, LEVELS_LONG = 16 * LEVELS_STRIDE };

#endif
