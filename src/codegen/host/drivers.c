/* What is really looped over: stores, reductions, scans, tiles that are materialised. */
#include "codegen/host/lower.h"

#include <math.h>

/* ---- stores ---- all of a group are evaluated before the first is written: they may update in place what the others
 * read */

enum { MOST_STORES = 64 };

typedef struct store_group {
    const tw_op *const *op;
    int count;
} store_group;

void cg_store_all(cg *x, const tw_op *const *op, int count, const place *at)
{
    struct {
        lane pointer, value, mask;
    } s[MOST_STORES];
    for (int i = 0; i < count && x->status == TW_OK; i++) {
        s[i].value = cg_eval(x, op[i]->operand[1], at);
        s[i].pointer = cg_eval(x, op[i]->operand[0], at);
        s[i].mask = op[i]->operand[2] ? cg_eval(x, op[i]->operand[2], at) : (lane){0};
    }
    for (int i = 0; i < count && x->status == TW_OK; i++)
        cg_store(x, op[i], at, s[i].pointer, s[i].value, s[i].mask);
}

static void store_body(cg *x, void *data, const place *at)
{
    const store_group *s = data;
    cg_store_all(x, s->op, s->count, at);
}

void cg_store_group(cg *x, const tw_op *const *op, int count)
{
    store_group s = {op, count};
    cg_for_each_vector(x, &op[0]->operand[0]->type, store_body, &s);
}

/* ---- materialising ---- */

void cg_write_memory(cg *x, const tw_value *v, LLVMValueRef memory, const place *at, lane l)
{
    bool vector = v->type.rank > 0 && at[v->type.rank - 1].vector;
    LLVMValueRef value = cg_to_memory(x, &v->type, l, vector);
    unsigned size = v->type.pointer ? 8 : (unsigned)tw_dtype_size((tw_dtype)v->type.dtype);
    LLVMSetAlignment(LLVMBuildStore(x->b, value, cg_memory_at(x, v, memory, at)), size);
}

typedef struct copy {
    const tw_value *v;
    LLVMValueRef memory;
} copy;

static void copy_body(cg *x, void *data, const place *at)
{
    const copy *c = data;
    lane l = cg_eval(x, c->v, at);
    if (x->status == TW_OK)
        cg_write_memory(x, c->v, c->memory, at, l);
}

void cg_copy_to(cg *x, const tw_value *v, LLVMValueRef memory)
{
    copy c = {v, memory};
    x->end = x->state[v->id].ragged ? cg_ragged_columns(x) : NULL;
    cg_for_each_vector(x, &v->type, copy_body, &c);
    x->end = NULL;
}

void cg_materialise(cg *x, const tw_value *v)
{
    if (x->state[v->id].memory || v->type.rank == 0)
        return;
    LLVMValueRef memory = cg_scratch(x, cg_tile_size(&v->type));
    x->state[v->id].keep = false;
    cg_copy_to(x, v, memory);
    cg_push_memory(x, v, memory);
}

/* ---- reductions ---- */

static int combine_code(int kind)
{
    switch (kind) {
    case TW_T_REDUCE_SUM:
        return TW_T_ADD;
    case TW_T_REDUCE_PROD:
        return TW_T_MUL;
    case TW_T_REDUCE_MIN:
        return TW_T_MIN;
    default:
        return TW_T_MAX;
    }
}

/* x combined with it is x, to the last bit: -0 for sums. */
static LLVMValueRef identity(cg *x, int kind, tw_dtype dtype)
{
    int bits = (int)tw_dtype_size(dtype) * 8;
    bool sign = tw_dtype_signed(dtype);
    if (dtype == TW_BOOL)
        return LLVMConstInt(LLVMInt1TypeInContext(x->c), kind == TW_T_REDUCE_MIN || kind == TW_T_REDUCE_PROD, false);
    switch (kind) {
    case TW_T_REDUCE_SUM:
        return cg_constant(x, dtype, -0.0, 0);
    case TW_T_REDUCE_PROD:
        return cg_constant(x, dtype, 1, 1);
    case TW_T_REDUCE_MIN:
        return cg_constant(x, dtype, INFINITY, sign ? (int64_t)(((uint64_t)1 << (bits - 1)) - 1) : -1);
    default:
        return cg_constant(x, dtype, -INFINITY, sign ? (int64_t)((uint64_t)-1 << (bits - 1)) : 0);
    }
}

