/* Loads and stores of user memory: vectors where lanes are neighbours, broadcasts where they are one, gathers and
 * scatters elsewhere. */
#include "codegen/host/lower.h"

static LLVMValueRef all_lanes(cg *x)
{
    LLVMValueRef lanes[64];
    for (int i = 0; i < x->W; i++)
        lanes[i] = LLVMConstInt(LLVMInt1TypeInContext(x->c), 1, false);
    return LLVMConstVector(lanes, (unsigned)x->W);
}

/* The lanes that take part: the operation's mask and the tail's. NULL: all. */
static LLVMValueRef active(cg *x, const lane *mask)
{
    LLVMValueRef m = mask && mask->form != LANE_NONE ? cg_vector(x, *mask, TW_BOOL) : NULL;
    if (m && LLVMIsConstant(m) && m == all_lanes(x))
        m = NULL;
    return !m ? x->tail : x->tail ? LLVMBuildAnd(x->b, m, x->tail, "") : m;
}

static LLVMValueRef element_at(cg *x, tw_dtype dtype, LLVMValueRef base, LLVMValueRef offset)
{
    return LLVMBuildGEP2(x->b, cg_memory_type(x, dtype), base, &offset, 1, "");
}

static LLVMValueRef to_memory(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    if (dtype != TW_BOOL)
        return v;
    bool vector = LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
    LLVMTypeRef i8 = LLVMInt8TypeInContext(x->c);
    return LLVMBuildZExt(x->b, v, vector ? LLVMVectorType(i8, (unsigned)x->W) : i8, "");
}

static LLVMValueRef from_memory(cg *x, LLVMValueRef v, tw_dtype dtype)
{
    return dtype == TW_BOOL ? LLVMBuildICmp(x->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static LLVMValueRef alignment(cg *x, tw_dtype dtype)
{
    return LLVMConstInt(LLVMInt32TypeInContext(x->c), tw_dtype_size(dtype), false);
}

static LLVMValueRef load_vector(cg *x, tw_dtype dtype, LLVMValueRef address, LLVMValueRef mask, LLVMValueRef other)
{
    LLVMTypeRef type = LLVMVectorType(cg_memory_type(x, dtype), (unsigned)x->W);
    if (!mask) {
        LLVMValueRef v = LLVMBuildLoad2(x->b, type, address, "");
        LLVMSetAlignment(v, (unsigned)tw_dtype_size(dtype));
        return v;
    }
    LLVMTypeRef overload[] = {type, LLVMPointerTypeInContext(x->c, 0)};
    LLVMValueRef arguments[] = {address, alignment(x, dtype), mask, other};
    return cg_intrinsic(x, "llvm.masked.load", overload, 2, arguments, 4);
}

static LLVMValueRef addresses(cg *x, tw_dtype dtype, const lane *pointer)
{
    LLVMValueRef offsets = cg_vector(x, *pointer, TW_I64);
    return LLVMBuildGEP2(x->b, cg_memory_type(x, dtype), pointer->pointer, &offsets, 1, "");
}

static LLVMValueRef gather(cg *x, tw_dtype dtype, const lane *pointer, LLVMValueRef mask, LLVMValueRef other)
{
    LLVMTypeRef pointers = LLVMVectorType(LLVMPointerTypeInContext(x->c, 0), (unsigned)x->W);
    LLVMTypeRef overload[] = {LLVMVectorType(cg_memory_type(x, dtype), (unsigned)x->W), pointers};
    LLVMValueRef arguments[] = {addresses(x, dtype, pointer), alignment(x, dtype), mask ? mask : all_lanes(x), other};
    return cg_intrinsic(x, "llvm.masked.gather", overload, 2, arguments, 4);
}

/* A load of one element under a condition: a branch, since the address may be wild. */
static LLVMValueRef load_guarded(cg *x, LLVMTypeRef type, LLVMValueRef address, LLVMValueRef condition,
                                 LLVMValueRef other)
{
    LLVMBasicBlockRef from = LLVMGetInsertBlock(x->b);
    LLVMBasicBlockRef yes = LLVMAppendBasicBlockInContext(x->c, x->function, ""),
                      after = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    LLVMBuildCondBr(x->b, condition, yes, after);
    LLVMPositionBuilderAtEnd(x->b, yes);
    LLVMValueRef loaded = LLVMBuildLoad2(x->b, type, address, "");
    LLVMBuildBr(x->b, after);
    LLVMPositionBuilderAtEnd(x->b, after);
    LLVMValueRef phi = LLVMBuildPhi(x->b, type, "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){loaded, other}, (LLVMBasicBlockRef[]){yes, from}, 2);
    return phi;
}

lane cg_load(cg *x, const tw_op *op, const place *at)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    LLVMTypeRef type = cg_memory_type(x, dtype);
    lane pointer = cg_eval(x, op->operand[0], at), mask = {0}, other = {0};
    if (op->operand[1])
        mask = cg_eval(x, op->operand[1], at);
    if (op->operand[2])
        other = cg_eval(x, op->operand[2], at);
    if (x->status != TW_OK)
        return (lane){.form = LANE_UNIFORM, .v = LLVMConstNull(cg_type(x, dtype))};
    bool condition = mask.form == LANE_UNIFORM && !LLVMIsConstant(mask.v);
    if (pointer.form == LANE_UNIFORM && mask.form != LANE_VECTOR && other.form != LANE_VECTOR) {
        LLVMValueRef address = element_at(x, dtype, pointer.pointer, pointer.v);
        LLVMValueRef rest = other.form ? to_memory(x, other.v, dtype) : LLVMConstNull(type);
        LLVMValueRef v =
            condition ? load_guarded(x, type, address, mask.v, rest) : LLVMBuildLoad2(x->b, type, address, "");
        return (lane){.form = LANE_UNIFORM, .v = from_memory(x, v, dtype)};
    }
    LLVMValueRef rest = other.form ? to_memory(x, cg_vector(x, other, dtype), dtype)
                                   : LLVMConstNull(LLVMVectorType(type, (unsigned)x->W));
    LLVMValueRef m = active(x, &mask), v;
    if (pointer.form == LANE_AFFINE && pointer.step == 1)
        v = load_vector(x, dtype, element_at(x, dtype, pointer.pointer, pointer.v), m, rest);
    else
        v = gather(x, dtype, &pointer, m, rest);
    return (lane){.form = LANE_VECTOR, .v = from_memory(x, v, dtype)};
}

static void store_vector(cg *x, tw_dtype dtype, LLVMValueRef v, LLVMValueRef address, LLVMValueRef mask)
{
    if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(x->b, v, address), (unsigned)tw_dtype_size(dtype));
        return;
    }
    LLVMTypeRef overload[] = {LLVMTypeOf(v), LLVMPointerTypeInContext(x->c, 0)};
    LLVMValueRef arguments[] = {v, address, alignment(x, dtype), mask};
    cg_intrinsic(x, "llvm.masked.store", overload, 2, arguments, 4);
}

