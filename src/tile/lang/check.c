/* What must hold of a kernel whatever the types of its arguments are: names are defined, builtins exist and are called
 * as their signatures say, functions get the arguments that they need, statements are ones that kernels can have. */
#include "tile/lang/resolve.h"

typedef struct checker {
    function *f;
    tw_lang *l;
    tw_map *locals; /* names that the function assigns */
    struct checker *outer;
    int loops;
} checker;

static bool check(checker *x, const node *n);
static bool check_function(function *f, checker *outer, diagnostic *d);

static bool fail_at(checker *x, const node *n, const char *format, ...) TW_PRINTF(3, 4);

static bool fail_at(checker *x, const node *n, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return tw_lang_fail(x->l, &x->f->d, &x->f->module->file, n->at, n->length, "%s", text);
}

/* ---- which names are local ---- */

static bool add_local(checker *x, const char *name)
{
    return tw_map_put(x->locals, tw_key_pointer(name), (void *)(uintptr_t)name) || (x->l->memory_failed = true, false);
}

static bool collect(checker *x, const node *n, bool target)
{
    if (!n)
        return true;
    switch (n->kind) {
    case N_NAME:
        return !target || add_local(x, n->name);
    case N_DEFINITION:
        return add_local(x, n->function->name);
    case N_WALRUS:
    case N_AUGMENTED:
    case N_ANNOTATED:
    case N_FOR:
    case N_CLAUSE:
        for (uint32_t i = 0; i < n->count; i++)
            if (!collect(x, n->child[i], i == 0))
                return false;
        return true;
    case N_ASSIGN:
        for (uint32_t i = 0; i < n->count; i++)
            if (!collect(x, n->child[i], i + 1 < n->count))
                return false;
        return true;
    case N_PARAMETER:
        return add_local(x, n->name) && collect(x, n->child[1], false);
    case N_SUBSCRIPT:
    case N_ATTRIBUTE:
    case N_CALL:
        target = false;
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < n->count; i++)
        if (!collect(x, n->child[i], target && (n->kind == N_TUPLE || n->kind == N_LIST || n->kind == N_STARRED)))
            return false;
    return true;
}

static bool is_local(const checker *x, const char *name)
{
    for (; x; x = x->outer)
        if (tw_map_get(x->locals, tw_key_pointer(name)))
            return true;
    return false;
}

/* ---- calls ---- */

typedef struct given {
    int positional;
    bool stars, keywords; /* *args, **kwargs: how many isn't known */
} given;

static given count_given(const node *call)
{
    given g = {0};
    for (uint32_t i = 1; i < call->count; i++) {
        g.stars = g.stars || call->child[i]->kind == N_STARRED;
        g.keywords = g.keywords || (call->child[i]->kind == N_KEYWORD && !call->child[i]->name);
        g.positional += call->child[i]->kind != N_KEYWORD && call->child[i]->kind != N_STARRED;
    }
    return g;
}

static const node *keyword_argument(const node *call, const char *name, int length)
{
    for (uint32_t i = 1; i < call->count; i++)
        if (call->child[i]->kind == N_KEYWORD && call->child[i]->name && (int)strlen(call->child[i]->name) == length &&
            !strncmp(call->child[i]->name, name, (size_t)length))
            return call->child[i];
    return NULL;
}

static bool check_builtin_call(checker *x, const node *call, const builtin *b, int self)
{
    parameter p[MOST_PARAMETERS];
    int count = tw_lang_signature(b, p), fixed = 0;
    given g = count_given(call);
    bool rest = false;
    for (int i = 0; i < count; i++) {
        rest = rest || p[i].rest;
        fixed += !p[i].rest && !p[i].keyword_only;
    }
    if (!rest && g.positional + self > fixed)
        return fail_at(x, call, "%s takes at most %d arguments (%s), found %d", b->name, fixed - self, b->signature,
                       g.positional);
    for (uint32_t i = 1; i < call->count; i++) {
        const node *k = call->child[i];
        bool known = k->kind != N_KEYWORD || !k->name || !strcmp(k->name, "_semantic") || !strcmp(k->name, "_builder");
        for (int j = 0; j < count && !known; j++)
            known = (int)strlen(k->name) == p[j].length && !strncmp(k->name, p[j].name, (size_t)p[j].length);
        if (!known)
            return fail_at(x, k, "%s has no parameter '%s'; expected one of: %s", b->name, k->name, b->signature);
    }
    for (int i = self; i < count && !g.stars && !g.keywords; i++)
        if (!p[i].optional && i >= g.positional + self && !keyword_argument(call, p[i].name, p[i].length))
            return fail_at(x, call, "%s misses its argument '%.*s'; expected: %s", b->name, p[i].length, p[i].name,
                           b->signature);
    return true;
}

