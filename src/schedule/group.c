/* Groups: which computed values share a kernel.
 *
 * Values are taken in order. Each has an iteration space of its own: rows of a reduction, columns, the elements of a
 * contraction, a panel, or just its elements. It joins an earlier group when the spaces agree, when everything it needs
 * from inside the group is needed at the very element that the group's iteration computes (the index expressions are
 * compared), and when no other group would then both need and be needed by the joint one. So softmax and layer norm
 * come out as one kernel from their primitives, whoever wrote them, and the three results of an AdamW update share one
 * loop. */
#include "schedule/internal.h"

/* ---- iteration spaces ---- */

static const tw_op *dot_of(const scheduler *s, const tw_value *v)
{
    return facts_of(s, v)->dot;
}

static void space_of(const scheduler *s, const tw_value *v, group *k)
{
    const value_facts *f = facts_of(s, v);
    const tw_op *dot = f->class == TW_CLASS_CONTRACTION ? f->op : dot_of(s, v);
    *k = (group){.a = f->count, .r = 1, .b = 1};
    if (f->class == TW_CLASS_REDUCTION) {
        bool keepdim;
        int varies = tw_schedule_axis_varies(facts_of(s, f->op->operand[0]), tw_schedule_reduced_axis(f->op, &keepdim));
        tw_schedule_reduction_form(s, f->op, &k->a, &k->r, &k->b);
        k->a_varies = varies & VARIES_A;
        k->r_varies = varies & VARIES_R;
        k->b_varies = varies & VARIES_B;
        k->kind = k->r == 0 ? GROUP_FLAT : k->b == 1 ? GROUP_ROWS : GROUP_COLUMNS;
    } else if (f->class == TW_CLASS_SCAN || (f->class == TW_CLASS_SCATTER && is_heavy(f->op))) {
        k->kind = f->class == TW_CLASS_SCAN ? GROUP_SCAN : GROUP_SCATTER;
    } else if (dot) {
        const value_facts *d = facts_of(s, &dot->result[0]);
        int rank = dot->result[0].type.rank;
        k->kind = d->terminal ? GROUP_PANEL : GROUP_DOT;
        k->dot = dot;
        k->a = 1;
        for (int i = 0; i < rank - 2; i++) {
            k->a *= d->shape[i];
            k->a_varies |= dim_varies(d, i);
        }
    }
    if (k->kind != GROUP_FLAT)
        return;
    for (int i = 0; i < v->type.rank; i++) {
        if (f->shape[i] == 1)
            continue;
        k->dim_varies[k->dims] = dim_varies(f, i);
        k->dim[k->dims++] = f->shape[i];
    }
    k->a = f->count;
}

static int64_t side(const scheduler *s, const tw_op *dot, int from_end)
{
    return facts_of(s, &dot->result[0])->shape[dot->result[0].type.rank - from_end];
}

static bool side_varies(const scheduler *s, const tw_op *dot, int from_end)
{
    return dim_varies(facts_of(s, &dot->result[0]), dot->result[0].type.rank - from_end);
}

/* A variable that runs over the rows (2 from the end) or columns (1) of a contraction's result. */
static var side_var(const scheduler *s, const tw_op *dot, int from_end)
{
    return (var){.kind = VAR_TILE, .extent = side(s, dot, from_end), .varies = side_varies(s, dot, from_end)};
}

/* The contraction that a panel group's panel starts from. */
static const tw_op *panel_start(const scheduler *s, const tw_op *terminal)
{
    return s->facts[facts_of(s, tw_schedule_panel_operand(s, terminal))->region].op;
}

