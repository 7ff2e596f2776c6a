/* Runs a plan launch by launch and compares each with the reference evaluator.
 *
 * A kernel is judged on what it read, copied before it ran (it may write over it), and by the bounds that the reference
 * states for what it computes. What a launch reads must also be what another one wrote there, or what was given: that
 * finds a plan that gives memory away too early, which no kernel alone would show. And launches of one batch, which run
 * at the same time when nobody looks, must not touch what another one writes. */
#include "capture/check.h"

#include "ops/graph_ops.h"

tw_check_spoil *tw_check_spoiler;

bool tw_check_on(void)
{
    return tw_env_on("TW_CHECK");
}

/* ---- the graph of one launch ---- */

static bool add_inputs(tw_graph *to, const tw_plan *plan, const tw_plan_launch *l, tw_value **map)
{
    for (int j = 0; j < l->reads; j++) {
        const tw_plan_slot *slot = &plan->slot[l->slot[j]];
        if (!(map[slot->value] = tw_graph_input(to, slot->type)))
            return false;
    }
    return true;
}

static bool add_operations(tw_graph *to, const tw_plan *plan, const tw_plan_launch *l, tw_value **map)
{
    tw_arena *arena = tw_arena_create(0);
    const tw_op **definition = arena ? tw_plan_definitions(plan, arena) : NULL;
    bool fine = definition != NULL;
    for (int i = 0; i < l->insides && fine; i++) {
        const tw_op *op = definition[l->inside[i]];
        if (op && op->code == TW_G_AFTER && map[op->operand[0]->id]) { /* what it waits for is no part of the kernel */
            map[op->result[0].id] = map[op->operand[0]->id];
            continue;
        }
        for (uint32_t k = 0; op && k < op->operands && fine; k++)
            if (op->operand[k] && !map[op->operand[k]->id]) {
                tw_error(TW_ERR_INTERNAL, "check: %s needs %%%u, which the kernel neither reads nor computes",
                         op->info->name, op->operand[k]->id);
                fine = false;
            }
        fine = fine && op && tw_graph_clone_op(to, plan->graph, op, map);
    }
    tw_arena_destroy(arena);
    return fine;
}

static bool add_output(tw_graph *to, const tw_plan *plan, const tw_plan_launch *l, tw_value *const *map, bool all)
{
    int count = all ? l->insides : l->arguments - l->reads;
    tw_value **result = tw_alloc_zero((size_t)count + 1, sizeof *result);
    for (int i = 0; i < count && result; i++)
        result[i] = map[all ? l->inside[i] : plan->slot[l->slot[l->reads + i]].value];
    bool fine = result && tw_g_output(to, count, result);
    tw_free(result);
    return fine;
}

tw_graph *tw_launch_graph(const tw_plan *plan, int launch, bool all)
{
    const tw_plan_launch *l = &plan->launch[launch];
    tw_graph *to = tw_graph_create(plan->graph->table);
    tw_value **map = tw_alloc_zero(plan->graph->values + 1, sizeof *map);
    bool fine = to && map && add_inputs(to, plan, l, map) && add_operations(to, plan, l, map) &&
                add_output(to, plan, l, map, all);
    tw_free(map);
    if (fine)
        return to;
    tw_graph_destroy(to);
    return NULL;
}

/* ---- a run ---- */

typedef struct content { /* of a slot's memory, as it should be */
    bool known;
    tw_hash hash;
    const char *at; /* of the launch that last used it */
} content;

typedef struct checking {
    tw_executable *e;
    content *slot;
    tw_array *read; /* by argument of the launch that runs now */
} checking;

static tw_hash hash_of(const tw_array *a)
{
    return tw_hash_bytes(tw_key(7), a->data, a->bytes);
}

/* A slot's value in row-major order. */
static tw_status copy_value(const tw_plan_slot *slot, const char *at, tw_array *a)
{
    TW_TRY(tw_array_create((tw_dtype)slot->type.dtype, slot->type.rank, slot->type.dims, a));
    tw_copy_from_strides(a->data, at, a->rank, a->shape, slot->stride, tw_dtype_size(a->dtype));
    return TW_OK;
}

static tw_status note(checking *c, int number, const char *at)
{
    tw_array a;
    content *x = &c->slot[number];
    TW_TRY(copy_value(&c->e->plan->slot[number], at, &a));
    *x = (content){true, hash_of(&a), at};
    tw_array_free(&a);
    return TW_OK;
}

typedef struct range {
    const char *low, *high;
} range;

/* The memory of a value whose first element is `at`; strides may be negative. */
static range range_of(const tw_plan_slot *slot, const char *at)
{
    int64_t size = (int64_t)tw_dtype_size((tw_dtype)slot->type.dtype), low = 0, high = 1;
    for (int d = 0; d < slot->type.rank; d++) {
        int64_t span = slot->stride[d] * (slot->type.dims[d] - 1);
        if (slot->type.dims[d] == 0)
            return (range){at, at};
        *(span < 0 ? &low : &high) += span;
    }
    return (range){at + low * size, at + high * size};
}

/* Do two launches of one batch touch the same memory, one of them writing? */
static bool collide(const checking *c, const tw_plan_launch *a, const tw_plan_launch *b, void *const *buffers)
{
    const tw_plan *plan = c->e->plan;
    for (int i = 0; i < a->arguments; i++) {
        range x = range_of(&plan->slot[a->slot[i]], c->slot[a->slot[i]].at);
        for (int j = 0; j < b->arguments; j++) {
            range y = range_of(&plan->slot[b->slot[j]], buffers[j]);
            bool writes = i >= a->reads || j >= b->reads;
            if (writes && x.low < y.high && y.low < x.high)
                return true;
        }
    }
    return false;
}

