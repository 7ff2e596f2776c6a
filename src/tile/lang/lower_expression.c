/* Expressions. */
#include <math.h>
#include <stdlib.h>

#include "tile/lang/lower.h"

/* ---- names ---- */

/* A module's constant, evaluated where it is written. */
static bool module_constant(lowering *c, const node *n, const meaning *m, val *out)
{
    function here = {.name = m->name, .module = m->scope->module, .scope = m->scope, .at = m->value->at};
    frame f = {.caller = c->frame, .f = &here, .site = n, .host = true, .place = c->frame->place};
    if (++c->calls > MOST_CALLS)
        return tw_lang_error(c, n, "the constant '%s' is defined by itself", m->name);
    c->frame = &f;
    bool fine = tw_lang_evaluate(c, m->value, out);
    c->frame = f.caller;
    c->calls--;
    return fine;
}

bool tw_lang_meaning_value(lowering *c, const node *n, meaning m, val *out)
{
    static const struct {
        const char *name;
        double value;
    } reals[] = {{"math.pi", 3.14159265358979323846},
                 {"math.e", 2.71828182845904523536},
                 {"math.inf", INFINITY},
                 {"math.nan", NAN}};
    sca s;
    switch (m.kind) {
    case IS_EXPRESSION:
        return module_constant(c, n, &m, out);
    case IS_FUNCTION:
        *out = (val){.kind = V_FUNCTION, .function = m.function};
        return true;
    case IS_DTYPE:
        if (!tw_lang_sca_named(m.name, strlen(m.name), &s))
            return tw_lang_error(c, n, "the dtype %s is not supported", m.name);
        *out = (val){.kind = V_TYPE, .s = s, .count = -1};
        return true;
    case IS_SPECIAL:
        if (!strcmp(m.name, "CONSTEXPR_0"))
            return *out = of_int(0), true;
        if (!strcmp(m.name, "TRITON_MAX_TENSOR_NUMEL"))
            return *out = of_int(1 << 20), true;
        for (size_t i = 0; i < TW_COUNT(reals); i++)
            if (!strcmp(m.name, reals[i].name))
                return *out = of_float(reals[i].value), true;
        break;
    case IS_NOTHING:
        return tw_lang_error(c, n, "name '%.*s' is not defined", (int)TW_MIN(n->length, 60u),
                             c->frame->f->module->file.text + n->at);
    default:
        break;
    }
    *out = (val){.kind = V_MEANING};
    if (!(out->meaning = tw_arena_copy(c->l->arena, &m, sizeof m)))
        return tw_lang_error(c, n, "out of memory");
    return true;
}

static bool evaluate_name(lowering *c, const node *n, val *out)
{
    for (frame *f = c->frame; f; f = f->defined_in) {
        const val *v = tw_lang_variable(f, n->name);
        if (!v)
            continue;
        if (v->kind == V_UNDEFINED)
            return tw_lang_error(c, n, "'%s' has no value here: %s", n->name,
                                 v->name ? v->name : "only one way defines it");
        *out = *v;
        return true;
    }
    return tw_lang_meaning_value(c, n, tw_lang_meaning(c->frame->f->scope, n->name), out);
}

/* ---- strings ---- */

static bool format_value(lowering *c, const node *n, const val *v, tw_text *text)
{
    val known;
    if (v->kind == V_STRING)
        tw_text_add_bytes(text, v->text, (size_t)v->count);
    else if (v->kind == V_NONE)
        tw_text_add(text, "None");
    else if (v->kind == V_TYPE)
        tw_lang_print_sca(v->s, text);
    else if (tw_lang_constant(v, &known) && known.kind == V_BOOL)
        tw_text_add(text, known.truth ? "True" : "False");
    else if (tw_lang_constant(v, &known) && known.kind == V_INT)
        tw_text_add(text, "%lld", (long long)known.i);
    else if (tw_lang_constant(v, &known))
        tw_text_add(text, "%.17g", known.f);
    else
        tw_text_add(text, "%s", tw_lang_type_text(c, v));
    return text->count <= MOST_TEXT || tw_lang_error(c, n, "a string of more than %d bytes", MOST_TEXT);
}