tw_status tw_group_frame(scheduler *s, const group *k, frame *f)
{
    *f = (frame){.row = -1, .panel_column = -1};
    var v;
    switch (k->kind) {
    case GROUP_FLAT:
        for (int i = 0; i < k->dims; i++)
            tw_frame_add(f, (var){.kind = VAR_GRID, .extent = k->dim[i], .varies = k->dim_varies[i]});
        return TW_OK;
    case GROUP_ROWS:
        tw_frame_add(f, (var){.kind = VAR_GRID, .extent = k->a, .varies = k->a_varies});
        tw_frame_add(f, (var){.kind = VAR_TILE, .role = ROLE_INNER, .extent = k->r, .varies = k->r_varies});
        return TW_OK;
    case GROUP_COLUMNS:
        tw_frame_add(f, (var){.kind = VAR_GRID, .extent = k->a, .varies = k->a_varies});
        tw_frame_add(f, (var){.kind = VAR_TILE, .role = ROLE_INNER, .extent = k->r, .varies = k->r_varies});
        tw_frame_add(f, (var){.kind = VAR_TILE, .extent = k->b, .varies = k->b_varies});
        return TW_OK;
    case GROUP_DOT:
        tw_frame_add(f, (var){.kind = VAR_GRID, .extent = k->a, .varies = k->a_varies});
        tw_frame_add(f, side_var(s, k->dot, 2));
        tw_frame_add(f, side_var(s, k->dot, 1));
        return TW_OK;
    case GROUP_PANEL:
        tw_frame_add(f, (var){.kind = VAR_GRID, .extent = k->a, .varies = k->a_varies});
        v = side_var(s, panel_start(s, k->dot), 2);
        v.role = ROLE_ROW;
        f->row = tw_frame_add(f, v);
        v = side_var(s, panel_start(s, k->dot), 1);
        v.role = ROLE_PANEL_COLUMN;
        f->panel_column = tw_frame_add(f, v);
        return TW_OK;
    case GROUP_SCAN:
    case GROUP_SCATTER:
        return TW_OK; /* laid out by their kernels */
    }
    return TW_OK;
}

static const tw_index *frame_var(scheduler *s, const frame *f, int v)
{
    return tw_ix_var(s->arena, v, f->var[v].extent);
}

/* Row-major number of the element of a contraction's result that a program computes. */
static const tw_index *dot_linear(scheduler *s, const group *k, frame *f, const tw_op *dot)
{
    tw_arena *a = s->arena;
    int row = 1, column = 2;
    if (k->kind == GROUP_PANEL) {
        const value_facts *left = facts_of(s, dot->operand[0]), *right = facts_of(s, dot->operand[1]);
        row = left->panel ? (left->transposed ? f->panel_column : f->row)
                          : tw_frame_inner(f, side(s, dot, 2), side_varies(s, dot, 2), 0, NULL, -1);
        column = right->panel ? (right->transposed ? f->row : f->panel_column)
                              : tw_frame_inner(f, side(s, dot, 1), side_varies(s, dot, 1), 0, NULL, -1);
        if (row < 0 || column < 0)
            return NULL;
    }
    const tw_index *x = tw_ix_scale(a, frame_var(s, f, 0), side(s, dot, 2));
    x = tw_ix_scale(a, tw_ix_add(a, x, frame_var(s, f, row)), side(s, dot, 1));
    return tw_ix_add(a, x, frame_var(s, f, column));
}

tw_status tw_group_at(scheduler *s, const group *k, frame *f, const tw_value *v, const tw_index **at)
{
    const value_facts *facts = facts_of(s, v);
    tw_arena *a = s->arena;
    const tw_index *linear = tw_ix_constant(a, 0);
    switch (k->kind) {
    case GROUP_FLAT:
        for (int i = 0; i < k->dims; i++)
            linear = tw_ix_add(a, tw_ix_scale(a, linear, k->dim[i]), frame_var(s, f, i));
        break;
    case GROUP_ROWS:
        linear = frame_var(s, f, 0);
        if (facts->class != TW_CLASS_REDUCTION && facts->count == k->a * k->r)
            linear = tw_ix_add(a, tw_ix_scale(a, linear, k->r), frame_var(s, f, 1));
        break;
    case GROUP_COLUMNS:
        linear = tw_ix_add(a, tw_ix_scale(a, frame_var(s, f, 0), k->b), frame_var(s, f, 2));
        break;
    case GROUP_DOT:
        linear = dot_linear(s, k, f, k->dot);
        break;
    case GROUP_PANEL:
        linear = dot_linear(s, k, f, facts->class == TW_CLASS_CONTRACTION ? facts->op : facts->dot);
        break;
    case GROUP_SCAN:
    case GROUP_SCATTER:
        break;
    }
    if (!linear)
        return TW_ERR_MEMORY;
    tw_ix_unravel(a, linear, v->type.rank, facts->shape, at);
    for (int i = 0; i < v->type.rank; i++)
        if (!at[i])
            return TW_ERR_MEMORY;
    return TW_OK;
}

