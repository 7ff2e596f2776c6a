/* What the runtime and back ends promise each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "ops/graph_ops.h"

enum { ROWS = 4000, COLUMNS = 50 };

static const tw_backend *const backends[] = {&tw_host_backend, &tw_interpreter_backend};
static int checks;

/* The sum over all of exp(x): two kernels, one after the other. */
static tw_executable *two_kernels(void)
{
    tw_executable *e = NULL;
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_value *x = tw_graph_input(g, tw_type_make(TW_F32, 2, (int64_t[]){ROWS, COLUMNS}));
    tw_value *y = tw_g_sum(g, tw_g_sum(g, tw_g_exp(g, x), 1, (int64_t[]){1}, false), 1, (int64_t[]){0}, false);
    assert_non_null(tw_g_output(g, 1, &y));
    assert_int_equal(tw_compile_graph(g, NULL, NULL, &e), TW_OK);
    tw_graph_destroy(g);
    return e;
}

static tw_status run_on_zeros(tw_executable *e, float *result)
{
    float *x = tw_alloc_zero(ROWS * COLUMNS, sizeof *x);
    void *in[] = {x}, *out[] = {result};
    assert_non_null(x);
    tw_status status = tw_execute(e, in, out);
    tw_free(x);
    return status;
}

static tw_status broken(void *const *buffers, const int64_t *scalars, const tw_kernel_call *call, int64_t first,
                        int64_t last, void *scratch)
{
    (void)buffers, (void)scalars, (void)call, (void)scratch;
    return tw_error(TW_ERR_IO, "the device is gone, at program %lld of %lld", (long long)first, (long long)last);
}

static void an_error_of_a_kernel_ends_the_run_and_only_that(void **state)
{
    (void)state;
    tw_executable *e = two_kernels();
    float sum = 0;
    assert_int_equal(run_on_zeros(e, &sum), TW_OK);
    assert_true(sum == ROWS * COLUMNS);
    for (int k = 0; k < e->plan->kernels; k++) {
        tw_kernel_fn *run = e->kernel[k]->run;
        e->kernel[k]->run = broken;
        assert_int_equal(run_on_zeros(e, &sum), TW_ERR_IO);
        assert_non_null(strstr(tw_error_message(), "the device is gone"));
        e->kernel[k]->run = run;
        assert_int_equal(run_on_zeros(e, &sum), TW_OK);
        assert_true(sum == ROWS * COLUMNS);
        checks++;
    }
    tw_executable_destroy(e);
}

/* Block i of the sum, by program i; and the work that is promised. */
static void check_stream(const tw_backend *b)
{
    tw_kernel *k;
    int64_t work;
    assert_int_equal(tw_backend_probe(b, TW_PROBE_STREAM, TW_F32, &k, &work), TW_OK);
    int64_t block = work / 12, programs = 3;
    float *memory = tw_alloc_aligned((size_t)(programs * work), 64), *sum = memory + 2 * programs * block;
    void *scratch = tw_alloc_aligned((size_t)tw_kernel_scratch_bytes(k, NULL) + 64, 64);
    assert_true(memory && scratch);
    for (int64_t i = 0; i < programs * block; i++) {
        memory[i] = (float)i;
        memory[programs * block + i] = 1;
        sum[i] = -1;
    }
    void *const buffers[] = {memory, memory + programs * block, sum};
    const tw_kernel_call call = {.grid = {programs, 1, 1}, .kernel = k};
    assert_int_equal(k->run(buffers, NULL, &call, 1, 2, scratch), TW_OK);
    for (int64_t i = 0; i < programs * block; i++)
        assert_true(sum[i] == (i / block == 1 ? (float)i + 1 : -1));
    tw_free(memory);
    tw_free(scratch);
    tw_kernel_release(k);
    checks++;
}

static void probes_do_what_they_say(void **state)
{
    (void)state;
    tw_backend plain = tw_host_backend; /* by tile programs, on the host too */
    plain.probe = NULL;
    check_stream(&plain);
    for (size_t i = 0; i < TW_COUNT(backends); i++)
        check_stream(backends[i]);
}

static void a_kernel_lives_as_long_as_somebody_has_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < TW_COUNT(backends); i++) {
        tw_kernel *k;
        int64_t work;
        assert_int_equal(tw_backend_probe(backends[i], TW_PROBE_ARITHMETIC, TW_F64, &k, &work), TW_OK);
        assert_true(k->backend == backends[i] && work > 0 && !tw_kernel_shared(k));
        tw_kernel_retain(k);
        assert_true(tw_kernel_shared(k));
        tw_kernel_release(k);
        assert_false(tw_kernel_shared(k));
        tw_kernel_release(k);
        checks++;
    }
}

int main(void)
{
    tw_library_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_error_of_a_kernel_ends_the_run_and_only_that),
                                       cmocka_unit_test(probes_do_what_they_say),
                                       cmocka_unit_test(a_kernel_lives_as_long_as_somebody_has_it)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
