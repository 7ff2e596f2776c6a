/* The rules, as a table, and the pass. Every rule keeps each result's bits. */
#include "simplify/simplify.h"

#include "ops/build.h"

static bool same_shape(const tw_type *a, const tw_type *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

static const tw_op *made_by(const tw_value *v, int code)
{
    return v->def && v->def->code == code ? v->def : NULL;
}

static bool keep_operand(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    *replacement = op->operand[0];
    return true;
}

static bool same_dtype_cast(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return op->operand[0]->type.dtype == op->result[0].type.dtype && keep_operand(g, op, replacement);
}

static bool idle_view(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return same_shape(&op->operand[0]->type, &op->result[0].type) && keep_operand(g, op, replacement);
}

static bool idle_permute(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    for (int i = 0; i < op->attr[0].dims.n; i++)
        if (op->attr[0].dims.v[i] != i)
            return false;
    return keep_operand(g, op, replacement);
}

static bool reshape_reshape(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_RESHAPE);
    if (!inner)
        return false;
    *replacement = tw_g_reshape(g, inner->operand[0], op->attr[0].dims.n, op->attr[0].dims.v);
    return true;
}

static bool permute_permute(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_PERMUTE);
    int64_t axes[TW_MAX_RANK];
    if (!inner)
        return false;
    for (int i = 0; i < op->attr[0].dims.n; i++)
        axes[i] = inner->attr[0].dims.v[op->attr[0].dims.v[i]];
    *replacement = tw_g_permute(g, inner->operand[0], op->attr[0].dims.n, axes);
    return true;
}

/* (a b)^T = b^T a^T: the same products in the same order. It spares writing the result across its rows. */
static bool transposed_dot(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *dot = made_by(op->operand[0], TW_G_DOT);
    int rank = op->attr[0].dims.n;
    if (!dot)
        return false;
    for (int i = 0; i < rank; i++)
        if (op->attr[0].dims.v[i] != (i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2))
            return false;
    *replacement = tw_g_dot(g, tw_g_swap(g, dot->operand[1], -2, -1), tw_g_swap(g, dot->operand[0], -2, -1));
    return true;
}

/* A scalar full, whatever views lie over it. */
static bool is_scalar(const tw_value *v, double value)
{
    while (v->def && (v->def->code == TW_G_EXPAND || v->def->code == TW_G_RESHAPE))
        v = v->def->operand[0];
    const tw_op *full = made_by(v, TW_G_FULL);
    if (!full)
        return false;
    return tw_dtype_floating((tw_dtype)v->type.dtype) ? full->attr[1].f == value : full->attr[2].i == (int64_t)value;
}

/* x op c = x for one of two operands, when the shapes allow it. */
static bool drop_second(const tw_op *op, double value, tw_value **replacement)
{
    *replacement = op->operand[0];
    return is_scalar(op->operand[1], value) && same_shape(&op->operand[0]->type, &op->result[0].type);
}

static bool times_one(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    if (drop_second(op, 1, replacement))
        return true;
    *replacement = op->operand[1];
    return op->code == TW_G_MUL && is_scalar(op->operand[0], 1) && same_shape(&op->operand[1]->type, &op->result[0].type);
}

/* x + 0 is x for integers; for floating x it would turn -0 into 0, so there only x - 0 goes. */
static bool minus_zero(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    bool integer = !tw_dtype_floating((tw_dtype)op->result[0].type.dtype);
    return (op->code == TW_G_SUB || integer) && drop_second(op, 0, replacement);
}

static bool neg_neg(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_NEG);
    (void)g;
    *replacement = inner ? inner->operand[0] : NULL;
    return inner != NULL;
}

/* A view of one value everywhere is that value. */
static bool view_of_full(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *full = made_by(op->operand[0], TW_G_FULL);
    if (!full)
        return false;
    const tw_type *t = &op->result[0].type;
    *replacement = tw_g_full(g, t->rank, t->dims, full->attr[1].f, full->attr[2].i, (tw_dtype)t->dtype);
    return true;
}

static const tw_rewrite_rule rules[] = {
    {TW_G_CAST, "cast to the own dtype", same_dtype_cast},
    {TW_G_RESHAPE, "reshape to the own shape", idle_view},
    {TW_G_EXPAND, "expand to the own shape", idle_view},
    {TW_G_PERMUTE, "permute in order", idle_permute},
    {TW_G_RESHAPE, "view of a full", view_of_full},
    {TW_G_EXPAND, "view of a full", view_of_full},
    {TW_G_PERMUTE, "view of a full", view_of_full},
    {TW_G_RESHAPE, "reshape of reshape", reshape_reshape},
    {TW_G_PERMUTE, "permute of permute", permute_permute},
    {TW_G_PERMUTE, "(a b)^T = b^T a^T", transposed_dot},
    {TW_G_MUL, "x * 1 = x", times_one},
    {TW_G_DIV, "x / 1 = x", times_one},
    {TW_G_SUB, "x - 0 = x", minus_zero},
    {TW_G_ADD, "x + 0 = x (integers)", minus_zero},
    {TW_G_NEG, "-(-x) = x", neg_neg},
};

tw_status tw_pass_simplify(tw_graph **g, bool *changed)
{
    enum { MOST_ROUNDS = 4 };
    bool again = true;
    for (int round = 0; again && round < MOST_ROUNDS; round++) {
        bool shared, dead;
        TW_TRY(tw_rewrite(g, rules, TW_COUNT(rules), &again));
        TW_TRY(tw_pass_cse(g, &shared));
        TW_TRY(tw_pass_dce(g, &dead));
        *changed = *changed || again || shared || dead;
    }
    return TW_OK;
}
