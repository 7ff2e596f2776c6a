/* Values that depend on the way that was taken: which tile values a val consists of, and making the vals of two ways
 * alike, so that an operation with regions can pass them on. */
#include "tile/lang/lower.h"

static bool push(lowering *c, val_list *out, val v)
{
    return tw_vec_push(out, v) || tw_lang_error(c, NULL, "out of memory");
}

bool tw_lang_leaves(lowering *c, const val *v, val_list *out)
{
    switch (v->kind) {
    case V_TENSOR:
        return push(c, out, *v);
    case V_TUPLE:
        for (int i = 0; i < v->count; i++)
            if (!tw_lang_leaves(c, &v->item[i], out))
                return false;
        return true;
    case V_BLOCK:
        if (!push(c, out, v->block->base))
            return false;
        for (int i = 0; i < v->block->rank; i++)
            if (!push(c, out, v->block->shape[i]) || !push(c, out, v->block->stride[i]) ||
                !push(c, out, v->block->offset[i]))
                return false;
        return true;
    default:
        return true;
    }
}

/* `like` with its tensors replaced by leaf[*used], leaf[*used + 1], ... */
bool tw_lang_rebuild(const val *like, const val *leaf, int *used, lowering *c, val *out)
{
    *out = *like;
    switch (like->kind) {
    case V_TENSOR:
        *out = leaf[(*used)++];
        return true;
    case V_TUPLE:
        *out = tw_lang_tuple(c, like->count);
        out->fields = like->fields;
        if (out->count != like->count)
            return tw_lang_error(c, NULL, "out of memory");
        for (int i = 0; i < like->count; i++)
            if (!tw_lang_rebuild(&like->item[i], leaf, used, c, &out->item[i]))
                return false;
        return true;
    case V_BLOCK:
        if (!(out->block = tw_arena_copy(c->l->arena, like->block, sizeof *like->block)))
            return tw_lang_error(c, NULL, "out of memory");
        out->block->base = leaf[(*used)++];
        for (int i = 0; i < like->block->rank; i++) {
            out->block->shape[i] = leaf[(*used)++];
            out->block->stride[i] = leaf[(*used)++];
            out->block->offset[i] = leaf[(*used)++];
        }
        return true;
    default:
        return true;
    }
}

static val undefined(const char *why)
{
    return (val){.kind = V_UNDEFINED, .name = why};
}

static bool in_block(lowering *c, tw_block *block, const node *n, bool (*make)(lowering *, const node *, val *, sca),
                     val *v, sca s)
{
    tw_block *here = c->g->insert_block;
    tw_graph_insert_at_end(c->g, block);
    bool fine = make(c, n, v, s);
    tw_graph_insert_at_end(c->g, here);
    return fine;
}

static bool as_number(lowering *c, const node *n, val *v, sca s)
{
    val number = *v;
    return tw_lang_number(c, n, &number, s, v);
}

static bool as_itself(lowering *c, const node *n, val *v, sca s)
{
    (void)s;
    return tw_lang_to_tensor(c, n, v);
}

/* A tensor of zeros like *v, which the other way never reads: `return` has not been reached there. */
static bool zeros(lowering *c, const node *n, val *v, sca s)
{
    val like = *v, zero = of_int(0);
    if (is_pointer(s) || is_f8(s)) {
        sca bits = number(is_pointer(s) ? S_I64 : S_U8);
        if (!tw_lang_number(c, n, &zero, bits, v) || !tw_lang_bitcast(c, n, v, s))
            return false;
    } else if (!tw_lang_number(c, n, &zero, s, v)) {
        return false;
    }
    return tw_lang_broadcast(c, n, v, like.v->type.rank, like.v->type.dims);
}

static bool fill(lowering *c, const node *n, const val *like, val *v, tw_block *at)
{
    val_list leaves = {0};
    int used = 0;
    bool fine = tw_lang_leaves(c, like, &leaves);
    for (size_t i = 0; i < leaves.count && fine; i++)
        fine = in_block(c, at, n, zeros, &leaves.data[i], leaves.data[i].s);
    fine = fine && tw_lang_rebuild(like, leaves.data, &used, c, v);
    tw_vec_free(&leaves);
    return fine;
}

static bool tensors(lowering *c, const node *n, val *a, val *b, tw_block *at_a, tw_block *at_b)
{
    bool a_number = a->kind != V_TENSOR, b_number = b->kind != V_TENSOR;
    if (a_number && b_number && !(in_block(c, at_a, n, as_itself, a, a->s) && in_block(c, at_b, n, as_itself, b, b->s)))
        return false;
    if (a_number != b_number) {
        val *num = a_number ? a : b, *tensor = a_number ? b : a;
        bool loses = num->kind == V_FLOAT && !is_floating(tensor->s);
        if (is_pointer(tensor->s) || loses || rank_of(tensor)) {
            *a = *b = undefined("it is a number on one way and a tensor on the other");
            return true;
        }
        if (!in_block(c, a_number ? at_a : at_b, n, as_number, num, tensor->s))
            return false;
    }
    if (!same_sca(a->s, b->s) && !rank_of(a) && !rank_of(b) && is_integer(a->s) && is_integer(b->s)) {
        bool wider = tw_sca[a->s.kind].bits > tw_sca[b->s.kind].bits;
        if (!in_block(c, wider ? at_b : at_a, n, tw_lang_cast, wider ? b : a, wider ? a->s : b->s))
            return false;
    }
    if (!same_sca(a->s, b->s) || !tw_type_equal(&a->v->type, &b->v->type)) {
        const char *why = tw_arena_text(c->l->arena, "it is %s on one way and %s on the other", tw_lang_type_text(c, a),
                                        tw_lang_type_text(c, b));
        *a = *b = undefined(why ? why : "its types differ");
    }
    return true;
}

bool tw_lang_reconcile(lowering *c, const node *n, const char *name, val *a, val *b, tw_block *at_a, tw_block *at_b)
{
    if (tw_lang_same(a, b))
        return true;
    if (name == c->result && a->kind == V_UNDEFINED)
        return fill(c, n, b, a, at_a);
    if (name == c->result && b->kind == V_UNDEFINED)
        return fill(c, n, a, b, at_b);
    bool a_plain = a->kind == V_TENSOR || is_number(a), b_plain = b->kind == V_TENSOR || is_number(b);
    if (a_plain && b_plain)
        return tensors(c, n, a, b, at_a, at_b);
    if (a->kind == V_TUPLE && b->kind == V_TUPLE && a->count == b->count) {
        val x = tw_lang_tuple(c, a->count), y = tw_lang_tuple(c, a->count);
        if (x.count != a->count || y.count != a->count)
            return tw_lang_error(c, n, "out of memory");
        x.fields = y.fields = a->fields;
        for (int i = 0; i < x.count; i++) {
            x.item[i] = a->item[i];
            y.item[i] = b->item[i];
            if (!tw_lang_reconcile(c, n, name, &x.item[i], &y.item[i], at_a, at_b))
                return false;
        }
        *a = x;
        *b = y;
        return true;
    }
    if (a->kind == V_BLOCK && b->kind == V_BLOCK && a->descriptor == b->descriptor &&
        a->block->rank == b->block->rank &&
        !memcmp(a->block->size, b->block->size, (size_t)a->block->rank * sizeof *a->block->size))
        return true;
    *a = *b = undefined(a->kind == V_UNDEFINED || b->kind == V_UNDEFINED ? "only one way defines it"
                        : a->kind == V_NONE || b->kind == V_NONE         ? "it is None on one of the ways here"
                                                                 : "its values differ by the way that was taken");
    return true;
}
