/* Files: host code is walked over for what kernels need of it (functions, constants, imports) and never executed.
 *
 * A logical line that isn't understood is skipped, with the block below it searched for kernels all the same: they
 * stand inside `if`, `try`, classes and functions too. */
#include "tile/lang/internal.h"

typedef struct scanner {
    module *m;
    const token *t, *first;
    tw_vec(node *) decorators;
    int depth;
} scanner;

static void host_block(scanner *x, scope *s);
static void host_statement(scanner *x, scope *s);

/* ---- scopes ---- */

static scope *new_scope(module *m, scope *parent)
{
    scope *s = tw_arena_zero(m->l->arena, 1, sizeof *s);
    if (!s) {
        m->l->memory_failed = true;
        return NULL;
    }
    s->parent = parent;
    s->module = m;
    s->next = m->l->scopes;
    m->l->scopes = s;
    return s;
}

binding *tw_lang_find(scope *s, const char *name)
{
    uintptr_t last = s->last ? (uintptr_t)tw_map_get(s->last, tw_key_pointer(name)) : 0;
    return last ? &s->item[last - 1] : NULL;
}

binding *tw_lang_bind(module *m, scope *s, const char *name, binding_kind kind, uint32_t at)
{
    static binding nowhere;
    if (s->count == s->room) {
        int room = TW_MAX(16, 2 * s->room);
        binding *grown = tw_arena_alloc(m->l->arena, (size_t)room * sizeof *grown);
        if (!grown) {
            m->l->memory_failed = true;
            return &nowhere;
        }
        if (s->count)
            memcpy(grown, s->item, (size_t)s->count * sizeof *grown);
        s->item = grown;
        s->room = room;
    }
    if (!s->last && !(s->last = tw_map_create())) {
        m->l->memory_failed = true;
        return &nowhere;
    }
    binding *b = &s->item[s->count++];
    *b = (binding){
        .name = name, .kind = kind, .at = at, .previous = (int)(uintptr_t)tw_map_get(s->last, tw_key_pointer(name))};
    if (!tw_map_put(s->last, tw_key_pointer(name), (void *)(uintptr_t)s->count))
        m->l->memory_failed = true;
    return b;
}

binding *tw_lang_lookup(scope *s, const char *name, bool *open)
{
    *open = false;
    for (; s; s = s->parent) {
        binding *b = s->class_scope ? NULL : tw_lang_find(s, name);
        if (b)
            return b;
        *open = *open || s->open;
    }
    return NULL;
}

/* ---- which files and modules imports mean ---- */

static bool ends_with(const char *path, const char *tail)
{
    size_t n = strlen(path), m = strlen(tail);
    return n >= m && !strcmp(path + n - m, tail) && (n == m || path[n - m - 1] == '/');
}

/* "..utils.op" as seen from a/b/c.py: "a/utils/op". */
static bool file_of(const module *m, const char *from, char *path, size_t room)
{
    size_t dots = strspn(from, "."), n = 0;
    if (dots) {
        n = strlen(m->file.path);
        for (size_t i = 0; i < dots; i++) {
            while (n > 0 && m->file.path[n - 1] != '/')
                n--;
            n -= n > 0;
        }
        if (n + 2 >= room)
            return false;
        memcpy(path, m->file.path, n);
        if (n && from[dots])
            path[n++] = '/';
    }
    for (const char *c = from + dots; *c; c++) {
        if (n + 1 >= room)
            return false;
        path[n++] = *c == '.' ? '/' : *c;
    }
    path[n] = '\0';
    return n > 0;
}

module *tw_lang_module_of(module *m, const char *from)
{
    enum { ROOM = 480 };
    char path[ROOM], tail[ROOM + 16];
    if (!file_of(m, from, path, sizeof path))
        return NULL;
    for (int package = 0; package < 2; package++) {
        snprintf(tail, sizeof tail, package ? "%s/__init__.py" : "%s.py", path);
        for (module *f = m->l->first; f; f = f->next)
            if (*from == '.' ? !strcmp(f->file.path, tail) : ends_with(f->file.path, tail))
                return f;
    }
    return NULL;
}

