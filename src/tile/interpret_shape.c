/* Operations that move elements without computing: broadcast, permute, reshape, join, split, gather. */
#include "tile/interpret_internal.h"

static void strides_of(const tw_type *t, int64_t stride[TW_MAX_RANK])
{
    int64_t below = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        stride[i] = below;
        below *= t->dims[i];
    }
}

static void copy_element(size_t size, void *to, int64_t at, const void *from, int64_t index)
{
    switch (size) {
    case 1:
        ((uint8_t *)to)[at] = ((const uint8_t *)from)[index];
        return;
    case 2:
        ((uint16_t *)to)[at] = ((const uint16_t *)from)[index];
        return;
    case 4:
        ((uint32_t *)to)[at] = ((const uint32_t *)from)[index];
        return;
    default:
        ((uint64_t *)to)[at] = ((const uint64_t *)from)[index];
    }
}

/* Result element i.. is source element sum(i * step). */
static void walk(const tw_type *t, const int64_t step[TW_MAX_RANK], size_t size, void *to, const void *from)
{
    int64_t index[TW_MAX_RANK] = {0}, count = tile_count(t), source = 0;
    for (int64_t i = 0; i < count; i++) {
        copy_element(size, to, i, from, source);
        for (int d = t->rank - 1; d >= 0; d--) {
            source += step[d];
            if (++index[d] < t->dims[d])
                break;
            source -= step[d] * t->dims[d];
            index[d] = 0;
        }
    }
}

static void run_broadcast(const tw_op *op, size_t size, void *to, const void *from)
{
    const tw_type *x = &op->operand[0]->type, *t = &op->result[0].type;
    int64_t stride[TW_MAX_RANK] = {0}, step[TW_MAX_RANK] = {0};
    strides_of(x, stride);
    for (int i = 0; i < x->rank; i++)
        step[i] = x->dims[i] == 1 ? 0 : stride[i];
    walk(t, step, size, to, from);
}

static void run_permute(const tw_op *op, size_t size, void *to, const void *from)
{
    const tw_type *x = &op->operand[0]->type, *t = &op->result[0].type;
    int64_t stride[TW_MAX_RANK] = {0}, step[TW_MAX_RANK] = {0};
    strides_of(x, stride);
    for (int i = 0; i < t->rank; i++)
        step[i] = stride[op->attr[0].dims.v[i]];
    walk(t, step, size, to, from);
}

static tw_status run_split(tw_tile_machine *m, const tw_op *op, size_t size)
{
    const void *from = data_of(m, op->operand[0]);
    for (int half = 0; half < 2; half++) {
        void *to = tw_tile_allocate(m, &op->result[half]);
        if (!to)
            return TW_ERR_MEMORY;
        for (int64_t i = 0; i < tile_count(&op->result[half].type); i++)
            copy_element(size, to, i, from, 2 * i + half);
    }
    return TW_OK;
}

static tw_status run_gather(tw_tile_machine *m, const tw_op *op, size_t size, void *to)
{
    const tw_type *x = &op->operand[0]->type, *t = &op->result[0].type;
    const void *from = data_of(m, op->operand[0]), *index = data_of(m, op->operand[1]);
    int axis = (int)op->attr[0].i;
    int64_t inner = 1, n = x->dims[axis], k = t->dims[axis];
    for (int i = axis + 1; i < t->rank; i++)
        inner *= t->dims[i];
    for (int64_t i = 0; i < tile_count(t); i++) {
        int64_t outer = i / (inner * k), low = i % inner,
                at = (int64_t)tw_tile_element(&op->operand[1]->type, index, i);
        if (at < 0 || at >= n)
            return tw_tile_found(m, TW_TILE_OUT_OF_BOUNDS, "gather: index %lld of a dimension of %lld", (long long)at,
                                 (long long)n);
        copy_element(size, to, i, from, (outer * n + at) * inner + low);
    }
    return TW_OK;
}

tw_status tw_tile_run_shape(tw_tile_machine *m, const tw_op *op)
{
    size_t size = element_bytes(&op->operand[0]->type);
    if (op->code == TW_T_SPLIT)
        return run_split(m, op, size);
    void *to = tw_tile_allocate(m, &op->result[0]);
    const void *from = data_of(m, op->operand[0]);
    int64_t count = tile_count(&op->result[0].type);
    if (!to)
        return TW_ERR_MEMORY;
    switch (op->code) {
    case TW_T_BROADCAST:
        run_broadcast(op, size, to, from);
        return TW_OK;
    case TW_T_PERMUTE:
        run_permute(op, size, to, from);
        return TW_OK;
    case TW_T_JOIN:
        for (int64_t i = 0; i < count; i++)
            copy_element(size, to, i, i & 1 ? data_of(m, op->operand[1]) : from, i / 2);
        return TW_OK;
    case TW_T_GATHER:
        return run_gather(m, op, size, to);
    default: /* reshape, expand_dims: the same elements in the same order */
        memcpy(to, from, (size_t)count * size);
        return TW_OK;
    }
}
