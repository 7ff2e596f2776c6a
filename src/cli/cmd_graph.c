/* tw run, tw opt: graphs that are written as text, as print.c writes them and failing random graphs are reported. */
#include <stdio.h>
#include <string.h>

#include "capture/capture.h"
#include "cli/cli.h"
#include "cli/graph_file.h"
#include "ops/graph_ops.h"

static void print_graph(const tw_graph *g)
{
    tw_text text = {0};
    tw_graph_print(g, &text);
    fputs(tw_text_string(&text), stdout);
    tw_text_free(&text);
}

/* ---- opt ---- */

static tw_status apply(const char *passes, tw_graph **g)
{
    while (*passes) {
        char name[64];
        size_t length = strcspn(passes, ",");
        bool changed = false;
        snprintf(name, sizeof name, "%.*s", (int)length, passes);
        const tw_pass *pass = tw_pass_find(name);
        if (!pass)
            return tw_error(TW_ERR_VALUE, "unknown pass '%s'; expected %s", name, tw_pass_names());
        TW_TRY(pass->run(g, &changed));
        TW_TRY(tw_graph_verify(*g));
        passes += length + (passes[length] == ',');
    }
    return TW_OK;
}

int cmd_opt(int argc, char **argv)
{
    const char *passes = "decompose,simplify";
    text_list file = {.count = 0};
    tw_graph *g = NULL;
    int code;
    const option options[] = {
        {"--passes", "LIST", "in this order, with commas between (decompose,simplify)", OPTION_TEXT, &passes, 0, 0}};
    const command_line line = {.name = "opt",
                               .about = "Applies passes to the graph in FILE and prints what is left.",
                               .options = options,
                               .count = TW_COUNT(options),
                               .operand = "FILE",
                               .given = &file,
                               .least = 1,
                               .most = 1};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    tw_status status = graph_file_read(file.item[0], &g);
    if (status == TW_OK)
        status = apply(passes, &g);
    if (status == TW_OK)
        print_graph(g);
    tw_graph_destroy(g);
    return status == TW_OK ? 0 : cli_fail("opt");
}

/* ---- run ---- */

/* What the reference says, and how far from it a right result may be. */
typedef struct expectation {
    tw_array want[MOST_OUTPUTS], bound[MOST_OUTPUTS];
} expectation;

static tw_status expect(const graph_run *r, expectation *x)
{
    bool changed;
    tw_graph *g = tw_graph_clone(r->g);
    tw_status status = g ? tw_pass_find("decompose")->run(&g, &changed) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_reference_bounds(g, NULL, r->in, r->inputs, x->want, x->bound, r->outputs);
    tw_graph_destroy(g);
    return status;
}

static void free_expectation(expectation *x)
{
    for (int i = 0; x && i < MOST_OUTPUTS; i++) {
        tw_array_free(&x->want[i]);
        tw_array_free(&x->bound[i]);
    }
    tw_free(x);
}

static void print_array(const char *what, int number, const tw_array *a)
{
    enum { MOST_PRINTED = 64 };
    int64_t count = tw_array_count(a);
    size_t size = tw_dtype_size(a->dtype);
    printf("%s %d: %s[", what, number, tw_dtype_name(a->dtype));
    for (int i = 0; i < a->rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)a->shape[i]);
    printf("]");
    for (int64_t e = 0; e < TW_MIN(count, (int64_t)MOST_PRINTED); e++)
        printf(" %.9g", tw_dtype_load(a->dtype, (const char *)a->data + (size_t)e * size));
    printf("%s\n", count > MOST_PRINTED ? " ..." : "");
}

/* Prints how the compiled results differ from the reference's: from what it allows, or by more than `ulp` units. */
static bool agree(const graph_run *r, const expectation *x, double ulp)
{
    bool all = true;
    for (int i = 0; i < r->outputs; i++) {
        tw_text report = {0};
        bool same = ulp < 0 ? tw_array_within(&r->out[i], &x->want[i], &x->bound[i], &report)
                            : tw_array_compare(&r->out[i], &x->want[i], ulp, 1e-6, &report);
        printf("output %d: %s\n", i, same ? "agrees with the reference" : tw_text_string(&report));
        tw_text_free(&report);
        all = all && same;
    }
    return all;
}

int cmd_run(int argc, char **argv)
{
    const char *inputs = NULL;
    text_list file = {.count = 0};
    int64_t seed = 1;
    double ulp = -1;
    bool reference = false, compare = false, same = true;
    int code;
    const option options[] = {
        {"--seed", "N", "of the random inputs (1)", OPTION_INT, &seed, 0, 9e15},
        {"--inputs", "FILE", "safetensors with input0, input1 ... instead of random ones", OPTION_TEXT, &inputs, 0, 0},
        {"--reference", NULL, "by the reference evaluator, in double precision", OPTION_FLAG, &reference, 0, 0},
        {"--compare", NULL, "compiled beside the reference; exit status 1 where they differ", OPTION_FLAG, &compare, 0,
         0},
        {"--ulp", "X", "units in the last place that --compare allows (what each operation promises, carried through)",
         OPTION_FLOAT, &ulp, 0, 1e9},
    };
    const command_line line = {.name = "run",
                               .about =
                                   "Runs the graph in FILE on random inputs (or given ones) and prints its results.",
                               .options = options,
                               .count = TW_COUNT(options),
                               .operand = "FILE",
                               .given = &file,
                               .least = 1,
                               .most = 1};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    graph_run *r = NULL;
    expectation *x = tw_alloc_zero(1, sizeof *x);
    tw_status status = x ? graph_run_open(file.item[0], inputs, seed, &r) : TW_ERR_MEMORY;
    if (status == TW_OK && (reference || compare))
        status = expect(r, x);
    tw_set_tier(TW_TIER_COMPILED);
    if (status == TW_OK && !reference)
        status = graph_run_compute(r);
    for (int i = 0; status == TW_OK && i < r->outputs; i++)
        print_array("output", i, reference ? &x->want[i] : &r->out[i]);
    if (status == TW_OK && compare && !reference)
        same = agree(r, x, ulp);
    graph_run_close(r);
    free_expectation(x);
    return status != TW_OK ? cli_fail("run") : !same;
}
