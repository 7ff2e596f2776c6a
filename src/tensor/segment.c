/* The segment: operations recorded since the last look. Looking runs it: the pending cells that somebody still looks
 * at are its results. */
#include "tensor/internal.h"

#include <stdatomic.h>

enum { MOST_VALUES = 40000 };

tw_run_segment *tw_segment_runner;
tw_prepare_segment *tw_segment_preparer;
tw_run_prepared *tw_prepared_runner;
tw_release_prepared *tw_prepared_releaser;

static _Thread_local segment current;
static _Atomic uint64_t next_number = 1;

static bool open_segment(segment *s)
{
    s->g = tw_graph_create(&tw_graph_table);
    s->number = atomic_fetch_add(&next_number, 1);
    s->eager = tw_env_on("TW_EAGER");
    s->pending.count = s->inputs.count = s->views.count = 0;
    return s->g != NULL;
}

segment *tw_segment_current(void)
{
    return current.g || open_segment(&current) ? &current : NULL;
}

/* Content in memory becomes an input of the segment the first time it is used. */
tw_value *tw_cell_value(cell *c)
{
    segment *s = tw_segment_current();
    if (!s)
        return NULL;
    if (c->segment == s->number)
        return c->value;
    if (!c->data) {
        tw_error(TW_ERR_INTERNAL, "a tensor that was never computed is used after its segment");
        return NULL;
    }
    tw_value *v = tw_graph_input(s->g, tw_type_make(c->dtype, c->rank, c->shape));
    if (!v || !tw_vec_push(&s->inputs, c))
        return NULL;
    c->references++;
    c->segment = s->number;
    c->value = v;
    c->input = (int)s->inputs.count - 1;
    return v;
}

tw_value *tw_tensor_value(tw_tensor *t)
{
    return t->view ? tw_view_value(t) : tw_cell_value(t->cell);
}

void tw_cell_set_value(cell *c, tw_value *v)
{
    segment *s = tw_segment_current();
    if (c->segment != s->number)
        c->input = -1;
    c->segment = s->number;
    c->value = v;
    if (c->pending)
        return;
    if (!tw_vec_push(&s->pending, c)) {
        c->status = TW_ERR_MEMORY;
        return;
    }
    c->references++;
    c->pending = true;
}

tw_tensor *tw_tensor_pending(tw_value *v)
{
    tw_tensor *t = tw_tensor_create((tw_dtype)v->type.dtype, v->type.rank, v->type.dims);
    if (t->status == TW_OK) {
        tw_cell_set_value(t->cell, v);
        t->status = t->cell->status;
    }
    return t;
}

/* ---- results ---- */

static bool looked_at(const tw_tensor *t)
{
    return t->references > t->bases;
}

/* A view that is all that anybody looks at of a cell becomes a tensor of its own: the rest need not be kept. */
static tw_status separate_views(segment *s)
{
    for (size_t i = 0; i < s->views.count; i++) {
        tw_tensor *t = s->views.data[i];
        if (t && looked_at(t) && t->cell->lookers == 1 && t->cell->pending && !t->cell->data)
            TW_TRY(tw_view_separate(t));
    }
    return TW_OK;
}

static bool allocate_results(const segment *s, results *r)
{
    size_t n = s->pending.count + 1, m = s->inputs.count + 1;
    r->cell = tw_alloc_zero(n, sizeof *r->cell);
    r->value = tw_alloc_zero(n, sizeof *r->value);
    r->output = tw_alloc_zero(n, sizeof *r->output);
    r->made = tw_alloc_zero(n, sizeof *r->made);
    r->in_place = tw_alloc_zero(n, sizeof *r->in_place);
    r->input = tw_alloc_zero(m, sizeof *r->input);
    r->stride = tw_alloc_zero(m, sizeof *r->stride);
    return r->cell && r->value && r->output && r->made && r->in_place && r->input && r->stride;
}

static void free_results(results *r)
{
    tw_free(r->cell);
    tw_free(r->value);
    tw_free(r->output);
    tw_free(r->made);
    tw_free(r->in_place);
    tw_free(r->input);
    tw_free(r->stride);
}

/* New content goes over the old where the segment reads the old, straight to the memory where nobody reads it, else
 * into memory that is made for it. */
static tw_status add_result(results *r, cell *c)
{
    int k = r->count++;
    r->cell[k] = c;
    r->value[k] = c->value;
    r->in_place[k] = c->data && !c->strided ? c->input : -1;
    if (r->in_place[k] >= 0)
        return TW_OK;
    if (c->data && !c->strided)
        r->output[k] = c->data;
    else
        r->output[k] = r->made[k] = tw_alloc_aligned(TW_MAX(c->bytes, (size_t)1), 64);
    return r->output[k] ? TW_OK : TW_ERR_MEMORY;
}

