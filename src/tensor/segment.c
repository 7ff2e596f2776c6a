/* The segment: operations recorded since the last look. Looking runs it: the pending tensors that somebody still holds
 * are its results. */
#include "tensor/internal.h"

#include <stdatomic.h>

enum { MOST_VALUES = 40000 };

tw_run_segment *tw_segment_runner;
tw_prepare_segment *tw_segment_preparer;
tw_run_prepared *tw_prepared_runner;

static _Thread_local segment current;
static _Atomic uint64_t next_number = 1;

static bool open_segment(segment *s)
{
    s->g = tw_graph_create(&tw_graph_table);
    s->number = atomic_fetch_add(&next_number, 1);
    s->eager = tw_env_on("TW_EAGER");
    s->pending.count = s->inputs.count = s->holders.count = 0;
    return s->g != NULL;
}

segment *tw_segment_current(void)
{
    return current.g || open_segment(&current) ? &current : NULL;
}

/* A materialised tensor becomes an input of the segment the first time it is used. */
tw_value *tw_tensor_value(tw_tensor *t)
{
    segment *s = tw_segment_current();
    if (!s)
        return NULL;
    if (t->segment == s->number)
        return t->value;
    if (!t->storage) {
        tw_error(TW_ERR_INTERNAL, "a tensor that was never computed is used after its segment");
        return NULL;
    }
    tw_value *v = tw_graph_input(s->g, tw_type_make(t->dtype, t->rank, t->shape));
    if (!v || !tw_vec_push(&s->inputs, t->storage))
        return NULL;
    t->storage->references++;
    if (s->traced && !tw_vec_push(&s->holders, tw_keep(t)))
        return NULL;
    t->segment = s->number;
    t->value = v;
    t->input = (int)s->inputs.count - 1;
    t->pending = -1;
    return v;
}

static void make_pending(segment *s, tw_tensor *t, tw_value *v)
{
    bool listed = t->segment == s->number && t->pending >= 0;
    t->value = v;
    t->segment = s->number;
    if (listed)
        return;
    t->pending = (int)s->pending.count;
    if (!tw_vec_push(&s->pending, t)) {
        t->pending = -1;
        t->status = TW_ERR_MEMORY;
    }
}

tw_tensor *tw_tensor_pending(tw_value *v)
{
    tw_tensor *t = tw_tensor_create((tw_dtype)v->type.dtype, v->type.rank, v->type.dims);
    if (t->status == TW_OK)
        make_pending(tw_segment_current(), t, v);
    return t;
}

void tw_tensor_set_value(tw_tensor *t, tw_value *v)
{
    segment *s = tw_segment_current();
    if (t->segment != s->number)
        t->input = -1;
    make_pending(s, t, v);
    t->version++;
}

/* ---- running ---- */

static bool wanted(const tw_tensor *t)
{
    return t && t->status == TW_OK && (t->references > t->idle || tw_tape_keeps(t));
}

static bool allocate_results(const segment *s, results *r)
{
    size_t n = s->pending.count + 1, m = s->inputs.count + 1;
    r->item = tw_alloc_zero(n, sizeof *r->item);
    r->value = tw_alloc_zero(n, sizeof *r->value);
    r->output = tw_alloc_zero(n, sizeof *r->output);
    r->in_place = tw_alloc_zero(n, sizeof *r->in_place);
    r->done = tw_alloc_zero(n, sizeof *r->done);
    r->input = tw_alloc_zero(m, sizeof *r->input);
    return r->item && r->value && r->output && r->in_place && r->done && r->input;
}

static void free_results(results *r)
{
    tw_free(r->item);
    tw_free(r->value);
    tw_free(r->output);
    tw_free(r->in_place);
    tw_free(r->done);
    tw_free(r->input);
}

/* A new content may be written over the old one if nobody but this tensor and the segment holds the storage. */
int tw_segment_renews(const segment *s, const tw_tensor *t)
{
    bool alone = t->input >= 0 && t->storage && s->inputs.data[t->input] == t->storage && t->storage->references == 2;
    return alone ? t->input : -1;
}

