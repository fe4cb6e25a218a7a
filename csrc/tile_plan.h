/* Building a tile_plan (kernel.h). */
#ifndef ASD_TILE_PLAN_H
#define ASD_TILE_PLAN_H

#include "kernel.h"

typedef struct {
    size_t n;             /* n_fft, a power of two >= 64 */
    size_t lanes;         /* of float, of the widest kernel that is to run it */
    const double *window; /* n */
    size_t n_mels;
    const size_t *first;  /* segment s holds bins first[s] .. first[s+1] - 1, s = 0 .. n_mels */
    double (*weight)(const void *context, size_t band, size_t bin); /* in segments band, band+1 */
    const void *context;
    int power, db;
    double amin;
} tile_spec;

tile_plan *tile_plan_create(const tile_spec *spec); /* NULL where memory is short */

void tile_plan_free(tile_plan *plan); /* NULL is allowed */

size_t tile_work_size(const tile_plan *plan); /* bytes of work for any kernel */

#endif
