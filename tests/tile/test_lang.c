/* The front end as text: each file of tests/tile/lang has cases
 *
 *     compile ARGUMENTS       x:*f32 (a pointer), n:i32 (a scalar), BLOCK=16 (a constant), strict
 *     (a source file with one kernel, or several and the one named `kernel`)
 *     gives                   or: fails
 *     (the tile program)      or: LINE:COLUMN: the message
 *
 * and `check`, whose result is a line for each kernel: ok, or the line and the message. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "tile/lang/lang.h"

enum { MOST_ARGS = 32 };

static int checks;

static int read_arguments(char *text, tw_lang_arg *args, tw_lang_options *options)
{
    int count = 0;
    for (char *word = strtok(text, " "); word && count < MOST_ARGS; word = strtok(NULL, " ")) {
        char *at = word + strcspn(word, ":=");
        if (!strcmp(word, "strict")) {
            options->strict = true;
            continue;
        }
        tw_lang_arg_kind kind = *at == '='     ? TW_LANG_ARG_CONSTANT
                                : at[1] == '*' ? TW_LANG_ARG_POINTER
                                               : TW_LANG_ARG_SCALAR;
        *at = '\0';
        args[count++] = (tw_lang_arg){.name = word, .kind = kind, .text = at + 1};
    }
    return count;
}

static void compile_text(char *arguments, const char *source, size_t bytes, tw_text *out)
{
    tw_lang_arg args[MOST_ARGS];
    tw_lang_options options = {0};
    tw_lang_program p;
    int count = read_arguments(arguments, args, &options);
    tw_lang *l = tw_lang_create(&options);
    assert_non_null(l);
    tw_status status = tw_lang_add(l, "kernel.py", source, bytes);
    const char *name = status == TW_OK && tw_lang_kernel_count(l) == 1 ? tw_lang_kernel_at(l, 0)->name : "kernel";
    if (status == TW_OK)
        status = tw_lang_compile(l, name, args, count, 0, &p);
    if (status == TW_OK) {
        tw_text_add(out, "%s", p.notes);
        tw_graph_print(p.graph, out);
        tw_graph *again = tw_graph_parse(p.graph->table, out->data + strlen(p.notes), out->count - strlen(p.notes));
        if (!again)
            fail_msg("what was printed is not read back: %s\n%s", tw_error_message(), tw_text_string(out));
        tw_graph_destroy(again);
        tw_graph_destroy(p.graph);
    } else {
        const char *message = tw_error_message();
        tw_text_add(out, "%s\n", strncmp(message, "kernel.py:", 10) ? message : message + 10);
    }
    tw_lang_destroy(l);
}

static void check_text(const char *source, size_t bytes, tw_text *out)
{
    tw_lang *l = tw_lang_create(NULL);
    assert_non_null(l);
    if (tw_lang_add(l, "kernel.py", source, bytes) != TW_OK)
        tw_text_add(out, "%s\n", tw_error_message());
    assert_int_equal(tw_lang_check_all(l), TW_OK);
    for (int i = 0; i < tw_lang_kernel_count(l); i++) {
        const tw_lang_kernel *k = tw_lang_kernel_at(l, i);
        if (k->reason)
            tw_text_add(out, "%s %d: %s\n", k->name, k->reason_line, k->reason);
        else
            tw_text_add(out, "%s ok\n", k->name);
    }
    tw_lang_destroy(l);
}

/* From the line behind `compile` or `check` to the next case. */
static void run_case(const char *path, char *text, bool compile)
{
    static const char *const middles[] = {"\ngives\n", "\nfails\n"};
    char *source = strchr(text, '\n'), *middle = NULL;
    tw_text got = {0};
    assert_non_null(source);
    *source++ = '\0';
    for (int i = 0; i < 2 && !middle; i++)
        middle = strstr(source, middles[i]);
    if (!middle)
        fail_msg("%s: a case without 'gives' or 'fails'", path);
    const char *want = middle + strlen(middles[0]);
    size_t bytes = (size_t)(middle + 1 - source);
    size_t wanted = strlen(want);
    while (wanted > 1 && want[wanted - 1] == '\n' && want[wanted - 2] == '\n')
        wanted--;
    if (compile)
        compile_text(text, source, bytes, &got);
    else
        check_text(source, bytes, &got);
    if (got.count != wanted || strncmp(tw_text_string(&got), want, wanted) != 0)
        fail_msg("%s:\n%.*s\ngave\n%s\nexpected\n%.*s", path, (int)bytes, source, tw_text_string(&got), (int)wanted,
                 want);
    tw_text_free(&got);
    checks++;
}

static char *next_case(char *at)
{
    char *compile = strstr(at, "\ncompile"), *check = strstr(at, "\ncheck\n");
    return !compile ? check : !check ? compile : compile < check ? compile : check;
}

static void run_file(const char *path)
{
    void *data;
    size_t bytes;
    assert_int_equal(tw_os_read_file(path, 1 << 20, &data, &bytes), TW_OK);
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    tw_free(data);
    for (char *at = next_case(text), *next; at; at = next) {
        bool compile = !strncmp(at, "\ncompile", 8);
        next = next_case(at + 1);
        if (next)
            *next = '\0'; /* the newline before the next case */
        run_case(path, at + (compile ? 8 : 6), compile);
        if (next)
            *next = '\n';
    }
    free(text);
}

static void sources_give_what_the_files_say(void **state)
{
    (void)state;
    DIR *folder = opendir(LANG_FOLDER);
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e; e = readdir(folder)) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", LANG_FOLDER, e->d_name);
        if (strstr(e->d_name, ".txt"))
            run_file(path);
    }
    closedir(folder);
    assert_true(checks > 0);
}

/* Whatever allocation fails, compiling ends with an error and frees what it had. */
static void every_failed_allocation_is_an_error(void **state)
{
    static const char source[] =
        "import triton\nimport triton.language as tl\n@triton.jit\ndef kernel(x, n, B: tl.constexpr):\n"
        "    i = tl.arange(0, B)\n    for k in range(n):\n        v = tl.load(x + i)\n"
        "        if k > 2:\n            v = tl.exp(v)\n        tl.store(x + i, tl.sum(v) + v)\n";
    const tw_lang_arg args[] = {{"x", TW_LANG_ARG_POINTER, "*f32", NULL},
                                {"n", TW_LANG_ARG_SCALAR, "i32", NULL},
                                {"B", TW_LANG_ARG_CONSTANT, "16", NULL}};
    (void)state;
    for (int64_t nth = 1;; nth++) {
        tw_lang_program p = {0};
        tw_memory_fail_at(nth);
        int64_t before = tw_memory_allocations();
        tw_lang *l = tw_lang_create(NULL);
        tw_status status = l ? tw_lang_add(l, "kernel.py", source, sizeof source - 1) : TW_ERR_MEMORY;
        if (status == TW_OK)
            status = tw_lang_compile(l, "kernel", args, 3, 0, &p);
        bool reached = tw_memory_allocations() - before >= nth;
        tw_memory_fail_at(-1);
        if (status == TW_OK)
            tw_graph_destroy(p.graph);
        tw_lang_destroy(l);
        checks++;
        if (!reached) {
            assert_int_equal(status, TW_OK);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sources_give_what_the_files_say),
                                       cmocka_unit_test(every_failed_allocation_is_an_error)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
