/* Views: handles of the same cell that see it with other strides.
 *
 * A view remembers the operation that makes it from its base. In a segment its value is that operation applied to the
 * base's value; when the cell's version moves on, the operation is recorded again. Writing to a view writes to its base
 * what the operation, read backwards, makes of the new content, and so on down to the cell:
 *
 *     v = x[1:3]        v.value = slice(x.value)
 *     v += 1            x.value = slice_update(x.value, slice(x.value) + 1)
 *     exp(x), exp(v)    both see it
 *
 * Behind an expanded view that way is closed, since several of its elements are one; what lies on it without
 * overlapping is written to the cell by its strides instead. */
#include "tensor/internal.h"

#include "ops/build.h"
#include "tilewright/ops.h"

/* ---- recipes ---- */

static bool is_list(const tw_op_info *info, int attr)
{
    return info->attr_info[attr].kind == TW_ATTR_DIMS || info->attr_info[attr].kind == TW_ATTR_INTS;
}

static bool copy_recipe(recipe *r, const tw_op_info *info, int code, const tw_attr *attrs)
{
    size_t lists = 0;
    for (int i = 0; i < info->attrs; i++)
        lists += is_list(info, i) ? (size_t)attrs[i].dims.n : 0;
    *r = (recipe){info, code, tw_alloc((size_t)info->attrs * sizeof *r->attrs + (lists + 1) * sizeof(tw_dim))};
    if (!r->attrs)
        return false;
    tw_dim *at = (tw_dim *)(r->attrs + info->attrs);
    for (int i = 0; i < info->attrs; i++) {
        r->attrs[i] = attrs[i];
        if (!is_list(info, i))
            continue;
        if (attrs[i].dims.n)
            memcpy(at, attrs[i].dims.v, (size_t)attrs[i].dims.n * sizeof *at);
        r->attrs[i].dims.v = at;
        at += attrs[i].dims.n;
    }
    return true;
}

bool tw_recipe_copy(recipe *r, const tw_op *op)
{
    return copy_recipe(r, op->info, op->code, op->attr);
}

/* ---- strides ---- */

/* Strides of a reshape without a copy: runs of old dimensions that lie together in memory are cut anew. */
static bool reshaped_strides(const tw_tensor *x, tw_tensor *y)
{
    int64_t old_count = 1, new_count = 1, below;
    int n = y->rank - 1;
    if (x->count <= 1) {
        for (int i = n; i >= 0; i--) {
            y->stride[i] = new_count;
            new_count *= TW_MAX(y->shape[i], 1);
        }
        return true;
    }
    below = x->stride[x->rank - 1];
    for (int o = x->rank - 1; o >= 0; o--) {
        old_count *= x->shape[o];
        if (o > 0 && (x->shape[o - 1] == 1 || x->stride[o - 1] == old_count * below))
            continue;
        for (; n >= 0 && (new_count < old_count || y->shape[n] == 1); n--) {
            y->stride[n] = new_count * below;
            new_count *= y->shape[n];
        }
        if (new_count != old_count)
            return false;
        if (o > 0)
            below = x->stride[o - 1];
        old_count = new_count = 1;
    }
    return n < 0;
}

static void cut(const tw_tensor *x, tw_tensor *y, int axis, int64_t start)
{
    memcpy(y->stride, x->stride, sizeof y->stride);
    y->offset += start * x->stride[axis];
}

