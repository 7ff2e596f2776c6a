/* Reductions and running reductions by a region: the kernel author's own function of two elements.
 *
 * One element after another, which is what the operation says; where the axis isn't the last one, a vector of columns
 * at a time. What `kind` names (the larger one, a NaN loses; bits) gives the same in any order and runs in vectors
 * along the last axis too. */
#include "codegen/host/lower.h"

enum { MOST_TILES = 16 };

/* ---- the region ---- */

static bool pointwise_only(const tw_block *b)
{
    tw_for_each_op (op, b)
        if (op->info->class != TW_CLASS_POINTWISE && op->code != TW_T_CONSTANT && op->code != TW_T_YIELD)
            return false;
    return true;
}

/* state = region(state, next), each a scalar or a vector of them. */
static void apply(cg *x, const tw_op *op, const LLVMValueRef *state, const LLVMValueRef *next, LLVMValueRef *result)
{
    const tw_block *b = op->region[0];
    int tiles = (int)op->operands;
    for (int i = 0; i < tiles; i++) {
        x->state[b->arg[i]->id].scalar = state[i];
        x->state[b->arg[tiles + i]->id].scalar = next[i];
    }
    if (LLVMGetTypeKind(LLVMTypeOf(state[0])) != LLVMVectorTypeKind) {
        cg_lower_block(x, b);
    } else {
        tw_for_each_op (inner, b) {
            lane operand[4], l;
            LLVMValueRef *scalar = inner->results ? &x->state[inner->result[0].id].scalar : NULL;
            if (inner->code == TW_T_YIELD)
                break;
            if (inner->code == TW_T_CONSTANT) {
                *scalar = cg_splat(
                    x, cg_constant(x, (tw_dtype)inner->result[0].type.dtype, inner->attr[0].f, inner->attr[1].i));
                continue;
            }
            for (uint32_t i = 0; i < inner->operands; i++) {
                LLVMValueRef v = x->state[inner->operand[i]->id].scalar;
                bool vector = LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
                operand[i] = (lane){.form = vector ? LANE_VECTOR : LANE_UNIFORM, .v = v};
            }
            l = cg_pointwise(x, inner, operand);
            *scalar = cg_vector(x, l, (tw_dtype)inner->result[0].type.dtype);
        }
    }
    for (int i = 0; i < tiles && x->status == TW_OK; i++)
        result[i] = x->state[b->last->operand[i]->id].scalar;
}

/* ---- one element after another ---- */

typedef struct combination {
    const tw_op *op;
    int axis, tiles;
    bool scan, reverse, vector; /* vector: a vector of the last dimension at a time */
    LLVMValueRef memory[MOST_TILES];
} combination;

static void elements(cg *x, const combination *c, const place *at, LLVMValueRef *v)
{
    cg_forget(x);
    for (int i = 0; i < c->tiles; i++) {
        const tw_value *tile = c->op->operand[i];
        lane l = cg_eval(x, tile, at);
        v[i] = c->vector ? cg_vector(x, l, (tw_dtype)tile->type.dtype) : l.v;
    }
}

static void write(cg *x, const combination *c, const place *at, LLVMValueRef *v)
{
    place out[TW_MAX_RANK];
    int rank = c->op->operand[0]->type.rank;
    for (int d = 0, j = 0; d < rank; d++)
        if (c->scan || d != c->axis)
            out[j++] = at[d];
    for (int i = 0; i < c->tiles && x->status == TW_OK; i++) {
        const tw_value *result = &c->op->result[i];
        if (result->type.rank)
            cg_write_memory(x, result, c->memory[i], out,
                            (lane){.form = c->vector ? LANE_VECTOR : LANE_UNIFORM, .v = v[i]});
        else
            x->state[result->id].scalar = v[i];
    }
}

static void along_axis(cg *x, const combination *c, place *at)
{
    LLVMValueRef state[MOST_TILES], next[MOST_TILES];
    LLVMValueRef n = cg_size(x, c->op->operand[0]->type.dims[c->axis]), last = LLVMBuildSub(x->b, n, cg_i64(x, 1), "");
    at[c->axis] = (place){.v = c->reverse ? last : cg_i64(x, 0)};
    elements(x, c, at, state);
    if (x->status != TW_OK)
        return;
    if (c->scan)
        write(x, c, at, state);
    loop l = cg_loop_begin(x, cg_i64(x, 1), n, 1, c->tiles, state);
    at[c->axis].v = c->reverse ? LLVMBuildSub(x->b, last, l.index, "") : l.index;
    elements(x, c, at, next);
    if (x->status == TW_OK)
        apply(x, c->op, l.phi, next, next);
    if (x->status != TW_OK)
        return;
    if (c->scan)
        write(x, c, at, next);
    cg_loop_end(x, &l, next);
    if (!c->scan)
        write(x, c, at, l.phi);
}

