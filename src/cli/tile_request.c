/* Options of `tw tile compile, run, check, step`: a kernel, its arguments, its arrays.
 *
 *   --arg x:*f32              a pointer (compile)          --arg n:i32          a scalar
 *   --arg x=in.npy            an array from a file         --arg x=in.npy:out.npy   and back into another one
 *   --arg out=@64x32,f32:out.npy   an array that the kernel fills; without :out.npy it is dropped
 *   --arg y=&x                the array of another argument: the kernel works in place
 *   --arg n=1000  --arg n:i64=1000  --arg p=0.5            a scalar with its value
 *   --const BLOCK=128         a tl.constexpr, as Python writes it */
#include <stdlib.h>

#include "base/os.h"
#include "cli/cli.h"
#include "cli/tile.h"

static bool refuse(const char *command, const char *format, const char *what)
{
    fprintf(stderr, "tw tile %s: ", command);
    fprintf(stderr, format, what);
    fprintf(stderr, "; tw tile %s --help says more\n", command);
    return false;
}

static bool copy(char *to, size_t room, const char *from, size_t length)
{
    if (length >= room)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* name, name:type, name=value, name:type=value */
static bool parse_arg(tile_request *r, const char *command, const char *text, bool constant)
{
    if (r->args == TILE_MOST_ARGS)
        return refuse(command, "'%s' is one argument too many", text);
    tile_arg *a = &r->arg[r->args++];
    size_t name = strcspn(text, ":="), type = 0;
    const char *rest = text + name;
    *a = (tile_arg){.constant = constant};
    if (*rest == ':') {
        type = strcspn(rest + 1, "=");
        a->given_type = true;
        if (!copy(a->type, sizeof a->type, rest + 1, type))
            return refuse(command, "--arg '%s': a type that is too long", text);
        rest += 1 + type;
    }
    if (!name || !copy(a->name, sizeof a->name, text, name) ||
        (*rest == '=' && !copy(a->text, sizeof a->text, rest + 1, strlen(rest + 1))))
        return refuse(command, "'%s'; expected name:type, name=value or name:type=value", text);
    if (*rest != '=' && !a->given_type)
        return refuse(command, "'%s'; expected name:type, name=value or name:type=value", text);
    return true;
}

static bool parse_grid(tile_request *r, const char *command, const char *text)
{
    char *end = (char *)(uintptr_t)text;
    int n = 0;
    for (; n < 3; n++) {
        const char *at = end;
        r->grid[n] = strtoll(at, &end, 10);
        if (end == at || r->grid[n] < 0)
            return refuse(command, "--grid '%s'; expected one to three whole numbers with commas or x between", text);
        if (*end != ',' && *end != 'x')
            break;
        end++;
    }
    return !*end || refuse(command, "--grid '%s'; expected one to three whole numbers with commas or x between", text);
}

/* The options of a command: `run` wants arrays and a grid, compile types. */
enum { MOST_OPTIONS = 9 };
static int request_options(tile_request *r, bool run, text_list *args, text_list *constants, const char **grid,
                           option *rows)
{
    const option kernel = {
        "--kernel", "NAME", "which @triton.jit function (needed where there are several)", OPTION_TEXT, &r->kernel,
        0,          0};
    const option shared[] = {
        {"--const", "BLOCK=128", "value of a tl.constexpr, as Python writes it", OPTION_LIST, constants, 0, 0},
        {"--config", "N", "configuration of @triton.autotune for what is not given (0)", OPTION_INT, &r->config, 0,
         1000},
        {"--strict", NULL, "refuse extensions of Triton", OPTION_FLAG, &r->strict, 0, 0},
    };
    const option to_run[] = {
        {"--arg", "NAME=VALUE",
         "x=in.npy, x=in.npy:out.npy (writes it back), x=@64x32,f32:out.npy (new), y=&x (the same), n=1000, n:i64=5",
         OPTION_LIST, args, 0, 0},
        {"--grid", "X,Y,Z", "how many program instances (1)", OPTION_TEXT, grid, 0, 0},
        {"--flops", "N", "floating-point operations of one launch (tw tile bench says GFLOP/s then)", OPTION_FLOAT,
         &r->flops, 0, 1e18},
        {"--interpret", NULL, "by the interpreter, not compiled", OPTION_FLAG, &r->interpret, 0, 0},
        {"--general", NULL, "compiled without what is known of the arguments (strides of 1, shared arrays)",
         OPTION_FLAG, &r->general, 0, 0},
    };
    const option to_compile[] = {
        {"--arg", "NAME:TYPE", "x:*f32 a pointer, n:i32 a scalar, d=f32[64, 32] block of a descriptor", OPTION_LIST,
         args, 0, 0},
        {"--emit", "WHAT", "tile, llvm or asm (tile)", OPTION_TEXT, &r->emit, 0, 0},
    };
    size_t own = run ? TW_COUNT(to_run) : TW_COUNT(to_compile);
    rows[0] = kernel;
    memcpy(rows + 1, run ? to_run : to_compile, own * sizeof *rows);
    memcpy(rows + 1 + own, shared, sizeof shared);
    return (int)(1 + own + TW_COUNT(shared));
}

bool tile_parse(tile_request *r, const char *command, const char *about, bool run, int argc, char **argv, int *code)
{
    option rows[MOST_OPTIONS];
    text_list args = {.count = 0}, constants = {.count = 0};
    const char *grid = NULL;
    char name[32], text[512];
    r->grid[0] = r->grid[1] = r->grid[2] = 1;
    r->emit = "tile";
    snprintf(name, sizeof name, "tile %s", command);
    snprintf(text, sizeof text, "%s\nFurther FILEs may hold helpers that the kernel imports.", about);
    const command_line line = {.name = name,
                               .about = text,
                               .options = rows,
                               .count = request_options(r, run, &args, &constants, &grid, rows),
                               .operand = "FILE",
                               .given = &r->files,
                               .least = 1,
                               .most = TILE_MOST_FILES};
    if (!cli_parse(&line, argc, argv, code))
        return false;
    *code = CLI_USAGE;
    bool fine = !grid || parse_grid(r, command, grid);
    for (int i = 0; i < args.count && fine; i++)
        fine = parse_arg(r, command, args.item[i], false);
    for (int i = 0; i < constants.count && fine; i++)
        fine = parse_arg(r, command, constants.item[i], true);
    return fine;
}

/* ---- compiling ---- */

static bool looks_constant(const char *text)
{
    return !strcmp(text, "None") || !strcmp(text, "True") || !strcmp(text, "False") || *text == '"' || *text == '\'' ||
           !strncmp(text, "tl.", 3);
}

static bool is_number(const char *text)
{
    char *end;
    (void)strtod(text, &end);
    return end != text && !*end;
}

static void array_type(tile_arg *a)
{
    static const char *const names[TW_DTYPES] = {[TW_BOOL] = "*i1"};
    if (!a->given_type)
        snprintf(a->type, sizeof a->type, names[a->dtype] ? "%s" : "*%s",
                 names[a->dtype] ? names[a->dtype] : tw_dtype_name(a->dtype));
}

static void one_arg(tile_arg *a, tw_lang_arg *out)
{
    *out = (tw_lang_arg){.name = a->name, .kind = TW_LANG_ARG_POINTER, .text = a->type};
    if (a->constant || (!a->given_type && !a->array && looks_constant(a->text))) {
        out->kind = TW_LANG_ARG_CONSTANT;
        out->text = a->text;
        return;
    }
    if (a->array) {
        array_type(a);
        return;
    }
    if (!a->given_type && strchr(a->text, '[')) {
        out->kind = TW_LANG_ARG_DESCRIPTOR;
        out->text = a->text;
        return;
    }
    if (!a->given_type)
        snprintf(a->type, sizeof a->type, "%s",
                 strpbrk(a->text, ".eEn")                        ? "f32"
                 : llabs(strtoll(a->text, NULL, 10)) > INT32_MAX ? "i64"
                                                                 : "i32");
    out->kind = *a->type == '*' ? TW_LANG_ARG_POINTER : TW_LANG_ARG_SCALAR;
    out->value = *a->text ? a->text : NULL;
}

tw_status tile_compile(tile_request *r)
{
    tw_lang_arg args[TILE_MOST_ARGS];
    const tw_lang_options options = {.strict = r->strict};
    if (!(r->lang = tw_lang_create(&options)))
        return TW_ERR_MEMORY;
    for (int i = 0; i < r->files.count; i++)
        TW_TRY(cli_tile_add(r->lang, r->files.item[i]));
    if (!r->kernel && tw_lang_kernel_count(r->lang) == 1)
        r->kernel = tw_lang_kernel_at(r->lang, 0)->name;
    if (!r->kernel)
        return tw_error(TW_ERR_VALUE, "%d kernels in %s; --kernel says which", tw_lang_kernel_count(r->lang),
                        r->files.item[0]);
    for (int i = 0; i < r->args; i++)
        one_arg(&r->arg[i], &args[i]);
    return tw_lang_compile(r->lang, r->kernel, args, r->args, (int)r->config, &r->program);
}

/* ---- arrays ---- */

/* "64x32,f32" */
static tw_status empty_array(tile_arg *a, const char *text)
{
    const char *comma = strrchr(text, ',');
    char *end;
    tw_dtype dtype;
    if (!comma || !tw_dtype_parse(comma + 1, strlen(comma + 1), &dtype))
        return tw_error(TW_ERR_VALUE, "--arg %s=@%s; expected a shape and a dtype, like @64x32,f32", a->name, text);
    a->data = (tw_npy){.dtype = dtype, .count = 1};
    for (const char *at = text; at < comma; at = end + 1) {
        long long size = strtoll(at, &end, 10);
        if (end == at || size < 0 || a->data.rank == TW_MAX_RANK ||
            __builtin_mul_overflow(a->data.count, (int64_t)size, &a->data.count) || a->data.count > (int64_t)1 << 34)
            return tw_error(TW_ERR_VALUE, "--arg %s=@%s: a wrong shape", a->name, text);
        a->data.shape[a->data.rank++] = size;
        if (end >= comma)
            break;
    }
    a->data.data = tw_alloc_zero((size_t)a->data.count + 1, tw_dtype_size(dtype));
    return a->data.data ? TW_OK : TW_ERR_MEMORY;
}

static tw_status load_arg(tile_arg *a)
{
    char text[sizeof a->text];
    snprintf(text, sizeof text, "%s", a->text);
    if (a->constant || !*text || looks_constant(text) || is_number(text) || strchr(text, '['))
        return TW_OK;
    char *colon = strchr(text, ':');
    if (colon) {
        *colon = '\0';
        snprintf(a->output, sizeof a->output, "%s", colon + 1);
    }
    a->array = true;
    if (*text == '@') {
        TW_TRY(empty_array(a, text + 1));
    } else {
        snprintf(a->input, sizeof a->input, "%s", text);
        TW_TRY(tw_npy_read(text, &a->data));
    }
    a->dtype = a->data.dtype;
    return TW_OK;
}

static tile_arg *arg_named(tile_request *r, const char *name)
{
    for (int i = 0; i < r->args; i++)
        if (!strcmp(r->arg[i].name, name))
            return &r->arg[i];
    return NULL;
}

static tw_status share_array(tile_request *r, tile_arg *a)
{
    tile_arg *other = arg_named(r, a->text + 1);
    if (!other || other == a || *other->text == '&')
        return tw_error(TW_ERR_VALUE, "--arg %s=%s; expected the name of another argument with an array", a->name,
                        a->text);
    a->same = other;
    a->array = true;
    return TW_OK;
}

tw_status tile_load(tile_request *r)
{
    for (int i = 0; i < r->args; i++) {
        r->arg[i].buffer = -1;
        TW_TRY(*r->arg[i].text == '&' && !r->arg[i].constant ? share_array(r, &r->arg[i]) : load_arg(&r->arg[i]));
    }
    for (int i = 0; i < r->args; i++)
        if (r->arg[i].same)
            r->arg[i].dtype = r->arg[i].same->dtype;
    return TW_OK;
}

/* bf16 has no dtype in .npy: its bits are written as u16. */
tw_status tile_save(tile_request *r)
{
    for (int i = 0; i < r->args; i++) {
        tw_npy n = r->arg[i].data;
        if (!*r->arg[i].output)
            continue;
        if (n.dtype == TW_BF16)
            n.dtype = TW_U16;
        TW_TRY(tw_npy_write(r->arg[i].output, &n));
    }
    return TW_OK;
}

static int64_t scalar_bits(tw_dtype dtype, const char *text)
{
    int64_t bits = 0;
    if (tw_dtype_floating(dtype))
        tw_dtype_store(dtype, &bits, strtod(text, NULL));
    else
        bits = strchr(text, '-') ? strtoll(text, NULL, 0) : (int64_t)strtoull(text, NULL, 0);
    return dtype == TW_BOOL ? bits != 0 : bits;
}

tw_status tile_bind(tile_request *r, tw_tile_buffer *buffer, int *buffers, tw_tile_argument *argument, tw_tile_run *run)
{
    *buffers = 0;
    for (int i = 0; i < r->program.parameters; i++) {
        const tw_lang_parameter *p = &r->program.parameter[i];
        tile_arg *a = arg_named(r, p->name);
        argument[i] = (tw_tile_argument){.buffer = -1};
        if (!a || p->part)
            return tw_error(TW_ERR_VALUE, "argument '%s' has no value to run with", p->name);
        if (p->pointer && !a->array)
            return tw_error(TW_ERR_VALUE, "argument '%s' is %s; expected an array: %s=in.npy or %s=@shape,dtype",
                            p->name, p->type, p->name, p->name);
        if (!p->pointer) {
            if (!*a->text)
                return tw_error(TW_ERR_VALUE, "argument '%s' has no value: %s=1", p->name, p->name);
            argument[i].bits = scalar_bits(p->dtype, a->text);
            continue;
        }
        if (tw_dtype_size(p->dtype) != tw_dtype_size(a->dtype))
            return tw_error(TW_ERR_DTYPE, "argument '%s' is %s and its array %s", p->name, p->type,
                            tw_dtype_name(a->dtype));
        tile_arg *owner = a->same ? a->same : a;
        if (owner->buffer < 0) {
            owner->buffer = (*buffers)++;
            buffer[owner->buffer] =
                (tw_tile_buffer){owner->data.data, (size_t)owner->data.count * tw_dtype_size(owner->dtype), owner->name,
                                 *owner->input != '\0'};
        }
        argument[i].buffer = owner->buffer;
    }
    *run = (tw_tile_run){.grid = {r->grid[0], r->grid[1], r->grid[2]},
                         .buffer = buffer,
                         .buffers = *buffers,
                         .argument = argument,
                         .arguments = r->program.parameters};
    return TW_OK;
}

void tile_words(const tile_request *r, const tw_tile_buffer *buffer, const tw_tile_argument *argument, int64_t *word)
{
    for (int i = 0; i < r->program.parameters; i++)
        word[i] =
            argument[i].bits + (argument[i].buffer >= 0 ? (int64_t)(uintptr_t)buffer[argument[i].buffer].data : 0);
}

void tile_free(tile_request *r)
{
    for (int i = 0; i < r->args; i++)
        tw_free(r->arg[i].data.data);
    tw_graph_destroy(r->program.graph);
    tw_lang_destroy(r->lang);
    tw_free(r);
}

int tile_fail(tile_request *r, const char *command)
{
    char name[40];
    snprintf(name, sizeof name, "tile %s", command);
    int code = cli_fail(name);
    if (r && r->lang)
        fputs(tw_lang_error_context(r->lang), stderr);
    return code;
}

const tw_lang_place *tile_place(const tile_request *r, const tw_op *op)
{
    return op && op->place > 0 && op->place <= (uint32_t)r->program.places ? &r->program.place[op->place - 1] : NULL;
}

void tile_say_place(const tile_request *r, const tw_op *op, FILE *to)
{
    const tw_lang_place *p = tile_place(r, op);
    int length;
    if (!p)
        return;
    const char *line = tw_lang_source_line(r->lang, p->file, p->line, &length);
    fprintf(to, "  %s:%d: %.*s\n", p->file, p->line, length, line + 0);
    for (int i = 0; p->caller && i < 48; i++) {
        const char *inner = p->function;
        p = &r->program.place[p->caller - 1];
        fprintf(to, "    in %s, called from %s:%d in %s\n", inner, p->file, p->line, p->function);
    }
}
