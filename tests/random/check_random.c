/* Random graphs against the reference evaluator:
 *     check_random [--graphs N] [--seed S] [--what simplify|compiled|inplace|gradients|again|bits|all]
 * Graph i of seed S is graph 0 of seed S + i. A disagreement is shrunk and printed as IR text, which `tw run --compare`
 * runs again. simplify: the rules alone; compiled: kernels; inplace: results that are written over inputs; gradients:
 * the graph with the gradients of its inputs; again: that, with everything computed again that can be; bits: operation
 * by operation, compiled for one thread and for two, computed again, and by kernels for all sizes, to the last bit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "autograd/autograd.h"
#include "capture/capture.h"
#include "capture/check.h"
#include "decompose/decompose.h"
#include "ops/build.h"
#include "rematerialise/rematerialise.h"
#include "simplify/simplify.h"
#include "support/random_graph.h"
#include "tensor/hooks.h"
#include "tile/tile.h"

static tw_status run_simplified(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    tw_graph *copy = tw_graph_clone(g);
    bool changed = false;
    tw_status status = copy ? tw_pass_simplify(&copy, &changed) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_graph_verify(copy);
    if (status == TW_OK)
        status = tw_reference_run(copy, NULL, in, n, out, m);
    tw_graph_destroy(copy);
    return status;
}

/* A copy of an array between guard words: a kernel that writes outside what it was given is found at once. */
enum { GUARD_BYTES = 256, GUARD = 0xa5, MOST = 64 };

static unsigned char *guarded(const tw_array *a)
{
    unsigned char *block = tw_alloc_aligned(a->bytes + 2 * GUARD_BYTES, 64);
    if (!block)
        return NULL;
    memset(block, GUARD, a->bytes + 2 * GUARD_BYTES);
    memcpy(block + GUARD_BYTES, a->data, a->bytes);
    return block;
}

static bool intact(const unsigned char *block, const tw_array *a)
{
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (block[i] != GUARD || block[GUARD_BYTES + a->bytes + i] != GUARD)
            return false;
    return true;
}

static tw_status execute_guarded(tw_executable *e, const tw_array *in, int n, tw_array *out, int m)
{
    unsigned char *block[2 * MOST] = {NULL};
    void *inputs[MOST] = {NULL}, *outputs[MOST] = {NULL};
    tw_status status = n <= MOST && m <= MOST ? TW_OK : tw_error(TW_ERR_VALUE, "more than %d inputs or outputs", MOST);
    for (int i = 0; i < n + m && status == TW_OK; i++) {
        block[i] = guarded(i < n ? &in[i] : &out[i - n]);
        status = block[i] ? TW_OK : TW_ERR_MEMORY;
        if (status == TW_OK)
            *(i < n ? &inputs[i] : &outputs[i - n]) = block[i] + GUARD_BYTES;
    }
    if (status == TW_OK)
        status = tw_checked_execute(e, inputs, outputs);
    for (int i = 0; i < n + m && status == TW_OK; i++) {
        const tw_array *a = i < n ? &in[i] : &out[i - n];
        if (!intact(block[i], a))
            status = tw_error(TW_ERR_INTERNAL, "a kernel wrote outside %s %d", i < n ? "input" : "output",
                              i < n ? i : i - n);
        else if (i < n && memcmp(block[i] + GUARD_BYTES, a->data, a->bytes))
            status = tw_error(TW_ERR_INTERNAL, "a kernel wrote to input %d", i);
        else if (i >= n)
            memcpy(out[i - n].data, block[i] + GUARD_BYTES, a->bytes);
    }
    for (int i = 0; i < 2 * MOST; i++)
        tw_free(block[i]);
    return status;
}

/* Results that may be written over an input of their type: the new content of a tensor that changes in place. Which
 * input depends on the graph alone, so that shrinking keeps it. */
static void choose_in_place(const tw_graph *g, int n, int m, int *in_place)
{
    const tw_op *input = g->body->first;
    bool taken[MOST] = {false};
    for (int k = 0; k < m; k++)
        in_place[k] = -1;
    for (int j = 0; j < n; j++, input = input->next) {
        for (int k = 0; k < m && !taken[j]; k++) {
            if (in_place[k] >= 0 || !tw_type_equal(&g->body->last->operand[k]->type, &input->result[0].type))
                continue;
            in_place[k] = j;
            taken[j] = true;
        }
    }
}

