/* How far a right result may be: worked by hand, and tight enough that one forgotten element is found. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/build.h"
#include "ops/reference.h"

static int checks;

enum { MOST = 8 };

typedef struct bounded_run {
    tw_graph *g;
    tw_array in[MOST], out[MOST], bound[MOST];
    int n, m;
} bounded_run;

static bounded_run parse(const char *text)
{
    bounded_run r = {.g = tw_graph_parse(&tw_graph_table, text, strlen(text))};
    if (!r.g)
        fail_msg("%s", tw_error_message());
    tw_for_each_op (op, r.g->body) {
        const tw_type *t = &op->result[0].type;
        if (op->code == TW_G_INPUT)
            assert_int_equal(tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &r.in[r.n++]), TW_OK);
    }
    r.m = (int)r.g->body->last->operands;
    return r;
}

static void evaluate(bounded_run *r)
{
    for (int i = 0; i < r->m; i++) { /* of the time before */
        tw_array_free(&r->out[i]);
        tw_array_free(&r->bound[i]);
    }
    if (tw_reference_bounds(r->g, NULL, r->in, r->n, r->out, r->bound, r->m) != TW_OK)
        fail_msg("%s", tw_error_message());
}

static void finish(bounded_run *r)
{
    for (int i = 0; i < MOST; i++) {
        tw_array_free(&r->in[i]);
        tw_array_free(&r->out[i]);
        tw_array_free(&r->bound[i]);
    }
    tw_graph_destroy(r->g);
}

static double bound(const bounded_run *r, int output, int64_t e)
{
    return ((const double *)r->bound[output].data)[e];
}

static void expect_near(double got, double want)
{
    if (!(fabs(got - want) <= 0.02 * want))
        fail_msg("%g, expected about %g", got, want);
    checks++;
}

/* The example at the head of reference_bounds.c. */
static void a_softmax_by_hand(void **state)
{
    (void)state;
    bounded_run r = parse("%0 = input : f32[3]\n"
                          "%1 = exp %0 : f32[3]\n"
                          "%2 = sum %1 {axes=[0], keepdim=false} : f32[]\n"
                          "%3 = expand %2 {shape=[3]} : f32[3]\n"
                          "%4 = div %1, %3 : f32[3]\n"
                          "output %1, %2, %4\n");
    memcpy(r.in[0].data, (float[]){1, 2, 4}, 12);
    evaluate(&r);
    const double u = 0x1p-24, e[] = {exp(1), exp(2), exp(4)};
    const double off[] = {1.5 * 0x1p-22, 1.5 * 0x1p-21, 1.5 * 0x1p-18};
    double sum_off = off[0] + off[1] + off[2] + u * (e[0] + e[2]) + u * (e[0] + e[1] + e[2]) + 0.5 * 0x1p-17;
    double sum = e[0] + e[1] + e[2];
    for (int i = 0; i < 3; i++) {
        expect_near(bound(&r, 0, i), off[i]);
        double most = (e[i] + off[i]) / (sum - sum_off) - e[i] / sum;
        assert_true(fabs(bound(&r, 2, i) - most) <= 0x1p-24);
        checks++;
    }
    expect_near(bound(&r, 1, 0), sum_off);
    finish(&r);
}

static void what_rounds_correctly_must_be_equal(void **state)
{
    (void)state;
    bounded_run r = parse("%0 = input : f32[4]\n"
                          "%1 = input : f32[4]\n"
                          "%2 = mul %0, %1 : f32[4]\n"
                          "%3 = sub %2, %0 : f32[4]\n"
                          "%4 = sqrt %3 : f32[4]\n"
                          "%5 = lt %4, %0 : bool[4]\n"
                          "%6 = cast %4 {dtype=bf16} : bf16[4]\n"
                          "output %4, %5, %6\n");
    memcpy(r.in[0].data, (float[]){1, 0.1f, -3, INFINITY}, 16);
    memcpy(r.in[1].data, (float[]){3, 11, 0.5f, 2}, 16);
    evaluate(&r);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++)
            assert_true(bound(&r, i, k) == 0);
    checks += 12;
    finish(&r);
}

/* exp(0.5) - 1.6487212 is about the error of exp: its sign may be either, and what is chosen by it may be too. */
static void a_choice_that_may_go_either_way(void **state)
{
    (void)state;
    bounded_run r = parse("%0 = input : f32[2]\n"
                          "%1 = input : f32[2]\n"
                          "%2 = exp %0 : f32[2]\n"
                          "%3 = gt %2, %1 : bool[2]\n"
                          "%4 = full {shape=[2], value=10, bits=10, dtype=f32} : f32[2]\n"
                          "%5 = where %3, %4, %0 : f32[2]\n"
                          "%6 = argmax %2 {axis=0, keepdim=false} : i64[]\n"
                          "%7 = eq %2, %1 : bool[2]\n"
                          "output %3, %5, %6, %7\n");
    memcpy(r.in[0].data, (float[]){0.5f, 0.25f}, 8);
    memcpy(r.in[1].data, (float[]){(float)exp(0.5), 1}, 8);
    evaluate(&r);
    assert_true(bound(&r, 0, 0) == 1 && bound(&r, 0, 1) == 0);
    assert_true(bound(&r, 1, 0) == 9.5 && bound(&r, 1, 1) == 0);
    assert_true(bound(&r, 2, 0) == 0);
    assert_true(bound(&r, 3, 0) == 1 && bound(&r, 3, 1) == 0);
    finish(&r);
    r = parse("%0 = input : f32[2]\n"
              "%1 = exp %0 : f32[2]\n"
              "%2 = argmax %1 {axis=0, keepdim=false} : i64[]\n"
              "output %2\n");
    memcpy(r.in[0].data, (float[]){0.5f, 0.5f}, 8);
    evaluate(&r);
    assert_true(isinf(bound(&r, 0, 0)));
    checks += 8;
    finish(&r);
}

