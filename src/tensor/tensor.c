/* Tensor handles: making, releasing, scopes, looking. */
#include "tensor/internal.h"

#include <math.h>
#include <stdatomic.h>

static _Atomic int64_t bytes_now, bytes_peak;

/* ---- storage ---- */

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

storage *tw_storage_create(size_t bytes)
{
    enum { ALIGNMENT = 64 };
    storage *s = tw_alloc_zero(1, sizeof *s);
    if (!s)
        return NULL;
    s->references = 1;
    s->bytes = bytes;
    s->data = tw_alloc_aligned(TW_MAX(bytes, (size_t)1), ALIGNMENT);
    if (s->data) {
        tw_count_bytes((int64_t)bytes);
        return s;
    }
    tw_free(s);
    return NULL;
}

void tw_storage_release(storage *s)
{
    if (!s || --s->references > 0)
        return;
    if (s->foreign) {
        if (s->free)
            s->free(s->user);
    } else {
        tw_free(s->data);
        tw_count_bytes(-(int64_t)s->bytes);
    }
    tw_free(s);
}

/* ---- scopes ---- */

static _Thread_local struct {
    tw_vec(tw_tensor *) owned; /* NULL: a border between scopes */
    int depth;
} scopes;

bool tw_scope_own(tw_tensor *t)
{
    return tw_vec_push(&scopes.owned, t);
}

tw_scope tw_scope_begin(void)
{
    bool fine = tw_vec_push(&scopes.owned, NULL);
    scopes.depth += fine;
    return (tw_scope){.depth = fine ? scopes.depth : 0, .open = true};
}

static void end_innermost(void)
{
    while (scopes.owned.count > 0) {
        tw_tensor *t = scopes.owned.data[--scopes.owned.count];
        if (!t)
            break;
        tw_release(t);
    }
    scopes.depth--;
}

void tw_scope_end(tw_scope *scope)
{
    while (scope->depth > 0 && scopes.depth >= scope->depth)
        end_innermost();
}

void tw_scope_end_all(void)
{
    while (scopes.depth > 0)
        end_innermost();
    while (scopes.owned.count > 0)
        tw_release(scopes.owned.data[--scopes.owned.count]);
    tw_vec_free(&scopes.owned);
}

tw_tensor *tw_yield(tw_tensor *t)
{
    size_t at = scopes.owned.count, border;
    while (at > 0 && scopes.owned.data[at - 1] != t && scopes.owned.data[at - 1])
        at--;
    if (at == 0 || scopes.owned.data[at - 1] != t)
        return t; /* not of the innermost scope */
    for (border = at - 1; border > 0 && scopes.owned.data[border]; border--)
        ;
    memmove(&scopes.owned.data[border + 1], &scopes.owned.data[border], (at - 1 - border) * sizeof(tw_tensor *));
    scopes.owned.data[border] = t;
    return t;
}

/* ---- handles ---- */

static tw_tensor out_of_memory = {.references = 1 << 30, .status = TW_ERR_MEMORY, .input = -1, .pending = -1};

tw_tensor *tw_tensor_create(tw_dtype dtype, int rank, const int64_t *shape)
{
    tw_tensor *t = tw_alloc_zero(1, sizeof *t);
    if (!t)
        return &out_of_memory;
    t->references = 1;
    t->dtype = dtype;
    t->rank = rank;
    t->input = t->pending = -1;
    t->count = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t->shape[i] = shape[i];
        t->stride[i] = t->count;
        t->count *= shape[i];
    }
    if (tw_scope_own(t))
        return t;
    tw_free(t);
    return &out_of_memory;
}

tw_tensor *tw_tensor_failed(tw_status status)
{
    tw_tensor *t = tw_tensor_create(TW_F32, 0, NULL);
    t->status = status;
    return t;
}

tw_tensor *tw_keep(tw_tensor *t)
{
    t->references++;
    return t;
}

void tw_release(tw_tensor *t)
{
    if (!t || --t->references > 0)
        return;
    segment *s = tw_segment_current();
    if (t->pending >= 0 && s && t->segment == s->number)
        s->pending.data[t->pending] = NULL;
    tw_tape_forget(t);
    tw_release(t->grad);
    tw_storage_release(t->storage);
    tw_free(t);
}

tw_status tw_tensor_status(const tw_tensor *t)
{
    return t->status;
}

/* ---- making ---- */

static tw_status check_shape(const char *name, int rank, const int64_t *shape, tw_dtype dtype)
{
    if (rank < 0 || rank > TW_MAX_RANK)
        return tw_error(TW_ERR_SHAPE, "%s: %d dimensions; expected 0 to %d", name, rank, TW_MAX_RANK);
    if ((int)dtype < 0 || dtype >= TW_TENSOR_DTYPES)
        return tw_error(TW_ERR_DTYPE, "%s: dtype %d is none that tensors have", name, (int)dtype);
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(count, shape[i], &count) || count > INT64_MAX / 16)
            return tw_error(TW_ERR_SHAPE, "%s: size %lld of dimension %d", name, (long long)shape[i], i);
    return TW_OK;
}

tw_tensor *tw_empty(int rank, const int64_t *shape, tw_dtype dtype)
{
    tw_status status = check_shape("empty", rank, shape, dtype);
    tw_tensor *t = status == TW_OK ? tw_tensor_create(dtype, rank, shape) : tw_tensor_failed(status);
    if (t->status != TW_OK)
        return t;
    t->storage = tw_storage_create((size_t)t->count * tw_dtype_size(dtype));
    if (!t->storage)
        t->status = TW_ERR_MEMORY;
    return t;
}