/* Runs on copies of the inputs, each result where the plan says that it may go. */
static tw_status run_in_place(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    void *inputs[MOST] = {NULL}, *outputs[MOST] = {NULL};
    int in_place[MOST];
    tw_executable *e = NULL;
    if (n > MOST || m > MOST)
        return tw_error(TW_ERR_VALUE, "more than %d inputs or outputs", MOST);
    choose_in_place(g, n, m, in_place);
    tw_status status = tw_compile_graph(g, in_place, NULL, &e);
    for (int i = 0; i < n && status == TW_OK; i++) {
        inputs[i] = tw_alloc_aligned(TW_MAX(in[i].bytes, (size_t)1), 64);
        if (inputs[i])
            memcpy(inputs[i], in[i].data, in[i].bytes);
        status = inputs[i] ? TW_OK : TW_ERR_MEMORY;
    }
    for (int i = 0; i < m && status == TW_OK; i++) {
        const tw_type *t = &g->body->last->operand[i]->type;
        status = tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &out[i]);
        outputs[i] = out[i].data;
    }
    for (int i = 0; status == TW_OK && i < e->plan->slots; i++)
        if (e->plan->slot[i].kind == TW_SLOT_OUTPUT && e->plan->slot[i].alias_input >= 0)
            outputs[e->plan->slot[i].index] = inputs[e->plan->slot[i].alias_input];
    if (status == TW_OK)
        status = tw_checked_execute(e, inputs, outputs);
    for (int i = 0; status == TW_OK && i < m; i++)
        if (outputs[i] != out[i].data)
            memcpy(out[i].data, outputs[i], out[i].bytes);
    for (int i = 0; i < n; i++)
        tw_free(inputs[i]);
    if (e)
        tw_executable_destroy(e);
    return status;
}

static tw_status run_compiled(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    tw_executable *e = NULL;
    tw_status status = tw_compile_graph(g, NULL, NULL, &e);
    for (int i = 0; i < m && status == TW_OK; i++) {
        const tw_type *t = &g->body->last->operand[i]->type;
        status = tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &out[i]);
    }
    if (status == TW_OK)
        status = execute_guarded(e, in, n, out, m);
    if (e)
        tw_executable_destroy(e);
    return status;
}

/* Nothing is dear: whatever waits across the fullest point is computed again. */
static tw_status run_again(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    bool changed;
    tw_graph *copy = tw_graph_clone(g);
    tw_status status = copy ? tw_pass_simplify(&copy, &changed) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_rematerialise(&copy, 0, NULL, &changed);
    if (status == TW_OK)
        status = tw_graph_verify(copy);
    if (status == TW_OK)
        status = run_compiled(copy, in, n, out, m);
    tw_graph_destroy(copy);
    return status;
}

static tw_status run_operations(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    void *inputs[MOST] = {NULL}, *outputs[MOST] = {NULL};
    int none[MOST];
    tw_status status = n <= MOST && m <= MOST ? TW_OK : tw_error(TW_ERR_VALUE, "more than %d inputs or outputs", MOST);
    for (int i = 0; i < n && status == TW_OK; i++)
        inputs[i] = in[i].data;
    for (int i = 0; i < m && status == TW_OK; i++) {
        const tw_type *t = &g->body->last->operand[i]->type;
        status = tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &out[i]);
        outputs[i] = out[i].data;
        none[i] = -1;
    }
    tw_segment_io io = {n, m, inputs, NULL, outputs, none};
    tw_tier tier = tw_get_tier();
    tw_set_tier(TW_TIER_OPERATIONS);
    if (status == TW_OK)
        status = tw_segment_runner(g, &io, "the test");
    tw_set_tier(tier);
    return status;
}

/* Every number of a program becomes a symbol: it is merged with a copy that has other numbers. */
static void move_numbers(tw_block *block)
{
    enum { BY = 7919 };
    tw_for_each_op (op, block) {
        for (int i = 0; i < op->info->attrs; i++)
            for (int j = 0; op->info->attr_info[i].kind == TW_ATTR_DIMS && j < op->attr[i].dims.n; j++)
                if (op->attr[i].dims.v[j] > 1)
                    ((tw_dim *)(uintptr_t)op->attr[i].dims.v)[j] += BY;
        if (op->code == TW_T_CONSTANT && op->attr[1].i > 1 && op->result[0].type.dtype == TW_I64)
            op->attr[1].i += BY;
        for (uint32_t i = 0; i < op->regions; i++)
            move_numbers(op->region[i]);
        if (op->code == TW_T_FOR && op->operand[2]->def->code == TW_T_CONSTANT && op->operand[2]->def->attr[1].i > BY)
            op->operand[2]->def->attr[1].i -= BY;
    }
}

