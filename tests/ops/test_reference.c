/* The reference evaluator itself, against values worked out by hand and published vectors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/build.h"
#include "ops/reference.h"

static int checks;

typedef struct fixture {
    tw_graph *g;
    tw_array in[4], out;
    int n;
} fixture;

static tw_value *input(fixture *f, tw_dtype dtype, int rank, const int64_t *shape, const double *values)
{
    tw_array *a = &f->in[f->n++];
    assert_int_equal(tw_array_create(dtype, rank, shape, a), TW_OK);
    for (int64_t i = 0; i < tw_array_count(a); i++)
        tw_dtype_store(dtype, (char *)a->data + (size_t)i * tw_dtype_size(dtype), values[i]);
    return tw_graph_input(f->g, tw_type_make(dtype, rank, shape));
}
#define INPUT(f, dtype, shape, ...)                                                                                    \
    input(f, dtype, (int)TW_COUNT(((int64_t[])shape)), (int64_t[])shape, (double[])__VA_ARGS__)
#define S(...) {__VA_ARGS__}

static fixture start(void)
{
    fixture f = {.g = tw_graph_create(&tw_graph_table)};
    assert_non_null(f.g);
    return f;
}

static tw_status evaluate(fixture *f, tw_value *y)
{
    assert_non_null(y);
    tw_g_output(f->g, 1, &y);
    return tw_reference_run(f->g, NULL, f->in, f->n, &f->out, 1);
}

static void finish(fixture *f)
{
    for (int i = 0; i < f->n; i++)
        tw_array_free(&f->in[i]);
    tw_array_free(&f->out);
    tw_graph_destroy(f->g);
}

static void expect(fixture *f, tw_value *y, int count, const double *want)
{
    assert_int_equal(evaluate(f, y), TW_OK);
    assert_int_equal(tw_array_count(&f->out), count);
    for (int i = 0; i < count; i++) {
        double got = tw_dtype_load(f->out.dtype, (char *)f->out.data + (size_t)i * tw_dtype_size(f->out.dtype));
        if (isnan(want[i]))
            assert_true(isnan(got));
        else if (got != want[i] || !signbit(got) != !signbit(want[i]))
            fail_msg("element %d: %.17g, expected %.17g", i, got, want[i]);
        checks++;
    }
    finish(f);
}
#define EXPECT(f, y, ...) expect(f, y, (int)TW_COUNT(((double[])__VA_ARGS__)), (double[])__VA_ARGS__)

static void philox_gives_the_published_words(void **state)
{
    (void)state;
    /* Random123's kat_vectors, philox4x32 10 rounds: counter, key, result. */
    static const struct {
        uint64_t low, high, key;
        uint32_t want[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < TW_COUNT(known); i++) {
        uint32_t out[4];
        tw_reference_philox(known[i].low, known[i].high, known[i].key, out);
        assert_memory_equal(out, known[i].want, sizeof out);
        checks++;
    }
    fixture f = start();
    tw_value *bits = tw_g_philox(f.g, INPUT(&f, TW_I64, S(2), {0, 0}), 1, (int64_t[]){4}, 0);
    EXPECT(&f, bits, {(int32_t)0x6627e8d5, (int32_t)0xe169c58d, (int32_t)0xbc57ac4c, (int32_t)0x9b00dbd8});
}

static void values_round_once_to_their_dtype(void **state)
{
    (void)state;
    fixture f = start();
    EXPECT(&f, tw_g_add(f.g, INPUT(&f, TW_F16, S(2), {2048, 1}), INPUT(&f, TW_F16, S(2), {1, 0x1p-11})),
           {2048, 1}); /* ties to even */
    f = start();
    EXPECT(&f, tw_g_cast(f.g, INPUT(&f, TW_F64, S(3), {1 + 0x1p-11 + 0x1p-40, 65520, -0.0}), TW_F16),
           {1 + 0x1p-10, INFINITY, -0.0});
    f = start();
    tw_value *big =
        tw_g_full(f.g, 0, NULL, 0, (INT64_C(1) << 60) + (INT64_C(1) << 36) + 1, TW_I64); /* just above a tie of f32 */
    EXPECT(&f, tw_g_cast(f.g, big, TW_F32), {0x1p60 + 0x1p37});
}