static bool evaluate_format(lowering *c, const node *n, val *out)
{
    tw_text text = {0};
    bool fine = true;
    for (uint32_t i = 0; i < n->count && fine; i++) {
        val v;
        fine = tw_lang_evaluate(c, n->child[i], &v) && format_value(c, n->child[i], &v, &text);
    }
    if (fine) {
        *out = (val){.kind = V_STRING, .count = (int)text.count};
        out->text = tw_arena_copy(c->l->arena, tw_text_string(&text), text.count + 1);
        fine = out->text || tw_lang_error(c, n, "out of memory");
    }
    tw_text_free(&text);
    return fine;
}

/* ---- tuples, dictionaries, comprehensions ---- */

static bool evaluate_items(lowering *c, const node *n, val *out)
{
    val_list list = {0};
    bool fine = true;
    for (uint32_t i = 0; i < n->count && fine; i++) {
        const node *child = n->child[i];
        val v;
        fine = tw_lang_evaluate(c, child->kind == N_STARRED ? child->child[0] : child, &v);
        if (fine && child->kind == N_STARRED) {
            fine = tw_lang_iterate(c, child, &v, &v);
            for (int j = 0; j < v.count && fine; j++)
                fine = tw_vec_push(&list, v.item[j]);
        } else if (fine) {
            fine = tw_vec_push(&list, v);
        }
    }
    if (fine) {
        *out = tw_lang_tuple(c, (int)list.count);
        fine = out->count == (int)list.count || tw_lang_error(c, n, "a tuple of more than %d items", MOST_ITEMS);
        for (int i = 0; i < out->count && fine; i++)
            out->item[i] = list.data[i];
    }
    tw_vec_free(&list);
    return fine || tw_lang_error(c, n, "out of memory");
}

static bool evaluate_dict(lowering *c, const node *n, val *out)
{
    *out = tw_lang_tuple(c, (int)n->count);
    out->kind = V_DICT;
    for (uint32_t i = 0; i < n->count; i++) {
        if (!n->child[i])
            return tw_lang_error(c, n, "not supported: ** in a dictionary");
        if ((int)i >= out->count || !tw_lang_evaluate(c, n->child[i], &out->item[i]))
            return tw_lang_error(c, n, "a dictionary of more than %d items", MOST_ITEMS / 2);
    }
    return true;
}

static bool comprehend(lowering *c, const node *n, uint32_t clause, val_list *list)
{
    uint32_t elements = n->op == ':' ? 2 : 1;
    if (!tw_lang_step(c, n))
        return false;
    if (clause == n->count) {
        for (uint32_t i = 0; i < elements; i++) {
            val v;
            if (!tw_lang_evaluate(c, n->child[i], &v) || !tw_vec_push(list, v))
                return tw_lang_error(c, n, "out of memory");
        }
        return list->count <= MOST_ITEMS || tw_lang_error(c, n, "a list of more than %d items", MOST_ITEMS);
    }
    const node *k = n->child[clause];
    val items, v;
    if (!tw_lang_evaluate(c, k->child[1], &v) || !tw_lang_iterate(c, k, &v, &items))
        return false;
    for (int i = 0; i < items.count; i++) {
        bool take = true;
        if (!tw_lang_assign(c, k->child[0], items.item[i], true))
            return false;
        for (uint32_t j = 2; j < k->count && take; j++)
            if (!tw_lang_evaluate(c, k->child[j], &v) || !tw_lang_truth(c, k->child[j], &v, &take))
                return false;
        if (take && !comprehend(c, n, clause + 1, list))
            return false;
    }
    return true;
}

static bool evaluate_comprehension(lowering *c, const node *n, val *out)
{
    val_list list = {0};
    int before = c->frame->env.count;
    bool fine = comprehend(c, n, n->op == ':' ? 2 : 1, &list);
    c->frame->env.count = TW_MIN(before, c->frame->env.count); /* its variables are its own */
    if (fine) {
        *out = tw_lang_tuple(c, (int)list.count);
        for (int i = 0; i < out->count; i++)
            out->item[i] = list.data[i];
        out->kind = n->op == ':' ? V_DICT : V_TUPLE;
    }
    tw_vec_free(&list);
    return fine;
}