static tw_status check_plan(const checking *c, int launch, void *const *buffers)
{
    const tw_plan *plan = c->e->plan;
    const tw_plan_launch *l = &plan->launch[launch];
    for (int k = launch - 1; k >= 0 && plan->launch[k].batch == l->batch; k--)
        if (collide(c, &plan->launch[k], l, buffers))
            return tw_error(TW_ERR_INTERNAL,
                            "check: launches %d (%s) and %d (%s) run at the same time, but one writes "
                            "memory that the other uses",
                            k, plan->kernel[plan->launch[k].kernel].name, launch, plan->kernel[l->kernel].name);
    for (int j = 0; j < l->reads; j++) {
        const content *x = &c->slot[l->slot[j]];
        if (c->read[j].bytes == 0) /* nothing computes an empty value */
            continue;
        if (!x->known || !tw_hash_equal(x->hash, hash_of(&c->read[j])))
            return tw_error(TW_ERR_INTERNAL, "check: launch %d (%s) reads %%%u, %s: a fault of the memory plan", launch,
                            plan->kernel[l->kernel].name, plan->slot[l->slot[j]].value,
                            x->known ? "but its memory was written to since" : "which nothing has written yet");
    }
    return TW_OK;
}

static tw_status before(checking *c, int launch, void *const *buffers)
{
    const tw_plan *plan = c->e->plan;
    const tw_plan_launch *l = &plan->launch[launch];
    for (int j = 0; j < l->reads; j++)
        TW_TRY(copy_value(&plan->slot[l->slot[j]], buffers[j], &c->read[j]));
    TW_TRY(check_plan(c, launch, buffers));
    for (int j = 0; j < l->arguments; j++)
        c->slot[l->slot[j]].at = buffers[j];
    return TW_OK;
}

static tw_status compare(checking *c, int launch, void *const *buffers, const tw_array *want, const tw_array *bound)
{
    const tw_plan *plan = c->e->plan;
    const tw_plan_launch *l = &plan->launch[launch];
    tw_status status = TW_OK;
    for (int i = 0; i < l->arguments - l->reads && status == TW_OK; i++) {
        int number = l->slot[l->reads + i];
        tw_text report = {0};
        tw_array got = {0};
        status = copy_value(&plan->slot[number], buffers[l->reads + i], &got);
        if (status == TW_OK && !tw_array_within(&got, &want[i], &bound[i], &report))
            status = tw_check_blame(&(tw_check_difference){plan, launch, c->read, i, tw_text_string(&report)});
        tw_text_free(&report);
        tw_array_free(&got);
        if (status == TW_OK)
            status = note(c, number, buffers[l->reads + i]);
    }
    return status;
}

static tw_status after(checking *c, int launch, void *const *buffers)
{
    const tw_plan *plan = c->e->plan;
    const tw_plan_launch *l = &plan->launch[launch];
    int written = l->arguments - l->reads;
    tw_array *want = tw_alloc_zero((size_t)written + 1, sizeof *want);
    tw_array *bound = tw_alloc_zero((size_t)written + 1, sizeof *bound);
    tw_graph *g = tw_launch_graph(plan, launch, false);
    tw_status status = want && bound && g ? TW_OK : tw_error_code();
    if (status == TW_OK)
        status = tw_reference_bounds(g, NULL, c->read, l->reads, want, bound, written);
    if (status == TW_OK && tw_check_spoiler)
        tw_check_spoiler(plan, launch, buffers);
    if (status == TW_OK)
        status = compare(c, launch, buffers, want, bound);
    if (status == TW_OK)
        tw_say(TW_LOG_CHECK, "launch %d, %s: %d operations, %d results within their bounds", launch,
               plan->kernel[l->kernel].name, l->insides, written);
    for (int i = 0; i < written; i++) {
        if (want)
            tw_array_free(&want[i]);
        if (bound)
            tw_array_free(&bound[i]);
    }
    for (int j = 0; j < l->reads; j++)
        tw_array_free(&c->read[j]);
    tw_free(want);
    tw_free(bound);
    tw_graph_destroy(g);
    return status;
}

static tw_status look(void *user, int launch, void *const *buffers, bool done)
{
    return done ? after(user, launch, buffers) : before(user, launch, buffers);
}

static tw_status note_inputs(checking *c, void *const *inputs)
{
    for (int i = 0; i < c->e->plan->slots; i++) {
        const tw_plan_slot *slot = &c->e->plan->slot[i];
        if (slot->kind == TW_SLOT_INPUT && slot->last >= 0)
            TW_TRY(note(c, i, inputs[slot->index]));
    }
    return TW_OK;
}

tw_status tw_checked_execute(tw_executable *e, void *const *inputs, void *const *outputs)
{
    int most = 0;
    if (!tw_check_on())
        return tw_execute(e, inputs, outputs);
    for (int l = 0; l < e->plan->launches; l++)
        most = TW_MAX(most, e->plan->launch[l].reads);
    checking c = {e, tw_alloc_zero((size_t)e->plan->slots + 1, sizeof *c.slot),
                  tw_alloc_zero((size_t)most + 1, sizeof *c.read)};
    tw_status status = c.slot && c.read ? note_inputs(&c, inputs) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_execute_watched(e, inputs, outputs, &(tw_launch_watcher){look, &c});
    for (int j = 0; c.read && j < most; j++)
        tw_array_free(&c.read[j]);
    tw_free(c.slot);
    tw_free(c.read);
    return status;
}