/* Loops over the other dimensions, from d on. */
static void combine_from(cg *x, const combination *c, int d, place *at)
{
    const tw_type *t = &c->op->operand[0]->type;
    int last = t->rank - 1;
    if (x->status != TW_OK)
        return;
    if (d == c->axis) {
        combine_from(x, c, d + 1, at);
        return;
    }
    if (d > last) {
        along_axis(x, c, at);
        return;
    }
    bool vectors = d == last && c->vector;
    LLVMValueRef n = cg_size(x, t->dims[d]);
    loop l = cg_loop_begin(x, cg_i64(x, 0), n, vectors ? x->W : 1, 0, NULL);
    at[d] = (place){.v = l.index, .vector = vectors};
    if (vectors && !(t->dims[d] >= 0 && t->dims[d] % x->W == 0))
        x->tail = cg_first_lanes(x, LLVMBuildSub(x->b, n, l.index, ""));
    combine_from(x, c, d + 1, at);
    x->tail = NULL;
    cg_loop_end(x, &l, NULL);
}

/* ---- kinds that give the same in any order ---- */

/* The larger or smaller one, where a NaN loses and -0 is less than 0: AVX-512 has an instruction for it. */
static LLVMValueRef extreme_number(cg *x, bool larger, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = LLVMTypeOf(a), i32 = LLVMInt32TypeInContext(x->c);
    bool single = LLVMGetTypeKind(LLVMGetElementType(type)) == LLVMFloatTypeKind;
    if (x->vector_bytes == 64 && single && LLVMGetVectorSize(type) == 16) {
        enum { MINIMUM = 4, MAXIMUM = 5, ROUND_AS_SET = 4 };
        LLVMValueRef arguments[] = {a,
                                    b,
                                    LLVMConstInt(i32, larger ? MAXIMUM : MINIMUM, false),
                                    a,
                                    LLVMConstInt(LLVMInt16TypeInContext(x->c), 0xffff, false),
                                    LLVMConstInt(i32, ROUND_AS_SET, false)};
        return cg_intrinsic(x, "llvm.x86.avx512.mask.range.ps.512", NULL, 0, arguments, 6);
    }
    LLVMValueRef both = cg_intrinsic(x, larger ? "llvm.maximum" : "llvm.minimum", &type, 1, (LLVMValueRef[]){a, b}, 2);
    both = LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealUNO, b, b, ""), a, both, "");
    return LLVMBuildSelect(x->b, LLVMBuildFCmp(x->b, LLVMRealUNO, a, a, ""), b, both, "");
}

static LLVMValueRef by_kind(cg *x, int kind, LLVMValueRef a, LLVMValueRef b)
{
    switch (kind) {
    case TW_T_COMBINE_MAXNUM:
    case TW_T_COMBINE_MINNUM:
        return extreme_number(x, kind == TW_T_COMBINE_MAXNUM, a, b);
    case TW_T_COMBINE_AND:
        return LLVMBuildAnd(x->b, a, b, "");
    case TW_T_COMBINE_OR:
        return LLVMBuildOr(x->b, a, b, "");
    default:
        return LLVMBuildXor(x->b, a, b, "");
    }
}

/* NaN loses against everything; all of NaN is NaN. */
static LLVMValueRef neutral(cg *x, int kind, tw_dtype dtype)
{
    bool number = kind == TW_T_COMBINE_MAXNUM || kind == TW_T_COMBINE_MINNUM;
    return cg_splat(x, cg_constant(x, dtype, number ? __builtin_nan("") : 0, kind == TW_T_COMBINE_AND ? -1 : 0));
}

static LLVMValueRef fold(cg *x, int kind, LLVMValueRef v)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c);
    for (int n = x->W / 2; n >= 1; n /= 2) {
        LLVMValueRef order[64], none = LLVMGetPoison(LLVMTypeOf(v));
        for (int i = 0; i < x->W; i++)
            order[i] = LLVMConstInt(i32, (unsigned)(i < n ? i + n : i), false);
        v = by_kind(x, kind, v, LLVMBuildShuffleVector(x->b, v, none, LLVMConstVector(order, (unsigned)x->W), ""));
    }
    return LLVMBuildExtractElement(x->b, v, LLVMConstInt(i32, 0, false), "");
}

