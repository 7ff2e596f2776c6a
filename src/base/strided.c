/* Strided arrays: elements of one size that lie by strides, in elements. */
#include "base/base.h"

bool tw_row_major(int rank, const int64_t *shape, const int64_t *stride)
{
    int64_t below = 1, count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    for (int i = rank - 1; i >= 0 && count > 1; i--) {
        if (shape[i] != 1 && stride[i] != below)
            return false;
        below *= shape[i];
    }
    return true;
}

/* The offset of the next element in row-major order; false after the last. */
static bool next_offset(int rank, const int64_t *shape, const int64_t *stride, int64_t *at, int64_t *offset)
{
    for (int d = rank - 1; d >= 0; d--) {
        *offset += stride[d];
        if (++at[d] < shape[d])
            return true;
        *offset -= shape[d] * stride[d];
        at[d] = 0;
    }
    return false;
}

static bool is_empty(int rank, const int64_t *shape)
{
    for (int i = 0; i < rank; i++)
        if (shape[i] == 0)
            return true;
    return false;
}

void tw_copy_from_strides(void *to, const void *from, int rank, const int64_t *shape, const int64_t *stride,
                          size_t size)
{
    int64_t at[TW_MAX_RANK] = {0}, offset = 0;
    char *out = to;
    if (is_empty(rank, shape))
        return;
    do {
        memcpy(out, (const char *)from + offset * (int64_t)size, size);
        out += size;
    } while (next_offset(rank, shape, stride, at, &offset));
}

void tw_copy_to_strides(void *to, const void *from, int rank, const int64_t *shape, const int64_t *stride, size_t size)
{
    int64_t at[TW_MAX_RANK] = {0}, offset = 0;
    const char *in = from;
    if (is_empty(rank, shape))
        return;
    do {
        memcpy((char *)to + offset * (int64_t)size, in, size);
        in += size;
    } while (next_offset(rank, shape, stride, at, &offset));
}