static tw_status collect(segment *s, results *r)
{
    for (size_t i = 0; i < s->pending.count; i++) {
        tw_tensor *t = s->pending.data[i];
        if (!wanted(t))
            continue;
        int k = r->count++;
        r->item[k].t = t;
        r->value[k] = t->value;
        r->in_place[k] = tw_segment_renews(s, t);
        if (r->in_place[k] < 0) {
            r->item[k].storage = tw_storage_create((size_t)t->count * tw_dtype_size(t->dtype));
            if (!r->item[k].storage)
                return TW_ERR_MEMORY;
            r->output[k] = r->item[k].storage->data;
        }
    }
    for (size_t i = 0; i < s->inputs.count; i++)
        r->input[i] = s->inputs.data[i]->data;
    return tw_g_output(s->g, r->count, r->value) ? TW_OK : tw_error_code();
}

/* Results that were written over their old content keep their storage; the others get what they were computed into. */
static void hand_out(segment *s, results *r, tw_status status)
{
    for (int k = 0; k < r->count; k++) {
        tw_tensor *t = r->item[k].t;
        storage *made = r->item[k].storage;
        if (status != TW_OK) {
            t->status = t->storage && r->in_place[k] >= 0 ? TW_OK : status;
            tw_storage_release(made);
        } else if (made && t->storage && t->storage->foreign && t->storage->bytes == made->bytes) {
            memcpy(t->storage->data, made->data, made->bytes); /* the user's memory is what changes */
            tw_storage_release(made);
        } else if (made) {
            tw_storage_release(t->storage);
            t->storage = made;
        }
        t->pending = -1;
        t->segment = 0;
    }
    for (size_t i = 0; i < s->pending.count; i++) {
        tw_tensor *t = s->pending.data[i];
        if (t && t->segment == s->number) { /* nobody wanted its value */
            t->pending = -1;
            t->segment = 0;
        }
    }
}

tw_status tw_segment_flush(void)
{
    return tw_segment_flush_into(NULL, NULL);
}

tw_status tw_segment_flush_into(tw_segment_sink *sink, void *user)
{
    segment *s = tw_segment_current();
    results r = {0};
    if (!s)
        return TW_ERR_MEMORY;
    if (s->running || (s->pending.count == 0 && !sink))
        return TW_OK;
    s->running = true;
    tw_status status = allocate_results(s, &r) ? collect(s, &r) : TW_ERR_MEMORY;
    if (status == TW_OK && r.count > 0) {
        tw_segment_io io = {(int)s->inputs.count, r.count, r.input, r.output, r.in_place, r.done};
        status = sink                ? sink(user, s, &r, &io)
                 : tw_segment_runner ? tw_segment_runner(s->g, &io)
                                     : tw_error(TW_ERR_INTERNAL, "no runner for recorded operations");
    }
    hand_out(s, &r, status);
    free_results(&r);
    for (size_t i = 0; i < s->inputs.count; i++)
        tw_storage_release(s->inputs.data[i]);
    for (size_t i = 0; i < s->holders.count; i++)
        tw_release(s->holders.data[i]);
    tw_graph_destroy(s->g);
    s->running = s->traced = false;
    s->g = NULL;
    return open_segment(s) ? status : TW_ERR_MEMORY;
}

/* ---- recording ---- */

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
    if (s->g->values > MOST_VALUES && tw_segment_flush() != TW_OK)
        return tw_tensor_failed(tw_error_code());
    for (int i = 0; i < operands; i++) {
        if (operand[i] && operand[i]->status != TW_OK)
            return operand[i];
        value[i] = operand[i] ? tw_tensor_value(operand[i]) : NULL;
        if (operand[i] && !value[i])
            return tw_tensor_failed(tw_error_code());
    }
    tw_op *op = tw_graph_add(s->g, code, operands, value, attrs);
    if (!op)
        return tw_tensor_failed(tw_error_code());
    tw_tensor *t = tw_tensor_pending(&op->result[0]);
    bool tracked = false;
    for (int i = 0; i < operands && tw_grad_enabled(); i++)
        tracked = tracked || (operand[i] && (operand[i]->requires_grad || operand[i]->node));
    if (tracked && t->status == TW_OK && tw_dtype_floating(t->dtype) &&
        tw_tape_add(t, code, operands, operand, op) != TW_OK)
        t->status = TW_ERR_MEMORY;
    if (s->eager && t->status == TW_OK && tw_segment_flush() != TW_OK)
        t->status = tw_error_code();
    return t;
}