/* ---- attributes ---- */

static val shape_value(lowering *c, int rank, const int64_t *dims)
{
    val t = tw_lang_tuple(c, rank);
    for (int i = 0; i < t.count; i++)
        t.item[i] = of_int(dims[i]);
    return t;
}

static bool type_attribute(lowering *c, const node *n, const val *of, const char *name, val *out)
{
    const sca_info *info = &tw_sca[of->s.kind];
    *out = (val){.kind = V_TYPE, .s = of->s, .count = -1};
    if (!strcmp(name, "scalar") || (!strcmp(name, "element_ty") && of->count >= 0) || !strcmp(name, "dtype"))
        return true;
    if (!strcmp(name, "element_ty")) {
        if (out->s.pointers)
            out->s.pointers--;
        return true;
    }
    if (!strcmp(name, "shape"))
        return *out = shape_value(c, TW_MAX(of->count, 0), of->dims), true;
    if (!strcmp(name, "primitive_bitwidth") || !strcmp(name, "int_bitwidth") || !strcmp(name, "itemsize"))
        return *out = of_int((of->s.pointers ? 64 : info->bits) / (!strcmp(name, "itemsize") ? 8 : 1)), true;
    if (!strcmp(name, "fp_mantissa_width"))
        return *out = of_int(info->mantissa), true;
    if (!strcmp(name, "numel")) {
        int64_t numel = 1;
        for (int i = 0; i < of->count; i++)
            numel *= of->dims[i];
        return *out = of_int(numel), true;
    }
    if (!strcmp(name, "name")) {
        tw_text text = {0};
        tw_lang_print_sca(of->s, &text);
        if (is_floating(of->s) && of->s.kind != S_BF16) /* Triton's own names */
            tw_text_free(&text), tw_text_add(&text, "fp%s", info->brief + 1);
        if (is_integer(of->s))
            tw_text_free(&text), tw_text_add(&text, "%s", info->name);
        *out = (val){.kind = V_STRING,
                     .count = (int)text.count,
                     .text = tw_arena_text(c->l->arena, "%s", tw_text_string(&text))};
        tw_text_free(&text);
        return out->text || tw_lang_error(c, n, "out of memory");
    }
    *out = (val){.kind = V_METHOD, .name = name};
    if (!(out->item = tw_arena_copy(c->l->arena, of, sizeof *of)))
        return tw_lang_error(c, n, "out of memory");
    return true;
}

static bool block_attribute(lowering *c, const node *n, const val *of, const char *name, val *out)
{
    const block_pointer *b = of->block;
    if (!strcmp(name, "dtype") || !strcmp(name, "type")) {
        *out = (val){.kind = V_TYPE, .s = {.kind = b->base.s.kind}, .count = -1};
        if (!of->descriptor || !strcmp(name, "type"))
            out->s.pointers = 1;
        return true;
    }
    if (!strcmp(name, "block_shape") || !strcmp(name, "block_type"))
        return *out = shape_value(c, b->rank, b->size), true;
    if (!strcmp(name, "shape") || !strcmp(name, "strides")) {
        *out = tw_lang_tuple(c, b->rank);
        for (int i = 0; i < out->count; i++)
            out->item[i] = !strcmp(name, "shape") ? b->shape[i] : b->stride[i];
        return true;
    }
    *out = (val){.kind = V_METHOD, .name = name};
    if (!(out->item = tw_arena_copy(c->l->arena, of, sizeof *of)))
        return tw_lang_error(c, n, "out of memory");
    return true;
}

