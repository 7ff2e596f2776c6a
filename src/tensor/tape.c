/* The history of tensors that need gradients.
 *
 *     x (leaf) ──> node of y = exp(x) ──> node of z = y * x ──> z
 *
 * A node knows the operation, the nodes or leaves behind its operands, and the values that its rule will read; not the
 * tensors in between, which may die. A tensor holds the node that made it. After a change in place the tensor holds
 * another node, and what was made from it before goes on pointing to the old one; a value that was saved and has
 * changed since is noticed by its version. */
#include "tensor/internal.h"

#include <stdatomic.h>

#include "autograd/autograd.h"

static _Thread_local bool recording_off;
static _Atomic uint64_t next_order;

bool tw_grad_enabled(void)
{
    return !recording_off;
}

bool tw_set_grad_enabled(bool on)
{
    bool was = !recording_off;
    recording_off = !on;
    return was;
}

tw_tensor *tw_requires_grad(tw_tensor *t, bool on)
{
    if (on && !tw_dtype_floating(t->dtype))
        tw_error(TW_ERR_DTYPE, "requires_grad: a tensor of dtype %s; expected a floating one", tw_dtype_name(t->dtype));
    else if (!on && t->node)
        tw_error(TW_ERR_VALUE, "requires_grad: off for a tensor that was made from others; expected a leaf (tw_detach "
                               "gives a tensor without history)");
    else
        t->requires_grad = on;
    return t;
}

bool tw_needs_grad(const tw_tensor *t)
{
    return t->requires_grad || t->node;
}

tw_tensor *tw_grad_of(const tw_tensor *leaf)
{
    return leaf->grad;
}

void tw_zero_grad(tw_tensor *leaf)
{
    tw_release(leaf->grad);
    leaf->grad = NULL;
}

/* ---- nodes ---- */

/* The value counts as looked at: it will be needed by another segment, if it isn't by this one. */
static bool save(saved *s, tw_tensor *t)
{
    if (t->view && !(s->view = tw_tensor_alias(t)))
        return false;
    s->cell = t->cell;
    s->version = t->cell->version;
    s->cell->references++;
    s->cell->lookers += !s->view;
    return true;
}

static void forget(saved *s)
{
    if (!s->cell)
        return;
    s->cell->lookers -= !s->view;
    tw_cell_release(s->cell);
    tw_release(s->view);
    *s = (saved){0};
}

static void forget_values(tape_node *n)
{
    for (uint32_t i = 0; n->edge && i < n->operands; i++) {
        forget(&n->edge[i].value);
        tw_release(n->edge[i].leaf);
        n->edge[i].leaf = NULL;
    }
    forget(&n->result);
}

/* Iterative: a node may be the last to hold the one before it, and chains are long. */
void tw_node_release(tape_node *n)
{
    if (!n || --n->references > 0)
        return;
    n->next_dead = NULL;
    while (n) {
        tape_node *dead = n;
        n = dead->next_dead;
        forget_values(dead);
        for (uint32_t i = 0; dead->edge && i < dead->operands; i++) {
            tape_node *before = dead->edge[i].node;
            if (!before || --before->references > 0)
                continue;
            before->next_dead = n;
            n = before;
        }
        tw_free(dead->op.attrs);
        tw_free(dead->edge);
        tw_free(dead);
    }
}

void tw_node_spend(tape_node *n)
{
    n->spent = true;
    forget_values(n);
    for (uint32_t i = 0; i < n->operands; i++) {
        tw_node_release(n->edge[i].node);
        n->edge[i].node = NULL;
    }
}

static bool set_edge(edge *e, tw_tensor *t, bool reads)
{
    e->present = true;
    e->type = tw_type_make(t->dtype, t->rank, t->shape);
    if (t->node) {
        e->node = t->node;
        e->node->references++;
    } else if (t->requires_grad) {
        e->leaf = tw_keep(t);
    }
    return !reads || save(&e->value, t);
}

tw_status tw_tape_add(tw_tensor *result, int operands, tw_tensor *const *operand, const tw_op *op)
{
    tape_node *n = tw_alloc_zero(1, sizeof *n);
    if (!n)
        return TW_ERR_MEMORY;
    n->references = 1;
    n->operands = (uint32_t)operands;
    n->edge = tw_alloc_zero((size_t)operands + 1, sizeof *n->edge);
    bool fine = n->edge && tw_recipe_copy(&n->op, op);
    n->type = op->result[0].type;
    n->order = atomic_fetch_add(&next_order, 1);
    for (int i = 0; i < operands && fine; i++)
        if (operand[i])
            fine = set_edge(&n->edge[i], operand[i], tw_derive_reads_operand(op->code, (uint32_t)i));
    if (fine && tw_derive_reads_result(op->code))
        fine = save(&n->result, result);
    if (!fine) {
        tw_node_release(n);
        return TW_ERR_MEMORY;
    }
    result->node = n;
    result->history = result->cell->version;
    return TW_OK;
}

/* ---- histories ---- */

static bool stale(const tw_tensor *t)
{
    return t->view && !t->detached && t->history != t->cell->version;
}

/* A view whose cell has changed since was made, as far as gradients are concerned, from the base as it is now. */
static tw_status renew_history(tw_tensor *t)
{
    tw_tensor *base = t->view->base;
    tw_value result = {.type = tw_type_make(t->dtype, t->rank, t->shape)};
    tw_op op = {
        .info = t->view->op.info, .code = (uint16_t)t->view->op.code, .attr = t->view->op.attrs, .result = &result};
    tw_node_release(t->node);
    t->node = NULL;
    t->history = t->cell->version;
    return base->node || base->requires_grad ? tw_tape_add(t, 1, &base, &op) : TW_OK;
}

/* Up to the first that is current, then down again: chains of views may be long. */
static tw_status renew_histories(tw_tensor *t)
{
    tw_vec(tw_tensor *) chain = {0};
    tw_status status = TW_OK;
    for (; stale(t) && status == TW_OK; t = t->view->base)
        status = tw_vec_push(&chain, t) ? TW_OK : TW_ERR_MEMORY;
    for (size_t i = chain.count; i-- > 0 && status == TW_OK;)
        status = renew_history(chain.data[i]);
    tw_vec_free(&chain);
    return status;
}

bool tw_tracked(tw_tensor *t)
{
    if (stale(t) && renew_histories(t) != TW_OK)
        t->status = TW_ERR_MEMORY;
    return t->node || t->requires_grad;
}