/* Fills in y's strides and offset; false: the result can't share x's memory. y has its shape, and x's offset. */
static bool lay_out(const tw_op *op, const tw_tensor *x, tw_tensor *y)
{
    const tw_attr *attr = op->attr;
    int added = y->rank - x->rank;
    switch (op->code) {
    case TW_G_PERMUTE:
        for (int i = 0; i < x->rank; i++)
            y->stride[i] = x->stride[attr[0].dims.v[i]];
        return true;
    case TW_G_TRANSPOSE:
        memcpy(y->stride, x->stride, sizeof y->stride);
        y->stride[attr[0].i] = x->stride[attr[1].i];
        y->stride[attr[1].i] = x->stride[attr[0].i];
        return true;
    case TW_G_EXPAND:
    case TW_G_BROADCAST_TO:
        for (int i = 0; i < y->rank; i++)
            y->stride[i] = i < added || (x->shape[i - added] == 1 && y->shape[i] != 1) ? 0 : x->stride[i - added];
        return true;
    case TW_G_SLICE:
        for (int i = 0; i < x->rank; i++) {
            y->stride[i] = x->stride[i] * attr[2].dims.v[i];
            y->offset += y->count ? attr[0].dims.v[i] * x->stride[i] : 0;
        }
        return true;
    case TW_G_NARROW_TO:
        cut(x, y, (int)attr[0].i, attr[1].dims.v[0]);
        return true;
    case TW_G_SELECT:
        cut(x, y, (int)attr[0].i, attr[1].i);
        memmove(&y->stride[attr[0].i], &y->stride[attr[0].i + 1], (size_t)(y->rank - attr[0].i) * sizeof *y->stride);
        return true;
    case TW_G_DIAGONAL:
        memcpy(y->stride, x->stride, sizeof y->stride);
        y->stride[y->rank - 1] = x->stride[x->rank - 2] + x->stride[x->rank - 1];
        return true;
    default: /* reshape, flatten, squeeze, unsqueeze */
        return reshaped_strides(x, y);
    }
}

/* ---- making ---- */

static void list_view(tw_tensor *t)
{
    segment *s = tw_segment_current();
    t->view->listed = (int)s->views.count;
    if (!tw_vec_push(&s->views, t))
        t->view->listed = -1; /* then the base is computed too, no more */
}

static bool attach(tw_tensor *t, tw_tensor *base, const tw_op_info *info, int code, const tw_attr *attrs)
{
    view *w = tw_alloc_zero(1, sizeof *w);
    if (!w || !copy_recipe(&w->op, info, code, attrs)) {
        tw_free(w);
        return false;
    }
    w->listed = -1;
    w->base = tw_keep(base);
    if (base->references - 1 == base->bases) /* tw_keep took it for a look */
        base->cell->lookers--;
    base->bases++;
    t->view = w;
    if (!t->cell->data)
        list_view(t);
    return true;
}

tw_tensor *tw_view_of(tw_tensor *base, tw_op *op)
{
    tw_tensor trial = {.rank = op->result[0].type.rank, .offset = base->offset, .count = 1};
    for (int i = 0; i < trial.rank; i++) {
        trial.shape[i] = op->result[0].type.dims[i];
        trial.count *= trial.shape[i];
    }
    if (!lay_out(op, base, &trial))
        return NULL;
    tw_tensor *t = tw_tensor_of(base->cell);
    if (t->status != TW_OK)
        return t;
    t->rank = trial.rank;
    t->count = trial.count;
    t->offset = trial.offset;
    memcpy(t->shape, trial.shape, sizeof t->shape);
    memcpy(t->stride, trial.stride, sizeof t->stride);
    t->detached = base->detached || !tw_grad_enabled();
    t->history = base->cell->version;
    if (!attach(t, base, op->info, op->code, op->attr)) {
        t->status = TW_ERR_MEMORY;
        return t;
    }
    t->view->segment = tw_segment_current()->number;
    t->view->version = base->cell->version;
    t->view->value = &op->result[0];
    return t;
}