static LLVMValueRef vector_at(cg *x, const tw_value *v, place *at, LLVMValueRef index)
{
    at[v->type.rank - 1] = (place){.v = index, .vector = true};
    cg_forget(x);
    x->space = &v->type;
    memcpy(x->space_at, at, v->type.rank * sizeof *at);
    LLVMValueRef lanes = cg_vector(x, cg_eval(x, v, at), (tw_dtype)v->type.dtype);
    x->space = NULL;
    return lanes;
}

/* A row: as many vectors in flight as hide the latency of one step. */
static LLVMValueRef fold_row(cg *x, const tw_op *op, int kind, place *at)
{
    enum { IN_FLIGHT = 4 };
    const tw_value *v = op->operand[0];
    tw_dtype dtype = (tw_dtype)v->type.dtype, computed = dtype == TW_F16 || dtype == TW_BF16 ? TW_F32 : dtype;
    tw_dim size = v->type.dims[v->type.rank - 1];
    LLVMValueRef n = cg_size(x, size), part[IN_FLIGHT], zero = neutral(x, kind, computed);
    int64_t at_once = (int64_t)IN_FLIGHT * x->W;
    LLVMValueRef whole = cg_rounded_down(x, n, at_once);
    for (int i = 0; i < IN_FLIGHT; i++)
        part[i] = zero;
    if (size < 0 || size >= at_once) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), whole, at_once, IN_FLIGHT, part);
        for (int i = 0; i < IN_FLIGHT; i++) {
            LLVMValueRef e = vector_at(x, v, at, LLVMBuildAdd(x->b, l.index, cg_i64(x, i * x->W), ""));
            part[i] = by_kind(x, kind, l.phi[i], cg_widen(x, e, dtype));
        }
        cg_loop_end(x, &l, part);
        memcpy(part, l.phi, sizeof part);
    }
    for (int i = 0; i < IN_FLIGHT && (size < 0 || i * x->W < size % at_once); i++) {
        LLVMValueRef first = LLVMBuildAdd(x->b, whole, cg_i64(x, i * x->W), "");
        x->tail = cg_first_lanes(x, LLVMBuildSub(x->b, n, first, ""));
        LLVMValueRef e = cg_widen(x, vector_at(x, v, at, first), dtype);
        if (x->tail)
            e = LLVMBuildSelect(x->b, x->tail, e, zero, "");
        x->tail = NULL;
        part[i] = by_kind(x, kind, part[i], e);
    }
    for (int half = IN_FLIGHT / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            part[i] = by_kind(x, kind, part[i], part[i + half]);
    return cg_round_to(x, fold(x, kind, part[0]), dtype);
}

static void fold_rows(cg *x, const combination *c, int d, place *at)
{
    const tw_type *t = &c->op->operand[0]->type;
    if (d == t->rank - 1) {
        LLVMValueRef y = fold_row(x, c->op, (int)c->op->attr[3].i, at);
        write(x, c, at, &y);
        return;
    }
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, t->dims[d]), 1, 0, NULL);
    at[d] = (place){.v = l.index};
    fold_rows(x, c, d + 1, at);
    cg_loop_end(x, &l, NULL);
}

void cg_combine(cg *x, const tw_op *op)
{
    place at[TW_MAX_RANK];
    int last = op->operand[0]->type.rank - 1;
    combination c = {.op = op,
                     .axis = (int)op->attr[0].i,
                     .tiles = (int)op->operands,
                     .scan = op->attr[1].i != 0,
                     .reverse = op->attr[2].i != 0};
    if (c.tiles > MOST_TILES) {
        cg_refuse(x, "a combination of more than 16 tiles");
        return;
    }
    for (int i = 0; i < c.tiles; i++)
        c.memory[i] = op->result[i].type.rank ? cg_scratch(x, cg_tile_size(&op->result[i].type)) : NULL;
    if (!c.scan && c.tiles == 1 && c.axis == last && op->attr[3].i != TW_T_COMBINE_CUSTOM) {
        fold_rows(x, &c, 0, at);
    } else {
        c.vector = c.axis != last && pointwise_only(op->region[0]);
        combine_from(x, &c, 0, at);
    }
    for (int i = 0; i < c.tiles; i++)
        if (c.memory[i])
            cg_push_memory(x, &op->result[i], c.memory[i]);
    cg_finish_kept(x);
}
