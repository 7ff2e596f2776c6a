/* The history of tensors that need gradients, and going back through it.
 *
 * A tensor owns the node that made it; a node holds its operands. Where the rule doesn't read an operand's value, the
 * reference is idle: the operand keeps its place in the history but need not be computed for it. tw_backward appends
 * derivative operations to the thread's segment, so that forward and backward run as one graph unless somebody looked
 * in between. */
#include "tensor/internal.h"

#include <stdatomic.h>
#include <stdlib.h>

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

static bool copy_attrs(tape_node *n, const tw_op *op)
{
    size_t lists = 0;
    for (int i = 0; i < op->info->attrs; i++)
        if (op->info->attr_info[i].kind == TW_ATTR_DIMS || op->info->attr_info[i].kind == TW_ATTR_INTS)
            lists += (size_t)op->attr[i].dims.n;
    n->memory = tw_alloc((size_t)op->info->attrs * sizeof *n->attrs + (lists + 1) * sizeof(tw_dim));
    if (!n->memory)
        return false;
    n->attrs = n->memory;
    tw_dim *at = (tw_dim *)(n->attrs + op->info->attrs);
    for (int i = 0; i < op->info->attrs; i++) {
        n->attrs[i] = op->attr[i];
        if (op->info->attr_info[i].kind != TW_ATTR_DIMS && op->info->attr_info[i].kind != TW_ATTR_INTS)
            continue;
        if (op->attr[i].dims.n)
            memcpy(at, op->attr[i].dims.v, (size_t)op->attr[i].dims.n * sizeof *at);
        n->attrs[i].dims.v = at;
        at += op->attr[i].dims.n;
    }
    return true;
}

tw_status tw_tape_add(tw_tensor *result, int code, int operands, tw_tensor *const *operand, const tw_op *op)
{
    tape_node *n = tw_alloc_zero(1, sizeof *n);
    if (!n)
        return TW_ERR_MEMORY;
    n->operand = tw_alloc_zero((size_t)operands + 1, sizeof *n->operand);
    n->version = tw_alloc_zero((size_t)operands + 1, sizeof *n->version);
    if (!n->operand || !n->version || !copy_attrs(n, op)) {
        tw_free(n->operand);
        tw_free(n->version);
        tw_free(n);
        return TW_ERR_MEMORY;
    }
    n->info = op->info;
    n->code = code;
    n->type = op->result[0].type;
    n->operands = (uint32_t)operands;
    n->order = atomic_fetch_add(&next_order, 1);
    for (int i = 0; i < operands; i++) {
        if (!(n->operand[i] = operand[i]))
            continue;
        operand[i]->references++;
        operand[i]->idle += !tw_derive_reads_operand(code, (uint32_t)i);
        n->version[i] = operand[i]->version;
    }
    result->node = n;
    return TW_OK;
}

bool tw_tape_keeps(const tw_tensor *t)
{
    return t->node && tw_derive_reads_result(t->node->code);
}

/* Iterative where chains are long: a node's only reference may be the last one to its operand. */
void tw_tape_forget(tw_tensor *t)
{
    tw_vec(tape_node *) queue = {0};
    tape_node *n = t->node;
    t->node = NULL;
    while (n) {
        for (uint32_t i = 0; i < n->operands; i++) {
            tw_tensor *o = n->operand[i];
            if (!o)
                continue;
            o->idle -= !tw_derive_reads_operand(n->code, i);
            if (o->references == 1 && o->node && tw_vec_push(&queue, o->node))
                o->node = NULL;
            tw_release(o);
        }
        tw_free(n->operand);
        tw_free(n->version);
        tw_free(n->memory);
        tw_free(n);
        n = queue.count ? queue.data[--queue.count] : NULL;
    }
    tw_vec_free(&queue);
}

tw_tensor *tw_detach(tw_tensor *t)
{
    if (t->status != TW_OK)
        return t;
    tw_tensor *d = tw_tensor_create(t->dtype, t->rank, t->shape);
    if (d->status != TW_OK)
        return d;
    if (t->storage && !(t->pending >= 0)) {
        d->storage = t->storage;
        d->storage->references++;
        return d;
    }
    tw_value *v = tw_tensor_value(t);
    if (!v)
        d->status = tw_error_code();
    else
        tw_tensor_set_value(d, v);
    return d;
}

