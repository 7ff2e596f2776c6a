/* From a plan to what is said about it. */
#include "explain/explain.h"
#include "ops/graph_ops.h"

const char *explained_limit_name(explained_limit limit)
{
    static const char *const names[LIMITS] = {"compute", "memory", "launch"};
    return names[limit];
}

double explain_plan_ns(const explained_plan *p)
{
    double ns = 0;
    for (int l = 0; l < p->launches; l++)
        ns += p->launch[l].ns;
    return ns;
}

/* ---- text ---- */

static const char *value_text(tw_arena *arena, const tw_graph *g, uint32_t id, const tw_type *type)
{
    tw_text text = {0};
    tw_text_add(&text, "%%%u ", id);
    tw_type_print(g, type, &text);
    const char *copy = text.failed ? NULL : tw_arena_text(arena, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return copy;
}

static const char *operation_text(tw_arena *arena, const tw_graph *g, const tw_op *op)
{
    tw_text text = {0};
    tw_op_print(g, op, 0, &text);
    const char *line = tw_text_string(&text);
    const char *copy = text.failed ? NULL : tw_arena_text(arena, "%.*s", (int)strcspn(line, "\n"), line);
    tw_text_free(&text);
    return copy;
}

/* "dot, add, mul x3": what computes, in order of first appearance; views and constants go without saying, unless there
 * is nothing else. */
static const char *summary_of(tw_arena *arena, const tw_op *const *op, int count)
{
    tw_text text = {0};
    for (int views = 0; views < 2 && !text.count; views++) {
        for (int i = 0; i < count; i++) {
            tw_class class = op[i]->info->class;
            bool first = true;
            int times = 0;
            if (!views && (class == TW_CLASS_VIEW || class == TW_CLASS_CREATION))
                continue;
            for (int k = 0; k < count; k++) {
                times += op[k]->code == op[i]->code;
                first = first && (k >= i || op[k]->code != op[i]->code);
            }
            if (first)
                tw_text_add(&text, "%s%s", text.count ? ", " : "", op[i]->info->name);
            if (first && times > 1)
                tw_text_add(&text, " x%d", times);
        }
    }
    const char *copy = text.failed ? NULL : tw_arena_text(arena, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return copy;
}

/* ---- launches ---- */

static bool adopt_inside(tw_arena *arena, const tw_plan *plan, const tw_op *const *definition,
                         const tw_plan_launch *from, explained_launch *l)
{
    const tw_op **op = tw_arena_alloc(arena, ((size_t)from->insides + 1) * sizeof *op);
    l->inside = tw_arena_alloc(arena, ((size_t)from->insides + 1) * sizeof *l->inside);
    l->insides = from->insides;
    if (!op || !l->inside)
        return false;
    for (int i = 0; i < from->insides; i++) {
        op[i] = definition[from->inside[i]];
        if (!(l->inside[i] = operation_text(arena, plan->graph, op[i])))
            return false;
    }
    l->summary = summary_of(arena, op, from->insides);
    return l->summary != NULL && tw_flops_of(op, from->insides, arena, l->flops_of) >= 0;
}

static bool adopt_launches(tw_arena *arena, const tw_plan *plan, const tw_op *const *definition, explained_plan *p)
{
    p->launch = tw_arena_zero(arena, (size_t)plan->launches + 1, sizeof *p->launch);
    for (int i = 0; p->launch && i < plan->launches; i++) {
        const tw_plan_launch *from = &plan->launch[i];
        const tw_plan_kernel *kernel = &plan->kernel[from->kernel];
        explained_launch *l = &p->launch[p->launches++];
        *l = (explained_launch){.kernel = from->kernel,
                                .batch = from->batch,
                                .kind = kernel->kind,
                                .name = tw_arena_text(arena, "%s", kernel->name),
                                .programs = from->grid[0] * from->grid[1] * from->grid[2],
                                .flops = from->flops,
                                .bytes_read = from->bytes_read,
                                .bytes_written = from->bytes - from->bytes_read};
        if (!l->name || !adopt_inside(arena, plan, definition, from, l))
            return false;
    }
    return p->launch != NULL;
}

static int64_t bytes_of(const tw_type *t)
{
    int64_t bytes = (int64_t)tw_dtype_size((tw_dtype)t->dtype);
    for (int i = 0; i < t->rank; i++)
        bytes *= t->dims[i];
    return bytes;
}

static bool adopt_edges(tw_arena *arena, const tw_plan *plan, const tw_op *const *definition, explained_plan *p)
{
    p->edge = tw_arena_zero(arena, (size_t)plan->boundaries + 1, sizeof *p->edge);
    for (int i = 0; p->edge && i < plan->boundaries; i++) {
        const tw_plan_boundary *b = &plan->boundary[i];
        const tw_type *type = &definition[b->value]->result[0].type;
        explained_edge *edge = &p->edge[p->edges++];
        *edge = (explained_edge){b->from, b->to, value_text(arena, plan->graph, b->value, type),
                                 tw_arena_text(arena, "%s", b->reason), bytes_of(type)};
        if (!edge->value || !edge->reason)
            return false;
    }
    return p->edge != NULL;
}

/* ---- memory ---- */

static bool adopt_memory(tw_arena *arena, const tw_executable *e, const tw_segment_io *io, explained_plan *p)
{
    const tw_plan *plan = e->plan;
    p->temporary = tw_arena_zero(arena, (size_t)plan->slots + 1, sizeof *p->temporary);
    p->arena_bytes = plan->arena_bytes;
    p->scratch_bytes = tw_execute_scratch(e);
    for (int i = 0; p->temporary && i < plan->slots; i++) {
        const tw_plan_slot *slot = &plan->slot[i];
        bool renews = slot->kind == TW_SLOT_OUTPUT && io->in_place && io->in_place[slot->index] >= 0;
        p->input_bytes += slot->kind == TW_SLOT_INPUT ? slot->bytes : 0;
        p->output_bytes += slot->kind == TW_SLOT_OUTPUT && slot->alias_input < 0 ? slot->bytes : 0;
        p->renewed += renews;
        p->renewed_bytes += renews ? slot->bytes : 0;
        p->in_place += renews && slot->alias_input >= 0;
        p->in_place_bytes += renews && slot->alias_input >= 0 ? slot->bytes : 0;
        if (slot->kind != TW_SLOT_TEMPORARY || slot->last < 0)
            continue;
        explained_temporary *t = &p->temporary[p->temporaries++];
        *t = (explained_temporary){slot->first, slot->last, slot->offset, slot->bytes,
                                   value_text(arena, plan->graph, slot->value, &slot->type)};
        p->temporary_bytes += slot->bytes;
        if (!t->value)
            return false;
    }
    return p->temporary != NULL;
}

explained_plan *explain_adopt(tw_explanation *e, const tw_segment_run *run)
{
    const tw_plan *plan = run->executable->plan;
    tw_arena *temporary = tw_arena_create(0);
    const tw_op **definition = temporary ? tw_plan_definitions(plan, temporary) : NULL;
    explained_plan *p = tw_arena_zero(e->arena, 1, sizeof *p);
    bool fine = definition && p;
    if (fine) {
        *p = (explained_plan){.executable = run->executable, .kernels = plan->kernels, .batches = plan->batches};
        fine = adopt_launches(e->arena, plan, definition, p) && adopt_edges(e->arena, plan, definition, p) &&
               adopt_memory(e->arena, run->executable, run->io, p);
    }
    for (int i = 0; fine && i < MOST_SAMPLES; i++)
        fine = (p->sample[i] = tw_arena_zero(e->arena, (size_t)p->launches + 1, sizeof **p->sample)) != NULL;
    tw_arena_destroy(temporary);
    return fine && tw_vec_push(&e->plans, p) ? p : NULL;
}

/* Every result lives from its operation to its last use; those that have a place of their own are there before. The
 * same as run_operations in capture.c does. */
int64_t explain_separate_bytes(const tw_graph *g, const tw_segment_io *io)
{
    tw_arena *arena = tw_arena_create(0);
    uint32_t *uses = arena ? tw_graph_use_counts(g, arena) : NULL;
    bool *owned = arena ? tw_arena_zero(arena, g->values + 1, sizeof *owned) : NULL;
    int64_t alive = 0, most = 0;
    const tw_op *output = g->body->last;
    tw_for_each_op (op, g->body) {
        if (!uses || !owned || op->code == TW_G_INPUT || op->code == TW_G_OUTPUT || !uses[op->result[0].id])
            continue;
        owned[op->result[0].id] = true;
        for (uint32_t i = 0; i < output->operands; i++)
            if (output->operand[i] == &op->result[0] && io->output[i])
                owned[op->result[0].id] = false;
        alive += owned[op->result[0].id] ? bytes_of(&op->result[0].type) : 0;
        most = TW_MAX(most, alive);
        for (uint32_t i = 0; i < op->operands; i++) {
            const tw_value *v = op->operand[i];
            if (!v || --uses[v->id] > 0 || !owned[v->id])
                continue;
            alive -= bytes_of(&v->type);
            owned[v->id] = false;
        }
    }
    tw_arena_destroy(arena);
    return uses && owned ? most : -1;
}

/* ---- the roof ---- */

static void apply_to_launch(const tw_limits *limits, int threads, explained_launch *l)
{
    double bandwidth = tw_limits_bandwidth(limits, l->bytes_read + l->bytes_written);
    l->limit_ns[LIMIT_COMPUTE] = 0;
    for (int d = 0; d < TW_TENSOR_DTYPES; d++)
        l->limit_ns[LIMIT_COMPUTE] += (double)l->flops_of[d] / limits->operations_per_ns[d];
    l->limit_ns[LIMIT_MEMORY] = (double)(l->bytes_read + l->bytes_written) / bandwidth;
    l->limit_ns[LIMIT_LAUNCH] = threads > 1 ? limits->barrier_ns : 0;
    l->bound = LIMIT_COMPUTE;
    for (int i = 0; i < LIMITS; i++)
        if (l->limit_ns[i] > l->limit_ns[l->bound])
            l->bound = (explained_limit)i;
}

void explain_apply_limits(tw_explanation *e)
{
    for (size_t i = 0; i < e->plans.count; i++)
        for (int l = 0; l < e->plans.data[i]->launches; l++)
            apply_to_launch(&e->limits, e->plans.data[i]->threads, &e->plans.data[i]->launch[l]);
}
