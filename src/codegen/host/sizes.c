/* Sizes: known when the kernel is compiled, or made from the program's symbols when it starts. Scratch memory is laid
 * out from them; tw_scratch adds up the same blocks for the caller. */
#include "codegen/host/lower.h"

enum {
    MOST_STEPS = 64,
    ALIGNMENT = 64,
    OVERHANG = 512 /* bytes that a block of columns may read behind the last row */
};

/* The expression as instructions at the builder's place; `scalars` holds the symbols' values. */
static LLVMValueRef evaluate(cg *x, LLVMValueRef scalars, tw_dim d)
{
    tw_dim_step step[MOST_STEPS];
    LLVMValueRef stack[MOST_STEPS], i;
    int depth = 0, steps = d >= 0 ? -1 : tw_dim_steps(x->g, d, step, MOST_STEPS);
    if (d >= 0)
        return cg_i64(x, d);
    if (steps < 0)
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: a size of more than %d steps", MOST_STEPS));
    for (int k = 0; k < steps; k++) {
        switch (step[k].kind) {
        case TW_DIM_CONST:
            stack[depth++] = cg_i64(x, step[k].value);
            break;
        case TW_DIM_SYMBOL:
            i = cg_i64(x, step[k].value);
            i = LLVMBuildGEP2(x->b, LLVMInt64TypeInContext(x->c), scalars, &i, 1, "");
            stack[depth++] = LLVMBuildLoad2(x->b, LLVMInt64TypeInContext(x->c), i, "");
            break;
        default:
            depth--;
            stack[depth - 1] = step[k].kind == TW_DIM_ADD   ? LLVMBuildAdd(x->b, stack[depth - 1], stack[depth], "")
                               : step[k].kind == TW_DIM_MUL ? LLVMBuildMul(x->b, stack[depth - 1], stack[depth], "")
                                                            : LLVMBuildSDiv(x->b, stack[depth - 1], stack[depth], "");
        }
    }
    return depth > 0 ? stack[depth - 1] : cg_i64(x, 0);
}

LLVMValueRef cg_rounded_down(cg *x, LLVMValueRef n, int64_t to)
{
    if (LLVMIsAConstantInt(n))
        return cg_i64(x, LLVMConstIntGetSExtValue(n) / to * to);
    if ((to & (to - 1)) == 0)
        return LLVMBuildAnd(x->b, n, cg_i64(x, -to), "");
    return LLVMBuildMul(x->b, LLVMBuildUDiv(x->b, n, cg_i64(x, to), ""), cg_i64(x, to), "");
}

static LLVMValueRef padded_to_row(cg *x, LLVMValueRef n)
{
    return cg_rounded_down(x, LLVMBuildAdd(x->b, n, cg_i64(x, ROW_LANES - 1), ""), ROW_LANES);
}

/* In the entry block, once, so that it dominates every use. Frozen: to the analysis of loops a size is one unknown, not
 * the expression that it comes from, which keeps that analysis (LSR above all) from taking seconds. */
static LLVMValueRef size_at_entry(cg *x, tw_dim d, bool padded)
{
    for (int i = 0; i < x->sizes; i++)
        if (x->size[i].dim == d && x->size[i].padded == padded)
            return x->size[i].v;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b);
    LLVMPositionBuilderBefore(x->b, x->entry_end);
    LLVMValueRef v = evaluate(x, x->scalars, d);
    v = LLVMBuildFreeze(x->b, padded ? padded_to_row(x, v) : v, "");
    LLVMPositionBuilderAtEnd(x->b, here);
    if (x->sizes == MOST_SIZES)
        cg_fail(x, tw_error(TW_ERR_UNSUPPORTED, "host: more than %d different sizes", MOST_SIZES));
    else
        x->size[x->sizes++] = (known_size){d, padded, v};
    return v;
}

LLVMValueRef cg_size(cg *x, tw_dim d)
{
    return d >= 0 ? cg_i64(x, d) : size_at_entry(x, d, false);
}

/* Of a row in scratch memory: whole vectors. */
static LLVMValueRef padded_size(cg *x, tw_dim d)
{
    return d >= 0 ? padded_to_row(x, cg_i64(x, d)) : size_at_entry(x, d, true);
}

