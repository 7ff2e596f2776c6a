/* Graphs: making, inserting, removing and copying operations. tw_graph_add is on the path of every eager call: one
 * arena allocation holds the operation, its operands, attributes and results. */
#include "ir/internal.h"

tw_block *tw_block_create(tw_graph *g, tw_op *parent)
{
    tw_block *block = tw_arena_zero(g->arena, 1, sizeof *block);
    if (block)
        block->parent = parent;
    return block;
}

tw_graph *tw_graph_create(const tw_op_table *table)
{
    tw_arena *arena = tw_arena_create(0);
    tw_graph *g = arena ? tw_arena_zero(arena, 1, sizeof *g) : NULL;
    if (g) {
        *g = (tw_graph){.arena = arena, .table = table, .name = ""};
        g->body = g->insert_block = tw_block_create(g, NULL);
    }
    if (g && g->body)
        return g;
    tw_arena_destroy(arena);
    return NULL;
}

void tw_graph_destroy(tw_graph *g)
{
    if (!g)
        return;
    tw_dim_table_free(g);
    tw_arena_destroy(g->arena);
}

tw_op *tw_op_allocate(tw_graph *g, int code, uint32_t operands, uint32_t results, uint32_t regions)
{
    const tw_op_info *info = &g->table->ops[code];
    size_t attrs = (size_t)info->attrs;
    size_t bytes = sizeof(tw_op) + operands * sizeof(tw_value *) + attrs * sizeof(tw_attr) +
                   regions * sizeof(tw_block *) + results * sizeof(tw_value);
    tw_op *op = g->failed == TW_OK ? tw_arena_alloc(g->arena, bytes) : NULL;
    if (!op)
        return NULL;
    *op = (tw_op){.info = info,
                  .code = (uint16_t)code,
                  .regions = (uint16_t)regions,
                  .place = g->place,
                  .operands = operands,
                  .results = results};
    char *at = (char *)(op + 1);
    op->result = (tw_value *)at; /* most strictly aligned first */
    at += results * sizeof(tw_value);
    op->attr = (tw_attr *)at;
    at += attrs * sizeof(tw_attr);
    op->operand = (tw_value **)at;
    at += operands * sizeof(tw_value *);
    op->region = (tw_block **)at;
    for (uint32_t i = 0; i < results; i++)
        op->result[i] = (tw_value){.id = g->values++, .index = i, .def = op};
    for (uint32_t i = 0; i < regions; i++)
        if (!(op->region[i] = tw_block_create(g, op)))
            return NULL;
    return op;
}

void tw_op_insert(tw_graph *g, tw_op *op)
{
    tw_op *next = g->insert_before;
    tw_block *block = next ? next->block : g->insert_block;
    op->block = block;
    op->next = next;
    op->prev = next ? next->prev : block->last;
    *(op->prev ? &op->prev->next : &block->first) = op;
    *(next ? &next->prev : &block->last) = op;
}

static bool copy_attrs(tw_graph *g, tw_op *op, const tw_attr *attrs)
{
    for (int i = 0; i < op->info->attrs; i++) {
        op->attr[i] = attrs[i];
        if (op->info->attr_info[i].kind == TW_ATTR_TEXT &&
            !(op->attr[i].text = tw_arena_text(g->arena, "%s", attrs[i].text ? attrs[i].text : "")))
            return false;
        if (op->info->attr_info[i].kind != TW_ATTR_DIMS && op->info->attr_info[i].kind != TW_ATTR_INTS)
            continue;
        size_t bytes = (size_t)attrs[i].dims.n * sizeof(tw_dim);
        if (bytes && !(op->attr[i].dims.v = tw_arena_copy(g->arena, attrs[i].dims.v, bytes)))
            return false;
    }
    return true;
}

static tw_status wrong_operands(const tw_op_info *info, int given)
{
    if (info->variadic)
        return tw_error(TW_ERR_VALUE, "%s: %d operands given; expected at least %d", info->name, given,
                        info->operands - 1);
    return tw_error(TW_ERR_VALUE, "%s: %d operands given; expected %d", info->name, given, info->operands);
}

