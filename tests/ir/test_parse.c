/* The text form: what is printed is read back to the same thing, and what is wrong is said with its place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "autograd/autograd.h"
#include "decompose/decompose.h"
#include "ops/build.h"
#include "schedule/schedule.h"
#include "simplify/simplify.h"
#include "support/random_graph.h"
#include "tile/tile_ops.h"

static int checks;

static void round_trip(const tw_graph *g)
{
    tw_text first = {0}, second = {0};
    tw_graph_print(g, &first);
    tw_graph *again = tw_graph_parse(g->table, tw_text_string(&first), strlen(tw_text_string(&first)));
    if (!again)
        fail_msg("%s\n%s", tw_error_message(), tw_text_string(&first));
    tw_graph_print(again, &second);
    assert_string_equal(tw_text_string(&first), tw_text_string(&second));
    tw_hash hash[2];
    assert_int_equal(tw_graph_hash(g, &hash[0]), TW_OK);
    assert_int_equal(tw_graph_hash(again, &hash[1]), TW_OK);
    assert_true(tw_hash_equal(hash[0], hash[1]));
    tw_text_free(&first);
    tw_text_free(&second);
    tw_graph_destroy(again);
    checks++;
}

static void random_graphs_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        tw_graph *g = random_graph(seed);
        assert_non_null(g);
        round_trip(g);
        bool changed;
        assert_int_equal(tw_pass_simplify(&g, &changed), TW_OK);
        round_trip(g);
        tw_graph_destroy(g);
    }
}

/* The first floating value's sum as loss: forward and backward in one graph. */
static void joint_graphs_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        tw_graph *g = random_graph(seed);
        tw_value *y = NULL, *x = g->body->first->result, *grad = NULL;
        for (uint32_t i = 0; i < g->body->last->operands && !y; i++)
            if (tw_dtype_floating((tw_dtype)g->body->last->operand[i]->type.dtype))
                y = g->body->last->operand[i];
        if (y && tw_dtype_floating((tw_dtype)x->type.dtype)) {
            tw_op_remove(g->body->last);
            tw_graph_insert_at_end(g, g->body);
            assert_int_equal(tw_autograd_graph(g, y, NULL, &x, 1, &grad), TW_OK);
            tw_value *results[] = {y, grad};
            assert_non_null(tw_g_output(g, grad ? 2 : 1, results));
            round_trip(g);
            bool changed;
            assert_int_equal(tw_pass_decompose(&g, &changed), TW_OK);
            round_trip(g);
        }
        tw_graph_destroy(g);
    }
}

/* Every kernel's tile program, loops with carried values among them. */
static void tile_programs_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        tw_graph *g = random_graph(seed);
        tw_plan *plan = NULL;
        bool changed;
        assert_int_equal(tw_pass_simplify(&g, &changed), TW_OK);
        if (tw_schedule(g, &(tw_schedule_options){.threads = 2}, &plan) == TW_OK)
            for (int k = 0; k < plan->kernels; k++)
                round_trip(plan->kernel[k].program);
        tw_plan_destroy(plan);
        tw_graph_destroy(g);
    }
}

static void symbols_come_back(void **state)
{
    (void)state;
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_dim a = tw_dim_symbol(g, 0), b = tw_dim_symbol(g, 3);
    tw_dim shape[] = {tw_dim_add(g, tw_dim_mul(g, 4, tw_dim_mul(g, a, b)), 3),
                      tw_dim_floordiv(g, tw_dim_add(g, a, 3), 4), b, tw_dim_sub(g, tw_dim_mul(g, 2, b), 1)};
    tw_value *x = tw_graph_input(g, tw_type_make(TW_BF16, 4, shape));
    tw_value *y = tw_g_neg(g, x);
    assert_non_null(y);
    tw_g_output(g, 1, &y);
    round_trip(g);
    tw_graph_destroy(g);
}

static void numbers_come_back(void **state)
{
    (void)state;
    static const double numbers[] = {0.1, -0.0, 1e300, 5e-324, 1.0 / 3, 123456789.123456789, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < TW_COUNT(numbers); i++) {
        tw_graph *g = tw_graph_create(&tw_graph_table);
        tw_value *y = tw_g_full(g, 0, NULL, numbers[i], INT64_MIN, TW_F64);
        tw_g_output(g, 1, &y);
        round_trip(g);
        tw_graph_destroy(g);
    }
}

/* ---- what is wrong ---- */

static void refuses(const char *text, const char *message)
{
    tw_graph *g = tw_graph_parse(&tw_graph_table, text, strlen(text));
    assert_null(g);
    if (!strstr(tw_error_message(), message))
        fail_msg("said '%s', expected '%s'", tw_error_message(), message);
    checks++;
}

static void errors_name_place_and_expectation(void **state)
{
    (void)state;
    refuses("%0 = input : f32[2]\n%1 = nge %0 : f32[2]\n",
            "2:6: found 'nge', expected an operation of the graph level");
    refuses("%0 = input : f32[2]\n%1 = neg %7 : f32[2]\n", "2:12: %7 is used before it is defined");
    refuses("%0 = input : f32[2]\n%1 = neg %0 : f32[3]\n", "neg gives f32[2], the text says f32[3]");
    refuses("%0 = input : f32[2]\n%0 = neg %0 : f32[2]\n", "%0 is defined twice");
    refuses("%0 = input : f33[2]\n", "found 'f33', expected a dtype");
    refuses("%0 = input : f32[-2]\n", "size -2, expected at least 0");
    refuses("%0 = input : f32[99999999999999999999]\n", "expected a whole number of 64 bits");
    refuses("%0 = input : f32[1099511627776, 4*4294967296*4294967296]\n", "a size beyond");
    refuses("%0 = input : f32[2", "found the end of the text, expected ','");
    refuses("%0 = input : f32[2]\n%1 = sum %0 {axes=[0], keep=false} : f32[]\n",
            "found attribute 'keep', expected 'keepdim'");
    refuses("%0 = input : f32[2]\n%1 = sum %0 {axes=[4], keepdim=false} : f32[]\n", "2:");
    refuses("%0 = input : f32[2] x\n", "found 'x' after an operation");
    refuses("%0 = full {shape=[2], value=1, bits=1, dtype=f32} : f32[2]\n%1 = input : f32[2]\n",
            "an input after other");
    refuses("%0 = input : f32[((s0)/(0))]\n", "a division by 0");
    refuses("%0 = input : f32[s999]\n", "symbol s999, expected s0 to s255");
    refuses("\x01\n", "byte 0x01");
}

