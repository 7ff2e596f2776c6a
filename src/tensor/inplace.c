/* Changing tensors in place.
 *
 * In the graph nothing changes: the cell gets a new value, and the plan writes it over the old memory where that is
 * safe. A view's change becomes one of its base (views.c), so that every alias sees it and its gradient. */
#include "tensor/internal.h"
#include "tilewright/ops.h"

/* A leaf's gradient is that of its content as it was given: it can't change while a history is recorded. */
static tw_status check(tw_tensor *t, const char *name)
{
    if (tw_tensor_status(t) != TW_OK)
        return tw_error(tw_tensor_status(t), "%s: the tensor carries an error", name);
    for (tw_tensor *base = t; tw_grad_enabled() && base; base = base->view ? base->view->base : NULL)
        if (base->requires_grad)
            return tw_error(TW_ERR_VALUE,
                            "%s: %s that requires gradients is changed in place; turn gradients off "
                            "(tw_set_grad_enabled) or detach it",
                            name, base == t ? "a leaf" : "a view of a leaf");
    return TW_OK;
}

static bool fits_dtype(tw_dtype to, tw_dtype from)
{
    return tw_dtype_floating(to) || (!tw_dtype_floating(from) && (to != TW_BOOL || from == TW_BOOL));
}

/* The content in t's shape and dtype. */
static tw_tensor *fitted(const tw_tensor *t, tw_tensor *content, const char *name, write_kind kind)
{
    if (kind == WRITE_SAME_DTYPE && !fits_dtype(t->dtype, content->dtype))
        return tw_tensor_failed(tw_error(TW_ERR_DTYPE, "%s: the result is %s, which a tensor of %s can't hold", name,
                                         tw_dtype_name(content->dtype), tw_dtype_name(t->dtype)));
    if (content->dtype != t->dtype)
        content = tw_cast(content, t->dtype);
    if (content->rank != t->rank || memcmp(content->shape, t->shape, (size_t)t->rank * sizeof *t->shape))
        content = tw_expand(content, t->rank, t->shape);
    return content;
}

/* The cell's new content and history are those of `content`. */
static tw_status renew(tw_tensor *t, tw_tensor *content)
{
    tw_value *v = tw_tensor_value(content);
    if (!v)
        return tw_error_code();
    bool tracked = tw_grad_enabled() && tw_tracked(content);
    t->cell->version++;
    tw_cell_set_value(t->cell, v);
    if (tw_grad_enabled()) { /* with gradients off the history stays as it is, and backward will notice the version */
        tape_node *before = t->node;
        t->node = tracked ? content->node : NULL;
        if (t->node)
            t->node->references++;
        tw_node_release(before);
    }
    return t->cell->status;
}

static tw_tensor *root_of(tw_tensor *t)
{
    while (t->view)
        t = t->view->base;
    return t;
}

static tw_status write_through(tw_tensor *t, tw_tensor *content, const char *name, write_kind kind)
{
    tw_tensor *written = t, *inside = content;
    bool grown = tw_view_grown(t);
    if (grown && kind != WRITE_FILL && tw_overlaps(t->rank, t->shape, t->stride))
        return tw_error(
            TW_ERR_VALUE,
            "%s: a change in place of an expanded view, in which several elements are one; expected a tensor of "
            "its own (tw_clone)",
            name);
    if (grown) {
        content = tw_view_scattered(t, root_of(t), content);
        t = root_of(t);
    }
    for (; t->view && tw_tensor_status(content) == TW_OK; t = t->view->base)
        content = tw_view_written(t, content);
    TW_TRY(tw_tensor_status(content));
    TW_TRY(renew(t, content));
    if (written->view && (written->view->value = tw_tensor_value(inside))) {
        written->view->segment = tw_segment_current()->number;
        written->view->version = t->cell->version;
    }
    return TW_OK;
}

tw_status tw_write(tw_tensor *t, tw_tensor *content, const char *name, write_kind kind)
{
    TW_TRY(check(t, name));
    if (tw_tensor_status(content) != TW_OK)
        return tw_error(tw_tensor_status(content), "%s: the value carries an error: %s", name, tw_error_message());
    tw_status status = TW_OK;
    TW_SCOPE {
        content = fitted(t, content, name, kind);
        status = tw_tensor_status(content);
        if (status == TW_OK)
            status = write_through(t, content, name, kind);
    }
    return status;
}

tw_status tw_assign(tw_tensor *t, tw_tensor *value)
{
    return tw_write(t, value, "assign", WRITE_ANY_DTYPE);
}

tw_status tw_fill_(tw_tensor *t, double value)
{
    tw_status status = TW_OK;
    TW_SCOPE {
        status = tw_write(t, tw_scalar(value, t->dtype), "fill_", WRITE_FILL);
    }
    return status;
}

tw_status tw_zero_(tw_tensor *t)
{
    return tw_fill_(t, 0);
}

tw_status tw_record_in_place(int code, int operands, tw_tensor *const *operand, const tw_attr *attrs)
{
    char name[48];
    tw_status status = TW_OK;
    snprintf(name, sizeof name, "%s_", tw_graph_table.ops[code].name);
    TW_TRY(check(operand[0], name));
    TW_SCOPE {
        status = tw_write(operand[0], tw_record(code, operands, operand, attrs), name, WRITE_SAME_DTYPE);
    }
    return status;
}