/* ---- backward ---- */

typedef struct entry {
    tw_tensor *t;
    tw_value *grad; /* in the current segment */
} entry;

typedef struct walk {
    tw_vec(entry) entries;
    tw_map *place; /* tensor to 1 + its entry */
} walk;

static entry *entry_of(walk *w, tw_tensor *t)
{
    size_t at = (size_t)(uintptr_t)tw_map_get(w->place, tw_key_pointer(t));
    if (at)
        return &w->entries.data[at - 1];
    if (!tw_vec_push(&w->entries, (entry){t, NULL}) ||
        !tw_map_put(w->place, tw_key_pointer(t), (void *)(uintptr_t)w->entries.count))
        return NULL;
    return &w->entries.data[w->entries.count - 1];
}

/* All tensors behind `t` that have a history. */
static tw_status find_history(walk *w, tw_tensor *t)
{
    size_t next = w->entries.count;
    if (!entry_of(w, t))
        return TW_ERR_MEMORY;
    for (; next < w->entries.count; next++) {
        const tape_node *n = w->entries.data[next].t->node;
        for (uint32_t i = 0; n && i < n->operands; i++)
            if (n->operand[i] && (n->operand[i]->node || n->operand[i]->requires_grad) && !entry_of(w, n->operand[i]))
                return TW_ERR_MEMORY;
    }
    return TW_OK;
}

static int later_first(const void *a, const void *b)
{
    const tape_node *x = (*(tw_tensor *const *)a)->node, *y = (*(tw_tensor *const *)b)->node;
    return x->order < y->order ? 1 : -1;
}

static tw_status add_grad(walk *w, tw_tensor *t, tw_value *grad)
{
    entry *e = entry_of(w, t);
    if (!e)
        return TW_ERR_MEMORY;
    e->grad = e->grad ? tw_derive_accumulate(tw_segment_current()->g, e->grad, grad) : grad;
    return e->grad ? TW_OK : tw_error_code();
}

static tw_status step_back(walk *w, tw_tensor *t)
{
    enum { MOST = 64 };
    const tape_node *n = t->node;
    tw_value *operand[MOST], *gradient[MOST], *grad = entry_of(w, t)->grad;
    tw_value stand_in[MOST], result_stand_in = {.type = n->type}, *result = &result_stand_in;
    uint32_t needed = 0;
    if (!grad)
        return TW_OK;
    for (uint32_t i = 0; i < n->operands; i++) {
        tw_tensor *o = n->operand[i];
        operand[i] = NULL;
        if (!o)
            continue;
        if (o->node || o->requires_grad)
            needed |= 1u << TW_MIN(i, 31u);
        stand_in[i] = (tw_value){.type = tw_type_make(o->dtype, o->rank, o->shape)};
        operand[i] = &stand_in[i];
        if (!tw_derive_reads_operand(n->code, i))
            continue;
        if (n->version[i] != o->version)
            return tw_error(
                TW_ERR_VALUE,
                "backward: operand %u of %s was changed in place after it was used (version %llu, now %llu)", i,
                n->info->name, (unsigned long long)n->version[i], (unsigned long long)o->version);
        if (!(operand[i] = tw_tensor_value(o)))
            return tw_error_code();
    }
    if (tw_derive_reads_result(n->code) && !(result = tw_tensor_value(t)))
        return tw_error_code();
    tw_op op = {.info = n->info,
                .code = (uint16_t)n->code,
                .operands = n->operands,
                .results = 1,
                .operand = operand,
                .attr = n->attrs,
                .result = result};
    TW_TRY(tw_derive(tw_segment_current()->g, &op, operand, result, grad, needed, gradient));
    for (uint32_t i = 0; i < n->operands; i++)
        if (gradient[i] && (n->operand[i]->node || n->operand[i]->requires_grad))
            TW_TRY(add_grad(w, n->operand[i], gradient[i]));
    return TW_OK;
}

