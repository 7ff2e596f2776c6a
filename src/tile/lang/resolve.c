/* What names mean. */
#include "tile/lang/resolve.h"

enum { MOST_HOPS = 24, MOST_TRIES = 64 }; /* imports of imports; bindings of one name that are looked at */

static meaning resolve(scope *s, const char *name, int hops);

bool tw_lang_is_dtype(const char *name)
{
    static const char *const names[] = {
        "int1",        "int8",        "int16",    "int32",   "int64",   "uint8",        "uint16",     "uint32",
        "uint64",      "float16",     "bfloat16", "float32", "float64", "float8e5",     "float8e4nv", "float8e4b8",
        "float8e4b15", "float8e5b16", "void",     "pi32_t",  "uint1",   "float8e4b15x4"};
    for (size_t i = 0; i < TW_COUNT(names); i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static bool one_of(const char *name, const char *list)
{
    size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* The rest of CUDA's libdevice. */
static const char *const unavailable =
    "byte_perm mul24 sad rcp64h fma_rz fma_rd fma_ru div_rd div_ru rcp_rz rcp_rd rcp_ru sqrt_rz sqrt_rd sqrt_ru add_rz "
    "add_rd add_ru mul_rz mul_rd mul_ru sub_rz sub_rd sub_ru double2float_rz double2float_rd double2float_ru "
    "double2int_rn double2int_rz double2int_rd double2int_ru double2uint_rn double2uint_rz double2uint_rd "
    "double2uint_ru uint2double_rn float2uint_rn float2uint_rz float2uint_rd float2uint_ru int2float_rz int2float_rd "
    "int2float_ru uint2float_rz uint2float_rd uint2float_ru hiloint2double double2loint double2hiint float2ll_rz "
    "float2ll_rd float2ll_ru float2ull_rn float2ull_rz float2ull_rd float2ull_ru double2ll_rn double2ll_rz "
    "double2ll_rd double2ll_ru double2ull_rn double2ull_rz double2ull_rd double2ull_ru ll2float_rz ll2float_rd "
    "ll2float_ru ull2float_rn ull2float_rz ull2float_rd ull2float_ru ll2double_rn ll2double_rz ll2double_rd "
    "ll2double_ru ull2double_rn ull2double_rz ull2double_rd ull2double_ru hadd rhadd nextafter sinpi cospi rhypot "
    "norm3d rnorm3d norm4d rnorm4d rcbrt j0 j1 y0 y1 yn jn cyl_bessel_i0 cyl_bessel_i1 erfinv erfcx erfcinv "
    "normcdfinv normcdf lgamma tgamma relu philox";

static meaning function_of(tw_lang *l, const char *prefix, const char *name)
{
    char full[160];
    if (!l->prelude || !l->prelude->scope)
        return (meaning){0};
    snprintf(full, sizeof full, "%s%s", prefix, name);
    binding *b = tw_lang_find(l->prelude->scope, tw_lang_intern(l, full, strlen(full)));
    return b && b->kind == BIND_FUNCTION ? (meaning){.kind = IS_FUNCTION, .name = name, .function = b->function}
                                         : (meaning){0};
}

static meaning builtin_of(const char *in, const char *name)
{
    const builtin *b = tw_lang_find_builtin(in, name);
    return b ? (meaning){.kind = IS_BUILTIN, .name = name, .builtin = b} : (meaning){0};
}

static meaning part(tw_lang *l, const char *path, const char *name)
{
    char full[400];
    snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", name);
    return (meaning){.kind = IS_MODULE, .name = name, .path = tw_lang_intern(l, full, strlen(full))};
}

static meaning of_language(tw_lang *l, const char *name)
{
    static const char *const specials =
        "tensor dtype constexpr_type tuple_type tensor_descriptor tensor_descriptor_type "
        "tensor_descriptor_base block_type range static_range TRITON_MAX_TENSOR_NUMEL "
        "core_tensor slice condition const builtin_type base_value base_type "
        "constexpr_function aggregate must_use_result _aggregate float";
    if (tw_lang_is_dtype(name))
        return (meaning){.kind = IS_DTYPE, .name = name};
    meaning m = builtin_of("tl", name);
    if (m.kind)
        return m;
    if (one_of(name, "range static_range condition"))
        return (meaning){.kind = IS_SPECIAL, .name = name};
    if (!strcmp(name, "CONSTEXPR_0"))
        return (meaning){.kind = IS_SPECIAL, .name = name};
    if (one_of(name, "core standard random semantic"))
        return (meaning){.kind = IS_MODULE, .name = name, .path = "language"};
    if (one_of(name, "math extra"))
        return part(l, "language", name);
    if (!strcmp(name, "libdevice"))
        return (meaning){.kind = IS_MODULE, .name = name, .path = "libdevice"};
    if (!strcmp(name, "target_info") || !strcmp(name, "PropagateNan"))
        return (meaning){.kind = IS_MODULE, .name = name, .path = name};
    if (strncmp(name, "libdevice_", 10) != 0 && strncmp(name, "_f", 2) != 0)
        m = function_of(l, "", name);
    if (m.kind)
        return m;
    if (one_of(name, specials))
        return (meaning){.kind = IS_SPECIAL, .name = name};
    if (one_of(
            name,
            "inline_asm sum_combine atomic_poll dispatch extern extern_elementwise builtin make_tensor_descriptor_type "
            "aggregate_replace shape_type builtin_max builtin_min"))
        return (meaning){.kind = IS_UNAVAILABLE, .name = name};
    return (meaning){0};
}

static meaning of_libdevice(tw_lang *l, const char *name)
{
    meaning m = builtin_of("libdevice", name);
    if (!m.kind)
        m = function_of(l, "libdevice_", name);
    if (!m.kind && one_of(name, unavailable))
        m = (meaning){.kind = IS_UNAVAILABLE, .name = name};
    return m;
}

static meaning of_triton(tw_lang *l, const char *path, const char *name)
{
    meaning m = {0};
    if (!strcmp(path, "")) {
        if (!strcmp(name, "Config"))
            return (meaning){.kind = IS_SPECIAL, .name = name};
        m = builtin_of("triton", name);
        return m.kind ? m : part(l, path, name);
    }
    if (!strcmp(path, "language"))
        return of_language(l, name);
    if (!strcmp(path, "language.math")) {
        m = builtin_of("math", name);
        if (!m.kind)
            m = of_language(l, name);
        return m.kind ? m : of_libdevice(l, name);
    }
    if (!strcmp(path, "language.extra"))
        return !strcmp(name, "libdevice") ? (meaning){.kind = IS_MODULE, .name = name, .path = "libdevice"}
               : !strcmp(name, "cuda")    ? (meaning){.kind = IS_MODULE, .name = name, .path = "cuda"}
                                          : part(l, path, name);
    if (!strcmp(path, "libdevice"))
        return of_libdevice(l, name);
    if (!strcmp(path, "target_info"))
        return builtin_of("target_info", name);
    if (!strcmp(path, "PropagateNan"))
        return (meaning){.kind = IS_SPECIAL, .name = !strcmp(name, "ALL") ? "PropagateNan.ALL" : "PropagateNan.NONE"};
    if (!strcmp(path, "cuda")) {
        m = builtin_of("cuda", name);
        if (!strcmp(name, "libdevice"))
            m = (meaning){.kind = IS_MODULE, .name = name, .path = "libdevice"};
        return m.kind ? m : part(l, path, name);
    }
    return part(l, path, name); /* a part of Triton that has no meaning here: said where it is used */
}

static bool has_meaning(const char *path)
{
    return !*path || one_of(path, "language language.math language.extra libdevice target_info PropagateNan cuda");
}

static meaning module_named(module *m, const char *from)
{
    char path[400];
    if (tw_lang_triton_path(from, path, sizeof path)) {
        const char *kept = tw_lang_intern(m->l, path, strlen(path));
        if (!strcmp(kept, "language.target_info"))
            kept = "target_info";
        return (meaning){.kind = IS_MODULE, .name = from, .path = kept};
    }
    module *file = tw_lang_module_of(m, from);
    if (file)
        return (meaning){.kind = IS_FILE, .name = from, .file = file};
    if (!strcmp(from, "math"))
        return (meaning){.kind = IS_MODULE, .name = from, .path = "cpython"};
    return (meaning){.kind = IS_OPAQUE, .name = from, .path = from};
}

static meaning member(tw_lang *l, meaning of, const char *name, int hops)
{
    if (hops > MOST_HOPS)
        return (meaning){.kind = IS_OPAQUE, .name = name};
    if (of.kind == IS_MODULE && !strcmp(of.path, "cpython")) {
        meaning m = builtin_of("cpython", name);
        return m.kind ? m
                      : (meaning){.kind = IS_SPECIAL,
                                  .name = !strcmp(name, "pi")    ? "math.pi"
                                          : !strcmp(name, "e")   ? "math.e"
                                          : !strcmp(name, "inf") ? "math.inf"
                                          : !strcmp(name, "nan") ? "math.nan"
                                                                 : "math"};
    }
    if (of.kind == IS_MODULE)
        return of_triton(l, of.path, name);
    if (of.kind == IS_FILE) {
        meaning m = resolve(of.file->scope, name, hops + 1);
        if (m.kind)
            return m;
        char inner[400]; /* a module beside a package's __init__ */
        snprintf(inner, sizeof inner, ".%s", name);
        module *file = tw_lang_module_of(of.file, inner);
        return file ? (meaning){.kind = IS_FILE, .name = name, .file = file}
                    : (meaning){.kind = IS_OPAQUE, .name = name, .path = of.name};
    }
    if (of.kind == IS_CLASS) {
        binding *b = of.scope ? tw_lang_find(of.scope, name) : NULL;
        if (b && b->kind == BIND_FUNCTION)
            return (meaning){.kind = IS_FUNCTION, .name = name, .function = b->function};
        if (b && b->kind == BIND_VALUE && b->value)
            return (meaning){.kind = IS_EXPRESSION, .name = name, .value = b->value, .scope = of.scope};
    }
    return (meaning){.kind = IS_OPAQUE, .name = name, .path = of.name};
}

static meaning meaning_of(module *m, scope *s, const binding *b, int hops)
{
    switch (b->kind) {
    case BIND_FUNCTION:
        return (meaning){.kind = IS_FUNCTION, .name = b->name, .function = b->function};
    case BIND_VALUE:
        if (b->value)
            return (meaning){.kind = IS_EXPRESSION, .name = b->name, .value = b->value, .scope = s};
        return (meaning){.kind = IS_OPAQUE, .name = b->name};
    case BIND_CLASS:
        return (meaning){.kind = IS_CLASS, .name = b->name, .scope = b->inside};
    case BIND_IMPORT: {
        meaning of = module_named(m, b->from);
        if (!b->member)
            return of;
        if (of.kind == IS_OPAQUE && !strcmp(b->from, ".")) { /* from . import utils */
            char path[400];
            snprintf(path, sizeof path, ".%s", b->member);
            of = module_named(m, path);
            return of.kind == IS_FILE ? of : (meaning){.kind = IS_OPAQUE, .name = b->member, .path = b->from};
        }
        return member(m->l, of, b->member, hops + 1);
    }
    default:
        return (meaning){.kind = IS_OPAQUE, .name = b->name};
    }
}

static const binding *before(const scope *s, const binding *b)
{
    return b->previous ? &s->item[b->previous - 1] : NULL;
}

/* The last binding of a name wins, but one that nobody can know gives way to one before it: `try: from triton...
 * except: x = None` means what Triton has. */
static meaning best_of(scope *s, const char *name, int hops)
{
    meaning best = {0};
    const binding *b = tw_lang_find(s, name);
    for (int tries = 0; b && tries < MOST_TRIES; tries++, b = before(s, b)) {
        meaning m = meaning_of(s->module, s, b, hops);
        bool vague = m.kind == IS_OPAQUE || m.kind == IS_NOTHING || m.kind == IS_CLASS ||
                     (m.kind == IS_MODULE && !has_meaning(m.path)) ||
                     (m.kind == IS_EXPRESSION && m.value->kind == N_NONE);
        if (!vague)
            return m;
        if (!best.kind)
            best = m;
    }
    return best;
}

static meaning from_stars(scope *s, const char *name, int hops)
{
    const binding *b = tw_lang_find(s, tw_lang_intern(s->module->l, "*", 1));
    for (int tries = 0; b && tries < MOST_TRIES; tries++, b = before(s, b)) {
        meaning of = module_named(s->module, b->from);
        meaning m = of.kind == IS_OPAQUE ? (meaning){0} : member(s->module->l, of, name, hops + 1);
        if (m.kind && m.kind != IS_OPAQUE)
            return m;
    }
    return (meaning){0};
}

static meaning resolve(scope *s, const char *name, int hops)
{
    bool open = false;
    if (hops > MOST_HOPS)
        return (meaning){.kind = IS_OPAQUE, .name = name};
    for (; s; s = s->parent) {
        if (s->class_scope)
            continue;
        meaning m = best_of(s, name, hops);
        if (!m.kind && s->open)
            m = from_stars(s, name, hops);
        if (m.kind)
            return m;
        open = open || s->open;
    }
    meaning m = builtin_of("python", name);
    if (m.kind)
        return m;
    if (one_of(name, "range enumerate zip reversed any all sorted map filter set dict frozenset slice object property "
                     "staticmethod super repr hash id divmod round callable iter next NotImplementedError ValueError "
                     "TypeError RuntimeError AssertionError Exception KeyError IndexError NotImplemented"))
        return (meaning){.kind = IS_SPECIAL, .name = name};
    return open ? (meaning){.kind = IS_OPAQUE, .name = name} : (meaning){0};
}

meaning tw_lang_meaning(scope *s, const char *name)
{
    return resolve(s, name, 0);
}

meaning tw_lang_member(tw_lang *l, meaning of, const char *name)
{
    return member(l, of, name, 0);
}

meaning tw_lang_method(const char *name)
{
    return builtin_of("method", name);
}

const char *tw_lang_guess(tw_lang *l, const meaning *of, const char *name)
{
    enum { MOST = 400 };
    const char *names[MOST];
    int n = 0;
    const char *in = !of || of->kind != IS_MODULE         ? "python"
                     : !strcmp(of->path, "libdevice")     ? "libdevice"
                     : !strcmp(of->path, "language.math") ? "math"
                     : !strcmp(of->path, "")              ? "triton"
                                                          : "tl";
    for (int i = 0; i < tw_lang_builtins_count && n < MOST; i++)
        if (tw_lang_find_builtin(in, tw_lang_builtins[i].name))
            names[n++] = tw_lang_builtins[i].name;
    for (int i = 0; l->prelude && i < l->prelude->scope->count && n < MOST; i++)
        if (!strcmp(in, "tl"))
            names[n++] = l->prelude->scope->item[i].name;
    return tw_lang_nearest(name, names, n);
}
