/* Facts about a graph: use counts, users, and a structural hash. */
#include <math.h>

#include "ir/internal.h"

static void count_uses(const tw_block *block, uint32_t *counts)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                counts[op->operand[i]->id]++;
        for (uint32_t i = 0; i < op->regions; i++)
            count_uses(op->region[i], counts);
    }
}

uint32_t *tw_graph_use_counts(const tw_graph *g, tw_arena *a)
{
    uint32_t *counts = tw_arena_zero(a, g->values + 1, sizeof *counts);
    if (counts)
        count_uses(g->body, counts);
    return counts;
}

bool tw_block_uses(const tw_block *block, const tw_value *v)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] == v)
                return true;
        for (uint32_t i = 0; i < op->regions; i++)
            if (tw_block_uses(op->region[i], v))
                return true;
    }
    return false;
}

void tw_block_replace_uses(tw_block *block, const tw_value *from, tw_value *to)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] == from)
                op->operand[i] = to;
        for (uint32_t i = 0; i < op->regions; i++)
            tw_block_replace_uses(op->region[i], from, to);
    }
}

static void fill_users(const tw_block *block, tw_users *u, uint32_t *next)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                u->op[next[op->operand[i]->id]++] = op;
        for (uint32_t i = 0; i < op->regions; i++)
            fill_users(op->region[i], u, next);
    }
}

tw_users tw_graph_users(const tw_graph *g, tw_arena *a)
{
    tw_users u = {tw_arena_zero(a, g->values + 2, sizeof *u.start), NULL};
    uint32_t *next = tw_arena_alloc(a, (g->values + 1) * sizeof *next);
    if (!u.start || !next)
        return (tw_users){0};
    count_uses(g->body, u.start + 1);
    for (uint32_t i = 0; i < g->values; i++)
        u.start[i + 1] += u.start[i];
    memcpy(next, u.start, g->values * sizeof *next);
    u.op = tw_arena_alloc(a, (u.start[g->values] + 1) * sizeof(tw_op *));
    if (!u.op)
        return (tw_users){0};
    fill_users(g->body, &u, next);
    return u;
}

/* ---- hash ---- values are numbered in order, so that ids don't matter */

typedef struct hasher {
    const tw_graph *g;
    tw_hash h;
    uint32_t *number, next;
    bool sizes; /* they count */
} hasher;

static void hash_dim(hasher *x, tw_dim d)
{
    tw_dim_step steps[64];
    if (!x->sizes)
        return;
    int count = d >= 0 || !x->g->dims ? -1 : tw_dim_steps(x->g, d, steps, TW_COUNT(steps));
    x->h = tw_hash_u64(x->h, count < 0 ? (uint64_t)d : UINT64_MAX); /* handles depend on the order of making */
    for (int i = 0; i < count; i++)
        x->h = tw_hash_u64(tw_hash_u64(x->h, (uint64_t)steps[i].kind), (uint64_t)steps[i].value);
}

static void hash_type(hasher *x, const tw_type *t)
{
    x->h = tw_hash_u64(x->h, (uint64_t)t->dtype << 16 | (uint64_t)t->rank << 8 | t->pointer);
    for (int i = 0; i < t->rank; i++)
        hash_dim(x, t->dims[i]);
}

/* What a constant is may depend on sizes too: how many elements a mean is over. */
static bool may_count(const tw_op *op, int attr)
{
    return op->info->class == TW_CLASS_CREATION && op->operands == 0 &&
           (op->info->attr_info[attr].kind == TW_ATTR_FLOAT || !strcmp(op->info->attr_info[attr].name, "bits"));
}

static void hash_block(hasher *x, const tw_block *block)
{
    for (uint32_t i = 0; i < block->args; i++) {
        x->number[block->arg[i]->id] = ++x->next;
        hash_type(x, &block->arg[i]->type);
    }
    tw_for_each_op (op, block) {
        x->h = tw_hash_u64(x->h, (uint64_t)op->code << 32 | op->operands);
        for (uint32_t i = 0; i < op->operands; i++)
            x->h = tw_hash_u64(x->h, op->operand[i] ? x->number[op->operand[i]->id] : 0);
        for (int i = 0; i < op->info->attrs; i++) {
            tw_attr_kind kind = op->info->attr_info[i].kind;
            if (kind == TW_ATTR_TEXT) {
                x->h = tw_hash_bytes(x->h, op->attr[i].text, strlen(op->attr[i].text));
                continue;
            }
            if (!x->sizes && may_count(op, i))
                continue;
            if (kind != TW_ATTR_DIMS && kind != TW_ATTR_INTS) {
                bool nan = kind == TW_ATTR_FLOAT && isnan(op->attr[i].f); /* one NaN: the text has no more */
                x->h = tw_hash_u64(x->h, nan ? 1 : (uint64_t)op->attr[i].i);
                continue;
            }
            x->h = tw_hash_u64(x->h, (uint64_t)op->attr[i].dims.n);
            for (int j = 0; j < op->attr[i].dims.n; j++) {
                if (kind == TW_ATTR_DIMS)
                    hash_dim(x, op->attr[i].dims.v[j]);
                else
                    x->h = tw_hash_u64(x->h, (uint64_t)op->attr[i].dims.v[j]);
            }
        }
        for (uint32_t i = 0; i < op->results; i++) {
            x->number[op->result[i].id] = ++x->next;
            hash_type(x, &op->result[i].type);
        }
        for (uint32_t i = 0; i < op->regions; i++)
            hash_block(x, op->region[i]);
    }
    x->h = tw_hash_u64(x->h, 0xb10c);
}

static tw_status hash_graph(const tw_graph *g, bool sizes, tw_hash *hash)
{
    hasher x = {g, tw_key((uint64_t)g->table->count), tw_alloc_zero(g->values + 1, sizeof(uint32_t)), 0, sizes};
    if (!x.number)
        return TW_ERR_MEMORY;
    hash_block(&x, g->body);
    tw_free(x.number);
    *hash = x.h;
    return g->failed;
}

tw_status tw_graph_hash(const tw_graph *g, tw_hash *hash)
{
    return hash_graph(g, true, hash);
}

tw_status tw_graph_shape_hash(const tw_graph *g, tw_hash *hash)
{
    return hash_graph(g, false, hash);
}
