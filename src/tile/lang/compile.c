/* From a kernel and the types of its arguments to a tile program. */
#include "tile/lang/control.h"

enum { MOST_ARGUMENTS = 256, MOST_CONFIGS = 512 };

typedef struct binding_of { /* what a parameter of the kernel gets */
    const node *p;
    const tw_lang_arg *arg;
    val v;
    bool known;
} binding_of;

typedef struct compilation {
    lowering c;
    frame top;
    tw_arena *arena;
    binding_of parameter[MOST_ARGUMENTS];
    tw_lang_parameter out[MOST_ARGUMENTS * 4];
    int outs;
} compilation;

static function *find_kernel(tw_lang *l, const char *name)
{
    for (size_t i = 0; i < l->kernels.count; i++)
        if (!strcmp(l->kernels.data[i]->name, name))
            return l->kernels.data[i];
    return NULL;
}

static tw_status unknown_kernel(tw_lang *l, const char *name)
{
    const char *names[MOST_ARGUMENTS];
    int count = 0;
    for (size_t i = 0; i < l->kernels.count && count < MOST_ARGUMENTS; i++)
        names[count++] = l->kernels.data[i]->name;
    const char *near = tw_lang_nearest(name, names, count);
    return tw_error(TW_ERR_VALUE, "no kernel '%s' among %zu%s%s%s", name, l->kernels.count,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

/* ---- values written as text ---- */

/* Text of an argument becomes a source of its own, so that errors can show it. */
static bool evaluate_text(lowering *c, const char *text, val *out)
{
    module *m = tw_arena_zero(c->l->arena, 1, sizeof *m);
    uint32_t *start = tw_arena_zero(c->l->arena, 1, sizeof *start);
    function *here = tw_arena_zero(c->l->arena, 1, sizeof *here);
    char *copy = tw_arena_text(c->l->arena, "%s", text);
    if (!m || !start || !copy || !here)
        return tw_lang_error(c, NULL, "out of memory");
    m->l = c->l;
    m->file = (source){.path = "(argument)", .text = copy, .bytes = strlen(copy), .line_start = start, .lines = 1};
    token_list tokens = {0};
    bool fine = tw_lang_tokenize(c->l, &m->file, 0, (uint32_t)m->file.bytes, true, &tokens);
    parser p = {
        .l = c->l, .s = &m->file, .t = tokens.data, .first = tokens.data, .d = c->d, .scope = c->frame->f->scope};
    node *n = fine ? tw_lang_parse_expressions(&p) : NULL;
    if (n && p.t->kind != T_END)
        n = (tw_lang_expected(&p, "the end of the value"), NULL);
    *here = (function){.name = "an argument", .module = m, .scope = c->frame->f->scope};
    frame f = {.caller = c->frame, .f = here, .host = true};
    c->frame = &f;
    fine = n && tw_lang_evaluate(c, n, out);
    c->frame = f.caller;
    tw_vec_free(&tokens);
    return fine;
}

/* ---- decorators ---- */

static const node *decorator_call(const function *f, const char *name)
{
    for (int i = 0; i < f->decorators; i++) {
        const node *n = f->decorator[i], *callee = n->kind == N_CALL ? n->child[0] : NULL;
        if (callee && (callee->kind == N_NAME || callee->kind == N_ATTRIBUTE) && strstr(callee->name, name))
            return n;
    }
    return NULL;
}

/* The list of configurations; false: host code makes it in a way that can't be followed. */
static bool configurations(lowering *c, function *f, val *list)
{
    const node *call = decorator_call(f, "autotune"), *configs = NULL;
    function here = {.name = "@triton.autotune", .module = f->module, .scope = f->scope, .at = f->at};
    frame top = {.f = &here, .host = true};
    diagnostic ignored = {0}, *kept = c->d;
    if (!call)
        return false;
    for (uint32_t i = 1; i < call->count; i++) {
        const node *a = call->child[i];
        if (a->kind == N_KEYWORD ? a->name && !strcmp(a->name, "configs") : i == 1)
            configs = a->kind == N_KEYWORD ? a->child[0] : a;
    }
    if (!configs)
        return false;
    c->d = &ignored;
    c->frame = &top;
    bool fine = tw_lang_evaluate(c, configs, list) && list->kind == V_TUPLE && list->count > 0;
    for (int i = 0; fine && i < list->count; i++)
        fine = list->item[i].kind == V_DICT;
    c->d = kept;
    c->frame = NULL;
    return fine;
}

static val *parameter_value(compilation *x, const char *name)
{
    for (int i = 0; i < x->top.f->parameters; i++)
        if (!strcmp(x->parameter[i].p->name, name))
            return &x->parameter[i].v;
    return NULL;
}

static void say_config(compilation *x, const val *config, tw_lang_program *program)
{
    const char **list = tw_arena_zero(x->c.l->arena, (size_t)config->count / 2 + 1, sizeof *list);
    int n = 0;
    for (int i = 0; list && i + 1 < config->count; i += 2) {
        val known;
        if (config->item[i].kind == V_STRING && tw_lang_constant(&config->item[i + 1], &known) && known.kind != V_FLOAT)
            list[n++] = tw_arena_text(x->c.l->arena, "%s=%lld", config->item[i].text,
                                      (long long)(known.kind == V_BOOL ? known.truth : known.i));
    }
    program->config = list;
}

static void take_config(compilation *x, int number, tw_lang_program *program)
{
    val list;
    if (!configurations(&x->c, x->top.f, &list)) {
        x->c.frame = &x->top;
        return;
    }
    x->c.frame = &x->top;
    const val *config = &list.item[number < 0 || number >= list.count ? 0 : number];
    say_config(x, config, program);
    for (int i = 0; i + 1 < config->count; i += 2) {
        val *v = config->item[i].kind == V_STRING ? parameter_value(x, config->item[i].text) : NULL;
        if (v && v->kind == V_UNDEFINED)
            *v = config->item[i + 1];
    }
}

/* What heuristics are told: every argument by name, a scalar by the value of the launch where it is known. */
static bool heuristic_arguments(compilation *x, val *dict)
{
    *dict = tw_lang_tuple(&x->c, 2 * x->top.f->parameters);
    dict->kind = V_DICT;
    if (dict->count != 2 * x->top.f->parameters)
        return tw_lang_error(&x->c, NULL, "out of memory");
    for (int i = 0; i < x->top.f->parameters; i++) {
        const binding_of *b = &x->parameter[i];
        dict->item[2 * i] = (val){.kind = V_STRING, .text = b->p->name, .count = (int)strlen(b->p->name)};
        dict->item[2 * i + 1] = b->v;
        if (b->arg && b->arg->value && !evaluate_text(&x->c, b->arg->value, &dict->item[2 * i + 1]))
            return false;
    }
    return true;
}

static bool take_heuristics(compilation *x)
{
    lowering *c = &x->c;
    for (int i = 0; i < x->top.f->decorators; i++) {
        const node *n = x->top.f->decorator[i];
        val rules, args;
        if (n->kind != N_CALL || n->count < 2 || (n->child[0]->kind != N_NAME && n->child[0]->kind != N_ATTRIBUTE) ||
            strcmp(n->child[0]->name, "heuristics") != 0)
            continue;
        bool host = x->top.host;
        x->top.host = true;
        const node *dict = n->child[1]->kind == N_KEYWORD ? n->child[1]->child[0] : n->child[1];
        bool fine = tw_lang_evaluate(c, dict, &rules);
        for (int k = 0; fine && rules.kind == V_DICT && k + 1 < rules.count; k += 2) {
            val *v = rules.item[k].kind == V_STRING ? parameter_value(x, rules.item[k].text) : NULL, known;
            if (!v || v->kind != V_UNDEFINED)
                continue;
            fine = heuristic_arguments(x, &args) && tw_lang_invoke(c, n, &rules.item[k + 1], &args, 1, v);
            if (fine && v->kind == V_TENSOR && tw_lang_constant(v, &known))
                *v = known;
            if (fine && v->kind == V_TENSOR)
                fine = tw_lang_error(c, n, "the heuristic for '%s' needs a scalar's value; give the constant itself",
                                     rules.item[k].text);
        }
        x->top.host = host;
        if (!fine)
            return false;
    }
    return true;
}

/* ---- parameters of the program ---- */

static bool add_parameter(compilation *x, const char *name, sca s, const char *part, val *out)
{
    lowering *c = &x->c;
    tw_text type = {0};
    if (x->outs == (int)TW_COUNT(x->out))
        return tw_lang_error(c, NULL, "more than %zu arguments", TW_COUNT(x->out));
    tw_dtype dtype = s.pointers > 1 ? TW_I64 : tw_sca[s.kind].dtype;
    tw_value *v = is_pointer(s) ? tw_tile_pointer(c->g, x->outs, dtype) : tw_tile_scalar(c->g, x->outs, dtype);
    tw_lang_print_sca(s, &type);
    x->out[x->outs++] = (tw_lang_parameter){.name = name,
                                            .pointer = is_pointer(s),
                                            .dtype = dtype,
                                            .part = part,
                                            .type = tw_arena_text(c->l->arena, "%s", tw_text_string(&type))};
    tw_text_free(&type);
    return tw_lang_emit(c, NULL, v, s, out);
}

static bool wrong_type(compilation *x, const tw_lang_arg *arg)
{
    return tw_lang_error(&x->c, NULL, "the type of argument '%s' is '%s'; expected one like *f32, i32, f32", arg->name,
                         arg->text);
}

/* "f32[64, 32]" */
static bool descriptor_type(compilation *x, const tw_lang_arg *arg, sca *s, int64_t size[5], int *rank)
{
    size_t length = strcspn(arg->text, "[");
    const char *at = arg->text + length;
    *rank = 0;
    if (!tw_lang_sca_named(arg->text, length, s) || is_pointer(*s) || *at != '[')
        return wrong_type(x, arg);
    for (at++; *at && *at != ']'; at += strspn(at, "0123456789"), at += strspn(at, ", ")) {
        int64_t n = 0;
        if (*at < '0' || *at > '9' || *rank == 5)
            return wrong_type(x, arg);
        for (const char *d = at; *d >= '0' && *d <= '9' && n < MOST_ELEMENTS; d++)
            n = n * 10 + (*d - '0');
        size[(*rank)++] = n;
    }
    return *rank > 0 || wrong_type(x, arg);
}

static bool make_descriptor(compilation *x, binding_of *b)
{
    static const char *const parts[2][5] = {{"shape0", "shape1", "shape2", "shape3", "shape4"},
                                            {"stride0", "stride1", "stride2", "stride3", "stride4"}};
    lowering *c = &x->c;
    block_pointer *block = b->v.block;
    val zero = of_int(0);
    for (int i = 0; i < block->rank; i++) {
        if (!add_parameter(x, b->p->name, number(S_I64), parts[0][i], &block->shape[i]) ||
            !tw_lang_number(c, NULL, &zero, number(S_I64), &block->offset[i]))
            return false;
    }
    for (int i = 0; i < block->rank; i++)
        if (!add_parameter(x, b->p->name, number(S_I64), parts[1][i], &block->stride[i]))
            return false;
    return true;
}

static bool make_pointers(compilation *x)
{
    for (int i = 0; i < x->top.f->parameters; i++) {
        binding_of *b = &x->parameter[i];
        sca s;
        if (!b->arg || b->arg->kind == TW_LANG_ARG_SCALAR || b->arg->kind == TW_LANG_ARG_CONSTANT)
            continue;
        if (b->arg->kind == TW_LANG_ARG_DESCRIPTOR) {
            block_pointer *block = tw_arena_zero(x->c.l->arena, 1, sizeof *block);
            if (!block || !descriptor_type(x, b->arg, &s, block->size, &block->rank))
                return tw_lang_error(&x->c, NULL, "out of memory");
            s.pointers = 1;
            b->v = (val){.kind = V_BLOCK, .descriptor = true, .block = block};
            if (!add_parameter(x, b->p->name, s, "base", &block->base))
                return false;
            continue;
        }
        if (!tw_lang_sca_named(b->arg->text, strlen(b->arg->text), &s) || !is_pointer(s))
            return wrong_type(x, b->arg);
        if (!add_parameter(x, b->p->name, s, NULL, &b->v))
            return false;
    }
    return true;
}

static bool make_scalars(compilation *x)
{
    for (int i = 0; i < x->top.f->parameters; i++) {
        binding_of *b = &x->parameter[i];
        sca s;
        if (b->arg && b->arg->kind == TW_LANG_ARG_DESCRIPTOR && !make_descriptor(x, b))
            return false;
        if (!b->arg || b->arg->kind != TW_LANG_ARG_SCALAR)
            continue;
        if (!tw_lang_sca_named(b->arg->text, strlen(b->arg->text), &s) || is_pointer(s) || is_f8(s) || s.kind == S_VOID)
            return wrong_type(x, b->arg);
        if (!add_parameter(x, b->p->name, s, NULL, &b->v))
            return false;
    }
    return true;
}

static bool make_constants(compilation *x)
{
    for (int i = 0; i < x->top.f->parameters; i++) {
        binding_of *b = &x->parameter[i];
        if (b->arg && b->arg->kind == TW_LANG_ARG_CONSTANT && !evaluate_text(&x->c, b->arg->text, &b->v))
            return false;
    }
    return true;
}

static bool take_arguments(compilation *x, const tw_lang_arg *args, int count)
{
    function *f = x->top.f;
    if (f->parameters > MOST_ARGUMENTS)
        return tw_lang_error(&x->c, NULL, "more than %d parameters", MOST_ARGUMENTS);
    for (int i = 0; i < f->parameters; i++)
        x->parameter[i] = (binding_of){.p = f->parameter[i], .v = {.kind = V_UNDEFINED}};
    for (int k = 0; k < count; k++) {
        bool known = false;
        for (int i = 0; i < f->parameters; i++) {
            if (strcmp(f->parameter[i]->name, args[k].name) != 0)
                continue;
            x->parameter[i].arg = &args[k];
            known = true;
        }
        if (!known)
            return tw_lang_error(&x->c, NULL, "the kernel has no parameter '%s'", args[k].name);
    }
    return true;
}

/* Defaults, and what is still missing; then the variables of the kernel. */
static bool define_parameters(compilation *x)
{
    lowering *c = &x->c;
    for (int i = 0; i < x->top.f->parameters; i++) {
        binding_of *b = &x->parameter[i];
        bool host = x->top.host;
        x->top.host = true;
        bool fine = b->v.kind != V_UNDEFINED || !b->p->child[1] || tw_lang_evaluate(c, b->p->child[1], &b->v);
        x->top.host = host;
        if (!fine)
            return false;
        if (b->v.kind == V_UNDEFINED && !b->p->op)
            return tw_lang_error(c, b->p,
                                 "argument '%s' is missing: give it a type (%s:*f32, %s:i32) or a value (%s=128)",
                                 b->p->name, b->p->name, b->p->name, b->p->name);
        if (b->v.kind != V_UNDEFINED && !tw_lang_define(c, b->p->name, b->v))
            return false;
    }
    return true;
}

/* ---- the whole ---- */

static bool lower_kernel(compilation *x, const tw_lang_arg *args, int count, int config, tw_lang_program *program)
{
    lowering *c = &x->c;
    val nothing;
    bool changed;
    if (!take_arguments(x, args, count) || !make_pointers(x) || !make_scalars(x) || !make_constants(x))
        return false;
    take_config(x, config, program);
    if (!take_heuristics(x) || !define_parameters(x) || !tw_lang_run_body(c, x->top.f, &nothing))
        return false;
    if (tw_pass_cse(&c->g, &changed) != TW_OK || tw_pass_dce(&c->g, &changed) != TW_OK ||
        tw_graph_verify(c->g) != TW_OK)
        return tw_lang_error(c, NULL, "%s", tw_error_message());
    program->parameter = tw_arena_copy(c->l->arena, x->out, (size_t)x->outs * sizeof *x->out);
    program->parameters = x->outs;
    program->place = tw_arena_copy(c->l->arena, c->places.data, c->places.count * sizeof *c->places.data);
    program->places = (int)c->places.count;
    program->notes = tw_arena_text(c->l->arena, "%s", tw_text_string(&c->l->notes));
    return (program->parameter && program->place && program->notes) || tw_lang_error(c, NULL, "out of memory");
}

static bool start(lowering *c, tw_lang *l, diagnostic *d, const char *name)
{
    *c = (lowering){.l = l,
                    .d = d,
                    .g = tw_tile_program_create(name),
                    .place_map = tw_map_create(),
                    .value_limit = l->options.most_ops > 0 ? l->options.most_ops : MOST_VALUES};
    c->returned = tw_lang_intern(l, "(returned)", 10);
    c->result = tw_lang_intern(l, "(result)", 8);
    c->broken = tw_lang_intern(l, "(broken)", 8);
    c->continued = tw_lang_intern(l, "(continued)", 11);
    return c->g && c->place_map && !l->memory_failed;
}

static void finish(lowering *c)
{
    tw_map_destroy(c->place_map);
    tw_vec_free(&c->places);
}

tw_status tw_lang_compile(tw_lang *l, const char *kernel, const tw_lang_arg *args, int count, int config,
                          tw_lang_program *program)
{
    function *f = find_kernel(l, kernel);
    *program = (tw_lang_program){.notes = ""};
    l->d = (diagnostic){0};
    tw_text_free(&l->notes);
    if (!f)
        return unknown_kernel(l, kernel);
    if (!f->body && !tw_lang_parse_function(f)) {
        l->d = f->d;
    } else {
        compilation *x = tw_alloc_zero(1, sizeof *x);
        if (!x)
            return TW_ERR_MEMORY;
        x->top = (frame){.f = f};
        bool fine = start(&x->c, l, &l->d, kernel);
        x->c.frame = &x->top;
        if (fine && lower_kernel(x, args, count, config, program))
            program->graph = x->c.g;
        else
            tw_graph_destroy(x->c.g);
        finish(&x->c);
        tw_free(x);
    }
    if (program->graph)
        return TW_OK;
    if (!l->d.set || l->memory_failed)
        return tw_error(TW_ERR_MEMORY, "tile language: out of memory");
    int line, column;
    tw_lang_position(l->d.file, l->d.at, &line, &column);
    return tw_error(TW_ERR_FORMAT, "%s:%d:%d: %s", l->d.file->path, line, column, l->d.reason);
}

const char *tw_lang_error_context(const tw_lang *l)
{
    return l->d.context ? l->d.context : "";
}

int tw_lang_config_count(tw_lang *l, const char *kernel)
{
    function *f = find_kernel(l, kernel);
    diagnostic ignored = {0};
    lowering c;
    val list;
    int count = 0;
    if (!f)
        return 0;
    if (start(&c, l, &ignored, kernel) && configurations(&c, f, &list))
        count = TW_MIN(list.count, MOST_CONFIGS);
    tw_graph_destroy(c.g);
    finish(&c);
    return count;
}
