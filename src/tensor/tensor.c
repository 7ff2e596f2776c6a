/* Tensor handles: scopes, making, releasing, looking. */
#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "tensor/internal.h"

/* ---- scopes ---- */

static _Thread_local struct {
    tw_vec(tw_tensor *) owned; /* NULL: a border between scopes */
    int depth;
} scopes;

static void end_thread(void)
{
    tw_scope_end_all();
    tw_generator_forget();
    tw_segment_forget();
}

bool tw_scope_own(tw_tensor *t)
{
    if (!scopes.owned.data)
        tw_os_at_thread_end(end_thread);
    return tw_vec_push(&scopes.owned, t);
}

tw_scope tw_scope_begin(void)
{
    if (!scopes.owned.data)
        tw_os_at_thread_end(end_thread);
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

static tw_tensor out_of_memory = {.references = 1 << 30, .status = TW_ERR_MEMORY};

/* A handle of a cell, whose reference it takes over (also on failure); owned by the scope. */
static tw_tensor *handle_of(cell *c)
{
    tw_tensor *t = c ? tw_alloc_zero(1, sizeof *t) : NULL;
    if (!t || !tw_scope_own(t)) {
        tw_cell_release(c);
        tw_free(t);
        return &out_of_memory;
    }
    t->references = 1;
    t->dtype = c->dtype;
    t->rank = c->rank;
    t->count = c->count;
    memcpy(t->shape, c->shape, (size_t)c->rank * sizeof *t->shape);
    memcpy(t->stride, c->stride, (size_t)c->rank * sizeof *t->stride);
    t->cell = c;
    c->lookers++;
    return t;
}

tw_tensor *tw_tensor_create(tw_dtype dtype, int rank, const int64_t *shape)
{
    return handle_of(tw_cell_create(dtype, rank, shape));
}

tw_tensor *tw_tensor_of(cell *c)
{
    c->references++;
    return handle_of(c);
}

tw_tensor *tw_tensor_unowned(tw_tensor *t)
{
    if (t == &out_of_memory)
        return NULL;
    scopes.owned.count--;
    if (t->status == TW_OK)
        return t;
    tw_release(t);
    return NULL;
}

tw_tensor *tw_tensor_failed(tw_status status)
{
    tw_tensor *t = tw_tensor_create(TW_F32, 0, NULL);
    if (t != &out_of_memory)
        t->status = status != TW_OK ? status : TW_ERR_INTERNAL;
    return t;
}

tw_status tw_located_status(tw_status status, const char *file, int line)
{
    if (status != TW_OK)
        tw_error_at(file, line);
    return status;
}

tw_tensor *tw_located(tw_tensor *t, const char *file, int line)
{
    tw_located_status(t->status, file, line);
    return t;
}

static bool looked_at(const tw_tensor *t)
{
    return t->references > t->bases;
}

tw_tensor *tw_keep(tw_tensor *t)
{
    bool before = looked_at(t);
    t->references++;
    if (!before && t->cell)
        t->cell->lookers++;
    return t;
}

/* Iterative: a view may be the last to hold its base, which is a view itself. */
static void let_go(tw_tensor *t, bool as_base)
{
    while (t) {
        bool before = looked_at(t);
        t->bases -= as_base;
        t->references--;
        if (before && !looked_at(t) && t->cell)
            t->cell->lookers--;
        if (t->references > 0)
            return;
        tw_tensor *base = t->view ? t->view->base : NULL;
        tw_node_release(t->node);
        tw_release(t->grad);
        tw_view_forget(t);
        tw_cell_release(t->cell);
        tw_free(t->packed);
        tw_free(t);
        t = base;
        as_base = true;
    }
}

void tw_release(tw_tensor *t)
{
    let_go(t, false);
}

void tw_base_release(tw_tensor *t)
{
    let_go(t, true);
}

tw_status tw_tensor_status(const tw_tensor *t)
{
    return t->status != TW_OK || !t->cell ? t->status : t->cell->status;
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
    if (t->status == TW_OK && !tw_cell_allocate(t->cell))
        t->status = TW_ERR_MEMORY;
    return t;
}

tw_tensor *tw_full_like_value(int rank, const int64_t *shape, double value, tw_dtype dtype)
{
    tw_tensor *t = tw_empty(rank, shape, dtype);
    size_t size = tw_dtype_size(t->dtype);
    for (int64_t i = 0; t->status == TW_OK && i < t->count; i++)
        tw_dtype_store(dtype, (char *)t->cell->data + (size_t)i * size, value);
    return t;
}

tw_tensor *tw_zeros(int rank, const int64_t *shape, tw_dtype dtype)
{
    tw_tensor *t = tw_empty(rank, shape, dtype);
    if (t->status == TW_OK)
        memset(t->cell->data, 0, t->cell->bytes);
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
        tw_dtype_store(dtype, (char *)t->cell->data + (size_t)i * tw_dtype_size(dtype), start + (double)i * step);
    return t;
}

tw_tensor *tw_from_data(const void *data, int rank, const int64_t *shape, tw_dtype dtype)
{
    tw_tensor *t = tw_empty(rank, shape, dtype);
    if (t->status == TW_OK && t->cell->bytes)
        memcpy(t->cell->data, data, t->cell->bytes);
    return t;
}

/* Strides are tried from the smallest: each must step over all below it. */
bool tw_overlaps(int rank, const int64_t *shape, const int64_t *stride)
{
    int order[TW_MAX_RANK], n = 0;
    int64_t reach = 0;
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 0)
            return false;
        if (shape[i] > 1)
            order[n++] = i;
    }
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && llabs(stride[order[j]]) < llabs(stride[order[j - 1]]); j--) {
            int t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    for (int i = 0; i < n; i++) {
        if (llabs(stride[order[i]]) <= reach)
            return true;
        reach += llabs(stride[order[i]]) * (shape[order[i]] - 1);
    }
    return false;
}

