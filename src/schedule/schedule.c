/* The scheduler's entry: facts, panels, what is stored, groups, programs, memory. See README.md. */
#include "schedule/internal.h"

const char *tw_kernel_kind_name(tw_kernel_kind kind)
{
    static const char *const names[TW_KINDS] = {"matrix products", "attention", "normalisation and softmax",
                                                "pointwise", "other"};
    return (unsigned)kind < TW_KINDS ? names[kind] : "unknown";
}

void tw_plan_destroy(tw_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->kernels; i++)
        tw_graph_destroy(plan->kernel[i].program);
    tw_graph_destroy(plan->graph);
    tw_arena_destroy(plan->arena);
}

static tw_plan *create_plan(const tw_graph *g)
{
    tw_arena *arena = tw_arena_create(0);
    tw_plan *plan = arena ? tw_arena_zero(arena, 1, sizeof *plan) : NULL;
    if (!plan) {
        tw_arena_destroy(arena);
        return NULL;
    }
    plan->arena = arena;
    plan->graph = tw_graph_clone(g);
    if (plan->graph)
        return plan;
    tw_plan_destroy(plan);
    return NULL;
}

/* Equal programs are one kernel. */
static int known_kernel(const tw_plan *plan, tw_hash hash)
{
    for (int i = 0; i < plan->kernels; i++)
        if (tw_hash_equal(plan->kernel[i].hash, hash))
            return i;
    return -1;
}

static tw_status emit_all(scheduler *s, tw_plan *plan, const int *order)
{
    plan->kernel = tw_arena_zero(plan->arena, (size_t)s->group_count + 1, sizeof *plan->kernel);
    plan->launch = tw_arena_zero(plan->arena, (size_t)s->group_count + 1, sizeof *plan->launch);
    if (!plan->kernel || !plan->launch)
        return TW_ERR_MEMORY;
    for (int i = 0; i < s->group_count; i++) {
        tw_plan_kernel kernel = {0};
        tw_status status = tw_schedule_emit(s, order[i], plan, &kernel, &plan->launch[plan->launches]);
        int known = status == TW_OK ? known_kernel(plan, kernel.hash) : -1;
        if (status != TW_OK || known >= 0)
            tw_graph_destroy(kernel.program);
        if (status != TW_OK)
            return status;
        if (known < 0) {
            known = plan->kernels++;
            plan->kernel[known] = kernel;
            if (tw_log_on(TW_LOG_TILE)) {
                tw_text text = {0};
                tw_graph_print(kernel.program, &text);
                tw_say(TW_LOG_TILE, "%s", tw_text_string(&text));
                tw_text_free(&text);
            }
        }
        plan->launch[plan->launches++].kernel = known;
    }
    return TW_OK;
}

static tw_status schedule(scheduler *s, tw_plan *plan, bool panels)
{
    TW_TRY(tw_schedule_facts(s));
    if (panels)
        TW_TRY(tw_schedule_panels(s));
    TW_TRY(tw_schedule_materialise(s));
    TW_TRY(tw_schedule_group(s));
    int *order = tw_arena_alloc(s->arena, ((size_t)s->group_count + 1) * sizeof *order);
    if (!order)
        return TW_ERR_MEMORY;
    TW_TRY(tw_schedule_order(s, order));
    TW_TRY(emit_all(s, plan, order));
    return tw_schedule_memory(s, plan, order);
}

tw_status tw_schedule(const tw_graph *g, const tw_schedule_options *options, tw_plan **result)
{
    tw_status status = TW_ERR_MEMORY;
    *result = NULL;
    for (int attempt = 0; attempt < 2; attempt++) { /* a panel that emission can't express is given up, not an error */
        tw_plan *plan = create_plan(g);
        tw_arena *arena = tw_arena_create(1 << 18);
        if (plan && arena) {
            scheduler s = {.arena = arena, .g = plan->graph, .options = *options};
            status = schedule(&s, plan, attempt == 0);
        }
        tw_arena_destroy(arena);
        if (status == TW_OK) {
            *result = plan;
            break;
        }
        tw_plan_destroy(plan);
        if (status != TW_ERR_INTERNAL)
            break;
        tw_say(TW_LOG_FUSION, "no panels: %s", tw_error_message());
    }
    if (status == TW_OK && tw_log_on(TW_LOG_FUSION)) {
        const tw_plan *plan = *result;
        for (int i = 0; i < plan->boundaries; i++)
            tw_say(TW_LOG_FUSION, "%%%u crosses memory from launch %d to %d: %s", plan->boundary[i].value,
                   plan->boundary[i].from, plan->boundary[i].to, plan->boundary[i].reason);
    }
    if (status == TW_OK && tw_log_on(TW_LOG_PLAN)) {
        tw_text text = {0};
        tw_plan_print(*result, &text);
        tw_say(TW_LOG_PLAN, "%s", tw_text_string(&text));
        tw_text_free(&text);
    }
    return status;
}

const tw_op **tw_plan_definitions(const tw_plan *plan, tw_arena *arena)
{
    const tw_op **def = tw_arena_zero(arena, plan->graph->values + 1, sizeof *def);
    tw_for_each_op (op, plan->graph->body)
        for (uint32_t i = 0; def && i < op->results; i++)
            def[op->result[i].id] = op;
    return def;
}

void tw_plan_print(const tw_plan *plan, tw_text *out)
{
    static const char *const slot_kinds[] = {"input", "output", "temporary"};
    tw_text_add(
        out, "plan: %d launches in %d batches, %d kernels, %lld bytes of temporaries (%lld operation by operation)\n",
        plan->launches, plan->batches, plan->kernels, (long long)plan->arena_bytes,
        (long long)plan->peak_bytes_separate);
    for (int i = 0; i < plan->launches; i++) {
        const tw_plan_launch *l = &plan->launch[i];
        tw_text_add(out, "  batch %d: %s x %lld (kernel %d)", l->batch, plan->kernel[l->kernel].name,
                    (long long)l->grid[0], l->kernel);
        for (int j = 0; j < l->arguments; j++) {
            const tw_plan_slot *slot = &plan->slot[l->slot[j]];
            tw_text_add(out, " %s%d", slot_kinds[slot->kind],
                        slot->kind == TW_SLOT_TEMPORARY ? l->slot[j] : slot->index);
        }
        tw_text_add(out, "\n      %s\n", plan->kernel[l->kernel].contents);
    }
}
