/* Views of views become one view; those that change nothing go away. */
#include "simplify/internal.h"

static bool identity(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    *replacement = op->operand[0];
    return same_shape(&op->operand[0]->type, &op->result[0].type);
}

/* Every view of a constant is a constant (pad and others with more to say excepted). */
static bool of_constant(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *full = made_by(op->operand[0], TW_G_FULL);
    const tw_type *t = &op->result[0].type;
    if (full)
        *replacement = tw_g_full(g, t->rank, t->dims, full->attr[1].f, full->attr[2].i, (tw_dtype)t->dtype);
    return full != NULL;
}

static bool reshape_of_reshape(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_RESHAPE);
    if (inner)
        *replacement = tw_g_reshape_to(g, inner->operand[0], &op->result[0].type);
    return inner != NULL;
}

/* Sizes of 1 may move, disappear or come anywhere without an element changing its place. */
static bool only_ones_move(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_type *x = &op->operand[0]->type;
    int64_t before = -1;
    for (int i = 0; i < x->rank; i++) {
        int64_t axis = op->attr[0].dims.v[i];
        if (x->dims[axis] == 1)
            continue;
        if (axis < before)
            return false;
        before = axis;
    }
    *replacement = tw_g_reshape_to(g, op->operand[0], &op->result[0].type);
    return true;
}

static bool permute_of_permute(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_PERMUTE);
    int64_t axes[TW_MAX_RANK];
    for (int i = 0; inner && i < op->attr[0].dims.n; i++)
        axes[i] = inner->attr[0].dims.v[op->attr[0].dims.v[i]];
    if (inner)
        *replacement = tw_g_permute(g, inner->operand[0], op->attr[0].dims.n, axes);
    return inner != NULL;
}

static bool used_once(const tw_graph *g, const tw_value *v)
{
    int uses = 0;
    tw_for_each_op (op, g->body)
        for (uint32_t i = 0; i < op->operands; i++)
            uses += op->operand[i] == v;
    return uses == 1;
}

/* (a b)^T = b^T a^T: the same products in the same order. It spares writing the result across its rows; a product that
 * somebody else needs too would be computed twice. */
static bool transposed_dot(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *dot = made_by(op->operand[0], TW_G_DOT);
    int rank = op->attr[0].dims.n;
    if (!dot)
        return false;
    for (int i = 0; i < rank; i++)
        if (op->attr[0].dims.v[i] != (i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2))
            return false;
    if (!used_once(g, op->operand[0]))
        return false;
    *replacement = tw_g_dot(g, tw_g_swap(g, dot->operand[1], -2, -1), tw_g_swap(g, dot->operand[0], -2, -1));
    return true;
}

static bool expand_of_expand(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_EXPAND);
    if (inner)
        *replacement = tw_g_expand_to(g, inner->operand[0], &op->result[0].type);
    return inner != NULL;
}

/* An expand that only puts sizes of 1 in front. */
static bool expand_by_ones(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_type *x = &op->operand[0]->type, *y = &op->result[0].type;
    int added = y->rank - x->rank;
    for (int i = 0; i < y->rank; i++)
        if (y->dims[i] != (i < added ? 1 : x->dims[i - added]))
            return false;
    *replacement = tw_g_reshape_to(g, op->operand[0], y);
    return true;
}

static bool whole_slice(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    for (int i = 0; i < op->operand[0]->type.rank; i++)
        if (op->attr[2].dims.v[i] != 1 || op->attr[0].dims.v[i] != 0)
            return false;
    *replacement = op->operand[0];
    return same_shape(&op->operand[0]->type, &op->result[0].type);
}

/* Element i of the outer slice is element s + i * t of the inner one, which is element u + (s + i * t) * v of x. */
static bool slice_of_slice(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_SLICE);
    tw_dim starts[TW_MAX_RANK];
    int64_t steps[TW_MAX_RANK];
    int rank = op->result[0].type.rank;
    for (int i = 0; inner && i < rank; i++) {
        int64_t by = inner->attr[2].dims.v[i];
        tw_dim moved = tw_dim_mul(g, op->attr[0].dims.v[i], by < 0 ? -by : by), from = inner->attr[0].dims.v[i];
        bool empty = op->attr[1].dims.v[i] == 0; /* nothing is read: the start may lie anywhere */
        starts[i] = empty ? 0 : by < 0 ? tw_dim_sub(g, from, moved) : tw_dim_add(g, from, moved);
        if (__builtin_mul_overflow(by, op->attr[2].dims.v[i], &steps[i]))
            return false;
    }
    if (inner)
        *replacement = tw_g_slice(g, inner->operand[0], rank, starts, rank, op->attr[1].dims.v, rank, steps);
    return inner != NULL;
}

static bool pad_by_nothing(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return identity(g, op, replacement);
}

