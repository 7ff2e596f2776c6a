/* Passes as text: each file of tests/passes has cases "pass NAME[,NAME...]", a graph, "becomes", the graph that is
 * left. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "capture/capture.h"
#include "ops/graph_ops.h"

static int checks;

static tw_graph *parse(const char *file, const char *from, const char *to)
{
    tw_graph *g = tw_graph_parse(&tw_graph_table, from, (size_t)(to - from));
    if (!g)
        fail_msg("%s: %s", file, tw_error_message());
    return g;
}

static void check_case(const char *file, const char *text, const char *end)
{
    static const char BECOMES[] = "\nbecomes\n";
    char names[256];
    const char *line = strchr(text, '\n'), *middle = strstr(text, BECOMES);
    assert_non_null(middle);
    assert_true(middle < end);
    snprintf(names, sizeof names, "%.*s", (int)(line - text), text);
    tw_graph *g = parse(file, line, middle), *want = parse(file, middle + sizeof BECOMES - 1, end);
    for (char *name = strtok(names, ", "); name; name = strtok(NULL, ", ")) {
        const tw_pass *pass = tw_pass_find(name);
        bool changed = false;
        if (!pass)
            fail_msg("%s: no pass '%s'", file, name);
        assert_int_equal(pass->run(&g, &changed), TW_OK);
        assert_int_equal(tw_graph_verify(g), TW_OK);
    }
    tw_text got = {0}, wanted = {0};
    tw_graph_print(g, &got);
    tw_graph_print(want, &wanted);
    if (strcmp(tw_text_string(&got), tw_text_string(&wanted)) != 0)
        fail_msg("%s: %.*s gave\n%s\nexpected\n%s", file, (int)(line - text), text, tw_text_string(&got),
                 tw_text_string(&wanted));
    tw_text_free(&got);
    tw_text_free(&wanted);
    tw_graph_destroy(g);
    tw_graph_destroy(want);
    checks++;
}

static void check_file(const char *path)
{
    static const char PASS[] = "\npass ";
    void *data;
    size_t bytes;
    assert_int_equal(tw_os_read_file(path, 1 << 20, &data, &bytes), TW_OK);
    for (const char *at = strstr(data, PASS), *next; at; at = next) {
        next = strstr(at + 1, PASS);
        check_case(path, at + sizeof PASS - 1, next ? next : (const char *)data + bytes);
    }
    tw_free(data);
}

static void passes_leave_what_the_files_say(void **state)
{
    (void)state;
    DIR *folder = opendir(PASSES_FOLDER);
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e; e = readdir(folder)) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", PASSES_FOLDER, e->d_name);
        if (strstr(e->d_name, ".txt"))
            check_file(path);
    }
    closedir(folder);
    assert_true(checks > 0);
}

int main(void)
{
    tw_library_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(passes_leave_what_the_files_say)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
