/* Atomic read-modify-write, element by element: what a tile of them does to one address happens in order. */
#include "codegen/host/lower.h"

typedef struct update {
    const tw_op *op;
    LLVMValueRef memory; /* of the old elements; NULL: nobody asks */
    LLVMValueRef old;    /* of a scalar */
} update;

static LLVMAtomicRMWBinOp operation(int kind, tw_dtype dtype)
{
    bool floating = tw_dtype_floating(dtype), sign = tw_dtype_signed(dtype);
    switch (kind) {
    case TW_T_ATOMIC_ADD:
        return floating ? LLVMAtomicRMWBinOpFAdd : LLVMAtomicRMWBinOpAdd;
    case TW_T_ATOMIC_MAX:
        return sign ? LLVMAtomicRMWBinOpMax : LLVMAtomicRMWBinOpUMax;
    case TW_T_ATOMIC_MIN:
        return sign ? LLVMAtomicRMWBinOpMin : LLVMAtomicRMWBinOpUMin;
    case TW_T_ATOMIC_AND:
        return LLVMAtomicRMWBinOpAnd;
    case TW_T_ATOMIC_OR:
        return LLVMAtomicRMWBinOpOr;
    case TW_T_ATOMIC_XOR:
        return LLVMAtomicRMWBinOpXor;
    default:
        return LLVMAtomicRMWBinOpXchg;
    }
}

static LLVMValueRef as_bits(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    if (!tw_dtype_floating(dtype))
        return v;
    return LLVMBuildBitCast(x->b, v, LLVMIntTypeInContext(x->c, (unsigned)tw_dtype_size(dtype) * 8), "");
}

static LLVMValueRef from_bits(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    return tw_dtype_floating(dtype) ? LLVMBuildBitCast(x->b, v, cg_type(x, dtype), "") : v;
}