/* Numbers that are in range one by one, and wrap back into the range when they are added or multiplied. */
static void sizes_do_not_wrap(void **state)
{
    (void)state;
    refuses("%0 = input : f32[1099511627776*s0*1099511627776]\n", "beyond 2^61");
    refuses("%0 = input : f32[s0*s0*s0*s0*s0*s0*s0]\n", "6 factors");
    refuses("%0 = input : f32[1099511627776, 1099511627776]\n", "input: more than 2^59 elements");
    refuses("%0 = input : f32[4]\n"
            "%1 = slice %0 {starts=[0], sizes=[4294967297], steps=[4294967296]} : f32[4294967297]\n",
            "out of range");
    refuses("%0 = input : f32[4]\n%1 = slice %0 {starts=[1], sizes=[3], steps=[9223372036854775807]} : f32[3]\n",
            "out of range");
    refuses("%0 = input : f32[4]\n%1 = input : f32[3]\n"
            "%2 = slice_update %0, %1 {starts=[0], steps=[9223372036854775807]} : f32[4]\n",
            "doesn't fit");
    refuses("%0 = input : f32[0]\n%1 = reshape %0 {shape=[4294967296, 4294967296]} : f32[4294967296, 4294967296]\n",
            "beyond 2^61");
    refuses("%0 = input : f32[4]\n%1 = repeat %0 {times=[4611686018427387904]} : f32[0]\n", "beyond 2^61");
    refuses("%0 = input : f32[1]\n%1 = expand %0 {shape=[1099511627776, 1099511627776]} : f32[1, 1]\n",
            "expand: more than 2^59 elements");
    refuses("%0 = input : f32[4]\n"
            "%1 = pad %0 {low=[9223372036854775807], high=[9223372036854775807], value=0} : f32[2]\n",
            "beyond 2^61");
    refuses("%0 = input : f32[s0]\n%1 = select %0 {axis=0, index=-9223372036854775808} : f32[]\n", "select: index");
    refuses("%0 = input : i64[2]\n%1 = one_hot %0 {classes=-1, dtype=f32} : f32[2, 1]\n", "-1 classes");
}

/* The operation that was refused leaves nothing behind. */
static void a_refusal_is_forgotten(void **state)
{
    (void)state;
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_value *x = tw_graph_input(g, tw_type_make(TW_F32, 1, (tw_dim[]){0}));
    assert_null(tw_g_reshape(g, x, 2, (tw_dim[]){(tw_dim)1 << 32, (tw_dim)1 << 32}));
    tw_value *y = tw_g_neg(g, x);
    assert_non_null(y);
    tw_g_output(g, 1, &y);
    round_trip(g);
    tw_graph_destroy(g);
}

static void many_terms_come_back(void **state)
{
    enum { TERMS = 12 };
    (void)state;
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_value *x[TERMS];
    for (int i = 0; i < TERMS; i++)
        x[i] = tw_graph_input(g, tw_type_make(TW_F32, 1, (tw_dim[]){tw_dim_symbol(g, i)}));
    tw_value *y = tw_g_cat(g, TERMS, x, 0);
    assert_non_null(y);
    tw_g_output(g, 1, &y);
    round_trip(g);
    tw_graph_destroy(g);
}

static void comments_and_blank_lines_are_skipped(void **state)
{
    (void)state;
    const char *text = "# a comment\n\n%5 = input : f32[2]\n   \n  # another\noutput %5";
    tw_graph *g = tw_graph_parse(&tw_graph_table, text, strlen(text));
    assert_non_null(g);
    tw_graph_destroy(g);
    checks++;
}

/* Every prefix of a text, and the text with each byte changed, is read or refused; nothing else. */
static void damaged_text_is_refused(void **state)
{
    (void)state;
    tw_graph *g = random_graph(5);
    tw_text text = {0};
    tw_graph_print(g, &text);
    size_t bytes = strlen(tw_text_string(&text));
    char *copy = tw_alloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++) {
        tw_graph_destroy(tw_graph_parse(&tw_graph_table, tw_text_string(&text), i));
        memcpy(copy, tw_text_string(&text), bytes + 1);
        copy[i] = (char)(copy[i] ^ (1 << i % 8));
        tw_graph_destroy(tw_graph_parse(&tw_graph_table, copy, bytes));
        checks += 2;
    }
    tw_free(copy);
    tw_text_free(&text);
    tw_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_come_back), cmocka_unit_test(joint_graphs_come_back),
        cmocka_unit_test(tile_programs_come_back), cmocka_unit_test(symbols_come_back),
        cmocka_unit_test(numbers_come_back),       cmocka_unit_test(errors_name_place_and_expectation),
        cmocka_unit_test(sizes_do_not_wrap),       cmocka_unit_test(a_refusal_is_forgotten),
        cmocka_unit_test(many_terms_come_back),    cmocka_unit_test(comments_and_blank_lines_are_skipped),
        cmocka_unit_test(damaged_text_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
