/* Walking from a value to the memory it is made from, without emitting anything: what would be loaded, at which index,
 * and what would be recomputed. emit.c takes the same way; both choose their variables through the functions here. */
#include "schedule/internal.h"

int tw_frame_add(frame *f, var v)
{
    if (f->vars == MOST_VARS)
        return -1;
    if (v.block == 0)
        v.block = v.extent;
    f->var[f->vars] = v;
    return f->vars++;
}

/* `wanted`, where that one exists; else an inner variable of this extent that the expressions don't use yet; else a new
 * one. */
int tw_frame_inner(frame *f, int64_t extent, bool varies, int rank, const tw_index *const *at, int wanted)
{
    if (wanted >= 0 && f->var[wanted].extent == extent)
        return wanted;
    for (int i = 0; i < f->vars; i++) {
        bool free = f->var[i].role == ROLE_INNER && f->var[i].extent == extent && f->var[i].varies == varies;
        for (int d = 0; free && d < rank; d++)
            free = !tw_ix_uses(at[d], i);
        if (free)
            return i;
    }
    return tw_frame_add(f, (var){.kind = VAR_TILE, .role = ROLE_INNER, .extent = extent, .varies = varies});
}

/* The contracted dimension of `dot`: rows or columns of a panel operand, else a plain inner one. */
int tw_frame_dot_inner(const scheduler *s, frame *f, const tw_op *dot, const tw_index *const *at)
{
    const value_facts *a = facts_of(s, dot->operand[0]), *b = facts_of(s, dot->operand[1]);
    int rank = dot->operand[0]->type.rank, wanted = -1;
    if (a->panel)
        wanted = a->transposed ? f->row : f->panel_column;
    else if (b->panel)
        wanted = b->transposed ? f->panel_column : f->row;
    return tw_frame_inner(f, a->shape[rank - 1], dim_varies(a, rank - 1), dot->result[0].type.rank, at, wanted);
}

void tw_trace_init(trace *t, scheduler *s, frame *f, int own)
{
    *t = (trace){.s = s, .f = f, .own = own};
}

static trace_entry *new_entry(trace *t)
{
    if (t->entries == t->room) {
        int room = TW_MAX(32, 2 * t->room);
        trace_entry *grown = tw_arena_alloc(t->s->arena, (size_t)room * sizeof *grown);
        if (!grown) {
            t->status = TW_ERR_MEMORY;
            return NULL;
        }
        if (t->entries)
            memcpy(grown, t->entry, (size_t)t->entries * sizeof *grown);
        t->entry = grown;
        t->room = room;
    }
    return &t->entry[t->entries++];
}

void tw_trace_expression(trace *t, const tw_index *x)
{
    trace_entry *e = x ? new_entry(t) : NULL;
    if (!x)
        t->status = TW_ERR_MEMORY;
    if (e)
        *e = (trace_entry){.kind = TRACE_EXPRESSION, .linear = x};
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* A guard changes its answer at multiples of its period only. */
static void trace_guard(trace *t, const guard *g)
{
    tw_trace_expression(t, g->x);
    if (t->status == TW_OK)
        t->entry[t->entries - 1].period = common_divisor(g->low - g->x->constant, g->high - g->x->constant);
}

static void add_value(trace *t, int kind, const tw_value *v, const tw_index *const *at)
{
    const value_facts *f = facts_of(t->s, v);
    int64_t row_major[TW_MAX_RANK], below = 1;
    trace_entry *e = new_entry(t);
    if (!e)
        return;
    *e = (trace_entry){.value = v};
    e->kind = (unsigned)kind;
    for (int i = v->type.rank - 1; i >= 0; i--) {
        e->at[i] = at[i];
        row_major[i] = below;
        below *= TW_MAX(f->shape[i], 1);
    }
    if (kind != TRACE_PULLED &&
        !(e->linear = tw_ix_linear(t->s->arena, v->type.rank, at, kind == TRACE_LOAD ? f->stride : row_major)))
        t->status = TW_ERR_MEMORY;
}

/* Was this value already pulled at this index? A 64-bit hash of both decides: a collision would only hide an entry
 * whose twin has the same hash of all its index expressions. */
static bool first_time(trace *t, const tw_value *v, const tw_index *const *at)
{
    uint64_t key = (v->id + 1) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < v->type.rank; i++)
        key = (key ^ at[i]->hash) * 0xd6e8feb86659fd93u + 1;
    if (2 * (t->seen_count + 1) > t->seen_room) {
        size_t room = TW_MAX((size_t)64, 2 * t->seen_room);
        uint64_t *grown = tw_arena_zero(t->s->arena, room, sizeof *grown);
        if (!grown) {
            t->status = TW_ERR_MEMORY;
            return false;
        }
        for (size_t i = 0; i < t->seen_room; i++)
            for (size_t j = t->seen[i]; t->seen[i]; j++)
                if (!grown[j & (room - 1)]) {
                    grown[j & (room - 1)] = t->seen[i];
                    break;
                }
        t->seen = grown;
        t->seen_room = room;
    }
    size_t j = key;
    for (; t->seen[j & (t->seen_room - 1)]; j++)
        if (t->seen[j & (t->seen_room - 1)] == key)
            return false;
    t->seen[j & (t->seen_room - 1)] = key;
    t->seen_count++;
    return true;
}

