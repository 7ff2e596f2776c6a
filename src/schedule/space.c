/* Refining a flat iteration space until views are affine in it, then merging what memory allows.
 *
 * A kernel that reads [b*t, c] as [b, t, h, d] has quotients and remainders of its variables in its addresses.
 * Splitting the variable where they divide makes them plain variables; neighbours that every address walks through as
 * if they were one are merged again, so that a contiguous kernel has one long dimension. */
#include "schedule/internal.h"

static bool split_dim(group *k, int dim, int64_t inner)
{
    if (k->dims == MOST_DIMS)
        return false;
    memmove(&k->dim[dim + 1], &k->dim[dim], (size_t)(k->dims - dim) * sizeof *k->dim);
    memmove(&k->dim_varies[dim + 1], &k->dim_varies[dim], (size_t)(k->dims - dim) * sizeof *k->dim_varies);
    k->dims++;
    k->dim[dim] /= inner;
    k->dim[dim + 1] = inner;
    return true;
}

/* The first quotient or remainder in x that splitting a variable would remove. */
static bool split_for(group *k, const tw_index *x)
{
    for (int i = 0; i < x->terms; i++) {
        const tw_atom *atom = x->term[i].atom;
        if (atom->kind == TW_ATOM_READ)
            for (int d = 0; d < atom->read->type.rank; d++)
                if (split_for(k, atom->at[d]))
                    return true;
        if (atom->kind != TW_ATOM_DIV && atom->kind != TW_ATOM_MOD)
            continue;
        if (split_for(k, atom->of))
            return true;
        for (int j = 0; j < atom->of->terms; j++) {
            const tw_term *t = &atom->of->term[j];
            int64_t c = t->coefficient;
            if (t->atom->kind != TW_ATOM_VAR || c <= 0 || atom->by % c != 0)
                continue;
            int64_t inner = atom->by / c;
            if (inner > 1 && k->dim[t->atom->var] > inner && k->dim[t->atom->var] % inner == 0 &&
                split_dim(k, t->atom->var, inner))
                return true;
        }
    }
    return false;
}

/* A guard that holds for whole runs of a variable: split there, so that the test is one of the outer part alone. */
static bool split_at_guard(group *k, const tw_index *x, int64_t period)
{
    enum { SHORTEST_RUN = 16 };
    for (int i = 0; i < x->terms; i++) {
        const tw_term *t = &x->term[i];
        if (t->atom->kind != TW_ATOM_VAR || t->coefficient <= 0 || period % t->coefficient != 0)
            continue;
        int64_t inner = period / t->coefficient, extent = k->dim[t->atom->var];
        if (inner >= SHORTEST_RUN && extent > inner && extent % inner == 0 && split_dim(k, t->atom->var, inner))
            return true;
    }
    return false;
}

static tw_status trace_all(scheduler *s, const group *k, int number, trace *all)
{
    frame f;
    TW_TRY(tw_group_frame(s, k, &f));
    *all = (trace){.s = s, .f = &f, .own = number};
    for (int i = 0; i < k->values; i++) {
        const tw_index *at[TW_MAX_RANK];
        TW_TRY(tw_group_at(s, k, &f, k->value[i], at));
        tw_trace_value(all, k->value[i], at, true);
        int64_t *stride = facts_of(s, k->value[i])->stride;
        const tw_index *stored = tw_ix_linear(s->arena, k->value[i]->type.rank, at, stride);
        tw_trace_expression(all, stored);
        TW_TRY(all->status);
    }
    all->f = NULL;
    return TW_OK;
}

static bool merges(const trace *t, int dim, int64_t inner_extent)
{
    for (int i = 0; i < t->entries; i++) {
        const tw_index *x = t->entry[i].linear;
        bool affine = true;
        if (!x || t->entry[i].kind == TRACE_OWN)
            continue;
        int64_t outer = tw_ix_coefficient(x, dim, &affine), inner = tw_ix_coefficient(x, dim + 1, &affine);
        if (!affine || outer != inner * inner_extent)
            return false;
    }
    return true;
}

tw_status tw_schedule_refine(scheduler *s, group *k, int number)
{
    trace t;
    enum { MOST_SPLITS = 16 };
    for (int round = 0; round < MOST_SPLITS; round++) {
        bool changed = false;
        TW_TRY(trace_all(s, k, number, &t));
        for (int i = 0; i < t.entries && !changed; i++)
            changed = t.entry[i].linear &&
                      (split_for(k, t.entry[i].linear) || split_at_guard(k, t.entry[i].linear, t.entry[i].period));
        if (!changed)
            break;
    }
    for (int dim = k->dims - 2; dim >= 0; dim--) {
        TW_TRY(trace_all(s, k, number, &t));
        if (!merges(&t, dim, k->dim[dim + 1]))
            continue;
        k->dim[dim] *= k->dim[dim + 1];
        k->dim_varies[dim] |= k->dim_varies[dim + 1];
        memmove(&k->dim[dim + 1], &k->dim[dim + 2], (size_t)(k->dims - dim - 2) * sizeof *k->dim);
        memmove(&k->dim_varies[dim + 1], &k->dim_varies[dim + 2], (size_t)(k->dims - dim - 2) * sizeof *k->dim_varies);
        k->dims--;
    }
    return TW_OK;
}

/* One dimension, every address its variable or constant in it: the size can be an argument, so that all sizes share one
 * kernel. */
tw_status tw_schedule_size_free(scheduler *s, const group *k, int number, bool *yes)
{
    trace t;
    *yes = k->kind == GROUP_FLAT && k->dims == 1;
    if (!*yes)
        return TW_OK;
    TW_TRY(trace_all(s, k, number, &t));
    for (int i = 0; i < t.entries && *yes; i++) {
        const tw_index *x = t.entry[i].linear;
        bool affine = true;
        if (!x || t.entry[i].kind == TRACE_OWN)
            continue;
        int64_t c = tw_ix_coefficient(x, 0, &affine);
        *yes = affine && x->constant == 0 && x->terms <= 1 && (c == 1 || c == 0) && (x->terms == 0 || c == 1);
    }
    return TW_OK;
}
