/* Panels: contractions whose result is larger than what it is made from, and which only feed row statistics and other
 * contractions.
 *
 * Attention is the case in point: s = q k^T is [batch, m, n]; softmax is pointwise work and row statistics of s; o = p
 * v contracts n away. Nobody needs s or p in memory: a program that owns a block of rows can hold its panel [rows, n]
 * in scratch, from q and k, and so can the gradient, which needs the same panel again (and its transpose: dv = p^T do
 * sums over the rows, one block after another). Nothing here knows attention by name: any score function and mask made
 * of pointwise operations is found.
 *
 * A value is in the panel when its elements stand one to one for the contraction's elements (or for its transpose).
 * A contraction starts a panel if all that is made from it stays inside: pointwise operations, reshapes, exchanged rows
 * and columns, statistics along n, and contractions that take the panel as one operand. Otherwise its result is stored
 * as usual. */
#include "schedule/internal.h"

typedef struct search {
    scheduler *s;
    bool *candidate;     /* by value id: this contraction may start a panel */
    const char *stopped; /* the operation that a panel can't go into */
    int *parent;         /* union-find over value ids of candidates that meet in a pointwise operation, themselves or by
                            statistics */
} search;

static int root_of(search *x, int id)
{
    while (x->parent[id] != id)
        id = x->parent[id];
    return id;
}

static bool starts_panel(const scheduler *s, const tw_op *op)
{
    const value_facts *f = facts_of(s, &op->result[0]), *a = facts_of(s, op->operand[0]);
    int rank = op->result[0].type.rank;
    if (op->info->class != TW_CLASS_CONTRACTION || rank < 3 || f->output || a->panel ||
        facts_of(s, op->operand[1])->panel)
        return false;
    int64_t n = f->shape[rank - 1], m = f->shape[rank - 2], k = a->shape[rank - 1];
    return m > 1 && n > 1 && k > 0 && 2 * n >= k && f->count > 0;
}

/* Shape [..., m, n] of the panel that `v` belongs to, rows and columns as in the contraction. */
static bool ends_with(const value_facts *f, int rank, int64_t rows, int64_t columns)
{
    return rank >= 2 && f->shape[rank - 2] == rows && f->shape[rank - 1] == columns;
}

static void panel_sides(const scheduler *s, const value_facts *f, int64_t *rows, int64_t *columns)
{
    const value_facts *d = &s->facts[f->region];
    int rank = d->op->result[0].type.rank;
    *rows = d->shape[rank - 2];
    *columns = d->shape[rank - 1];
}

static bool same_sides(const scheduler *s, int a, int b)
{
    return tw_type_equal(&s->facts[a].op->result[0].type, &s->facts[b].op->result[0].type);
}

/* Exchanges exactly the panel's rows and columns? */
static bool exchanges_sides(const scheduler *s, const tw_op *op)
{
    const value_facts *f = facts_of(s, op->operand[0]);
    int rank = op->operand[0]->type.rank;
    int64_t rows, columns;
    panel_sides(s, f, &rows, &columns);
    if (!(f->transposed ? ends_with(f, rank, columns, rows) : ends_with(f, rank, rows, columns)))
        return false;
    for (int i = 0; i < rank; i++)
        if (op->attr[0].dims.v[i] != (i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2))
            return false;
    return true;
}

static const char *const UNUSED = "no contraction uses it up";

