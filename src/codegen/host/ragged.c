/* Panels that end early: columns that a mask hides from every row of the tile are left out.
 *
 *            column ->         A causal program holds rows base .. base + R - 1 of
 *     row  1 . . . . . . .     scores [R, T]. Columns from base + R on are hidden from
 *      |   1 1 . . . . . .     all of them: needed there is -inf for the maximum, and 0
 *      v   1 1 1 . . . . .     for the sum and for the products. Loops over such a panel
 *                              end at base + R, rounded up to 64; about half of
 *                              attention's work isn't done.
 *
 * A panel is the mask, compare(row >= column), and what element-wise operations join with it. All loops over it are
 * shortened, or none: each must take what it leaves out for the identity, which is read from the program:
 *   reduce max     of select(mask, x, -inf)
 *   reduce sum     of a value that is 0 outside: select(mask, x, 0), or that times or divided by anything
 *   dot, left      the same: its chain over k ends there
 *   dot, left, transposed, over its accumulator: rows that would add 0 are not touched
 * A product that makes a panel makes as much of it as is looked at.
 *
 * 0 times infinity or NaN is taken for 0 here, and a sum of -0 may lose a +0: TW_EXACT=1 leaves nothing out. */
#include <math.h>

#include "codegen/host/lower.h"

enum { STEP = 64, FEWEST_COLUMNS = 2 * STEP };

/* ---- reading the mask ---- */

static const tw_value *behind(const tw_value *v, int code)
{
    return v->def && v->def->code == code ? v->def->operand[0] : NULL;
}

/* [n] behind a broadcast that repeats it along the other axis. */
static const tw_value *vector_along(const tw_value *v, int axis)
{
    const tw_value *grown = behind(v, TW_T_BROADCAST), *line = grown ? behind(grown, TW_T_EXPAND_DIMS) : NULL;
    return line && line->type.rank == 1 && grown->def->attr[0].i == 1 - axis ? line : NULL;
}

static bool counts(const tw_value *v, tw_dim size)
{
    return v->def && v->def->code == TW_T_ARANGE && v->type.dims[0] == size;
}

/* base + 0, 1, 2 ...; *base NULL: 0. */
static bool counts_from(const tw_value *v, tw_dim size, const tw_value **base)
{
    *base = NULL;
    if (counts(v, size))
        return true;
    if (!v->def || v->def->code != TW_T_ADD)
        return false;
    for (int i = 0; i < 2; i++)
        if (counts(v->def->operand[i], size) && v->def->operand[1 - i]->type.rank == 0) {
            *base = v->def->operand[1 - i];
            return true;
        }
    return false;
}

static bool is_mask(const tw_op *op, ragged *r)
{
    const tw_type *t = &op->result[0].type;
    if (op->code != TW_T_COMPARE || t->rank != 2 || t->dims[0] < 1 || t->dims[1] < FEWEST_COLUMNS ||
        t->dims[1] % STEP != 0)
        return false;
    int64_t kind = op->attr[0].i;
    bool rows_first = kind == TW_T_COMPARE_GE || kind == TW_T_COMPARE_GT;
    if (!rows_first && kind != TW_T_COMPARE_LE && kind != TW_T_COMPARE_LT)
        return false;
    const tw_value *row = vector_along(op->operand[!rows_first], 0), *column = vector_along(op->operand[rows_first], 1);
    if (!row || !column || !counts(column, t->dims[1]) || !counts_from(row, t->dims[0], &r->base))
        return false;
    r->mask = &op->result[0];
    r->rows = t->dims[0];
    r->columns = t->dims[1];
    return true;
}

/* ---- the panel ---- */

static bool of_its_shape(const ragged *r, const tw_value *v)
{
    return v && v->type.rank == 2 && v->type.dims[0] == r->rows && v->type.dims[1] == r->columns;
}

static bool joins(const cg *x, const ragged *r, const tw_op *op)
{
    if (op->info->class != TW_CLASS_POINTWISE || !of_its_shape(r, &op->result[0]))
        return false;
    bool any = x->state[op->result[0].id].ragged;
    for (uint32_t i = 0; i < op->operands; i++)
        any |= of_its_shape(r, op->operand[i]) && x->state[op->operand[i]->id].ragged;
    return any;
}

static bool join(cg *x, const tw_value *v)
{
    bool before = x->state[v->id].ragged;
    x->state[v->id].ragged = true;
    return !before;
}

static void spread(cg *x, const ragged *r, const tw_block *block)
{
    bool changed = true;
    x->state[r->mask->id].ragged = true;
    while (changed) {
        changed = false;
        tw_for_each_op (op, block) {
            if (!joins(x, r, op))
                continue;
            changed |= join(x, &op->result[0]);
            for (uint32_t i = 0; i < op->operands; i++)
                changed |= of_its_shape(r, op->operand[i]) && join(x, op->operand[i]);
        }
    }
}

/* ---- what may be left out ---- */

static bool is_number(const tw_value *v, double number)
{
    while (v->def && (v->def->code == TW_T_BROADCAST || v->def->code == TW_T_EXPAND_DIMS || v->def->code == TW_T_CAST))
        v = v->def->operand[0];
    return v->def && v->def->code == TW_T_CONSTANT && tw_dtype_floating((tw_dtype)v->type.dtype) &&
           v->def->attr[0].f == number;
}