static void store_one(cg *x, LLVMValueRef v, LLVMValueRef address, LLVMValueRef condition)
{
    LLVMBasicBlockRef yes = NULL, after = NULL;
    if (condition) {
        yes = LLVMAppendBasicBlockInContext(x->c, x->function, "");
        after = LLVMAppendBasicBlockInContext(x->c, x->function, "");
        LLVMBuildCondBr(x->b, condition, yes, after);
        LLVMPositionBuilderAtEnd(x->b, yes);
    }
    LLVMBuildStore(x->b, v, address);
    if (condition) {
        LLVMBuildBr(x->b, after);
        LLVMPositionBuilderAtEnd(x->b, after);
    }
}

void cg_store(cg *x, const tw_op *op, const place *at, lane pointer, lane value, lane mask)
{
    tw_dtype dtype = (tw_dtype)op->operand[1]->type.dtype;
    (void)at;
    if (op->operand[0]->type.rank == 0) {
        store_one(x, to_memory(x, value.v, dtype), element_at(x, dtype, pointer.pointer, pointer.v),
                  mask.form ? mask.v : NULL);
        return;
    }
    LLVMValueRef v = to_memory(x, cg_vector(x, value, dtype), dtype), m = active(x, &mask);
    if (pointer.form == LANE_AFFINE && pointer.step == 1) {
        store_vector(x, dtype, v, element_at(x, dtype, pointer.pointer, pointer.v), m);
        return;
    }
    LLVMTypeRef overload[] = {LLVMTypeOf(v), LLVMVectorType(LLVMPointerTypeInContext(x->c, 0), (unsigned)x->W)};
    LLVMValueRef arguments[] = {v, addresses(x, dtype, &pointer), alignment(x, dtype), m ? m : all_lanes(x)};
    cg_intrinsic(x, "llvm.masked.scatter", overload, 2, arguments, 4);
}
