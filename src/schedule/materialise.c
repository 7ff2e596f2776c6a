/* Which values get memory. Everything else is recomputed where it is needed, element by element, inside the kernel of
 * its user.
 *
 * Stored: results of the graph; contractions, unless pointwise work on them can go on in the same kernel (epilogue) or
 * they belong to a panel; what a contraction reads, unless it is a plain view of memory or nearly free to recompute
 * while packing; what scatters and scans read and make; the longest branch of what would be made from more values than
 * a kernel can read. Reductions are computed by a kernel in any case; whether they
 * are also stored is known after grouping. */
#include "schedule/internal.h"

static const tw_value *under_views(const tw_value *v)
{
    while (v->def && is_view(v->def))
        v = v->def->operand[0];
    return v;
}

static void store(scheduler *s, const tw_value *v)
{
    value_facts *f = facts_of(s, v);
    f->stored = f->computed = true;
}

static const tw_op *open_dot(const scheduler *s, const tw_value *v)
{
    const value_facts *f = facts_of(s, v);
    return f->stored ? NULL : f->dot;
}

/* Stores what the contraction behind `v` made, so that nobody needs to compute it again. */
static void close_dot(scheduler *s, const tw_value *v)
{
    if (open_dot(s, v))
        store(s, under_views(v));
}

/* Is a contraction's operand read well: affine in each of its two indices? */
static tw_status readable(scheduler *s, const tw_value *v, bool *well)
{
    frame f = {.row = -1, .panel_column = -1};
    trace t;
    const tw_index *at[TW_MAX_RANK];
    int rank = v->type.rank;
    for (int i = 0; i < rank; i++)
        at[i] = tw_ix_var(s->arena, tw_frame_add(&f, (var){.kind = VAR_TILE, .extent = facts_of(s, v)->shape[i]}),
                          facts_of(s, v)->shape[i]);
    tw_trace_init(&t, s, &f, -1);
    tw_trace_value(&t, v, at, false);
    TW_TRY(t.status);
    *well = true;
    for (int i = 0; i < t.entries; i++)
        for (int d = rank - 2; t.entry[i].kind == TRACE_LOAD && d < rank; d++)
            tw_ix_coefficient(t.entry[i].linear, d, well);
    return TW_OK;
}

static tw_status prepare_dot_operand(scheduler *s, const tw_value *v)
{
    const value_facts *f = facts_of(s, v);
    if (f->panel)
        return TW_OK;
    close_dot(s, v);
    enum { NEARLY_FREE = 2 };
    const tw_value *root = under_views(v);
    if (!facts_of(s, root)->stored && (facts_of(s, root)->cost > NEARLY_FREE || is_heavy(root->def) ||
                                       facts_of(s, root)->class == TW_CLASS_JOIN || root->def->code == TW_G_PAD))
        store(s, root);
    bool well;
    TW_TRY(readable(s, v, &well));
    if (!well && !facts_of(s, root)->stored && !is_heavy(root->def)) {
        store(s, root);
        TW_TRY(readable(s, v, &well));
    }
    if (!well)
        store(s, v);
    return TW_OK;
}

/* A view that keeps every element and their order, and whose index map back to the contraction's result folds to the
 * plain variables that a contraction is pulled at: an epilogue goes on through it. */
static bool keeps_elements(const scheduler *s, const tw_op *op, const tw_op *dot)
{
    const value_facts *from = facts_of(s, &dot->result[0]), *to = facts_of(s, &op->result[0]);
    const tw_index *own[TW_MAX_RANK], *at[TW_MAX_RANK], *back[TW_MAX_RANK];
    int rank = dot->result[0].type.rank;
    int64_t row_major[2][TW_MAX_RANK], below[2] = {1, 1};
    if (op->code != TW_G_RESHAPE)
        return false;
    for (int i = rank - 1; i >= 0; i--) {
        own[i] = tw_ix_var(s->arena, i, from->shape[i]);
        row_major[0][i] = below[0];
        below[0] *= from->shape[i];
    }
    for (int i = op->result[0].type.rank - 1; i >= 0; i--) {
        row_major[1][i] = below[1];
        below[1] *= to->shape[i];
    }
    tw_ix_unravel(s->arena, tw_ix_linear(s->arena, rank, own, row_major[0]), op->result[0].type.rank, to->shape, at);
    tw_ix_unravel(s->arena, tw_ix_linear(s->arena, op->result[0].type.rank, at, row_major[1]), rank, from->shape, back);
    for (int i = 0; i < rank; i++)
        if (!tw_ix_equal(back[i], own[i]))
            return false;
    return true;
}

static int reads_of(const scheduler *s, const tw_value *x)
{
    x = under_views(x);
    const value_facts *f = facts_of(s, x);
    return f->stored || f->computed ? 1 : TW_MAX(f->reads, x->def->code == TW_G_INPUT);
}

/* The sum of very many values, say, is no chain without end: on the way its parts are stored. */
static void bound_reads(scheduler *s, const tw_op *op, value_facts *f)
{
    while (true) {
        const tw_value *most = NULL;
        f->reads = 0;
        for (uint32_t i = 0; i < read_operands(op); i++) {
            const tw_value *x = op->operand[i];
            f->reads += reads_of(s, x);
            if (!facts_of(s, x)->panel && (!most || reads_of(s, x) > reads_of(s, most)))
                most = x;
        }
        if (f->reads <= MOST_READS || !most || reads_of(s, most) <= 1)
            return;
        store(s, under_views(most));
    }
}

