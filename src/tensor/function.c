/* Compiled functions: traced once for each set of guards, then replayed without recording anything.
 *
 * A trace is an ordinary segment that holds nothing else. Its inputs are bound again at each call: to the call's
 * inputs, or to tensors that the function captured, by reference, so that a parameter's new content is seen. Its
 * results are the function's outputs and the new contents of captured tensors. What else C code does (branches, values
 * that it makes into tensors) is what it was when traced.
 *
 * Not replayed, but recorded again at each call, which is always right: a function that looks at a value, whose result
 * has a history of gradients, or that leaves other new tensors behind. */
#include "tensor/internal.h"

enum { MOST_INPUTS = 64, MOST_OUTPUTS = 64, MOST_RESULTS = 1024, RECOMPILE_LIMIT = 8 };

typedef struct input_guard {
    tw_dtype dtype;
    int rank, same_as; /* the first input that is the same tensor */
    int64_t shape[TW_MAX_RANK];
} input_guard;

typedef struct binding { /* an input of the plan */
    int from;            /* the call's input; -1: captured */
    tw_tensor *captured;
} binding;

typedef struct place {
    enum { TO_OUTPUT, TO_CAPTURED } kind;
    int binding; /* TO_CAPTURED: whose content it renews */
    tw_tensor *captured;
    tw_type type;
} place;

typedef struct source { /* of an output of the function */
    enum { FROM_RESULT, FROM_INPUT, FROM_CAPTURED } kind;
    int index;
    tw_tensor *captured;
} source;

typedef struct entry {
    int inputs, bindings, results;
    bool grad;
    input_guard *guard;
    binding *binding;
    place *place;
    int *in_place;
    source *output;
    tw_prepared *plan;
    const char *unreplayable; /* why; NULL: it is replayed */
} entry;

struct tw_function {
    tw_traceable *fn;
    void *user;
    int outputs;
    tw_vec(entry *) entries; /* the latest used first */
    bool said_limit;
};

tw_function *tw_compile(tw_traceable *fn, void *user, int output_count)
{
    if (output_count < 0 || output_count > MOST_OUTPUTS) {
        tw_error(TW_ERR_VALUE, "compile: %d outputs; expected 0 to %d", output_count, MOST_OUTPUTS);
        return NULL;
    }
    tw_function *f = tw_alloc_zero(1, sizeof *f);
    if (f)
        *f = (tw_function){.fn = fn, .user = user, .outputs = output_count};
    return f;
}

static void free_entry(entry *e, int outputs)
{
    for (int i = 0; e->binding && i < e->bindings; i++)
        tw_release(e->binding[i].captured);
    for (int i = 0; e->place && i < e->results; i++)
        tw_release(e->place[i].captured);
    for (int i = 0; e->output && i < outputs; i++)
        tw_release(e->output[i].captured);
    tw_free(e->guard);
    tw_free(e->binding);
    tw_free(e->place);
    tw_free(e->in_place);
    tw_free(e->output);
    tw_free(e);
}

void tw_function_destroy(tw_function *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->entries.count; i++)
        free_entry(f->entries.data[i], f->outputs);
    tw_vec_free(&f->entries);
    tw_free(f);
}

/* ---- guards ---- */

static int first_same(tw_tensor *const *inputs, int i)
{
    int j = 0;
    while (inputs[j] != inputs[i])
        j++;
    return j;
}

static bool guard_holds(const input_guard *g, tw_tensor *const *inputs, int i)
{
    const tw_tensor *t = inputs[i];
    return t->dtype == g->dtype && t->rank == g->rank &&
           !memcmp(t->shape, g->shape, (size_t)t->rank * sizeof *t->shape) && first_same(inputs, i) == g->same_as;
}

static bool guards_hold(const entry *e, tw_tensor *const *inputs, int n)
{
    if (e->inputs != n || e->grad != tw_grad_enabled())
        return false;
    for (int i = 0; i < n; i++)
        if (!guard_holds(&e->guard[i], inputs, i))
            return false;
    return true;
}

