/* Going back through the history: gradients are appended to the thread's segment, so that forward and backward run as
 * one graph unless somebody looked in between.
 *
 * Nodes are visited the latest first. For gradients that will be differentiated again (create_graph), every operation
 * that a rule appended gets a node of its own: rules are made of operations that have rules. */
#include <stdlib.h>

#include "autograd/autograd.h"
#include "tensor/internal.h"

enum { MOST_OPERANDS = 64 };

typedef struct target { /* whose gradient is being added up: a node's result, or a leaf */
    tape_node *node;
    tw_tensor *leaf;
    tw_value *grad; /* in the current segment */
} target;

typedef struct walk {
    tw_vec(target) targets;
    tw_map *place;            /* node or leaf to 1 + its target */
    bool create;              /* keep a history of the gradients themselves */
    tw_map *tensor;           /* create: value to a tensor that stands for it, with its history */
    tw_vec(tw_tensor *) kept; /* create: those tensors */
    tw_op *seen;              /* create: the last operation that has its node */
} walk;

static target *target_of(walk *w, tape_node *node, tw_tensor *leaf)
{
    tw_hash key = tw_key_pointer(node ? (void *)node : (void *)leaf);
    size_t at = (size_t)(uintptr_t)tw_map_get(w->place, key);
    if (at)
        return &w->targets.data[at - 1];
    if (!tw_vec_push(&w->targets, (target){node, leaf, NULL}))
        return NULL;
    if (node)
        node->references++;
    if (!tw_map_put(w->place, key, (void *)(uintptr_t)w->targets.count))
        return NULL;
    return &w->targets.data[w->targets.count - 1];
}

static target *target_of_tensor(walk *w, tw_tensor *t)
{
    return target_of(w, t->node, t->node ? NULL : t);
}

/* Everything behind the targets from number `next` on. */
static tw_status find_history(walk *w, size_t next)
{
    for (; next < w->targets.count; next++) {
        const tape_node *n = w->targets.data[next].node;
        if (n && n->spent)
            return tw_error(TW_ERR_VALUE,
                            "backward: a second time through the same history (at %s), whose saved values are gone",
                            n->op.info->name);
        for (uint32_t i = 0; n && i < n->operands; i++)
            if ((n->edge[i].node || n->edge[i].leaf) && !target_of(w, n->edge[i].node, n->edge[i].leaf))
                return TW_ERR_MEMORY;
    }
    return TW_OK;
}

/* ---- gradients with a history ---- */

static tw_status stand_for(walk *w, const tw_value *v, tw_tensor *t)
{
    if (!t)
        return TW_ERR_MEMORY;
    if (!tw_vec_push(&w->kept, t)) {
        tw_release(t);
        return TW_ERR_MEMORY;
    }
    return tw_map_put(w->tensor, tw_key_pointer(v), t) ? TW_OK : TW_ERR_MEMORY;
}

/* A tensor for a value that a rule reads: its content, and the history that it had when it was saved. */
static tw_status bind(walk *w, const tw_value *v, tw_tensor *handle, tape_node *node, tw_tensor *leaf)
{
    if (!w->create || tw_map_get(w->tensor, tw_key_pointer(v)))
        return TW_OK;
    tw_tensor *t = leaf ? tw_keep(leaf) : tw_tensor_alias(handle);
    if (t && !leaf && node) {
        t->node = node;
        node->references++;
    }
    return stand_for(w, v, t);
}

static tw_status bind_saved(walk *w, const tw_value *v, const saved *s, tape_node *node, tw_tensor *leaf)
{
    if (!w->create)
        return TW_OK;
    tw_tensor *handle = s->view ? tw_keep(s->view) : tw_tensor_unowned(tw_tensor_of(s->cell));
    tw_status status = handle ? bind(w, v, handle, node, leaf) : TW_ERR_MEMORY;
    tw_release(handle);
    return status;
}

static tw_tensor *tensor_for(walk *w, tw_value *v)
{
    tw_tensor *t = tw_map_get(w->tensor, tw_key_pointer(v));
    if (t)
        return t;
    t = tw_tensor_unowned(tw_tensor_pending(v));
    return stand_for(w, v, t) == TW_OK ? t : NULL;
}

