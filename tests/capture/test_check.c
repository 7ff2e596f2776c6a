/* TW_CHECK=1: right kernels pass in every dtype, also those that write over what they read; a broken one is found, the
 * right operation named, and what is saved shows it again. Faults of the memory plan are found too. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "capture/capture.h"
#include "capture/check.h"
#include "ops/build.h"
#include "tilewright/io.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static int checks;
static char folder[64];

#define SHAPE(...)                                                                                                     \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* ---- spoiling ---- */

static const char *spoiled_operation; /* kernels that hold one of these write one wrong element */
static int64_t spoiled_element;
static bool spoil_fused_only;

static bool holds(const tw_plan *plan, const tw_plan_launch *l, const char *name)
{
    tw_for_each_op (op, plan->graph->body)
        for (int i = 0; i < l->insides && op->results; i++)
            if (op->result[0].id == l->inside[i] && !strcmp(op->info->name, name))
                return true;
    return false;
}

static void spoil(const tw_plan *plan, int launch, void *const *buffers)
{
    const tw_plan_launch *l = &plan->launch[launch];
    const tw_plan_slot *slot = &plan->slot[l->slot[l->reads]];
    if (!spoiled_operation || !holds(plan, l, spoiled_operation) || (spoil_fused_only && l->insides < 3))
        return;
    size_t size = tw_dtype_size((tw_dtype)slot->type.dtype);
    char *at = (char *)buffers[l->reads] + (size_t)spoiled_element * size;
    tw_dtype_store((tw_dtype)slot->type.dtype, at, tw_dtype_load((tw_dtype)slot->type.dtype, at) * 1.001 + 0.001);
}

static void start_spoiling(const char *operation, int64_t element, bool fused_only)
{
    spoiled_operation = operation;
    spoiled_element = element;
    spoil_fused_only = fused_only;
    tw_check_spoiler = spoil;
    tw_error_clear();
}

static void expect_message(const char *text)
{
    if (!strstr(tw_error_message(), text))
        fail_msg("'%s' is not in: %s", text, tw_error_message());
    checks++;
}

/* ---- what is right passes ---- */

static void everything_in(tw_dtype dtype)
{
    TW_SCOPE {
        tw_tensor *x = tw_randn(SHAPE(3, 21, 40), dtype), *w = tw_randn(SHAPE(30, 40), dtype);
        tw_tensor *b = tw_randn(SHAPE(30), dtype), *n = tw_randn(SHAPE(40), dtype);
        tw_tensor *few = tw_randn(SHAPE(5, 4), dtype), *y[9];
        tw_sync();
        y[0] = tw_gelu(tw_linear(x, w, b));
        y[1] = tw_softmax(x, -1);
        y[2] = tw_layer_norm(x, n, n, 1, 1e-5);
        y[3] = tw_attention(x, x, x, NULL, true, 0);
        y[4] = tw_cumsum(tw_tanh(x), 1, false);
        y[5] = tw_argmax(x, 2, false);
        y[6] = tw_logsumexp(x, SHAPE(1), false);
        y[7] = tw_sum(tw_where(tw_gt(x, tw_scalar(0, dtype)), tw_log1p(tw_abs(x)), tw_sin(x)), SHAPE(0, 1, 2), false);
        y[8] = tw_fmod(tw_iota(SHAPE(5, 4), 1, dtype), few); /* LLVM 19 narrows it wrongly: codegen/host/ops.c */
        for (int i = 0; i < 9; i++)
            if (!tw_data(y[i]))
                fail_msg("%s: %s", tw_dtype_name(dtype), tw_error_message());
        checks += 9;
    }
}

static void right_kernels_pass_in_every_dtype(void **state)
{
    static const tw_dtype dtypes[] = {TW_F32, TW_F64, TW_BF16, TW_F16};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(dtypes); i++)
        for (int tier = TW_TIER_OPERATIONS; tier <= TW_TIER_COMPILED; tier++) {
            tw_set_tier((tw_tier)tier);
            everything_in(dtypes[i]);
        }
    tw_set_tier(TW_TIER_COMPILED);
}

