/* Calls: builtins by their signatures, helpers inlined, methods of tensors and types, what Python itself offers. */
#include "tile/lang/lower.h"

typedef struct arguments {
    val_list positional;
    tw_vec(const char *) names;
    val_list named;
} arguments;

static void free_arguments(arguments *a)
{
    tw_vec_free(&a->positional);
    tw_vec_free(&a->names);
    tw_vec_free(&a->named);
}

static bool out_of_memory(lowering *c, const node *n)
{
    return tw_lang_error(c, n, "out of memory");
}

static bool add_named(lowering *c, const node *n, arguments *a, const char *name, val v)
{
    return (tw_vec_push(&a->names, name) && tw_vec_push(&a->named, v)) || out_of_memory(c, n);
}

static bool spread(lowering *c, const node *n, arguments *a, const val *v)
{
    for (int i = 0; v->kind == V_DICT && i + 1 < v->count; i += 2) {
        const val *key = &v->item[i];
        if (key->kind != V_STRING)
            return tw_lang_error(c, n, "** of a dictionary whose keys are no strings");
        if (!add_named(c, n, a, tw_lang_intern(c->l, key->text, (size_t)key->count), v->item[i + 1]))
            return false;
    }
    return v->kind == V_DICT || tw_lang_error(c, n, "** of %s; expected a dictionary", tw_lang_type_text(c, v));
}

static bool evaluate_arguments(lowering *c, const node *n, arguments *a)
{
    for (uint32_t i = 1; i < n->count; i++) {
        const node *k = n->child[i];
        bool wrapped = k->kind == N_KEYWORD || k->kind == N_STARRED;
        val v;
        if (!tw_lang_evaluate(c, wrapped ? k->child[0] : k, &v))
            return false;
        if (k->kind == N_KEYWORD && k->name) {
            if (!add_named(c, k, a, k->name, v))
                return false;
        } else if (k->kind == N_KEYWORD) {
            if (!spread(c, k, a, &v))
                return false;
        } else if (k->kind == N_STARRED) {
            if (!tw_lang_iterate(c, k, &v, &v))
                return false;
            for (int j = 0; j < v.count; j++)
                if (!tw_vec_push(&a->positional, v.item[j]))
                    return out_of_memory(c, n);
        } else if (!tw_vec_push(&a->positional, v)) {
            return out_of_memory(c, n);
        }
        if (a->positional.count > MOST_ITEMS)
            return tw_lang_error(c, n, "more than %d arguments", MOST_ITEMS);
    }
    return true;
}

/* ---- builtins ---- */

static bool call_builtin(lowering *c, const node *n, const builtin *b, const val *self, const arguments *a, val *out)
{
    parameter p[MOST_PARAMETERS];
    val arg[MOST_PARAMETERS];
    int count = tw_lang_signature(b, p);
    size_t used = 0, offset = self != NULL;
    for (int i = 0; i < MOST_PARAMETERS; i++)
        arg[i] = (val){.kind = V_UNDEFINED};
    for (int i = 0; i < count; i++) {
        if (self && i == 0) {
            arg[i] = *self;
        } else if (p[i].rest) {
            size_t rest = a->positional.count - TW_MIN(used, a->positional.count);
            arg[i] = tw_lang_tuple(c, (int)rest);
            for (int k = 0; k < arg[i].count; k++)
                arg[i].item[k] = a->positional.data[used++];
        } else if (!p[i].keyword_only && used < a->positional.count) {
            arg[i] = a->positional.data[used++];
        }
        for (size_t k = 0; k < a->names.count; k++)
            if ((int)strlen(a->names.data[k]) == p[i].length &&
                !strncmp(a->names.data[k], p[i].name, (size_t)p[i].length))
                arg[i] = a->named.data[k];
        if (!given(&arg[i]) && !p[i].optional)
            return tw_lang_error(c, n, "%s misses its argument '%.*s'; expected: %s", b->name, p[i].length, p[i].name,
                                 b->signature);
    }
    if (used < a->positional.count)
        return tw_lang_error(c, n, "%s takes at most %d arguments (%s), found %zu", b->name, count - (int)offset,
                             b->signature, a->positional.count);
    for (size_t k = 0; k < a->names.count; k++) {
        bool known = a->names.data[k][0] == '_';
        for (int i = 0; i < count && !known; i++)
            known = (int)strlen(a->names.data[k]) == p[i].length &&
                    !strncmp(a->names.data[k], p[i].name, (size_t)p[i].length);
        if (!known)
            return tw_lang_error(c, n, "%s has no parameter '%s'; expected one of: %s", b->name, a->names.data[k],
                                 b->signature);
    }
    *out = of_none();
    return b->handler(c, n, arg, b->which, out);
}