static LLVMValueRef combine(cg *x, int kind, tw_dtype dtype, LLVMValueRef a, LLVMValueRef b)
{
    if (dtype == TW_BOOL)
        return kind == TW_T_REDUCE_MIN || kind == TW_T_REDUCE_PROD ? LLVMBuildAnd(x->b, a, b, "")
                                                                   : LLVMBuildOr(x->b, a, b, "");
    return cg_binary(x, combine_code(kind), dtype, a, b);
}

static LLVMValueRef eval_vector(cg *x, const tw_value *v, place *at, int d, LLVMValueRef index)
{
    at[d] = (place){index, true, NULL};
    cg_forget(x);
    x->space = &v->type;
    memcpy(x->space_at, at, v->type.rank * sizeof *at);
    LLVMValueRef lanes = cg_vector(x, cg_eval(x, v, at), (tw_dtype)v->type.dtype);
    x->space = NULL;
    return lanes;
}

/* The first half of v combined with its second half, down to one lane. */
static LLVMValueRef fold_lanes(cg *x, int kind, tw_dtype dtype, LLVMValueRef v)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c);
    for (int n = x->W / 2; n >= 1; n /= 2) {
        LLVMValueRef upper[64], lower[64];
        for (int i = 0; i < n; i++) {
            lower[i] = LLVMConstInt(i32, (unsigned)i, false);
            upper[i] = LLVMConstInt(i32, (unsigned)(i + n), false);
        }
        LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef a = LLVMBuildShuffleVector(x->b, v, none, LLVMConstVector(lower, (unsigned)n), "");
        LLVMValueRef b = LLVMBuildShuffleVector(x->b, v, none, LLVMConstVector(upper, (unsigned)n), "");
        v = combine(x, kind, dtype, a, b);
    }
    return LLVMBuildExtractElement(x->b, v, LLVMConstInt(i32, 0, false), "");
}

/* Along the last axis: element i goes to partial i mod 64; the partials are folded in halves. The order depends on
 * nothing else. */
static LLVMValueRef reduce_row(cg *x, const tw_op *op, place *at)
{
    enum { PARTIALS = 64, MOST_PARTS = 16 };
    const tw_value *v = op->operand[0];
    tw_dtype dtype = (tw_dtype)v->type.dtype;
    int kind = (int)op->attr[1].i, d = v->type.rank - 1, parts = PARTIALS / x->W;
    tw_dim size = v->type.dims[d];
    LLVMValueRef n = cg_size(x, size), whole = cg_rounded_down(x, n, PARTIALS), part[MOST_PARTS];
    if (x->state[op->result[0].id].cut & CUT_ROW)
        whole = cg_ragged_columns(x);
    for (int i = 0; i < parts; i++)
        part[i] = cg_splat(x, identity(x, kind, dtype));
    if (size < 0 || size >= PARTIALS) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), whole, PARTIALS, parts, part);
        for (int i = 0; i < parts; i++) {
            LLVMValueRef index = LLVMBuildAdd(x->b, l.index, cg_i64(x, i * x->W), "");
            part[i] = combine(x, kind, dtype, l.phi[i], eval_vector(x, v, at, d, index));
        }
        cg_loop_end(x, &l, part);
        memcpy(part, l.phi, sizeof part);
    }
    for (int i = 0; i < parts && (size < 0 || i * x->W < size % PARTIALS); i++) {
        LLVMValueRef first = LLVMBuildAdd(x->b, whole, cg_i64(x, i * x->W), "");
        x->tail = cg_first_lanes(x, LLVMBuildSub(x->b, n, first, ""));
        LLVMValueRef e = eval_vector(x, v, at, d, first);
        if (x->tail)
            e = LLVMBuildSelect(x->b, x->tail, e, cg_splat(x, identity(x, kind, dtype)), "");
        x->tail = NULL;
        part[i] = combine(x, kind, dtype, part[i], e);
    }
    for (int half = parts / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            part[i] = combine(x, kind, dtype, part[i], part[i + half]);
    return fold_lanes(x, kind, dtype, part[0]);
}

