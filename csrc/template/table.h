/* The table of a plan, in the precision of this instantiation. */
#ifndef ASD_TEMPLATE_TABLE_H
#define ASD_TEMPLATE_TABLE_H

#include "../tile_plan.h"
#include "vector.h"

INLINE const REAL *table_of(const tile_plan *plan)
{
#if REAL_BITS == 32
    return plan->table_f32;
#else
    return plan->table_f64;
#endif
}

#endif