/* ---- functions ---- */

static bool annotation_is(const node *annotation, const char *name)
{
    return annotation &&
           (annotation->kind == N_ATTRIBUTE || annotation->kind == N_NAME || annotation->kind == N_STRING) &&
           (!strcmp(annotation->name, name) || (annotation->kind == N_STRING && strstr(annotation->name, name)));
}

static bool bind_parameter(lowering *c, const node *n, frame *f, const node *p, const val *given_value)
{
    val v = *given_value, known;
    if (annotation_is(p->child[0], "constexpr") && v.kind == V_TENSOR) {
        if (!tw_lang_constant(&v, &known))
            return tw_lang_error(
                c, n, "parameter '%s' of %s is tl.constexpr and is given %s; expected a value known at compile time",
                p->name, f->f->name, tw_lang_type_text(c, &v));
        v = known;
    }
    if (v.kind == V_UNDEFINED)
        return tw_lang_error(c, n, "%s misses its argument '%s'", f->f->name, p->name);
    frame *caller = c->frame;
    c->frame = f;
    bool fine = tw_lang_define(c, p->name, v);
    c->frame = caller;
    return fine;
}

static bool default_of(lowering *c, frame *f, const node *p, val *v)
{
    frame *caller = c->frame;
    if (!p->child[1])
        return true;
    c->frame = f;
    bool host = f->host;
    f->host = true;
    bool fine = tw_lang_evaluate(c, p->child[1], v);
    f->host = host;
    c->frame = caller;
    return fine;
}

static bool bind_all(lowering *c, const node *n, frame *f, const arguments *a)
{
    size_t used = 0;
    bool rest = false, named_rest = false;
    for (int i = 0; i < f->f->parameters; i++) {
        const node *p = f->f->parameter[i];
        val v = {.kind = V_UNDEFINED};
        if (p->op == OP1('*')) {
            rest = true;
            if (!*p->name)
                continue;
            v = tw_lang_tuple(c, (int)(a->positional.count - TW_MIN(used, a->positional.count)));
            for (int k = 0; k < v.count; k++)
                v.item[k] = a->positional.data[used++];
        } else if (p->op == OP2('*', '*')) {
            named_rest = true;
            v = tw_lang_tuple(c, 0);
            v.kind = V_DICT;
        } else if (p->op) {
            continue;
        } else {
            if (!rest && used < a->positional.count)
                v = a->positional.data[used++];
            for (size_t k = 0; k < a->names.count; k++)
                if (a->names.data[k] == p->name)
                    v = a->named.data[k];
            if (v.kind == V_UNDEFINED && !default_of(c, f, p, &v))
                return false;
        }
        if (!bind_parameter(c, n, f, p, &v))
            return false;
    }
    if (used < a->positional.count)
        return tw_lang_error(c, n, "%s takes %d arguments, found %zu", f->f->name, f->f->parameters,
                             a->positional.count);
    for (size_t k = 0; k < a->names.count && !named_rest; k++) {
        bool known = a->names.data[k][0] == '_';
        for (int i = 0; i < f->f->parameters && !known; i++)
            known = f->f->parameter[i]->name == a->names.data[k];
        if (!known)
            return tw_lang_error(c, n, "%s has no parameter '%s'", f->f->name, a->names.data[k]);
    }
    return true;
}

