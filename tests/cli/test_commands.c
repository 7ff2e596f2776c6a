/* The program's commands as a person runs them: what they print, what they write, how they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/os.h"
#include "tilewright/io.h"

static int checks;
static char folder[64], said[1 << 18];

/* Runs `tw ARGUMENTS` in the test's folder; standard output and error go to `said`. Returns the exit status. */
static int tw(const char *arguments, ...)
{
    char formatted[1024], command[2048];
    va_list list;
    va_start(list, arguments);
    vsnprintf(formatted, sizeof formatted, arguments, list);
    va_end(list);
    snprintf(command, sizeof command, "cd %s && TW_CACHE=0 %s %s 2>&1", folder, TW_PROGRAM, formatted);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    said[fread(said, 1, sizeof said - 1, out)] = '\0';
    int status = pclose(out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_said(const char *text)
{
    if (!strstr(said, text))
        fail_msg("'%s' is not in: %s", text, said);
    checks++;
}

static void expect_one_line(const char *start)
{
    assert_int_equal(strncmp(said, start, strlen(start)), 0);
    assert_true(strchr(said, '\n') == said + strlen(said) - 1);
    checks += 2;
}

static void write_text(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect_file(const char *name, const char *start)
{
    char path[128];
    void *data;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(tw_os_read_file(path, 1 << 24, &data, &bytes), TW_OK);
    assert_int_equal(strncmp(data, start, strlen(start)), 0);
    tw_free(data);
    checks += 2;
}

static const char GRAPH[] = "%0 = input : f32[6, 10]\n"
                            "%1 = softmax %0 {axis=-1} : f32[6, 10]\n"
                            "%2 = sum %1 {axes=[0], keepdim=false} : f32[10]\n"
                            "output %2\n";

static void explain_a_graph(void **state)
{
    (void)state;
    write_text("g.tw", GRAPH);
    assert_int_equal(tw("explain g.tw"), 0);
    expect_said("the graph in g.tw\n");
    expect_said("segment 0: 2 operations, ended by the end of the graph; 2 launches of 2 kernels");
    expect_said("they loop over different things: 6 rows of 10, then 10 columns of 6");
    assert_int_equal(tw("explain - < g.tw"), 0);
    expect_said("the graph in standard input\n");
    assert_int_equal(tw("explain --tsv g.tw"), 0);
    expect_said("plan\tlaunch\tbatch\t");
    expect_said("\n0\t1\t1\t1\tcolumns_sum");
    assert_int_equal(tw("explain g.tw --html page.html --trace=trace.json --dot kernels.dot"), 0);
    expect_file("page.html", "<!doctype html>");
    expect_file("trace.json", "{");
    expect_file("kernels.dot", "digraph step {");
    checks += 4;
}

static void explain_a_training_step(void **state)
{
    (void)state;
    assert_int_equal(tw("explain --layers 1 --dim 32 --heads 2 --context 16 --batch 2"), 0);
    expect_said("training step of a GPT: 1 layers, dim 32, 2 heads, context 16, batch 2\n");
    expect_said("ended by item of f32[]");
    expect_said("attention");
    expect_said("renewed tensors are written in place");
    checks++;
}

static void refusals_are_one_line(void **state)
{
    (void)state;
    write_text("broken.tw", "%0 = input : f32[6, 10]\n%1 = nonsense %0 : f32[6, 10]\noutput %1\n");
    write_text("endless.tw", "%0 = input : f32[6, 10]\n%1 = exp %0 : f32[6, 10]\n");
    write_text("g.tw", GRAPH);
    assert_int_equal(tw("explain missing.tw"), 1);
    expect_one_line("tw explain: cannot open missing.tw: ");
    assert_int_equal(tw("explain broken.tw"), 1);
    expect_one_line("tw explain: broken.tw:2:");
    assert_int_equal(tw("explain endless.tw"), 1);
    expect_one_line("tw explain: endless.tw: ");
    assert_int_equal(tw("explain --wrong"), 2);
    expect_one_line("tw explain: unknown option '--wrong'");
    assert_int_equal(tw("explain --layers 0"), 2);
    expect_one_line("tw explain: --layers '0'; expected a whole number from 1 to");
    assert_int_equal(tw("explain --data missing.txt"), 1);
    expect_one_line("tw explain: cannot open missing.txt: ");
    assert_int_equal(tw("explain g.tw --html no/such/folder.html"), 1); /* before anything runs */
    expect_one_line("tw explain: cannot write beside no/such/folder.html");
    assert_int_equal(tw("explain --help"), 0);
    expect_said("--html FILE");
    checks += 8;
}

/* What TW_CHECK=1 saves: a graph and its inputs, which tw run takes. */
static void run_takes_given_inputs(void **state)
{
    char path[128];
    (void)state;
    write_text("double.tw", "%0 = input : bf16[3]\n%1 = add %0, %0 : bf16[3]\noutput %1\n");
    TW_SCOPE {
        float values[] = {1.5f, -2, 0.25f};
        tw_tensor *t = tw_from_data(values, 1, (int64_t[]){3}, TW_F32), *cast = tw_empty(1, (int64_t[]){3}, TW_BF16);
        assert_int_equal(tw_assign(cast, t), TW_OK);
        snprintf(path, sizeof path, "%s/double.safetensors", folder);
        assert_int_equal(tw_save_safetensors(path, 1, (const char *[]){"input0"}, (tw_tensor *[]){cast}, 0, NULL, NULL),
                         TW_OK);
        snprintf(path, sizeof path, "%s/other.safetensors", folder);
        assert_int_equal(tw_save_safetensors(path, 1, (const char *[]){"input0"}, (tw_tensor *[]){t}, 0, NULL, NULL),
                         TW_OK);
    }
    assert_int_equal(tw("run double.tw --inputs double.safetensors --compare"), 0);
    expect_said("output 0: bf16[3] 3 -4 0.5\n");
    expect_said("output 0: agrees with the reference\n");
    assert_int_equal(tw("run double.tw --inputs other.safetensors"), 1);
    expect_one_line("tw run: other.safetensors: input0 has 3 elements of f32; the graph expects 3 of bf16");
    write_text("two.tw", "%0 = input : bf16[3]\n%1 = input : bf16[3]\n%2 = add %0, %1 : bf16[3]\noutput %2\n");
    assert_int_equal(tw("run two.tw --inputs double.safetensors"), 1);
    expect_one_line("tw run: ");
    checks += 7;
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/tw-test-commands-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explain_a_graph),
        cmocka_unit_test(explain_a_training_step),
        cmocka_unit_test(refusals_are_one_line),
        cmocka_unit_test(run_takes_given_inputs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    tw_scope_end_all();
    return system(command) != 0 || failed;
}
