/* What shares a kernel: launches are counted for programs that use the library's softmax, layer norm, GELU,
 * cross-entropy and attention, and for the same written by hand from primitives. Fusion never looks at names: both must
 * give the same number of launches, and the same bits where they are the same arithmetic. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static int checks;

#define LIST(...)                                                                                                      \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static tw_tensor *number(double x)
{
    return tw_scalar(x, TW_F32);
}

static tw_tensor *last_axis(tw_tensor *(*reduce)(tw_tensor *, int, const int64_t *, bool), tw_tensor *x)
{
    return reduce(x, LIST(-1), true);
}

typedef struct plan_facts {
    int launches, batches, kernels;
    int64_t temporaries;
    float result[4096];
    int64_t count;
} plan_facts;

/* Computes what is pending (`y` is held, what the scope made is not) as one segment. */
static plan_facts look(tw_tensor *y)
{
    plan_facts f = {0};
    const float *data = tw_data(y);
    if (!data)
        fail_msg("%s", tw_error_message());
    const tw_plan *plan = tw_capture_last()->plan;
    f.launches = plan->launches;
    f.batches = plan->batches;
    f.kernels = plan->kernels;
    f.temporaries = plan->arena_bytes;
    f.count = tw_numel(y) < 4096 ? tw_numel(y) : 4096;
    memcpy(f.result, data, (size_t)f.count * sizeof(float));
    return f;
}

typedef tw_tensor *program(tw_tensor *const *in);

static plan_facts run(program *p, tw_tensor *const *in)
{
    plan_facts f;
    TW_SCOPE {
        tw_tensor *y = NULL;
        tw_sync();
        TW_SCOPE {
            y = tw_yield(p(in));
        }
        f = look(y);
    }
    return f;
}

/* The program and its gradients with respect to all inputs that require them, summed so that one tensor is looked at.
 */
static plan_facts run_backward(program *p, tw_tensor *const *in, int inputs)
{
    plan_facts f;
    TW_SCOPE {
        tw_sync();
        for (int i = 0; i < inputs; i++)
            tw_requires_grad(in[i], true);
        TW_SCOPE {
            assert_int_equal(tw_backward(tw_sum(p(in), 0, NULL, false), NULL), TW_OK);
        }
        f = look(tw_grad_of(in[0]));
        for (int i = 0; i < inputs; i++) {
            tw_zero_grad(in[i]);
            tw_requires_grad(in[i], false);
        }
    }
    return f;
}

static void same_bits(const plan_facts *a, const plan_facts *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->result, b->result, (size_t)a->count * sizeof(float));
    checks += (int)a->count;
}

static void expect_launches(const char *what, const plan_facts *f, int most)
{
    if (f->launches > most)
        fail_msg("%s takes %d launches, expected at most %d", what, f->launches, most);
    checks++;
}

/* ---- softmax ---- */

static tw_tensor *softmax(tw_tensor *const *in)
{
    return tw_softmax(in[0], -1);
}

static tw_tensor *softmax_by_hand(tw_tensor *const *in)
{
    tw_tensor *e = tw_exp(tw_sub(in[0], last_axis(tw_amax, in[0])));
    return tw_div(e, last_axis(tw_sum, e));
}

/* Written another way: exp(x) / sum(exp(x)) of halves, with a scale and a bias around it. */
static tw_tensor *softmax_of_more(tw_tensor *const *in)
{
    tw_tensor *x = tw_add(tw_mul(in[0], number(0.5)), tw_tanh(in[0]));
    tw_tensor *e = tw_exp(tw_sub(x, last_axis(tw_amax, x)));
    return tw_sqrt(tw_div(e, last_axis(tw_sum, e)));
}

static void softmax_is_one_launch(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *in[] = {tw_randn(LIST(33, 77), TW_F32)};
        plan_facts a = run(softmax, in), b = run(softmax_by_hand, in), c = run(softmax_of_more, in);
        expect_launches("softmax", &a, 1);
        expect_launches("softmax by hand", &b, 1);
        expect_launches("softmax with more around it", &c, 1);
        same_bits(&a, &b);
        plan_facts g = run_backward(softmax, in, 1), h = run_backward(softmax_by_hand, in, 1);
        expect_launches("softmax backward", &g, 1);
        expect_launches("softmax by hand backward", &h, 2);
    }
}

/* ---- layer norm ---- */

static tw_tensor *norm(tw_tensor *const *in)
{
    return tw_layer_norm(in[0], in[1], in[2], 1, 1e-5);
}