/* Whoever multiplies sizes, or strides, or bytes, relies on this. */
static bool countable(const tw_type *t, const char *name)
{
    static const int64_t MOST_ELEMENTS = (int64_t)1 << 59;
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] > 0 && (__builtin_mul_overflow(count, t->dims[i], &count) || count > MOST_ELEMENTS))
            return tw_error(TW_ERR_SHAPE, "%s: more than 2^59 elements", name) == TW_OK;
    return true;
}

static tw_status infer(tw_graph *g, tw_op *op)
{
    TW_TRY(op->info->infer(g, op));
    for (uint32_t i = 0; i < op->results && g->failed == TW_OK; i++)
        if (!countable(&op->result[i].type, op->info->name))
            return TW_ERR_SHAPE;
    return g->failed; /* else its types are not what they should be */
}

tw_op *tw_graph_add(tw_graph *g, int code, int operands, tw_value *const *operand, const tw_attr *attrs)
{
    const tw_op_info *info = &g->table->ops[code];
    if (info->variadic ? operands < info->operands - 1 : operands != info->operands)
        return wrong_operands(info, operands), NULL;
    uint32_t results =
        info->results < 0 ? (uint32_t)operands : (uint32_t)info->results; /* regions: corrected by tw_op_finish */
    uint32_t values = g->values;
    tw_op *op = tw_op_allocate(g, code, (uint32_t)operands, results, (uint32_t)info->regions);
    if (!op)
        return NULL;
    if (operands)
        memcpy(op->operand, operand, (size_t)operands * sizeof *operand);
    for (int i = 0; i < operands; i++) {
        if (!operand[i] && i < info->operands - info->optional) {
            tw_error(TW_ERR_VALUE, "%s: operand %d is missing", info->name, i);
            return NULL;
        }
    }
    if (!copy_attrs(g, op, attrs))
        return NULL;
    if (!info->regions && info->infer && infer(g, op) != TW_OK) {
        g->values = values;
        g->failed = TW_OK; /* what could not be made was this operation's */
        return NULL;
    }
    if (info->regions && info->results < 0)
        op->results = 0;
    tw_op_insert(g, op);
    return op;
}

/* Results of an operation with regions are what its last region's terminator passes on. */
tw_status tw_op_finish(tw_graph *g, tw_op *op)
{
    const tw_op *last = op->regions ? op->region[op->regions - 1]->last : NULL;
    if (!last || !(last->info->flags & TW_OP_TERMINATOR))
        return tw_error(TW_ERR_FORMAT, "%s: a region without a terminator", op->info->name);
    uint32_t results = last->operands;
    if (op->results != results) {
        tw_value *result = tw_arena_zero(g->arena, TW_MAX(results, 1u), sizeof *result);
        if (!result)
            return TW_ERR_MEMORY;
        for (uint32_t i = 0; i < results; i++)
            result[i] = (tw_value){.id = g->values++, .index = i, .def = op};
        op->result = result;
        op->results = results;
    }
    for (uint32_t i = 0; i < results; i++)
        op->result[i].type = last->operand[i]->type;
    return op->info->infer ? op->info->infer(g, op) : TW_OK;
}

tw_value *tw_block_add_arg(tw_graph *g, tw_block *block, tw_type type)
{
    tw_value *v = tw_arena_zero(g->arena, 1, sizeof *v);
    tw_value **args = tw_arena_alloc(g->arena, (block->args + 1) * sizeof *args);
    if (!v || !args)
        return NULL;
    *v = (tw_value){.type = type, .id = g->values++, .index = block->args, .block = block};
    if (block->args)
        memcpy(args, block->arg, block->args * sizeof *args);
    args[block->args++] = v;
    block->arg = args;
    return v;
}