static bool tensor_attribute(lowering *c, const node *n, const val *of, const char *name, val *out)
{
    const tw_type *t = &of->v->type;
    if (!strcmp(name, "dtype"))
        return *out = (val){.kind = V_TYPE, .s = of->s, .count = -1}, true;
    if (!strcmp(name, "type")) {
        *out = (val){.kind = V_TYPE, .s = of->s, .count = t->rank ? t->rank : -1};
        out->dims = tw_arena_copy(c->l->arena, t->dims, sizeof t->dims);
        return out->dims || tw_lang_error(c, n, "out of memory");
    }
    if (!strcmp(name, "shape"))
        return *out = shape_value(c, t->rank, t->dims), true;
    if (!strcmp(name, "numel")) {
        int64_t count = 1;
        for (int i = 0; i < t->rank; i++)
            count *= t->dims[i];
        return *out = of_int(count), true;
    }
    if (!strcmp(name, "ndim"))
        return *out = of_int(t->rank), true;
    if (!strcmp(name, "T")) {
        int64_t axes[2] = {1, 0};
        if (t->rank != 2)
            return tw_lang_error(c, n, ".T of %s; expected two dimensions", tw_lang_type_text(c, of));
        *out = *of;
        return tw_lang_permute(c, n, out, axes);
    }
    if (!strcmp(name, "value"))
        return *out = *of, true;
    *out = (val){.kind = V_METHOD, .name = name};
    if (!(out->item = tw_arena_copy(c->l->arena, of, sizeof *of)))
        return tw_lang_error(c, n, "out of memory");
    return true;
}

bool tw_lang_attribute(lowering *c, const node *n, const val *of, const char *name, val *out)
{
    switch (of->kind) {
    case V_TENSOR:
        return tensor_attribute(c, n, of, name, out);
    case V_TYPE:
        return type_attribute(c, n, of, name, out);
    case V_BLOCK:
        return block_attribute(c, n, of, name, out);
    case V_MEANING:
        if (of->meaning->kind == IS_MODULE || of->meaning->kind == IS_FILE || of->meaning->kind == IS_CLASS) {
            meaning m = tw_lang_member(c->l, *of->meaning, name);
            return m.kind ? tw_lang_meaning_value(c, n, m, out)
                          : tw_lang_error(c, n, "unknown builtin '%s.%s'", of->meaning->name, name);
        }
        break;
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
    case V_STRING:
        if (!strcmp(name, "value"))
            return *out = *of, true;
        if (!strcmp(name, "dtype") || !strcmp(name, "type") || !strcmp(name, "shape") || tw_lang_method(name).kind) {
            val tensor = *of;
            return of->kind != V_STRING && tw_lang_to_tensor(c, n, &tensor) &&
                   tensor_attribute(c, n, &tensor, name, out);
        }
        *out = (val){.kind = V_METHOD, .name = name};
        if (!(out->item = tw_arena_copy(c->l->arena, of, sizeof *of)))
            return tw_lang_error(c, n, "out of memory");
        return true;
    case V_TUPLE:
        for (int i = 0; of->fields && i < of->count; i++)
            if (!strcmp(of->fields[i], name))
                return *out = of->item[i], true;
        if (!strcmp(name, "value") || !strcmp(name, "values"))
            return *out = *of, true;
        *out = (val){.kind = V_METHOD, .name = name};
        if (!(out->item = tw_arena_copy(c->l->arena, of, sizeof *of)))
            return tw_lang_error(c, n, "out of memory");
        return true;
    case V_FUNCTION:
        if (!strcmp(name, "fn"))
            return *out = *of, true;
        break;
    default:
        break;
    }
    return tw_lang_error(c, n, "%s has no attribute '%s' that is known at compile time", tw_lang_type_text(c, of),
                         name);
}

/* ---- logic ---- */

static bool evaluate_logic(lowering *c, const node *n, val *out)
{
    val a, b;
    bool truth;
    if (!tw_lang_evaluate(c, n->child[0], &a))
        return false;
    val known;
    if (a.kind != V_TENSOR || tw_lang_constant(&a, &known)) {
        if (!tw_lang_truth(c, n->child[0], &a, &truth))
            return false;
        if (truth == (n->kind == N_OR))
            return *out = a, true;
        return tw_lang_evaluate(c, n->child[1], out);
    }
    if (!tw_lang_evaluate(c, n->child[1], &b))
        return false;
    if (b.kind != V_TENSOR && !is_number(&b))
        return tw_lang_error(c, n, "operands are %s and %s; expected tensors or numbers", tw_lang_type_text(c, &a),
                             tw_lang_type_text(c, &b));
    return tw_lang_to_bool(c, n, &a) && tw_lang_to_bool(c, n, &b) &&
           tw_lang_binary(c, n, n->kind == N_OR ? OP1('|') : OP1('&'), &a, &b, out);
}

