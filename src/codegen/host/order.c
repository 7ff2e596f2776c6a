/* Loads are evaluated when somebody asks, which may be behind a store that comes after them. Where that store could
 * write what they read, they are carried out at their place instead.
 *
 * Pointers with different arguments at their roots never meet: who launches the program passes arrays that are apart,
 * or tells the compiler that two arguments are one. With one root they may, unless they are the same pointers and the
 * store is the one that asks: each element is then read before it is written. */
#include "codegen/host/lower.h"

/* ---- what a pointer may point into ---- */

enum { MOST_DEPTH = 40 };

/* The argument that it is made from; NULL: not known. */
static const tw_value *root(const tw_value *v, int depth)
{
    const tw_op *op = v->def;
    if (depth == 0)
        return NULL;
    if (!op) { /* carried by a loop that only moves it */
        const tw_op *around = v->block->parent;
        if (!around || around->code != TW_T_FOR || v->index == 0)
            return NULL;
        return root(around->operand[2 + v->index], depth - 1);
    }
    if (op->code == TW_T_ARG)
        return v;
    bool through = op->code == TW_T_ADD || (op->info->class == TW_CLASS_VIEW && op->operands == 1) ||
                   (op->code == TW_T_BITCAST && op->operand[0]->type.pointer);
    if (op->code == TW_T_FOR)
        return root(op->operand[3 + v->index], depth - 1);
    return through ? root(op->operand[0], depth - 1) : NULL;
}

/* Does what a loop yields come from where it began? Once for the whole chain of pointers that v is made from. */
static bool only_moved(const tw_value *v, int depth)
{
    const tw_op *op = v->def;
    if (depth == 0)
        return false;
    const tw_op *around = op ? (op->code == TW_T_FOR ? op : NULL) : v->block->parent;
    if (!around)
        return !op || op->code == TW_T_ARG || op->operands == 0 || only_moved(op->operand[0], depth - 1);
    uint32_t i = op ? v->index : v->index - 1;
    const tw_value *new = around->region[0]->last->operand[i], *old = around->region[0]->arg[1 + i];
    for (int k = 0; new != old; k++) {
        if (k == MOST_DEPTH || !new->def || (new->def->code != TW_T_ADD &&new->def->info->class != TW_CLASS_VIEW))
            return false;
        new = new->def->operand[0];
    }
    return only_moved(around->operand[3 + i], depth - 1);
}

bool cg_may_alias(const tw_value *pointer, const tw_value *other)
{
    const tw_value *a = root(pointer, MOST_DEPTH), *b = root(other, MOST_DEPTH);
    return !a || !b || a == b || !only_moved(pointer, MOST_DEPTH) || !only_moved(other, MOST_DEPTH);
}

bool cg_writes(const tw_op *op)
{
    if (op->code == TW_T_STORE || op->code == TW_T_ATOMIC)
        return true;
    for (uint32_t i = 0; i < op->regions; i++)
        tw_for_each_op (inner, op->region[i])
            if (cg_writes(inner))
                return true;
    return false;
}

static bool may_overwrite(const tw_op *op, const tw_value *pointer)
{
    if (op->code == TW_T_STORE || op->code == TW_T_ATOMIC)
        return cg_may_alias(op->operand[0], pointer);
    for (uint32_t i = 0; i < op->regions; i++)
        tw_for_each_op (inner, op->region[i])
            if (may_overwrite(inner, pointer))
                return true;
    return false;
}

/* ---- where a load's elements are asked for ---- */

typedef struct order {
    uint32_t *mark; /* by value id: the load whose elements it is made from */
    uint32_t load;
} order;

static bool uses_marked(const order *o, const tw_op *op)
{
    for (uint32_t i = 0; i < op->operands; i++)
        if (op->operand[i] && o->mark[op->operand[i]->id] == o->load)
            return true;
    for (uint32_t i = 0; i < op->regions; i++)
        tw_for_each_op (inner, op->region[i])
            if (uses_marked(o, inner))
                return true;
    return false;
}

/* Evaluated when asked: marks go through. */
static bool waits(const tw_op *op)
{
    return op->results && op->result[0].type.rank > 0 && !op->regions &&
           (op->info->class == TW_CLASS_POINTWISE || op->info->class == TW_CLASS_VIEW ||
            op->info->class == TW_CLASS_GATHER || op->code == TW_T_LOAD);
}