tw_tensor *tw_from_memory(void *data, int rank, const int64_t *shape, const int64_t *strides, tw_dtype dtype,
                          void (*release)(void *), void *user)
{
    tw_status status = check_shape("from_memory", rank, shape, dtype);
    if (status == TW_OK && strides && tw_overlaps(rank, shape, strides))
        status = tw_error(TW_ERR_VALUE, "from_memory: elements overlap; expected strides by which each element has "
                                        "memory of its own");
    tw_tensor *t = status == TW_OK ? tw_tensor_create(dtype, rank, shape) : tw_tensor_failed(status);
    if (t->status != TW_OK)
        return t;
    cell *c = t->cell;
    c->data = data;
    c->free = release;
    c->user = user;
    c->foreign = true;
    for (int i = 0; strides && i < rank; i++)
        c->stride[i] = t->stride[i] = strides[i];
    c->strided = !tw_row_major(rank, c->shape, c->stride);
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
        if (t->status == TW_OK)
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
    return t->cell ? t->cell->version : 0;
}

bool tw_is_contiguous(const tw_tensor *t)
{
    return tw_row_major(t->rank, t->shape, t->stride);
}

bool tw_shares_memory(const tw_tensor *a, const tw_tensor *b)
{
    return a->cell && a->cell == b->cell;
}

/* "item of f32[4, 8]": why a segment ends, for those who ask. */
static tw_status flush_for(const char *who, const tw_tensor *t)
{
    char reason[96];
    int room = (int)sizeof reason, n = snprintf(reason, sizeof reason, "%s of %s[", who, tw_dtype_name(t->dtype));
    for (int i = 0; i < t->rank && n < room; i++)
        n += snprintf(reason + n, (size_t)(room - n), "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    if (n < room)
        snprintf(reason + n, (size_t)(room - n), "]");
    return tw_segment_flush(reason);
}

/* Computes the content if it is pending; NULL: error set. */
static const char *first_element(tw_tensor *t, const char *who)
{
    if (tw_tensor_status(t) != TW_OK) {
        tw_error(tw_tensor_status(t), "%s: the tensor carries an error", who);
        return NULL;
    }
    if (t->cell->pending && flush_for(who, t) != TW_OK)
        return NULL;
    if (!t->cell->data) {
        tw_error(TW_ERR_INTERNAL, "%s: the tensor was not computed", who);
        return NULL;
    }
    return (const char *)t->cell->data + t->offset * (int64_t)tw_dtype_size(t->dtype);
}

const void *tw_memory(tw_tensor *t)
{
    return first_element(t, "memory");
}

/* A strided view is packed once for each content. */
static const void *packed(tw_tensor *t, const char *who)
{
    const char *first = first_element(t, who);
    if (!first || tw_row_major(t->rank, t->shape, t->stride))
        return first;
    if (t->packed && t->packed_version == t->cell->version)
        return t->packed;
    size_t size = tw_dtype_size(t->dtype);
    void *room = t->packed ? t->packed : tw_alloc_aligned(TW_MAX((size_t)t->count * size, (size_t)1), 64);
    if (!room)
        return NULL;
    tw_copy_from_strides(room, first, t->rank, t->shape, t->stride, size);
    t->packed_version = t->cell->version;
    return t->packed = room;
}

const void *tw_data(tw_tensor *t)
{
    return packed(t, "data");
}

tw_status tw_copy_out(tw_tensor *t, void *to, size_t bytes)
{
    const char *first = first_element(t, "copy_out");
    size_t size = tw_dtype_size(t->dtype);
    if (!first)
        return tw_error_code();
    if (bytes != (size_t)t->count * size)
        return tw_error(TW_ERR_VALUE, "copy_out: room for %zu bytes; expected %zu", bytes, (size_t)t->count * size);
    if (tw_row_major(t->rank, t->shape, t->stride))
        memcpy(to, first, bytes);
    else
        tw_copy_from_strides(to, first, t->rank, t->shape, t->stride, size);
    return TW_OK;
}

double tw_item(tw_tensor *t)
{
    const void *data = packed(t, "item");
    if (data && t->count == 1)
        return tw_dtype_load(t->dtype, data);
    if (data)
        tw_error(TW_ERR_SHAPE, "item: the tensor has %lld elements; expected one", (long long)t->count);
    return NAN;
}

tw_status tw_sync(void)
{
    return tw_segment_flush("sync");
}
