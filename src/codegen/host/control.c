/* for, while, if. Scalars and pointers that they carry are values of LLVM; tiles are carried in scratch memory, whose
 * address is the same on every way. */
#include "codegen/host/lower.h"

/* ---- carried values ---- */

/* A scalar as one value of LLVM; of a pointer its address. */
static LLVMValueRef scalar_of(cg *x, const tw_value *v)
{
    if (!v->type.pointer)
        return x->state[v->id].scalar;
    return cg_address(x, x->state[v->id].pointer, (tw_dtype)v->type.dtype).v;
}

static void set_scalar(cg *x, const tw_value *v, LLVMValueRef value)
{
    if (v->type.pointer)
        x->state[v->id].pointer = cg_from_address(x, value);
    else
        x->state[v->id].scalar = value;
}

static bool is_argument_of(const tw_value *v, const tw_block *block)
{
    return !v->def && v->block == block;
}

/* memory[i] = v[i] for all tiles at once: what reads another one's memory is computed before any is written. */
static void carry(cg *x, const tw_block *block, tw_value *const *v, LLVMValueRef *memory, int count)
{
    LLVMValueRef fresh[MOST_PHIS];
    for (int i = 0; i < count; i++) {
        bool mine = v[i]->type.rank && is_argument_of(v[i], block) && x->state[v[i]->id].memory == memory[i];
        fresh[i] = NULL;
        if (!v[i]->type.rank || mine || x->state[v[i]->id].into)
            continue;
        fresh[i] = x->state[v[i]->id].memory;
        if (!fresh[i] || is_argument_of(v[i], block)) { /* an argument's memory is written below */
            fresh[i] = cg_scratch(x, cg_tile_size(&v[i]->type));
            cg_copy_to(x, v[i], fresh[i]);
            if (!is_argument_of(v[i], block))
                cg_push_memory(x, v[i], fresh[i]);
        }
    }
    for (int i = 0; i < count; i++) {
        if (!fresh[i])
            continue;
        LLVMValueRef had = x->state[v[i]->id].memory;
        x->state[v[i]->id].memory = fresh[i];
        cg_forget(x);
        cg_copy_to(x, v[i], memory[i]);
        x->state[v[i]->id].memory = had;
    }
}

static bool too_many(cg *x, int count)
{
    if (count > MOST_PHIS)
        cg_refuse(x, "a loop or branch with more than 64 carried values");
    return count > MOST_PHIS;
}

/* ---- what a loop's body asks for again and again ---- */

static bool defined_in(const tw_value *v, const tw_block *block)
{
    const tw_block *home = v->def ? v->def->block : v->block;
    while (home && home != block)
        home = home->parent ? home->parent->block : NULL;
    return home != NULL;
}

static void hoist_from(cg *x, const tw_block *body, const tw_block *block)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] && !defined_in(op->operand[i], body))
                cg_hoist(x, op->operand[i]);
        for (uint32_t i = 0; i < op->regions; i++)
            hoist_from(x, body, op->region[i]);
    }
}

static void hoist(cg *x, const tw_block *body)
{
    x->hoisting++;
    hoist_from(x, body, body);
}

/* ---- for ---- */

void cg_for(cg *x, const tw_op *op)
{
    const tw_block *body = op->region[0];
    tw_value *const *first = op->operand + 3, *const *yield = body->last->operand;
    LLVMValueRef memory[MOST_PHIS], initial[MOST_PHIS], next[MOST_PHIS], step = x->state[op->operand[2]->id].scalar;
    int scalars = 0, carried = (int)op->operands - 3;
    LLVMTypeRef i64 = LLVMInt64TypeInContext(x->c);
    if (too_many(x, carried))
        return;
    hoist(x, body);
    for (int i = 0; i < carried; i++) {
        const tw_value *v = first[i];
        if (v->type.rank == 0) {
            initial[scalars++] = scalar_of(x, v);
            continue;
        }
        memory[i] = cg_scratch(x, cg_tile_size(&v->type));
        cg_copy_to(x, v, memory[i]);
        cg_push_memory(x, body->arg[1 + i], memory[i]);
        const tw_value *new = yield[i];
        if (new->def &&new->def->code == TW_T_DOT &&new->def->operand[2] == body->arg[1 + i] && x->uses[new->id] == 1 &&
            x->uses[body->arg[1 + i]->id] == 1)
            x->state[new->id].into = memory[i];
    }
    if (!LLVMIsAConstantInt(step)) /* never 0, which would not end */
        step = cg_intrinsic(x, "llvm.smax", &i64, 1, (LLVMValueRef[]){step, cg_i64(x, 1)}, 2);
    int pushed = x->pushed_count;
    loop l =
        cg_loop_begin(x, x->state[op->operand[0]->id].scalar, x->state[op->operand[1]->id].scalar, 1, scalars, initial);
    l.step = step;
    x->state[body->arg[0]->id].scalar = l.index;
    for (int i = 0, s = 0; i < carried; i++)
        if (first[i]->type.rank == 0)
            set_scalar(x, body->arg[1 + i], l.phi[s++]);
    cg_lower_block(x, body);
    if (x->status != TW_OK)
        return;
    carry(x, body, yield, memory, carried);
    for (int i = 0, s = 0; i < carried; i++)
        if (yield[i]->type.rank == 0)
            next[s++] = scalar_of(x, yield[i]);
    cg_loop_end(x, &l, next);
    cg_pop_memory(x, pushed);
    for (int i = 0, s = 0; i < carried; i++) {
        if (op->result[i].type.rank == 0)
            set_scalar(x, &op->result[i], l.phi[s++]);
        else
            cg_push_memory(x, &op->result[i], memory[i]);
    }
}