static void trace_reads(trace *t, const tw_index *x)
{
    for (int i = 0; i < x->terms; i++) {
        const tw_atom *atom = x->term[i].atom;
        if (atom->kind == TW_ATOM_DIV || atom->kind == TW_ATOM_MOD)
            trace_reads(t, atom->of);
        else if (atom->kind == TW_ATOM_READ)
            tw_trace_value(t, atom->read, atom->at, false);
    }
}

static void trace_reduction(trace *t, const tw_op *op, const tw_index *const *at)
{
    const tw_value *x = op->operand[0];
    const value_facts *f = facts_of(t->s, x);
    const tw_index *inner[TW_MAX_RANK];
    bool keep;
    int axis = tw_schedule_reduced_axis(op, &keep);
    int v = tw_frame_inner(t->f, f->shape[axis], dim_varies(f, axis), op->result[0].type.rank, at,
                           f->panel ? t->f->panel_column : -1);
    if (v < 0) {
        t->status = tw_error(TW_ERR_INTERNAL, "schedule: a kernel needs more than %d loop variables", MOST_VARS);
        return;
    }
    for (int i = 0, j = 0; i < x->type.rank; i++) {
        inner[i] = i == axis ? tw_ix_var(t->s->arena, v, f->shape[axis]) : at[j];
        j += i != axis || keep;
    }
    tw_trace_value(t, x, inner, false);
}

static void trace_dot(trace *t, const tw_op *op, const tw_index *const *at)
{
    const tw_index *a[TW_MAX_RANK], *b[TW_MAX_RANK];
    int v = tw_frame_dot_inner(t->s, t->f, op, at);
    if (v < 0) {
        t->status = tw_error(TW_ERR_INTERNAL, "schedule: a kernel needs more than %d loop variables", MOST_VARS);
        return;
    }
    tw_schedule_dot_access(op, at, tw_ix_var(t->s->arena, v, t->f->var[v].extent), a, b);
    tw_trace_value(t, op->operand[0], a, false);
    tw_trace_value(t, op->operand[1], b, false);
}

/* The value itself may be one that is pulled: then what of it is computed the latest. */
static void trace_wait(trace *t, const tw_value *v)
{
    while (!facts_of(t->s, v)->stored && !facts_of(t->s, v)->computed) {
        const tw_value *latest = NULL;
        for (uint32_t i = 0; i < read_operands(v->def); i++) {
            const tw_value *o = v->def->operand[i];
            if (o && (!latest || facts_of(t->s, o)->place > facts_of(t->s, latest)->place))
                latest = o;
        }
        if (!latest)
            return;
        v = latest;
    }
    trace_entry *e = new_entry(t);
    if (e)
        *e = (trace_entry){.kind = TRACE_WAIT, .value = v};
}

static void trace_inside(trace *t, const tw_value *v, const tw_index *const *at)
{
    const tw_op *op = v->def;
    const value_facts *f = facts_of(t->s, v);
    if (f->class == TW_CLASS_REDUCTION) {
        trace_reduction(t, op, at);
    } else if (f->class == TW_CLASS_CONTRACTION) {
        trace_dot(t, op, at);
    } else if (op->code == TW_G_PHILOX) {
        const tw_index *word[1] = {tw_ix_constant(t->s->arena, 0)};
        int64_t below = 1;
        const tw_index *linear = tw_ix_constant(t->s->arena, 0);
        for (int i = v->type.rank - 1; i >= 0; i--) {
            linear = tw_ix_add(t->s->arena, linear, tw_ix_scale(t->s->arena, at[i], below));
            below *= f->shape[i];
        }
        if (!word[0] || !linear)
            t->status = TW_ERR_MEMORY;
        else
            tw_trace_expression(t, linear), tw_trace_value(t, op->operand[0], word, false);
    } else if (op->code == TW_G_IOTA) {
        tw_trace_expression(t, at[op->attr[1].i]);
    } else if (is_heavy(op)) { /* scans and scatters read whole values: their kernels look after themselves */
        for (uint32_t i = 0; i < op->operands; i++) {
            const tw_index *zero[TW_MAX_RANK];
            for (int d = 0; d < op->operand[i]->type.rank; d++)
                zero[d] = tw_ix_constant(t->s->arena, 0);
            tw_trace_value(t, op->operand[i], zero, false);
        }
    } else {
        if (op->code == TW_G_AFTER)
            trace_wait(t, op->operand[1]);
        for (uint32_t i = 0; i < read_operands(op) && t->status == TW_OK; i++) {
            access x;
            if ((t->status = tw_schedule_access(t->s, op, i, at, &x)) != TW_OK)
                return;
            for (int g = 0; g < x.guards; g++)
                trace_guard(t, &x.guard[g]);
            for (int d = 0; d < op->operand[i]->type.rank; d++)
                trace_reads(t, x.at[d]);
            tw_trace_value(t, op->operand[i], x.at, false);
        }
    }
}

void tw_trace_value(trace *t, const tw_value *v, const tw_index *const *at, bool inside)
{
    const value_facts *f = facts_of(t->s, v);
    if (t->status != TW_OK)
        return;
    for (int i = 0; i < v->type.rank; i++) {
        if (!at[i]) {
            t->status = TW_ERR_MEMORY;
            return;
        }
    }
    if (!inside && !first_time(t, v, at))
        return;
    if (!inside && f->group >= 0 && f->group == t->own)
        add_value(t, TRACE_OWN, v, at);
    else if (!inside && (f->stored || f->computed))
        add_value(t, TRACE_LOAD, v, at);
    else {
        if (!inside)
            add_value(t, TRACE_PULLED, v, at);
        trace_inside(t, v, at);
    }
}