/* A large sum may be off by more than a period, a small one may have either sign: nothing between the ends is excluded.
 */
static void between_the_ends(void **state)
{
    (void)state;
    bounded_run r = parse("%0 = input : f32[3]\n"
                          "%1 = input : f32[3]\n"
                          "%2 = exp %0 : f32[3]\n"
                          "%3 = sub %2, %1 : f32[3]\n"
                          "%4 = cos %3 : f32[3]\n"
                          "%5 = div %0, %3 : f32[3]\n"
                          "%6 = fmod %2, %0 : f32[3]\n"
                          "%7 = tan %3 : f32[3]\n"
                          "output %3, %4, %5, %6, %7\n");
    memcpy(r.in[0].data, (float[]){20, 1, 0.5f}, 12);
    memcpy(r.in[1].data, (float[]){3, (float)exp(1), -1.5f}, 12);
    evaluate(&r);
    assert_true(bound(&r, 0, 0) > 32); /* 485165195.4: a unit is 32 */
    assert_true(bound(&r, 1, 0) >= 2 && bound(&r, 1, 1) < 1e-6 && bound(&r, 1, 2) < 1e-6);
    assert_true(bound(&r, 2, 0) < 1e-13 && isinf(bound(&r, 2, 1)) && bound(&r, 2, 2) < 1e-6);
    assert_true(isinf(bound(&r, 3, 0)) && bound(&r, 3, 1) < 1e-6 && bound(&r, 3, 2) < 1e-6);
    assert_true(isinf(bound(&r, 4, 0)) && bound(&r, 4, 1) < 1e-6 && bound(&r, 4, 2) < 1e-3);
    checks += 13;
    finish(&r);
}

/* A sum or a product that forgot its last element, or took one twice, must not pass. */
static void one_forgotten_element_is_found(void **state)
{
    enum { N = 16384, K = 1024 };
    uint64_t random = 1;
    (void)state;
    bounded_run r = parse("%0 = input : f32[16384]\n"
                          "%1 = input : f32[1, 1024]\n"
                          "%2 = input : f32[1024, 1]\n"
                          "%3 = sum %0 {axes=[0], keepdim=false} : f32[]\n"
                          "%4 = dot %1, %2 : f32[1, 1]\n"
                          "output %3, %4\n");
    for (int i = 0; i < 3; i++)
        for (int64_t e = 0; e < tw_array_count(&r.in[i]); e++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            ((float *)r.in[i].data)[e] = (float)(random >> 40) * 0x1p-24f; /* all of one sign: the worst case */
        }
    float *x = r.in[0].data, *a = r.in[1].data, *b = r.in[2].data;
    x[N - 1] = a[K - 1] = b[K - 1] = 0.5f;
    evaluate(&r);
    assert_true(bound(&r, 0, 0) < 0.5);
    assert_true(bound(&r, 1, 0) < 0.25);
    float dot = 0, partial[64];
    for (int k = 0; k < K; k++)
        dot = fmaf(a[k], b[k], dot);
    for (int i = 0; i < N; i++)
        partial[i % 64] = i < 64 ? x[i] : partial[i % 64] + x[i];
    for (int width = 32; width; width /= 2)
        for (int i = 0; i < width; i++)
            partial[i] += partial[i + width];
    const float good[] = {partial[0], dot}, bad[] = {partial[0] - 0.5f, dot - 0.25f};
    for (int i = 0; i < 2; i++) {
        tw_text report = {0};
        float value = good[i];
        tw_array got = r.out[i];
        got.data = &value;
        assert_true(tw_array_within(&got, &r.out[i], &r.bound[i], NULL));
        value = bad[i];
        assert_false(tw_array_within(&got, &r.out[i], &r.bound[i], &report));
        assert_non_null(strstr(tw_text_string(&report), "elements differ"));
        tw_text_free(&report);
    }
    checks += 8;
    finish(&r);
}

static void products_below_the_normal_numbers(void **state)
{
    (void)state;
    bounded_run r = parse("%0 = input : f32[4]\n"
                          "%1 = prod %0 {axes=[0], keepdim=false} : f32[]\n"
                          "output %1\n");
    memcpy(r.in[0].data, (float[]){1e-30f, 1e-30f, 1e30f, 1e30f}, 16); /* 0, 1 or anything between, by the order */
    evaluate(&r);
    assert_true(bound(&r, 0, 0) < 1e-6); /* the contract's order is x0 x2, x1 x3: neither underflows */
    memcpy(r.in[0].data, (float[]){1e-30f, 1e30f, 1e-30f, 1e30f}, 16);
    evaluate(&r);
    assert_true(bound(&r, 0, 0) > 1);
    checks += 2;
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_softmax_by_hand),
        cmocka_unit_test(what_rounds_correctly_must_be_equal),
        cmocka_unit_test(a_choice_that_may_go_either_way),
        cmocka_unit_test(between_the_ends),
        cmocka_unit_test(one_forgotten_element_is_found),
        cmocka_unit_test(products_below_the_normal_numbers),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
