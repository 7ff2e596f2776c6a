/* The driver of derivatives: rules from the table; composites without one by decomposing them and going through the
 * pieces. */
#include "autograd/autograd.h"

#include "autograd/rules.h"
#include "decompose/decompose.h"
#include "ops/build.h"

enum { MOST_OPERANDS = 64 };

static tw_status failed(void)
{
    return tw_error_code() != TW_OK ? tw_error_code() : tw_error(TW_ERR_MEMORY, "autograd: out of memory");
}

bool tw_derive_possible(int code)
{
    return tw_derivatives[code].rule || tw_decompositions[code];
}

bool tw_derive_reads_operand(int code, uint32_t i)
{
    return tw_derivatives[code].rule ? tw_derivatives[code].reads >> TW_MIN(i, 31u) & 1 : true;
}

bool tw_derive_reads_result(int code)
{
    return tw_derivatives[code].rule && tw_derivatives[code].reads_result;
}

static bool floating(const tw_value *v)
{
    return v && tw_dtype_floating((tw_dtype)v->type.dtype);
}

/* ---- adding up ---- */

/* Is there a dimension along which the two slices, both without steps, do not meet? */
static bool apart(const tw_op *x, const tw_op *y)
{
    for (int i = 0; i < x->result[0].type.rank; i++) {
        const tw_op *both[] = {x, y};
        int64_t from[2], to[2];
        bool plain = true;
        for (int j = 0; j < 2; j++) {
            tw_dim start = both[j]->attr[0].dims.v[i], size = both[j]->operand[1]->type.dims[i];
            plain = plain && tw_dim_constant(start) && tw_dim_constant(size) && both[j]->attr[1].dims.v[i] == 1;
            from[j] = start;
            to[j] = start + size;
        }
        if (plain && (to[0] <= from[1] || to[1] <= from[0]))
            return true;
    }
    return false;
}

static bool all_zero(const tw_value *v)
{
    return v->def && v->def->code == TW_G_FULL && v->def->attr[1].f == 0;
}

/* Is v zeros with slices written that all stay clear of `slice`? */
static bool clear_of(const tw_value *v, const tw_op *slice)
{
    while (v->def && v->def->code == TW_G_SLICE_UPDATE && apart(v->def, slice))
        v = v->def->operand[0];
    return all_zero(v);
}

tw_value *tw_derive_accumulate(tw_graph *g, tw_value *sum, tw_value *more)
{
    const tw_op *slice = more->def;
    if (slice && slice->code == TW_G_SLICE_UPDATE && all_zero(slice->operand[0]) && clear_of(sum, slice))
        return tw_g_slice_update(g, sum, slice->operand[1], slice->attr[0].dims.n, slice->attr[0].dims.v,
                                 slice->attr[1].dims.n, slice->attr[1].dims.v);
    return tw_g_add(g, sum, more);
}

/* ---- reverse mode over the operations that follow `before` ---- */

typedef struct reverse {
    tw_graph *g;
    uint32_t values; /* ids below: what existed when the walk began */
    tw_value **grad; /* by id */
    bool *active;    /* by id: depends on something asked for */
} reverse;

static tw_status accumulate(reverse *r, const tw_value *v, tw_value *grad)
{
    tw_value **sum = &r->grad[v->id];
    *sum = *sum ? tw_derive_accumulate(r->g, *sum, grad) : grad;
    return *sum ? TW_OK : failed();
}

static tw_status step_back(reverse *r, const tw_op *op)
{
    tw_value *out[MOST_OPERANDS] = {NULL}, *grad = r->grad[op->result[0].id];
    uint32_t needed = 0;
    if (op->operands > MOST_OPERANDS)
        return tw_error(TW_ERR_UNSUPPORTED, "autograd: %s with %u operands", op->info->name, op->operands);
    for (uint32_t i = 0; i < op->operands; i++)
        if (op->operand[i] && r->active[op->operand[i]->id] && floating(op->operand[i]))
            needed |= 1u << TW_MIN(i, 31u);
    if (!needed || !grad)
        return TW_OK;
    TW_TRY(tw_derive(r->g, op, op->operand, (tw_value *)(uintptr_t)&op->result[0], grad, needed, out));
    for (uint32_t i = 0; i < op->operands; i++)
        if (out[i] && op->operand[i] && r->active[op->operand[i]->id])
            TW_TRY(accumulate(r, op->operand[i], out[i]));
    return TW_OK;
}