/* What is different now: the reason why a function is compiled again. */
static void say_reason(const tw_function *f, tw_tensor *const *inputs, int n, char *reason, size_t room)
{
    const entry *e = f->entries.count ? f->entries.data[0] : NULL;
    snprintf(reason, room, "the first call");
    if (!e)
        return;
    if (e->inputs != n)
        snprintf(reason, room, "%d inputs, were %d", n, e->inputs);
    else if (e->grad != tw_grad_enabled())
        snprintf(reason, room, "gradients are %s now", tw_grad_enabled() ? "on" : "off");
    for (int i = 0; i < n && e->inputs == n; i++) {
        const input_guard *g = &e->guard[i];
        const tw_tensor *t = inputs[i];
        if (guard_holds(g, inputs, i))
            continue;
        if (t->dtype != g->dtype)
            snprintf(reason, room, "input %d: dtype %s, was %s", i, tw_dtype_name(t->dtype), tw_dtype_name(g->dtype));
        else if (t->rank != g->rank)
            snprintf(reason, room, "input %d: %d dimensions, were %d", i, t->rank, g->rank);
        else if (first_same(inputs, i) != g->same_as)
            snprintf(reason, room, "input %d: the same tensor as another input, or no longer", i);
        for (int d = 0; t->rank == g->rank && d < t->rank; d++)
            if (t->shape[d] != g->shape[d])
                snprintf(reason, room, "input %d: size of dimension %d is %lld, was %lld", i, d, (long long)t->shape[d],
                         (long long)g->shape[d]);
        return;
    }
}

/* ---- tracing ---- */

typedef struct tracing {
    tw_function *f;
    entry *e;
    tw_tensor *const *inputs;
    tw_tensor **outputs;
    const char *reason;
} tracing;

static int index_of(tw_tensor *const *list, int n, const tw_tensor *t)
{
    for (int i = 0; i < n; i++)
        if (list[i] == t)
            return i;
    return -1;
}

static bool note_inputs(tracing *x, const segment *s)
{
    entry *e = x->e;
    e->binding = tw_alloc_zero(s->holders.count + 1, sizeof *e->binding);
    if (!e->binding)
        return false;
    e->bindings = (int)s->holders.count;
    for (int i = 0; i < e->bindings; i++) {
        tw_tensor *t = s->holders.data[i];
        e->binding[i].from = index_of(x->inputs, e->inputs, t);
        e->binding[i].captured = e->binding[i].from < 0 ? tw_keep(t) : NULL;
    }
    return true;
}

/* Every result must be an output or a captured tensor's new content. */
static bool note_results(tracing *x, const segment *s, const results *r)
{
    entry *e = x->e;
    e->place = tw_alloc_zero((size_t)r->count + 1, sizeof *e->place);
    e->in_place = tw_alloc_zero((size_t)r->count + 1, sizeof *e->in_place);
    if (!e->place || !e->in_place)
        return false;
    e->results = r->count;
    for (int k = 0; k < r->count; k++) {
        tw_tensor *t = r->item[k].t;
        e->place[k].type = r->value[k]->type;
        e->in_place[k] = r->in_place[k];
        int held = index_of(s->holders.data, (int)s->holders.count, t);
        if (index_of(x->outputs, x->f->outputs, t) >= 0 && !t->storage) {
            e->place[k].kind = TO_OUTPUT;
        } else if (t->storage) { /* also one that is written without being read */
            e->place[k].kind = TO_CAPTURED;
            e->place[k].binding = held;
            e->place[k].captured = tw_keep(t);
        } else {
            e->unreplayable = "it leaves a new tensor behind that is no output";
        }
    }
    return true;
}

static bool note_outputs(tracing *x, const results *r)
{
    entry *e = x->e;
    e->output = tw_alloc_zero((size_t)x->f->outputs + 1, sizeof *e->output);
    for (int j = 0; e->output && j < x->f->outputs; j++) {
        source *o = &e->output[j];
        int input = index_of(x->inputs, e->inputs, x->outputs[j]);
        *o = (source){input >= 0 ? FROM_INPUT : FROM_CAPTURED, input, NULL};
        for (int k = 0; k < r->count; k++)
            if (r->item[k].t == x->outputs[j] && e->place[k].kind == TO_OUTPUT)
                *o = (source){FROM_RESULT, k, NULL};
        if (o->kind == FROM_CAPTURED)
            o->captured = tw_keep(x->outputs[j]);
        if (x->outputs[j]->node)
            e->unreplayable = "its result has a history of gradients";
    }
    return e->output != NULL;
}