static tw_status use_symbols(tw_plan *plan)
{
    for (int k = 0; k < plan->kernels; k++) {
        tw_graph *program = plan->kernel[k].program, *other = tw_graph_clone(program), *general;
        int64_t word[128] = {0};
        if (!other)
            return TW_ERR_MEMORY;
        move_numbers(other->body);
        general = tw_tile_generalise(program, other);
        tw_graph_destroy(other);
        if (!general || tw_graph_verify(general) != TW_OK)
            return tw_error(TW_ERR_INTERNAL, "a program can't be generalised: %s", tw_error_message());
        if (!tw_tile_match(general, program, word))
            return tw_error(TW_ERR_INTERNAL, "a program is no instance of its general form");
        int symbols = tw_graph_symbols(general);
        for (int l = 0; l < plan->launches; l++) {
            tw_plan_launch *launch = &plan->launch[l];
            tw_dim *scalar = tw_arena_alloc(plan->arena, (size_t)(symbols + launch->scalars + 1) * sizeof *scalar);
            if (launch->kernel != k || !scalar)
                continue;
            memcpy(scalar, word, (size_t)symbols * sizeof *scalar);
            memcpy(scalar + symbols, launch->scalar, (size_t)launch->scalars * sizeof *scalar);
            launch->scalar = scalar;
            launch->scalars += symbols;
        }
        tw_graph_destroy(program);
        plan->kernel[k].program = general;
    }
    return TW_OK;
}

static tw_status run_symbols(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    tw_executable *e = NULL;
    tw_plan *plan = NULL;
    bool changed;
    tw_schedule_options options = {.threads = 2};
    tw_graph *copy = tw_graph_clone(g);
    tw_status status = copy ? tw_pass_simplify(&copy, &changed) : TW_ERR_MEMORY;
    for (uint32_t i = 0; status == TW_OK && i < copy->body->last->operands;
         i++) { /* the caller's copies: see capture.c */
        tw_value **v = &copy->body->last->operand[i];
        tw_graph_insert_before(copy, copy->body->last);
        *v = tw_g_cast(copy, *v, (tw_dtype)(*v)->type.dtype);
    }
    if (status == TW_OK)
        status = tw_schedule(copy, &options, &plan);
    if (status == TW_OK)
        status = use_symbols(plan);
    if (status == TW_OK)
        status = tw_executable_create(plan, true, &e);
    else
        tw_plan_destroy(plan);
    for (int i = 0; i < m && status == TW_OK; i++) {
        const tw_type *t = &g->body->last->operand[i]->type;
        status = tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &out[i]);
    }
    if (status == TW_OK)
        status = execute_guarded(e, in, n, out, m);
    if (e)
        tw_executable_destroy(e);
    tw_graph_destroy(copy);
    return status;
}

static tw_status same_bits(const tw_graph *g, graph_runner *run, const char *what, const tw_array *in, int n,
                           const tw_array *want, int m)
{
    tw_array got[MOST] = {0};
    tw_status status = run(g, in, n, got, m);
    for (int i = 0; i < m; i++) {
        tw_text report = {0};
        if (status == TW_OK && !tw_array_same_bits(&got[i], &want[i], &report))
            status = tw_error(TW_ERR_INTERNAL, "%s differs from operation by operation: output %d: %s", what, i,
                              tw_text_string(&report));
        tw_text_free(&report);
        tw_array_free(&got[i]);
    }
    return status;
}

static tw_status run_bits(const tw_graph *g, const tw_array *in, int n, tw_array *out, int m)
{
    TW_TRY(run_operations(g, in, n, out, m));
    tw_set_num_threads(1);
    tw_status status = same_bits(g, run_compiled, "compiled, one thread", in, n, out, m);
    tw_set_num_threads(2);
    if (status == TW_OK)
        status = same_bits(g, run_compiled, "compiled, two threads", in, n, out, m);
    if (status == TW_OK)
        status = same_bits(g, run_again, "computed again", in, n, out, m);
    if (status == TW_OK)
        status = same_bits(g, run_symbols, "with symbols for numbers", in, n, out, m);
    tw_set_num_threads(0);
    return status;
}

static void report_failure(const tw_graph *g, graph_runner *run, uint64_t seed, const char *what)
{
    tw_graph *small = shrink_graph(g, run, seed);
    tw_text text = {0}, why = {0};
    runner_agrees(small ? small : g, run, seed, &why);
    tw_graph_print(small ? small : g, &text);
    printf("seed %" PRIu64 " (%s): %s\n%s\n", seed, what, tw_text_string(&why), tw_text_string(&text));
    tw_text_free(&text);
    tw_text_free(&why);
    tw_graph_destroy(small);
}