tw_value *tw_graph_input(tw_graph *g, tw_type type)
{
    tw_op *after = NULL, *op = countable(&type, "input") ? tw_op_allocate(g, g->table->input, 0, 1, 0) : NULL;
    if (!op)
        return NULL;
    for (int i = 0; i < op->info->attrs; i++)
        op->attr[i] = (tw_attr){0};
    op->result[0].type = type;
    for (tw_op *o = g->body->first; o && o->code == g->table->input; o = o->next)
        after = o;
    tw_op *before = g->insert_before;
    tw_block *block = g->insert_block;
    g->insert_block = g->body;
    g->insert_before = after ? after->next : g->body->first;
    tw_op_insert(g, op);
    g->insert_before = before;
    g->insert_block = block;
    return &op->result[0];
}

void tw_op_remove(tw_op *op)
{
    *(op->prev ? &op->prev->next : &op->block->first) = op->next;
    *(op->next ? &op->next->prev : &op->block->last) = op->prev;
    op->block = NULL;
}

void tw_graph_insert_at_end(tw_graph *g, tw_block *block)
{
    g->insert_before = NULL;
    g->insert_block = block;
}

void tw_graph_insert_before(tw_graph *g, tw_op *op)
{
    g->insert_before = op;
    g->insert_block = op->block;
}

/* ---- copying ---- */

static void import_type(tw_graph *to, const tw_graph *from, tw_type *type)
{
    for (int i = 0; i < type->rank; i++)
        type->dims[i] = tw_dim_import(to, from, type->dims[i]);
}

static bool import_attrs(tw_graph *to, const tw_graph *from, const tw_op *op, tw_op *copy)
{
    if (!copy_attrs(to, copy, op->attr))
        return false;
    for (int i = 0; i < op->info->attrs; i++) {
        if (op->info->attr_info[i].kind != TW_ATTR_DIMS)
            continue;
        tw_dim *v = (tw_dim *)(uintptr_t)copy->attr[i].dims.v;
        for (int j = 0; j < copy->attr[i].dims.n && from->dims; j++)
            v[j] = tw_dim_import(to, from, v[j]);
    }
    return true;
}

static bool clone_block(tw_graph *to, const tw_graph *from, const tw_block *block, tw_block *copy, tw_value **map)
{
    tw_op *before = to->insert_before;
    tw_block *outer = to->insert_block;
    bool fine = true;
    for (uint32_t i = 0; i < block->args && fine; i++) {
        tw_type type = block->arg[i]->type;
        import_type(to, from, &type);
        fine = (map[block->arg[i]->id] = tw_block_add_arg(to, copy, type)) != NULL;
    }
    tw_graph_insert_at_end(to, copy);
    tw_for_each_op (op, block)
        fine = fine && tw_graph_clone_op(to, from, op, map);
    to->insert_before = before;
    to->insert_block = outer;
    return fine;
}

tw_op *tw_graph_clone_op(tw_graph *to, const tw_graph *from, const tw_op *op, tw_value **map)
{
    tw_op *copy = tw_op_allocate(to, op->code, op->operands, op->results, op->regions);
    if (!copy || !import_attrs(to, from, op, copy))
        return NULL;
    copy->place = op->place;
    for (uint32_t i = 0; i < op->operands; i++)
        copy->operand[i] = op->operand[i] ? map[op->operand[i]->id] : NULL;
    for (uint32_t i = 0; i < op->results; i++) {
        copy->result[i].type = op->result[i].type;
        import_type(to, from, &copy->result[i].type);
        map[op->result[i].id] = &copy->result[i];
    }
    for (uint32_t i = 0; i < op->regions; i++)
        if (!clone_block(to, from, op->region[i], copy->region[i], map))
            return NULL;
    tw_op_insert(to, copy);
    return copy;
}

tw_graph *tw_graph_clone(const tw_graph *from)
{
    tw_graph *to = tw_graph_create(from->table);
    tw_value **map = tw_alloc_zero(from->values + 1, sizeof *map);
    bool fine = to && map;
    if (fine)
        fine = (to->name = tw_arena_text(to->arena, "%s", from->name)) != NULL;
    tw_for_each_op (op, from->body)
        fine = fine && tw_graph_clone_op(to, from, op, map);
    tw_free(map);
    if (fine && to->failed == TW_OK)
        return to;
    tw_graph_destroy(to);
    return NULL;
}