static bool check_function_call(checker *x, const node *call, const function *f)
{
    given g = count_given(call);
    bool rest = false, all = false;
    int fixed = 0;
    if (!f->body)
        return true; /* its own message says why */
    for (int i = 0; i < f->parameters; i++) {
        rest = rest || f->parameter[i]->op == OP1('*');
        all = all || f->parameter[i]->op == OP2('*', '*');
        fixed += !f->parameter[i]->op && !rest;
    }
    if (!rest && g.positional > fixed)
        return fail_at(x, call, "%s takes %d arguments, found %d", f->name, fixed, g.positional);
    for (uint32_t i = 1; i < call->count; i++) {
        const node *k = call->child[i];
        bool known = k->kind != N_KEYWORD || !k->name || all;
        for (int j = 0; j < f->parameters && !known; j++)
            known = f->parameter[j]->name == k->name;
        if (!known)
            return fail_at(x, k, "%s has no parameter '%s'", f->name, k->name);
    }
    for (int i = 0; i < f->parameters && !g.stars && !g.keywords; i++) {
        const node *p = f->parameter[i];
        if (!p->op && !p->child[1] && i >= g.positional && !keyword_argument(call, p->name, (int)strlen(p->name)))
            return fail_at(x, call, "%s misses its argument '%s'", f->name, p->name);
    }
    return true;
}

/* ---- what an expression is, as far as no types are needed ---- */

static bool word_inside(const char *text, size_t bytes, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n <= bytes; i++) {
        bool before = i > 0 && (text[i - 1] == '_' || (text[i - 1] | 32) >= 'a'),
             after = i + n < bytes && (text[i + n] == '_' || (text[i + n] | 32) >= 'a');
        if (!memcmp(text + i, name, n) && !before && !after)
            return true;
    }
    return false;
}

/* Host code that makes kernels from templates replaces names in their text: such a name stands in one of its strings.
 * It is taken for a value that nobody knows here. */
static bool replaced_by_host(checker *x, const char *name)
{
    module *m = x->f->module;
    for (const token *t = m->tokens.data; t->kind != T_END; t++) {
        if (t->kind != T_STRING || !word_inside(m->file.text + t->at, t->length, name))
            continue;
        tw_lang_bind(m, m->scope, name, BIND_PARAMETER, t->at);
        return true;
    }
    return false;
}

