/* Carried pointers as sums: what a loop steps by the same offset each time is where it began plus a multiple.
 *
 *     p = for i in 0 .. n, carrying a (from a0):          for i in 0 .. n:
 *         load a                                   to          load a0 + i * s
 *         yield a + s
 *
 * Exact: addresses and integers wrap. A tile of pointers that is carried would have to stand in memory; as a sum it is
 * again a base and lanes that are neighbours. Tiles of integers likewise. */
#include "tile/optimise.h"

enum { MOST_CARRIED = 64 };

static bool outside(const tw_value *v, const tw_op *loop)
{
    for (const tw_block *b = v->def ? v->def->block : v->block; b; b = b->parent ? b->parent->block : NULL)
        if (b->parent == loop)
            return false;
    return true;
}

/* What carried value i grows by; NULL: it doesn't grow by the same each time. *same: it stays as it is. */
static tw_value *increment(const tw_op *loop, uint32_t i, bool *same)
{
    const tw_block *body = loop->region[0];
    const tw_value *a = body->arg[1 + i], *y = body->last->operand[i];
    const tw_op *add = y->def;
    tw_dtype dtype = (tw_dtype)a->type.dtype;
    *same = y == a;
    if (*same || (!a->type.pointer && (a->type.rank == 0 || tw_dtype_floating(dtype) || dtype == TW_BOOL)) || !add ||
        add->code != TW_T_ADD || !tw_type_equal(&add->result[0].type, &a->type))
        return NULL;
    if (add->operand[0] == a && outside(add->operand[1], loop))
        return add->operand[1];
    if (add->operand[1] == a && outside(add->operand[0], loop))
        return add->operand[0];
    return NULL;
}

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

static tw_value *as_dtype(tw_graph *g, tw_value *v, tw_dtype dtype)
{
    return v && (tw_dtype)v->type.dtype != dtype ? tw_t_cast(g, v, dtype) : v;
}

/* start + rounds * step; rounds is an i64 scalar. */
static tw_value *after(tw_graph *g, tw_value *start, tw_value *rounds, tw_value *step)
{
    tw_dtype dtype = start->type.pointer ? TW_I64 : (tw_dtype)start->type.dtype;
    tw_value *offset = tw_t_mul(g, as_dtype(g, step, dtype), as_dtype(g, rounds, dtype));
    return tw_t_add(g, start, offset);
}

static bool is_constant(const tw_value *v, int64_t value)
{
    return v->def && v->def->code == TW_T_CONSTANT && v->def->attr[1].i == value;
}

static tw_value *rounds_before(tw_graph *g, const tw_op *loop, tw_value *index)
{
    tw_value *from = is_constant(loop->operand[0], 0) ? index : tw_t_sub(g, index, loop->operand[0]);
    return is_constant(loop->operand[2], 1) ? from : tw_t_div(g, from, loop->operand[2]);
}

/* max(upper - lower + step - 1, 0) / step */
static tw_value *all_rounds(tw_graph *g, const tw_op *loop)
{
    tw_value *one = tw_t_constant(g, 1, 1, TW_I64), *zero = tw_t_constant(g, 0, 0, TW_I64);
    tw_value *span = tw_t_sub(g, loop->operand[1], loop->operand[0]);
    span = tw_t_add(g, span, tw_t_sub(g, loop->operand[2], one));
    return tw_t_div(g, tw_t_max(g, span, zero), loop->operand[2]);
}

static bool used(const tw_block *block, const tw_value *v)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] == v)
                return true;
        for (uint32_t i = 0; i < op->regions; i++)
            if (used(op->region[i], v))
                return true;
    }
    return false;
}

/* The loop without the carried values that have a replacement; results move over. */
static tw_status rebuild(tw_graph *g, tw_op *loop, const bool *gone)
{
    tw_value *operand[MOST_CARRIED + 3];
    tw_block *body = loop->region[0];
    tw_op *yield = body->last;
    uint32_t carried = loop->operands - 3, kept = 0;
    memcpy(operand, loop->operand, 3 * sizeof *operand);
    for (uint32_t i = 0; i < carried; i++)
        if (!gone[i])
            operand[3 + kept++] = loop->operand[3 + i];
    tw_graph_insert_before(g, loop);
    tw_op *fresh = tw_graph_add(g, TW_T_FOR, (int)(3 + kept), operand, NULL);
    if (!fresh)
        return tw_error_code();
    fresh->place = loop->place;
    fresh->region[0] = body;
    body->parent = fresh;
    for (uint32_t i = 0, k = 0; i < carried; i++) {
        if (gone[i])
            continue;
        body->arg[1 + k] = body->arg[1 + i];
        body->arg[1 + k]->index = 1 + k;
        yield->operand[k++] = yield->operand[i];
    }
    body->args = 1 + kept;
    yield->operands = kept;
    TW_TRY(tw_op_finish(g, fresh));
    for (uint32_t i = 0, k = 0; i < carried; i++)
        if (!gone[i])
            replace_uses(g->body, &loop->result[i], &fresh->result[k++]);
    tw_op_remove(loop);
    return TW_OK;
}

static tw_status one_loop(tw_graph *g, tw_op *loop, bool *changed)
{
    tw_block *body = loop->region[0];
    uint32_t carried = loop->operands - 3;
    bool gone[MOST_CARRIED] = {false}, any = false;
    if (carried > MOST_CARRIED)
        return TW_OK;
    for (uint32_t i = 0; i < carried; i++) {
        bool same;
        tw_value *start = loop->operand[3 + i], *step = increment(loop, i, &same), *now = start, *then = start;
        if (!step && !same)
            continue;
        if (step) {
            tw_graph_insert_before(g, body->first);
            now = after(g, start, rounds_before(g, loop, body->arg[0]), step);
        }
        if (step && used(g->body, &loop->result[i])) {
            tw_graph_insert_before(g, loop);
            then = after(g, start, all_rounds(g, loop), step);
        }
        if (!now || !then)
            return tw_error_code();
        replace_uses(body, body->arg[1 + i], now);
        replace_uses(g->body, &loop->result[i], then);
        gone[i] = any = true;
    }
    *changed |= any;
    return any ? rebuild(g, loop, gone) : TW_OK;
}

static tw_status each_loop(tw_graph *g, tw_block *block, bool *changed)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->regions; i++)
            TW_TRY(each_loop(g, op->region[i], changed));
        if (op->code == TW_T_FOR)
            TW_TRY(one_loop(g, op, changed));
    }
    return TW_OK;
}

tw_status tw_tile_pass_induction(tw_graph **g, bool *changed)
{
    tw_status status = each_loop(*g, (*g)->body, changed);
    tw_graph_insert_at_end(*g, (*g)->body);
    return status;
}