/* ---- which group needs which ---- */

static uint64_t *row(const scheduler *s, int k)
{
    return s->after + (size_t)k * (size_t)s->words;
}

static bool needs(const scheduler *s, int k, int other)
{
    return row(s, k)[other / 64] >> (other % 64) & 1;
}

/* Group k needs group d from now on, and so does whoever needs k. */
static void add_need(scheduler *s, int k, int d)
{
    if (k == d || needs(s, k, d))
        return;
    for (int i = 0; i < s->group_count; i++) {
        if (i != k && !needs(s, i, k))
            continue;
        for (int w = 0; w < s->words; w++)
            row(s, i)[w] |= row(s, d)[w];
        row(s, i)[d / 64] |= (uint64_t)1 << (d % 64);
    }
}

/* ---- joining ---- */

static bool spaces_agree(const group *k, const group *v, int64_t count)
{
    switch (v->kind) {
    case GROUP_FLAT:
        switch (k->kind) {
        case GROUP_FLAT:
            return k->a == count;
        case GROUP_ROWS:
            return count == k->a * k->r || count == k->a;
        case GROUP_COLUMNS:
            return count == k->a * k->b;
        default:
            return true; /* contractions: the index expressions decide */
        }
    case GROUP_ROWS:
        return (k->kind == GROUP_ROWS && k->a == v->a && k->r == v->r) ||
               (k->kind == GROUP_FLAT && k->a == v->a * v->r);
    case GROUP_COLUMNS:
        return k->kind == GROUP_COLUMNS && k->a == v->a && k->r == v->r && k->b == v->b;
    case GROUP_DOT:
        return k->kind == GROUP_DOT && k->dot == v->dot;
    case GROUP_PANEL:
        return k->kind == GROUP_PANEL && k->a == v->a;
    default:
        return false;
    }
}

static bool same_panel(const scheduler *s, const group *k, const group *v)
{
    return facts_of(s, tw_schedule_panel_operand(s, k->dot))->region ==
           facts_of(s, tw_schedule_panel_operand(s, v->dot))->region;
}

/* What can be said before anything is traced; JOINED: nothing speaks against it. */
static refusal_reason cannot_share(const scheduler *s, const group *k, const group *space, int64_t count)
{
    if (k->values == MOST_OUTPUTS)
        return NOT_ROOM;
    if (space->kind == GROUP_SCAN || space->kind == GROUP_SCATTER || k->kind == GROUP_SCAN || k->kind == GROUP_SCATTER)
        return NOT_ALONE;
    if (!spaces_agree(k, space, count))
        return NOT_SPACE;
    return space->kind == GROUP_PANEL && !same_panel(s, k, space) ? NOT_PANEL : JOINED;
}

/* Everything that comes from inside group `at` must be the element computed there. */
static tw_status own_elements_match(scheduler *s, const group *k, frame *f, const trace *t, bool *match, bool *any)
{
    *any = false;
    for (int i = 0; i < t->entries; i++) {
        const trace_entry *e = &t->entry[i];
        const tw_index *at[TW_MAX_RANK];
        if (e->kind != TRACE_OWN)
            continue;
        *any = true;
        TW_TRY(tw_group_at(s, k, f, e->value, at));
        for (int d = 0; d < e->value->type.rank; d++)
            *match = *match && tw_ix_equal(at[d], e->at[d]);
    }
    return TW_OK;
}

static bool closes_cycle(const scheduler *s, int k, const trace *t)
{
    for (int i = 0; i < t->entries; i++) {
        bool waits = t->entry[i].kind == TRACE_LOAD || t->entry[i].kind == TRACE_WAIT;
        int d = waits ? facts_of(s, t->entry[i].value)->group : -1;
        if (d >= 0 && d != k && needs(s, d, k))
            return true;
    }
    return false;
}

static tw_status trace_in(scheduler *s, const group *k, int number, const tw_value *v, frame *f, trace *t)
{
    const tw_index *at[TW_MAX_RANK];
    TW_TRY(tw_group_frame(s, k, f));
    TW_TRY(tw_group_at(s, k, f, v, at));
    tw_trace_init(t, s, f, number);
    tw_trace_value(t, v, at, true);
    return t->status;
}