static tw_tensor *norm_by_hand(tw_tensor *const *in)
{
    tw_tensor *n = number((double)tw_size(in[0], -1));
    tw_tensor *c = tw_sub(in[0], tw_div(last_axis(tw_sum, in[0]), n));
    tw_tensor *v = tw_div(last_axis(tw_sum, tw_mul(c, c)), n);
    return tw_add(tw_mul(tw_mul(c, tw_rsqrt(tw_add(v, number(1e-5)))), in[1]), in[2]);
}

static void layer_norm_is_one_launch(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *in[] = {tw_randn(LIST(40, 96), TW_F32), tw_randn(LIST(96), TW_F32), tw_randn(LIST(96), TW_F32)};
        plan_facts a = run(norm, in), b = run(norm_by_hand, in);
        expect_launches("layer norm", &a, 1);
        expect_launches("layer norm by hand", &b, 1);
        same_bits(&a, &b);
        plan_facts g = run_backward(norm, in, 3);
        expect_launches("layer norm backward", &g, 3); /* statistics and dx by rows; weight and bias by columns */
    }
}

/* ---- pointwise chains, products ---- */

static tw_tensor *chain(tw_tensor *const *in)
{
    tw_tensor *x = in[0];
    for (int i = 0; i < 10; i++)
        x = tw_tanh(tw_add(tw_mul(x, number(0.9)), in[1]));
    return x;
}

static tw_tensor *views(tw_tensor *const *in)
{
    tw_tensor *x = tw_reshape(tw_transpose(in[0], 0, 1), LIST(77, 3, 11));
    return tw_mul(tw_flip(tw_narrow_to(x, 2, LIST(1), LIST(9)), LIST(0)), number(2));
}

static tw_tensor *gelu_by_hand(tw_tensor *x)
{
    return tw_mul(tw_mul(x, number(0.5)), tw_add(tw_erf(tw_mul(x, number(0.70710678118654752440))), number(1)));
}

static tw_tensor *product(tw_tensor *const *in)
{
    return tw_gelu(tw_linear(in[0], in[1], in[2]));
}

static tw_tensor *product_by_hand(tw_tensor *const *in)
{
    return gelu_by_hand(tw_add(tw_matmul(in[0], tw_transpose(in[1], 0, 1)), in[2]));
}

static void chains_and_epilogues_are_one_launch(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *in[] = {tw_randn(LIST(33, 77), TW_F32), tw_randn(LIST(77), TW_F32)};
        plan_facts a = run(chain, in), b = run(views, in);
        expect_launches("a chain of thirty operations", &a, 1);
        expect_launches("views around a product", &b, 1);
        tw_tensor *linear[] = {tw_randn(LIST(50, 64), TW_F32), tw_randn(LIST(96, 64), TW_F32),
                               tw_randn(LIST(96), TW_F32)};
        plan_facts c = run(product, linear), d = run(product_by_hand, linear);
        expect_launches("linear and gelu", &c, 1);
        expect_launches("linear and gelu by hand", &d, 1);
        same_bits(&c, &d);
    }
}

/* ---- cross-entropy ---- */

static tw_tensor *entropy(tw_tensor *const *in)
{
    return tw_cross_entropy(in[0], in[1]);
}

static tw_tensor *entropy_by_hand(tw_tensor *const *in)
{
    tw_tensor *c = tw_sub(in[0], last_axis(tw_amax, in[0]));
    tw_tensor *lse = tw_log(last_axis(tw_sum, tw_exp(c)));
    tw_tensor *own = tw_gather(c, tw_unsqueeze(in[1], 1), 1);
    return tw_mean(tw_sub(lse, own), 0, NULL, false);
}

static void cross_entropy_stores_no_softmax(void **state)
{
    (void)state;
    enum { ROWS = 64, CLASSES = 1000 };
    TW_SCOPE {
        tw_tensor *in[] = {tw_randn(LIST(ROWS, CLASSES), TW_F32), tw_randint(0, CLASSES, LIST(ROWS), TW_I64)};
        plan_facts a = run(entropy, in), b = run(entropy_by_hand, in);
        expect_launches("cross-entropy", &a, 2);
        expect_launches("cross-entropy by hand", &b, 2);
        assert_true(a.temporaries < ROWS * CLASSES * 4 / 2);
        assert_true(b.temporaries < ROWS * CLASSES * 4 / 2);
        plan_facts g = run_backward(entropy, in, 1);
        expect_launches("cross-entropy backward", &g, 2);
        assert_true(g.temporaries < ROWS * CLASSES * 4 / 2);
        checks += 3;
    }
}

/* ---- attention ---- */

