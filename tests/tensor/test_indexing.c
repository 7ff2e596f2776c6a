/* gather, scatter and scatter_add as kernels, with an index that ends before x beside the axis and before the source,
 * and their gradients, against loops. Numbers are small integers, so that sums are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "tilewright/ops.h"

enum { RANK = 3, MOST = 4096 };

static int checks;

typedef struct problem {
    int64_t shape[RANK], index_shape[RANK], source_shape[RANK];
    int axis;
} problem;

static int64_t count(const int64_t *shape)
{
    return shape[0] * shape[1] * shape[2];
}

static int64_t at(const int64_t *shape, int64_t i, int64_t j, int64_t k)
{
    return (i * shape[1] + j) * shape[2] + k;
}

/* The element of x that element (i, j, k) of the index names. */
static int64_t named(const problem *p, const int64_t *index, int64_t i, int64_t j, int64_t k)
{
    int64_t place[RANK] = {i, j, k};
    place[p->axis] = index[at(p->index_shape, i, j, k)];
    return at(p->shape, place[0], place[1], place[2]);
}

static void walk(const problem *p, const int64_t *index, void (*visit)(float *, float *, float *), float *x,
                 float *source, float *same)
{
    for (int64_t i = 0; i < p->index_shape[0]; i++)
        for (int64_t j = 0; j < p->index_shape[1]; j++)
            for (int64_t k = 0; k < p->index_shape[2]; k++)
                visit(&x[named(p, index, i, j, k)], &source[at(p->source_shape, i, j, k)],
                      &same[at(p->index_shape, i, j, k)]);
}

static void add(float *x, float *source, float *same)
{
    (void)same;
    *x += *source;
}

static void put(float *x, float *source, float *same)
{
    (void)same;
    *x = *source;
}

static void take(float *x, float *source, float *same)
{
    (void)source;
    *same = *x;
}

static void add_same(float *x, float *source, float *same)
{
    (void)source;
    *x += *same;
}

static void read_source(float *x, float *source, float *same)
{
    (void)same;
    *source = *x;
}

static void clear(float *x, float *source, float *same)
{
    (void)source, (void)same;
    *x = 0;
}

static void expect(tw_tensor *got, const float *want, int64_t n)
{
    const float *a = tw_data(got);
    assert_non_null(a);
    assert_int_equal(tw_numel(got), n);
    for (int64_t i = 0; i < n; i++)
        if (a[i] != want[i])
            fail_msg("element %lld is %g; expected %g", (long long)i, (double)a[i], (double)want[i]);
    checks += (int)n;
}

static void fill(float *x, int64_t n, int by)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i * by % 17 - 8);
}

static tw_tensor *leaf(const float *x, const int64_t *shape)
{
    return tw_requires_grad(tw_from_data(x, RANK, shape, TW_F32), true);
}

static void backward(tw_tensor *y, const float *weight, const int64_t *shape)
{
    tw_tensor *weighted = tw_mul(y, tw_from_data(weight, RANK, shape, TW_F32));
    assert_int_equal(tw_backward(tw_sum(weighted, 0, NULL, false), NULL), TW_OK);
}

static void solve(const problem *p)
{
    static float x[MOST], source[MOST], want[MOST], weight[MOST], unused[MOST];
    static int64_t index[MOST];
    int64_t n = count(p->shape), m = count(p->source_shape), steps = count(p->index_shape);
    fill(x, n, 5), fill(source, m, 7), fill(weight, MOST, 3);
    for (int64_t i = 0; i < steps; i++) /* repeats, in no order; along the axis for a write too: the last wins */
        index[i] = i * 11 % p->shape[p->axis];
    TW_SCOPE {
        tw_tensor *named_by = tw_from_data(index, RANK, p->index_shape, TW_I64), *a = leaf(x, p->shape),
                  *b = leaf(source, p->source_shape), *y = tw_scatter_add(a, named_by, b, p->axis);
        walk(p, index, add, memcpy(want, x, sizeof x), source, unused);
        expect(y, want, n);
        backward(y, weight, p->shape);
        expect(tw_grad_of(a), weight, n);
        memset(want, 0, sizeof want);
        walk(p, index, read_source, weight, want, unused);
        expect(tw_grad_of(b), want, m);

        a = leaf(x, p->shape);
        y = tw_scatter(a, named_by, b, p->axis);
        walk(p, index, put, memcpy(want, x, sizeof x), source, unused);
        expect(y, want, n);
        backward(y, weight, p->shape);
        walk(p, index, clear, memcpy(want, weight, sizeof weight), source, unused);
        expect(tw_grad_of(a), want, n);

        a = leaf(x, p->shape);
        y = tw_gather(a, named_by, p->axis);
        walk(p, index, take, x, source, want);
        expect(y, want, steps);
        backward(y, weight, p->index_shape);
        memset(want, 0, sizeof want);
        walk(p, index, add_same, want, source, weight);
        expect(tw_grad_of(a), want, n);
    }
}

static void an_index_may_be_smaller(void **state)
{
    static const problem all[] = {
        {{3, 4, 5}, {2, 6, 3}, {2, 6, 3}, 1},     {{3, 4, 5}, {2, 6, 3}, {4, 7, 6}, 1},
        {{4, 3, 130}, {7, 2, 67}, {7, 2, 67}, 0}, {{4, 3, 130}, {1, 3, 129}, {2, 3, 130}, 0},
        {{3, 5, 70}, {2, 4, 90}, {3, 4, 91}, 2},  {{5, 1, 4}, {3, 1, 4}, {3, 1, 4}, 2},
        {{3, 1, 4}, {2, 5, 1}, {2, 5, 1}, 1},     {{3, 4, 5}, {3, 4, 5}, {3, 4, 5}, 0},
        {{3, 4, 5}, {0, 4, 5}, {1, 4, 5}, 1},
    };
    (void)state;
    for (size_t i = 0; i < TW_COUNT(all); i++)
        solve(&all[i]);
}

/* From the third size on nothing is compiled: programs are made for all sizes (capture/sizes.c). */
static void sizes_may_vary(void **state)
{
    (void)state;
    for (int64_t n = 3; n < 12; n++) {
        solve(&(problem){{n, 4, 9}, {n - 1, 6, 8}, {n, 6, 8}, 1});
        solve(&(problem){{4, 9, n}, {6, 8, n - 2}, {6, 8, n - 2}, 0});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_may_be_smaller),
        cmocka_unit_test(sizes_may_vary),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tw_scope_end_all();
    print_message("# checks: %d\n", checks);
    return failed;
}
