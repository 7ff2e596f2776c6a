/* load, store, atomic: element by element, in order. */
#include "tile/interpret_internal.h"

static bool active(const tw_tile_machine *m, const tw_value *mask, int64_t i)
{
    return !mask || ((const uint8_t *)data_of(m, mask))[mask->type.rank ? i : 0];
}

static const char *element(const tw_tile_machine *m, const tw_value *v, int64_t i, size_t size)
{
    return (const char *)data_of(m, v) + (size_t)(v->type.rank ? i : 0) * size;
}

static tw_status run_load(tw_tile_machine *m, const tw_op *op)
{
    const tw_value *pointer = op->operand[0], *mask = op->operand[1], *other = op->operand[2];
    const int64_t *address = data_of(m, pointer);
    size_t size = tw_dtype_size((tw_dtype)pointer->type.dtype);
    char *to = tw_tile_allocate(m, &op->result[0]);
    if (!to)
        return TW_ERR_MEMORY;
    for (int64_t i = 0; i < tile_count(&pointer->type); i++, to += size) {
        tw_status status = TW_OK;
        const void *from = active(m, mask, i) ? tw_tile_at(m, address[i], size, "load", &status) : NULL;
        if (from) {
            memcpy(to, from, size);
            TW_TRY(tw_tile_touch(m, address[i], size, false, false));
        } else if (other) {
            memcpy(to, element(m, other, i, size), size);
        } else {
            memset(to, 0, size);
        }
        TW_TRY(status);
    }
    return TW_OK;
}

static tw_status run_store(tw_tile_machine *m, const tw_op *op)
{
    const tw_value *pointer = op->operand[0], *value = op->operand[1], *mask = op->operand[2];
    const int64_t *address = data_of(m, pointer);
    size_t size = tw_dtype_size((tw_dtype)pointer->type.dtype);
    for (int64_t i = 0; i < tile_count(&pointer->type); i++) {
        tw_status status = TW_OK;
        if (!active(m, mask, i))
            continue;
        void *to = tw_tile_at(m, address[i], size, "store", &status);
        TW_TRY(status);
        if (!to)
            continue;
        memcpy(to, element(m, value, i, size), size);
        TW_TRY(tw_tile_touch(m, address[i], size, true, false));
    }
    return TW_OK;
}

static tw_status update(tw_tile_machine *m, const tw_op *op, void *at, const void *value, const void *compare)
{
    static const int codes[] = {
        [TW_T_ATOMIC_ADD] = TW_T_ADD, [TW_T_ATOMIC_MAX] = TW_T_MAX, [TW_T_ATOMIC_MIN] = TW_T_MIN,
        [TW_T_ATOMIC_AND] = TW_T_AND, [TW_T_ATOMIC_OR] = TW_T_OR,   [TW_T_ATOMIC_XOR] = TW_T_XOR};
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    size_t size = tw_dtype_size(dtype);
    int64_t kind = op->attr[0].i;
    if (kind == TW_T_ATOMIC_CAS) {
        if (!memcmp(at, compare, size))
            memcpy(at, value, size);
        return TW_OK;
    }
    if (kind == TW_T_ATOMIC_EXCHANGE) {
        memcpy(at, value, size);
        return TW_OK;
    }
    uint64_t old = 0, add = 0; /* the buffer need not be aligned */
    memcpy(&old, at, size);
    memcpy(&add, value, size);
    TW_TRY(tw_tile_binary(m, codes[kind], dtype, 1, &old, &old, 0, &add, 0));
    memcpy(at, &old, size);
    return TW_OK;
}

static tw_status run_atomic(tw_tile_machine *m, const tw_op *op)
{
    const tw_value *pointer = op->operand[0], *value = op->operand[1], *mask = op->operand[2],
                   *compare = op->operand[3];
    const int64_t *address = data_of(m, pointer);
    size_t size = tw_dtype_size((tw_dtype)pointer->type.dtype);
    char *old = tw_tile_allocate(m, &op->result[0]);
    if (!old)
        return TW_ERR_MEMORY;
    for (int64_t i = 0; i < tile_count(&pointer->type); i++, old += size) {
        tw_status status = TW_OK;
        memset(old, 0, size);
        if (!active(m, mask, i))
            continue;
        void *at = tw_tile_at(m, address[i], size, "atomic operation", &status);
        TW_TRY(status);
        if (!at)
            continue;
        memcpy(old, at, size);
        TW_TRY(tw_tile_touch(m, address[i], size, false, true));
        TW_TRY(update(m, op, at, element(m, value, i, size), compare ? element(m, compare, i, size) : NULL));
        if (pointer->type.rank == 0)
            TW_TRY(tw_tile_synchronise(m, address[i]));
        TW_TRY(tw_tile_touch(m, address[i], size, true, true));
    }
    return TW_OK;
}

tw_status tw_tile_run_memory(tw_tile_machine *m, const tw_op *op)
{
    return op->code == TW_T_LOAD ? run_load(m, op) : op->code == TW_T_STORE ? run_store(m, op) : run_atomic(m, op);
}
