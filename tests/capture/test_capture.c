/* Programs whose sizes change, that branch on values and drop what they captured: right results, and no more compiling
 * than is allowed and said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "capture/capture.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static int checks;

#define LIST(...)                                                                                                      \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* ---- what the library says ---- */

static tw_text said;

static void listen_to(void *user, const char *stage, const char *message)
{
    (void)user;
    tw_text_add(&said, "%s: %s\n", stage, message);
}

static int times_said(const char *words)
{
    int times = 0;
    for (const char *at = tw_text_string(&said); (at = strstr(at, words)); at++)
        times++;
    return times;
}

static int begin(void **state)
{
    (void)state;
    tw_capture_reset();
    tw_set_tier(TW_TIER_COMPILED);
    tw_text_free(&said);
    tw_log_to(listen_to, NULL);
    return tw_log_set("guards") == TW_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    tw_log_to(NULL, NULL);
    tw_log_set("");
    tw_text_free(&said);
    tw_set_tier(TW_TIER_AUTO);
    tw_set_memory_budget(0);
    unsetenv("TW_CACHE");
    unsetenv("TW_RECOMPILE_LIMIT");
    unsetenv("TW_BACKGROUND");
    return 0;
}

/* ---- training steps of changing size ---- */

enum { SIZES = 12, STEPS = 2 * SIZES, VOCABULARY = 29 };
static const int sizes[SIZES][2] = {{6, 24}, {6, 40}, {6, 33}, {4, 33}, {2, 17}, {7, 48},
                                    {6, 24}, {3, 47}, {5, 20}, {4, 25}, {1, 24}, {2, 1}};

typedef struct run {
    float loss[STEPS];
    void *weights;
    size_t bytes;
} run;

static tw_tensor *some_tokens(int batch, int time, int step)
{
    int64_t token[8 * 48];
    for (int i = 0; i < batch * time; i++)
        token[i] = (i * 7 + step * step + i * i) % VOCABULARY;
    return tw_from_data(token, LIST(batch, time), TW_I64);
}

static float train_step(tw_gpt *m, tw_adamw *o, int step)
{
    int batch = sizes[step / 2][0], time = sizes[step / 2][1];
    float loss = 0;
    TW_SCOPE {
        tw_tensor *mean = NULL;
        TW_SCOPE {
            tw_tensor *x = some_tokens(batch, time, step), *y = some_tokens(batch, time, step + 1);
            mean = tw_yield(tw_gpt_loss(m, x, y, true));
            assert_int_equal(tw_backward(mean, NULL), TW_OK);
            assert_int_equal(tw_adamw_step(o), TW_OK);
            tw_parameters_zero_grad(&m->parameters);
        }
        loss = (float)tw_item(mean);
        assert_int_equal(tw_tensor_status(mean), TW_OK);
    }
    return loss;
}

static void train(tw_tier tier, run *r)
{
    tw_gpt m = {0};
    tw_adamw o = {0};
    const tw_gpt_config config = {
        .layers = 2, .dim = 32, .heads = 2, .context = 48, .vocabulary = VOCABULARY, .dropout = 0.1};
    tw_set_tier(tier);
    tw_manual_seed(5);
    assert_int_equal(tw_gpt_init(&m, &config), TW_OK);
    assert_int_equal(tw_adamw_init(&o, &m.parameters, 1e-3), TW_OK);
    for (int i = 0; i < STEPS; i++)
        r->loss[i] = train_step(&m, &o, i);
    const tw_tensor *wte = m.wte.weight;
    r->bytes = (size_t)tw_numel(wte) * sizeof(float);
    r->weights = malloc(r->bytes);
    assert_int_equal(tw_copy_out(m.wte.weight, r->weights, r->bytes), TW_OK);
    tw_adamw_free(&o);
    tw_gpt_free(&m);
}

static void same_run(const run *a, const run *b)
{
    for (int i = 0; i < STEPS; i++) {
        if (a->loss[i] != b->loss[i])
            fail_msg("step %d at batch %d, time %d: the loss is %.9g; it was %.9g", i, sizes[i / 2][0], sizes[i / 2][1],
                     (double)a->loss[i], (double)b->loss[i]);
        checks++;
    }
    assert_memory_equal(a->weights, b->weights, a->bytes);
    checks++;
}