static bool call_function(lowering *c, const node *n, function *callee, const arguments *a, val *out)
{
    frame f = {
        .caller = c->frame, .f = callee, .site = n, .host = callee->host_constant || (!callee->jit && c->frame->host)};
    if (!callee->jit && !callee->host_constant && !c->frame->host && !callee->module->prelude)
        return tw_lang_error(c, n, "%s is no kernel function: it has no @triton.jit", callee->name);
    if (!tw_lang_parse_function(callee)) {
        int line = 0, column = 0;
        if (callee->d.file)
            tw_lang_position(callee->d.file, callee->d.at, &line, &column);
        return tw_lang_error(c, n, "%s does not parse: %s:%d: %s", callee->name, callee->module->file.path, line,
                             callee->d.reason ? callee->d.reason : "");
    }
    for (frame *up = c->frame; up; up = up->caller) /* a nested function sees what is around it */
        if (!f.defined_in && up->f->body && callee->scope == up->f->scope && callee != up->f)
            f.defined_in = up->f->module == callee->module && !callee->decorators && !callee->tokens ? up : NULL;
    if (++c->calls > MOST_CALLS)
        return tw_lang_error(c, n, "calls of helpers are nested more than %d deep: does %s call itself?", MOST_CALLS,
                             callee->name);
    f.place = c->g->place;
    bool fine = bind_all(c, n, &f, a);
    if (fine) {
        c->frame = &f;
        fine = tw_lang_run_body(c, callee, out);
        c->frame = f.caller;
        c->g->place = f.place;
    }
    c->calls--;
    return fine;
}

static bool call_lambda(lowering *c, const node *n, const val *callee, const arguments *a, val *out)
{
    const node *l = callee->lambda;
    int before = c->frame->env.count;
    bool host = c->frame->host;
    if (a->positional.count + 1 != l->count)
        return tw_lang_error(c, n, "a lambda of %d parameters is given %zu", (int)l->count - 1, a->positional.count);
    for (uint32_t i = 0; i + 1 < l->count; i++)
        if (!tw_lang_define(c, l->child[i]->name, a->positional.data[i]))
            return false;
    c->frame->host = true;
    bool fine = tw_lang_evaluate(c, l->child[l->count - 1], out);
    c->frame->host = host;
    c->frame->env.count = TW_MIN(before, c->frame->env.count);
    return fine;
}

/* ---- Python's own ---- */

bool tw_lang_iterate(lowering *c, const node *n, const val *v, val *items)
{
    if (v->kind == V_TUPLE) {
        *items = *v;
        return true;
    }
    if (v->kind == V_DICT) {
        val t = tw_lang_tuple(c, v->count / 2);
        for (int i = 0; i < t.count; i++)
            t.item[i] = v->item[2 * i];
        *items = t;
        return true;
    }
    return tw_lang_error(c, n, "found %s, expected a tuple or a range", tw_lang_type_text(c, v));
}

static bool constant_sequence(lowering *c, const node *n, const arguments *a, val *out)
{
    int64_t part[3] = {0, 0, 1};
    size_t count = a->positional.count;
    if (count < 1 || count > 3)
        return tw_lang_error(c, n, "range() takes one to three numbers");
    for (size_t i = 0; i < count; i++)
        if (!tw_lang_to_int(c, n, &a->positional.data[i], "a bound of range()", &part[count == 1 ? 1 : i]))
            return false;
    if (part[2] == 0)
        return tw_lang_error(c, n, "range() with step 0");
    wide distance = part[2] > 0 ? (wide)part[1] - part[0] : (wide)part[0] - part[1],
         size = part[2] > 0 ? part[2] : -(wide)part[2];
    wide rounds = distance > 0 ? (distance + size - 1) / size : 0;
    *out = tw_lang_tuple(c, (int)TW_MIN(rounds, (wide)MOST_ITEMS + 1));
    if (out->count != rounds)
        return tw_lang_error(c, n, "a range of more than %d numbers", MOST_ITEMS);
    for (int i = 0; i < out->count; i++)
        out->item[i] = of_int((wide)part[0] + (wide)i * part[2]);
    return true;
}

