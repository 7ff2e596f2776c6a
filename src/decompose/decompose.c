/* The pass.
 *
 * in:  any graph        out: primitives in strict form (see decompose.h)
 * One walk in order. A composite is replaced by what it is made of, and the walk goes on with the first piece, so that
 * composites made of composites come apart too. Strictness is restored operation by operation. */
#include "decompose/decompose.h"

#include "ops/build.h"

tw_value *tw_decompose_op(tw_graph *g, const tw_op *op)
{
    tw_decomposition *pieces = tw_decompositions[op->code];
    tw_value *v = pieces ? pieces(g, op) : NULL;
    v = v ? tw_g_as(g, v, (tw_dtype)op->result[0].type.dtype) : NULL;
    if (v && !tw_type_equal(&v->type, &op->result[0].type)) {
        tw_text made = {0};
        tw_type_print(g, &v->type, &made);
        tw_error(TW_ERR_INTERNAL, "decompose: %s comes out as %s", op->info->name, tw_text_string(&made));
        tw_text_free(&made);
        return NULL;
    }
    return v;
}

/* ---- strict form ---- */

static bool compares(int code)
{
    return code >= TW_G_EQ && code <= TW_G_GE;
}

/* The dtype that an element-wise operation computes in. */
static tw_dtype operand_dtype(const tw_op *op)
{
    if (!compares(op->code))
        return (tw_dtype)op->result[0].type.dtype;
    tw_value a = *op->operand[0];
    tw_dtype x = (tw_dtype)a.type.dtype, y = (tw_dtype)op->operand[1]->type.dtype;
    if (x == y)
        return x;
    bool scalar_a = a.type.rank == 0, scalar_b = op->operand[1]->type.rank == 0;
    int category_x = x == TW_BOOL           ? 0
                     : tw_dtype_floating(x) ? 2
                                            : 1,
        category_y = y == TW_BOOL           ? 0
                     : tw_dtype_floating(y) ? 2
                                            : 1;
    if (!scalar_a && scalar_b && category_x >= category_y)
        return x;
    if (!scalar_b && scalar_a && category_y >= category_x)
        return y;
    return tw_dtype_promote(x, y);
}

static tw_value *strict_operand(tw_graph *g, tw_value *x, tw_dtype dtype, const tw_type *result)
{
    x = tw_g_as(g, x, dtype);
    if (!x || x->type.rank == 0 ||
        (x->type.rank == result->rank && !memcmp(x->type.dims, result->dims, result->rank * sizeof *result->dims)))
        return x;
    return tw_g_expand(g, x, result->rank, result->dims);
}

static bool make_strict_pointwise(tw_graph *g, tw_op *op)
{
    bool converts = op->code == TW_G_CAST || op->code == TW_G_ISNAN;
    tw_dtype dtype = operand_dtype(op);
    for (uint32_t i = 0; i < op->operands; i++) {
        tw_value *x = op->operand[i];
        bool condition = op->code == TW_G_WHERE && i == 0;
        if (!(op->operand[i] =
                  strict_operand(g, x, converts || condition ? (tw_dtype)x->type.dtype : dtype, &op->result[0].type)))
            return false;
    }
    return true;
}

static bool sums(int code)
{
    return code == TW_G_SUM || code == TW_G_PROD || code == TW_G_CUMSUM || code == TW_G_CUMPROD;
}

static tw_value *reduce_one(tw_graph *g, int code, tw_value *x, int64_t axis)
{
    switch (code) {
    case TW_G_SUM:
        return tw_g_sum(g, x, 1, &axis, false);
    case TW_G_PROD:
        return tw_g_prod(g, x, 1, &axis, false);
    case TW_G_AMAX:
        return tw_g_amax(g, x, 1, &axis, false);
    default:
        return tw_g_amin(g, x, 1, &axis, false);
    }
}

/* Several axes become one after another, the last first; neighbouring reduced axes are one. Returns what stands for the
 * result. */