/* Operation by operation, each operation by a kernel for its very sizes. */
static const run *expected(void)
{
    static run r;
    if (!r.weights)
        train(TW_TIER_OPERATIONS, &r);
    return &r;
}

static void batches_and_sequences_of_many_sizes(void **state)
{
    (void)state;
    static const tw_tier tiers[] = {TW_TIER_COMPILED, TW_TIER_AUTO};
    const run *want = expected();
    for (size_t i = 0; i < TW_COUNT(tiers); i++) {
        run r = {0};
        tw_capture_reset();
        tw_text_free(&said);
        train(tiers[i], &r);
        same_run(&r, want);
        free(r.weights);
        assert_true(times_said("dimension 1 of input") > 0); /* why it was compiled again */
        assert_true(times_said("for all sizes") > 0);
        checks += 2;
    }
}

static void few_sizes_compile_all(void **state)
{
    (void)state;
    enum { MANY = 40 };
    setenv("TW_CACHE", "0", 1); /* what is compiled is counted */
    int64_t before = 0;
    tw_tensor *w = NULL;
    TW_SCOPE
        w = tw_keep(tw_rand(LIST(31, 31), TW_F32));
    assert_int_equal(tw_sync(), TW_OK);
    for (int i = 0; i < MANY; i++) {
        TW_SCOPE {
            int n = 37 + 13 * i;
            tw_tensor *x = tw_requires_grad(tw_rand(LIST(n, 31), TW_F32), true);
            assert_int_equal(tw_sync(), TW_OK);
            before = tw_capture_statistics().compiled;
            tw_tensor *y = tw_sum(tw_softmax(tw_gelu(tw_matmul(x, w)), -1), 0, NULL, false);
            assert_int_equal(tw_backward(y, NULL), TW_OK);
            assert_true(tw_item(y) > 0);
            assert_int_equal(tw_sync(), TW_OK);
            if (i > 2)
                assert_int_equal(tw_capture_statistics().compiled, before);
            checks++;
        }
    }
    tw_release(w);
}

static void the_limit_holds(void **state)
{
    (void)state;
    run r = {0};
    setenv("TW_CACHE", "0", 1);
    setenv("TW_RECOMPILE_LIMIT", "3", 1);
    int64_t before = tw_capture_statistics().compiled;
    train(TW_TIER_COMPILED, &r);
    same_run(&r, expected());
    free(r.weights);
    assert_int_equal(times_said("the limit: sizes that its kernels don't serve"), 1);
    assert_true(tw_capture_statistics().compiled - before <= 3 + 3); /* the initial weights are segments, too */
    checks += 2;
}

static void compiled_beside_the_program(void **state)
{
    (void)state;
    run r = {0};
    setenv("TW_BACKGROUND", "1", 1);
    train(TW_TIER_AUTO, &r);
    same_run(&r, expected());
    free(r.weights);
    tw_capture_reset(); /* waits for what is being compiled */
    assert_true(times_said("beside the program") > 0);
    checks++;
}

/* ---- branches ---- */

/* Newton's method for a square root, until it is good enough: how often is known only while it runs. */
static double root(double of, int *rounds)
{
    double result = 0;
    TW_SCOPE {
        tw_tensor *a = tw_scalar(of, TW_F64), *x = tw_scalar(1, TW_F64);
        for (*rounds = 0; *rounds < 100; ++*rounds) {
            tw_tensor *error = tw_abs(tw_sub(tw_mul(x, x), a));
            if (tw_item(error) < 1e-9)
                break;
            x = tw_mul(tw_add(x, tw_div(a, x)), tw_scalar(0.5, TW_F64));
        }
        result = tw_item(x);
    }
    return result;
}

static void branches_on_values(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        int rounds = 0;
        double x = root(2 + i, &rounds), error = x * x - (2 + i);
        assert_true(error < 1e-9 && error > -1e-9 && rounds > 2 && rounds < 20);
        checks++;
    }
    assert_true(times_said("is compiled") <= 3); /* the loop's body, and its first round */
    assert_true(times_said("ended by item") > 0);
}