static bool zip(lowering *c, const node *n, const arguments *a, val *out)
{
    int least = MOST_ITEMS, lists = (int)a->positional.count;
    for (int k = 0; k < lists; k++) {
        val items;
        if (!tw_lang_iterate(c, n, &a->positional.data[k], &items))
            return false;
        a->positional.data[k] = items;
        least = TW_MIN(least, items.count);
    }
    *out = tw_lang_tuple(c, lists ? least : 0);
    for (int i = 0; i < out->count; i++) {
        out->item[i] = tw_lang_tuple(c, lists);
        for (int k = 0; k < out->item[i].count; k++)
            out->item[i].item[k] = a->positional.data[k].item[i];
    }
    return true;
}

static bool all_or_any(lowering *c, const node *n, const val *items, bool all, val *out)
{
    *out = of_bool(all);
    for (int i = 0; i < items->count; i++) {
        bool truth;
        if (!tw_lang_truth(c, n, &items->item[i], &truth))
            return false;
        if (truth != all)
            *out = of_bool(!all);
    }
    return true;
}

static bool call_special(lowering *c, const node *n, const char *name, const arguments *a, val *out)
{
    val items;
    if (!strcmp(name, "range") || !strcmp(name, "static_range"))
        return constant_sequence(c, n, a, out);
    if (!strcmp(name, "zip"))
        return zip(c, n, a, out);
    if (!strcmp(name, "Config")) { /* of @triton.autotune: its constants; warps and stages mean nothing here */
        for (size_t i = 0; i < a->names.count; i++)
            if (!strcmp(a->names.data[i], "kwargs"))
                return *out = a->named.data[i], true;
        *out = a->positional.count ? a->positional.data[0] : (val){.kind = V_DICT};
        return out->kind == V_DICT ||
               tw_lang_error(c, n, "triton.Config of %s; expected a dictionary", tw_lang_type_text(c, out));
    }
    if (!strcmp(name, "dtype") && a->positional.count == 1) {
        *out = (val){.kind = V_TYPE, .count = -1};
        return tw_lang_type_of(c, n, &a->positional.data[0], &out->s);
    }
    bool known =
        !strcmp(name, "enumerate") || !strcmp(name, "reversed") || !strcmp(name, "all") || !strcmp(name, "any");
    if (!known || a->positional.count != 1)
        return tw_lang_error(c, n, "not supported in a kernel: %s()", name);
    if (!tw_lang_iterate(c, n, &a->positional.data[0], &items))
        return false;
    if (!strcmp(name, "all") || !strcmp(name, "any"))
        return all_or_any(c, n, &items, !strcmp(name, "all"), out);
    *out = tw_lang_tuple(c, items.count);
    for (int i = 0; i < out->count; i++) {
        out->item[i] = items.item[items.count - 1 - i];
        if (strcmp(name, "enumerate") != 0)
            continue;
        out->item[i] = tw_lang_tuple(c, 2);
        if (out->item[i].count != 2)
            return out_of_memory(c, n);
        out->item[i].item[0] = of_int(i);
        out->item[i].item[1] = items.item[i];
    }
    return true;
}

/* ---- methods ---- */

