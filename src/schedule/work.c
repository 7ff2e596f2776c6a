/* How much a kernel computes, for the cost model, timing and explain. */
#include "ops/graph_ops.h"
#include "schedule/schedule.h"

static int64_t count_of(const tw_type *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}

static int64_t flops_of(const tw_op *op)
{
    switch (op->info->class) {
    case TW_CLASS_CONTRACTION:
        return 2 * count_of(&op->result[0].type) * op->operand[0]->type.dims[op->operand[0]->type.rank - 1];
    case TW_CLASS_REDUCTION:
        return count_of(&op->operand[0]->type);
    case TW_CLASS_SCAN:
    case TW_CLASS_POINTWISE:
        return op->code == TW_G_CAST ? 0 : count_of(&op->result[0].type);
    case TW_CLASS_SCATTER:
        return op->code == TW_G_INDEX_ADD     ? count_of(&op->operand[2]->type)
               : op->code == TW_G_SCATTER_ADD ? count_of(&op->operand[1]->type)
                                              : 0;
    default:
        return 0;
    }
}

/* The dtype in which an operation computes: that of what it takes, where it takes anything. */
static tw_dtype computed_in(const tw_op *op)
{
    uint32_t first = op->code == TW_G_WHERE ? 1 : 0;
    const tw_value *v = op->operands > first && op->operand[first] ? op->operand[first] : &op->result[0];
    return (tw_dtype)v->type.dtype;
}

/* ---- equal operations ---- by a hash of what they are made from; values from outside are told apart by id */

static tw_hash value_hash(const tw_op *const *op, const tw_hash *hash, int count, const tw_value *v)
{
    for (int i = 0; i < count && v; i++)
        if (op[i] == v->def)
            return hash[i];
    return tw_key(v ? v->id + 1 : 0);
}

static tw_hash operation_hash(const tw_op *const *op, const tw_hash *hash, int count)
{
    const tw_op *mine = op[count];
    if (mine->code == TW_G_AFTER) /* its first operand, read later */
        return value_hash(op, hash, count, mine->operand[0]);
    tw_hash h = tw_key(mine->code);
    for (uint32_t i = 0; i < mine->operands; i++) {
        tw_hash operand = value_hash(op, hash, count, mine->operand[i]);
        h = tw_hash_u64(tw_hash_u64(h, operand.lo), operand.hi);
    }
    for (int i = 0; i < mine->info->attrs; i++) {
        tw_attr_kind kind = mine->info->attr_info[i].kind;
        if (kind == TW_ATTR_DIMS || kind == TW_ATTR_INTS)
            h = tw_hash_bytes(h, mine->attr[i].dims.v, (size_t)mine->attr[i].dims.n * sizeof *mine->attr[i].dims.v);
        else
            h = tw_hash_u64(h, (uint64_t)mine->attr[i].i);
    }
    return h;
}

int64_t tw_flops_of(const tw_op *const *op, int count, tw_arena *arena, int64_t *by_dtype)
{
    tw_hash *hash = tw_arena_alloc(arena, ((size_t)count + 1) * sizeof *hash);
    int64_t flops = 0;
    for (int i = 0; i < count && hash; i++) {
        bool again = false;
        hash[i] = operation_hash(op, hash, i);
        for (int k = 0; k < i && !again; k++)
            again = tw_hash_equal(hash[k], hash[i]);
        int64_t mine = again ? 0 : flops_of(op[i]);
        flops += mine;
        if (by_dtype)
            by_dtype[computed_in(op[i])] += mine;
    }
    return hash ? flops : -1;
}