/* A step of a small GPT with dropout: gradients, random bits, parameters and moments written over. */
static tw_status step(tw_gpt *m, tw_adamw *o, double *loss)
{
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *l = NULL;
        TW_SCOPE {
            tw_tensor *x = tw_randint(0, 50, SHAPE(2, 16), TW_I64), *y = tw_randint(0, 50, SHAPE(2, 16), TW_I64);
            l = tw_yield(tw_gpt_loss(m, x, y, true));
            status = tw_backward(l, NULL);
            if (status == TW_OK)
                status = tw_adamw_step(o);
            tw_parameters_zero_grad(&m->parameters);
        }
        *loss = tw_item(l);
        if (tw_tensor_status(l) != TW_OK)
            status = tw_tensor_status(l);
    }
    return status;
}

static void a_training_step_passes_and_a_spoiled_one_fails(void **state)
{
    const tw_gpt_config config = {.layers = 2, .dim = 32, .heads = 2, .context = 16, .vocabulary = 50, .dropout = 0.1};
    tw_gpt m = {0};
    tw_adamw o = {0};
    double loss;
    (void)state;
    TW_SCOPE {
        assert_int_equal(tw_gpt_init(&m, &config), TW_OK);
        assert_int_equal(tw_adamw_init(&o, &m.parameters, 1e-3), TW_OK);
        for (int i = 0; i < 3; i++) {
            if (step(&m, &o, &loss) != TW_OK)
                fail_msg("%s", tw_error_message());
            assert_true(loss > 3 && loss < 5);
        }
        start_spoiling("sqrt", 5, false); /* AdamW's update */
        assert_int_equal(step(&m, &o, &loss), TW_ERR_INTERNAL);
        expect_message("the first operation that differs alone: ");
        expect_message(" = sqrt %");
        start_spoiling(NULL, 0, false);
    }
    tw_adamw_free(&o);
    tw_gpt_free(&m);
    checks += 7;
}

/* ---- what is broken is found ---- */

static tw_tensor *softmax_of(tw_tensor *x)
{
    tw_tensor *y = NULL;
    TW_SCOPE {
        y = tw_yield(tw_softmax(tw_mul(x, x), -1));
    }
    return y;
}

static void the_wrong_operation_is_named(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *x = tw_randn(SHAPE(6, 10), TW_F32);
        tw_sync();
        start_spoiling("exp", 34, false);
        tw_tensor *y = softmax_of(x);
        assert_null(tw_data(y));
        assert_int_equal(tw_tensor_status(y), TW_ERR_INTERNAL);
        tw_tensor *again = softmax_of(x);
        assert_null(tw_data(again));
        expect_message("check: launch 0, rows_");
        expect_message(" = div %");
        expect_message("element [3, 4]: ");
        expect_message("1 of 60 elements differ");
        expect_message("the first operation that differs alone: ");
        expect_message(" = exp %");
        start_spoiling("exp", 34, true);
        assert_null(tw_data(softmax_of(x)));
        expect_message(" = div %");
        expect_message("element [3, 4]: ");
        expect_message("each of its operations alone agrees");
        start_spoiling(NULL, 0, false);
        assert_non_null(tw_data(softmax_of(x)));
        checks += 5;
    }
}

static void operations_run_alone_are_checked(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_OPERATIONS);
    TW_SCOPE {
        tw_tensor *x = tw_randn(SHAPE(6, 10), TW_F32);
        tw_sync();
        start_spoiling("tanh", 7, false);
        assert_null(tw_data(tw_neg(tw_tanh(x))));
        expect_message("pointwise_tanh, is wrong: ");
        expect_message("element [0, 7]: ");
        start_spoiling(NULL, 0, false);
    }
    tw_set_tier(TW_TIER_COMPILED);
    checks++;
}

static tw_status doubled_tanh(void *user, tw_tensor *const *in, int inputs, tw_tensor **out, int outputs)
{
    (void)user;
    (void)inputs;
    (void)outputs;
    out[0] = tw_tanh(tw_add(in[0], in[0]));
    return TW_OK;
}