/* ---- while ---- the first region computes the condition and what the second one takes */

void cg_while(cg *x, const tw_op *op)
{
    const tw_block *test = op->region[0], *body = op->region[1];
    int carried = (int)op->operands, passed = (int)test->last->operands - 1, scalars = 0;
    LLVMValueRef memory[MOST_PHIS], handed[MOST_PHIS], phi[MOST_PHIS], last[MOST_PHIS];
    if (too_many(x, TW_MAX(carried, passed)))
        return;
    hoist(x, test);
    hoist(x, body);
    for (int i = 0; i < carried; i++) {
        const tw_value *v = op->operand[i];
        if (v->type.rank) {
            memory[i] = cg_scratch(x, cg_tile_size(&v->type));
            cg_copy_to(x, v, memory[i]);
            cg_push_memory(x, test->arg[i], memory[i]);
        } else {
            last[scalars++] = scalar_of(x, v);
        }
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(x->b), header = cg_block(x), inside = cg_block(x);
    LLVMBasicBlockRef after = cg_block(x);
    LLVMBuildBr(x->b, header);
    LLVMPositionBuilderAtEnd(x->b, header);
    for (int i = 0; i < scalars; i++) {
        phi[i] = LLVMBuildPhi(x->b, LLVMTypeOf(last[i]), "");
        LLVMAddIncoming(phi[i], &last[i], &before, 1);
    }
    for (int i = 0, s = 0; i < carried; i++)
        if (op->operand[i]->type.rank == 0)
            set_scalar(x, test->arg[i], phi[s++]);
    int pushed = x->pushed_count;
    cg_forget(x);
    cg_lower_block(x, test);
    if (x->status != TW_OK)
        return;
    for (int i = 0; i < passed; i++) {
        const tw_value *v = test->last->operand[1 + i];
        handed[i] = v->type.rank ? x->state[v->id].memory : scalar_of(x, v);
        if (v->type.rank && !(is_argument_of(v, test) && handed[i])) { /* an argument is read where it stands */
            handed[i] = cg_scratch(x, cg_tile_size(&v->type));
            cg_copy_to(x, v, handed[i]);
        }
    }
    LLVMBuildCondBr(x->b, scalar_of(x, test->last->operand[0]), inside, after);
    LLVMPositionBuilderAtEnd(x->b, inside);
    for (int i = 0; i < passed; i++) {
        if (body->arg[i]->type.rank)
            cg_push_memory(x, body->arg[i], handed[i]);
        else
            set_scalar(x, body->arg[i], handed[i]);
    }
    cg_forget(x);
    cg_lower_block(x, body);
    if (x->status != TW_OK)
        return;
    carry(x, body, body->last->operand, memory, carried);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(x->b);
    for (int i = 0, s = 0; i < carried; i++)
        if (op->operand[i]->type.rank == 0)
            LLVMAddIncoming(phi[s++], (LLVMValueRef[]){scalar_of(x, body->last->operand[i])}, &latch, 1);
    LLVMBuildBr(x->b, header);
    LLVMMoveBasicBlockAfter(after, latch);
    LLVMPositionBuilderAtEnd(x->b, after);
    cg_forget(x);
    cg_pop_memory(x, pushed);
    for (int i = 0; i < passed; i++) {
        if (op->result[i].type.rank)
            cg_push_memory(x, &op->result[i], handed[i]);
        else
            set_scalar(x, &op->result[i], handed[i]);
    }
}

/* ---- if ---- */

void cg_if(cg *x, const tw_op *op)
{
    LLVMValueRef memory[MOST_PHIS], value[2][MOST_PHIS];
    LLVMBasicBlockRef side[2] = {cg_block(x), cg_block(x)}, end[2], after = cg_block(x);
    int results = (int)op->results;
    if (too_many(x, results))
        return;
    for (int i = 0; i < results; i++)
        memory[i] = op->result[i].type.rank ? cg_scratch(x, cg_tile_size(&op->result[i].type)) : NULL;
    LLVMBuildCondBr(x->b, x->state[op->operand[0]->id].scalar, side[0], side[1]);
    for (int k = 0; k < 2; k++) {
        int pushed = x->pushed_count;
        LLVMPositionBuilderAtEnd(x->b, side[k]);
        cg_forget(x);
        cg_lower_block(x, op->region[k]);
        for (int i = 0; i < results && x->status == TW_OK; i++) {
            const tw_value *v = op->region[k]->last->operand[i];
            if (memory[i])
                cg_copy_to(x, v, memory[i]);
            else
                value[k][i] = scalar_of(x, v);
        }
        if (x->status != TW_OK)
            return;
        cg_pop_memory(x, pushed);
        end[k] = LLVMGetInsertBlock(x->b);
        LLVMBuildBr(x->b, after);
    }
    LLVMMoveBasicBlockAfter(after, end[1]);
    LLVMPositionBuilderAtEnd(x->b, after);
    cg_forget(x);
    for (int i = 0; i < results; i++) {
        if (memory[i]) {
            cg_push_memory(x, &op->result[i], memory[i]);
            continue;
        }
        LLVMValueRef phi = LLVMBuildPhi(x->b, LLVMTypeOf(value[0][i]), "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){value[0][i], value[1][i]}, end, 2);
        set_scalar(x, &op->result[i], phi);
    }
}
