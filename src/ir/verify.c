/* What must hold of every graph: definitions before uses, arity, types as the rules infer them, terminators. */
#include "ir/internal.h"

typedef struct verifier {
    tw_graph *g;
    bool *defined; /* by value id */
} verifier;

static tw_status verify_types(verifier *x, const tw_op *op)
{
    enum { MOST_RESULTS = 4 };
    tw_type before[MOST_RESULTS];
    tw_op *again = (tw_op *)(uintptr_t)op;
    if (!op->info->infer || op->info->regions || op->results > MOST_RESULTS || op->code == x->g->table->input)
        return TW_OK;
    for (uint32_t i = 0; i < op->results; i++)
        before[i] = op->result[i].type;
    tw_status status = op->info->infer(x->g, again);
    for (uint32_t i = 0; i < op->results && status == TW_OK; i++) {
        if (tw_type_equal(&before[i], &op->result[i].type))
            continue;
        tw_text had = {0}, wants = {0};
        tw_type_print(x->g, &before[i], &had);
        tw_type_print(x->g, &op->result[i].type, &wants);
        status = tw_error(TW_ERR_INTERNAL, "verify: %%%u = %s has type %s; its rule says %s", op->result[i].id,
                          op->info->name, tw_text_string(&had), tw_text_string(&wants));
        tw_text_free(&had);
        tw_text_free(&wants);
    }
    for (uint32_t i = 0; i < op->results; i++)
        again->result[i].type = before[i];
    return status;
}

static tw_status verify_block(verifier *x, const tw_block *block)
{
    for (uint32_t i = 0; i < block->args; i++)
        x->defined[block->arg[i]->id] = true;
    for (const tw_op *op = block->first; op; op = op->next) {
        const char *name = op->info->name;
        if (op->block != block || (op->next ? op->next->prev != op : block->last != op))
            return tw_error(TW_ERR_INTERNAL, "verify: %s is not linked into its block", name);
        bool enough =
            op->info->variadic ? (int)op->operands >= op->info->operands - 1 : (int)op->operands == op->info->operands;
        if (!enough)
            return tw_error(TW_ERR_INTERNAL, "verify: %s has %u operands; expected %d", name, op->operands,
                            op->info->operands);
        for (uint32_t i = 0; i < op->operands; i++) {
            const tw_value *v = op->operand[i];
            if (!v && (int)i < op->info->operands - op->info->optional)
                return tw_error(TW_ERR_INTERNAL, "verify: operand %u of %s is missing", i, name);
            if (v && (v->id >= x->g->values || !x->defined[v->id]))
                return tw_error(TW_ERR_INTERNAL, "verify: operand %u (%%%u) of %s is used before it is defined", i,
                                v->id, name);
        }
        if ((op->info->flags & TW_OP_TERMINATOR) && op->next)
            return tw_error(TW_ERR_INTERNAL, "verify: %s is not the last operation of its block", name);
        TW_TRY(verify_types(x, op));
        for (uint32_t i = 0; i < op->regions; i++) {
            TW_TRY(verify_block(x, op->region[i]));
            if (!op->region[i]->last || !(op->region[i]->last->info->flags & TW_OP_TERMINATOR))
                return tw_error(TW_ERR_INTERNAL, "verify: region %u of %s has no terminator", i, name);
        }
        for (uint32_t i = 0; i < op->results; i++)
            x->defined[op->result[i].id] = true;
    }
    return TW_OK;
}

tw_status tw_graph_verify(const tw_graph *g)
{
    verifier x = {(tw_graph *)(uintptr_t)g, tw_alloc_zero(g->values + 1, sizeof(bool))};
    if (!x.defined)
        return TW_ERR_MEMORY;
    tw_status status = g->failed == TW_OK ? verify_block(&x, g->body) : g->failed;
    tw_free(x.defined);
    return status;
}
