/* Out of loops what doesn't change in them: pure operations whose operands all come from outside. A loop that never
 * runs then computes them in vain, which is harmless: no pure operation traps. */
#include "tile/optimise.h"

static bool inside(const tw_value *v, const tw_op *loop)
{
    for (const tw_block *b = v->def ? v->def->block : v->block; b; b = b->parent ? b->parent->block : NULL)
        if (b->parent == loop)
            return true;
    return false;
}

static bool invariant(const tw_op *op, const tw_op *loop)
{
    if (!(op->info->flags & TW_OP_PURE) || op->regions)
        return false;
    for (uint32_t i = 0; i < op->operands; i++)
        if (op->operand[i] && inside(op->operand[i], loop))
            return false;
    return true;
}

static void move_before(tw_graph *g, tw_op *op, tw_op *place)
{
    tw_block *block = place->block;
    tw_op_remove(op);
    op->block = block;
    op->prev = place->prev;
    op->next = place;
    *(place->prev ? &place->prev->next : &block->first) = op;
    place->prev = op;
    (void)g;
}

static bool clear_block(tw_graph *g, tw_block *block)
{
    bool changed = false;
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->regions; i++)
            changed |= clear_block(g, op->region[i]);
        if (op->code != TW_T_FOR && op->code != TW_T_WHILE)
            continue;
        for (uint32_t i = 0; i < op->regions; i++) {
            tw_for_each_op (inner, op->region[i]) {
                if (!invariant(inner, op))
                    continue;
                move_before(g, inner, op);
                changed = true;
            }
        }
    }
    return changed;
}

tw_status tw_tile_pass_invariant(tw_graph **g, bool *changed)
{
    *changed = clear_block(*g, (*g)->body);
    return TW_OK;
}