static void compiled_functions_are_checked(void **state)
{
    (void)state;
    tw_function *f = tw_compile(doubled_tanh, NULL, 1);
    TW_SCOPE {
        tw_tensor *x = tw_randn(SHAPE(9), TW_F32), *y = NULL;
        assert_int_equal(tw_call(f, &x, 1, &y), TW_OK);
        assert_int_equal(tw_call(f, &x, 1, &y), TW_OK);
        start_spoiling("tanh", 8, false);
        assert_int_equal(tw_call(f, &x, 1, &y), TW_ERR_INTERNAL);
        expect_message("element [8]: ");
        expect_message(" = tanh %");
        start_spoiling(NULL, 0, false);
        assert_int_equal(tw_call(f, &x, 1, &y), TW_OK);
    }
    tw_function_destroy(f);
    checks += 4;
}

static void an_index_out_of_range_is_an_error(void **state)
{
    (void)state;
    TW_SCOPE {
        int64_t wrong[] = {0, 5};
        tw_tensor *x = tw_randn(SHAPE(5, 2), TW_F32), *index = tw_from_data(wrong, SHAPE(2), TW_I64);
        tw_sync();
        assert_null(tw_data(tw_index_select(x, index, 0)));
        expect_message("index_select: index 5; expected 0 <= index < 5");
    }
    checks++;
}

/* ---- what is saved ---- */

static void clear_folder(void)
{
    char path[400];
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
}

static void path_in_message(const char *before, char *path, size_t room)
{
    const char *at = strstr(tw_error_message(), before);
    if (!at)
        fail_msg("'%s' is not in: %s", before, tw_error_message());
    at += strlen(before);
    snprintf(path, room, "%.*s", (int)strcspn(at, " "), at);
}

static void what_is_saved_is_the_operation_and_its_inputs(void **state)
{
    char text_path[200], inputs_path[200];
    void *text;
    size_t bytes;
    tw_tensor_file *file;
    (void)state;
    clear_folder();
    TW_SCOPE {
        tw_tensor *x = tw_randn(SHAPE(6, 10), TW_BF16);
        tw_sync();
        start_spoiling("exp", 34, false);
        assert_null(tw_data(softmax_of(x)));
        path_in_message("see it again: tw run ", text_path, sizeof text_path);
        path_in_message(" --inputs ", inputs_path, sizeof inputs_path);
        start_spoiling(NULL, 0, false);
        assert_int_equal(tw_os_read_file(text_path, 1 << 16, &text, &bytes), TW_OK);
        tw_graph *g = tw_graph_parse(&tw_graph_table, text, bytes);
        assert_non_null(g);
        assert_int_equal(g->body->first->code, TW_G_INPUT);
        assert_int_equal(g->body->first->next->code, TW_G_EXP);
        assert_int_equal(tw_open_safetensors(inputs_path, &file), TW_OK);
        assert_int_equal(tw_file_count(file), 1);
        tw_tensor *saved = tw_file_tensor(file, "input0");
        assert_int_equal(tw_numel(saved), 60);
        const float *e = tw_data(saved); /* x * x minus its row's largest: the largest is 0, nothing is above */
        int zeros = 0;
        for (int i = 0; i < 60; i++) {
            assert_true(e[i] <= 0);
            zeros += e[i] == 0;
        }
        assert_true(zeros >= 6);
        tw_close_safetensors(file);
        tw_graph_destroy(g);
        tw_free(text);
    }
    checks += 68;
}

/* ---- faults of the plan ---- */

/* Rows, then columns, then rows again: three kernels, two temporaries. */
static tw_executable *three_kernels(void)
{
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_executable *e = NULL;
    const char text[] = "%0 = input : f32[40, 24]\n"
                        "%1 = sum %0 {axes=[1], keepdim=false} : f32[40]\n"
                        "%2 = reshape %1 {shape=[40, 1]} : f32[40, 1]\n"
                        "%3 = expand %2 {shape=[40, 24]} : f32[40, 24]\n"
                        "%4 = div %0, %3 : f32[40, 24]\n"
                        "%5 = amax %4 {axes=[0], keepdim=false} : f32[24]\n"
                        "%6 = sum %5 {axes=[0], keepdim=false} : f32[]\n"
                        "%7 = expand %6 {shape=[40]} : f32[40]\n"
                        "%8 = add %7, %1 : f32[40]\n"
                        "output %8\n";
    tw_graph_destroy(g);
    g = tw_graph_parse(&tw_graph_table, text, sizeof text - 1);
    if (!g || tw_compile_graph(g, NULL, NULL, &e) != TW_OK)
        fail_msg("%s", tw_error_message());
    tw_graph_destroy(g);
    return e;
}

