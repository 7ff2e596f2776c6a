/* Segments meet their plans.
 *
 * The key of a segment is the structural hash of its graph, its inputs' types and which results renew which inputs. At
 * first sight it runs operation by operation, through plans of one operation each; at second sight it is compiled as a
 * whole. */
#include "capture/capture.h"

#include "base/os.h"
#include "decompose/decompose.h"
#include "ops/build.h"
#include "rematerialise/rematerialise.h"
#include "simplify/simplify.h"
#include "tensor/hooks.h"
#include "tilewright/tensor.h"

typedef struct known {
    tw_executable *executable; /* NULL: not compiled yet */
    int sights;
} known;

static tw_map *plans;
static tw_tier tier;
static tw_capture_stats stats;
static const tw_executable *last;

void tw_set_tier(tw_tier t)
{
    tier = t;
}

tw_tier tw_get_tier(void)
{
    return tw_env_on("TW_EAGER") ? TW_TIER_OPERATIONS : tier;
}

int64_t tw_capture_stated_peak(void)
{
    return last ? tw_tensor_bytes() - tw_runtime_bytes() + last->plan->arena_bytes + tw_execute_scratch(last) : 0;
}

tw_capture_stats tw_capture_statistics(void)
{
    return stats;
}

const tw_executable *tw_capture_last(void)
{
    return last;
}

void tw_capture_reset(void)
{
    size_t cursor = 0;
    tw_hash key;
    void *value;
    while (plans && tw_map_next(plans, &cursor, &key, &value)) {
        tw_executable_destroy(((known *)value)->executable);
        tw_free(value);
    }
    tw_map_destroy(plans);
    plans = NULL;
    last = NULL;
}

void tw_capture_kind_times(uint64_t ns[TW_KINDS])
{
    size_t cursor = 0;
    tw_hash key;
    void *value;
    memset(ns, 0, TW_KINDS * sizeof *ns);
    while (plans && tw_map_next(plans, &cursor, &key, &value)) {
        tw_executable *e = ((known *)value)->executable;
        if (e)
            tw_executable_say_times(e);
        for (int l = 0; e && l < e->plan->launches; l++) {
            ns[e->plan->kernel[e->plan->launch[l].kernel].kind] += e->ns[l];
            e->ns[l] = 0;
        }
    }
}

/* ---- compiling ---- */

/* Every result gets memory of its own: one that is an input, or that comes twice, is copied. */
static tw_status separate_outputs(tw_graph **graph, bool *changed)
{
    tw_graph *g = *graph;
    tw_op *output = g->body->last;
    *changed = false;
    for (uint32_t i = 0; i < output->operands; i++) {
        tw_value *v = output->operand[i];
        bool again = v->def->code == TW_G_INPUT;
        for (uint32_t j = 0; j < i && !again; j++)
            again = output->operand[j] == v;
        if (!again)
            continue;
        tw_graph_insert_before(g, output);
        if (!(output->operand[i] = tw_g_cast(g, v, (tw_dtype)v->type.dtype)))
            return tw_error_code();
        *changed = true;
    }
    tw_graph_insert_at_end(g, g->body);
    return TW_OK;
}

static const tw_pass passes[] = {
    {"decompose", tw_pass_decompose, TW_LOG_DECOMPOSE},
    {"simplify", tw_pass_simplify, TW_LOG_SIMPLIFY},
    {"rematerialise", tw_pass_rematerialise, TW_LOG_SIMPLIFY},
    {"separate outputs", separate_outputs, TW_LOG_SIMPLIFY},
};

