/* Walks the graph: one wide value for each SSA value, freed after its last use. */
#include <math.h>

#include "ops/reference_internal.h"

/* ---- arrays ---- */

static bool count_of(int rank, const int64_t *shape, int64_t *count)
{
    *count = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(*count, shape[i], count))
            return false;
    return *count <= INT64_MAX / 16;
}

int64_t tw_array_count(const tw_array *array)
{
    int64_t count;
    return count_of(array->rank, array->shape, &count) ? count : 0;
}

tw_status tw_array_create(tw_dtype dtype, int rank, const int64_t *shape, tw_array *array)
{
    int64_t count;
    *array = (tw_array){.dtype = dtype, .rank = rank};
    if (!count_of(rank, shape, &count))
        return tw_error(TW_ERR_SHAPE, "array: the shape holds more elements than memory can");
    for (int i = 0; i < rank; i++)
        array->shape[i] = shape[i];
    array->bytes = (size_t)count * tw_dtype_size(dtype);
    array->data = tw_alloc_zero((size_t)TW_MAX(count, 1), tw_dtype_size(dtype));
    return array->data ? TW_OK : TW_ERR_MEMORY;
}

void tw_array_free(tw_array *array)
{
    tw_free(array->data);
    array->data = NULL;
    array->bytes = 0;
}

/* ---- between arrays and wide values ---- */

int64_t tw_reference_wrap(tw_dtype dtype, int64_t value)
{
    switch (dtype) {
    case TW_BOOL:
        return value != 0;
    case TW_U8:
        return value & 0xff;
    case TW_I32:
        return (int32_t)(uint32_t)(uint64_t)value;
    default:
        return value;
    }
}

double tw_reference_round(tw_dtype dtype, double value)
{
    double room = 0;
    if (dtype == TW_F64)
        return value;
    tw_dtype_store(dtype, &room, value);
    return tw_dtype_load(dtype, &room);
}

double tw_reference_from_integer(int64_t value)
{
    double nearest = (double)value;
    if (value >= -(INT64_C(1) << 53) && value <= INT64_C(1) << 53)
        return nearest;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    int drop = 11 - __builtin_clzll(magnitude);
    uint64_t kept = magnitude >> drop;
    kept |= (kept << drop) != magnitude; /* the sticky bit */
    double odd = ldexp((double)kept, drop);
    return value < 0 ? -odd : odd;
}

void tw_wide_free(wide *w)
{
    tw_free(w->f);
    tw_free(w->i);
    w->f = NULL;
    w->i = NULL;
}

tw_status tw_wide_create(wide *w)
{
    w->f = NULL;
    w->i = NULL;
    if (!count_of(w->rank, w->shape, &w->count))
        return tw_error(TW_ERR_SHAPE, "reference: a value with more elements than memory can hold");
    size_t count = (size_t)TW_MAX(w->count, 1);
    if (is_floating(w))
        w->f = tw_alloc_zero(count, sizeof *w->f);
    else
        w->i = tw_alloc_zero(count, sizeof *w->i);
    return w->f || w->i ? TW_OK : TW_ERR_MEMORY;
}

static int64_t load_integer(tw_dtype dtype, const void *data, int64_t at)
{
    int32_t word;
    int64_t whole;
    const char *from = (const char *)data + (size_t)at * tw_dtype_size(dtype);
    switch (dtype) {
    case TW_I32:
        memcpy(&word, from, sizeof word);
        return word;
    case TW_I64:
        memcpy(&whole, from, sizeof whole);
        return whole;
    default:
        return *(const uint8_t *)from;
    }
}

static tw_status tw_wide_load(wide *w, const tw_array *a)
{
    TW_TRY(tw_wide_create(w));
    size_t size = tw_dtype_size(a->dtype);
    for (int64_t e = 0; e < w->count; e++) {
        if (w->f)
            w->f[e] = tw_dtype_load(a->dtype, (const char *)a->data + (size_t)e * size);
        else
            w->i[e] = load_integer(a->dtype, a->data, e);
    }
    return TW_OK;
}

tw_status tw_wide_store(const wide *w, tw_reference_mode mode, tw_array *a)
{
    bool doubles = w->f && mode == TW_REFERENCE_EXACT;
    TW_TRY(tw_array_create(doubles ? TW_F64 : w->dtype, w->rank, w->shape, a));
    size_t size = tw_dtype_size(a->dtype);
    for (int64_t e = 0; e < w->count; e++) {
        char *to = (char *)a->data + (size_t)e * size;
        if (w->f)
            tw_dtype_store(a->dtype, to, w->f[e]);
        else
            memcpy(to, &w->i[e], size); /* little-endian hosts: the low bytes come first */
    }
    return TW_OK;
}