static void note_loads(scheduler *s, int number, const trace *t)
{
    for (int i = 0; i < t->entries; i++) {
        const tw_value *v = t->entry[i].value;
        if ((t->entry[i].kind != TRACE_LOAD && t->entry[i].kind != TRACE_WAIT) || facts_of(s, v)->group < 0)
            continue;
        add_need(s, number, facts_of(s, v)->group);
        if (facts_of(s, v)->group != number)
            s->groups[number]->ready = TW_MAX(s->groups[number]->ready, facts_of(s, v)->place);
    }
}

/* What `t` loads, beside what the group loads already. */
static bool add_loads(group *k, const trace *t)
{
    for (int i = 0; i < t->entries; i++) {
        bool known = t->entry[i].kind != TRACE_LOAD;
        for (int j = 0; j < k->loads && !known; j++)
            known = k->load[j] == t->entry[i].value;
        if (known)
            continue;
        if (k->loads == MOST_LOADS)
            return false;
        k->load[k->loads++] = t->entry[i].value;
    }
    return true;
}

/* Would `v`, whose own space is `space`, fit into group number k? On success the group's space is widened where needed.
 */
static tw_status try_join(scheduler *s, int number, const tw_value *v, const group *space, refusal_reason *why)
{
    group *k = s->groups[number], wide = *k;
    const value_facts *f = facts_of(s, v);
    frame variables;
    trace t;
    *why = cannot_share(s, k, space, f->count);
    if (*why != JOINED)
        return TW_OK;
    if (space->kind == GROUP_ROWS && k->kind == GROUP_FLAT) {
        wide.kind = GROUP_ROWS;
        wide.a = space->a;
        wide.r = space->r;
        wide.a_varies = space->a_varies;
        wide.r_varies = space->r_varies;
    }
    bool contraction = k->kind == GROUP_DOT || k->kind == GROUP_PANEL;
    *why = NOT_EPILOGUE;
    if (contraction && space->kind == GROUP_FLAT && f->count != facts_of(s, &k->dot->result[0])->count)
        return TW_OK;
    if (k->kind == GROUP_PANEL && space->kind == GROUP_FLAT)
        return TW_OK; /* further work on a terminal's result joins as its epilogue or not at all */
    TW_TRY(trace_in(s, &wide, number, v, &variables, &t));
    bool match = true, any;
    TW_TRY(own_elements_match(s, &wide, &variables, &t, &match, &any));
    bool unrelated = !any && (contraction || k->kind == GROUP_COLUMNS) && space->kind == GROUP_FLAT;
    *why = !match ? NOT_ELEMENT : closes_cycle(s, number, &t) ? NOT_CIRCLE : unrelated ? NOT_RELATED : JOINED;
    if (*why == JOINED && !add_loads(&wide, &t))
        *why = NOT_ROOM;
    if (*why != JOINED)
        return TW_OK;
    *k = wide;
    k->value[k->values++] = v;
    facts_of(s, v)->group = number;
    note_loads(s, number, &t);
    return TW_OK;
}

static tw_status note_refusal(scheduler *s, const tw_value *v, int number, refusal_reason why)
{
    if (s->refusal_count == s->refusal_room) {
        int room = TW_MAX(64, 2 * s->refusal_room);
        refusal *grown = tw_arena_alloc(s->arena, (size_t)room * sizeof *grown);
        if (!grown)
            return TW_ERR_MEMORY;
        if (s->refusal_count)
            memcpy(grown, s->refusals, (size_t)s->refusal_count * sizeof *grown);
        s->refusals = grown;
        s->refusal_room = room;
    }
    s->refusals[s->refusal_count++] = (refusal){v, number, why};
    return TW_OK;
}

static tw_status open_group(scheduler *s, const tw_value *v, const group *space, const trace *t)
{
    group *k = tw_arena_copy(s->arena, space, sizeof *space);
    if (!k || !(k->load = tw_arena_alloc(s->arena, MOST_LOADS * sizeof(tw_value *))))
        return TW_ERR_MEMORY;
    if (!add_loads(k, t))
        return tw_error(TW_ERR_INTERNAL, "schedule: %s reads more than %d values", v->def->info->name, MOST_LOADS);
    int number = s->group_count++;
    s->groups[number] = k;
    k->value[k->values++] = v;
    facts_of(s, v)->group = number;
    note_loads(s, number, t);
    return TW_OK;
}