tw_status tw_compile_graph(const tw_graph *segment, const int *in_place, const int64_t *const *stride,
                           tw_executable **executable)
{
    uint64_t start = tw_os_now_ns();
    tw_schedule_options options = {
        .exact = tw_env_on("TW_EXACT"), .in_place = in_place, .input_stride = stride, .threads = tw_num_threads()};
    tw_plan *plan = NULL;
    tw_graph *g = tw_graph_clone(segment);
    *executable = NULL;
    if (!g)
        return TW_ERR_MEMORY;
    if (tw_log_on(TW_LOG_GRAPH)) {
        tw_text text = {0};
        tw_graph_print(g, &text);
        tw_say(TW_LOG_GRAPH, "%s", tw_text_string(&text));
        tw_text_free(&text);
    }
    tw_status status = tw_pass_run_all(passes, TW_COUNT(passes), &g);
    if (status == TW_OK)
        status = tw_schedule(g, &options, &plan);
    tw_graph_destroy(g);
    if (status == TW_OK)
        status = tw_executable_create(plan, executable);
    if (status == TW_OK)
        tw_say(TW_LOG_TIMING, "segment of %u values: compiled in %.1f ms", segment->values,
               (double)(tw_os_now_ns() - start) * 1e-6);
    return status;
}

/* ---- running a plan ---- */

static tw_status run_executable(tw_executable *e, tw_segment_io *io)
{
    void **temporary = tw_alloc_zero((size_t)io->outputs + 1, sizeof *temporary);
    size_t *bytes = tw_alloc_zero((size_t)io->outputs + 1, sizeof *bytes);
    tw_status status = temporary && bytes ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < e->plan->slots && status == TW_OK; i++) {
        const tw_plan_slot *slot = &e->plan->slot[i];
        int k = slot->index;
        if (slot->kind != TW_SLOT_OUTPUT || io->output[k])
            continue;
        if (slot->alias_input >= 0) {
            io->output[k] = io->input[slot->alias_input];
            continue;
        }
        bytes[k] = (size_t)slot->bytes;
        io->output[k] = temporary[k] = tw_alloc_aligned(TW_MAX(bytes[k], (size_t)1), 64);
        status = temporary[k] ? TW_OK : TW_ERR_MEMORY;
    }
    if (status == TW_OK)
        status = tw_execute(e, io->input, io->output);
    for (int k = 0; temporary && k < io->outputs; k++) {
        if (temporary[k] && status == TW_OK)
            memcpy(io->input[io->in_place[k]], temporary[k], bytes[k]);
        tw_free(temporary[k]);
    }
    tw_free(temporary);
    tw_free(bytes);
    return status;
}

static known *find(tw_hash key)
{
    if (!plans && !(plans = tw_map_create()))
        return NULL;
    known *k = tw_map_get(plans, key);
    if (k)
        return k;
    k = tw_alloc_zero(1, sizeof *k);
    if (k && tw_map_put(plans, key, k))
        return k;
    tw_free(k);
    return NULL;
}

static tw_hash key_of(const tw_graph *g, const tw_segment_io *io)
{
    tw_hash h = tw_hash_u64(tw_graph_hash(g), (uint64_t)io->outputs);
    for (int i = 0; i < io->outputs; i++)
        h = tw_hash_u64(h, (uint64_t)(int64_t)io->in_place[i]);
    const tw_op *op = g->body->first;
    for (int i = 0; i < io->inputs && io->stride; i++, op = op->next)
        if (io->stride[i])
            h = tw_hash_bytes(tw_hash_u64(h, (uint64_t)i), io->stride[i], op->result[0].type.rank * sizeof(int64_t));
    return h;
}

/* ---- operation by operation ---- */

typedef struct stepper {
    void **data; /* by value id */
    bool *owned;
    uint32_t *uses;
} stepper;

static size_t bytes_of(const tw_value *v)
{
    size_t bytes = tw_dtype_size((tw_dtype)v->type.dtype);
    for (int i = 0; i < v->type.rank; i++)
        bytes *= (size_t)v->type.dims[i];
    return bytes;
}

