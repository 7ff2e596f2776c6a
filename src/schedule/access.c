/* Which element of an operand an element of a result is made from: the index maps of views, joins and gathers. */
#include "schedule/internal.h"

/* low <= x < high is low/c <= x/c < high/c where c divides both bounds: a test of fewer variables, that more elements
 * share. */
static void coarsen(tw_arena *a, const tw_index **x, int64_t *low, int64_t *high)
{
    for (int i = 0; *x && i < (*x)->terms; i++) {
        int64_t c = (*x)->term[i].coefficient < 0 ? -(*x)->term[i].coefficient : (*x)->term[i].coefficient;
        if (c <= 1 || *low % c != 0 || *high % c != 0)
            continue;
        const tw_index *quotient = tw_ix_div(a, *x, c);
        if (!quotient || quotient->terms >= (*x)->terms)
            continue;
        *x = quotient;
        *low /= c;
        *high /= c;
        i = -1;
    }
}

static void add_guard(tw_arena *a, access *out, const tw_index *x, int64_t low, int64_t high)
{
    if (x && x->low >= low && x->high < high)
        return; /* always true */
    coarsen(a, &x, &low, &high);
    out->guard[out->guards++] = (guard){x, low, high};
}

static void reshaped(tw_arena *a, const tw_value *from, const tw_value *to, const tw_index *const *at, access *out)
{
    int64_t shape[TW_MAX_RANK], stride[TW_MAX_RANK], below = 1;
    for (int i = to->type.rank - 1; i >= 0; i--) {
        stride[i] = below;
        below *= TW_MAX(to->type.dims[i], 1);
    }
    for (int i = 0; i < from->type.rank; i++)
        shape[i] = from->type.dims[i];
    tw_ix_unravel(a, tw_ix_linear(a, to->type.rank, at, stride), from->type.rank, shape, out->at);
}

/* x[start + i * step] read backwards: which i is element `at`? Guarded to be a whole number within [0, n). */
static const tw_index *sliced_from(tw_arena *a, const tw_index *at, int64_t start, int64_t step, int64_t n, access *out)
{
    const tw_index *distance = step > 0 ? tw_ix_offset(a, at, -start) : tw_ix_offset(a, tw_ix_scale(a, at, -1), start);
    int64_t by = step > 0 ? step : -step;
    add_guard(a, out, distance, 0, n * by);
    if (by == 1)
        return distance;
    add_guard(a, out, tw_ix_mod(a, distance, by), 0, 1);
    return tw_ix_div(a, distance, by);
}

static tw_status joined(scheduler *s, const tw_op *op, uint32_t which, const tw_index *const *at, access *out)
{
    int64_t axis = op->attr[0].i, before = 0;
    for (uint32_t i = 0; i < which; i++)
        before += facts_of(s, op->operand[i])->shape[axis];
    for (int i = 0; i < op->operand[which]->type.rank; i++)
        out->at[i] = at[i];
    out->at[axis] = tw_ix_offset(s->arena, at[axis], -before);
    add_guard(s->arena, out, out->at[axis], 0, facts_of(s, op->operand[which])->shape[axis]);
    return TW_OK;
}

static void gathered(scheduler *s, const tw_op *op, uint32_t which, const tw_index *const *at, access *out)
{
    int64_t axis = op->attr[0].i;
    const tw_value *index = op->operand[1];
    const tw_index *place[TW_MAX_RANK];
    if (op->code == TW_G_INDEX_SELECT)
        place[0] = at[axis];
    else
        memcpy(place, at, sizeof *at * index->type.rank);
    if (which == 1) {
        memcpy(out->at, place, sizeof *place * index->type.rank);
        return;
    }
    for (int i = 0; i < op->operand[0]->type.rank; i++)
        out->at[i] = at[i];
    out->at[axis] = tw_ix_read(s->arena, index, index->type.rank, place, facts_of(s, op->operand[0])->shape[axis]);
}

static void viewed(scheduler *s, const tw_op *op, const tw_index *const *at, access *out)
{
    const tw_value *x = op->operand[0], *y = &op->result[0];
    int rank = x->type.rank, added = y->type.rank - rank;
    const tw_attr *attr = op->attr;
    switch (op->code) {
    case TW_G_AFTER:
        memcpy(out->at, at, (size_t)rank * sizeof *at);
        return;
    case TW_G_RESHAPE:
        reshaped(s->arena, x, y, at, out);
        return;
    case TW_G_PERMUTE:
        for (int i = 0; i < rank; i++)
            out->at[attr[0].dims.v[i]] = at[i];
        return;
    case TW_G_EXPAND:
        for (int i = 0; i < rank; i++)
            out->at[i] = x->type.dims[i] == 1 ? tw_ix_constant(s->arena, 0) : at[i + added];
        return;
    case TW_G_SLICE:
        for (int i = 0; i < rank; i++)
            out->at[i] = tw_ix_offset(s->arena, tw_ix_scale(s->arena, at[i], attr[2].dims.v[i]), attr[0].dims.v[i]);
        return;
    case TW_G_PAD:
        for (int i = 0; i < rank; i++) {
            out->at[i] = tw_ix_offset(s->arena, at[i], -attr[0].dims.v[i]);
            add_guard(s->arena, out, out->at[i], 0, x->type.dims[i]);
        }
        return;
    }
}

tw_status tw_schedule_access(scheduler *s, const tw_op *op, uint32_t which, const tw_index *const *at, access *out)
{
    const tw_value *x = op->operand[which];
    out->guards = 0;
    if (op->code == TW_G_SLICE_UPDATE && which == 1) {
        for (int i = 0; i < x->type.rank; i++)
            out->at[i] =
                sliced_from(s->arena, at[i], op->attr[0].dims.v[i], op->attr[1].dims.v[i], x->type.dims[i], out);
    } else if (op->info->class == TW_CLASS_VIEW) {
        viewed(s, op, at, out);
    } else if (op->info->class == TW_CLASS_JOIN) {
        TW_TRY(joined(s, op, which, at, out));
    } else if (op->info->class == TW_CLASS_GATHER) {
        gathered(s, op, which, at, out);
    } else {
        for (int i = 0; i < x->type.rank; i++)
            out->at[i] = at[i];
    }
    for (int i = 0; i < x->type.rank; i++)
        if (!out->at[i])
            return TW_ERR_MEMORY;
    for (int i = 0; i < out->guards; i++)
        if (!out->guard[i].x)
            return TW_ERR_MEMORY;
    return TW_OK;
}

void tw_schedule_dot_access(const tw_op *dot, const tw_index *const *at, const tw_index *k, const tw_index **left,
                            const tw_index **right)
{
    int rank = dot->result[0].type.rank;
    for (int i = 0; i < rank - 2; i++)
        left[i] = right[i] = at[i];
    left[rank - 2] = at[rank - 2];
    left[rank - 1] = k;
    right[rank - 2] = k;
    right[rank - 1] = at[rank - 1];
}
