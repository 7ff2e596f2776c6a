/* Arrays in .npy files, of every dtype that tile programs have. */
#ifndef TW_IO_NPY_H
#define TW_IO_NPY_H

#include "base/base.h"

typedef struct tw_npy {
    tw_dtype dtype;
    int rank;
    int64_t shape[TW_MAX_RANK], count;
    void *data; /* row-major; of tw_npy_read: tw_free it */
} tw_npy;

tw_status tw_npy_read(const char *path, tw_npy *n);
tw_status tw_npy_write(const char *path, const tw_npy *n);

#endif