static bool pad_of_pad(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_PAD);
    int64_t low[TW_MAX_RANK], high[TW_MAX_RANK];
    int rank = op->result[0].type.rank;
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits count, of NaN and of -0 too
    if (!inner || memcmp(&inner->attr[2].f, &op->attr[2].f, sizeof(double)) != 0)
        return false;
    for (int i = 0; i < rank; i++)
        if (__builtin_add_overflow(inner->attr[0].dims.v[i], op->attr[0].dims.v[i], &low[i]) ||
            __builtin_add_overflow(inner->attr[1].dims.v[i], op->attr[1].dims.v[i], &high[i]))
            return false;
    *replacement = tw_g_pad(g, inner->operand[0], rank, low, rank, high, op->attr[2].f);
    return true;
}

/* cat without its empty parts; of one part it is that part. */
static bool cat_of_few(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    int64_t axis = op->attr[0].i;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < op->operands; i++)
        kept += op->operand[i]->type.dims[axis] != 0;
    if (kept == op->operands && kept > 1)
        return false;
    tw_value **part = tw_arena_alloc(g->arena, (op->operands + 1) * sizeof *part);
    if (!part) {
        tw_error(TW_ERR_MEMORY, "simplify: out of memory");
        return false;
    }
    part[0] = op->operand[0];
    kept = 0;
    for (uint32_t i = 0; i < op->operands; i++)
        if (op->operand[i]->type.dims[axis] != 0)
            part[kept++] = op->operand[i];
    *replacement = kept > 1 ? tw_g_cat(g, (int)kept, part, axis) : part[0];
    return true;
}

enum { MOST_PARTS = 32 };

/* The one dimension in which `op` (a slice_update without steps) does not write everything; -1: none or several. */
static int written_axis(const tw_op *op)
{
    int axis = -1;
    for (int i = 0; i < op->result[0].type.rank; i++) {
        tw_dim start = op->attr[0].dims.v[i], size = op->operand[1]->type.dims[i];
        if (!tw_dim_constant(start) || !tw_dim_constant(size) || op->attr[1].dims.v[i] != 1)
            return -1;
        if (size == op->result[0].type.dims[i])
            continue;
        if (axis >= 0)
            return -1;
        axis = i;
    }
    return axis;
}

/* Slices written one after another that together are everything, each once: a cat, whatever was below. */
static bool written_in_parts(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *part[MOST_PARTS];
    tw_value *piece[MOST_PARTS];
    int parts = 0, axis = written_axis(op);
    int64_t covered = 0;
    for (const tw_op *p = op; axis >= 0 && p && parts < MOST_PARTS && written_axis(p) == axis;
         p = made_by(p->operand[0], TW_G_SLICE_UPDATE)) {
        part[parts++] = p;
        covered += p->operand[1]->type.dims[axis];
        if (covered >= op->result[0].type.dims[axis])
            break;
    }
    if (!parts || covered != op->result[0].type.dims[axis])
        return false;
    int64_t next = 0;
    for (int n = 0; n < parts; n++) { /* the piece that begins where the last one ended */
        piece[n] = NULL;
        for (int i = 0; i < parts; i++)
            if (part[i]->attr[0].dims.v[axis] == next && part[i]->operand[1]->type.dims[axis] > 0)
                piece[n] = part[i]->operand[1];
        if (!piece[n])
            return false;
        next += piece[n]->type.dims[axis];
    }
    *replacement = tw_g_cat(g, parts, piece, axis);
    return true;
}

static const tw_rewrite_rule rules[] = {
    {TW_G_SLICE_UPDATE, "slices written side by side are a cat", written_in_parts},
    {TW_G_RESHAPE, "reshape to the same shape", identity},
    {TW_G_RESHAPE, "reshape of a reshape", reshape_of_reshape},
    {TW_G_RESHAPE, "reshape of a constant", of_constant},
    {TW_G_PERMUTE, "permute that moves no element", only_ones_move},
    {TW_G_PERMUTE, "permute of a permute", permute_of_permute},
    {TW_G_PERMUTE, "permute of a constant", of_constant},
    {TW_G_PERMUTE, "(a b)^T = b^T a^T", transposed_dot},
    {TW_G_EXPAND, "expand to the same shape", identity},
    {TW_G_EXPAND, "expand of an expand", expand_of_expand},
    {TW_G_EXPAND, "expand by sizes of 1 is a reshape", expand_by_ones},
    {TW_G_EXPAND, "expand of a constant", of_constant},
    {TW_G_SLICE, "slice of everything", whole_slice},
    {TW_G_SLICE, "slice of a slice", slice_of_slice},
    {TW_G_SLICE, "slice of a constant", of_constant},
    {TW_G_PAD, "pad by nothing", pad_by_nothing},
    {TW_G_PAD, "pad of a pad", pad_of_pad},
    {TW_G_CAT, "cat of one part, or with empty parts", cat_of_few},
};
const rule_table tw_simplify_views = {rules, TW_COUNT(rules)};