static tw_status go_back(walk *w)
{
    tw_vec(tw_tensor *) order = {0};
    tw_status status = TW_OK;
    for (size_t i = 0; i < w->entries.count && status == TW_OK; i++)
        if (w->entries.data[i].t->node && !tw_vec_push(&order, w->entries.data[i].t))
            status = TW_ERR_MEMORY;
    if (status == TW_OK && order.count)
        qsort(order.data, order.count, sizeof *order.data, later_first);
    for (size_t i = 0; i < order.count && status == TW_OK; i++)
        status = step_back(w, order.data[i]);
    tw_vec_free(&order);
    return status;
}

/* Where a walk begins: the tensor's value must be in the segment, then its gradient. */
static tw_status start_from(walk *w, tw_tensor *t, tw_tensor *gradient)
{
    if (t->status != TW_OK)
        return tw_error(t->status, "backward: the tensor carries an error");
    if (!tw_needs_grad(t))
        return tw_error(TW_ERR_VALUE,
                        "backward: the tensor has no history; expected one made from tensors that require gradients");
    if (!gradient && t->count != 1)
        return tw_error(TW_ERR_SHAPE, "backward: a tensor of %lld elements needs a gradient to start from",
                        (long long)t->count);
    TW_TRY(find_history(w, t));
    tw_type type = tw_type_make(t->dtype, t->rank, t->shape);
    tw_graph *g = tw_segment_current()->g;
    tw_value *one = gradient ? tw_tensor_value(gradient) : tw_g_full(g, type.rank, type.dims, 1, 1, t->dtype);
    return one ? add_grad(w, t, one) : tw_error_code();
}

static tw_tensor *own(tw_value *v) /* a tensor that no scope owns yet: the caller keeps it */
{
    tw_tensor *t = tw_tensor_pending(v);
    return t->status == TW_OK ? tw_keep(t) : NULL;
}

static tw_status accumulate_leaves(walk *w)
{
    for (size_t i = 0; i < w->entries.count; i++) {
        tw_tensor *t = w->entries.data[i].t;
        tw_value *grad = w->entries.data[i].grad;
        if (!t->requires_grad || t->node || !grad)
            continue;
        if (t->grad && !(grad = tw_g_add(tw_segment_current()->g, tw_tensor_value(t->grad), grad)))
            return tw_error_code();
        tw_tensor *sum = own(grad);
        if (!sum)
            return TW_ERR_MEMORY;
        tw_release(t->grad);
        t->grad = sum;
    }
    return TW_OK;
}

static void forget_history(walk *w)
{
    for (size_t i = 0; i < w->entries.count; i++)
        w->entries.data[i].t->references++; /* alive until all are cut */
    for (size_t i = 0; i < w->entries.count; i++)
        tw_tape_forget(w->entries.data[i].t);
    for (size_t i = 0; i < w->entries.count; i++)
        tw_release(w->entries.data[i].t);
}

tw_status tw_backward(tw_tensor *loss, tw_tensor *gradient)
{
    walk w = {.place = tw_map_create()};
    tw_status status = w.place && tw_segment_current() ? start_from(&w, loss, gradient) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = go_back(&w);
    if (status == TW_OK)
        status = accumulate_leaves(&w);
    if (status == TW_OK)
        forget_history(&w);
    tw_vec_free(&w.entries);
    tw_map_destroy(w.place);
    return status;
}

tw_status tw_grad(int outputs, tw_tensor *const *output, tw_tensor *const *gradients, int inputs,
                  tw_tensor *const *input, tw_tensor **result, bool create_graph)
{
    walk w = {.place = tw_map_create()};
    tw_status status = w.place && tw_segment_current() ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK && create_graph)
        status =
            tw_error(TW_ERR_UNSUPPORTED,
                     "grad: create_graph; gradients of gradients are available on graphs (tw_autograd_graph) so far");
    for (int i = 0; i < outputs && status == TW_OK; i++)
        status = start_from(&w, output[i], gradients ? gradients[i] : NULL);
    if (status == TW_OK)
        status = go_back(&w);
    for (int i = 0; i < inputs && status == TW_OK; i++) {
        entry *e = entry_of(&w, input[i]);
        result[i] = e && e->grad ? tw_tensor_pending(e->grad) : NULL;
        status = e ? TW_OK : TW_ERR_MEMORY;
    }
    tw_vec_free(&w.entries);
    tw_map_destroy(w.place);
    return status;
}