static tw_status run_reverse(tw_graph *g, tw_op *before, tw_value *loss, tw_value *grad, tw_value *const *wrt,
                             int count, tw_value **grads)
{
    reverse r = {g, g->values, tw_alloc_zero(g->values + 1, sizeof(tw_value *)),
                 tw_alloc_zero(g->values + 1, sizeof(bool))};
    tw_op *last = g->body->last;
    tw_status status = r.grad && r.active ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < count && status == TW_OK; i++)
        if (wrt[i])
            r.active[wrt[i]->id] = true;
    for (tw_op *op = before ? before->next : g->body->first; op && status == TW_OK; op = op->next)
        for (uint32_t i = 0; i < op->operands && op->results; i++)
            if (op->operand[i] && r.active[op->operand[i]->id])
                r.active[op->result[0].id] = true;
    if (status == TW_OK)
        r.grad[loss->id] = grad;
    for (tw_op *op = last; op != before && op && status == TW_OK; op = op->prev)
        if (op->results)
            status = step_back(&r, op);
    for (int i = 0; i < count && status == TW_OK; i++)
        grads[i] = wrt[i] ? r.grad[wrt[i]->id] : NULL;
    tw_free(r.grad);
    tw_free(r.active);
    return status;
}

tw_status tw_autograd_graph(tw_graph *g, tw_value *loss, tw_value *grad, tw_value *const *wrt, int count,
                            tw_value **grads)
{
    if (!floating(loss))
        return tw_error(TW_ERR_DTYPE, "autograd: the loss has dtype %s; expected a floating one",
                        tw_dtype_name((tw_dtype)loss->type.dtype));
    if (!grad && !(grad = tw_g_ones_as(g, loss)))
        return failed();
    return run_reverse(g, NULL, loss, grad, wrt, count, grads);
}

/* ---- one operation ---- */

/* What a composite is made of, appended to g with these operands; then back through it. */
static tw_status derive_pieces(tw_graph *g, const tw_op *op, tw_value *const *operand, tw_value *grad, uint32_t needed,
                               tw_value **gradients)
{
    tw_value result = {.type = op->result[0].type}, *wrt[MOST_OPERANDS];
    tw_op here = *op;
    tw_op *before = g->body->last;
    here.operand = (tw_value **)(uintptr_t)operand;
    here.result = &result;
    tw_value *made = tw_decompose_op(g, &here);
    if (!made)
        return failed();
    for (uint32_t i = 0; i < op->operands; i++)
        wrt[i] = needed >> i & 1 ? operand[i] : NULL;
    return run_reverse(g, before, made, grad, wrt, (int)op->operands, gradients);
}

tw_status tw_derive(tw_graph *g, const tw_op *op, tw_value *const *operand, tw_value *result, tw_value *grad,
                    uint32_t needed, tw_value **gradients)
{
    const tw_derivative_row *row = &tw_derivatives[op->code];
    if (op->operands > MOST_OPERANDS)
        return tw_error(TW_ERR_UNSUPPORTED, "autograd: %s with %u operands", op->info->name, op->operands);
    memset(gradients, 0, op->operands * sizeof *gradients);
    if (row->rule) {
        if (!row->rule(g, op, operand, result, grad, needed, gradients))
            return failed();
    } else if (tw_decompositions[op->code]) {
        TW_TRY(derive_pieces(g, op, operand, grad, needed, gradients));
    }
    for (uint32_t i = 0; i < op->operands; i++) {
        if (!gradients[i] || !operand[i])
            continue;
        gradients[i] = tw_g_unbroadcast(g, gradients[i], &operand[i]->type);
        if (!gradients[i])
            return failed();
    }
    return TW_OK;
}
