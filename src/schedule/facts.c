/* Facts: shapes as numbers, users, classes, and the memory layout that each value's reader would like. */
#include "schedule/internal.h"

static tw_status constant_shape(const tw_graph *g, const tw_value *v, value_facts *f)
{
    f->count = 1;
    for (int i = 0; i < v->type.rank; i++) {
        if (!tw_dim_constant(v->type.dims[i])) {
            (void)g;
            return tw_error(TW_ERR_UNSUPPORTED, "schedule: %%%u has a symbolic dimension; expected constant sizes",
                            v->id);
        }
        f->shape[i] = v->type.dims[i];
        f->count *= f->shape[i];
    }
    return TW_OK;
}

/* Row-major strides over the dimensions taken in `order` (outermost first). */
static void strides_in_order(value_facts *f, int rank, const int *order)
{
    int64_t below = 1;
    for (int i = rank - 1; i >= 0; i--) {
        f->stride[order[i]] = below;
        below *= TW_MAX(f->shape[order[i]], 1);
    }
}

/* A value that is only ever read through one and the same permutation is stored in that order. */
static void choose_layout(value_facts *f, int rank)
{
    int order[TW_MAX_RANK];
    for (int i = 0; i < rank; i++)
        order[i] = i;
    bool same = f->users > 0 && !f->output;
    for (int u = 0; u < f->users && same; u++) {
        const tw_op *user = f->user[u];
        same = user->code == TW_G_PERMUTE;
        for (int i = 0; same && u > 0 && i < rank; i++)
            same = user->attr[0].dims.v[i] == f->user[0]->attr[0].dims.v[i];
    }
    if (same && rank > 0) /* rows stay whole: a kernel writes along the last dimension */
        same = f->user[0]->attr[0].dims.v[rank - 1] == rank - 1;
    for (int i = 0; same && i < rank; i++)
        order[i] = (int)f->user[0]->attr[0].dims.v[i];
    strides_in_order(f, rank, order);
}

/* An operation that only waits for the value is no user. */
static int keep_readers(const tw_op **user, int users, const tw_value *v)
{
    int kept = 0;
    for (int u = 0; u < users; u++)
        if (user[u]->code != TW_G_AFTER || user[u]->operand[0] == v)
            user[kept++] = user[u];
    return kept;
}

tw_status tw_schedule_facts(scheduler *s)
{
    const tw_graph *g = s->g;
    s->values = g->values;
    s->facts = tw_arena_zero(s->arena, TW_MAX(g->values, 1u), sizeof *s->facts);
    tw_users users = tw_graph_users(g, s->arena);
    if (!s->facts || !users.start)
        return TW_ERR_MEMORY;
    uint32_t place = 0;
    int inputs = 0;
    tw_for_each_op (op, g->body) {
        for (uint32_t i = 0; op->code == TW_G_OUTPUT && i < op->operands; i++)
            facts_of(s, op->operand[i])->output = true;
        for (uint32_t i = 0; i < op->results; i++) {
            const tw_value *v = &op->result[i];
            value_facts *f = facts_of(s, v);
            f->op = op;
            f->place = place++;
            f->class = op->info->class;
            f->group = -1;
            f->varies = s->options.varies ? s->options.varies[f->place] : 0;
            f->user = (const tw_op **)users.op + users.start[v->id];
            f->users = keep_readers(f->user, (int)(users.start[v->id + 1] - users.start[v->id]), v);
            TW_TRY(constant_shape(g, v, f));
            choose_layout(f, v->type.rank);
            if (op->code == TW_G_INPUT) {
                int order[TW_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
                const int64_t *given = s->options.input_stride ? s->options.input_stride[inputs] : NULL;
                inputs++;
                if (given)
                    memcpy(f->stride, given, v->type.rank * sizeof *given);
                else
                    strides_in_order(f, v->type.rank, order);
                f->stored = true;
            }
        }
    }
    return TW_OK;
}

/* A shape around one axis: [a, r, b]. */
void tw_schedule_axis_form(const value_facts *f, int axis, int64_t *a, int64_t *r, int64_t *b)
{
    int rank = f->op->result[0].type.rank;
    *a = *b = 1;
    *r = rank ? f->shape[axis] : 1;
    for (int i = 0; i < rank; i++)
        *(i < axis ? a : b) *= i == axis ? 1 : f->shape[i];
}

int tw_schedule_axis_varies(const value_facts *f, int axis)
{
    int which = 0;
    for (int i = 0; i < f->op->result[0].type.rank; i++)
        if (dim_varies(f, i))
            which |= i < axis ? VARIES_A : i == axis ? VARIES_R : VARIES_B;
    return which;
}

int tw_schedule_reduced_axis(const tw_op *op, bool *keepdim)
{
    bool extreme = op->code == TW_G_ARGMAX || op->code == TW_G_ARGMIN;
    *keepdim = op->attr[1].i != 0;
    return extreme ? (int)op->attr[0].i : op->attr[0].dims.n == 1 ? (int)op->attr[0].dims.v[0] : -1;
}

bool tw_schedule_reduction_form(const scheduler *s, const tw_op *op, int64_t *a, int64_t *r, int64_t *b)
{
    bool keepdim;
    int axis = tw_schedule_reduced_axis(op, &keepdim);
    if (axis < 0)
        return false;
    tw_schedule_axis_form(facts_of(s, op->operand[0]), axis, a, r, b);
    return true;
}