bool tw_lang_triton_path(const char *from, char *path, size_t room)
{
    if (strncmp(from, "triton", 6) || (from[6] && from[6] != '.'))
        return false;
    const char *rest = from[6] ? from + 7 : "";
    if (strstr(rest, "libdevice"))
        rest = "libdevice";
    else if (!strcmp(rest, "language.core") || !strcmp(rest, "language.standard") || !strcmp(rest, "language.random") ||
             !strcmp(rest, "language.semantic"))
        rest = "language";
    else if (!strncmp(rest, "language.extra.", 15))
        rest = !strncmp(rest + 15, "cuda", 4) ? "cuda" : rest;
    snprintf(path, room, "%s", rest);
    return true;
}

/* ---- decorators ---- */

static bool is_triton_jit(scope *s, const node *n)
{
    if (n->kind == N_CALL)
        n = n->child[0];
    if (n->kind == N_ATTRIBUTE)
        return !strcmp(n->name, "jit") && n->child[0]->kind == N_NAME && !strcmp(n->child[0]->name, "triton");
    if (n->kind != N_NAME || strcmp(n->name, "jit") != 0)
        return false;
    for (; s; s = s->parent)
        for (const binding *b = tw_lang_find(s, n->name); b; b = b->previous ? &s->item[b->previous - 1] : NULL)
            if (b->kind == BIND_IMPORT && (!strncmp(b->from, "triton", 6) || ends_with(b->from, "..runtime.jit")))
                return true;
    return false;
}

static bool decorated_with(const function *f, const char *name)
{
    for (int i = 0; i < f->decorators; i++) {
        const node *n = f->decorator[i]->kind == N_CALL ? f->decorator[i]->child[0] : f->decorator[i];
        if ((n->kind == N_ATTRIBUTE || n->kind == N_NAME) && !strcmp(n->name, name))
            return true;
    }
    return false;
}

/* ---- functions ---- */

static bool register_kernel(module *m, function *f)
{
    int column;
    f->info.file = m->file.path;
    f->info.name = f->name;
    tw_lang_position(&m->file, f->at, &f->info.line, &column);
    if (m->prelude || tw_vec_push(&m->l->kernels, f))
        return true;
    m->l->memory_failed = true;
    return false;
}

/* From `def` on. On success the parser stands behind the body. */
static bool parse_definition(parser *p, function *f)
{
    p->t += 2;
    if (at_op(p, OP1('['))) { /* type parameters */
        while (!at_op(p, OP1('(')) && p->t->kind != T_NEWLINE && p->t->kind != T_END)
            p->t++;
    }
    if (!tw_lang_expect_op(p, OP1('('), "'('") ||
        !tw_lang_parse_parameters(p, OP1(')'), true, &f->parameter, &f->parameters))
        return false;
    if (tw_lang_take_op(p, OP2('-', '>')) && !tw_lang_parse_expression(p))
        return false;
    f->body = tw_lang_parse_block(p);
    return f->body != NULL;
}

bool tw_lang_parse_function(function *f)
{
    if (f->body || f->d.set || !f->tokens)
        return f->body != NULL;
    parser p = {.l = f->module->l,
                .s = &f->module->file,
                .t = f->tokens,
                .first = f->module->tokens.data,
                .d = &f->d,
                .scope = f->scope};
    return parse_definition(&p, f);
}

static void skip_line(scanner *x)
{
    while (x->t->kind != T_NEWLINE && x->t->kind != T_END)
        x->t++;
    x->t += x->t->kind == T_NEWLINE;
}

static void skip_block(scanner *x)
{
    int depth = 0;
    skip_line(x);
    if (x->t->kind != T_INDENT)
        return;
    do {
        depth += (x->t->kind == T_INDENT) - (x->t->kind == T_DEDENT);
        x->t++;
    } while (depth > 0 && x->t->kind != T_END);
}

