/* Sorting a row: a bitonic network (Batcher, "Sorting networks and their applications", 1968) over keys.
 *
 * A key is an integer of the element's width that orders as the element does: floats with the bits of negative numbers
 * turned around, NaN the largest; for a descending order all but NaN turned around. Rows are padded to a power of two
 * with the largest key. Distances of a vector and more exchange whole vectors, shorter ones lanes within one:
 *
 *   k = 4 of 8 keys, W = 2:   distance 2: vectors 0-1, 2-3     distance 1: lanes 0-1 of each
 */
#include "codegen/host/lower.h"

typedef struct sorting {
    const tw_op *op;
    tw_dtype dtype;
    LLVMTypeRef bits, vector; /* of a key, of W keys */
    unsigned width;
    int64_t n, room; /* elements, keys */
    LLVMValueRef keys, result;
} sorting;

static LLVMValueRef splat_key(cg *x, const sorting *s, uint64_t value)
{
    LLVMValueRef same[64];
    for (int i = 0; i < x->W; i++)
        same[i] = LLVMConstInt(s->bits, value, false);
    return LLVMConstVector(same, (unsigned)x->W);
}

static uint64_t largest(const sorting *s)
{
    return ((uint64_t)1 << (s->width - 1)) - 1;
}

/* Its own inverse. */
static LLVMValueRef turn(cg *x, const sorting *s, LLVMValueRef v)
{
    if (tw_dtype_floating(s->dtype)) {
        LLVMValueRef sign = LLVMBuildAShr(x->b, v, splat_key(x, s, s->width - 1), "");
        return LLVMBuildXor(x->b, v, LLVMBuildAnd(x->b, sign, splat_key(x, s, largest(s)), ""), "");
    }
    return tw_dtype_signed(s->dtype) ? v : LLVMBuildXor(x->b, v, splat_key(x, s, largest(s) + 1), "");
}

static LLVMValueRef to_key(cg *x, const sorting *s, LLVMValueRef v)
{
    LLVMValueRef nan = NULL;
    if (tw_dtype_floating(s->dtype)) {
        nan = LLVMBuildFCmp(x->b, LLVMRealUNO, v, v, "");
        v = LLVMBuildBitCast(x->b, v, s->vector, "");
    }
    v = turn(x, s, v);
    if (s->op->attr[1].i)
        v = LLVMBuildNot(x->b, v, "");
    return nan ? LLVMBuildSelect(x->b, nan, splat_key(x, s, largest(s)), v, "") : v;
}

/* The largest key is a NaN's: no number has it, in either order. */
static LLVMValueRef from_key(cg *x, const sorting *s, LLVMValueRef key)
{
    LLVMValueRef v = s->op->attr[1].i ? LLVMBuildNot(x->b, key, "") : key;
    v = turn(x, s, v);
    if (!tw_dtype_floating(s->dtype))
        return v;
    LLVMTypeRef type = LLVMVectorType(cg_type(x, s->dtype), (unsigned)x->W);
    LLVMValueRef nan = LLVMBuildICmp(x->b, LLVMIntEQ, key, splat_key(x, s, largest(s)), "");
    LLVMValueRef number = LLVMBuildBitCast(x->b, v, type, "");
    return LLVMBuildSelect(x->b, nan, cg_splat(x, cg_constant(x, s->dtype, __builtin_nan(""), 0)), number, "");
}

static LLVMValueRef keys_at(cg *x, const sorting *s, LLVMValueRef index)
{
    return LLVMBuildGEP2(x->b, s->bits, s->keys, &index, 1, "");
}

static LLVMValueRef load_keys(cg *x, const sorting *s, LLVMValueRef index)
{
    LLVMValueRef v = LLVMBuildLoad2(x->b, s->vector, keys_at(x, s, index), "");
    LLVMSetAlignment(v, s->width / 8);
    return v;
}

static void store_keys(cg *x, const sorting *s, LLVMValueRef v, LLVMValueRef index)
{
    LLVMSetAlignment(LLVMBuildStore(x->b, v, keys_at(x, s, index)), s->width / 8);
}

static LLVMValueRef extreme(cg *x, const sorting *s, bool larger, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = s->vector;
    return cg_intrinsic(x, larger ? "llvm.smax" : "llvm.smin", &type, 1, (LLVMValueRef[]){a, b}, 2);
}