/* Groups that make what `v` loads come first, the latest first; then groups that load the same values. */
static tw_status place(scheduler *s, const tw_value *v, uint32_t *reader)
{
    group space;
    frame f;
    trace t;
    bool joined = false;
    space_of(s, v, &space);
    TW_TRY(trace_in(s, &space, -1, v, &f, &t));
    for (int pass = 0; pass < 2 && !joined && !s->options.no_fusion; pass++) {
        int tried = -1;
        for (int i = t.entries - 1; i >= 0 && !joined; i--) {
            if (t.entry[i].kind != TRACE_LOAD)
                continue;
            const value_facts *x = facts_of(s, t.entry[i].value);
            int k = pass == 0 ? x->group : (int)reader[t.entry[i].value->id] - 1;
            if (k < 0 || k == tried)
                continue;
            refusal_reason why;
            TW_TRY(try_join(s, k, v, &space, &why));
            joined = why == JOINED;
            if (!joined && pass == 0)
                TW_TRY(note_refusal(s, v, k, why));
            tried = k;
        }
    }
    if (!joined)
        TW_TRY(open_group(s, v, &space, &t));
    for (int i = 0; i < t.entries; i++)
        if (t.entry[i].kind == TRACE_LOAD)
            reader[t.entry[i].value->id] = (uint32_t)facts_of(s, v)->group + 1;
    return TW_OK;
}

/* What needs memory: results of the graph, and what another group loads. */
static tw_status store_loaded(scheduler *s)
{
    bool *loaded = tw_arena_zero(s->arena, s->values + 1, sizeof *loaded);
    if (!loaded)
        return TW_ERR_MEMORY;
    for (int k = 0; k < s->group_count; k++) {
        const group *g = s->groups[k];
        for (int i = 0; i < g->values; i++) {
            frame f;
            trace t;
            TW_TRY(trace_in(s, g, k, g->value[i], &f, &t));
            for (int j = 0; j < t.entries; j++)
                if (t.entry[j].kind == TRACE_LOAD)
                    loaded[t.entry[j].value->id] = true;
        }
    }
    for (uint32_t i = 0; i < s->values; i++) {
        value_facts *f = &s->facts[i];
        if (f->op && f->group >= 0)
            f->stored = f->output || loaded[i] || s->groups[f->group]->kind >= GROUP_SCAN; /* these work in memory */
    }
    return TW_OK;
}

static tw_status group_once(scheduler *s)
{
    uint32_t computed = 0, *reader = tw_arena_zero(s->arena, s->values, sizeof *reader);
    for (uint32_t i = 0; i < s->values; i++) {
        s->facts[i].group = -1;
        computed += s->facts[i].computed;
    }
    s->group_count = s->refusal_count = 0;
    s->group_room = (int)computed;
    s->words = (int)(computed + 63) / 64;
    s->groups = tw_arena_zero(s->arena, computed + 1, sizeof *s->groups);
    s->after = tw_arena_zero(s->arena, (size_t)computed * (size_t)s->words + 1, sizeof *s->after);
    if (!reader || !s->groups || !s->after)
        return TW_ERR_MEMORY;
    tw_for_each_op (op, s->g->body) {
        if (op->code == TW_G_INPUT || op->code == TW_G_OUTPUT)
            continue;
        const value_facts *f = facts_of(s, &op->result[0]);
        if (f->computed && f->count > 0)
            TW_TRY(place(s, &op->result[0], reader));
    }
    return TW_OK;
}

tw_status tw_schedule_group(scheduler *s)
{
    bool changed = true;
    enum { MOST_ROUNDS = 4 };
    for (int round = 0; changed && round < MOST_ROUNDS; round++) {
        changed = false;
        TW_TRY(group_once(s));
        if (round + 1 < MOST_ROUNDS && !s->options.no_fusion)
            TW_TRY(tw_schedule_store_shared(s, &changed));
    }
    return store_loaded(s);
}