/* Read, compute, write if nobody wrote between: for what no instruction does, such as sums and extremes of floats. */
static LLVMValueRef retry(cg *x, const tw_op *op, LLVMValueRef address, LLVMValueRef value)
{
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype, computed = dtype;
    int kind = (int)op->attr[0].i;
    LLVMTypeRef bits = LLVMIntTypeInContext(x->c, (unsigned)tw_dtype_size(dtype) * 8);
    LLVMBasicBlockRef again = cg_block(x), done = cg_block(x), from = LLVMGetInsertBlock(x->b);
    if (dtype == TW_F16 || dtype == TW_BF16)
        computed = TW_F32;
    LLVMValueRef seen = LLVMBuildLoad2(x->b, bits, address, "");
    LLVMSetOrdering(seen, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(seen, (unsigned)tw_dtype_size(dtype));
    LLVMBuildBr(x->b, again);
    LLVMPositionBuilderAtEnd(x->b, again);
    LLVMValueRef old = LLVMBuildPhi(x->b, bits, "");
    LLVMAddIncoming(old, &seen, &from, 1);
    int code = kind == TW_T_ATOMIC_ADD ? TW_T_ADD : kind == TW_T_ATOMIC_MAX ? TW_T_MAX : TW_T_MIN;
    LLVMValueRef sum =
        cg_binary(x, code, computed, cg_widen(x, from_bits(x, old, dtype), dtype), cg_widen(x, value, dtype));
    LLVMValueRef pair = LLVMBuildAtomicCmpXchg(x->b, address, old, as_bits(x, cg_round_to(x, sum, dtype), dtype),
                                               LLVMAtomicOrderingAcquireRelease, LLVMAtomicOrderingMonotonic, false);
    LLVMValueRef found = LLVMBuildExtractValue(x->b, pair, 0, "");
    LLVMBasicBlockRef end = LLVMGetInsertBlock(x->b);
    LLVMAddIncoming(old, &found, &end, 1);
    LLVMBuildCondBr(x->b, LLVMBuildExtractValue(x->b, pair, 1, ""), done, again);
    LLVMPositionBuilderAtEnd(x->b, done);
    return from_bits(x, old, dtype);
}

static LLVMValueRef carry_out(cg *x, const tw_op *op, LLVMValueRef address, LLVMValueRef value, LLVMValueRef compare)
{
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    int kind = (int)op->attr[0].i;
    if (kind == TW_T_ATOMIC_CAS) {
        LLVMValueRef pair = LLVMBuildAtomicCmpXchg(x->b, address, as_bits(x, compare, dtype), as_bits(x, value, dtype),
                                                   LLVMAtomicOrderingAcquireRelease, LLVMAtomicOrderingAcquire, false);
        return from_bits(x, LLVMBuildExtractValue(x->b, pair, 0, ""), dtype);
    }
    bool arithmetic = kind == TW_T_ATOMIC_ADD || kind == TW_T_ATOMIC_MAX || kind == TW_T_ATOMIC_MIN;
    if (tw_dtype_floating(dtype) && arithmetic)
        return retry(x, op, address, value);
    LLVMValueRef old = LLVMBuildAtomicRMW(x->b, operation(kind, dtype), address, as_bits(x, value, dtype),
                                          LLVMAtomicOrderingAcquireRelease, false);
    return from_bits(x, old, dtype);
}

static void one_element(cg *x, update *u, const place *at)
{
    const tw_op *op = u->op;
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    cg_forget(x);
    lane pointer = cg_eval(x, op->operand[0], at), value = cg_eval(x, op->operand[1], at), mask = {0}, compare = {0};
    if (op->operand[2])
        mask = cg_eval(x, op->operand[2], at);
    if (op->operand[3])
        compare = cg_eval(x, op->operand[3], at);
    if (x->status != TW_OK)
        return;
    LLVMBasicBlockRef from = LLVMGetInsertBlock(x->b), yes = NULL, after = NULL;
    if (mask.form) {
        yes = cg_block(x);
        after = cg_block(x);
        LLVMBuildCondBr(x->b, mask.v, yes, after);
        LLVMPositionBuilderAtEnd(x->b, yes);
    }
    LLVMValueRef old = carry_out(x, op, cg_element_at(x, dtype, &pointer, pointer.v), value.v, compare.v);
    if (mask.form) {
        LLVMBasicBlockRef end = LLVMGetInsertBlock(x->b);
        LLVMBuildBr(x->b, after);
        LLVMPositionBuilderAtEnd(x->b, after);
        LLVMValueRef phi = LLVMBuildPhi(x->b, LLVMTypeOf(old), "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){old, LLVMConstNull(LLVMTypeOf(old))}, (LLVMBasicBlockRef[]){end, from},
                        2);
        old = phi;
    }
    u->old = old;
    if (u->memory)
        cg_write_memory(x, &op->result[0], u->memory, at, (lane){.form = LANE_UNIFORM, .v = old});
}

static void each(cg *x, update *u, int d, place *at)
{
    const tw_type *t = &u->op->operand[0]->type;
    if (x->status != TW_OK)
        return;
    if (d == t->rank) {
        one_element(x, u, at);
        return;
    }
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, t->dims[d]), 1, 0, NULL);
    at[d] = (place){.v = l.index};
    each(x, u, d + 1, at);
    cg_loop_end(x, &l, NULL);
}

void cg_atomic(cg *x, const tw_op *op)
{
    place at[TW_MAX_RANK];
    update u = {.op = op};
    const tw_value *result = &op->result[0];
    if (op->operand[0]->type.dtype == TW_BOOL) {
        cg_refuse(x, "an atomic operation on bool");
        return;
    }
    if (result->type.rank) { /* in vectors what is dear, before the elements go one by one */
        x->hoisting++;
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                cg_hoist(x, op->operand[i]);
    }
    if (result->type.rank && x->uses[result->id])
        u.memory = cg_scratch(x, cg_tile_size(&result->type));
    each(x, &u, 0, at);
    if (u.memory)
        cg_push_memory(x, result, u.memory);
    if (!result->type.rank)
        x->state[result->id].scalar = u.old;
}