/* What `op` makes of its operands' panels; false: it takes a panel where none may go (the panel *bad). */
static bool extend(search *x, const tw_op *op, int *bad)
{
    scheduler *s = x->s;
    value_facts *f = facts_of(s, &op->result[0]);
    const value_facts *panel = NULL;
    bool tainted = false;
    int taint = -1;
    for (uint32_t i = 0; i < read_operands(op); i++) {
        if (!op->operand[i])
            continue;
        const value_facts *o = facts_of(s, op->operand[i]);
        if (o->tainted) {
            tainted = true;
            taint = o->region;
        }
        if (!o->panel)
            continue;
        if (panel && op->info->class == TW_CLASS_POINTWISE && panel->transposed == o->transposed)
            x->parent[root_of(x, o->region)] = root_of(x, panel->region);
        else if (panel)
            return *bad = panel->region, false;
        panel = o;
    }
    if (!panel && !tainted)
        return true;
    f->region = panel ? panel->region : taint;
    *bad = f->region;
    if (panel && tainted && same_sides(s, panel->region, taint)) /* computed again, once for the rows' statistics */
        x->parent[root_of(x, taint)] = root_of(x, panel->region);
    if (f->output && op->info->class != TW_CLASS_CONTRACTION) /* what uses a panel up may be a result */
        return false;
    if (!panel) { /* statistics of rows: views and pointwise work only */
        f->tainted = true;
        return !is_heavy(op) && op->info->class != TW_CLASS_GATHER;
    }
    int64_t rows, columns, a, r, b;
    panel_sides(s, panel, &rows, &columns);
    f->transposed = panel->transposed;
    switch (op->info->class) {
    case TW_CLASS_POINTWISE:
        f->panel = true;
        return true;
    case TW_CLASS_VIEW:
        f->panel = true;
        if (op->code == TW_G_RESHAPE)
            return true;
        f->transposed = !panel->transposed;
        return op->code == TW_G_PERMUTE && exchanges_sides(s, op);
    case TW_CLASS_REDUCTION:
        f->tainted = true;
        return !panel->transposed && tw_schedule_reduction_form(s, op, &a, &r, &b) && r == columns && b == 1;
    case TW_CLASS_CONTRACTION: {
        int rank = op->operand[0]->type.rank, which = facts_of(s, op->operand[1])->panel;
        const value_facts *o = facts_of(s, op->operand[which]);
        f->region = -1;
        f->terminal = true;
        if (tainted && !o->panel)
            return false;
        return o->transposed ? ends_with(o, rank, columns, rows) : ends_with(o, rank, rows, columns);
    }
    default:
        return false;
    }
}

/* One walk with the current candidates; false: *bad is a contraction whose panel must be given up. */
static bool walk(search *x, int *bad)
{
    scheduler *s = x->s;
    for (uint32_t i = 0; i < s->values; i++) {
        value_facts *f = &s->facts[i];
        f->panel = f->transposed = f->tainted = f->terminal = false;
        f->region = -1;
        x->parent[i] = (int)i;
    }
    tw_for_each_op (op, s->g->body) {
        if (op->code == TW_G_INPUT || op->code == TW_G_OUTPUT)
            continue;
        const tw_value *v = &op->result[0];
        if (!extend(x, op, bad)) {
            x->stopped = op->info->name;
            return false;
        }
        value_facts *f = facts_of(s, v);
        if (x->candidate[v->id] && !f->terminal && starts_panel(s, op)) {
            f->panel = true;
            f->region = (int)v->id;
        }
    }
    return true;
}

/* A panel is worth having only if a contraction uses it up. */
static bool find_unused(search *x, int *bad)
{
    scheduler *s = x->s;
    bool *used = tw_arena_zero(s->arena, s->values, sizeof *used);
    if (!used)
        return false;
    for (uint32_t i = 0; i < s->values; i++)
        if (s->facts[i].terminal)
            used[root_of(x, facts_of(s, tw_schedule_panel_operand(s, s->facts[i].op))->region)] = true;
    for (uint32_t i = 0; i < s->values; i++) {
        if (s->facts[i].panel && s->facts[i].region == (int)i && !used[root_of(x, (int)i)]) {
            *bad = (int)i;
            return true;
        }
    }
    return false;
}

const tw_value *tw_schedule_panel_operand(const scheduler *s, const tw_op *dot)
{
    return facts_of(s, dot->operand[0])->panel ? dot->operand[0] : dot->operand[1];
}

tw_status tw_schedule_panels(scheduler *s)
{
    search x = {s, tw_arena_zero(s->arena, s->values + 1, sizeof(bool)), NULL,
                tw_arena_zero(s->arena, s->values + 1, sizeof(int))};
    if (!x.candidate || !x.parent)
        return TW_ERR_MEMORY;
    for (uint32_t i = 0; i < s->values; i++)
        x.candidate[i] = s->facts[i].op && !s->options.no_fusion && s->facts[i].class == TW_CLASS_CONTRACTION;
    for (;;) {
        int bad = -1;
        const char *reason = walk(&x, &bad) ? UNUSED : x.stopped;
        if (reason == UNUSED && !find_unused(&x, &bad))
            break;
        tw_say(TW_LOG_FUSION, "%%%d is stored, not kept as a panel: %s", bad, reason);
        int root = root_of(&x, bad);
        bool any = false;
        for (uint32_t i = 0; i < s->values; i++) {
            if (x.candidate[i] && s->facts[i].panel && s->facts[i].region == (int)i && root_of(&x, (int)i) == root) {
                x.candidate[i] = false;
                any = true;
            }
        }
        if (!any)
            return tw_error(TW_ERR_INTERNAL, "schedule: panel %d cannot be given up", bad);
    }
    for (uint32_t i = 0; i < s->values; i++) /* one name for a region */
        if (s->facts[i].region >= 0)
            s->facts[i].region = root_of(&x, s->facts[i].region);
    return TW_OK;
}