static bool evaluate_comparison(lowering *c, const node *n, val *out)
{
    val left, right, part;
    if (!tw_lang_evaluate(c, n->child[0], &left))
        return false;
    for (uint32_t i = 1; i < n->count; i++) {
        if (!tw_lang_evaluate(c, n->child[i], &right) ||
            !tw_lang_compare(c, n, (compare_kind)n->ops[i - 1], &left, &right, &part))
            return false;
        if (i == 1)
            *out = part;
        else if (!tw_lang_binary(c, n, OP1('&'), out, &part, out))
            return false;
        left = right;
    }
    return true;
}

static bool evaluate_slice(lowering *c, const node *n, val *out)
{
    val t = tw_lang_tuple(c, 3);
    if (t.count != 3)
        return tw_lang_error(c, n, "out of memory");
    for (int i = 0; i < 3; i++) {
        t.item[i] = of_none();
        if (n->child[i] && !tw_lang_evaluate(c, n->child[i], &t.item[i]))
            return false;
    }
    *out = t;
    out->kind = V_SLICE;
    return true;
}

bool tw_lang_conditional(lowering *c, const node *n, val *out);

static bool evaluate(lowering *c, const node *n, val *out)
{
    val a, b;
    switch (n->kind) {
    case N_NAME:
        return evaluate_name(c, n, out);
    case N_INT:
        return *out = of_int(n->number), true;
    case N_FLOAT:
        return *out = of_float(n->real), true;
    case N_STRING:
        return *out = (val){.kind = V_STRING, .text = n->name, .count = (int)n->length}, true;
    case N_FSTRING:
        return evaluate_format(c, n, out);
    case N_TRUE:
    case N_FALSE:
        return *out = of_bool(n->kind == N_TRUE), true;
    case N_NONE:
        return *out = of_none(), true;
    case N_TUPLE:
    case N_LIST:
    case N_SET:
        return evaluate_items(c, n, out);
    case N_DICT:
        return evaluate_dict(c, n, out);
    case N_COMPREHENSION:
        return evaluate_comprehension(c, n, out);
    case N_ATTRIBUTE:
        return tw_lang_evaluate(c, n->child[0], &a) && tw_lang_attribute(c, n, &a, n->name, out);
    case N_SUBSCRIPT:
        return tw_lang_subscript(c, n, out);
    case N_SLICE:
        return evaluate_slice(c, n, out);
    case N_CALL:
        return tw_lang_call(c, n, out);
    case N_UNARY:
        return tw_lang_evaluate(c, n->child[0], &a) && tw_lang_unary(c, n, n->op, &a, out);
    case N_BINARY:
        return tw_lang_evaluate(c, n->child[0], &a) && tw_lang_evaluate(c, n->child[1], &b) &&
               tw_lang_binary(c, n, n->op, &a, &b, out);
    case N_COMPARE:
        return evaluate_comparison(c, n, out);
    case N_AND:
    case N_OR:
        return evaluate_logic(c, n, out);
    case N_CONDITIONAL:
        return tw_lang_conditional(c, n, out);
    case N_WALRUS:
        return tw_lang_evaluate(c, n->child[1], out) && tw_lang_assign(c, n->child[0], *out, false);
    case N_LAMBDA:
        return *out = (val){.kind = V_LAMBDA, .lambda = n}, true;
    case N_ELLIPSIS:
        return tw_lang_error(c, n, "not supported in a kernel: '...'");
    default:
        return tw_lang_error(c, n, "not supported in a kernel: %s", n->kind == N_OTHER ? n->name : "this expression");
    }
}

bool tw_lang_evaluate(lowering *c, const node *n, val *out)
{
    uint32_t place = c->g->place;
    c->depth++;
    bool fine = tw_lang_step(c, n);
    if (fine) {
        if (n->kind == N_CALL || n->kind == N_BINARY || n->kind == N_COMPARE)
            tw_lang_set_place(c, n);
        fine = evaluate(c, n, out);
        c->g->place = place;
    }
    c->depth--;
    return fine;
}