static void round_all(wide *w, tw_reference_mode mode)
{
    for (int64_t e = 0; e < w->count; e++) {
        if (w->i)
            w->i[e] = tw_reference_wrap(w->dtype, w->i[e]);
        else if (mode == TW_REFERENCE_ROUNDED && w->dtype != TW_F64)
            w->f[e] = tw_reference_round(w->dtype, w->f[e]);
    }
}

/* ---- one operation ---- */

axis_form tw_reference_axis(const wide *x, int64_t axis)
{
    axis_form form = {1, x->rank ? x->shape[axis] : 1, 1};
    for (int i = 0; i < x->rank; i++)
        *(i < axis ? &form.a : &form.b) *= i == axis ? 1 : x->shape[i];
    return form;
}

static tw_status shape_like(const tw_graph *g, const tw_type *t, const int64_t *symbols, wide *w)
{
    *w = (wide){.dtype = (tw_dtype)t->dtype, .rank = t->rank};
    for (int i = 0; i < t->rank; i++) {
        if (!tw_dim_constant(t->dims[i]) && !symbols)
            return tw_error(TW_ERR_VALUE, "reference: the graph has symbolic sizes, but none were given");
        w->shape[i] = tw_dim_constant(t->dims[i]) ? t->dims[i] : tw_dim_eval(g, t->dims[i], symbols);
    }
    return TW_OK;
}

static tw_status evaluate(step *s)
{
    switch (s->op->info->class) {
    case TW_CLASS_POINTWISE:
        return tw_reference_pointwise(s);
    case TW_CLASS_CREATION:
        return tw_reference_create(s);
    case TW_CLASS_VIEW:
    case TW_CLASS_JOIN:
        return tw_reference_view(s);
    case TW_CLASS_GATHER:
        return tw_reference_index(s);
    case TW_CLASS_SCATTER:
        return s->op->code == TW_G_SLICE_UPDATE ? tw_reference_view(s) : tw_reference_index(s);
    case TW_CLASS_REDUCTION:
        return tw_reference_reduce(s);
    case TW_CLASS_SCAN:
        return tw_reference_scan(s);
    case TW_CLASS_CONTRACTION:
        return tw_reference_dot(s);
    default:
        return tw_error(TW_ERR_UNSUPPORTED, "reference: %s is no primitive; expected a decomposed graph",
                        s->op->info->name);
    }
}

tw_status tw_reference_evaluate_op(const tw_graph *g, const tw_op *op, tw_reference_mode mode, const int64_t *symbols,
                                   const wide *const *x, wide *y)
{
    step s = {g, op, symbols, x, y};
    if (op->info->level != TW_LEVEL_PRIMITIVE)
        return tw_error(TW_ERR_UNSUPPORTED, "reference: %s is no primitive; expected a decomposed graph",
                        op->info->name);
    TW_TRY(shape_like(g, &op->result[0].type, symbols, y));
    tw_status status = tw_wide_create(y);
    if (status == TW_OK)
        status = evaluate(&s);
    if (status == TW_OK)
        round_all(y, mode);
    else
        tw_wide_free(y);
    return status;
}

/* Loads `a` as what `type` says it is. */
tw_status tw_wide_load_as(const tw_graph *g, const tw_type *type, tw_reference_mode mode, const int64_t *symbols,
                          const tw_array *a, int number, wide *w)
{
    TW_TRY(shape_like(g, type, symbols, w));
    bool wider = mode == TW_REFERENCE_EXACT && is_floating(w) && a->dtype == TW_F64;
    if (a->dtype != w->dtype && !wider)
        return tw_error(TW_ERR_DTYPE, "reference: array %d is %s; expected %s", number, tw_dtype_name(a->dtype),
                        tw_dtype_name(w->dtype));
    bool fits = a->rank == w->rank;
    for (int i = 0; fits && i < w->rank; i++)
        fits = a->shape[i] == w->shape[i];
    if (!fits)
        return tw_error(TW_ERR_SHAPE, "reference: array %d hasn't the shape that the graph expects", number);
    return tw_wide_load(w, a);
}

enum { MOST_OPERANDS_ON_STACK = 8 };

