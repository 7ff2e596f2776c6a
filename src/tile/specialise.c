/* A program for arguments of which something is known: strides of 1, and arrays that are given twice. */
#include "tile/optimise.h"

enum { MOST_ARGUMENTS = 256 };

static void replace_uses(tw_block *block, const tw_value *from, tw_value *to)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] == from)
                op->operand[i] = to;
        for (uint32_t i = 0; i < op->regions; i++)
            replace_uses(op->region[i], from, to);
    }
}

static tw_value *replacement(tw_graph *g, const tw_op *argument, uint8_t known, tw_value *const *pointer)
{
    tw_dtype dtype = (tw_dtype)argument->attr[1].i;
    if (!argument->attr[2].i)
        return tw_t_constant(g, 1, 1, dtype);
    tw_value *first = pointer[known - 1];
    return first->type.dtype == dtype ? first : tw_t_bitcast(g, first, dtype, true);
}

tw_status tw_tile_specialise(tw_graph *g, const uint8_t *known, int arguments)
{
    tw_op *argument[MOST_ARGUMENTS], *behind = g->body->first;
    tw_value *value[MOST_ARGUMENTS] = {NULL};
    int count = 0;
    for (; behind && behind->code == TW_T_ARG && count < TW_MIN(arguments, MOST_ARGUMENTS); behind = behind->next) {
        argument[count] = behind;
        value[count++] = &behind->result[0];
    }
    if (!behind)
        return TW_OK;
    for (int i = 0; i < count; i++) {
        bool pointer = argument[i]->attr[2].i != 0;
        if (!known[i] || (pointer && known[i] == i + 1))
            continue;
        tw_graph_insert_before(g, behind);
        tw_value *to = replacement(g, argument[i], known[i], value);
        if (!to)
            return tw_error_code();
        replace_uses(g->body, value[i], to);
    }
    tw_graph_insert_at_end(g, g->body);
    return TW_OK;
}