static void casts_to_integers_truncate_and_saturate(void **state)
{
    (void)state;
    fixture f = start();
    EXPECT(&f, tw_g_cast(f.g, INPUT(&f, TW_F32, S(5), {-1.9, 2.9, 4294967296.0 + 7 * 512, NAN, -2147483648.0}), TW_I32),
           {-1, 2, INT32_MAX, 0, INT32_MIN});
    f = start();
    EXPECT(&f, tw_g_cast(f.g, INPUT(&f, TW_F32, S(3), {NAN, 0, -0.5}), TW_BOOL), {1, 0, 1});
    f = start();
    EXPECT(&f, tw_g_cast(f.g, INPUT(&f, TW_I32, S(3), {-1, 256, 255}), TW_U8), {255, 0, 255});
}

static void integers_wrap_and_divide_by_zero_to_zero(void **state)
{
    (void)state;
    fixture f = start();
    EXPECT(&f, tw_g_idiv(f.g, INPUT(&f, TW_I32, S(4), {7, -7, 5, INT32_MIN}), INPUT(&f, TW_I32, S(4), {2, 2, 0, -1})),
           {3, -3, 0, INT32_MIN});
    f = start();
    EXPECT(&f, tw_g_fmod(f.g, INPUT(&f, TW_I32, S(4), {7, -7, 5, INT32_MIN}), INPUT(&f, TW_I32, S(4), {4, 4, 0, -1})),
           {3, -3, 0, 0});
    f = start();
    EXPECT(&f, tw_g_add(f.g, INPUT(&f, TW_I32, S(1), {INT32_MAX}), INPUT(&f, TW_I32, S(1), {1})), {INT32_MIN});
    f = start();
    EXPECT(&f, tw_g_shift_right(f.g, INPUT(&f, TW_I32, S(3), {-8, -8, 8}), INPUT(&f, TW_I32, S(3), {1, 40, 99})),
           {-4, -1, 0});
    f = start();
    EXPECT(&f, tw_g_shift_right_logical(f.g, INPUT(&f, TW_I32, S(2), {-1, -1}), INPUT(&f, TW_I32, S(2), {28, 32})),
           {15, 0});
}

static void reductions_follow_nan_and_signed_zero(void **state)
{
    (void)state;
    fixture f = start();
    EXPECT(&f, tw_g_sum(f.g, INPUT(&f, TW_F32, S(2, 3), {1, 2, 3, -0.0, -0.0, -0.0}), 1, (int64_t[]){1}, false),
           {6, -0.0});
    f = start();
    EXPECT(&f, tw_g_amax(f.g, INPUT(&f, TW_F32, S(2, 3), {1, NAN, 3, -3, -2, -1}), 1, (int64_t[]){1}, true), {NAN, -1});
    f = start();
    EXPECT(&f, tw_g_argmax(f.g, INPUT(&f, TW_F32, S(3, 3), {1, NAN, NAN, 2, 5, 5, INFINITY, NAN, 0}), 1, false),
           {1, 1, 1});
    f = start();
    EXPECT(&f, tw_g_argmin(f.g, INPUT(&f, TW_I32, S(3, 2), {3, 3, -1, 3, 0, 4}), 0, false), {1, 0});
    f = start();
    EXPECT(&f, tw_g_prod(f.g, INPUT(&f, TW_F32, S(2, 0), {0}), 1, (int64_t[]){1}, false), {1, 1});
    f = start();
    EXPECT(&f, tw_g_sum(f.g, INPUT(&f, TW_F32, S(2, 2, 2), {1, 2, 3, 4, 5, 6, 7, 8}), 2, (int64_t[]){0, 2}, false),
           {14, 22});
    f = start();
    EXPECT(&f, tw_g_cumsum(f.g, INPUT(&f, TW_F32, S(2, 3), {1, 2, 3, 4, 5, 6}), 1, true), {6, 5, 3, 15, 11, 6});
    f = start();
    EXPECT(&f, tw_g_cumprod(f.g, INPUT(&f, TW_F32, S(3, 2), {1, 2, 3, 4, 5, 6}), 0, false), {1, 2, 3, 8, 15, 48});
    f = start();
    EXPECT(&f, tw_g_cummax(f.g, INPUT(&f, TW_F32, S(2, 4), {1, 3, 2, 4, 1, NAN, 5, -INFINITY}), 1, false),
           {1, 3, 3, 4, 1, NAN, NAN, NAN});
    f = start();
    EXPECT(&f, tw_g_cummin(f.g, INPUT(&f, TW_I32, S(3, 2), {3, 1, 2, 5, 4, 2}), -2, true), {2, 1, 2, 2, 4, 2});
}

