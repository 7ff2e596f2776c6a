/* Pointers: a base and an offset in elements, or an address.
 *
 * Offsets are usually computed as i32 and widened at the end. Where one goes into a pointer, no sum or product on its
 * way is taken to overflow, as Triton's own analysis of contiguity does: so the widening moves inwards, to where the
 * lanes are still base + lane * step, and a load through it finds its neighbours.
 *
 *   cast(pid * 64 + arange)            as data: 16 sums, widened       as an offset: lane 0 is sext(pid * 64), step 1
 *   cast(m % M * stride + arange)      as data: 16 sums, widened       as an offset: AFFINE, once `m` is one row
 *
 * What stays a vector is split: a part that differs from lane to lane, and a base that they share. Whether the lanes
 * are neighbours after all (n % N is, but for one vector in N / W; stride * k is, where the stride is 1) is looked at
 * when it runs, on the part that differs, which rarely changes within a loop. */
#include "codegen/host/lower.h"

static LLVMTypeRef i64_type(cg *x)
{
    return LLVMInt64TypeInContext(x->c);
}

static lane uniform(LLVMValueRef v)
{
    return (lane){.form = LANE_UNIFORM, .v = v};
}

static int64_t bytes_of(tw_dtype dtype)
{
    return (int64_t)tw_dtype_size(dtype);
}

/* ---- sums and products of offsets ---- */

static LLVMValueRef add_bases(cg *x, LLVMValueRef a, LLVMValueRef b)
{
    return a && b ? LLVMBuildAdd(x->b, a, b, "") : a ? a : b;
}

static lane as_split(cg *x, lane l)
{
    if (l.form == LANE_AFFINE)
        return (lane){.form = LANE_VECTOR, .v = cg_iota(x, l.step), .base = l.v};
    return l;
}

static lane add_offsets(cg *x, lane a, lane b)
{
    lane r = {.form = LANE_VECTOR, .guessed = a.guessed || b.guessed};
    if (a.form != LANE_VECTOR && b.form != LANE_VECTOR) {
        r.v = LLVMBuildAdd(x->b, a.v, b.v, "");
        r.step = a.step + b.step;
        r.form = r.step ? LANE_AFFINE : LANE_UNIFORM;
        return r;
    }
    if (a.form == LANE_UNIFORM || b.form == LANE_UNIFORM) {
        const lane *vector = a.form == LANE_UNIFORM ? &b : &a, *one = a.form == LANE_UNIFORM ? &a : &b;
        r.v = vector->v;
        r.base = add_bases(x, vector->base, one->v);
        return r;
    }
    a = as_split(x, a);
    b = as_split(x, b);
    r.v = LLVMBuildAdd(x->b, a.v, b.v, "");
    r.base = add_bases(x, a.base, b.base);
    return r;
}

/* By a number that all lanes share. */
static lane scale_offset(cg *x, lane a, LLVMValueRef by)
{
    if (a.form == LANE_UNIFORM)
        return uniform(LLVMBuildMul(x->b, a.v, by, ""));
    if (a.form == LANE_AFFINE && LLVMIsAConstantInt(by)) {
        a.step *= LLVMConstIntGetSExtValue(by);
        a.v = LLVMBuildMul(x->b, a.v, by, "");
        a.form = a.step ? LANE_AFFINE : LANE_UNIFORM;
        return a;
    }
    a = as_split(x, a);
    a.v = LLVMBuildMul(x->b, a.v, cg_splat(x, by), "");
    a.base = a.base ? LLVMBuildMul(x->b, a.base, by, "") : NULL;
    a.guessed = true;
    return a;
}

static lane negate_offset(cg *x, lane a)
{
    return scale_offset(x, a, cg_i64(x, -1));
}

/* ---- offsets ---- */

static lane leaf(cg *x, const tw_value *v, const place *at)
{
    lane l = cg_eval(x, v, at);
    tw_dtype dtype = (tw_dtype)v->type.dtype;
    if (x->status != TW_OK || l.form == LANE_AFFINE)
        return l;
    l.v = cg_extend(x, l.v, dtype);
    l.guessed = l.form == LANE_VECTOR;
    return l;
}

