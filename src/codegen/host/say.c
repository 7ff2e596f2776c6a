/* print and assert: their operands are written to scratch memory and handed to the launch, which knows what to do. */
#include "codegen/host/lower.h"

/* Which print or assert of the program it is, in the order of the text. */
static int64_t count_before(const tw_block *block, const tw_op *op, bool *found)
{
    int64_t count = 0;
    for (const tw_op *at = block->first; at && !*found; at = at->next) {
        if (at == op) {
            *found = true;
            break;
        }
        count += at->code == TW_T_PRINT || at->code == TW_T_ASSERT;
        for (uint32_t i = 0; i < at->regions && !*found; i++)
            count += count_before(at->region[i], op, found);
    }
    return count;
}

void cg_say(cg *x, const tw_op *op)
{
    enum { MOST_OPERANDS = 16 };
    LLVMTypeRef pointer = LLVMPointerTypeInContext(x->c, 0), i64 = LLVMInt64TypeInContext(x->c),
                i1 = LLVMInt1TypeInContext(x->c);
    int count = (int)op->operands;
    bool found = false;
    if (count > MOST_OPERANDS) {
        cg_refuse(x, "a print of more than 16 values");
        return;
    }
    LLVMValueRef list = cg_scratch(x, (block_size){.bytes = 8 * (MOST_OPERANDS + 4)});
    for (int i = 0; i < count; i++) {
        LLVMValueRef at = cg_i64(x, 4 + i), memory = cg_scratch(x, cg_tile_size(&op->operand[i]->type));
        cg_copy_to(x, op->operand[i], memory);
        LLVMBuildStore(x->b, memory, LLVMBuildGEP2(x->b, i64, list, &at, 1, ""));
    }
    if (x->status != TW_OK)
        return;
    for (int i = 0; i < 3; i++) {
        LLVMValueRef at = cg_i64(x, i);
        LLVMBuildStore(x->b, x->pid[i], LLVMBuildGEP2(x->b, i64, list, &at, 1, ""));
    }
    LLVMValueRef slot[2] = {cg_i64(x, 3), cg_i64(x, 4)}, word[2];
    for (int i = 0; i < 2; i++) /* of tw_kernel_call: say, user */
        word[i] = LLVMBuildLoad2(x->b, pointer, LLVMBuildGEP2(x->b, i64, x->call, &slot[i], 1, ""), "");
    LLVMValueRef operands = LLVMBuildGEP2(x->b, i64, list, &slot[1], 1, "");
    LLVMTypeRef types[] = {pointer, i64, pointer, pointer};
    LLVMValueRef arguments[] = {word[1], cg_i64(x, count_before(x->g->body, op, &found)), list, operands};
    LLVMValueRef on = LLVMBuildCall2(x->b, LLVMFunctionType(i1, types, 4, false), word[0], arguments, 4, "");
    LLVMBasicBlockRef next = cg_block(x);
    LLVMBuildCondBr(x->b, on, next, x->leave);
    LLVMPositionBuilderAtEnd(x->b, next);
    cg_forget(x);
}