static tw_graph *alone(const tw_graph *g, const tw_op *op, tw_value **map)
{
    tw_graph *one = tw_graph_create(g->table);
    tw_op *copy = NULL;
    for (uint32_t i = 0; one && i < op->operands; i++) {
        bool repeated = false;
        for (uint32_t j = 0; j < i; j++)
            repeated = repeated || op->operand[j] == op->operand[i];
        if (op->operand[i] && !repeated && !(map[op->operand[i]->id] = tw_graph_input(one, op->operand[i]->type))) {
            tw_graph_destroy(one);
            return NULL;
        }
    }
    if (one)
        copy = tw_graph_clone_op(one, g, op, map);
    if (copy && tw_g_output(one, 1, (tw_value *[]){&copy->result[0]}))
        return one;
    tw_graph_destroy(one);
    return NULL;
}

static tw_status step_operation(const tw_graph *g, const tw_op *op, stepper *s, tw_value **map)
{
    enum { MOST = 64 };
    void *input[MOST], *output[1];
    int inputs = 0, none = -1;
    const tw_value *y = &op->result[0];
    tw_graph *one = alone(g, op, map);
    if (!one)
        return TW_ERR_MEMORY;
    for (uint32_t i = 0; i < op->operands; i++) {
        bool repeated = false;
        for (uint32_t j = 0; j < i; j++)
            repeated = repeated || op->operand[j] == op->operand[i];
        if (op->operand[i] && !repeated)
            input[inputs++] = s->data[op->operand[i]->id];
    }
    tw_segment_io io = {inputs, 1, input, NULL, output, &none};
    known *k = find(key_of(one, &io));
    tw_status status = k ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK && !k->executable)
        status = tw_compile_graph(one, NULL, NULL, &k->executable);
    tw_graph_destroy(one);
    if (status != TW_OK)
        return status;
    output[0] = s->data[y->id];
    if (!output[0]) {
        output[0] = s->data[y->id] = tw_alloc_aligned(TW_MAX(bytes_of(y), (size_t)1), 64);
        s->owned[y->id] = output[0] != NULL;
        tw_count_bytes(output[0] ? (int64_t)bytes_of(y) : 0);
    }
    stats.operations++;
    return output[0] ? run_executable(k->executable, &io) : TW_ERR_MEMORY;
}

static void drop_operands(stepper *s, const tw_op *op)
{
    for (uint32_t i = 0; i < op->operands; i++) {
        const tw_value *v = op->operand[i];
        if (!v || --s->uses[v->id] > 0 || !s->owned[v->id])
            continue;
        tw_count_bytes(-(int64_t)bytes_of(v));
        tw_free(s->data[v->id]);
        s->data[v->id] = NULL;
        s->owned[v->id] = false;
    }
}

static void finish_outputs(const tw_op *output, stepper *s, tw_segment_io *io)
{
    for (uint32_t i = 0; i < output->operands; i++) {
        const void *from = s->data[output->operand[i]->id];
        if (io->output[i] && from != io->output[i])
            memcpy(io->output[i], from, bytes_of(output->operand[i]));
    }
    for (uint32_t i = 0; i < output->operands; i++) /* renewed inputs last: others may have been copied from them */
        if (!io->output[i])
            memcpy(io->input[io->in_place[i]], s->data[output->operand[i]->id], bytes_of(output->operand[i]));
}

/* Single operations read row-major values: the program's strided memory is packed for them. */
static tw_status bind_input(stepper *s, const tw_value *v, const tw_segment_io *io, int i)
{
    s->data[v->id] = io->input[i];
    if (!io->stride || !io->stride[i])
        return TW_OK;
    void *packed = tw_alloc_aligned(TW_MAX(bytes_of(v), (size_t)1), 64);
    if (!packed)
        return TW_ERR_MEMORY;
    tw_copy_from_strides(packed, io->input[i], v->type.rank, v->type.dims, io->stride[i],
                         tw_dtype_size((tw_dtype)v->type.dtype));
    s->data[v->id] = packed;
    s->owned[v->id] = true;
    tw_count_bytes((int64_t)bytes_of(v));
    return TW_OK;
}