enum { BATCH = 2, HEADS = 3, TIME = 192, SIZE = 32 };

static tw_tensor *attention(tw_tensor *const *in)
{
    return tw_attention(in[0], in[1], in[2], NULL, true, 0);
}

static tw_tensor *scores(tw_tensor *const *in)
{
    return tw_mul(tw_matmul(in[0], tw_transpose(in[1], -2, -1)), number(1 / sqrt((double)SIZE)));
}

static tw_tensor *causal(tw_tensor *s)
{
    tw_tensor *row = tw_iota(LIST(TIME, TIME), 0, TW_I64), *column = tw_iota(LIST(TIME, TIME), 1, TW_I64);
    return tw_where(tw_ge(row, column), s, number(-INFINITY));
}

static tw_tensor *weighted(tw_tensor *s, tw_tensor *v)
{
    tw_tensor *e = tw_exp(tw_sub(s, last_axis(tw_amax, s)));
    return tw_matmul(tw_div(e, last_axis(tw_sum, e)), v);
}

static tw_tensor *attention_by_hand(tw_tensor *const *in)
{
    return weighted(causal(scores(in)), in[2]);
}

/* A score function that no library names: capped by tanh, with a bias that falls with the distance, and a window. */
static tw_tensor *attention_with_own_scores(tw_tensor *const *in)
{
    tw_tensor *s = tw_mul(tw_tanh(tw_mul(scores(in), number(0.2))), number(5));
    tw_tensor *row = tw_iota(LIST(TIME, TIME), 0, TW_F32), *column = tw_iota(LIST(TIME, TIME), 1, TW_F32);
    tw_tensor *distance = tw_sub(row, column);
    s = tw_sub(s, tw_mul(distance, number(0.01)));
    s = tw_where(tw_lt(tw_abs(distance), number(64)), s, number(-INFINITY));
    return weighted(s, in[2]);
}

static tw_tensor *masked_attention(tw_tensor *const *in)
{
    tw_tensor *row = tw_iota(LIST(TIME, TIME), 0, TW_F32), *column = tw_iota(LIST(TIME, TIME), 1, TW_F32);
    tw_tensor *near = tw_lt(tw_abs(tw_sub(row, column)), number(64));
    return tw_attention(in[0], in[1], in[2], near, true, 0);
}

static void attention_stores_no_scores(void **state)
{
    (void)state;
    const int64_t matrix = (int64_t)BATCH * HEADS * TIME * TIME * 4;
    program *programs[] = {attention, attention_by_hand, attention_with_own_scores, masked_attention};
    TW_SCOPE {
        tw_tensor *in[3];
        for (int i = 0; i < 3; i++)
            in[i] = tw_randn(LIST(BATCH, HEADS, TIME, SIZE), TW_F32);
        for (size_t i = 0; i < TW_COUNT(programs); i++) {
            plan_facts a = run(programs[i], in);
            expect_launches("attention", &a, 1);
            assert_true(a.temporaries < matrix / 4);
            plan_facts g = run_backward(programs[i], in, 3);
            expect_launches("attention backward", &g, 3);
            assert_true(g.temporaries < matrix);
            checks += 2;
        }
        plan_facts a = run(programs[0], in), b = run(programs[1], in);
        same_bits(&a, &b);
    }
}

/* Rows behind the last one of a block are computed too, from zeros: whatever the scores make of them must not reach the
 * sums over rows. */
static tw_tensor *attention_with_log_scores(tw_tensor *const *in)
{
    return weighted(tw_log(tw_matmul(in[0], tw_transpose(in[1], -2, -1))), in[2]);
}

static void rows_behind_the_last_are_not_added_up(void **state)
{
    (void)state;
    static const int64_t times[] = {67, 131};
    static const tw_tier tiers[] = {TW_TIER_OPERATIONS, TW_TIER_COMPILED};
    for (int k = 0; k < 2; k++) {
        float want[3][131 * 16];
        for (int t = 0; t < 2; t++) {
            tw_set_tier(tiers[t]);
            TW_SCOPE {
                tw_tensor *in[3];
                assert_int_equal(tw_manual_seed(3), TW_OK);
                for (int i = 0; i < 3; i++)
                    in[i] = tw_add(tw_rand(LIST(1, times[k], 16), TW_F32), number(0.1));
                assert_int_equal(tw_sync(), TW_OK);
                for (int i = 0; i < 3; i++)
                    tw_requires_grad(in[i], true);
                TW_SCOPE {
                    tw_tensor *loss = tw_sum(tw_square(attention_with_log_scores(in)), 0, NULL, false);
                    assert_int_equal(tw_backward(loss, NULL), TW_OK);
                }
                for (int i = 0; i < 3; i++) {
                    const float *grad = tw_data(tw_grad_of(in[i]));
                    assert_non_null(grad);
                    if (t == 0)
                        memcpy(want[i], grad, (size_t)times[k] * 16 * sizeof(float));
                    else
                        assert_memory_equal(want[i], grad, (size_t)times[k] * 16 * sizeof(float));
                    checks++;
                }
            }
        }
        assert_true(tw_capture_last()->plan->launches <= 3);
    }
}

