/* Constants, and work done before values are repeated: rules for all element-wise operations. */
#include "ops/reference.h"
#include "simplify/internal.h"

/* Elementary functions of a constant stay: the compiled function may differ from the reference in the last place, and
 * then a folded graph would not agree with its operations run one by one. */
static bool rounds_correctly(const tw_op *op)
{
    return tw_reference_ulp(op->code, (tw_dtype)op->result[0].type.dtype) <= 0.5;
}

static tw_value *scalar_of(tw_graph *g, const tw_op *full)
{
    return tw_g_full(g, 0, NULL, full->attr[1].f, full->attr[2].i, (tw_dtype)full->attr[3].i);
}

enum { MOST_OPERANDS = 3 };

/* Evaluates scalar constants; false: an error is set. */
static bool evaluate(tw_graph *g, const tw_op *op, tw_value *const *scalar, double *number, int64_t *bits)
{
    tw_array x[MOST_OPERANDS] = {0}, y = {0};
    tw_op *small = tw_graph_add(g, op->code, (int)op->operands, scalar, op->attr);
    tw_status status = small ? TW_OK : TW_ERR_MEMORY;
    for (uint32_t i = 0; i < op->operands && status == TW_OK; i++)
        status = tw_reference_op(g, scalar[i]->def, NULL, NULL, &x[i]);
    if (status == TW_OK)
        status = tw_reference_op(g, small, NULL, x, &y);
    if (status == TW_OK) {
        *number = tw_dtype_load(y.dtype, y.data);
        *bits = 0;
        if (!tw_dtype_floating(y.dtype))
            memcpy(bits, y.data, tw_dtype_size(y.dtype)); /* little-endian hosts: the low bytes come first */
        if (y.dtype == TW_I32)
            *bits = (int32_t)*bits;
    }
    for (uint32_t i = 0; i < op->operands; i++)
        tw_array_free(&x[i]);
    tw_array_free(&y);
    if (small)
        tw_op_remove(small);
    return status == TW_OK;
}

bool tw_simplify_fold(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    tw_value *scalar[MOST_OPERANDS];
    if (op->operands > MOST_OPERANDS || !rounds_correctly(op))
        return false;
    for (uint32_t i = 0; i < op->operands; i++)
        if (!made_by(op->operand[i], TW_G_FULL))
            return false;
    for (uint32_t i = 0; i < op->operands; i++)
        if (!(scalar[i] = scalar_of(g, op->operand[i]->def)))
            return true;
    const tw_type *t = &op->result[0].type;
    double number = 0;
    int64_t bits = 0;
    if (evaluate(g, op, scalar, &number, &bits))
        *replacement = tw_g_full(g, t->rank, t->dims, number, bits, (tw_dtype)t->dtype);
    return true;
}

/* The scalar whose copies fill v, or NULL. */
static tw_value *repeated_scalar(tw_graph *g, tw_value *v)
{
    const tw_op *expand = made_by(v, TW_G_EXPAND), *full = made_by(v, TW_G_FULL);
    if (v->type.rank == 0)
        return NULL;
    if (full)
        return scalar_of(g, full);
    return expand && expand->operand[0]->type.rank == 0 ? expand->operand[0] : NULL;
}

static tw_value *rebuild(tw_graph *g, const tw_op *op, tw_value *const *operand)
{
    tw_op *again = tw_graph_add(g, op->code, (int)op->operands, operand, op->attr);
    return again ? &again->result[0] : NULL;
}

/* f(x, expand(s)) = f(x, s): a scalar operand needs no shape, as long as another operand gives it. */
bool tw_simplify_scalar_operand(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    tw_value *operand[MOST_OPERANDS];
    bool changed = false, shaped = false;
    if (op->operands < 2 || op->operands > MOST_OPERANDS || op->result[0].type.rank == 0)
        return false;
    for (uint32_t i = 0; i < op->operands; i++) {
        const tw_value *v = op->operand[i];
        const tw_op *expand = made_by(v, TW_G_EXPAND);
        shaped |= v->type.rank > 0 && !made_by(v, TW_G_FULL) && !(expand && expand->operand[0]->type.rank == 0);
    }
    for (uint32_t i = 0; i < op->operands && shaped; i++) {
        tw_value *scalar = repeated_scalar(g, op->operand[i]);
        operand[i] = scalar ? scalar : op->operand[i];
        changed |= scalar != NULL;
    }
    if (changed)
        *replacement = rebuild(g, op, operand);
    return changed;
}

/* f(expand(x), expand(y)) = expand(f(x, y)) where x and y have one shape: fewer elements are computed. Scalars come
 * along. */
bool tw_simplify_before_expand(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    tw_value *operand[MOST_OPERANDS];
    const tw_type *small = NULL;
    if (op->operands > MOST_OPERANDS)
        return false;
    for (uint32_t i = 0; i < op->operands; i++) {
        operand[i] = op->operand[i];
        if (operand[i]->type.rank == 0)
            continue;
        const tw_op *expand = made_by(operand[i], TW_G_EXPAND);
        if (!expand || (small && !same_shape(small, &expand->operand[0]->type)))
            return false;
        operand[i] = expand->operand[0];
        small = &operand[i]->type;
    }
    if (!small)
        return false;
    tw_value *y = rebuild(g, op, operand);
    *replacement = y ? tw_g_expand_to(g, y, &op->result[0].type) : NULL;
    return true;
}
