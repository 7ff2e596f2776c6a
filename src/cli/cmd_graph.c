/* tw run, tw opt: graphs that are written as text, as print.c writes them and failing random graphs are reported. */
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "capture/capture.h"
#include "cli/cli.h"
#include "ops/graph_ops.h"
#include "ops/reference.h"

enum { MOST_INPUTS = 256, MOST_OUTPUTS = 256 };

static tw_status read_standard_input(void **data, size_t *bytes)
{
    size_t room = 1 << 16;
    *bytes = 0;
    *data = tw_alloc(room);
    while (*data) {
        *bytes += fread((char *)*data + *bytes, 1, room - *bytes, stdin);
        if (*bytes < room)
            return TW_OK;
        void *grown = tw_realloc(*data, room *= 2);
        if (!grown)
            tw_free(*data);
        *data = grown;
    }
    return TW_ERR_MEMORY;
}

static tw_status read_graph(const char *path, tw_graph **g)
{
    void *text = NULL;
    size_t bytes;
    tw_status status =
        strcmp(path, "-") ? tw_os_read_file(path, (size_t)64 << 20, &text, &bytes) : read_standard_input(&text, &bytes);
    *g = NULL;
    if (status == TW_OK && !(*g = tw_graph_parse(&tw_graph_table, text, bytes))) {
        char message[400];
        snprintf(message, sizeof message, "%s", tw_error_message());
        status = tw_error(TW_ERR_FORMAT, "%s:%s", path, message);
    }
    tw_free(text);
    return status;
}

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
    const char *passes = "decompose,simplify", *file = NULL;
    tw_graph *g = NULL;
    int code;
    const option options[] = {
        {"--passes", "LIST", "in this order, with commas between (decompose,simplify)", OPTION_TEXT, &passes, 0, 0}};
    if (!cli_parse_file("opt", "Applies passes to the graph in FILE and prints what is left.", options,
                        TW_COUNT(options), argc, argv, &file, &code))
        return code;
    tw_status status = read_graph(file, &g);
    if (status == TW_OK)
        status = apply(passes, &g);
    if (status == TW_OK)
        print_graph(g);
    tw_graph_destroy(g);
    return status == TW_OK ? 0 : cli_fail("opt");
}

/* ---- run ---- */

typedef struct graph_run {
    tw_graph *g; /* primitives */
    tw_array in[MOST_INPUTS], out[MOST_OUTPUTS], want[MOST_OUTPUTS];
    int inputs, outputs;
} graph_run;

static tw_status prepare(graph_run *r, const char *file, int64_t seed)
{
    bool changed;
    TW_TRY(read_graph(file, &r->g));
    TW_TRY(tw_pass_find("decompose")->run(&r->g, &changed));
    const tw_op *last = r->g->body->last;
    if (!last || last->code != TW_G_OUTPUT || last->operands > MOST_OUTPUTS)
        return tw_error(TW_ERR_FORMAT, "%s: the last operation is no output of 0 to %d values", file, MOST_OUTPUTS);
    r->outputs = (int)last->operands;
    r->inputs = tw_reference_inputs(r->g, (uint64_t)seed, r->in, MOST_INPUTS);
    return r->inputs >= 0
               ? TW_OK
               : tw_error(TW_ERR_VALUE, "%s: inputs must be at most %d, of constant sizes", file, MOST_INPUTS);
}

static tw_status run_compiled(graph_run *r)
{
    void *in[MOST_INPUTS], *out[MOST_OUTPUTS];
    tw_executable *e = NULL;
    tw_status status = tw_compile_graph(r->g, NULL, NULL, &e);
    for (int i = 0; i < r->outputs && status == TW_OK; i++) {
        const tw_type *t = &r->g->body->last->operand[i]->type;
        status = tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &r->out[i]);
        out[i] = r->out[i].data;
    }
    for (int i = 0; i < r->inputs; i++)
        in[i] = r->in[i].data;
    if (status == TW_OK)
        status = tw_execute(e, in, out);
    if (e)
        tw_executable_destroy(e);
    return status;
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

/* Prints how the compiled results differ from the reference's; an allowance of `ulp` units. */
static bool agree(const graph_run *r, double ulp)
{
    bool all = true;
    for (int i = 0; i < r->outputs; i++) {
        tw_text report = {0};
        bool same = tw_array_compare(&r->out[i], &r->want[i], ulp, 1e-6, &report);
        printf("output %d: %s\n", i, same ? "agrees with the reference" : tw_text_string(&report));
        tw_text_free(&report);
        all = all && same;
    }
    return all;
}

int cmd_run(int argc, char **argv)
{
    const char *file = NULL;
    int64_t seed = 1;
    double ulp = 16;
    bool reference = false, compare = false, same = true;
    int code;
    const option options[] = {
        {"--seed", "N", "of the random inputs (1)", OPTION_INT, &seed, 0, 9e15},
        {"--reference", NULL, "by the reference evaluator, in double precision", OPTION_FLAG, &reference, 0, 0},
        {"--compare", NULL, "compiled beside the reference; exit status 1 where they differ", OPTION_FLAG, &compare, 0,
         0},
        {"--ulp", "X", "difference that --compare allows, in units in the last place (16)", OPTION_FLOAT, &ulp, 0, 1e9},
    };
    if (!cli_parse_file("run", "Runs the graph in FILE on random inputs and prints its results.", options,
                        TW_COUNT(options), argc, argv, &file, &code))
        return code;
    graph_run *r = tw_alloc_zero(1, sizeof *r);
    tw_status status = r ? prepare(r, file, seed) : TW_ERR_MEMORY;
    if (status == TW_OK && (reference || compare))
        status = tw_reference_run(r->g, NULL, r->in, r->inputs, r->want, r->outputs);
    if (status == TW_OK && !reference)
        status = run_compiled(r);
    for (int i = 0; status == TW_OK && i < r->outputs; i++)
        print_array("output", i, reference ? &r->want[i] : &r->out[i]);
    if (status == TW_OK && compare && !reference)
        same = agree(r, ulp);
    for (int i = 0; r && i < MOST_INPUTS; i++)
        tw_array_free(&r->in[i]);
    for (int i = 0; r && i < MOST_OUTPUTS; i++) {
        tw_array_free(&r->out[i]);
        tw_array_free(&r->want[i]);
    }
    if (r)
        tw_graph_destroy(r->g);
    tw_free(r);
    return status != TW_OK ? cli_fail("run") : !same;
}