static tw_status run_operations(const tw_graph *g, tw_segment_io *io)
{
    tw_arena *a = tw_arena_create(0);
    tw_value **map = tw_alloc_zero(g->values + 1, sizeof *map);
    stepper s = {tw_alloc_zero(g->values + 1, sizeof(void *)), tw_alloc_zero(g->values + 1, sizeof(bool)),
                 a ? tw_graph_use_counts(g, a) : NULL};
    tw_status status = map && s.data && s.owned && s.uses ? TW_OK : TW_ERR_MEMORY;
    const tw_op *output = g->body->last;
    int inputs = 0;
    for (uint32_t i = 0; status == TW_OK && i < output->operands; i++) {
        const tw_value *v = output->operand[i];
        if (io->output[i] && v->def->code != TW_G_INPUT && !s.data[v->id])
            s.data[v->id] = io->output[i];
    }
    for (const tw_op *op = g->body->first; op && status == TW_OK; op = op->next) {
        if (op->code == TW_G_INPUT) {
            status = bind_input(&s, &op->result[0], io, inputs++);
        } else if (op->code == TW_G_OUTPUT) {
            finish_outputs(op, &s, io);
        } else if (s.uses[op->result[0].id] > 0) {
            status = step_operation(g, op, &s, map);
            if (status == TW_OK)
                drop_operands(&s, op);
        }
    }
    for (const tw_op *op = g->body->first; op && s.data && s.owned; op = op->next) {
        if (!op->results || !s.owned[op->result[0].id])
            continue;
        tw_count_bytes(-(int64_t)bytes_of(&op->result[0]));
        tw_free(s.data[op->result[0].id]);
    }
    tw_free(s.data);
    tw_free(s.owned);
    tw_free(map);
    tw_arena_destroy(a);
    return status;
}

/* ---- the runner ---- */

static int operations_in(const tw_graph *g)
{
    int count = 0;
    for (const tw_op *op = g->body->first; op; op = op->next)
        count += op->info->level != TW_LEVEL_STRUCTURE;
    return count;
}

static tw_status run_segment(const tw_graph *g, tw_segment_io *io, const char *reason)
{
    known *k = find(key_of(g, io));
    if (!k)
        return TW_ERR_MEMORY;
    stats.segments++;
    k->sights++;
    tw_tier t = tw_get_tier();
    if (t == TW_TIER_OPERATIONS || (t == TW_TIER_AUTO && k->sights == 1 && !k->executable && operations_in(g) > 1))
        return run_operations(g, io);
    if (!k->executable) {
        uint64_t start = tw_os_now_ns();
        tw_say(TW_LOG_GUARDS, "a segment of %d operations, ended by %s, is compiled: seen %d times", operations_in(g),
               reason, k->sights);
        TW_TRY(tw_compile_graph(g, io->in_place, io->stride, &k->executable));
        stats.compiled++;
        stats.compile_ns = tw_os_now_ns() - start;
    } else {
        stats.hits++;
    }
    last = k->executable;
    return run_executable(k->executable, io);
}

/* ---- compiled functions ---- */

static tw_prepared *prepare(const tw_graph *g, const tw_segment_io *io, const char *reason)
{
    known *k = find(key_of(g, io));
    if (!k) {
        tw_error(TW_ERR_MEMORY, "compile: out of memory");
        return NULL;
    }
    if (!k->executable) {
        uint64_t start = tw_os_now_ns();
        tw_say(TW_LOG_GUARDS, "a function of %d operations is compiled: %s", operations_in(g), reason);
        if (tw_compile_graph(g, io->in_place, io->stride, &k->executable) != TW_OK)
            return NULL;
        stats.compiled++;
        stats.compile_ns = tw_os_now_ns() - start;
    }
    return (tw_prepared *)k->executable;
}

static tw_status run_prepared(tw_prepared *plan, tw_segment_io *io)
{
    stats.hits++;
    return run_executable((tw_executable *)plan, io);
}

__attribute__((constructor)) void tw_library_init(void)
{
    for (size_t i = 0; i < TW_COUNT(passes); i++)
        tw_pass_register(&passes[i]);
    tw_segment_runner = run_segment;
    tw_segment_preparer = prepare;
    tw_prepared_runner = run_prepared;
}