tw_status tw_reference_op(const tw_graph *g, const tw_op *op, const int64_t *symbols, const tw_array *operands,
                          tw_array *result)
{
    wide *x = tw_alloc_zero(op->operands + 1, sizeof *x), y = {0};
    const wide **at = tw_alloc_zero(op->operands + 1, sizeof *at);
    tw_status status = x && at ? TW_OK : TW_ERR_MEMORY;
    *result = (tw_array){0};
    for (uint32_t i = 0; i < op->operands && status == TW_OK; i++) {
        at[i] = &x[i];
        status = tw_wide_load_as(g, &op->operand[i]->type, TW_REFERENCE_ROUNDED, symbols, &operands[i], (int)i, &x[i]);
    }
    if (status == TW_OK)
        status = tw_reference_evaluate_op(g, op, TW_REFERENCE_ROUNDED, symbols, at, &y);
    if (status == TW_OK)
        status = tw_wide_store(&y, TW_REFERENCE_ROUNDED, result);
    for (uint32_t i = 0; x && i < op->operands; i++)
        tw_wide_free(&x[i]);
    tw_wide_free(&y);
    tw_free(x);
    tw_free(at);
    return status;
}

/* ---- a graph ---- */

typedef struct evaluation {
    const tw_graph *g;
    tw_reference_mode mode;
    const int64_t *symbols;
    const tw_array *inputs;
    tw_array *outputs;
    int n, m, next_input;
    wide *value;    /* by value id */
    uint32_t *uses; /* that are still to come */
} evaluation;

static tw_status run_output(evaluation *e, const tw_op *op)
{
    if ((int)op->operands != e->m)
        return tw_error(TW_ERR_VALUE, "reference: %d outputs wanted; the graph has %u", e->m, op->operands);
    for (uint32_t i = 0; i < op->operands; i++)
        TW_TRY(tw_wide_store(&e->value[op->operand[i]->id], e->mode, &e->outputs[i]));
    return TW_OK;
}

static tw_status run_input(evaluation *e, const tw_op *op)
{
    if (e->next_input >= e->n)
        return tw_error(TW_ERR_VALUE, "reference: %d inputs given; the graph has more", e->n);
    int number = e->next_input++;
    wide *w = &e->value[op->result[0].id];
    TW_TRY(tw_wide_load_as(e->g, &op->result[0].type, e->mode, e->symbols, &e->inputs[number], number, w));
    return TW_OK;
}

static tw_status run_op(evaluation *e, const tw_op *op)
{
    const wide *few[MOST_OPERANDS_ON_STACK], **x = few;
    if (op->code == TW_G_INPUT)
        return run_input(e, op);
    if (op->code == TW_G_OUTPUT)
        return run_output(e, op);
    if (op->operands > MOST_OPERANDS_ON_STACK && !(x = tw_alloc(op->operands * sizeof *x)))
        return TW_ERR_MEMORY;
    for (uint32_t i = 0; i < op->operands; i++)
        x[i] = op->operand[i] ? &e->value[op->operand[i]->id] : NULL;
    tw_status status = tw_reference_evaluate_op(e->g, op, e->mode, e->symbols, x, &e->value[op->result[0].id]);
    if (x != few)
        tw_free(x);
    for (uint32_t i = 0; i < op->operands && status == TW_OK; i++)
        if (op->operand[i] && --e->uses[op->operand[i]->id] == 0)
            tw_wide_free(&e->value[op->operand[i]->id]);
    return status;
}

tw_status tw_reference_evaluate(const tw_graph *g, tw_reference_mode mode, const int64_t *symbols,
                                const tw_array *inputs, int n, tw_array *outputs, int m)
{
    tw_arena *arena = tw_arena_create(0);
    evaluation e = {g, mode, symbols, inputs, outputs, n, m, 0, NULL, NULL};
    e.uses = arena ? tw_graph_use_counts(g, arena) : NULL;
    e.value = tw_alloc_zero(g->values + 1, sizeof *e.value);
    tw_status status = e.uses && e.value ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < m; i++)
        outputs[i] = (tw_array){0};
    for (const tw_op *op = g->body->first; op && status == TW_OK; op = op->next)
        status = run_op(&e, op);
    for (uint32_t i = 0; e.value && i < g->values; i++)
        tw_wide_free(&e.value[i]);
    for (int i = 0; status != TW_OK && i < m; i++)
        tw_array_free(&outputs[i]);
    tw_free(e.value);
    tw_arena_destroy(arena);
    return status;
}

tw_status tw_reference_run(const tw_graph *g, const int64_t *symbols, const tw_array *inputs, int n, tw_array *outputs,
                           int m)
{
    return tw_reference_evaluate(g, TW_REFERENCE_ROUNDED, symbols, inputs, n, outputs, m);
}