static tw_status visit_heavy(scheduler *s, const tw_op *op, value_facts *f)
{
    for (uint32_t i = 0; i < op->operands; i++) {
        if (f->class == TW_CLASS_CONTRACTION)
            TW_TRY(prepare_dot_operand(s, op->operand[i]));
        else if (!facts_of(s, op->operand[i])->panel)
            close_dot(s, op->operand[i]);
    }
    f->cost = 64;
    for (uint32_t i = 0; i < op->operands; i++)
        f->reads += reads_of(s, op->operand[i]);
    if (f->class == TW_CLASS_CONTRACTION) {
        f->dot = op;
        if (f->output || f->users != 1)
            store(s, &op->result[0]);
    } else {
        f->computed = true;
        if (f->class != TW_CLASS_REDUCTION)
            store(s, &op->result[0]);
    }
    return TW_OK;
}

/* A panel is recomputed wherever it is needed; what it is made from must be at hand. */
static tw_status visit_panel(scheduler *s, const tw_op *op, const value_facts *f)
{
    for (uint32_t i = 0; i < read_operands(op); i++) {
        if (f->class == TW_CLASS_CONTRACTION)
            TW_TRY(prepare_dot_operand(s, op->operand[i]));
        else if (op->operand[i] && !facts_of(s, op->operand[i])->panel)
            close_dot(s, op->operand[i]);
    }
    return TW_OK;
}

static void visit_pulled(scheduler *s, const tw_op *op, value_facts *f)
{
    const tw_op *dot = NULL;
    f->cost = op->info->cost;
    bound_reads(s, op, f);
    for (uint32_t i = 0; i < read_operands(op); i++) {
        const tw_value *x = op->operand[i];
        const tw_op *open = open_dot(s, x);
        bool one_to_one = op->info->class == TW_CLASS_POINTWISE ? facts_of(s, x)->count == f->count
                                                                : open && keeps_elements(s, op, open);
        if (open && (!one_to_one || (dot && dot != open))) {
            close_dot(s, x);
            open = NULL;
        }
        dot = open ? open : dot;
        f->cost += facts_of(s, x)->stored || facts_of(s, x)->computed ? 0 : facts_of(s, x)->cost;
    }
    f->dot = dot;
    if (dot && f->users != 1) {
        if (is_view(op))
            close_dot(s, op->operand[0]);
        else
            store(s, &op->result[0]);
    }
}

tw_status tw_schedule_materialise(scheduler *s)
{
    tw_for_each_op (op, s->g->body) {
        for (uint32_t i = 0; op->code == TW_G_OUTPUT && i < op->operands; i++)
            store(s, op->operand[i]);
        if (op->code == TW_G_INPUT || op->code == TW_G_OUTPUT)
            continue;
        value_facts *f = facts_of(s, &op->result[0]);
        if (f->panel || f->tainted)
            TW_TRY(visit_panel(s, op, f));
        else if (is_heavy(op))
            TW_TRY(visit_heavy(s, op, f));
        else
            visit_pulled(s, op, f);
        if (s->options.no_fusion && !is_view(op))
            store(s, &op->result[0]);
        if (f->output)
            store(s, &op->result[0]);
    }
    return TW_OK;
}

/* A value that several groups pull is stored instead when computing it again costs more than reading it. */
tw_status tw_schedule_store_shared(scheduler *s, bool *changed)
{
    int *pullers = tw_arena_zero(s->arena, s->values, sizeof *pullers);
    int *last = tw_arena_zero(s->arena, s->values, sizeof *last);
    if (!pullers || !last)
        return TW_ERR_MEMORY;
    for (int k = 0; k < s->group_count; k++) {
        for (int i = 0; i < s->groups[k]->values; i++) {
            frame f;
            trace t;
            const tw_index *at[TW_MAX_RANK];
            TW_TRY(tw_group_frame(s, s->groups[k], &f));
            TW_TRY(tw_group_at(s, s->groups[k], &f, s->groups[k]->value[i], at));
            tw_trace_init(&t, s, &f, k);
            tw_trace_value(&t, s->groups[k]->value[i], at, true);
            TW_TRY(t.status);
            for (int j = 0; j < t.entries; j++) {
                uint32_t id = t.entry[j].value ? t.entry[j].value->id : 0;
                if (t.entry[j].kind == TRACE_PULLED && last[id] != k + 1) {
                    last[id] = k + 1;
                    pullers[id]++;
                }
            }
        }
    }
    *changed = false;
    tw_for_each_op (op, s->g->body) {
        if (op->code == TW_G_OUTPUT || op->code == TW_G_INPUT)
            continue;
        value_facts *f = facts_of(s, &op->result[0]);
        if (f->stored || f->panel || f->tainted || is_heavy(op) || f->class != TW_CLASS_POINTWISE)
            continue;
        enum { WORTH_STORING = 12, WORTH_STORING_ROWS = 4 };
        double worth = WORTH_STORING;
        for (int u = 0; u < f->users; u++) /* a few values for many elements: cheap to keep */
            if (f->user[u]->results && facts_of(s, &f->user[u]->result[0])->count > 4 * f->count)
                worth = WORTH_STORING_ROWS;
        if (pullers[op->result[0].id] >= 2 && f->cost >= worth) {
            store(s, &op->result[0]);
            *changed = true;
        }
    }
    return TW_OK;
}
