/* tilewright/kernel.h: the tile language's front end and the launcher, for programs that use the library. */
#include "tilewright/kernel.h"

#include "runtime/launch.h"
#include "tile/lang/lang.h"

struct tw_kernel_source {
    tw_lang *lang;
};

struct tw_kernel_program {
    tw_launcher *launcher;
    tw_kernel_argument *argument;
    int arguments;
    void (*print)(void *user, const char *line);
    void *user;
};

enum { MOST_GIVEN = 200, MOST_TEXT = 200 };

/* ---- source ---- */

tw_status tw_kernel_source_create(tw_kernel_source **source)
{
    tw_kernel_source *s = tw_alloc_zero(1, sizeof *s);
    *source = NULL;
    if (s && !(s->lang = tw_lang_create(NULL))) {
        tw_free(s);
        s = NULL;
    }
    *source = s;
    return s ? TW_OK : TW_ERR_MEMORY;
}

void tw_kernel_source_destroy(tw_kernel_source *s)
{
    if (!s)
        return;
    tw_lang_destroy(s->lang);
    tw_free(s);
}

tw_status tw_kernel_source_add(tw_kernel_source *s, const char *path, const char *text, size_t bytes)
{
    return tw_lang_add(s->lang, path, text, bytes);
}

int tw_kernel_source_count(const tw_kernel_source *s)
{
    return tw_lang_kernel_count(s->lang);
}

const char *tw_kernel_source_name(const tw_kernel_source *s, int i)
{
    return i >= 0 && i < tw_lang_kernel_count(s->lang) ? tw_lang_kernel_at(s->lang, i)->name : NULL;
}

const char *tw_kernel_source_context(const tw_kernel_source *s)
{
    return tw_lang_error_context(s->lang);
}

/* ---- programs ---- */

/* "name:type" or "NAME=value"; the text is cut in `room`. */
static tw_status parse_given(const char *text, char *room, tw_lang_arg *arg)
{
    size_t length = strlen(text), name = strcspn(text, ":=");
    if (!name || name == length || length >= MOST_TEXT)
        return tw_error(TW_ERR_VALUE, "kernel argument '%.100s'; expected name:type or NAME=value", text);
    memcpy(room, text, length + 1);
    room[name] = '\0';
    *arg = (tw_lang_arg){.name = room, .kind = TW_LANG_ARG_CONSTANT, .text = room + name + 1};
    if (text[name] == ':')
        arg->kind = room[name + 1] == '*' ? TW_LANG_ARG_POINTER : TW_LANG_ARG_SCALAR;
    return TW_OK;
}

static void print_line(void *user, const char *line)
{
    const tw_kernel_program *p = user;
    if (p->print)
        p->print(p->user, line);
}

/* Names are copied: the source may go. */
static tw_status take_arguments(tw_kernel_program *p, const tw_lang_program *made)
{
    p->argument = tw_alloc_zero((size_t)made->parameters + 1, sizeof *p->argument);
    if (!p->argument)
        return TW_ERR_MEMORY;
    for (int i = 0; i < made->parameters; i++) {
        const tw_lang_parameter *from = &made->parameter[i];
        size_t bytes = strlen(from->name) + (from->part ? strlen(from->part) : 0) + 2;
        char *name = tw_alloc(bytes);
        if (!name)
            return TW_ERR_MEMORY;
        snprintf(name, bytes, "%s%s%s", from->name, from->part ? "." : "", from->part ? from->part : "");
        p->argument[p->arguments++] = (tw_kernel_argument){name, from->pointer, from->dtype};
    }
    return TW_OK;
}

tw_status tw_kernel_program_create(tw_kernel_source *s, const char *kernel, const char *const *given, int count,
                                   tw_kernel_program **program)
{
    *program = NULL;
    if (count < 0 || count > MOST_GIVEN)
        return tw_error(TW_ERR_VALUE, "kernel %s: %d arguments; expected at most %d", kernel, count, MOST_GIVEN);
    tw_lang_arg *arg = tw_alloc_zero((size_t)count + 1, sizeof *arg);
    char *room = tw_alloc((size_t)(count + 1) * MOST_TEXT);
    tw_kernel_program *p = tw_alloc_zero(1, sizeof *p);
    tw_lang_program made = {0};
    tw_status status = arg && room && p ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < count && status == TW_OK; i++)
        status = parse_given(given[i], room + (size_t)i * MOST_TEXT, &arg[i]);
    if (status == TW_OK)
        status = tw_lang_compile(s->lang, kernel, arg, count, 0, &made);
    if (status == TW_OK)
        status = take_arguments(p, &made);
    const tw_launch_options options = {
        .general = tw_env("TW_SPECIALISE") && !tw_env_on("TW_SPECIALISE"), .print = print_line, .user = p};
    if (status == TW_OK)
        status = tw_launcher_create(made.graph, &options, &p->launcher);
    tw_graph_destroy(made.graph);
    tw_free(arg);
    tw_free(room);
    if (status == TW_OK)
        *program = p;
    else
        tw_kernel_program_destroy(p);
    return status;
}

void tw_kernel_program_destroy(tw_kernel_program *p)
{
    if (!p)
        return;
    tw_launcher_destroy(p->launcher);
    for (int i = 0; i < p->arguments; i++)
        tw_free((char *)(uintptr_t)p->argument[i].name);
    tw_free(p->argument);
    tw_free(p);
}

int tw_kernel_argument_count(const tw_kernel_program *p)
{
    return p->arguments;
}

tw_kernel_argument tw_kernel_argument_at(const tw_kernel_program *p, int i)
{
    return i >= 0 && i < p->arguments ? p->argument[i] : (tw_kernel_argument){NULL, false, TW_F32};
}

void tw_kernel_print_to(tw_kernel_program *p, void (*print)(void *user, const char *line), void *user)
{
    p->print = print;
    p->user = user;
}

tw_status tw_kernel_launch(tw_kernel_program *p, const int64_t grid[3], const tw_kernel_value *values)
{
    int64_t word[MOST_GIVEN];
    for (int i = 0; i < p->arguments; i++) {
        const tw_kernel_argument *a = &p->argument[i];
        if (a->pointer) {
            word[i] = (int64_t)(uintptr_t)values[i].pointer;
        } else if (tw_dtype_floating(a->dtype)) {
            word[i] = 0;
            tw_dtype_store(a->dtype, &word[i], values[i].number);
        } else {
            word[i] = a->dtype == TW_BOOL ? values[i].integer != 0 : values[i].integer;
        }
    }
    return tw_launcher_run(p->launcher, grid, word, NULL);
}