static tw_status execute(tw_executable *e)
{
    float in[40 * 24], out[40];
    void *inputs[] = {in}, *outputs[] = {out};
    for (int i = 0; i < 40 * 24; i++)
        in[i] = (float)(i % 17) + 1;
    return tw_checked_execute(e, inputs, outputs);
}

static void memory_given_away_too_early_is_found(void **state)
{
    (void)state;
    tw_executable *e = three_kernels();
    int first = -1;
    assert_int_equal(execute(e), TW_OK);
    assert_true(e->plan->launches >= 3);
    for (int i = 0; i < e->plan->slots; i++) { /* every temporary at one place */
        if (e->plan->slot[i].kind != TW_SLOT_TEMPORARY)
            continue;
        first = first < 0 ? i : first;
        e->plan->slot[i].offset = e->plan->slot[first].offset;
    }
    assert_int_equal(execute(e), TW_ERR_INTERNAL);
    expect_message("its memory was written to since: a fault of the memory plan");
    tw_executable_destroy(e);
    checks += 3;
}

static void a_missing_barrier_is_found(void **state)
{
    (void)state;
    tw_executable *e = three_kernels();
    for (int l = 0; l < e->plan->launches; l++)
        e->plan->launch[l].batch = 0;
    assert_int_equal(execute(e), TW_ERR_INTERNAL);
    expect_message("run at the same time, but one writes memory that the other uses");
    tw_executable_destroy(e);
    checks++;
}

/* Each allocation fails in turn: an error, never a wrong verdict. */
static void failed_allocations_are_errors(void **state)
{
    (void)state;
    tw_executable *e = three_kernels();
    int failures = 0;
    for (int spoiled = 0; spoiled < 2; spoiled++) {
        start_spoiling(spoiled ? "div" : NULL, 3, false);
        for (int64_t nth = 0;; nth++) {
            int64_t before = tw_memory_allocations();
            tw_memory_fail_at(nth);
            tw_status status = execute(e);
            bool reached = tw_memory_allocations() - before > nth;
            tw_memory_fail_at(-1);
            if (!reached) {
                assert_int_equal(status, spoiled ? TW_ERR_INTERNAL : TW_OK);
                break;
            }
            assert_true(spoiled ? status != TW_OK : status == TW_ERR_MEMORY);
            failures++;
        }
    }
    start_spoiling(NULL, 0, false);
    tw_executable_destroy(e);
    assert_true(failures > 50);
    checks += failures;
}

int main(void)
{
    snprintf(folder, sizeof folder, "/tmp/tw-test-check-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    setenv("TW_CHECK", "1", 1);
    setenv("TW_CHECK_DIR", folder, 1);
    tw_set_tier(TW_TIER_COMPILED);
    tw_manual_seed(11);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_kernels_pass_in_every_dtype),
        cmocka_unit_test(the_wrong_operation_is_named),
        cmocka_unit_test(operations_run_alone_are_checked),
        cmocka_unit_test(compiled_functions_are_checked),
        cmocka_unit_test(an_index_out_of_range_is_an_error),
        cmocka_unit_test(what_is_saved_is_the_operation_and_its_inputs),
        cmocka_unit_test(memory_given_away_too_early_is_found),
        cmocka_unit_test(a_missing_barrier_is_found),
        cmocka_unit_test(failed_allocations_are_errors),
        cmocka_unit_test(a_training_step_passes_and_a_spoiled_one_fails),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    clear_folder();
    rmdir(folder);
    tw_scope_end_all();
    return failed;
}
