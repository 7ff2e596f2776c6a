/* Cells: the content that aliases share, and its memory. */
#include "tensor/internal.h"

#include <stdatomic.h>

enum { ALIGNMENT = 64 };

static _Atomic int64_t bytes_now, bytes_peak;

/* ---- counting ---- */

void tw_count_bytes(int64_t change)
{
    int64_t now = atomic_fetch_add(&bytes_now, change) + change, peak = atomic_load(&bytes_peak);
    while (now > peak && !atomic_compare_exchange_weak(&bytes_peak, &peak, now))
        ;
}

int64_t tw_tensor_bytes(void)
{
    return atomic_load(&bytes_now);
}

int64_t tw_tensor_peak_bytes(bool reset)
{
    int64_t peak = atomic_load(&bytes_peak);
    if (reset)
        atomic_store(&bytes_peak, atomic_load(&bytes_now));
    return peak;
}

/* ---- cells ---- */

cell *tw_cell_create(tw_dtype dtype, int rank, const int64_t *shape)
{
    cell *c = tw_alloc_zero(1, sizeof *c);
    if (!c)
        return NULL;
    c->references = 1;
    c->dtype = dtype;
    c->rank = rank;
    c->input = -1;
    c->count = 1;
    for (int i = rank - 1; i >= 0; i--) {
        c->shape[i] = shape[i];
        c->stride[i] = c->count;
        c->count *= shape[i];
    }
    c->bytes = (size_t)c->count * tw_dtype_size(dtype);
    return c;
}

bool tw_cell_allocate(cell *c)
{
    c->data = tw_alloc_aligned(TW_MAX(c->bytes, (size_t)1), ALIGNMENT);
    if (c->data)
        tw_count_bytes((int64_t)c->bytes);
    return c->data != NULL;
}

static void free_memory(cell *c)
{
    if (c->foreign) {
        if (c->free)
            c->free(c->user);
    } else if (c->data) {
        tw_free(c->data);
        tw_count_bytes(-(int64_t)c->bytes);
    }
}

void tw_cell_release(cell *c)
{
    if (!c || --c->references > 0)
        return;
    free_memory(c);
    tw_free(c);
}

void tw_cell_hand_over(cell *c, void *made)
{
    if (c->foreign) { /* the user's memory is what changes */
        tw_copy_to_strides(c->data, made, c->rank, c->shape, c->stride, tw_dtype_size(c->dtype));
        tw_free(made);
        return;
    }
    free_memory(c);
    c->data = made;
    tw_count_bytes((int64_t)c->bytes);
}