static bool call_type(lowering *c, const node *n, const val *type, const char *method, size_t args, val *out)
{
    static const struct {
        const char *name;
        scalar_kind kind;
    } exact[] = {{"is_fp64", S_F64},       {"is_fp32", S_F32},         {"is_fp16", S_F16},         {"is_bf16", S_BF16},
                 {"is_int1", S_I1},        {"is_bool", S_I1},          {"is_int8", S_I8},          {"is_int16", S_I16},
                 {"is_int32", S_I32},      {"is_int64", S_I64},        {"is_uint8", S_U8},         {"is_uint16", S_U16},
                 {"is_uint32", S_U32},     {"is_uint64", S_U64},       {"is_fp8e4nv", S_F8E4NV},   {"is_fp8e5", S_F8E5},
                 {"is_fp8e4b8", S_F8E4B8}, {"is_fp8e4b15", S_F8E4B15}, {"is_fp8e5b16", S_F8E5B16}, {"is_void", S_VOID}};
    sca s = type->s;
    bool truth = false, known = true;
    for (size_t i = 0; i < TW_COUNT(exact); i++)
        if (!strcmp(method, exact[i].name))
            return *out = of_bool(!is_pointer(s) && s.kind == exact[i].kind), true;
    if (!strcmp(method, "is_ptr"))
        truth = is_pointer(s);
    else if (!strcmp(method, "is_floating") || !strcmp(method, "is_standard_floating"))
        truth = is_floating(s) && (!is_f8(s) || !strcmp(method, "is_floating"));
    else if (!strcmp(method, "is_fp8"))
        truth = is_f8(s);
    else if (!strcmp(method, "is_int"))
        truth = is_integer(s);
    else if (!strcmp(method, "is_int_signed"))
        truth = is_integer(s) && tw_sca[s.kind].sign;
    else if (!strcmp(method, "is_int_unsigned"))
        truth = is_integer(s) && !tw_sca[s.kind].sign;
    else if (!strcmp(method, "is_block"))
        truth = type->count > 0;
    else if (!strcmp(method, "is_const"))
        truth = false;
    else
        known = false;
    if (known && args == 0)
        return *out = of_bool(truth), true;
    if (!strcmp(method, "get_block_shapes"))
        return tw_lang_attribute(c, n, type, "shape", out);
    return tw_lang_error(c, n, "a dtype has no method '%s'", method);
}

static bool call_text(lowering *c, const node *n, const val *self, const char *method, const arguments *a, val *out)
{
    const val *arg = a->positional.count == 1 ? &a->positional.data[0] : NULL;
    bool text = arg && arg->kind == V_STRING && arg->count <= self->count;
    if (!strcmp(method, "startswith") && arg)
        return *out = of_bool(text && !memcmp(self->text, arg->text, (size_t)arg->count)), true;
    if (!strcmp(method, "endswith") && arg)
        return *out = of_bool(text && !memcmp(self->text + self->count - arg->count, arg->text, (size_t)arg->count)),
               true;
    if (!strcmp(method, "lower") || !strcmp(method, "upper")) {
        char *copy = tw_arena_copy(c->l->arena, self->text, (size_t)self->count + 1);
        for (int i = 0; copy && i < self->count; i++) {
            bool letter = (copy[i] | 32) >= 'a' && (copy[i] | 32) <= 'z';
            copy[i] = (char)(letter ? (*method == 'l' ? copy[i] | 32 : copy[i] & ~32) : copy[i]);
        }
        *out = (val){.kind = V_STRING, .text = copy, .count = self->count};
        return copy || out_of_memory(c, n);
    }
    return tw_lang_error(c, n, "a string has no method '%s' here", method);
}