/* Parameters of host functions are values that nobody knows here. */
static void bind_parameters(scanner *x, scope *inner)
{
    const token *t = x->t;
    int depth = 0;
    for (; t->kind != T_NEWLINE && t->kind != T_END; t++) {
        depth += t->kind == T_OP && (t->op == OP1('(') || t->op == OP1('[') || t->op == OP1('{'));
        depth -= t->kind == T_OP && (t->op == OP1(')') || t->op == OP1(']') || t->op == OP1('}'));
        bool first = t[-1].kind == T_OP && (t[-1].op == OP1('(') || t[-1].op == OP1(',') || t[-1].op == OP1('*') ||
                                            t[-1].op == OP2('*', '*'));
        if (t->kind == T_NAME && depth == 1 && first)
            tw_lang_bind(x->m, inner, t->text, BIND_PARAMETER, t->at);
        if (depth == 0 && t->kind == T_OP && t->op == OP1(')'))
            return;
    }
}

static void host_function(scanner *x, scope *s)
{
    module *m = x->m;
    const token *def = x->t;
    if (x->t[1].kind != T_NAME) {
        skip_line(x);
        return;
    }
    function *f = tw_arena_zero(m->l->arena, 1, sizeof *f);
    if (!f) {
        m->l->memory_failed = true;
        x->t = m->tokens.data + m->tokens.count - 1;
        return;
    }
    *f = (function){.name = x->t[1].text, .module = m, .scope = s, .at = x->t[1].at, .tokens = def};
    f->decorators = (int)x->decorators.count;
    if (f->decorators)
        f->decorator = tw_arena_copy(m->l->arena, x->decorators.data, x->decorators.count * sizeof *x->decorators.data);
    if (f->decorators && !f->decorator)
        f->decorators = 0;
    for (int i = 0; i < f->decorators; i++)
        f->jit = f->jit || is_triton_jit(s, f->decorator[i]);
    f->host_constant = decorated_with(f, "constexpr_function");
    x->decorators.count = 0;
    tw_lang_bind(m, s, f->name, BIND_FUNCTION, f->at)->function = f;
    if (f->jit || f->host_constant) {
        if (f->jit)
            register_kernel(m, f);
        (void)tw_lang_parse_function(f);
        skip_block(x);
        return;
    }
    scope *inner = new_scope(m, s);
    if (inner) {
        x->t += 2;
        bind_parameters(x, inner);
    }
    skip_line(x);
    if (x->t->kind == T_INDENT && inner) {
        x->t++;
        host_block(x, inner);
    }
}

static void host_class(scanner *x, scope *s)
{
    scope *inner = new_scope(x->m, s);
    if (x->t[1].kind == T_NAME) {
        binding *b = tw_lang_bind(x->m, s, x->t[1].text, BIND_CLASS, x->t[1].at);
        b->inside = inner;
    }
    x->decorators.count = 0;
    skip_line(x);
    if (inner)
        inner->class_scope = true;
    if (x->t->kind == T_INDENT && inner) {
        x->t++;
        host_block(x, inner);
    }
}

/* ---- imports ---- */

static const char *dotted_name(scanner *x)
{
    enum { ROOM = 400 };
    char name[ROOM];
    size_t n = 0;
    while (true) {
        bool dot = x->t->kind == T_OP && (x->t->op == OP1('.') || x->t->op == OP3('.', '.', '.'));
        bool word = x->t->kind == T_NAME && (n == 0 || name[n - 1] == '.') && strcmp(x->t->text, "import") != 0;
        if ((!dot && !word) || n + x->t->length + 1 >= ROOM)
            break;
        memcpy(name + n, x->m->file.text + x->t->at, x->t->length);
        n += x->t->length;
        x->t++;
    }
    return tw_lang_intern(x->m->l, name, n);
}

static const char *alias(scanner *x)
{
    if (x->t->kind != T_NAME || strcmp(x->t->text, "as") != 0 || x->t[1].kind != T_NAME)
        return NULL;
    x->t += 2;
    return x->t[-1].text;
}

static void import_modules(scanner *x, scope *s)
{
    do {
        x->t++;
        uint32_t at = x->t->at;
        const char *path = dotted_name(x), *as = alias(x);
        const char *root = tw_lang_intern(x->m->l, path, strcspn(path, "."));
        if (*path)
            tw_lang_bind(x->m, s, as ? as : root, BIND_IMPORT, at)->from = as ? path : root;
    } while (x->t->kind == T_OP && x->t->op == OP1(','));
}

