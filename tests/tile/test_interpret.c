/* The interpreter beside compiled code: the tile programs of random graphs' plans give the same bits in both. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "ops/graph_ops.h"
#include "support/random_graph.h"
#include "tile/interpret.h"

enum { MOST = 64, GRAPHS = 400 };

static int checks;

static void *place_of(const tw_plan_slot *slot, const tw_array *in, const tw_array *out, char *arena)
{
    return slot->kind == TW_SLOT_INPUT    ? in[slot->index].data
           : slot->kind == TW_SLOT_OUTPUT ? out[slot->index].data
                                          : arena + slot->offset;
}

/* One launch of the plan in the interpreter, over the memory that a run would use. */
static tw_status interpret_launch(const tw_plan *plan, const tw_plan_launch *l, const tw_array *in, const tw_array *out,
                                  char *arena)
{
    tw_tile_buffer buffer[MOST];
    tw_tile_argument argument[MOST];
    if (l->arguments + l->scalars > MOST)
        return tw_error(TW_ERR_VALUE, "a launch with more than %d arguments", MOST);
    for (int i = 0; i < l->arguments; i++) {
        const tw_plan_slot *slot = &plan->slot[l->slot[i]];
        buffer[i] = (tw_tile_buffer){place_of(slot, in, out, arena), (size_t)slot->bytes, "argument", true};
        argument[i] = (tw_tile_argument){i, 0};
    }
    int symbols = tw_graph_symbols(plan->kernel[l->kernel].program); /* their values come before the scalars */
    for (int i = 0; i < l->scalars; i++)
        argument[l->arguments + i] = (tw_tile_argument){-1, l->scalar[symbols + i]};
    const tw_tile_run run = {.grid = {l->grid[0], l->grid[1], l->grid[2]},
                             .symbol = l->scalar,
                             .buffer = buffer,
                             .buffers = l->arguments,
                             .argument = argument,
                             .arguments = l->arguments + l->scalars};
    return tw_tile_interpret(plan->kernel[l->kernel].program, &run);
}

static bool same_bits(const tw_array *a, const tw_array *b)
{
    size_t size = tw_dtype_size(a->dtype);
    for (int64_t i = 0; i < tw_array_count(a); i++) {
        const char *x = (const char *)a->data + (size_t)i * size, *y = (const char *)b->data + (size_t)i * size;
        bool nan =
            tw_dtype_floating(a->dtype) && isnan(tw_dtype_load(a->dtype, x)) && isnan(tw_dtype_load(b->dtype, y));
        if (!nan && memcmp(x, y, size) != 0)
            return false;
    }
    return true;
}

static tw_status make_outputs(const tw_graph *g, tw_array *out, int m)
{
    for (int i = 0; i < m; i++) {
        const tw_type *t = &g->body->last->operand[i]->type;
        TW_TRY(tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &out[i]));
    }
    return TW_OK;
}

/* Takes over the graph. */
static void compare_both_ways(tw_graph *g, uint64_t seed)
{
    tw_array in[MOST] = {0}, compiled[MOST] = {0}, interpreted[MOST] = {0};
    tw_executable *e = NULL;
    assert_non_null(g);
    int n = tw_reference_inputs(g, seed, in, MOST), m = (int)g->body->last->operands;
    if (n >= 0 && m <= MOST && tw_compile_graph(g, NULL, NULL, &e) == TW_OK) {
        void *inputs[MOST], *outputs[MOST];
        assert_int_equal(make_outputs(g, compiled, m), TW_OK);
        assert_int_equal(make_outputs(g, interpreted, m), TW_OK);
        for (int i = 0; i < n; i++)
            inputs[i] = in[i].data;
        for (int i = 0; i < m; i++)
            outputs[i] = compiled[i].data;
        assert_int_equal(tw_execute(e, inputs, outputs), TW_OK);
        char *arena = tw_alloc_zero((size_t)e->plan->arena_bytes + 64, 1);
        assert_non_null(arena);
        for (int l = 0; l < e->plan->launches; l++)
            if (interpret_launch(e->plan, &e->plan->launch[l], in, interpreted, arena) != TW_OK)
                fail_msg("seed %llu, launch %d: %s", (unsigned long long)seed, l, tw_error_message());
        tw_free(arena);
        for (int i = 0; i < m; i++) {
            if (!same_bits(&compiled[i], &interpreted[i]))
                fail_msg("seed %llu: output %d differs", (unsigned long long)seed, i);
            checks++;
        }
    }
    if (e)
        tw_executable_destroy(e);
    for (int i = 0; i < MOST; i++) {
        tw_array_free(&in[i]);
        tw_array_free(&compiled[i]);
        tw_array_free(&interpreted[i]);
    }
    tw_graph_destroy(g);
}

static void plans_give_the_same_bits_interpreted_and_compiled(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= GRAPHS; seed++)
        compare_both_ways(random_graph(seed), seed);
    assert_true(checks > GRAPHS / 2);
}

/* Long rows and products, which random graphs are too small for. */
static void long_reductions_and_products_too(void **state)
{
    static const char *const texts[] = {
        "%0 = input : f32[5, 1000]\n%1 = softmax %0 {axis=1} : f32[5, 1000]\noutput %1\n",
        "%0 = input : f32[700, 9]\n%1 = sum %0 {axes=[0], keepdim=false} : f32[9]\noutput %1\n",
        "%0 = input : f64[3, 333]\n%1 = sum %0 {axes=[1], keepdim=false} : f64[3]\noutput %1\n",
        "%0 = input : f16[4, 300]\n%1 = log_softmax %0 {axis=1} : f16[4, 300]\noutput %1\n",
        "%0 = input : f32[70, 130]\n%1 = input : f32[130, 90]\n%2 = matmul %0, %1 : f32[70, 90]\n%3 = tanh %2 : "
        "f32[70, 90]\noutput %3\n",
        "%0 = input : f32[2, 33, 64]\n%1 = input : f32[2, 64, 17]\n%2 = matmul %0, %1 : f32[2, 33, 17]\noutput %2\n",
        "%0 = input : bf16[40, 50]\n%1 = input : bf16[50, 60]\n%2 = matmul %0, %1 : bf16[40, 60]\noutput %2\n",
        "%0 = input : f32[6, 400]\n%1 = layer_norm %0, _, _ {dims=1, eps=1e-05} : f32[6, 400]\n%2 = gelu %1 : f32[6, "
        "400]\noutput %2\n",
        "%0 = input : f32[6, 400]\n%1 = cumsum %0 {axis=1, reverse=false} : f32[6, 400]\noutput %1\n"};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(texts); i++) {
        bool changed;
        tw_graph *g = tw_graph_parse(&tw_graph_table, texts[i], strlen(texts[i]));
        if (!g)
            fail_msg("text %zu: %s", i, tw_error_message());
        assert_int_equal(tw_pass_find("decompose")->run(&g, &changed), TW_OK);
        int before = checks;
        compare_both_ways(g, 1000 + i);
        assert_true(checks > before);
    }
}

int main(void)
{
    tw_library_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(plans_give_the_same_bits_interpreted_and_compiled),
                                       cmocka_unit_test(long_reductions_and_products_too)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
