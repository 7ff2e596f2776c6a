/* Views as index maps: which element of the source stands at an index of the result. Nothing is moved. */
#include "codegen/host/lower.h"

bool cg_place_is_vector(const place *at, int rank)
{
    for (int i = 0; i < rank; i++)
        if (at[i].vector || at[i].lanes)
            return true;
    return false;
}

LLVMValueRef cg_lanes(cg *x, const place *p)
{
    if (p->lanes)
        return p->lanes;
    LLVMValueRef v = cg_splat(x, p->v);
    return p->vector ? LLVMBuildAdd(x->b, v, cg_iota(x, 1), "") : v;
}

static place at_number(cg *x, int64_t index)
{
    return (place){.v = cg_i64(x, index)};
}

/* ---- reshape ---- dimensions fall into groups with equal numbers of elements on both sides; within a group an index
 * becomes one number, and that the other side's indices */

typedef struct group {
    int from, from_end, to, to_end;
} group;

static bool constant_size(const tw_type *t, int first, int end)
{
    for (int i = first; i < end; i++)
        if (t->dims[i] < 0)
            return false;
    return true;
}

/* The next group behind `g`; false: the sizes are symbols that don't match. */
static bool next_group(const tw_type *from, const tw_type *to, group *g)
{
    g->from = g->from_end;
    g->to = g->to_end;
    if (g->from < from->rank && g->to < to->rank && from->dims[g->from] == to->dims[g->to]) {
        g->from_end++;
        g->to_end++;
        return true;
    }
    if (g->from < from->rank && from->dims[g->from] == 1) { /* dimensions of 1 come and go */
        g->from_end++;
        return true;
    }
    if (g->to < to->rank && to->dims[g->to] == 1) {
        g->to_end++;
        return true;
    }
    int64_t have = 1, want = 1;
    do { /* one more dimension for the side with fewer elements */
        bool left = g->from_end < from->rank && (have <= want || g->to_end == to->rank);
        if (left)
            have *= from->dims[g->from_end++];
        else if (g->to_end < to->rank)
            want *= to->dims[g->to_end++];
        if (!constant_size(from, g->from, g->from_end) || !constant_size(to, g->to, g->to_end))
            return false;
    } while (have != want && (g->from_end < from->rank || g->to_end < to->rank));
    return have == want;
}

/* Vectors of indices are divided as 32-bit numbers: no vector unit divides 64 bits. */
static LLVMValueRef divide(cg *x, LLVMValueRef v, int64_t by, bool remainder)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    bool vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    LLVMValueRef divisor = cg_i64(x, by);
    if (vector) {
        LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c);
        v = LLVMBuildTrunc(x->b, v, LLVMVectorType(i32, (unsigned)x->W), "");
        divisor = cg_splat(x, LLVMConstInt(i32, (unsigned long long)by, false));
    }
    v = remainder ? LLVMBuildURem(x->b, v, divisor, "") : LLVMBuildUDiv(x->b, v, divisor, "");
    return vector ? LLVMBuildZExt(x->b, v, type, "") : v;
}

static void regroup(cg *x, const tw_type *from, const tw_type *to, const group *g, const place *at, place *inner)
{
    int last = g->to_end - 1;
    int64_t below = 1;
    bool vector = cg_place_is_vector(at + g->to, g->to_end - g->to), row = false;
    if (vector && g->from_end > g->from && at[last].vector && !cg_place_is_vector(at + g->to, last - g->to))
        row = to->dims[last] % x->W == 0 && from->dims[g->from_end - 1] % x->W == 0; /* lanes stay in one row */
    LLVMValueRef number = vector && !row ? LLVMConstNull(LLVMTypeOf(cg_iota(x, 1))) : cg_i64(x, 0);
    for (int i = last; i >= g->to; i--) {
        LLVMValueRef index = vector && !row ? cg_lanes(x, &at[i]) : at[i].v,
                     stride = vector && !row ? cg_splat(x, cg_i64(x, below)) : cg_i64(x, below);
        number = LLVMBuildAdd(x->b, number, LLVMBuildMul(x->b, index, stride, ""), "");
        below *= to->dims[i];
    }
    for (int i = g->from_end - 1; i >= g->from; i--) {
        LLVMValueRef index = i == g->from ? number : divide(x, number, TW_MAX(from->dims[i], 1), true);
        inner[i] =
            vector && !row ? (place){.lanes = index} : (place){.v = index, .vector = row && i == g->from_end - 1};
        if (i > g->from)
            number = divide(x, number, TW_MAX(from->dims[i], 1), false);
    }
}