/* The first `count` lanes; NULL: all of them, for certain. Counts may be negative. */
LLVMValueRef cg_first_lanes(cg *x, LLVMValueRef count)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(x->c), i64 = LLVMInt64TypeInContext(x->c);
    LLVMValueRef on[64];
    if (LLVMIsAConstantInt(count)) {
        int64_t lanes = LLVMConstIntGetSExtValue(count);
        for (int i = 0; i < x->W; i++)
            on[i] = LLVMConstInt(LLVMInt1TypeInContext(x->c), i < lanes, false);
        return lanes >= x->W ? NULL : LLVMConstVector(on, (unsigned)x->W);
    }
    LLVMValueRef least[] = {count, cg_i64(x, x->W)}, most[] = {NULL, cg_i64(x, 0)};
    most[0] = cg_intrinsic(x, "llvm.smin", &i64, 1, least, 2);
    LLVMValueRef few = cg_intrinsic(x, "llvm.smax", &i64, 1, most, 2);
    few = cg_splat(x, LLVMBuildTrunc(x->b, few, i32, ""));
    return LLVMBuildICmp(x->b, LLVMIntULT, x->iota32, few, "");
}

/* ---- scratch memory ---- */

static LLVMValueRef block_bytes(cg *x, LLVMValueRef scalars, const block_size *s)
{
    LLVMValueRef bytes = cg_i64(x, s->bytes);
    int64_t behind = 0;
    for (int i = 0; i < s->dims; i++) {
        LLVMValueRef n = evaluate(x, scalars, s->dim[i]);
        if (s->round == i + 1)
            n = padded_to_row(x, n);
        bytes = LLVMBuildMul(x->b, bytes, n, "");
        behind = s->dim[i] < 0 ? OVERHANG : behind;
    }
    return cg_rounded_down(x, LLVMBuildAdd(x->b, bytes, cg_i64(x, behind + 2 * ALIGNMENT - 1), ""), ALIGNMENT);
}

/* Addresses are computed in the entry block, so that they dominate everything. */
LLVMValueRef cg_scratch(cg *x, block_size s)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b);
    LLVMPositionBuilderBefore(x->b, x->entry_end);
    LLVMValueRef at = LLVMBuildGEP2(x->b, LLVMInt8TypeInContext(x->c), x->scratch, &x->scratch_used, 1, "");
    x->scratch_used = LLVMBuildAdd(x->b, x->scratch_used, block_bytes(x, x->scalars, &s), "");
    LLVMPositionBuilderAtEnd(x->b, here);
    if (x->blocks == x->block_room) {
        int room = TW_MAX(32, 2 * x->block_room);
        block_size *grown = tw_arena_alloc(x->arena, (size_t)room * sizeof *grown);
        if (!grown) {
            cg_fail(x, TW_ERR_MEMORY);
            return at;
        }
        if (x->blocks)
            memcpy(grown, x->block, (size_t)x->blocks * sizeof *grown);
        x->block = grown;
        x->block_room = room;
    }
    x->block[x->blocks++] = s;
    return at;
}

void cg_lower_scratch_size(cg *x)
{
    LLVMTypeRef i64 = LLVMInt64TypeInContext(x->c), pointer = LLVMPointerTypeInContext(x->c, 0);
    LLVMValueRef f = LLVMAddFunction(x->m, "tw_scratch", LLVMFunctionType(i64, &pointer, 1, false)), sum = cg_i64(x, 0);
    LLVMPositionBuilderAtEnd(x->b, LLVMAppendBasicBlockInContext(x->c, f, ""));
    for (int i = 0; i < x->blocks; i++)
        sum = LLVMBuildAdd(x->b, sum, block_bytes(x, LLVMGetParam(f, 0), &x->block[i]), "");
    LLVMBuildRet(x->b, sum);
}

int64_t tw_host_row(int64_t elements)
{
    return (elements + ROW_LANES - 1) / ROW_LANES * ROW_LANES;
}

/* ---- tiles in scratch memory ---- row-major; the last dimension is padded to whole vectors, so that no load or store
 * needs a mask */

block_size cg_tile_size(const tw_type *t)
{
    int64_t bytes = t->pointer ? 8 : (int64_t)tw_dtype_size((tw_dtype)t->dtype);
    block_size s = {.bytes = bytes, .dims = t->rank, .round = t->rank};
    memcpy(s.dim, t->dims, sizeof t->dims);
    if (t->rank == 0) {
        s.dim[s.dims++] = 1;
        s.round = 1;
    }
    return s;
}

/* Elements between neighbours along dimension d. */
LLVMValueRef cg_tile_stride(cg *x, const tw_type *t, int d)
{
    LLVMValueRef below = cg_i64(x, 1);
    for (int i = d + 1; i < t->rank; i++) {
        LLVMValueRef n = i == t->rank - 1 ? padded_size(x, t->dims[i]) : cg_size(x, t->dims[i]);
        below = LLVMBuildMul(x->b, below, n, "");
    }
    return below;
}