/* Gives a node to every operation that was appended since the last call. */
static tw_status track_new(walk *w)
{
    tw_block *body = tw_segment_current()->g->body;
    for (tw_op *op = w->seen ? w->seen->next : body->first; w->create && op; op = op->next) {
        tw_tensor *operand[MOST_OPERANDS] = {NULL};
        bool tracked = false;
        if (!op->results || op->operands > MOST_OPERANDS || !tw_dtype_floating((tw_dtype)op->result[0].type.dtype) ||
            tw_map_get(w->tensor, tw_key_pointer(&op->result[0])))
            continue;
        for (uint32_t i = 0; i < op->operands; i++) {
            tw_tensor *known = op->operand[i] ? tw_map_get(w->tensor, tw_key_pointer(op->operand[i])) : NULL;
            tracked = tracked || (known && tw_needs_grad(known));
        }
        for (uint32_t i = 0; i < op->operands && tracked; i++)
            if (op->operand[i] && !(operand[i] = tensor_for(w, op->operand[i])))
                return TW_ERR_MEMORY;
        if (!tracked)
            continue;
        tw_tensor *result = tensor_for(w, &op->result[0]);
        if (!result || tw_tape_add(result, (int)op->operands, operand, op) != TW_OK)
            return TW_ERR_MEMORY;
    }
    w->seen = body->last;
    return TW_OK;
}

/* ---- one node ---- */

static tw_status add_grad(walk *w, tape_node *node, tw_tensor *leaf, tw_value *grad)
{
    target *e = target_of(w, node, leaf);
    if (!e)
        return TW_ERR_MEMORY;
    e->grad = e->grad ? tw_derive_accumulate(tw_segment_current()->g, e->grad, grad) : grad;
    return e->grad ? TW_OK : tw_error_code();
}

/* A saved value in the current segment. */
static tw_value *value_of(const saved *s, const tape_node *n, const char *what, uint32_t which)
{
    if (s->version != s->cell->version) {
        tw_error(TW_ERR_VALUE, "backward: %s %u of %s was changed in place after it was used (version %llu, now %llu)",
                 what, which, n->op.info->name, (unsigned long long)s->version, (unsigned long long)s->cell->version);
        return NULL;
    }
    return s->view ? tw_tensor_value(s->view) : tw_cell_value(s->cell);
}

/* The values that the rule reads; all others are types only. */
static tw_status saved_values(walk *w, tape_node *n, tw_value *stand_in, tw_value **operand, tw_value **result)
{
    for (uint32_t i = 0; i < n->operands; i++) {
        edge *e = &n->edge[i];
        stand_in[i] = (tw_value){.type = e->type};
        operand[i] = e->present ? &stand_in[i] : NULL;
        if (!e->value.cell)
            continue;
        if (!(operand[i] = value_of(&e->value, n, "operand", i)))
            return tw_error_code();
        TW_TRY(bind_saved(w, operand[i], &e->value, e->node, e->leaf));
    }
    if (!n->result.cell)
        return TW_OK;
    if (!(*result = value_of(&n->result, n, "result", 0)))
        return tw_error_code();
    return bind_saved(w, *result, &n->result, n, NULL);
}

static tw_status step_back(walk *w, tape_node *n)
{
    tw_value *operand[MOST_OPERANDS], *gradient[MOST_OPERANDS], *grad = target_of(w, n, NULL)->grad;
    tw_value stand_in[MOST_OPERANDS], result_stand_in = {.type = n->type}, *result = &result_stand_in;
    uint32_t needed = 0;
    if (!grad)
        return TW_OK;
    for (uint32_t i = 0; i < n->operands; i++)
        if (n->edge[i].node || n->edge[i].leaf)
            needed |= 1u << TW_MIN(i, 31u);
    TW_TRY(saved_values(w, n, stand_in, operand, &result));
    TW_TRY(track_new(w)); /* operations that only derive views again are not differentiated: what they stand for is */
    tw_op op = {.info = n->op.info,
                .code = (uint16_t)n->op.code,
                .operands = n->operands,
                .results = 1,
                .operand = operand,
                .attr = n->op.attrs,
                .result = result};
    TW_TRY(tw_derive(tw_segment_current()->g, &op, operand, result, grad, needed, gradient));
    for (uint32_t i = 0; i < n->operands; i++)
        if (gradient[i] && (n->edge[i].node || n->edge[i].leaf))
            TW_TRY(add_grad(w, n->edge[i].node, n->edge[i].leaf, gradient[i]));
    return track_new(w);
}

static int later_first(const void *a, const void *b)
{
    const tape_node *x = *(tape_node *const *)a, *y = *(tape_node *const *)b;
    return x->order < y->order ? 1 : -1;
}

static tw_status go_back(walk *w)
{
    tw_vec(tape_node *) order = {0};
    tw_status status = find_history(w, 0);
    for (size_t i = 0; i < w->targets.count && status == TW_OK; i++)
        if (w->targets.data[i].node && !tw_vec_push(&order, w->targets.data[i].node))
            status = TW_ERR_MEMORY;
    if (status == TW_OK && order.count)
        qsort(order.data, order.count, sizeof *order.data, later_first);
    for (size_t i = 0; i < order.count && status == TW_OK; i++)
        status = step_back(w, order.data[i]);
    tw_vec_free(&order);
    return status;
}

/* ---- a whole walk ---- */