static bool reshape_index(cg *x, const tw_op *op, const place *at, place *inner)
{
    const tw_type *from = &op->operand[0]->type, *to = &op->result[0].type;
    group g = {0};
    while (g.from_end < from->rank || g.to_end < to->rank) {
        if (!next_group(from, to, &g)) {
            cg_refuse(x, "a reshape that regroups symbolic dimensions");
            return false;
        }
        if (g.from_end == g.from + 1 && g.to_end == g.to + 1)
            inner[g.from] = at[g.to];
        else if (g.from_end > g.from)
            regroup(x, from, to, &g, at, inner);
    }
    return true;
}

/* ---- one source ---- */

const tw_value *cg_source(cg *x, const tw_op *op, const place *at, place *inner)
{
    const tw_value *v = op->operand[0];
    switch (op->code) {
    case TW_T_BROADCAST:
        for (int i = 0; i < v->type.rank; i++)
            inner[i] = v->type.dims[i] == 1 && op->result[0].type.dims[i] != 1 ? at_number(x, 0) : at[i];
        return v;
    case TW_T_EXPAND_DIMS:
        for (int i = 0, j = 0; j < op->result[0].type.rank; j++)
            if (j != op->attr[0].i)
                inner[i++] = at[j];
        return v;
    case TW_T_PERMUTE:
        for (int i = 0; i < v->type.rank; i++)
            inner[op->attr[0].dims.v[i]] = at[i];
        return v;
    case TW_T_RESHAPE:
        return reshape_index(x, op, at, inner) ? v : NULL;
    default:
        return NULL;
    }
}

/* ---- join and split ---- */

lane cg_split_half(cg *x, const tw_value *half, const place *at)
{
    place inner[TW_MAX_RANK];
    const tw_op *op = half->def;
    memcpy(inner, at, half->type.rank * sizeof *at);
    inner[half->type.rank] = at_number(x, half->index);
    return cg_eval(x, op->operand[0], inner);
}

static lane join(cg *x, const tw_op *op, const place *at)
{
    const tw_type *t = &op->operand[0]->type;
    const place *which = &at[t->rank];
    bool single = !which->vector && !which->lanes;
    if (single && LLVMIsAConstantInt(which->v))
        return cg_eval(x, op->operand[LLVMConstIntGetSExtValue(which->v) != 0], at);
    lane half[2] = {cg_eval(x, op->operand[0], at), cg_eval(x, op->operand[1], at)};
    if (x->status != TW_OK)
        return half[0];
    LLVMValueRef index = single ? which->v : cg_lanes(x, which);
    LLVMValueRef first = LLVMBuildICmp(x->b, LLVMIntEQ, index, LLVMConstNull(LLVMTypeOf(index)), "");
    bool vector = !single || half[0].form != LANE_UNIFORM || half[1].form != LANE_UNIFORM;
    tw_dtype dtype = t->pointer ? TW_I64 : (tw_dtype)t->dtype;
    LLVMValueRef v[2];
    for (int i = 0; i < 2; i++) {
        if (t->pointer)
            half[i] = cg_address(x, half[i], (tw_dtype)t->dtype);
        v[i] = vector ? cg_vector(x, half[i], dtype) : half[i].v;
    }
    LLVMValueRef chosen = LLVMBuildSelect(x->b, first, v[0], v[1], "");
    if (t->pointer)
        return cg_from_address(x, chosen);
    return (lane){.form = vector ? LANE_VECTOR : LANE_UNIFORM, .v = chosen};
}

lane cg_view(cg *x, const tw_op *op, const place *at)
{
    place inner[TW_MAX_RANK];
    if (op->code == TW_T_JOIN)
        return join(x, op, at);
    const tw_value *v = cg_source(x, op, at, inner);
    if (!v) {
        cg_refuse(x, op->info->name);
        return (lane){.form = LANE_UNIFORM, .v = cg_i64(x, 0)};
    }
    return cg_eval(x, v, inner);
}