tw_tensor *tw_full_like_value(int rank, const int64_t *shape, double value, tw_dtype dtype)
{
    tw_tensor *t = tw_empty(rank, shape, dtype);
    size_t size = tw_dtype_size(t->dtype);
    for (int64_t i = 0; t->status == TW_OK && i < t->count; i++)
        tw_dtype_store(dtype, (char *)t->storage->data + (size_t)i * size, value);
    return t;
}

tw_tensor *tw_zeros(int rank, const int64_t *shape, tw_dtype dtype)
{
    tw_tensor *t = tw_empty(rank, shape, dtype);
    if (t->status == TW_OK)
        memset(t->storage->data, 0, t->storage->bytes);
    return t;
}

tw_tensor *tw_ones(int rank, const int64_t *shape, tw_dtype dtype)
{
    return tw_full_like_value(rank, shape, 1, dtype);
}

tw_tensor *tw_scalar(double value, tw_dtype dtype)
{
    return tw_full_like_value(0, NULL, value, dtype);
}

tw_tensor *tw_arange(double start, double stop, double step, tw_dtype dtype)
{
    int64_t n = step != 0 && isfinite(start) && isfinite(stop) ? (int64_t)TW_MAX(ceil((stop - start) / step), 0.0) : -1;
    if (n < 0)
        return tw_tensor_failed(tw_error(TW_ERR_VALUE, "arange: from %g to %g by %g", start, stop, step));
    tw_tensor *t = tw_empty(1, &n, dtype);
    for (int64_t i = 0; t->status == TW_OK && i < n; i++)
        tw_dtype_store(dtype, (char *)t->storage->data + (size_t)i * tw_dtype_size(dtype), start + (double)i * step);
    return t;
}

tw_tensor *tw_from_data(const void *data, int rank, const int64_t *shape, tw_dtype dtype)
{
    tw_tensor *t = tw_empty(rank, shape, dtype);
    if (t->status == TW_OK && t->storage->bytes)
        memcpy(t->storage->data, data, t->storage->bytes);
    return t;
}

/* Strided memory is copied once into rows; contiguous memory is used where it is. */
tw_tensor *tw_from_memory(void *data, int rank, const int64_t *shape, const int64_t *strides, tw_dtype dtype,
                          void (*release)(void *), void *user)
{
    tw_status status = check_shape("from_memory", rank, shape, dtype);
    tw_tensor *t = status == TW_OK ? tw_tensor_create(dtype, rank, shape) : tw_tensor_failed(status);
    bool contiguous = true;
    for (int i = 0; strides && t->status == TW_OK && i < rank; i++)
        contiguous = contiguous && (strides[i] == t->stride[i] || shape[i] <= 1);
    if (t->status != TW_OK)
        return t;
    size_t size = tw_dtype_size(dtype);
    if (contiguous) {
        t->storage = tw_alloc_zero(1, sizeof *t->storage);
        if (t->storage)
            *t->storage = (storage){.references = 1,
                                    .data = data,
                                    .bytes = (size_t)t->count * size,
                                    .free = release,
                                    .user = user,
                                    .foreign = true};
    } else if ((t->storage = tw_storage_create((size_t)t->count * size))) {
        for (int64_t i = 0; i < t->count; i++) {
            int64_t offset = 0, rest = i;
            for (int d = 0; d < rank; d++) {
                offset += rest / t->stride[d] * strides[d];
                rest %= t->stride[d];
            }
            memcpy((char *)t->storage->data + (size_t)i * size, (char *)data + offset * (int64_t)size, size);
        }
        if (release)
            release(user);
    }
    if (!t->storage)
        t->status = TW_ERR_MEMORY;
    return t;
}

/* ---- looking ---- */

int tw_rank(const tw_tensor *t)
{
    return t->rank;
}

int64_t tw_size(const tw_tensor *t, int axis)
{
    if (axis < -t->rank || axis >= t->rank) {
        tw_error(TW_ERR_AXIS, "size: axis %d of a tensor with %d dimensions", axis, t->rank);
        return -1;
    }
    return t->shape[axis < 0 ? axis + t->rank : axis];
}

const int64_t *tw_shape(const tw_tensor *t)
{
    return t->shape;
}

const int64_t *tw_strides(const tw_tensor *t)
{
    return t->stride;
}

int64_t tw_numel(const tw_tensor *t)
{
    return t->count;
}

tw_dtype tw_tensor_dtype(const tw_tensor *t)
{
    return t->dtype;
}

uint64_t tw_version(const tw_tensor *t)
{
    return t->version;
}

const void *tw_data(tw_tensor *t)
{
    segment *s = tw_segment_current();
    if (t->status != TW_OK) {
        tw_error(t->status, "data: the tensor carries an error");
        return NULL;
    }
    if (s && t->pending >= 0 && t->segment == s->number && tw_segment_flush() != TW_OK)
        return NULL;
    if (!t->storage)
        tw_error(TW_ERR_INTERNAL, "data: the tensor was not computed");
    return t->storage ? t->storage->data : NULL;
}

tw_status tw_copy_out(tw_tensor *t, void *to, size_t bytes)
{
    const void *data = tw_data(t);
    if (!data)
        return tw_error_code();
    if (bytes != (size_t)t->count * tw_dtype_size(t->dtype))
        return tw_error(TW_ERR_VALUE, "copy_out: room for %zu bytes; expected %zu", bytes,
                        (size_t)t->count * tw_dtype_size(t->dtype));
    memcpy(to, data, bytes);
    return TW_OK;
}

double tw_item(tw_tensor *t)
{
    const void *data = tw_data(t);
    if (data && t->count == 1)
        return tw_dtype_load(t->dtype, data);
    if (data)
        tw_error(TW_ERR_SHAPE, "item: the tensor has %lld elements; expected one", (long long)t->count);
    return NAN;
}

tw_status tw_sync(void)
{
    return tw_segment_flush();
}