/* Not owned by any scope; NULL: no memory. `base` is an alias of from's base. */
static tw_tensor *copy_view(const tw_tensor *from, tw_tensor *base)
{
    const view *w = from->view;
    tw_tensor *t = tw_tensor_unowned(tw_tensor_of(from->cell));
    if (!t)
        return NULL;
    t->detached = true;
    t->rank = from->rank;
    t->count = from->count;
    t->offset = from->offset;
    memcpy(t->shape, from->shape, sizeof t->shape);
    memcpy(t->stride, from->stride, sizeof t->stride);
    if (!attach(t, base, w->op.info, w->op.code, w->op.attrs)) {
        tw_release(t);
        return NULL;
    }
    t->view->segment = w->segment;
    t->view->version = w->version;
    t->view->value = w->value;
    return t;
}

/* The whole chain down to the cell is copied, so that no handle with a history is held. */
tw_tensor *tw_tensor_alias(tw_tensor *t)
{
    tw_vec(tw_tensor *) chain = {0};
    bool fine = true;
    for (tw_tensor *at = t; fine && at->view; at = at->view->base)
        fine = tw_vec_push(&chain, at);
    tw_tensor *alias = fine ? tw_tensor_unowned(tw_tensor_of(t->cell)) : NULL;
    if (alias)
        alias->detached = true;
    for (size_t i = chain.count; alias && i-- > 0;) {
        tw_tensor *base = alias;
        alias = copy_view(chain.data[i], base);
        tw_release(base);
    }
    tw_vec_free(&chain);
    return alias;
}

tw_tensor *tw_detach(tw_tensor *t)
{
    if (tw_tensor_status(t) != TW_OK)
        return t;
    tw_tensor *d = tw_tensor_alias(t);
    if (d && tw_scope_own(d))
        return d;
    tw_release(d);
    return tw_tensor_failed(TW_ERR_MEMORY);
}

static void detach_from_base(tw_tensor *t)
{
    segment *s = tw_segment_current();
    if (s && t->view->listed >= 0 && (size_t)t->view->listed < s->views.count && s->views.data[t->view->listed] == t)
        s->views.data[t->view->listed] = NULL;
    tw_free(t->view->op.attrs);
    tw_free(t->view);
    t->view = NULL;
}

void tw_view_forget(tw_tensor *t)
{
    if (t->view)
        detach_from_base(t);
}

/* ---- values ---- */

static bool current(const tw_tensor *t, const segment *s)
{
    return !t->view || (t->view->segment == s->number && t->view->version == t->cell->version);
}

/* Up to the nearest handle whose value is known, then down again: chains of views may be long. */
tw_value *tw_view_value(tw_tensor *t)
{
    segment *s = tw_segment_current();
    tw_vec(tw_tensor *) chain = {0};
    tw_tensor *at = t;
    bool fine = s != NULL;
    for (; fine && !current(at, s); at = at->view->base)
        fine = tw_vec_push(&chain, at);
    tw_value *v = !fine ? NULL : at->view ? at->view->value : tw_tensor_value(at);
    for (size_t i = chain.count; v && i-- > 0;) {
        view *w = chain.data[i]->view;
        tw_op *op = tw_graph_add(s->g, w->op.code, 1, &v, w->op.attrs);
        v = op ? &op->result[0] : NULL;
        w->segment = s->number;
        w->version = t->cell->version;
        w->value = v;
    }
    tw_vec_free(&chain);
    return v;
}

/* ---- writing ---- */