static bool call_method(lowering *c, const node *n, const val *callee, const arguments *a, val *out)
{
    const val *self = callee->item;
    const char *name = callee->name;
    if (self->kind == V_TYPE)
        return call_type(c, n, self, name, a->positional.count, out);
    if (self->kind == V_STRING)
        return call_text(c, n, self, name, a, out);
    if (self->kind == V_BLOCK && !strcmp(name, "gather"))
        name = "gather_rows";
    static const struct {
        const char *name, *op;
    } operators[] = {{"logical_and", "&"}, {"logical_or", "|"}, {"__add__", "+"}, {"__sub__", "-"}, {"__mul__", "*"}};
    for (size_t i = 0; i < TW_COUNT(operators) && a->positional.count == 1; i++)
        if (!strcmp(name, operators[i].name))
            return tw_lang_binary(c, n, op_of(operators[i].op), self, &a->positional.data[0], out);
    meaning m = tw_lang_method(name);
    if (m.kind != IS_BUILTIN && self->kind == V_TENSOR) { /* x.softmax(...) is tl.softmax(x, ...) */
        m = tw_lang_member(c->l, (meaning){.kind = IS_MODULE, .name = "tl", .path = "language"}, name);
        if (m.kind == IS_FUNCTION) {
            arguments with = {0};
            bool fine = tw_vec_push(&with.positional, *self);
            for (size_t i = 0; i < a->positional.count && fine; i++)
                fine = tw_vec_push(&with.positional, a->positional.data[i]);
            for (size_t i = 0; i < a->names.count && fine; i++)
                fine = add_named(c, n, &with, a->names.data[i], a->named.data[i]);
            fine = fine && call_function(c, n, m.function, &with, out);
            free_arguments(&with);
            return fine;
        }
    }
    if (m.kind != IS_BUILTIN)
        return tw_lang_error(c, n, "%s has no method '%s'", tw_lang_type_text(c, self), name);
    return call_builtin(c, n, m.builtin, self, a, out);
}

/* ---- which of them it is ---- */

static bool call_value(lowering *c, const node *n, const val *callee, arguments *a, val *out)
{
    val v;
    switch (callee->kind) {
    case V_FUNCTION:
        return call_function(c, n, callee->function, a, out);
    case V_METHOD:
        return call_method(c, n, callee, a, out);
    case V_LAMBDA:
        return call_lambda(c, n, callee, a, out);
    case V_TYPE:
        if (a->positional.count != 1)
            break;
        v = a->positional.data[0];
        if (!tw_lang_to_tensor(c, n, &v) || !tw_lang_cast(c, n, &v, callee->s))
            return false;
        *out = v;
        return true;
    case V_MEANING:
        if (callee->meaning->kind == IS_BUILTIN)
            return call_builtin(c, n, callee->meaning->builtin, NULL, a, out);
        if (callee->meaning->kind == IS_SPECIAL)
            return call_special(c, n, callee->meaning->name, a, out);
        if (callee->meaning->kind == IS_UNAVAILABLE)
            return tw_lang_error(c, n, "not supported: %s", callee->meaning->name);
        if (callee->meaning->kind == IS_OPAQUE)
            return tw_lang_error(c, n, "'%s' comes from %s, which is not among the given files", callee->meaning->name,
                                 callee->meaning->path ? callee->meaning->path : "host code");
        return tw_lang_error(c, n, "not supported: a call of %s", callee->meaning->name);
    default:
        break;
    }
    return tw_lang_error(c, n, "found a call of %s", tw_lang_type_text(c, callee));
}

bool tw_lang_call(lowering *c, const node *n, val *out)
{
    val callee;
    arguments a = {0};
    if (!tw_lang_evaluate(c, n->child[0], &callee))
        return false;
    bool fine = evaluate_arguments(c, n, &a);
    if (fine) {
        tw_lang_set_place(c, n);
        fine = call_value(c, n, &callee, &a, out);
    }
    free_arguments(&a);
    return fine;
}

bool tw_lang_invoke(lowering *c, const node *site, const val *callee, const val *arg, int count, val *out)
{
    arguments a = {0};
    bool fine = true;
    for (int i = 0; i < count && fine; i++)
        fine = tw_vec_push(&a.positional, arg[i]);
    fine = fine ? call_value(c, site, callee, &a, out) : out_of_memory(c, site);
    free_arguments(&a);
    return fine;
}

bool tw_lang_prelude_call(lowering *c, const node *n, const char *name, const val *arg, int count, val *out)
{
    binding *b = tw_lang_find(c->l->prelude->scope, tw_lang_intern(c->l, name, strlen(name)));
    if (!b || b->kind != BIND_FUNCTION)
        return tw_lang_error(c, n, "the prelude has no %s", name);
    val f = {.kind = V_FUNCTION, .function = b->function};
    return tw_lang_invoke(c, n, &f, arg, count, out);
}