/* Every way from v to the load leads through element-wise operations: each element is read where it is written. */
static bool in_step(const order *o, const tw_value *v, const tw_op *load, int depth)
{
    if (!v || o->mark[v->id] != o->load || v->def == load)
        return true;
    if (depth == 0 || v->def->info->class != TW_CLASS_POINTWISE)
        return false;
    for (uint32_t i = 0; i < v->def->operands; i++)
        if (!in_step(o, v->def->operand[i], load, depth - 1))
            return false;
    return true;
}

static bool overwrites_what_it_reads(const order *o, const tw_op *store, const tw_op *load)
{
    return store->code != TW_T_STORE || store->operand[0] != load->operand[0] ||
           !in_step(o, store->operand[1], load, MOST_DEPTH) || !in_step(o, store->operand[2], load, MOST_DEPTH);
}

/* Is the load asked for by, or behind, something that may write what it reads? */
static bool overtaken(order *o, const tw_op *load)
{
    bool written = false;
    o->load++;
    o->mark[load->result[0].id] = o->load;
    for (const tw_op *op = load->next; op; op = op->next) {
        bool asks = uses_marked(o, op);
        if (asks && waits(op)) {
            for (uint32_t i = 0; i < op->results; i++)
                o->mark[op->result[i].id] = o->load;
            continue;
        }
        if (asks && written)
            return true;
        if (!cg_writes(op) || !may_overwrite(op, load->operand[0]))
            continue;
        if (asks && overwrites_what_it_reads(o, op, load))
            return true;
        written = true;
    }
    return false;
}

void cg_order_loads(cg *x, const tw_block *block)
{
    bool writes = false;
    order o = {0};
    for (const tw_op *op = block->first; op && !writes; op = op->next)
        writes = cg_writes(op);
    if (!writes)
        return;
    if (!(o.mark = tw_arena_zero(x->arena, x->g->values + 1, sizeof *o.mark))) {
        cg_fail(x, TW_ERR_MEMORY);
        return;
    }
    for (const tw_op *op = block->first; op; op = op->next)
        if (op->code == TW_T_LOAD && op->result[0].type.rank)
            x->state[op->result[0].id].early = overtaken(&o, op);
}

/* ---- what waits ---- stores that are looped over together, products that wait for their stores */

/* Does the evaluation of v, vector by vector, read what a store through `pointer` has written by then? Not where each
 * element is read at the index at which it is written: a group reads all of an index before it writes there. */
static bool reads_from(cg *x, const tw_value *v, const tw_value *pointer, bool in_step)
{
    const tw_op *op = v ? v->def : NULL;
    if (!op || !waits(op) || x->state[v->id].memory)
        return false;
    if (x->state[v->id].looked[in_step] == x->looking)
        return false;
    x->state[v->id].looked[in_step] = x->looking;
    if (op->code == TW_T_LOAD && cg_may_alias(op->operand[0], pointer) && !(in_step && op->operand[0] == pointer))
        return true;
    in_step = in_step && (op->info->class == TW_CLASS_POINTWISE || op->code == TW_T_LOAD);
    for (uint32_t i = 0; i < op->operands; i++)
        if (reads_from(x, op->operand[i], pointer, in_step))
            return true;
    return false;
}

static bool reads_written(cg *x, const tw_op *op, const tw_value *pointer, bool in_step)
{
    x->looking++;
    for (uint32_t i = 0; i < op->operands; i++)
        if (reads_from(x, op->operand[i], pointer, in_step))
            return true;
    return false;
}

bool cg_must_part(cg *x, const tw_op *first, const tw_op *second)
{
    const tw_value *pointer = second->operand[0];
    return (first->operand[0] != pointer && cg_may_alias(first->operand[0], pointer)) ||
           reads_written(x, first, pointer, true);
}

bool cg_may_wait(cg *x, const tw_op *dot)
{
    for (const tw_op *op = dot->next; op; op = op->next)
        if (op->code == TW_T_STORE && reads_written(x, dot, op->operand[0], false))
            return false;
    return true;
}
