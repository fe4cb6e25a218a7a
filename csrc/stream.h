/* Streams: the frames of a clip whose samples come in pieces, with the bits of the whole clip. */
#ifndef ASD_STREAM_H
#define ASD_STREAM_H

#include "melspec.h"
#include "status.h"

#include <stddef.h>

/* A stream refers to its plan and serves one thread at a time. Its memory is fixed: one frame, plus
 * 32 hops (at most 65536 samples) or another frame, whichever is more. */
typedef struct melspec_stream melspec_stream;

/* On ASD_OK, melspec_stream_free must free *stream; otherwise *stream is NULL. */
asd_status melspec_stream_create(const melspec_plan *plan, melspec_stream **stream);

void melspec_stream_free(melspec_stream *stream); /* NULL is allowed */

/* Number of frames that n more samples complete. */
size_t melspec_stream_n_frames(const melspec_stream *stream, size_t n);

/* Number of frames that the padding behind the clip completes. */
size_t melspec_stream_n_rest(const melspec_stream *stream);

/* Takes n samples and computes the frames that are complete with them, as melspec_compute. */
asd_status melspec_stream_push(melspec_stream *stream, const void *y, melspec_format format,
                               size_t n, float *out, size_t out_stride, void *workspace);

/* Ends the clip and computes its last frames. Afterwards the stream can only be freed.
 * ASD_TOO_SHORT if the whole clip has no frame, see melspec_n_frames. */
asd_status melspec_stream_finish(melspec_stream *stream, float *out, size_t out_stride,
                                 void *workspace);

#endif