static tw_status begin(walk *w, bool create)
{
    segment *s = tw_segment_current();
    *w = (walk){.place = tw_map_create(), .create = create, .tensor = create ? tw_map_create() : NULL};
    if (!s || !w->place || (create && !w->tensor))
        return TW_ERR_MEMORY;
    w->seen = s->g->body->last;
    return TW_OK;
}

static void end(walk *w)
{
    for (size_t i = 0; i < w->targets.count; i++)
        tw_node_release(w->targets.data[i].node);
    for (size_t i = 0; i < w->kept.count; i++)
        tw_release(w->kept.data[i]);
    tw_vec_free(&w->targets);
    tw_vec_free(&w->kept);
    tw_map_destroy(w->place);
    tw_map_destroy(w->tensor);
}

/* Where a walk begins: the tensor and its gradient. */
static tw_status start_from(walk *w, tw_tensor *t, tw_tensor *gradient)
{
    if (tw_tensor_status(t) != TW_OK)
        return tw_error(tw_tensor_status(t), "backward: the tensor carries an error");
    if (!tw_tracked(t))
        return tw_error(TW_ERR_VALUE,
                        "backward: the tensor has no history; expected one made from tensors that require gradients");
    if (!gradient && t->count != 1)
        return tw_error(TW_ERR_SHAPE, "backward: a tensor of %lld elements needs a gradient to start from",
                        (long long)t->count);
    if (gradient &&
        (gradient->rank != t->rank || memcmp(gradient->shape, t->shape, (size_t)t->rank * sizeof *t->shape) ||
         gradient->dtype != t->dtype))
        return tw_error(TW_ERR_SHAPE,
                        "backward: the gradient has another shape or dtype than the tensor; expected the same");
    tw_type type = tw_type_make(t->dtype, t->rank, t->shape);
    tw_value *one =
        gradient ? tw_tensor_value(gradient) : tw_g_full(tw_segment_current()->g, type.rank, type.dims, 1, 1, t->dtype);
    if (!one)
        return tw_error_code();
    if (gradient && tw_tracked(gradient))
        TW_TRY(bind(w, one, gradient, gradient->node, gradient->node ? NULL : gradient));
    return target_of_tensor(w, t) ? add_grad(w, t->node, t->node ? NULL : t, one) : TW_ERR_MEMORY;
}

/* A tensor for a gradient: with its history if one was kept. The scope's. */
static tw_tensor *gradient_tensor(walk *w, tw_value *grad)
{
    tw_tensor *known = w->create ? tw_map_get(w->tensor, tw_key_pointer(grad)) : NULL;
    tw_tensor *t = tw_tensor_pending(grad);
    if (t->status == TW_OK && known && known->node) {
        t->node = known->node;
        t->node->references++;
        t->history = t->cell->version;
    }
    return t;
}

static tw_status accumulate_leaves(walk *w)
{
    for (size_t i = 0; i < w->targets.count; i++) {
        tw_tensor *t = w->targets.data[i].leaf;
        tw_value *grad = w->targets.data[i].grad;
        if (!t || !t->requires_grad || !grad)
            continue;
        if (t->grad && !(grad = tw_g_add(tw_segment_current()->g, tw_tensor_value(t->grad), grad)))
            return tw_error_code();
        tw_tensor *sum = tw_tensor_unowned(tw_tensor_pending(grad));
        if (!sum)
            return TW_ERR_MEMORY;
        tw_release(t->grad);
        t->grad = sum;
    }
    return TW_OK;
}

tw_status tw_backward(tw_tensor *loss, tw_tensor *gradient)
{
    walk w;
    tw_status status = begin(&w, false);
    if (status == TW_OK)
        status = start_from(&w, loss, gradient);
    if (status == TW_OK)
        status = go_back(&w);
    if (status == TW_OK)
        status = accumulate_leaves(&w);
    for (size_t i = 0; i < w.targets.count && status == TW_OK; i++)
        if (w.targets.data[i].node)
            tw_node_spend(w.targets.data[i].node);
    end(&w);
    return status;
}

tw_status tw_grad(int outputs, tw_tensor *const *output, tw_tensor *const *gradients, int inputs,
                  tw_tensor *const *input, tw_tensor **result, bool create_graph)
{
    walk w;
    tw_status status = begin(&w, create_graph);
    for (int i = 0; i < outputs && status == TW_OK; i++)
        status = start_from(&w, output[i], gradients ? gradients[i] : NULL);
    if (status == TW_OK)
        status = go_back(&w);
    for (int i = 0; i < inputs && status == TW_OK; i++) {
        if (!tw_tracked(input[i])) {
            status = tw_error(TW_ERR_VALUE, "grad: input %d does not require gradients", i);
            break;
        }
        target *e = target_of_tensor(&w, input[i]);
        result[i] = e && e->grad ? gradient_tensor(&w, e->grad) : NULL;
        status = e ? result[i] ? tw_tensor_status(result[i]) : TW_OK : TW_ERR_MEMORY;
    }
    end(&w);
    return status;
}