static tw_status finish_trace(void *user, segment *s, const results *r, tw_segment_io *io)
{
    tracing *x = user;
    entry *e = x->e;
    if (!note_inputs(x, s) || !note_results(x, s, r) || !note_outputs(x, r))
        return TW_ERR_MEMORY;
    if (e->results > MOST_RESULTS || e->bindings > MOST_RESULTS)
        e->unreplayable = "it has more inputs or results than can be replayed";
    if (e->unreplayable)
        return tw_segment_runner(s->g, io);
    e->plan = tw_segment_preparer(s->g, io, x->reason);
    return e->plan ? tw_prepared_runner(e->plan, io) : tw_error_code();
}

static entry *new_entry(tw_tensor *const *inputs, int n)
{
    entry *e = tw_alloc_zero(1, sizeof *e);
    if (!e || !(e->guard = tw_alloc_zero((size_t)n + 1, sizeof *e->guard))) {
        tw_free(e);
        return NULL;
    }
    e->inputs = n;
    e->grad = tw_grad_enabled();
    for (int i = 0; i < n; i++) {
        e->guard[i] = (input_guard){inputs[i]->dtype, inputs[i]->rank, first_same(inputs, i), {0}};
        memcpy(e->guard[i].shape, inputs[i]->shape, sizeof e->guard[i].shape);
    }
    return e;
}

/* Records the function's operations; temporaries die, outputs move to the caller's scope. */
static tw_status record_body(const tw_function *f, tw_tensor *const *inputs, int n, tw_tensor **outputs)
{
    tw_status status = TW_OK;
    TW_SCOPE {
        for (int j = 0; j < f->outputs; j++)
            outputs[j] = NULL;
        status = f->fn(f->user, inputs, n, outputs, f->outputs);
        for (int j = 0; j < f->outputs && status == TW_OK; j++) {
            if (!outputs[j])
                status = tw_error(TW_ERR_VALUE, "call: the function set no output %d", j);
            else if (outputs[j]->status != TW_OK)
                status = outputs[j]->status;
            else
                tw_yield(outputs[j]);
        }
    }
    return status;
}

static tw_status trace(tw_function *f, tw_tensor *const *inputs, int n, tw_tensor **outputs, const char *reason)
{
    TW_TRY(tw_segment_flush());
    segment *s = tw_segment_current();
    entry *e = s ? new_entry(inputs, n) : NULL;
    if (!e)
        return TW_ERR_MEMORY;
    tracing x = {f, e, inputs, outputs, reason};
    uint64_t number = s->number;
    s->traced = true;
    tw_status status = record_body(f, inputs, n, outputs);
    if (status == TW_OK && s->number != number)
        e->unreplayable = "it looks at a value (a graph break)";
    if (status == TW_OK)
        status = e->unreplayable ? tw_segment_flush() : tw_segment_flush_into(finish_trace, &x);
    s->traced = false;
    if (status != TW_OK || !tw_vec_push(&f->entries, e)) {
        free_entry(e, f->outputs);
        return status != TW_OK ? status : TW_ERR_MEMORY;
    }
    if (e->unreplayable)
        tw_say(TW_LOG_GUARDS, "a function is recorded at every call: %s", e->unreplayable);
    size_t last = f->entries.count - 1;
    memmove(f->entries.data + 1, f->entries.data, last * sizeof(entry *));
    f->entries.data[0] = e;
    return TW_OK;
}

/* ---- replaying ---- */

/* A captured tensor's content is written over where nobody else holds its storage, else it gets a new one. */
static storage *room_for(const place *p)
{
    size_t bytes = tw_dtype_size((tw_dtype)p->type.dtype);
    for (int i = 0; i < p->type.rank; i++)
        bytes *= (size_t)p->type.dims[i];
    return tw_storage_create(bytes);
}

static void renew(tw_tensor *t, storage *made)
{
    if (t->storage->foreign && t->storage->bytes == made->bytes) { /* the user's memory is what changes */
        memcpy(t->storage->data, made->data, made->bytes);
        tw_storage_release(made);
    } else {
        tw_storage_release(t->storage);
        t->storage = made;
    }
}

