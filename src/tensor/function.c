/* Compiled functions: traced once for each set of guards, then replayed without recording anything.
 *
 * A trace is an ordinary segment that holds nothing else. Its inputs are cells, bound again at each call: to those of
 * the call's inputs, or to cells that the function captured, so that a parameter's new content is seen. Its results are
 * the function's outputs and new content of cells. What else C code does (branches, values that it makes into tensors)
 * is what it was when traced.
 *
 * Not replayed, but recorded again at each call, which is always right: a function that looks at a value, whose result
 * has a history of gradients or is a view, or that leaves other new tensors behind. */
#include "tensor/internal.h"

enum { MOST_INPUTS = 64, MOST_OUTPUTS = 64, MOST_RESULTS = 1024 };

typedef struct input_guard { /* of the handle and of the cell behind it; compared as bytes, so without gaps */
    int dtype, rank, cell_rank, same_as, same_cell; /* the first input that is the same tensor, or of the same cell */
    int no_gap;
    int64_t shape[TW_MAX_RANK], stride[TW_MAX_RANK], offset, cell_shape[TW_MAX_RANK];
} input_guard;

typedef struct source { /* a cell: of a call's input, or captured */
    int input;          /* -1: captured */
    cell *captured;
} source;

typedef struct place { /* where a result goes */
    bool new_tensor;   /* an output; else new content of a cell */
    source to;
    tw_type type;
} place;

typedef struct output { /* of the function */
    enum { FROM_RESULT, FROM_INPUT, FROM_CAPTURED } kind;
    int index;
    tw_tensor *captured;
} output;

