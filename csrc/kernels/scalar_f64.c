/* Plain C, double precision, a frame at a time. */
#include "kernels.h"

#define REAL_BITS 64
#define TILE tile_scalar_f64
#include "../template/tile.h"