/* One element after another; the first extreme wins, NaN is the extreme of extremes. */
static LLVMValueRef reduce_arg(cg *x, const tw_op *op, place *at)
{
    const tw_value *v = op->operand[0];
    tw_dtype dtype = (tw_dtype)v->type.dtype;
    int d = (int)op->attr[0].i;
    bool largest = op->attr[1].i == TW_T_REDUCE_ARGMAX, floating = tw_dtype_floating(dtype),
         sign = tw_dtype_signed(dtype);
    at[d] = (place){cg_i64(x, 0), false, NULL};
    cg_forget(x);
    LLVMValueRef start[2] = {cg_widen(x, cg_eval(x, v, at).v, dtype), cg_i64(x, 0)};
    loop l = cg_loop_begin(x, cg_i64(x, 1), cg_size(x, v->type.dims[d]), 1, 2, start);
    at[d].v = l.index;
    LLVMValueRef e = cg_widen(x, cg_eval(x, v, at).v, dtype), better;
    if (floating) {
        better = LLVMBuildFCmp(x->b, largest ? LLVMRealOGT : LLVMRealOLT, e, l.phi[0], "");
        LLVMValueRef new_nan = LLVMBuildAnd(x->b, LLVMBuildFCmp(x->b, LLVMRealUNO, e, e, ""),
                                            LLVMBuildFCmp(x->b, LLVMRealORD, l.phi[0], l.phi[0], ""), "");
        better = LLVMBuildOr(x->b, better, new_nan, "");
    } else {
        better = LLVMBuildICmp(x->b, largest ? (sign ? LLVMIntSGT : LLVMIntUGT) : (sign ? LLVMIntSLT : LLVMIntULT), e,
                               l.phi[0], "");
    }
    LLVMValueRef next[2] = {LLVMBuildSelect(x->b, better, e, l.phi[0], ""),
                            LLVMBuildSelect(x->b, better, l.index, l.phi[1], "")};
    cg_loop_end(x, &l, next);
    return l.phi[1];
}

/* Along another axis: each column sequentially, several vectors of columns in flight. */
static void reduce_columns(cg *x, const tw_op *op, place *at, int vectors, LLVMValueRef base, LLVMValueRef memory)
{
    enum { MOST = 4 };
    const tw_value *v = op->operand[0];
    tw_dtype dtype = (tw_dtype)v->type.dtype;
    int kind = (int)op->attr[1].i, axis = (int)op->attr[0].i, last = v->type.rank - 1;
    LLVMValueRef part[MOST];
    for (int i = 0; i < vectors; i++)
        part[i] = cg_splat(x, identity(x, kind, dtype));
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, v->type.dims[axis]), 1, vectors, part);
    at[axis] = (place){l.index, false, NULL};
    for (int i = 0; i < vectors; i++)
        part[i] = combine(x, kind, dtype, l.phi[i],
                          eval_vector(x, v, at, last, LLVMBuildAdd(x->b, base, cg_i64(x, i * x->W), "")));
    cg_loop_end(x, &l, part);
    for (int i = 0; i < vectors; i++) {
        place out[TW_MAX_RANK];
        for (int d = 0, j = 0; d <= last; d++)
            if (d != axis)
                out[j++] = d == last ? (place){LLVMBuildAdd(x->b, base, cg_i64(x, i * x->W), ""), true, NULL} : at[d];
        cg_write_memory(x, &op->result[0], memory, out, (lane){.form = LANE_VECTOR, .v = l.phi[i]});
    }
}

static void reduce_all_columns(cg *x, const tw_op *op, place *at, LLVMValueRef memory)
{
    const tw_type *t = &op->operand[0]->type;
    tw_dim size = t->dims[t->rank - 1];
    LLVMValueRef n = cg_size(x, size), from = cg_i64(x, 0), full = cg_rounded_down(x, n, x->W);
    int64_t vectors = size / x->W;
    int most = size < 0 || vectors % 4 == 0 ? 4 : vectors % 2 == 0 ? 2 : 1;
    for (int together = most; together >= 1; together = together > 1 && size < 0 ? 1 : 0) {
        if (size >= 0 && vectors == 0)
            break;
        LLVMValueRef limit = size < 0 ? cg_rounded_down(x, n, (int64_t)together * x->W) : full;
        loop l = cg_loop_begin(x, from, limit, (int64_t)together * x->W, 0, NULL);
        reduce_columns(x, op, at, together, l.index, memory);
        cg_loop_end(x, &l, NULL);
        from = limit;
    }
    if (size >= 0 && size % x->W == 0)
        return;
    loop l = {0};
    if (size < 0) /* runs once or not at all */
        l = cg_loop_begin(x, full, n, x->W, 0, NULL);
    x->tail = cg_first_lanes(x, LLVMBuildSub(x->b, n, full, ""));
    reduce_columns(x, op, at, 1, full, memory);
    x->tail = NULL;
    if (size < 0)
        cg_loop_end(x, &l, NULL);
}