static bool masked_by(const ragged *r, const tw_value *v, double number)
{
    return v->def && v->def->code == TW_T_SELECT && v->def->operand[0] == r->mask &&
           is_number(v->def->operand[2], number);
}

static bool zero_outside(const ragged *r, const tw_value *v)
{
    const tw_op *op = v->def;
    if (masked_by(r, v, 0))
        return true;
    switch (op ? op->code : -1) {
    case TW_T_MUL:
        return zero_outside(r, op->operand[0]) || zero_outside(r, op->operand[1]);
    case TW_T_DIV:
    case TW_T_NEG:
    case TW_T_CAST:
        return tw_dtype_floating((tw_dtype)v->type.dtype) && zero_outside(r, op->operand[0]);
    case TW_T_SELECT:
        return zero_outside(r, op->operand[1]) && (is_number(op->operand[2], 0) || zero_outside(r, op->operand[2]));
    default:
        return false;
    }
}

static bool reduction_ends(const ragged *r, const tw_op *op)
{
    const tw_value *v = op->operand[0];
    int64_t kind = op->attr[1].i;
    return op->attr[0].i == 1 && ((kind == TW_T_REDUCE_SUM && zero_outside(r, v)) ||
                                  (kind == TW_T_REDUCE_MAX && masked_by(r, v, -INFINITY)) ||
                                  (kind == TW_T_REDUCE_MIN && masked_by(r, v, INFINITY)));
}

/* All that is done with the transposed panel: products over their accumulators. */
static bool transposed_ends(cg *x, const tw_value *turned, const tw_block *block)
{
    uint32_t seen = 0;
    tw_for_each_op (op, block)
        for (uint32_t i = 0; i < op->operands; i++) {
            if (op->operand[i] != turned)
                continue;
            if (op->code != TW_T_DOT || i != 0 || !x->state[op->result[0].id].into)
                return false;
            x->state[op->result[0].id].cut |= CUT_M;
            seen++;
        }
    return seen == x->uses[turned->id];
}

static bool use_ends(cg *x, const ragged *r, const tw_op *op, uint32_t i, const tw_block *block)
{
    const tw_value *v = op->operand[i];
    value_state *s = op->results ? &x->state[op->result[0].id] : NULL;
    if (op->info->class == TW_CLASS_POINTWISE)
        return true;
    if (op->code == TW_T_REDUCE && reduction_ends(r, op)) {
        s->cut |= CUT_ROW;
        return true;
    }
    if (op->code == TW_T_DOT && i == 0 && zero_outside(r, v)) {
        s->cut |= CUT_K;
        return true;
    }
    return op->code == TW_T_PERMUTE && op->attr[0].dims.v[0] == 1 && zero_outside(r, v) &&
           transposed_ends(x, &op->result[0], block);
}

/* Every use of every value of the panel, and that there is no other in a region within. */
static bool all_end(cg *x, const ragged *r, const tw_block *block)
{
    uint32_t *here = tw_arena_zero(x->arena, x->g->values + 1, sizeof *here);
    if (!here)
        return false;
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++) {
            const tw_value *v = op->operand[i];
            if (!v || !x->state[v->id].ragged)
                continue;
            here[v->id]++;
            if (!v->def || v->def->block != block || !use_ends(x, r, op, i, block))
                return false;
        }
    }
    tw_for_each_op (op, block) {
        if (op->results != 1 || !x->state[op->result[0].id].ragged)
            continue;
        if (here[op->result[0].id] != x->uses[op->result[0].id])
            return false;
        if (op->code == TW_T_DOT) {
            if (op->operand[2])
                return false;
            x->state[op->result[0].id].cut |= CUT_N;
        }
    }
    return true;
}

static void forget(cg *x, const tw_block *block)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                x->state[op->operand[i]->id].ragged = false;
        for (uint32_t i = 0; i < op->results; i++)
            x->state[op->result[i].id].cut = x->state[op->result[i].id].ragged = 0;
    }
}

void cg_find_ragged(cg *x, const tw_block *block)
{
    x->ragged = (ragged){0};
    if (tw_env_on("TW_EXACT"))
        return;
    tw_for_each_op (op, block) {
        ragged r = {0};
        if (!is_mask(op, &r))
            continue;
        spread(x, &r, block);
        if (all_end(x, &r, block))
            x->ragged = r;
        else
            forget(x, block);
        return;
    }
}

/* How many columns this program looks at. */
LLVMValueRef cg_ragged_columns(cg *x)
{
    const ragged *r = &x->ragged;
    LLVMValueRef base = r->base ? x->state[r->base->id].scalar : cg_i64(x, 0);
    LLVMValueRef end = LLVMBuildAdd(x->b, base, cg_i64(x, r->rows + STEP - 1), "");
    LLVMValueRef both[] = {LLVMBuildAnd(x->b, end, cg_i64(x, -STEP), ""), cg_i64(x, r->columns)};
    LLVMTypeRef i64 = LLVMInt64TypeInContext(x->c);
    return LLVMBuildFreeze(x->b, cg_intrinsic(x, "llvm.smin", &i64, 1, both, 2), "");
}