/* Its floating outputs, and the gradients of their sums with respect to its floating inputs: everything in one graph.
 * The graph itself where there is nothing to derive. */
static tw_graph *with_gradients(tw_graph *g)
{
    enum { MOST_RESULTS = 8 };
    tw_op *last = g->body->last;
    tw_value *result[MOST_RESULTS], *wrt[MOST_RESULTS], *grad[MOST_RESULTS];
    int results = 0, count = 0;
    bool changed;
    for (uint32_t i = 0; i < last->operands && results < 1; i++)
        if (tw_dtype_floating((tw_dtype)last->operand[i]->type.dtype))
            result[results++] = last->operand[i];
    for (tw_op *op = g->body->first; op && op->code == TW_G_INPUT && count < MOST_RESULTS - 1; op = op->next)
        if (tw_dtype_floating((tw_dtype)op->result[0].type.dtype))
            wrt[count++] = &op->result[0];
    if (!results || !count)
        return g;
    tw_op_remove(last);
    tw_graph_insert_at_end(g, g->body);
    if (tw_autograd_graph(g, result[0], NULL, wrt, count, grad) != TW_OK)
        return NULL;
    for (int i = 0; i < count; i++)
        if (grad[i])
            result[results++] = grad[i];
    if (!tw_g_output(g, results, result) || tw_pass_decompose(&g, &changed) != TW_OK)
        return NULL;
    return g;
}

/* Returns how many graphs disagreed. */
static int check(graph_runner *run, const char *what, uint64_t seed, int64_t graphs)
{
    bool gradients = !strcmp(what, "gradients") || !strcmp(what, "again") || !strcmp(what, "bits");
    enum { MOST_REPORTS = 10 };
    int failed = 0;
    for (int64_t i = 0; i < graphs && failed < MOST_REPORTS; i++) {
        tw_graph *g = random_graph(seed + (uint64_t)i);
        if (g && gradients)
            g = with_gradients(g);
        bool valid = g && tw_graph_verify(g) == TW_OK;
        if (!valid) {
            printf("seed %" PRIu64 ": the generator made an invalid graph: %s\n", seed + (uint64_t)i,
                   tw_error_message());
            failed++;
        } else if (!runner_agrees(g, run, seed + (uint64_t)i, NULL)) {
            report_failure(g, run, seed + (uint64_t)i, what);
            failed++;
        }
        fflush(stdout);
        tw_graph_destroy(g);
    }
    printf("%s: %" PRId64 " graphs from seed %" PRIu64 ", %d failed; %.1f%% of the elements had no bound\n", what,
           graphs, seed, failed, 100 * unbounded_share());
    return failed;
}

static bool number(const char *text, int64_t *value)
{
    char *end;
    *value = strtoll(text, &end, 10);
    return *text && !*end && *value >= 0;
}

int main(int argc, char **argv)
{
    int64_t graphs = 500, seed = 1;
    const char *what = "all";
    for (int i = 1; i < argc; i += 2) {
        bool known = i + 1 < argc && ((!strcmp(argv[i], "--graphs") && number(argv[i + 1], &graphs)) ||
                                      (!strcmp(argv[i], "--seed") && number(argv[i + 1], &seed)) ||
                                      (!strcmp(argv[i], "--what") && (what = argv[i + 1], true)));
        if (!known) {
            fprintf(stderr, "usage: check_random [--graphs N] [--seed S] "
                            "[--what simplify|compiled|inplace|gradients|again|bits|all]\n");
            return 2;
        }
    }
    int failed = 0;
    bool all = !strcmp(what, "all");
    if (all || !strcmp(what, "simplify"))
        failed += check(run_simplified, "simplify", (uint64_t)seed, graphs);
    tw_library_init();
    if (all || !strcmp(what, "compiled"))
        failed += check(run_compiled, "compiled", (uint64_t)seed, graphs);
    if (all || !strcmp(what, "inplace"))
        failed += check(run_in_place, "inplace", (uint64_t)seed, graphs);
    if (all || !strcmp(what, "gradients"))
        failed += check(run_compiled, "gradients", (uint64_t)seed, graphs);
    if (all || !strcmp(what, "again"))
        failed += check(run_again, "again", (uint64_t)seed, graphs);
    if (all || !strcmp(what, "bits"))
        failed += check(run_bits, "bits", (uint64_t)seed, graphs);
    tw_capture_reset();
    printf("# checks: %" PRId64 "\n", all ? 6 * graphs : graphs);
    return failed != 0;
}
