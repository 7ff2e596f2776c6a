/* Arms of selects that are dear and seldom needed: computed behind a branch that no lane takes, most of the time.
 *
 * sine(x) is cheap where |x| is small, and long arithmetic where it is astronomic: select(huge, long way, short way).
 * A value that is needed only for first operands of selects on one condition is "under" that condition; an arm with
 * many of them is worth a branch, though it has to look at all lanes. Several selects on one condition may share what
 * is under it: it is computed in the branch of each. */
#include "codegen/host/lower.h"

enum { WORTH_A_BRANCH = 32 }; /* operations under the condition */

static const tw_value *const MANY = (const tw_value *)-1; /* marks a value that is needed elsewhere too */

static bool plain(const tw_op *op)
{
    return op->info->class == TW_CLASS_POINTWISE && op->results == 1 && op->result[0].type.rank > 0;
}

static void need(cg *x, const tw_value *v, const tw_value *under)
{
    const tw_value **known = &x->under[v->id];
    *known = !*known || *known == under ? under : MANY;
}

static void walk(cg *x, const tw_block *block)
{
    for (const tw_op *op = block->last; op; op = op->prev) {
        for (uint32_t i = 0; i < op->regions; i++)
            walk(x, op->region[i]);
        const tw_value *mine = plain(op) ? x->under[op->result[0].id] : MANY;
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                need(x, op->operand[i], op->code == TW_T_SELECT && plain(op) && i == 1 ? op->operand[0] : mine);
    }
}

bool cg_find_rare(cg *x)
{
    x->under = tw_arena_zero(x->arena, x->g->values + 1, sizeof *x->under);
    if (x->under)
        walk(x, x->g->body);
    return x->under != NULL;
}

/* Operations under the condition in v's cone, each counted once: their values are marked as they are counted. */
static int count_under(const cg *x, const tw_value *v, const tw_value *condition, bool *seen)
{
    if (!v || seen[v->id] || x->under[v->id] != condition || !v->def || !plain(v->def))
        return 0;
    seen[v->id] = true;
    int count = 1;
    for (uint32_t i = 0; i < v->def->operands; i++)
        count += count_under(x, v->def->operand[i], condition, seen);
    return count;
}

bool cg_rare(cg *x, const tw_op *op)
{
    if (op->code != TW_T_SELECT || x->probed || op->operand[0]->type.rank == 0)
        return false;
    int8_t *known = &x->state[op->result[0].id].rare;
    if (!*known) {
        bool *seen = tw_arena_zero(x->arena, x->g->values + 1, sizeof *seen);
        *known = seen && count_under(x, op->operand[1], op->operand[0], seen) >= WORTH_A_BRANCH ? 1 : -1;
    }
    return *known > 0;
}

static LLVMValueRef any(cg *x, LLVMValueRef lanes)
{
    LLVMTypeRef bits = LLVMIntTypeInContext(x->c, LLVMGetVectorSize(LLVMTypeOf(lanes)));
    return LLVMBuildICmp(x->b, LLVMIntNE, LLVMBuildBitCast(x->b, lanes, bits, ""), LLVMConstNull(bits), "");
}

/* What the branch computed is forgotten after it, and nothing is kept for other loops from within it. */
static LLVMValueRef eval_arm(cg *x, const tw_value *v, const place *at)
{
    const tw_type *space = x->space;
    int known = x->memo_count;
    x->space = NULL;
    LLVMValueRef lanes = cg_vector(x, cg_eval(x, v, at), (tw_dtype)v->type.dtype);
    x->space = space;
    x->memo_count = known;
    return lanes;
}

lane cg_eval_rare(cg *x, const tw_op *op, const place *at)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    lane condition = cg_eval(x, op->operand[0], at);
    LLVMValueRef usual = cg_vector(x, cg_eval(x, op->operand[2], at), dtype), rare = NULL;
    LLVMValueRef lanes = cg_vector(x, condition, TW_BOOL);
    LLVMBasicBlockRef from = LLVMGetInsertBlock(x->b), taken = cg_block(x), after = cg_block(x);
    LLVMBuildCondBr(x->b, any(x, lanes), taken, after);
    LLVMPositionBuilderAtEnd(x->b, taken);
    rare = eval_arm(x, op->operand[1], at);
    LLVMBasicBlockRef end = LLVMGetInsertBlock(x->b);
    LLVMBuildBr(x->b, after);
    LLVMMoveBasicBlockAfter(after, end);
    LLVMPositionBuilderAtEnd(x->b, after);
    LLVMValueRef phi = LLVMBuildPhi(x->b, LLVMTypeOf(usual), "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){usual, rare}, (LLVMBasicBlockRef[]){from, end}, 2);
    LLVMValueRef v = LLVMBuildSelect(x->b, lanes, phi, usual, "");
    if (cg_place_is_vector(at, op->result[0].type.rank))
        return (lane){.form = LANE_VECTOR, .v = v};
    /* a scan goes element by element, and all lanes are the same */
    return (lane){.form = LANE_UNIFORM, .v = LLVMBuildExtractElement(x->b, v, cg_i64(x, 0), "")};
}