static void views_name_the_right_elements(void **state)
{
    (void)state;
    fixture f = start();
    tw_value *x = INPUT(&f, TW_F32, S(2, 3), {1, 2, 3, 4, 5, 6});
    EXPECT(&f, tw_g_permute(f.g, x, 2, (int64_t[]){1, 0}), {1, 4, 2, 5, 3, 6});
    f = start();
    x = INPUT(&f, TW_F32, S(2, 3), {1, 2, 3, 4, 5, 6});
    EXPECT(&f, tw_g_slice(f.g, x, 2, (int64_t[]){0, 2}, 2, (int64_t[]){2, 2}, 2, (int64_t[]){1, -2}), {3, 1, 6, 4});
    f = start();
    EXPECT(&f, tw_g_pad(f.g, INPUT(&f, TW_F32, S(2), {1, 2}), 1, (int64_t[]){1}, 1, (int64_t[]){2}, -7),
           {-7, 1, 2, -7, -7});
    f = start();
    EXPECT(&f, tw_g_expand(f.g, INPUT(&f, TW_I64, S(2, 1), {1, 2}), 3, (int64_t[]){2, 2, 2}), {1, 1, 2, 2, 1, 1, 2, 2});
    f = start();
    tw_value *parts[] = {INPUT(&f, TW_F32, S(2, 1), {1, 2}), INPUT(&f, TW_F32, S(2, 2), {3, 4, 5, 6})};
    EXPECT(&f, tw_g_cat(f.g, 2, parts, 1), {1, 3, 4, 2, 5, 6});
    f = start();
    x = INPUT(&f, TW_F32, S(5), {1, 2, 3, 4, 5});
    EXPECT(&f, tw_g_slice_update(f.g, x, INPUT(&f, TW_F32, S(2), {8, 9}), 1, (int64_t[]){4}, 1, (int64_t[]){-3}),
           {1, 9, 3, 4, 8});
}

static void indices_gather_and_scatter(void **state)
{
    (void)state;
    fixture f = start();
    tw_value *x = INPUT(&f, TW_F32, S(2, 3), {1, 2, 3, 4, 5, 6}), *index = INPUT(&f, TW_I64, S(2, 2), {2, 0, 1, 1});
    EXPECT(&f, tw_g_gather(f.g, x, index, 1), {3, 1, 5, 5});
    f = start();
    x = INPUT(&f, TW_F32, S(2, 3), {1, 2, 3, 4, 5, 6});
    EXPECT(&f, tw_g_index_select(f.g, x, INPUT(&f, TW_I32, S(3), {2, 2, 0}), 1), {3, 3, 1, 6, 6, 4});
    f = start();
    x = INPUT(&f, TW_F32, S(3), {0, 0, 0});
    index = INPUT(&f, TW_I64, S(4), {1, 1, 2, 1});
    EXPECT(&f, tw_g_scatter_add(f.g, x, index, INPUT(&f, TW_F32, S(4), {1, 2, 3, 4}), 0), {0, 7, 3});
    f = start();
    x = INPUT(&f, TW_F32, S(3), {0, 0, 0});
    index = INPUT(&f, TW_I64, S(4), {1, 1, 2, 1});
    EXPECT(&f, tw_g_scatter(f.g, x, index, INPUT(&f, TW_F32, S(4), {1, 2, 3, 4}), 0), {0, 4, 3});
    f = start();
    x = INPUT(&f, TW_F32, S(2, 2), {1, 1, 1, 1});
    index = INPUT(&f, TW_I64, S(2), {1, 1});
    EXPECT(&f, tw_g_index_add(f.g, x, index, INPUT(&f, TW_F32, S(2, 2), {1, 2, 3, 4}), 0), {1, 1, 5, 7});
}

