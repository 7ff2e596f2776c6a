/* How far a right result may be from the reference's, element by element: a running error analysis (Wilkinson, Rounding
 * Errors in Algebraic Processes, 1963; Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.3).
 *
 * Every value carries a bound on how far a kernel's own may be from the reference's. What rounds correctly adds nothing
 * of its own: the same operands give the same bits. Elementary functions add what their rows promise, sums what their
 * order does to them. By hand, for x = [1, 2, 4] and e = exp(x) / sum(exp(x)), in f32:
 *
 *     exp      [2.7, 7.4, 54.6]        off by 1.5 units in the last place: [3.6e-7, 7.2e-7, 5.7e-6]
 *     sum      64.7                    those added, half a unit of each partial sum (57.3, 64.7), and of the
 * result: 1.8e-5 div      [0.042, 0.114, 0.844]   both ends, (2.7 + 3.6e-7) / (64.7 - 1.8e-5) and so on:
 * [1.7e-8, 4.3e-8, 3.2e-7] */
#include <math.h>

#include "ops/reference_internal.h"

bool tw_bounding_exact(const bounding *b)
{
    for (uint32_t i = 0; i < b->s->op->operands; i++)
        if (b->e[i])
            return false;
    return true;
}

/* ---- what is moved: errors go where their elements go ---- */

static tw_status as_errors(const wide *like, const double *e, wide *errors)
{
    *errors = *like;
    errors->dtype = TW_F64;
    TW_TRY(tw_wide_create(errors));
    if (e)
        memcpy(errors->f, e, (size_t)like->count * sizeof *e);
    return TW_OK;
}

static bool is_index(const tw_op *op, uint32_t operand)
{
    return operand == 1 && (op->info->class == TW_CLASS_GATHER ||
                            (op->info->class == TW_CLASS_SCATTER && op->code != TW_G_SLICE_UPDATE));
}

static bool somewhere(const wide *x, const double *e)
{
    for (int64_t k = 0; e && k < x->count; k++)
        if (e[k] > 0)
            return true;
    return false;
}

static tw_status move_errors(const step *s, const double *const *e, const wide **x, wide *errors, wide *y)
{
    tw_attr attr[3];
    tw_op op = *s->op;
    if (op.code == TW_G_PAD) { /* what is put around is exact */
        memcpy(attr, op.attr, sizeof attr);
        attr[2].f = 0;
        op.attr = attr;
    }
    for (uint32_t i = 0; i < op.operands; i++) {
        x[i] = is_index(&op, i) ? s->x[i] : &errors[i];
        if (!is_index(&op, i))
            TW_TRY(as_errors(s->x[i], e[i], &errors[i]));
    }
    TW_TRY(as_errors(s->y, NULL, y));
    step moved = {s->g, &op, s->symbols, x, y};
    bool indexed =
        op.info->class == TW_CLASS_GATHER || (op.info->class == TW_CLASS_SCATTER && op.code != TW_G_SLICE_UPDATE);
    return indexed ? tw_reference_index(&moved) : tw_reference_view(&moved);
}

tw_status tw_bound_move(const bounding *b)
{
    const step *s = b->s;
    uint32_t n = s->op->operands;
    if (tw_bounding_exact(b))
        return TW_OK;
    const wide **x = tw_alloc_zero(n + 1, sizeof *x);
    wide *errors = tw_alloc_zero(n + 1, sizeof *errors), y = {0};
    tw_status status = x && errors ? move_errors(s, b->e, x, errors, &y) : TW_ERR_MEMORY;
    bool lost = n > 1 && is_index(s->op, 1) && somewhere(s->x[1], b->e[1]); /* an index that is off: anything */
    for (int64_t k = 0; k < s->y->count && status == TW_OK; k++)
        b->out[k] = lost ? INFINITY : y.f[k];
    for (uint32_t i = 0; errors && i < n; i++)
        tw_wide_free(&errors[i]);
    tw_wide_free(&y);
    tw_free(errors);
    tw_free(x);
    return status;
}

/* ---- one operation ---- */

static tw_status bound_op(const bounding *b)
{
    const tw_op *op = b->s->op;
    switch (op->info->class) {
    case TW_CLASS_POINTWISE:
        return tw_bound_pointwise(b);
    case TW_CLASS_CREATION:
        return tw_bounding_exact(b) ? TW_OK
                                    : tw_error(TW_ERR_UNSUPPORTED, "bounds: %s of a computed state", op->info->name);
    case TW_CLASS_VIEW:
    case TW_CLASS_JOIN:
    case TW_CLASS_GATHER:
        return tw_bound_move(b);
    case TW_CLASS_REDUCTION:
        if (op->code == TW_G_ARGMAX || op->code == TW_G_ARGMIN)
            return tw_bound_position(b);
        return op->code == TW_G_AMAX || op->code == TW_G_AMIN ? tw_bound_pointwise(b) : tw_bound_accumulation(b);
    case TW_CLASS_SCAN: /* an extreme is monotone in every element */
        return op->code == TW_G_CUMMAX || op->code == TW_G_CUMMIN ? tw_bound_pointwise(b) : tw_bound_accumulation(b);
    case TW_CLASS_SCATTER:
        return op->code == TW_G_SCATTER || op->code == TW_G_SLICE_UPDATE ? tw_bound_move(b) : tw_bound_accumulation(b);
    default:
        return tw_bound_accumulation(b);
    }
}