static bool find_meaning(checker *x, const node *n, meaning *m)
{
    *m = (meaning){.kind = IS_OPAQUE, .name = "a value"};
    if (n->kind == N_NAME && !is_local(x, n->name)) {
        *m = tw_lang_meaning(x->f->scope, n->name);
        if (m->kind != IS_NOTHING || replaced_by_host(x, n->name))
            return true;
        const char *near = tw_lang_guess(x->l, NULL, n->name);
        return fail_at(x, n, "name '%s' is not defined%s%s%s", n->name, near ? "; did you mean '" : "",
                       near ? near : "", near ? "'" : "");
    }
    if (n->kind != N_ATTRIBUTE)
        return n->kind == N_NAME || check(x, n);
    meaning of;
    if (!find_meaning(x, n->child[0], &of))
        return false;
    if (of.kind != IS_MODULE && of.kind != IS_FILE && of.kind != IS_CLASS)
        return true;
    *m = tw_lang_member(x->l, of, n->name);
    if (m->kind != IS_NOTHING || replaced_by_host(x, n->name))
        return true;
    const char *near = tw_lang_guess(x->l, &of, n->name);
    return fail_at(x, n, "unknown builtin '%s.%s'%s%s%s", of.name, n->name, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'" : "");
}

static bool check_call(checker *x, const node *n)
{
    meaning m;
    if (!find_meaning(x, n->child[0], &m))
        return false;
    for (uint32_t i = 1; i < n->count; i++)
        if (!check(x, n->child[i]))
            return false;
    if (m.kind == IS_BUILTIN)
        return check_builtin_call(x, n, m.builtin, 0);
    if (m.kind == IS_FUNCTION && (m.function->jit || m.function->host_constant))
        return check_function_call(x, n, m.function);
    return true;
}

static bool check_children(checker *x, const node *n, uint32_t from)
{
    for (uint32_t i = from; i < n->count; i++)
        if (n->child[i] && !check(x, n->child[i]))
            return false;
    return true;
}

static bool check_target(checker *x, const node *n)
{
    switch (n->kind) {
    case N_NAME:
        return true;
    case N_TUPLE:
    case N_LIST:
    case N_STARRED:
        for (uint32_t i = 0; i < n->count; i++)
            if (!check_target(x, n->child[i]))
                return false;
        return true;
    case N_SUBSCRIPT:
    case N_ATTRIBUTE:
        return check(x, n);
    default:
        return fail_at(x, n, "found an expression, expected something that can be assigned to");
    }
}

static bool check_loop(checker *x, const node *n)
{
    if (n->kind == N_FOR && (!check_target(x, n->child[0]) || !check(x, n->child[1])))
        return false;
    if (n->kind == N_WHILE && !check(x, n->child[0]))
        return false;
    x->loops++;
    bool fine = check(x, n->child[n->count - 2]);
    x->loops--;
    return fine && (!n->child[n->count - 1] || check(x, n->child[n->count - 1]));
}

static bool check_assignment(checker *x, const node *n)
{
    for (uint32_t i = 0; i + 1 < n->count; i++)
        if (!check_target(x, n->child[i]))
            return false;
    return check(x, n->child[n->count - 1]);
}

static bool check(checker *x, const node *n)
{
    meaning m;
    switch (n->kind) {
    case N_NAME:
    case N_ATTRIBUTE:
        return find_meaning(x, n, &m);
    case N_CALL:
        return check_call(x, n);
    case N_ASSIGN:
        return check_assignment(x, n);
    case N_ANNOTATED:
        return check_target(x, n->child[0]) && (!n->child[2] || check(x, n->child[2]));
    case N_AUGMENTED:
        return check_target(x, n->child[0]) && check(x, n->child[0]) && check(x, n->child[1]);
    case N_FOR:
    case N_WHILE:
        return check_loop(x, n);
    case N_BREAK:
    case N_CONTINUE:
        return x->loops > 0 || fail_at(x, n, "found '%s' outside a loop", n->kind == N_BREAK ? "break" : "continue");
    case N_DEFINITION:
        return check_function(n->function, x, &x->f->d);
    case N_UNSUPPORTED:
        return fail_at(x, n, "not supported in a kernel: %s", n->name);
    case N_OTHER:
        return fail_at(x, n, "not supported in a kernel: %s", n->name);
    case N_RAISE:
        return true;
    case N_LAMBDA:
        return true;
    case N_DICT:
        return check_children(x, n, 0);
    default:
        return check_children(x, n, 0);
    }
}

static bool check_function(function *f, checker *outer, diagnostic *d)
{
    checker x = {.f = f, .l = f->module->l, .locals = tw_map_create(), .outer = outer};
    bool fine = x.locals != NULL;
    if (f->d.set || !f->body) {
        tw_map_destroy(x.locals);
        return false;
    }
    for (int i = 0; i < f->parameters && fine; i++)
        fine = collect(&x, f->parameter[i], false);
    fine = fine && collect(&x, f->body, false);
    if (!fine)
        x.l->memory_failed = true;
    for (int i = 0; i < f->parameters && fine; i++)
        fine = !f->parameter[i]->child[1] || check(&x, f->parameter[i]->child[1]);
    fine = fine && check(&x, f->body);
    if (!fine && d != &f->d && !d->set)
        *d = f->d;
    tw_map_destroy(x.locals);
    return fine;
}

bool tw_lang_check(function *f)
{
    return check_function(f, NULL, &f->d);
}