/* Does the widening of what this computes say the same as computing it wide? Not for unsigned numbers that wrap. */
static bool widens(const tw_value *v)
{
    return v->type.dtype == TW_I64 || v->type.dtype == TW_I32;
}

static lane offset_of(cg *x, const tw_value *v, const place *at)
{
    const tw_op *op = v->def;
    place inner[TW_MAX_RANK];
    if (!op || v->type.rank == 0 || x->state[v->id].memory || !widens(v))
        return leaf(x, v, at);
    switch (op->code) {
    case TW_T_CAST:
        if (widens(op->operand[0]) &&
            (v->type.dtype == TW_I64 || (op->operand[0]->def && op->operand[0]->def->code == TW_T_ARANGE)))
            return cg_offset(x, op->operand[0], at);
        return leaf(x, v, at);
    case TW_T_ARANGE:
        return leaf(x, v, at);
    case TW_T_ADD:
        return add_offsets(x, cg_offset(x, op->operand[0], at), cg_offset(x, op->operand[1], at));
    case TW_T_SUB:
        return add_offsets(x, cg_offset(x, op->operand[0], at), negate_offset(x, cg_offset(x, op->operand[1], at)));
    case TW_T_NEG:
        return negate_offset(x, cg_offset(x, op->operand[0], at));
    case TW_T_MUL: {
        lane a = cg_offset(x, op->operand[0], at), b = cg_offset(x, op->operand[1], at);
        return b.form == LANE_UNIFORM   ? scale_offset(x, a, b.v)
               : a.form == LANE_UNIFORM ? scale_offset(x, b, a.v)
                                        : leaf(x, v, at);
    }
    default:
        if (op->info->class == TW_CLASS_VIEW && op->code != TW_T_JOIN && op->code != TW_T_SPLIT) {
            const tw_value *source = cg_source(x, op, at, inner);
            return source ? cg_offset(x, source, inner) : leaf(x, v, at);
        }
        return leaf(x, v, at);
    }
}

lane cg_offset(cg *x, const tw_value *v, const place *at)
{
    const lane *known = cg_find_offset(x, v, at);
    if (known)
        return *known;
    lane l = x->status == TW_OK ? offset_of(x, v, at) : uniform(cg_i64(x, 0));
    if (x->status == TW_OK && v->type.rank)
        cg_bind_offset(x, v, at, l);
    return l;
}

/* Is a number of fewer bits anywhere on the way? Programs of the scheduler compute in i64 from the start. */
static bool narrow(const tw_value *v, int depth)
{
    const tw_op *op = v->def;
    if (v->type.dtype != TW_I64)
        return true;
    if (!op || depth > 40 || v->type.rank == 0)
        return false;
    bool through = op->code == TW_T_ADD || op->code == TW_T_SUB || op->code == TW_T_MUL || op->code == TW_T_CAST ||
                   op->code == TW_T_REM || op->code == TW_T_DIV || op->info->class == TW_CLASS_VIEW;
    for (uint32_t i = 0; through && i < op->operands; i++)
        if (narrow(op->operand[i], depth + 1))
            return true;
    return false;
}

/* ---- addresses ---- */

lane cg_from_address(cg *x, LLVMValueRef address)
{
    bool vector = LLVMGetTypeKind(LLVMTypeOf(address)) == LLVMVectorTypeKind;
    return (lane){.form = vector ? LANE_VECTOR : LANE_UNIFORM,
                  .v = address,
                  .pointer = LLVMConstNull(LLVMPointerTypeInContext(x->c, 0)),
                  .absolute = true,
                  .guessed = vector};
}

lane cg_address(cg *x, lane p, tw_dtype dtype)
{
    lane offset = p;
    offset.pointer = NULL;
    offset.absolute = offset.guessed = false;
    if (!p.absolute) {
        offset = scale_offset(x, offset, cg_i64(x, bytes_of(dtype)));
        offset = add_offsets(x, offset, uniform(LLVMBuildPtrToInt(x->b, p.pointer, i64_type(x), "")));
    }
    if (offset.form == LANE_VECTOR) {
        offset.v = cg_vector(x, offset, TW_I64);
        offset.base = NULL;
    }
    offset.guessed = false;
    return offset;
}