/* Lanes `distance` apart; upwards where the bit k of a key's index is 0. */
static LLVMValueRef exchange_lanes(cg *x, const sorting *s, LLVMValueRef v, int distance, LLVMValueRef down)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c), i1 = LLVMInt1TypeInContext(x->c);
    LLVMValueRef partner[64], upper[64];
    for (int i = 0; i < x->W; i++) {
        partner[i] = LLVMConstInt(i32, (unsigned)(i ^ distance), false);
        upper[i] = LLVMConstInt(i1, (i & distance) != 0, false);
    }
    LLVMValueRef other =
        LLVMBuildShuffleVector(x->b, v, LLVMGetPoison(s->vector), LLVMConstVector(partner, (unsigned)x->W), "");
    LLVMValueRef wants_larger = LLVMBuildXor(x->b, LLVMConstVector(upper, (unsigned)x->W), down, "");
    return LLVMBuildSelect(x->b, wants_larger, extreme(x, s, true, v, other), extreme(x, s, false, v, other), "");
}

static LLVMValueRef runs_down(cg *x, LLVMValueRef index, LLVMValueRef k)
{
    LLVMValueRef lanes = LLVMBuildAdd(x->b, cg_splat(x, index), cg_iota(x, 1), "");
    LLVMValueRef bit = LLVMBuildAnd(x->b, lanes, cg_splat(x, k), "");
    return LLVMBuildICmp(x->b, LLVMIntNE, bit, LLVMConstNull(LLVMTypeOf(bit)), "");
}

/* Every vector by itself: runs of W keys, up and down in turn. */
static void sort_vectors(cg *x, const sorting *s)
{
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, s->room), x->W, 0, NULL);
    LLVMValueRef v = load_keys(x, s, l.index);
    for (int k = 2; k <= x->W; k *= 2)
        for (int distance = k / 2; distance >= 1; distance /= 2)
            v = exchange_lanes(x, s, v, distance, runs_down(x, l.index, cg_i64(x, k)));
    store_keys(x, s, v, l.index);
    cg_loop_end(x, &l, NULL);
}

/* Vectors `distance` keys apart. */
static void exchange_vectors(cg *x, const sorting *s, LLVMValueRef k, LLVMValueRef distance)
{
    LLVMValueRef both = LLVMBuildMul(x->b, distance, cg_i64(x, 2), "");
    loop block = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, s->room), 1, 0, NULL);
    block.step = both;
    LLVMValueRef bit = LLVMBuildAnd(x->b, block.index, k, "");
    LLVMValueRef down = LLVMBuildICmp(x->b, LLVMIntNE, bit, cg_i64(x, 0), "");
    loop l = cg_loop_begin(x, cg_i64(x, 0), distance, x->W, 0, NULL);
    LLVMValueRef low = LLVMBuildAdd(x->b, block.index, l.index, ""), high = LLVMBuildAdd(x->b, low, distance, "");
    LLVMValueRef a = load_keys(x, s, low), b = load_keys(x, s, high);
    LLVMValueRef smaller = extreme(x, s, false, a, b), larger = extreme(x, s, true, a, b);
    store_keys(x, s, LLVMBuildSelect(x->b, down, larger, smaller, ""), low);
    store_keys(x, s, LLVMBuildSelect(x->b, down, smaller, larger, ""), high);
    cg_loop_end(x, &l, NULL);
    cg_loop_end(x, &block, NULL);
}

static void merge_lanes(cg *x, const sorting *s, LLVMValueRef k)
{
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, s->room), x->W, 0, NULL);
    LLVMValueRef v = load_keys(x, s, l.index), down = runs_down(x, l.index, k);
    for (int distance = x->W / 2; distance >= 1; distance /= 2)
        v = exchange_lanes(x, s, v, distance, down);
    store_keys(x, s, v, l.index);
    cg_loop_end(x, &l, NULL);
}

static void sort_keys(cg *x, const sorting *s)
{
    sort_vectors(x, s);
    for (int64_t k = 2 * x->W; k <= s->room; k *= 2) {
        for (int64_t distance = k / 2; distance >= x->W; distance /= 2)
            exchange_vectors(x, s, cg_i64(x, k), cg_i64(x, distance));
        merge_lanes(x, s, cg_i64(x, k));
    }
}

