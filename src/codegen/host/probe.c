/* Two kernels that show what the machine can do: multiply-adds that stay in registers, and a sum that streams through
 * memory. They are written in LLVM IR, not in tile operations, so that they stand beside what the compiler makes and
 * are not its own measure.
 *
 * Twelve accumulators: a multiply-add takes 4 cycles and two can start in each, and with the two constants all fit in
 * the 16 registers of AVX2. Each accumulator goes to 1, so that nothing becomes infinite or subnormal. */
#include "codegen/host/host.h"

#include <llvm-c/Core.h>

enum { CHAINS = 12, ROUNDS = 64, BLOCK_VECTORS = 16 };

typedef struct probe {
    LLVMContextRef c;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMTypeRef i64, pointer, vector;
    LLVMValueRef function;
    bool floating;
} probe;

static LLVMTypeRef element_type(LLVMContextRef c, tw_dtype dtype)
{
    switch (dtype) {
    case TW_F64:
        return LLVMDoubleTypeInContext(c);
    case TW_I64:
        return LLVMInt64TypeInContext(c);
    case TW_I32:
        return LLVMInt32TypeInContext(c);
    default:
        return LLVMFloatTypeInContext(c);
    }
}

static probe open_probe(tw_dtype dtype)
{
    LLVMContextRef c = LLVMContextCreate();
    probe p = {.c = c, .m = LLVMModuleCreateWithNameInContext("probe", c), .b = LLVMCreateBuilderInContext(c)};
    unsigned lanes = (unsigned)tw_host_target_get()->vector_bytes / (unsigned)tw_dtype_size(dtype);
    p.i64 = LLVMInt64TypeInContext(c);
    p.pointer = LLVMPointerTypeInContext(c, 0);
    p.vector = LLVMVectorType(element_type(c, dtype), lanes);
    p.floating = tw_dtype_floating(dtype);
    LLVMTypeRef arguments[] = {p.pointer, p.pointer, p.pointer, p.i64, p.i64, p.pointer};
    p.function = LLVMAddFunction(p.m, "tw_kernel", LLVMFunctionType(LLVMInt32TypeInContext(c), arguments, 6, false));
    return p;
}

static LLVMValueRef number(const probe *p, int64_t value)
{
    return LLVMConstInt(p->i64, (unsigned long long)value, true);
}

static LLVMValueRef splat(const probe *p, double value)
{
    LLVMTypeRef element = LLVMGetElementType(p->vector);
    LLVMValueRef lane[64],
        one = p->floating ? LLVMConstReal(element, value) : LLVMConstInt(element, (unsigned long long)value, false);
    unsigned lanes = LLVMGetVectorSize(p->vector);
    for (unsigned i = 0; i < lanes; i++)
        lane[i] = one;
    return LLVMConstVector(lane, lanes);
}

/* for (i = first; i < last; i++) with `count` values carried; leaves the builder in the body. */
typedef struct rounds {
    LLVMBasicBlockRef header, body, after;
    LLVMValueRef i, carried[CHAINS];
} rounds;

static rounds begin(const probe *p, LLVMValueRef first, LLVMValueRef last, int count, const LLVMValueRef *start)
{
    rounds r = {LLVMAppendBasicBlockInContext(p->c, p->function, ""),
                LLVMAppendBasicBlockInContext(p->c, p->function, ""),
                LLVMAppendBasicBlockInContext(p->c, p->function, ""),
                NULL,
                {NULL}};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(p->b);
    LLVMBuildBr(p->b, r.header);
    LLVMPositionBuilderAtEnd(p->b, r.header);
    r.i = LLVMBuildPhi(p->b, p->i64, "");
    LLVMAddIncoming(r.i, &first, &before, 1);
    for (int k = 0; k < count; k++) {
        r.carried[k] = LLVMBuildPhi(p->b, p->vector, "");
        LLVMAddIncoming(r.carried[k], (LLVMValueRef *)&start[k], &before, 1);
    }
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntSLT, r.i, last, ""), r.body, r.after);
    LLVMPositionBuilderAtEnd(p->b, r.body);
    return r;
}

static void end(const probe *p, const rounds *r, int count, const LLVMValueRef *next)
{
    LLVMBasicBlockRef from = LLVMGetInsertBlock(p->b);
    LLVMValueRef step = LLVMBuildAdd(p->b, r->i, number(p, 1), "");
    LLVMAddIncoming(r->i, &step, &from, 1);
    for (int k = 0; k < count; k++)
        LLVMAddIncoming(r->carried[k], (LLVMValueRef *)&next[k], &from, 1);
    LLVMBuildBr(p->b, r->header);
    LLVMPositionBuilderAtEnd(p->b, r->after);
}