static void import_names(scanner *x, scope *s)
{
    x->t++;
    const char *from = dotted_name(x);
    if (x->t->kind != T_NAME || strcmp(x->t->text, "import") != 0)
        return;
    x->t++;
    while (x->t->kind != T_NEWLINE && x->t->kind != T_END) {
        if (x->t->kind == T_OP && x->t->op == OP1('*')) {
            binding *b = tw_lang_bind(x->m, s, tw_lang_intern(x->m->l, "*", 1), BIND_IMPORT, x->t->at);
            b->from = from;
            s->open = true;
        }
        if (x->t->kind != T_NAME) {
            x->t++;
            continue;
        }
        const token *t = x->t++;
        const char *as = alias(x);
        binding *b = tw_lang_bind(x->m, s, as ? as : t->text, BIND_IMPORT, t->at);
        b->from = from;
        b->member = t->text;
    }
}

/* ---- other lines ---- */

static void bind_target(scanner *x, scope *s, const node *target, node *value)
{
    if (target->kind == N_NAME)
        tw_lang_bind(x->m, s, target->name, BIND_VALUE, target->at)->value = value;
    if (target->kind == N_TUPLE || target->kind == N_LIST) {
        bool parts = value && (value->kind == N_TUPLE || value->kind == N_LIST) && value->count == target->count;
        for (uint32_t i = 0; i < target->count; i++)
            bind_target(x, s, target->child[i], parts ? value->child[i] : NULL);
    }
    if (target->kind == N_STARRED)
        bind_target(x, s, target->child[0], NULL);
}

/* NAME = triton.jit(f), also inside autotune(...)(...): f is a kernel. */
static void find_jit_call(scanner *x, scope *s, const node *n)
{
    bool open;
    if (!n || n->kind != N_CALL)
        return;
    if (n->count == 2 && is_triton_jit(s, n->child[0]) && n->child[1]->kind == N_NAME) {
        binding *b = tw_lang_lookup(s, n->child[1]->name, &open);
        if (b && b->kind == BIND_FUNCTION && !b->function->jit) {
            b->function->jit = true;
            register_kernel(x->m, b->function);
            (void)tw_lang_parse_function(b->function);
        }
    }
    for (uint32_t i = 1; i < n->count; i++)
        find_jit_call(x, s, n->child[i]);
}

/* Names before = and after `as`, of a line that the parser doesn't take. */
static void bind_loosely(scanner *x, scope *s, const token *from)
{
    const token *equals = NULL;
    for (const token *t = from; t->kind != T_NEWLINE && t->kind != T_END; t++) {
        if (t->kind == T_OP && t->op == OP1('=') && !equals)
            equals = t;
        if (t->kind == T_NAME && t > from && t[-1].kind == T_NAME && !strcmp(t[-1].text, "as"))
            tw_lang_bind(x->m, s, t->text, BIND_VALUE, t->at);
        if (t->kind == T_NAME && t[1].kind == T_OP && t[1].op == OP2(':', '='))
            tw_lang_bind(x->m, s, t->text, BIND_VALUE, t->at);
    }
    for (const token *t = from; equals && t < equals; t++)
        if (t->kind == T_NAME && (t == from || t[-1].op != OP1('.')))
            tw_lang_bind(x->m, s, t->text, BIND_VALUE, t->at);
}

static void simple_line(scanner *x, scope *s)
{
    diagnostic ignored = {0};
    parser p = {.l = x->m->l, .s = &x->m->file, .t = x->t, .first = x->first, .d = &ignored, .depth = 4, .scope = s};
    const token *start = x->t;
    node *n = tw_lang_parse_statement(&p);
    if (!n || n->kind == N_UNSUPPORTED || p.t <= start) {
        bind_loosely(x, s, start);
        skip_line(x);
        return;
    }
    x->t = p.t;
    if (n->kind == N_ASSIGN) {
        node *value = n->child[n->count - 1];
        find_jit_call(x, s, value); /* before the name may hide the function */
        for (uint32_t i = 0; i + 1 < n->count; i++)
            bind_target(x, s, n->child[i], value);
    } else if (n->kind == N_ANNOTATED) {
        bind_target(x, s, n->child[0], n->child[2]);
    } else if (n->kind == N_AUGMENTED) {
        bind_target(x, s, n->child[0], NULL);
    }
}