/* ---- optimiser ---- */

static void adamw_is_one_batch(void **state)
{
    (void)state;
    enum { TENSORS = 12 };
    tw_parameters p = {0};
    tw_adamw o;
    TW_SCOPE {
        for (int i = 0; i < TENSORS; i++) {
            char name[16];
            snprintf(name, sizeof name, "p%d", i);
            tw_tensor *w = tw_randn(LIST(7 + i, 33), TW_F32);
            tw_sync();
            tw_parameters_add(&p, name, w);
        }
        assert_int_equal(tw_adamw_init(&o, &p, 1e-3), TW_OK);
        for (int round = 0; round < 2; round++) { /* the second step finds all moments in place */
            TW_SCOPE {
                tw_tensor *loss = number(0);
                for (int i = 0; i < TENSORS; i++)
                    loss = tw_add(loss, tw_sum(tw_square(p.item[i].value), 0, NULL, false));
                assert_int_equal(tw_backward(loss, NULL), TW_OK);
            }
            tw_sync(); /* gradients first */
            assert_int_equal(tw_adamw_step(&o), TW_OK);
            assert_int_equal(tw_sync(), TW_OK);
            tw_parameters_zero_grad(&p);
        }
        const tw_plan *plan = tw_capture_last()->plan;
        assert_int_equal(plan->batches, 1);
        assert_int_equal(plan->kernels, 1);
        checks += 2;
    }
    tw_adamw_free(&o);
    tw_parameters_free(&p);
}

/* More values than a kernel can read, of one size each, so that all of it could share one kernel. */
static void the_norm_of_very_many_gradients_is_cut_in_parts(void **state)
{
    (void)state;
    enum { TENSORS = 400 };
    static const tw_tier tiers[] = {TW_TIER_OPERATIONS, TW_TIER_COMPILED};
    float norm[2], moved[2][TENSORS];
    for (int t = 0; t < 2; t++) {
        tw_parameters p = {0};
        tw_sgd o;
        tw_set_tier(tiers[t]);
        TW_SCOPE {
            tw_tensor *loss = number(0);
            for (int i = 0; i < TENSORS; i++)
                assert_non_null(tw_parameters_add(&p, "w", tw_full_like_value(LIST(5), 0.01 * i, TW_F32)));
            assert_int_equal(tw_sgd_init(&o, &p, 0.1, 0.9), TW_OK);
            for (int i = 0; i < TENSORS; i++)
                loss = tw_add(loss, tw_sum(tw_square(p.item[i].value), 0, NULL, false));
            assert_int_equal(tw_backward(loss, NULL), TW_OK);
            tw_tensor *n = tw_clip_grad_norm(&p, 1);
            assert_int_equal(tw_sgd_step(&o), TW_OK);
            norm[t] = (float)tw_item(n);
            for (int i = 0; i < TENSORS; i++)
                moved[t][i] = (float)tw_item(tw_select(p.item[i].value, 0, 3));
        }
        tw_sgd_free(&o);
        tw_parameters_free(&p);
    }
    double want = 0;
    for (int i = 0; i < TENSORS; i++)
        want += 5 * 4 * 0.0001 * i * i;
    assert_true(norm[0] == norm[1] && fabs(norm[0] - sqrt(want)) < 1e-3);
    assert_memory_equal(moved[0], moved[1], sizeof moved[0]);
    checks += 2;
}

int main(void)
{
    tw_set_tier(TW_TIER_COMPILED);
    tw_manual_seed(3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_is_one_launch),
        cmocka_unit_test(layer_norm_is_one_launch),
        cmocka_unit_test(chains_and_epilogues_are_one_launch),
        cmocka_unit_test(cross_entropy_stores_no_softmax),
        cmocka_unit_test(attention_stores_no_scores),
        cmocka_unit_test(rows_behind_the_last_are_not_added_up),
        cmocka_unit_test(adamw_is_one_batch),
        cmocka_unit_test(the_norm_of_very_many_gradients_is_cut_in_parts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    return failed;
}