static tw_value *reduce_axes(tw_graph *g, const tw_op *op)
{
    tw_value *x = op->operand[0];
    const tw_dim *axes = op->attr[0].dims.v;
    for (int last = op->attr[0].dims.n - 1; last >= 0 && x;) {
        int first = last;
        while (first > 0 && axes[first - 1] == axes[first] - 1)
            first--;
        tw_type merged = x->type;
        tw_dim extent = 1;
        int64_t at = axes[first], gone = axes[last] - at;
        for (int64_t i = at; i <= axes[last]; i++)
            extent = tw_dim_mul(g, extent, x->type.dims[i]);
        merged.dims[at] = extent;
        for (int64_t i = at + 1; i + gone < x->type.rank; i++)
            merged.dims[i] = x->type.dims[i + gone];
        merged.rank = (uint8_t)(merged.rank - gone);
        x = reduce_one(g, op->code, tw_g_reshape_to(g, x, &merged), at);
        last = first - 1;
    }
    return x ? tw_g_reshape_to(g, x, &op->result[0].type) : NULL;
}

/* Changes op in place, or returns what replaces it. */
static bool make_strict(tw_graph *g, tw_op *op, tw_value **replacement)
{
    *replacement = NULL;
    if (op->info->class == TW_CLASS_POINTWISE)
        return make_strict_pointwise(g, op);
    if (sums(op->code) && !(op->operand[0] = tw_g_as(g, op->operand[0], (tw_dtype)op->result[0].type.dtype)))
        return false;
    if (op->code == TW_G_CAT)
        for (uint32_t i = 0; i < op->operands; i++)
            if (!(op->operand[i] = tw_g_as(g, op->operand[i], (tw_dtype)op->result[0].type.dtype)))
                return false;
    bool reduction = op->info->class == TW_CLASS_REDUCTION && op->code != TW_G_ARGMAX && op->code != TW_G_ARGMIN;
    if (reduction && (op->attr[0].dims.n != 1 || op->attr[1].i))
        return (*replacement = reduce_axes(g, op)) != NULL;
    return true;
}

/* ---- the walk ---- */

typedef struct forwarding {
    tw_value **to;
    uint32_t room;
} forwarding;

static bool forward(forwarding *f, const tw_graph *g, const tw_value *from, tw_value *to)
{
    if (g->values > f->room) {
        uint32_t room = TW_MAX(2 * f->room, g->values + 256);
        tw_value **grown = tw_realloc(f->to, room * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + f->room, 0, (room - f->room) * sizeof *grown);
        *f = (forwarding){grown, room};
    }
    f->to[from->id] = to;
    return true;
}

static tw_value *resolve(const forwarding *f, tw_value *v)
{
    while (v && v->id < f->room && f->to[v->id])
        v = f->to[v->id];
    return v;
}

static tw_status failed(void)
{
    return tw_error_code() != TW_OK ? tw_error_code() : tw_error(TW_ERR_MEMORY, "decompose: out of memory");
}

static tw_status walk(tw_graph *g, forwarding *f, bool *changed)
{
    for (tw_op *op = g->body->first, *next; op; op = next) {
        for (uint32_t i = 0; i < op->operands; i++)
            op->operand[i] = resolve(f, op->operand[i]);
        next = op->next;
        if (op->info->level == TW_LEVEL_STRUCTURE)
            continue;
        tw_op *before = op->prev;
        tw_value *replacement = NULL;
        tw_graph_insert_before(g, op);
        if (op->info->level == TW_LEVEL_COMPOSITE) {
            if (!(replacement = tw_decompose_op(g, op)))
                return failed();
        } else if (!make_strict(g, op, &replacement)) {
            return failed();
        }
        if (!replacement)
            continue;
        *changed = true;
        if (!forward(f, g, &op->result[0], replacement))
            return TW_ERR_MEMORY;
        next = before ? before->next : g->body->first;
        if (next == op)
            next = op->next;
        tw_op_remove(op);
    }
    return TW_OK;
}

tw_status tw_pass_decompose(tw_graph **g, bool *changed)
{
    forwarding f = {0};
    tw_error_clear();
    tw_status status = walk(*g, &f, changed);
    tw_graph_insert_at_end(*g, (*g)->body);
    tw_free(f.to);
    return status;
}