/* ---- rows ---- the axis is the last one of what is sorted; others are walked down in memory */

static void fill(cg *x, const sorting *s, place *at, int axis)
{
    const tw_value *v = s->op->operand[0];
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, s->room), x->W, 0, NULL);
    at[axis] = (place){.v = l.index, .vector = true};
    x->tail = cg_first_lanes(x, LLVMBuildSub(x->b, cg_i64(x, s->n), l.index, ""));
    LLVMValueRef key = to_key(x, s, cg_vector(x, cg_eval(x, v, at), s->dtype));
    if (x->tail)
        key = LLVMBuildSelect(x->b, x->tail, key, splat_key(x, s, largest(s)), "");
    x->tail = NULL;
    store_keys(x, s, key, l.index);
    cg_loop_end(x, &l, NULL);
}

static void write_row(cg *x, const sorting *s, place *at, int axis)
{
    const tw_value *result = &s->op->result[0];
    bool row = axis == result->type.rank - 1;
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_i64(x, s->n), x->W, 0, NULL);
    LLVMValueRef v = from_key(x, s, load_keys(x, s, l.index));
    at[axis] = (place){.v = l.index, .vector = true};
    if (row) {
        cg_write_memory(x, result, s->result, at, (lane){.form = LANE_VECTOR, .v = v});
    } else {
        LLVMTypeRef type = LLVMTypeOf(v), pointers = LLVMVectorType(LLVMPointerTypeInContext(x->c, 0), (unsigned)x->W);
        LLVMValueRef stride = cg_tile_stride(x, &result->type, axis), address = cg_memory_at(x, result, s->result, at);
        LLVMValueRef offsets = LLVMBuildMul(x->b, cg_iota(x, 1), cg_splat(x, stride), "");
        address = LLVMBuildGEP2(x->b, cg_memory_type(x, s->dtype), address, &offsets, 1, "");
        LLVMValueRef mask = cg_first_lanes(x, LLVMBuildSub(x->b, cg_i64(x, s->n), l.index, ""));
        LLVMValueRef arguments[] = {v, address, LLVMConstInt(LLVMInt32TypeInContext(x->c), s->width / 8, false),
                                    mask ? mask : cg_all_lanes(x)};
        cg_intrinsic(x, "llvm.masked.scatter", (LLVMTypeRef[]){type, pointers}, 2, arguments, 4);
    }
    cg_loop_end(x, &l, NULL);
}

static void sort_from(cg *x, const sorting *s, int d, place *at)
{
    const tw_type *t = &s->op->operand[0]->type;
    int axis = (int)s->op->attr[0].i;
    if (x->status != TW_OK)
        return;
    if (d == axis) {
        sort_from(x, s, d + 1, at);
        return;
    }
    if (d < t->rank) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, t->dims[d]), 1, 0, NULL);
        at[d] = (place){.v = l.index};
        sort_from(x, s, d + 1, at);
        cg_loop_end(x, &l, NULL);
        return;
    }
    fill(x, s, at, axis);
    sort_keys(x, s);
    write_row(x, s, at, axis);
}

void cg_sort(cg *x, const tw_op *op)
{
    place at[TW_MAX_RANK];
    const tw_type *t = &op->operand[0]->type;
    sorting s = {.op = op, .dtype = (tw_dtype)t->dtype, .n = t->dims[op->attr[0].i], .room = x->W};
    if (s.n < 0 || s.dtype == TW_BOOL) {
        cg_refuse(x, s.n < 0 ? "a sort of a symbolic number of elements" : "a sort of bool");
        return;
    }
    while (s.room < s.n)
        s.room *= 2;
    s.width = (unsigned)tw_dtype_size(s.dtype) * 8;
    s.bits = LLVMIntTypeInContext(x->c, s.width);
    s.vector = LLVMVectorType(s.bits, (unsigned)x->W);
    s.keys = cg_scratch(x, (block_size){.bytes = s.room * (int64_t)tw_dtype_size(s.dtype)});
    s.result = cg_scratch(x, cg_tile_size(t));
    x->hoisting++;
    cg_hoist(x, op->operand[0]);
    sort_from(x, &s, 0, at);
    cg_push_memory(x, &op->result[0], s.result);
}