static bool starts_compound(const token *t)
{
    static const char *const words[] = {"if", "elif", "else", "try", "except", "finally", "with", "for", "while"};
    for (size_t i = 0; i < TW_COUNT(words); i++)
        if (t->kind == T_NAME && !strcmp(t->text, words[i]))
            return true;
    return false;
}

static void compound_line(scanner *x, scope *s)
{
    int depth = 0;
    bool names = !strcmp(x->t->text, "for");
    bind_loosely(x, s, x->t);
    for (x->t++; x->t->kind != T_NEWLINE && x->t->kind != T_END; x->t++) {
        const token *t = x->t;
        if (t->kind == T_NAME && names && !strcmp(t->text, "in"))
            names = false;
        if (t->kind == T_NAME && names)
            tw_lang_bind(x->m, s, t->text, BIND_VALUE, t->at);
        if (t->kind != T_OP)
            continue;
        depth += t->op == OP1('(') || t->op == OP1('[') || t->op == OP1('{');
        depth -= t->op == OP1(')') || t->op == OP1(']') || t->op == OP1('}');
        if (depth == 0 && t->op == OP1(':') && t[1].kind != T_NEWLINE) { /* the statement stands on the same line */
            x->t++;
            if (++x->depth < MOST_NESTING)
                host_statement(x, s);
            x->depth--;
            return;
        }
    }
    skip_line(x);
}

static void host_decorator(scanner *x, scope *s)
{
    diagnostic ignored = {0};
    parser p = {
        .l = x->m->l, .s = &x->m->file, .t = x->t + 1, .first = x->first, .d = &ignored, .depth = 4, .scope = s};
    node *n = tw_lang_parse_expression(&p);
    if (n && !tw_vec_push(&x->decorators, n))
        x->m->l->memory_failed = true;
    skip_line(x);
}

static void host_statement(scanner *x, scope *s)
{
    const token *t = x->t;
    if (t->kind == T_OP && t->op == OP1('@')) {
        host_decorator(x, s);
        return;
    }
    bool word = t->kind == T_NAME;
    if (word && !strcmp(t->text, "async") && t[1].kind == T_NAME)
        t = ++x->t;
    if (word && !strcmp(t->text, "def"))
        host_function(x, s);
    else if (word && !strcmp(t->text, "class") && t[1].kind == T_NAME)
        host_class(x, s);
    else if (word && !strcmp(t->text, "import"))
        import_modules(x, s), skip_line(x);
    else if (word && !strcmp(t->text, "from"))
        import_names(x, s), skip_line(x);
    else if (starts_compound(t))
        compound_line(x, s);
    else if (t->kind == T_NEWLINE || t->kind == T_BAD || t->kind == T_DEDENT)
        x->t++;
    else
        simple_line(x, s);
    if (x->t->kind == T_INDENT) { /* a block of the same scope */
        x->t++;
        host_block(x, s);
    }
}

static void host_block(scanner *x, scope *s)
{
    if (++x->depth > 3 * MOST_INDENTATION) {
        x->t = x->m->tokens.data + x->m->tokens.count - 1;
        return;
    }
    while (x->t->kind != T_DEDENT && x->t->kind != T_END && !x->m->l->memory_failed)
        host_statement(x, s);
    x->t += x->t->kind == T_DEDENT;
    x->depth--;
}

bool tw_lang_scan(module *m)
{
    scanner x = {.m = m, .t = m->tokens.data, .first = m->tokens.data};
    if (!(m->scope = new_scope(m, NULL)))
        return false;
    while (x.t->kind != T_END && !m->l->memory_failed)
        host_block(&x, m->scope);
    tw_vec_free(&x.decorators);
    return !m->l->memory_failed;
}