static LLVMValueRef vector_at(const probe *p, LLVMValueRef base, LLVMValueRef vectors)
{
    return LLVMBuildGEP2(p->b, p->vector, base, &vectors, 1, "");
}

static LLVMValueRef multiply_add(const probe *p, LLVMValueRef x)
{
    if (!p->floating)
        return LLVMBuildAdd(p->b, LLVMBuildXor(p->b, x, splat(p, 5), ""), splat(p, 3), "");
    unsigned id = LLVMLookupIntrinsicID("llvm.fma", 8);
    LLVMTypeRef overload[] = {p->vector};
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(p->m, id, overload, 1), operand[] = {x, splat(p, 0.5), splat(p, 0.5)};
    return LLVMBuildCall2(p->b, LLVMIntrinsicGetType(p->c, id, overload, 1), f, operand, 3, "");
}

static void build_arithmetic(const probe *p)
{
    LLVMValueRef x[CHAINS];
    for (int k = 0; k < CHAINS; k++)
        x[k] = splat(p, k + 2);
    LLVMValueRef programs = LLVMBuildSub(p->b, LLVMGetParam(p->function, 4), LLVMGetParam(p->function, 3), "");
    LLVMValueRef count = LLVMBuildMul(p->b, programs, number(p, ROUNDS), "");
    rounds r = begin(p, number(p, 0), count, CHAINS, x);
    for (int k = 0; k < CHAINS; k++)
        x[k] = multiply_add(p, r.carried[k]);
    end(p, &r, CHAINS, x);
    for (int k = 0; k < CHAINS; k++) /* so that nothing of it is dead */
        LLVMBuildStore(p->b, r.carried[k], vector_at(p, LLVMGetParam(p->function, 5), number(p, k)));
}

static void build_stream(const probe *p)
{
    LLVMValueRef base[3];
    for (int i = 0; i < 3; i++) {
        LLVMValueRef at = number(p, i), buffers = LLVMGetParam(p->function, 0);
        base[i] = LLVMBuildLoad2(p->b, p->pointer, LLVMBuildGEP2(p->b, p->pointer, buffers, &at, 1, ""), "");
    }
    rounds r = begin(p, LLVMGetParam(p->function, 3), LLVMGetParam(p->function, 4), 0, NULL);
    LLVMValueRef first = LLVMBuildMul(p->b, r.i, number(p, BLOCK_VECTORS), "");
    for (int k = 0; k < BLOCK_VECTORS; k++) {
        LLVMValueRef at = LLVMBuildAdd(p->b, first, number(p, k), "");
        LLVMValueRef a = LLVMBuildLoad2(p->b, p->vector, vector_at(p, base[0], at), "");
        LLVMValueRef b = LLVMBuildLoad2(p->b, p->vector, vector_at(p, base[1], at), "");
        LLVMBuildStore(p->b, LLVMBuildFAdd(p->b, a, b, ""), vector_at(p, base[2], at));
    }
    end(p, &r, 0, NULL);
}

/* tw_scratch: room for the accumulators. */
static void build_scratch(const probe *p)
{
    LLVMTypeRef pointer = p->pointer;
    LLVMValueRef f = LLVMAddFunction(p->m, "tw_scratch", LLVMFunctionType(p->i64, &pointer, 1, false));
    LLVMPositionBuilderAtEnd(p->b, LLVMAppendBasicBlockInContext(p->c, f, ""));
    LLVMBuildRet(p->b, number(p, CHAINS * tw_host_target_get()->vector_bytes));
}

tw_status tw_host_probe(tw_probe_kind kind, tw_dtype dtype, tw_kernel **kernel, int64_t *work)
{
    probe p = open_probe(dtype);
    int64_t lanes = LLVMGetVectorSize(p.vector);
    LLVMPositionBuilderAtEnd(p.b, LLVMAppendBasicBlockInContext(p.c, p.function, ""));
    if (kind == TW_PROBE_ARITHMETIC)
        build_arithmetic(&p);
    else
        build_stream(&p);
    LLVMBuildRet(p.b, LLVMConstInt(LLVMInt32TypeInContext(p.c), TW_OK, false));
    build_scratch(&p);
    *work = kind == TW_PROBE_ARITHMETIC ? 2 * lanes * CHAINS * ROUNDS
                                        : BLOCK_VECTORS * lanes * 3 * (int64_t)tw_dtype_size(dtype);
    tw_status status = tw_host_load_module(p.m, kernel);
    LLVMDisposeBuilder(p.b);
    LLVMDisposeModule(p.m);
    LLVMContextDispose(p.c);
    return status;
}