static tw_status replay(const tw_function *f, const entry *e, tw_tensor *const *inputs, tw_tensor **outputs)
{
    void *in[MOST_RESULTS], *out[MOST_RESULTS];
    storage *made[MOST_RESULTS];
    bool done[MOST_RESULTS];
    tw_status status = TW_OK;
    for (int i = 0; i < e->bindings; i++) {
        const tw_tensor *t = e->binding[i].captured ? e->binding[i].captured : inputs[e->binding[i].from];
        in[i] = t->storage->data;
    }
    for (int k = 0; k < e->results; k++) {
        const place *p = &e->place[k];
        bool over = p->kind == TO_CAPTURED && e->in_place[k] >= 0 && p->captured->storage->references == 1;
        made[k] = over ? NULL : room_for(p);
        out[k] = made[k] ? made[k]->data : NULL;
        if (!over && !made[k])
            status = TW_ERR_MEMORY;
    }
    tw_segment_io io = {e->bindings, e->results, in, out, e->in_place, done};
    if (status == TW_OK)
        status = tw_prepared_runner(e->plan, &io);
    for (int k = 0; k < e->results; k++) {
        if (e->place[k].kind != TO_CAPTURED)
            continue;
        if (status == TW_OK && made[k])
            renew(e->place[k].captured, made[k]);
        else
            tw_storage_release(made[k]);
        e->place[k].captured->version += status == TW_OK;
        made[k] = NULL;
    }
    for (int j = 0; j < f->outputs && status == TW_OK; j++) {
        const source *o = &e->output[j];
        outputs[j] = o->kind == FROM_INPUT ? inputs[o->index] : o->captured;
        if (o->kind != FROM_RESULT)
            continue;
        const tw_type *t = &e->place[o->index].type;
        outputs[j] = tw_tensor_create((tw_dtype)t->dtype, t->rank, t->dims);
        status = outputs[j]->status;
        if (status == TW_OK && made[o->index]) {
            outputs[j]->storage = made[o->index];
            made[o->index]->references++;
        }
    }
    for (int k = 0; k < e->results; k++)
        tw_storage_release(made[k]);
    return status;
}

static bool needs_history(tw_tensor *const *inputs, int n)
{
    for (int i = 0; i < n && tw_grad_enabled(); i++)
        if (inputs[i]->requires_grad || inputs[i]->node)
            return true;
    return false;
}

/* Everything that a replay reads must be computed. */
static tw_status materialise(const entry *e, tw_tensor *const *inputs)
{
    const segment *s = tw_segment_current();
    bool pending = s && s->pending.count > 0;
    if (pending)
        TW_TRY(tw_segment_flush());
    for (int i = 0; i < e->inputs; i++)
        if (!inputs[i]->storage)
            return tw_error(TW_ERR_INTERNAL, "call: input %d was not computed", i);
    return TW_OK;
}

tw_status tw_call(tw_function *f, tw_tensor *const *inputs, int n, tw_tensor **outputs)
{
    if (n < 0 || n > MOST_INPUTS)
        return tw_error(TW_ERR_VALUE, "call: %d inputs; expected 0 to %d", n, MOST_INPUTS);
    for (int i = 0; i < n; i++)
        if (inputs[i]->status != TW_OK)
            return tw_error(inputs[i]->status, "call: input %d carries an error", i);
    if (needs_history(inputs, n))
        return record_body(f, inputs, n, outputs);
    for (size_t i = 0; i < f->entries.count; i++) {
        entry *e = f->entries.data[i];
        if (!guards_hold(e, inputs, n))
            continue;
        memmove(f->entries.data + 1, f->entries.data, i * sizeof(entry *));
        f->entries.data[0] = e;
        if (e->unreplayable)
            return record_body(f, inputs, n, outputs);
        TW_TRY(materialise(e, inputs));
        return replay(f, e, inputs, outputs);
    }
    int64_t limit = tw_env_int("TW_RECOMPILE_LIMIT", RECOMPILE_LIMIT);
    char reason[160];
    say_reason(f, inputs, n, reason, sizeof reason);
    if ((int64_t)f->entries.count >= limit) {
        if (!f->said_limit)
            tw_say(TW_LOG_GUARDS, "a function was compiled %lld times, the limit: recorded from now on (%s)",
                   (long long)limit, reason);
        f->said_limit = true;
        return record_body(f, inputs, n, outputs);
    }
    return trace(f, inputs, n, outputs, reason);
}