static void an_index_out_of_range_is_an_error(void **state)
{
    (void)state;
    for (int64_t bad = -1; bad <= 3; bad += 4) {
        fixture f = start();
        tw_value *x = INPUT(&f, TW_F32, S(3), {1, 2, 3});
        assert_int_equal(evaluate(&f, tw_g_gather(f.g, x, INPUT(&f, TW_I64, S(1), {(double)bad}), 0)), TW_ERR_VALUE);
        assert_non_null(strstr(tw_error_message(), "index"));
        assert_null(f.out.data);
        finish(&f);
        checks++;
    }
}

static void dot_multiplies_batches(void **state)
{
    (void)state;
    fixture f = start();
    tw_value *a = INPUT(&f, TW_F32, S(2, 1, 2), {1, 2, 3, 4}),
             *b = INPUT(&f, TW_F32, S(2, 2, 2), {1, 2, 3, 4, 5, 6, 7, 8});
    EXPECT(&f, tw_g_dot(f.g, a, b), {7, 10, 43, 50});
    f = start();
    a = INPUT(&f, TW_F32, S(2, 0), {0});
    EXPECT(&f, tw_g_dot(f.g, a, INPUT(&f, TW_F32, S(0, 1), {0})), {0, 0});
}

static void exact_mode_keeps_doubles(void **state)
{
    (void)state;
    fixture f = start();
    tw_value *y = tw_g_add(f.g, INPUT(&f, TW_F16, S(1), {1}), tw_g_constant(f.g, TW_F16, 0x1p-30));
    tw_g_output(f.g, 1, &y);
    assert_int_equal(tw_reference_evaluate(f.g, TW_REFERENCE_EXACT, NULL, f.in, 1, &f.out, 1), TW_OK);
    assert_int_equal(f.out.dtype, TW_F64);
    assert_true(*(double *)f.out.data == 1 + 0x1p-30);
    checks++;
    finish(&f);
}

static void comparison_names_the_first_difference(void **state)
{
    (void)state;
    float a[4] = {1, 2, NAN, 4}, b[4] = {1, nextafterf(2, 3), NAN, 5};
    tw_array x = {TW_F32, 2, {2, 2}, a, sizeof a}, y = {TW_F32, 2, {2, 2}, b, sizeof b};
    tw_text report = {0};
    assert_false(tw_array_compare(&x, &y, 1, 0, &report));
    assert_non_null(strstr(tw_text_string(&report), "element [1, 1]: 4, expected 5"));
    assert_true(tw_array_compare(&x, &y, 1, 1, NULL));
    assert_false(tw_array_compare(&x, &y, 0.5, 1e-9, NULL));
    assert_true(tw_ulp(1, TW_F32) == 0x1p-23 && tw_ulp(0, TW_F16) == 0x1p-24 && tw_ulp(0x1.8p10, TW_BF16) == 0x1p3);
    tw_text_free(&report);
    checks += 5;
}

static void a_failed_allocation_is_an_error(void **state)
{
    (void)state;
    for (int64_t nth = 0; nth < 200; nth++) {
        fixture f = start();
        tw_value *x = INPUT(&f, TW_F32, S(3), {1, 2, 3}), *y = tw_g_exp(f.g, tw_g_add(f.g, x, x));
        tw_g_output(f.g, 1, &y);
        tw_memory_fail_at(nth);
        tw_status status = tw_reference_run(f.g, NULL, f.in, 1, &f.out, 1);
        tw_memory_fail_at(-1);
        assert_true(status == TW_OK || status == TW_ERR_MEMORY);
        finish(&f);
        if (status == TW_OK && nth > 0) {
            assert_true(nth > 3);
            checks++;
            return;
        }
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_words),
        cmocka_unit_test(values_round_once_to_their_dtype),
        cmocka_unit_test(casts_to_integers_truncate_and_saturate),
        cmocka_unit_test(integers_wrap_and_divide_by_zero_to_zero),
        cmocka_unit_test(reductions_follow_nan_and_signed_zero),
        cmocka_unit_test(views_name_the_right_elements),
        cmocka_unit_test(indices_gather_and_scatter),
        cmocka_unit_test(an_index_out_of_range_is_an_error),
        cmocka_unit_test(dot_multiplies_batches),
        cmocka_unit_test(exact_mode_keeps_doubles),
        cmocka_unit_test(comparison_names_the_first_difference),
        cmocka_unit_test(a_failed_allocation_is_an_error),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
