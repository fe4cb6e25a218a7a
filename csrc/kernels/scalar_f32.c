/* Plain C, single precision, a frame at a time, for machines without a kernel of their own. The
 * templates need no definitions for it. */
#include "kernels.h"

#define REAL_BITS 32
#define TILE tile_scalar_f32
#include "../template/embeddings.h"
#include "../template/tile.h"