/* ---- the graph ---- */

typedef struct bounded {
    wide w;
    double *e; /* NULL: exact */
} bounded;

typedef struct walk {
    const tw_graph *g;
    const int64_t *symbols;
    const tw_array *inputs;
    tw_array *outputs, *bounds;
    int n, m, next_input;
    bounded *value;
    uint32_t *uses;
} walk;

static void forget(bounded *v)
{
    tw_wide_free(&v->w);
    tw_free(v->e);
    v->e = NULL;
}

static tw_status store(walk *k, const tw_op *op)
{
    if ((int)op->operands != k->m)
        return tw_error(TW_ERR_VALUE, "bounds: %d outputs wanted; the graph has %u", k->m, op->operands);
    for (uint32_t i = 0; i < op->operands; i++) {
        const bounded *v = &k->value[op->operand[i]->id];
        TW_TRY(tw_wide_store(&v->w, TW_REFERENCE_ROUNDED, &k->outputs[i]));
        TW_TRY(tw_array_create(TW_F64, v->w.rank, v->w.shape, &k->bounds[i]));
        if (v->e)
            memcpy(k->bounds[i].data, v->e, (size_t)v->w.count * sizeof *v->e);
    }
    return TW_OK;
}

static tw_status load(walk *k, const tw_op *op)
{
    int number = k->next_input++;
    if (number >= k->n)
        return tw_error(TW_ERR_VALUE, "bounds: %d inputs given; the graph has more", k->n);
    return tw_wide_load_as(k->g, &op->result[0].type, TW_REFERENCE_ROUNDED, k->symbols, &k->inputs[number], number,
                           &k->value[op->result[0].id].w);
}

static tw_status compute(walk *k, const tw_op *op, const wide **x, const double **e)
{
    bounded *y = &k->value[op->result[0].id];
    for (uint32_t i = 0; i < op->operands; i++) {
        x[i] = &k->value[op->operand[i]->id].w;
        e[i] = k->value[op->operand[i]->id].e;
    }
    TW_TRY(tw_reference_evaluate_op(k->g, op, TW_REFERENCE_ROUNDED, k->symbols, x, &y->w));
    if (!(y->e = tw_alloc_zero((size_t)y->w.count + 1, sizeof *y->e)))
        return TW_ERR_MEMORY;
    step s = {k->g, op, k->symbols, x, &y->w};
    TW_TRY(bound_op(&(bounding){&s, e, y->e}));
    if (!somewhere(&y->w, y->e)) {
        tw_free(y->e);
        y->e = NULL;
    }
    return TW_OK;
}

static tw_status visit(walk *k, const tw_op *op)
{
    if (op->code == TW_G_INPUT)
        return load(k, op);
    if (op->code == TW_G_OUTPUT)
        return store(k, op);
    const wide **x = tw_alloc_zero(op->operands + 1, sizeof *x);
    const double **e = tw_alloc_zero(op->operands + 1, sizeof *e);
    tw_status status = x && e ? compute(k, op, x, e) : TW_ERR_MEMORY;
    tw_free(x);
    tw_free(e);
    for (uint32_t i = 0; i < op->operands && status == TW_OK; i++)
        if (--k->uses[op->operand[i]->id] == 0)
            forget(&k->value[op->operand[i]->id]);
    return status;
}

tw_status tw_reference_bounds(const tw_graph *g, const int64_t *symbols, const tw_array *inputs, int n,
                              tw_array *outputs, tw_array *bounds, int m)
{
    tw_arena *arena = tw_arena_create(0);
    walk k = {g, symbols, inputs, outputs, bounds, n, m, 0, NULL, NULL};
    k.uses = arena ? tw_graph_use_counts(g, arena) : NULL;
    k.value = tw_alloc_zero(g->values + 1, sizeof *k.value);
    tw_status status = k.uses && k.value ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < m; i++)
        outputs[i] = bounds[i] = (tw_array){0};
    for (const tw_op *op = g->body->first; op && status == TW_OK; op = op->next)
        status = visit(&k, op);
    for (uint32_t i = 0; k.value && i < g->values; i++)
        forget(&k.value[i]);
    for (int i = 0; status != TW_OK && i < m; i++) {
        tw_array_free(&outputs[i]);
        tw_array_free(&bounds[i]);
    }
    tw_free(k.value);
    tw_arena_destroy(arena);
    return status;
}
