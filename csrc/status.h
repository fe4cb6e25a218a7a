/* The status that functions of the C core return. */
#ifndef ASD_STATUS_H
#define ASD_STATUS_H

typedef enum {
    ASD_OK = 0,
    ASD_NO_MEMORY,
    ASD_BAD_CONFIG, /* a field of a melspec_config is outside the range stated at it */
    ASD_TOO_SHORT,  /* the clip has fewer samples than its first frame needs */
    ASD_BAD_RANGE,  /* the samples do not give these frames, or the output has no room for them */
    ASD_NOT_FINITE  /* a value of a whitening matrix is infinite or NaN */
} asd_status;

#endif