static tw_status collect(segment *s, results *r)
{
    bool changed;
    for (size_t i = 0; i < s->pending.count; i++)
        if (s->pending.data[i]->lookers > 0 && s->pending.data[i]->status == TW_OK)
            TW_TRY(add_result(r, s->pending.data[i]));
    for (size_t i = 0; i < s->inputs.count; i++) {
        r->input[i] = s->inputs.data[i]->data;
        r->stride[i] = s->inputs.data[i]->strided ? s->inputs.data[i]->stride : NULL;
    }
    if (!tw_g_output(s->g, r->count, r->value))
        return tw_error_code();
    return tw_pass_dce(&s->g, &changed); /* what nobody needs must not tell equal segments apart */
}

static void hand_out(segment *s, results *r, tw_status status)
{
    for (int k = 0; k < r->count; k++) {
        if (status == TW_OK && r->made[k])
            tw_cell_hand_over(r->cell[k], r->made[k]);
        else
            tw_free(r->made[k]);
        if (status != TW_OK && !r->cell[k]->data)
            r->cell[k]->status = status;
    }
    for (size_t i = 0; i < s->pending.count; i++) {
        cell *c = s->pending.data[i];
        c->pending = false;
        c->segment = 0;
        tw_cell_release(c);
    }
    for (size_t i = 0; i < s->inputs.count; i++) {
        s->inputs.data[i]->segment = 0;
        tw_cell_release(s->inputs.data[i]);
    }
    for (size_t i = 0; i < s->views.count; i++)
        if (s->views.data[i])
            s->views.data[i]->view->listed = -1;
}

void tw_segment_forget(void)
{
    segment *s = &current;
    results none = {0};
    if (s->g)
        hand_out(s, &none, TW_ERR_INTERNAL);
    tw_graph_destroy(s->g);
    s->g = NULL;
    tw_vec_free(&s->pending);
    tw_vec_free(&s->inputs);
    tw_vec_free(&s->views);
}

tw_status tw_segment_flush(const char *reason)
{
    return tw_segment_flush_into(reason, NULL, NULL);
}

tw_status tw_segment_flush_into(const char *reason, tw_segment_sink *sink, void *user)
{
    segment *s = tw_segment_current();
    results r = {0};
    if (!s)
        return TW_ERR_MEMORY;
    if (s->running || (s->pending.count == 0 && s->inputs.count == 0 && !sink))
        return TW_OK;
    s->running = true;
    tw_status status = separate_views(s);
    if (status == TW_OK)
        status = allocate_results(s, &r) ? collect(s, &r) : TW_ERR_MEMORY;
    if (status == TW_OK && (r.count > 0 || sink)) {
        tw_segment_io io = {(int)s->inputs.count, r.count, r.input, r.stride, r.output, r.in_place};
        status = sink                ? sink(user, s, &r, &io)
                 : tw_segment_runner ? tw_segment_runner(s->g, &io, reason)
                                     : tw_error(TW_ERR_INTERNAL, "no runner for recorded operations");
    }
    hand_out(s, &r, status);
    free_results(&r);
    tw_graph_destroy(s->g);
    s->running = false;
    s->g = NULL;
    return open_segment(s) ? status : TW_ERR_MEMORY;
}

/* ---- recording ---- */

static bool any_tracked(int operands, tw_tensor *const *operand)
{
    bool tracked = false;
    for (int i = 0; i < operands && !tracked; i++)
        tracked = operand[i] && tw_tracked(operand[i]);
    return tracked;
}

tw_tensor *tw_record(int code, int operands, tw_tensor *const *operand, const tw_attr *attrs)
{
    enum { MOST_OPERANDS = 64 };
    tw_value *value[MOST_OPERANDS];
    segment *s = tw_segment_current();
    if (!s)
        return tw_tensor_failed(TW_ERR_MEMORY);
    if (operands > MOST_OPERANDS)
        return tw_tensor_failed(tw_error(TW_ERR_UNSUPPORTED, "%s: %d tensors; expected at most %d",
                                         tw_graph_table.ops[code].name, operands, MOST_OPERANDS));
    if (s->g->values > MOST_VALUES && tw_segment_flush("the length of the segment") != TW_OK)
        return tw_tensor_failed(tw_error_code());
    for (int i = 0; i < operands; i++) {
        if (operand[i] && tw_tensor_status(operand[i]) != TW_OK)
            return operand[i];
        value[i] = operand[i] ? tw_tensor_value(operand[i]) : NULL;
        if (operand[i] && !value[i])
            return tw_tensor_failed(tw_error_code());
    }
    tw_op *op = tw_graph_add(s->g, code, operands, value, attrs);
    if (!op)
        return tw_tensor_failed(tw_error_code());
    tw_tensor *t = op->info->flags & TW_OP_ALIAS ? tw_view_of(operand[0], op) : NULL;
    if (!t)
        t = tw_tensor_pending(&op->result[0]);
    if (t->status == TW_OK && tw_dtype_floating(t->dtype) && tw_grad_enabled() && any_tracked(operands, operand))
        t->status = tw_tape_add(t, operands, operand, op);
    if ((s->eager || tw_chosen_tier() == TW_TIER_EAGER) && t->status == TW_OK && t->cell->pending &&
        tw_segment_flush("eager operation") != TW_OK)
        t->status = tw_error_code();
    return t;
}