static tw_tensor *written_slice(tw_tensor *x, tw_tensor *content, int axis, int64_t start)
{
    int64_t starts[TW_MAX_RANK] = {0}, steps[TW_MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        steps[i] = 1;
    starts[axis] = start;
    return tw_slice_update(x, content, x->rank, starts, x->rank, steps);
}

/* Element (i, i) is content[i]: rows are compared with columns. */
static tw_tensor *written_diagonal(tw_tensor *x, tw_tensor *content)
{
    int rank = x->rank;
    int64_t rows = x->shape[rank - 2], columns = x->shape[rank - 1], none[TW_MAX_RANK] = {0}, more[TW_MAX_RANK] = {0};
    tw_tensor *row = tw_unsqueeze(tw_arange(0, (double)rows, 1, TW_I64), 1),
              *column = tw_unsqueeze(tw_arange(0, (double)columns, 1, TW_I64), 0);
    more[rank - 2] = TW_MAX(rows - columns, 0);
    content = tw_unsqueeze(tw_pad(content, rank - 1, none, rank - 1, more, 0), -1);
    return tw_where(tw_eq(row, column), content, x);
}

tw_tensor *tw_view_written(tw_tensor *t, tw_tensor *content)
{
    tw_tensor *x = t->view->base;
    const tw_attr *attr = t->view->op.attrs;
    int64_t back[TW_MAX_RANK];
    switch (t->view->op.code) {
    case TW_G_PERMUTE:
        for (int i = 0; i < x->rank; i++)
            back[attr[0].dims.v[i]] = i;
        return tw_permute(content, x->rank, back);
    case TW_G_TRANSPOSE:
        return tw_transpose(content, attr[0].i, attr[1].i);
    case TW_G_SLICE:
        return tw_slice_update(x, content, x->rank, attr[0].dims.v, x->rank, attr[2].dims.v);
    case TW_G_NARROW_TO:
        return written_slice(x, content, (int)attr[0].i, attr[1].dims.v[0]);
    case TW_G_SELECT:
        return written_slice(x, tw_unsqueeze(content, attr[0].i), (int)attr[0].i, attr[1].i);
    case TW_G_DIAGONAL:
        return written_diagonal(x, content);
    default: /* also an expanded one that did not grow */
        return tw_reshape(content, x->rank, x->shape);
    }
}

bool tw_view_grown(const tw_tensor *t)
{
    for (; t->view; t = t->view->base)
        if ((t->view->op.code == TW_G_EXPAND || t->view->op.code == TW_G_BROADCAST_TO) &&
            t->count != t->view->base->count)
            return true;
    return false;
}

/* Element i of `content` goes to element offset + i . strides of the cell, whose first handle is `root`. */
tw_tensor *tw_view_scattered(tw_tensor *t, tw_tensor *root, tw_tensor *content)
{
    tw_tensor *index = tw_scalar((double)t->offset, TW_I64);
    for (int d = 0; d < t->rank; d++) {
        int64_t shape[TW_MAX_RANK];
        for (int i = 0; i < t->rank; i++)
            shape[i] = i == d ? t->shape[d] : 1;
        tw_tensor *along =
            tw_mul(tw_arange(0, (double)t->shape[d], 1, TW_I64), tw_scalar((double)t->stride[d], TW_I64));
        index = tw_add(index, tw_reshape(along, t->rank, shape));
    }
    index = tw_reshape(tw_expand(index, t->rank, t->shape), 1, &t->count);
    tw_tensor *flat = tw_reshape(root, 1, &root->count);
    return tw_reshape(tw_scatter(flat, index, tw_reshape(content, 1, &t->count), 0), root->rank, root->shape);
}

tw_status tw_view_separate(tw_tensor *t)
{
    tw_value *v = tw_tensor_value(t);
    cell *own = v ? tw_cell_create(t->dtype, t->rank, t->shape) : NULL, *shared = t->cell;
    if (!own)
        return TW_ERR_MEMORY;
    tw_tensor *base = t->view->base;
    detach_from_base(t);
    t->cell = own;
    own->lookers = 1;
    own->version = shared->version;
    t->offset = 0;
    memcpy(t->stride, own->stride, sizeof t->stride);
    tw_cell_set_value(own, v);
    shared->lookers--;
    tw_cell_release(shared);
    tw_base_release(base);
    return TW_OK;
}

tw_tensor *tw_clone(tw_tensor *t)
{
    return tw_cast(t, t->dtype);
}

tw_tensor *tw_contiguous(tw_tensor *t)
{
    return tw_row_major(t->rank, t->shape, t->stride) ? t : tw_clone(t);
}