typedef struct entry {
    int inputs, bindings, results;
    bool grad;
    input_guard *guard;
    source *binding; /* of the plan's inputs */
    place *place;
    int *in_place;
    output *output;
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
    if (!tw_prepared_releaser) {
        tw_error(TW_ERR_INTERNAL, "compile: the library has not started");
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
        tw_cell_release(e->binding[i].captured);
    for (int i = 0; e->place && i < e->results; i++)
        tw_cell_release(e->place[i].to.captured);
    for (int i = 0; e->output && i < outputs; i++)
        tw_release(e->output[i].captured);
    tw_prepared_releaser(e->plan);
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

static input_guard guard_of(tw_tensor *const *inputs, int i)
{
    const tw_tensor *t = inputs[i];
    input_guard g = {.dtype = (int)t->dtype, .rank = t->rank, .cell_rank = t->cell->rank, .offset = t->offset};
    while (inputs[g.same_as] != t)
        g.same_as++;
    while (inputs[g.same_cell]->cell != t->cell)
        g.same_cell++;
    memcpy(g.shape, t->shape, (size_t)t->rank * sizeof *t->shape);
    memcpy(g.stride, t->stride, (size_t)t->rank * sizeof *t->stride);
    memcpy(g.cell_shape, t->cell->shape, (size_t)t->cell->rank * sizeof *t->shape);
    return g;
}

static bool guards_hold(const entry *e, tw_tensor *const *inputs, int n)
{
    if (e->inputs != n || e->grad != tw_grad_enabled())
        return false;
    for (int i = 0; i < n; i++) {
        input_guard g = guard_of(inputs, i);
        if (memcmp(&g, &e->guard[i], sizeof g) != 0)
            return false;
    }
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
        input_guard now = guard_of(inputs, i), *was = &e->guard[i];
        if (!memcmp(&now, was, sizeof now))
            continue;
        if (now.dtype != was->dtype)
            snprintf(reason, room, "input %d: dtype %s, was %s", i, tw_dtype_name((tw_dtype)now.dtype),
                     tw_dtype_name((tw_dtype)was->dtype));
        else if (now.rank != was->rank)
            snprintf(reason, room, "input %d: %d dimensions, were %d", i, now.rank, was->rank);
        else if (now.same_as != was->same_as || now.same_cell != was->same_cell)
            snprintf(reason, room, "input %d: the same tensor as another input, or no longer", i);
        else
            snprintf(reason, room, "input %d: other strides", i);
        for (int d = 0; now.rank == was->rank && d < now.rank; d++)
            if (now.shape[d] != was->shape[d])
                snprintf(reason, room, "input %d: size of dimension %d is %lld, was %lld", i, d,
                         (long long)now.shape[d], (long long)was->shape[d]);
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

static int index_of(tw_tensor *const *list, int n, const cell *c)
{
    for (int i = 0; i < n; i++)
        if (list[i]->cell == c)
            return i;
    return -1;
}

static source source_of(const tracing *x, cell *c)
{
    source s = {index_of(x->inputs, x->e->inputs, c), NULL};
    if (s.input < 0) {
        s.captured = c;
        c->references++;
    }
    return s;
}

static bool note_inputs(tracing *x, const segment *s)
{
    entry *e = x->e;
    e->binding = tw_alloc_zero(s->inputs.count + 1, sizeof *e->binding);
    if (!e->binding)
        return false;
    e->bindings = (int)s->inputs.count;
    for (int i = 0; i < e->bindings; i++) {
        e->binding[i] = source_of(x, s->inputs.data[i]);
        if (s->inputs.data[i]->strided)
            e->unreplayable = "it reads strided memory of the program's";
    }
    return true;
}

/* Every result must be an output or new content of a cell that was there before. */
static bool note_results(tracing *x, const results *r)
{
    entry *e = x->e;
    e->place = tw_alloc_zero((size_t)r->count + 1, sizeof *e->place);
    e->in_place = tw_alloc_zero((size_t)r->count + 1, sizeof *e->in_place);
    if (!e->place || !e->in_place)
        return false;
    e->results = r->count;
    for (int k = 0; k < r->count; k++) {
        cell *c = r->cell[k];
        e->place[k] = (place){.new_tensor = !c->data, .to = {-1, NULL}, .type = r->value[k]->type};
        e->in_place[k] = r->in_place[k];
        if (c->data)
            e->place[k].to = source_of(x, c);
        else if (index_of(x->outputs, x->f->outputs, c) < 0)
            e->unreplayable = "it leaves a new tensor behind that is no output";
    }
    return true;
}

static bool note_outputs(tracing *x, const results *r)
{
    entry *e = x->e;
    e->output = tw_alloc_zero((size_t)x->f->outputs + 1, sizeof *e->output);
    for (int j = 0; e->output && j < x->f->outputs; j++) {
        tw_tensor *t = x->outputs[j];
        output *o = &e->output[j];
        *o = (output){FROM_CAPTURED, -1, NULL};
        for (int i = 0; i < e->inputs; i++)
            if (x->inputs[i] == t)
                *o = (output){FROM_INPUT, i, NULL};
        for (int k = 0; k < r->count; k++)
            if (r->cell[k] == t->cell && e->place[k].new_tensor)
                *o = (output){FROM_RESULT, k, NULL};
        if (o->kind != FROM_INPUT && t->view)
            e->unreplayable = "its result is a view";
        if (o->kind == FROM_CAPTURED)
            o->captured = tw_keep(t);
        if (t->node)
            e->unreplayable = "its result has a history of gradients";
    }
    return e->output != NULL;
}

static tw_status finish_trace(void *user, segment *s, const results *r, tw_segment_io *io)
{
    tracing *x = user;
    entry *e = x->e;
    if (!note_inputs(x, s) || !note_results(x, r) || !note_outputs(x, r))
        return TW_ERR_MEMORY;
    if (e->results > MOST_RESULTS || e->bindings > MOST_RESULTS)
        e->unreplayable = "it has more inputs or results than can be replayed";
    if (e->results == 0)
        return TW_OK;
    if (e->unreplayable)
        return tw_segment_runner(s->g, io, "the end of a function");
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
    for (int i = 0; i < n; i++)
        e->guard[i] = guard_of(inputs, i);
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
            else if (tw_tensor_status(outputs[j]) != TW_OK)
                status = tw_tensor_status(outputs[j]);
            else
                tw_yield(outputs[j]);
        }
    }
    return status;
}

static tw_status trace(tw_function *f, tw_tensor *const *inputs, int n, tw_tensor **outputs, const char *reason)
{
    TW_TRY(tw_segment_flush("a compiled function"));
    segment *s = tw_segment_current();
    entry *e = s ? new_entry(inputs, n) : NULL;
    if (!e)
        return TW_ERR_MEMORY;
    tracing x = {f, e, inputs, outputs, reason};
    uint64_t number = s->number;
    tw_status status = record_body(f, inputs, n, outputs);
    if (status == TW_OK && s->number != number)
        e->unreplayable = "it looks at a value (a graph break)";
    if (status == TW_OK)
        status = e->unreplayable ? tw_segment_flush("the end of a function")
                                 : tw_segment_flush_into("the end of a function", finish_trace, &x);
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

static cell *cell_of(const source *s, tw_tensor *const *inputs)
{
    return s->input >= 0 ? inputs[s->input]->cell : s->captured;
}

/* New content goes where the plan may write it; an output gets a tensor of its own. */
static tw_status make_room(const entry *e, tw_tensor *const *inputs, tw_tensor **made, void **out)
{
    for (int k = 0; k < e->results; k++)
        made[k] = NULL;
    for (int k = 0; k < e->results; k++) {
        const place *p = &e->place[k];
        if (!p->new_tensor) {
            out[k] = e->in_place[k] >= 0 ? NULL : cell_of(&p->to, inputs)->data;
            continue;
        }
        made[k] = tw_empty(p->type.rank, p->type.dims, (tw_dtype)p->type.dtype);
        TW_TRY(made[k]->status);
        out[k] = made[k]->cell->data;
    }
    return TW_OK;
}

static tw_status replay(const tw_function *f, const entry *e, tw_tensor *const *inputs, tw_tensor **outputs)
{
    void *in[MOST_RESULTS], *out[MOST_RESULTS];
    const int64_t *stride[MOST_RESULTS];
    tw_tensor *made[MOST_RESULTS];
    for (int i = 0; i < e->bindings; i++) {
        in[i] = cell_of(&e->binding[i], inputs)->data;
        stride[i] = NULL;
    }
    TW_TRY(make_room(e, inputs, made, out));
    tw_segment_io io = {e->bindings, e->results, in, stride, out, e->in_place};
    if (e->plan)
        TW_TRY(tw_prepared_runner(e->plan, &io));
    for (int k = 0; k < e->results; k++)
        if (!e->place[k].new_tensor)
            cell_of(&e->place[k].to, inputs)->version++;
    for (int j = 0; j < f->outputs; j++) {
        const output *o = &e->output[j];
        outputs[j] = o->kind == FROM_RESULT ? made[o->index] : o->kind == FROM_INPUT ? inputs[o->index] : o->captured;
    }
    return TW_OK;
}

static bool needs_history(tw_tensor *const *inputs, int n)
{
    for (int i = 0; i < n && tw_grad_enabled(); i++)
        if (tw_tracked(inputs[i]))
            return true;
    return false;
}

/* Everything that a replay reads must be computed, and lie as it did when traced. */
static tw_status materialise(const entry *e, tw_tensor *const *inputs)
{
    const segment *s = tw_segment_current();
    if (s && s->pending.count > 0)
        TW_TRY(tw_segment_flush("a compiled function"));
    for (int i = 0; i < e->inputs; i++)
        if (!inputs[i]->cell->data)
            return tw_error(TW_ERR_INTERNAL, "call: input %d was not computed", i);
    return TW_OK;
}

static bool any_strided(tw_tensor *const *inputs, int n)
{
    for (int i = 0; i < n; i++)
        if (inputs[i]->cell->strided)
            return true;
    return false;
}

tw_status tw_call(tw_function *f, tw_tensor *const *inputs, int n, tw_tensor **outputs)
{
    if (n < 0 || n > MOST_INPUTS)
        return tw_error(TW_ERR_VALUE, "call: %d inputs; expected 0 to %d", n, MOST_INPUTS);
    for (int i = 0; i < n; i++)
        if (tw_tensor_status(inputs[i]) != TW_OK)
            return tw_error(tw_tensor_status(inputs[i]), "call: input %d carries an error", i);
    if (needs_history(inputs, n) || any_strided(inputs, n))
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
    int64_t limit = tw_recompile_limit();
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