static lane to_pointer(cg *x, lane address)
{
    lane p = address;
    p.pointer = LLVMConstNull(LLVMPointerTypeInContext(x->c, 0));
    p.absolute = true;
    p.guessed = p.form == LANE_VECTOR;
    return p;
}

static lane step_pointer(cg *x, lane p, lane offset, tw_dtype dtype)
{
    if (p.absolute)
        offset = scale_offset(x, offset, cg_i64(x, bytes_of(dtype)));
    lane sum = add_offsets(x, p, offset);
    sum.pointer = p.pointer;
    sum.absolute = p.absolute;
    return sum;
}

static lane bitcast(cg *x, const tw_op *op, const place *at)
{
    const tw_value *from = op->operand[0];
    lane l = cg_eval(x, from, at);
    if (!from->type.pointer)
        return to_pointer(x, l);
    if (l.absolute || tw_dtype_size((tw_dtype)from->type.dtype) == tw_dtype_size((tw_dtype)op->result[0].type.dtype))
        return l;
    return to_pointer(x, cg_address(x, l, (tw_dtype)from->type.dtype));
}

static lane choose(cg *x, const tw_op *op, const place *at)
{
    lane condition = cg_eval(x, op->operand[0], at), side[2];
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    for (int i = 0; i < 2; i++)
        side[i] = cg_address(x, cg_eval(x, op->operand[1 + i], at), dtype);
    if (condition.form == LANE_UNIFORM && side[0].form == LANE_UNIFORM && side[1].form == LANE_UNIFORM)
        return cg_from_address(x, LLVMBuildSelect(x->b, condition.v, side[0].v, side[1].v, ""));
    LLVMValueRef v = LLVMBuildSelect(x->b, cg_vector(x, condition, TW_BOOL), cg_vector(x, side[0], TW_I64),
                                     cg_vector(x, side[1], TW_I64), "");
    return cg_from_address(x, v);
}

lane cg_pointer(cg *x, const tw_op *op, const place *at)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    lane none = cg_from_address(x, cg_i64(x, 0)), p;
    switch (op->code) {
    case TW_T_ADD:
        p = cg_eval(x, op->operand[0], at);
        if (x->status != TW_OK)
            return none;
        if (narrow(op->operand[1], 0) || p.absolute || p.base || p.guessed)
            return step_pointer(x, p, cg_offset(x, op->operand[1], at), dtype);
        return cg_pointwise(x, op, (lane[]){p, cg_eval(x, op->operand[1], at)});
    case TW_T_SELECT:
        return choose(x, op, at);
    case TW_T_BITCAST:
        return bitcast(x, op, at);
    default:
        cg_refuse(x, "an operation on pointers that is neither a sum, a choice nor a cast");
        return none;
    }
}

LLVMValueRef cg_element_at(cg *x, tw_dtype dtype, const lane *p, LLVMValueRef index)
{
    if (p->absolute)
        return LLVMBuildIntToPtr(x->b, index, LLVMPointerTypeInContext(x->c, 0), "");
    return LLVMBuildGEP2(x->b, cg_memory_type(x, dtype), p->pointer, &index, 1, "");
}

LLVMValueRef cg_vector_of_pointers(cg *x, tw_dtype dtype, const lane *p)
{
    lane offset = *p;
    offset.base = p->absolute ? p->base : NULL;
    LLVMValueRef offsets = cg_vector(x, offset, TW_I64), base = p->pointer;
    LLVMTypeRef pointers = LLVMVectorType(LLVMPointerTypeInContext(x->c, 0), (unsigned)x->W);
    if (p->absolute)
        return LLVMBuildIntToPtr(x->b, offsets, pointers, "");
    if (p->base)
        base = LLVMBuildGEP2(x->b, cg_memory_type(x, dtype), base, (LLVMValueRef[]){p->base}, 1, "");
    return LLVMBuildGEP2(x->b, cg_memory_type(x, dtype), base, &offsets, 1, "");
}