static tw_status twice_if_positive(void *user, tw_tensor *const *in, int inputs, tw_tensor **out, int outputs)
{
    (void)user, (void)inputs, (void)outputs;
    out[0] = tw_item(tw_sum(in[0], 0, NULL, false)) > 0 ? tw_add(in[0], in[0]) : tw_neg(in[0]);
    return TW_OK;
}

static void functions_that_branch(void **state)
{
    (void)state;
    tw_function *f = tw_compile(twice_if_positive, NULL, 1);
    for (int i = 0; i < 6; i++) {
        TW_SCOPE {
            tw_tensor *x = tw_full_like_value(LIST(3), i % 2 ? 5 : -5, TW_F32), *y = NULL;
            assert_int_equal(tw_call(f, &x, 1, &y), TW_OK);
            assert_true(((const float *)tw_data(y))[2] == (i % 2 ? 10 : 5));
            checks++;
        }
    }
    assert_int_equal(times_said("a graph break"), 1);
    tw_function_destroy(f);
}

/* ---- what is forgotten ---- */

static tw_status add_captured(void *user, tw_tensor *const *in, int inputs, tw_tensor **out, int outputs)
{
    (void)inputs, (void)outputs;
    out[0] = tw_add(in[0], user);
    return TW_OK;
}

static void what_was_captured_is_freed(void **state)
{
    (void)state;
    tw_runtime_free();
    int64_t before = tw_tensor_bytes();
    for (int i = 0; i < 20; i++) {
        tw_tensor *captured = NULL;
        TW_SCOPE
            captured = tw_keep(tw_full_like_value(LIST(1000), i, TW_F32));
        tw_function *f = tw_compile(add_captured, captured, 1);
        for (int k = 0; k < 3; k++) {
            TW_SCOPE {
                tw_tensor *x = tw_ones(LIST(1000), TW_F32), *y = NULL;
                assert_int_equal(tw_call(f, &x, 1, &y), TW_OK);
                assert_true(((const float *)tw_data(y))[999] == (float)i + 1);
                checks++;
            }
        }
        tw_release(captured);
        tw_function_destroy(f);
        tw_runtime_free();
        assert_int_equal(tw_tensor_bytes(), before);
    }
    assert_int_equal(times_said("is compiled"), 0); /* one operation; once */
}

static void very_many_segments(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_AUTO);
    for (int i = 0; i < 6000; i++) { /* each of its own: the number is part of the graph */
        TW_SCOPE {
            tw_tensor *x = tw_add(tw_full_like_value(LIST(2), i, TW_F32), tw_full_like_value(LIST(2), i + 0.5, TW_F32));
            double sum = tw_item(tw_sum(x, 0, NULL, false));
            assert_true(sum == 4 * i + 1);
            checks++;
        }
    }
    assert_true(tw_capture_statistics().known <= 4096);
}

static void a_budget_for_memory(void **state)
{
    (void)state;
    int64_t peak[2];
    for (int budgeted = 0; budgeted < 2; budgeted++) {
        run again = {0};
        tw_capture_reset();
        tw_runtime_free();
        tw_set_memory_budget(budgeted ? 1 : 0);
        tw_tensor_peak_bytes(true);
        train(TW_TIER_COMPILED, &again);
        peak[budgeted] = tw_tensor_peak_bytes(true);
        same_run(&again, expected());
        free(again.weights);
    }
    if (peak[1] >= peak[0])
        fail_msg("the least memory is %lld bytes, with no limit %lld", (long long)peak[1], (long long)peak[0]);
    checks++;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_and_sequences_of_many_sizes, begin, end),
        cmocka_unit_test_setup_teardown(few_sizes_compile_all, begin, end),
        cmocka_unit_test_setup_teardown(the_limit_holds, begin, end),
        cmocka_unit_test_setup_teardown(compiled_beside_the_program, begin, end),
        cmocka_unit_test_setup_teardown(branches_on_values, begin, end),
        cmocka_unit_test_setup_teardown(functions_that_branch, begin, end),
        cmocka_unit_test_setup_teardown(what_was_captured_is_freed, begin, end),
        cmocka_unit_test_setup_teardown(very_many_segments, begin, end),
        cmocka_unit_test_setup_teardown(a_budget_for_memory, begin, end),
    };
    tw_library_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    free(expected()->weights);
    tw_scope_end_all();
    tw_capture_reset();
    return failed;
}