/* Loops over the dimensions that stay, from d on; inside, one row or all columns. */
static void reduce_from(cg *x, const tw_op *op, int d, place *at, LLVMValueRef memory)
{
    const tw_type *t = &op->operand[0]->type;
    int axis = (int)op->attr[0].i, last = t->rank - 1;
    bool argument = op->attr[1].i == TW_T_REDUCE_ARGMAX || op->attr[1].i == TW_T_REDUCE_ARGMIN;
    bool scalars = axis == last || argument;
    if (d <= last && (d == axis || (d == last && !scalars))) {
        reduce_from(x, op, d + 1, at, memory);
        return;
    }
    if (d <= last) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, t->dims[d]), 1, 0, NULL);
        at[d] = (place){l.index, false, NULL};
        reduce_from(x, op, d + 1, at, memory);
        cg_loop_end(x, &l, NULL);
        return;
    }
    if (!scalars) {
        reduce_all_columns(x, op, at, memory);
        return;
    }
    LLVMValueRef y = argument ? reduce_arg(x, op, at) : reduce_row(x, op, at);
    if (op->result[0].type.rank == 0) {
        x->state[op->result[0].id].scalar = y;
        return;
    }
    place out[TW_MAX_RANK];
    for (int i = 0, j = 0; i <= last; i++)
        if (i != axis)
            out[j++] = at[i];
    cg_write_memory(x, &op->result[0], memory, out, (lane){.form = LANE_UNIFORM, .v = y});
}

void cg_reduce(cg *x, const tw_op *op)
{
    place at[TW_MAX_RANK];
    LLVMValueRef memory = op->result[0].type.rank ? cg_scratch(x, cg_tile_size(&op->result[0].type)) : NULL;
    reduce_from(x, op, 0, at, memory);
    if (memory)
        cg_push_memory(x, &op->result[0], memory);
    cg_finish_kept(x);
}

/* ---- scans ---- along the axis one element after another; all other dimensions are loops over scalars */

static void scan_from(cg *x, const tw_op *op, int d, place *at, LLVMValueRef memory)
{
    const tw_type *t = &op->operand[0]->type;
    tw_dtype dtype = (tw_dtype)t->dtype;
    int axis = (int)op->attr[0].i;
    LLVMValueRef n = cg_size(x, t->dims[axis]);
    if (d == axis) {
        scan_from(x, op, d + 1, at, memory);
        return;
    }
    if (d < t->rank) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, t->dims[d]), 1, 0, NULL);
        at[d] = (place){l.index, false, NULL};
        scan_from(x, op, d + 1, at, memory);
        cg_loop_end(x, &l, NULL);
        return;
    }
    LLVMValueRef start = cg_widen(x, identity(x, (int)op->attr[1].i, dtype), dtype);
    loop l = cg_loop_begin(x, cg_i64(x, 0), n, 1, 1, &start);
    LLVMValueRef i = op->attr[2].i ? LLVMBuildSub(x->b, LLVMBuildSub(x->b, n, cg_i64(x, 1), ""), l.index, "") : l.index;
    at[axis] = (place){i, false, NULL};
    tw_dtype computed = dtype == TW_F16 || dtype == TW_BF16 ? TW_F32 : dtype;
    LLVMValueRef next =
        combine(x, (int)op->attr[1].i, computed, l.phi[0], cg_widen(x, cg_eval(x, op->operand[0], at).v, dtype));
    cg_write_memory(x, &op->result[0], memory, at, (lane){.form = LANE_UNIFORM, .v = cg_round_to(x, next, dtype)});
    cg_loop_end(x, &l, &next);
}

void cg_scan(cg *x, const tw_op *op)
{
    place at[TW_MAX_RANK];
    LLVMValueRef memory = cg_scratch(x, cg_tile_size(&op->result[0].type));
    scan_from(x, op, 0, at, memory);
    cg_push_memory(x, &op->result[0], memory);
}
