/* Every allocation fails once: whatever the library does then, it says so, leaves nothing behind and goes on working.
 *
 * A scenario is run again and again; each time the next of its allocations fails. It must then return TW_ERR_MEMORY
 * (or, where memory was wanted for something that it can do without, the right result), free all that it took, and give
 * the right result when it is run once more. Allocations of LLVM are not the library's and never fail here; those of
 * the JSON library do.
 *
 *     test_allocation [--all] [SCENARIO [NTH]] */
#include <jansson.h>
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
#include "codegen/codegen.h"
#include "ops/graph_ops.h"
#include "tile/tile.h"
#include "tilewright/io.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static int64_t checks;
static char folder[64];

#define SHAPE(...)                                                                                                     \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* Runs once, adds what it computed to `result`. */
typedef tw_status scenario(tw_hash *result);

static tw_status add_values(tw_hash *result, tw_tensor *t)
{
    const void *data = tw_data(t);
    if (!data)
        return tw_error_code();
    *result = tw_hash_bytes(*result, data, (size_t)tw_numel(t) * tw_dtype_size(tw_tensor_dtype(t)));
    return TW_OK;
}

/* ---- a training step ---- */

typedef struct model {
    tw_gpt gpt;
    tw_adamw optimiser;
} model;

static tw_status begin_model(model *m)
{
    static const tw_gpt_config config = {
        .layers = 1, .dim = 4, .heads = 2, .context = 4, .vocabulary = 7, .dropout = 0.1};
    TW_TRY(tw_manual_seed(7));
    TW_TRY(tw_gpt_init(&m->gpt, &config));
    return tw_adamw_init(&m->optimiser, &m->gpt.parameters, 1e-2);
}

static void end_model(model *m)
{
    tw_adamw_free(&m->optimiser);
    tw_gpt_free(&m->gpt);
}

static tw_status step(model *m, tw_hash *result)
{
    static const int64_t tokens[] = {1, 5, 2, 0, 6, 3, 3, 4}, targets[] = {5, 2, 0, 1, 3, 3, 4, 6};
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *loss = NULL;
        TW_SCOPE {
            tw_tensor *x = tw_from_data(tokens, SHAPE(2, 4), TW_I64), *y = tw_from_data(targets, SHAPE(2, 4), TW_I64);
            loss = tw_yield(tw_gpt_loss(&m->gpt, x, y, true));
            status = tw_backward(loss, NULL);
            if (status == TW_OK)
                status = tw_tensor_status(tw_clip_grad_norm(&m->gpt.parameters, 1));
            if (status == TW_OK)
                status = tw_adamw_step(&m->optimiser);
            tw_parameters_zero_grad(&m->gpt.parameters);
        }
        if (status == TW_OK)
            status = add_values(result, loss);
    }
    for (int i = 0; i < m->gpt.parameters.count && status == TW_OK; i++)
        status = add_values(result, m->gpt.parameters.item[i].value);
    return status;
}

static tw_status begin_and_step(tw_hash *result)
{
    model m = {0};
    tw_status status = begin_model(&m);
    for (int i = 0; i < 2 && status == TW_OK; i++)
        status = step(&m, result);
    end_model(&m);
    return status;
}

/* The least that has all parts: one layer, two steps of SGD; the second runs the plan of the first. */
static tw_status small_step(tw_hash *result)
{
    tw_parameters parameters = {0};
    tw_linear_layer layer;
    tw_sgd optimiser = {0};
    tw_set_tier(TW_TIER_COMPILED);
    tw_status status = tw_manual_seed(3);
    if (status == TW_OK)
        status = tw_linear_init(&layer, &parameters, "layer", 3, 2, true, 0.5);
    if (status == TW_OK)
        status = tw_sgd_init(&optimiser, &parameters, 0.1, 0.9);
    for (int i = 0; i < 2 && status == TW_OK; i++) {
        TW_SCOPE {
            tw_tensor *x = tw_ones(SHAPE(4, 3), TW_F32);
            tw_tensor *loss = tw_mean(tw_square(tw_tanh(tw_linear_forward(&layer, x))), 0, NULL, false);
            status = tw_backward(loss, NULL);
            if (status == TW_OK)
                status = tw_sgd_step(&optimiser);
            tw_parameters_zero_grad(&parameters);
            if (status == TW_OK)
                status = add_values(result, loss);
        }
        for (int k = 0; k < parameters.count && status == TW_OK; k++)
            status = add_values(result, parameters.item[k].value);
    }
    tw_sgd_free(&optimiser);
    tw_parameters_free(&parameters);
    return status;
}

/* Recorded, differentiated, planned, run as a whole; only the kernels are there. */
static tw_status plan_step(tw_hash *result)
{
    tw_set_tier(TW_TIER_COMPILED);
    return begin_and_step(result);
}

static tw_status plan_step_by_operations(tw_hash *result)
{
    tw_set_tier(TW_TIER_OPERATIONS);
    return begin_and_step(result);
}

/* First sight, second sight, third: operation by operation, planned beside the program, run as a whole. */
static tw_status plan_step_beside(tw_hash *result)
{
    tw_set_tier(TW_TIER_AUTO);
    tw_status status = begin_and_step(result);
    tw_background_finish();
    return status;
}

/* ---- parts ---- */

static tw_tensor *numbers(int rank, const int64_t *shape)
{
    return tw_div(tw_add(tw_iota(rank, shape, rank - 1, TW_F32), tw_scalar(1, TW_F32)), tw_scalar(7, TW_F32));
}

/* From the tile program to loaded code: every run compiles. */
static tw_status compile_kernels(tw_hash *result)
{
    tw_status status = TW_OK;
    tw_set_tier(TW_TIER_COMPILED);
    tw_capture_reset();
    TW_SCOPE {
        tw_tensor *x = tw_zeros(SHAPE(2, 5), TW_F32), *w = tw_ones(SHAPE(3, 5), TW_F32);
        status = add_values(result, tw_softmax(tw_linear(x, w, NULL), -1));
    }
    return status;
}

/* Written to the disk cache, read from it. */
static tw_status cache_kernels(tw_hash *result)
{
    tw_status status = TW_OK;
    char remove[128];
    tw_set_tier(TW_TIER_COMPILED);
    setenv("TW_CACHE", "1", 1);
    snprintf(remove, sizeof remove, "rm -rf %s/cache", folder);
    for (int i = 0; i < 2 && status == TW_OK; i++) {
        if (i == 0 && system(remove) != 0)
            return tw_error(TW_ERR_IO, "cannot remove the cache");
        tw_capture_reset();
        TW_SCOPE {
            status = add_values(result, tw_exp(tw_ones(SHAPE(3), TW_F32)));
        }
    }
    setenv("TW_CACHE", "0", 1);
    return status;
}

/* Views, changes through them, expanded ones too; printing. */
static tw_status alias(tw_hash *result)
{
    tw_status status = TW_OK;
    tw_set_tier(TW_TIER_COMPILED);
    TW_SCOPE {
        tw_tensor *x = numbers(SHAPE(4, 6)), *narrow = tw_select(tw_transpose(x, 0, 1), 0, 2);
        tw_tensor *diagonal = tw_diagonal(tw_reshape(x, SHAPE(6, 4)));
        status = tw_add_(narrow, tw_scalar(1, TW_F32));
        if (status == TW_OK)
            status = tw_fill_(
                tw_expand(tw_slice(x, 2, (int64_t[]){0, 0}, 2, (int64_t[]){4, 1}, 2, (int64_t[]){1, 1}), SHAPE(4, 3)),
                5);
        if (status == TW_OK)
            status = tw_mul_(diagonal, tw_scalar(3, TW_F32));
        if (status == TW_OK)
            status = add_values(result, narrow);
        if (status == TW_OK)
            status = add_values(result, x);
        char *text = status == TW_OK ? tw_print_text(tw_permute(x, SHAPE(1, 0))) : NULL;
        if (status == TW_OK && !text)
            status = tw_error_code();
        if (text)
            *result = tw_hash_bytes(*result, text, strlen(text));
        tw_text_release(text);
    }
    return status;
}

static tw_status derive_twice(tw_hash *result)
{
    tw_status status = TW_OK;
    tw_set_tier(TW_TIER_COMPILED);
    TW_SCOPE {
        tw_tensor *x = tw_requires_grad(tw_clone(numbers(SHAPE(3))), true), *g = NULL, *h = NULL;
        x = tw_requires_grad(tw_detach(x), true);
        tw_tensor *y = tw_sum(tw_tanh(tw_mul(x, tw_slice(x, 1, (int64_t[]){0}, 1, (int64_t[]){3}, 1, (int64_t[]){1}))),
                              0, NULL, false);
        status = tw_grad(1, &y, NULL, 1, &x, &g, true);
        if (status == TW_OK && !(g = tw_sum(tw_square(g), 0, NULL, false)))
            status = TW_ERR_INTERNAL;
        if (status == TW_OK)
            status = tw_grad(1, &g, NULL, 1, &x, &h, false);
        if (status == TW_OK)
            status = add_values(result, h);
    }
    return status;
}

static tw_status traced(void *user, tw_tensor *const *inputs, int input_count, tw_tensor **outputs, int output_count)
{
    (void)input_count;
    (void)output_count;
    outputs[0] = tw_mul(tw_tanh(inputs[0]), user);
    TW_TRY(tw_add_(user, tw_scalar(1, TW_F32)));
    return tw_tensor_status(outputs[0]);
}

static tw_status call_function(tw_hash *result)
{
    tw_status status = TW_OK;
    tw_set_tier(TW_TIER_COMPILED);
    TW_SCOPE {
        tw_tensor *factor = tw_full_like_value(SHAPE(3), 2, TW_F32);
        tw_function *f = tw_compile(traced, factor, 1);
        status = f ? TW_OK : tw_error_code();
        for (int i = 0; i < 4 && status == TW_OK; i++) {
            tw_tensor *x = numbers(SHAPE(i < 2 ? 1 : 2, 3)), *y = NULL;
            status = tw_call(f, &x, 1, &y);
            if (status == TW_OK)
                status = add_values(result, y);
        }
        if (status == TW_OK)
            status = add_values(result, factor);
        tw_function_destroy(f);
    }
    return status;
}

/* Sizes that change: families, variants, kernels for all sizes. */
static tw_status change_sizes(tw_hash *result)
{
    tw_status status = TW_OK;
    tw_set_tier(TW_TIER_COMPILED);
    for (int64_t n = 3; n < 6 && status == TW_OK; n++) {
        TW_SCOPE {
            tw_tensor *x = tw_full_like_value(SHAPE(n, 2 * n), 0.5 * (double)n, TW_F32);
            status = add_values(result, tw_softmax(tw_add(x, tw_sum(x, SHAPE(0), true)), -1));
        }
    }
    return status;
}

static tw_status read_and_write_files(tw_hash *result)
{
    char safetensors[96], npy[96];
    tw_tensor_file *file = NULL;
    tw_status status = TW_OK;
    tw_set_tier(TW_TIER_COMPILED);
    snprintf(safetensors, sizeof safetensors, "%s/x.safetensors", folder);
    snprintf(npy, sizeof npy, "%s/x.npy", folder);
    TW_SCOPE {
        tw_tensor *x = numbers(SHAPE(2, 3)), *y = tw_ones(SHAPE(5), TW_BF16), *both[] = {x, y};
        status = tw_save_safetensors(safetensors, 2, (const char *[]){"x", "y"}, both, 1, (const char *[]){"key"},
                                     (const char *[]){"value"});
        if (status == TW_OK)
            status = tw_open_safetensors(safetensors, &file);
        for (int i = 0; i < 2 && status == TW_OK; i++)
            status = add_values(result, tw_file_tensor(file, i ? "y" : "x"));
        tw_close_safetensors(file);
        if (status == TW_OK)
            status = tw_save_npy(npy, tw_transpose(x, 0, 1));
        if (status == TW_OK)
            status = add_values(result, tw_load_npy(npy));
    }
    return status;
}

static tw_status parse_and_print(tw_hash *result)
{
    static const char text[] = "%0 = input : f32[s0, 8]\n"
                               "%1 = permute %0 {axes=[1, 0]} : f32[8, s0]\n"
                               "%2 = sum %1 {axes=[0], keepdim=false} : f32[s0]\n"
                               "output %2\n";
    tw_text printed = {0};
    tw_graph *g = tw_graph_parse(&tw_graph_table, text, strlen(text));
    tw_status status = g ? tw_graph_verify(g) : tw_error_code();
    if (status == TW_OK)
        tw_graph_print(g, &printed);
    if (status == TW_OK)
        status = printed.failed ? TW_ERR_MEMORY : TW_OK;
    *result = tw_hash_bytes(*result, tw_text_string(&printed), printed.count);
    tw_text_free(&printed);
    tw_graph_destroy(g);
    return status;
}

/* ---- failing in turn ---- */

static const struct {
    const char *name;
    scenario *run;
    bool other_errors; /* the JSON library calls running out of memory a syntax error */
    int64_t step;      /* without --all only every n-th allocation fails: primes, so that no pattern is followed */
} scenarios[] = {
    {"parse_and_print", parse_and_print, false, 1},
    {"read_and_write_files", read_and_write_files, true, 1},
    {"alias", alias, false, 1},
    {"derive_twice", derive_twice, false, 1},
    {"call_function", call_function, false, 1},
    {"change_sizes", change_sizes, false, 1},
    {"small_step", small_step, false, 1},
    {"plan_step", plan_step, false, 211},
    {"plan_step_by_operations", plan_step_by_operations, false, 1009},
    {"plan_step_beside", plan_step_beside, false, 1009},
    {"compile_kernels", compile_kernels, false, 5},
    {"cache_kernels", cache_kernels, false, 5},
};

static void clean_up(void)
{
    tw_memory_fail_at(-1);
    tw_background_finish();
    tw_scope_end_all();
    tw_generator_forget();
    tw_sync();
    tw_capture_forget_plans();
    tw_runtime_free();
    tw_error_clear();
}

static tw_hash right_result(scenario *run)
{
    tw_hash result = {0};
    if (run(&result) != TW_OK)
        fail_msg("without a failing allocation: %s", tw_error_message());
    clean_up();
    return result;
}

/* What was done before a failure may have led to kernels that are needed nowhere else: they stay loaded. */
static int64_t in_use(void)
{
    return tw_memory_alive() - tw_kernels_loaded();
}

/* Returns whether there was an n-th allocation. */
static bool fail_one(size_t which, int64_t nth, tw_hash right, int64_t *got_by)
{
    scenario *run = scenarios[which].run;
    tw_hash result = {0};
    int64_t alive = in_use(), before = tw_memory_allocations();
    tw_memory_fail_at(nth);
    tw_status status = run(&result);
    bool reached = tw_memory_allocations() - before > nth;
    bool right_error = scenarios[which].other_errors || (status == TW_ERR_MEMORY && tw_error_code() == TW_ERR_MEMORY);
    if (status != TW_OK && !(reached && right_error))
        fail_msg("%s, allocation %lld: %s: %s", scenarios[which].name, (long long)nth, tw_status_name(status),
                 tw_error_message());
    if (status == TW_OK && !tw_hash_equal(result, right))
        fail_msg("%s, allocation %lld: no error, and a wrong result", scenarios[which].name, (long long)nth);
    *got_by += status == TW_OK && reached;
    clean_up();
    if (!tw_hash_equal(right_result(run), right))
        fail_msg("%s, allocation %lld: a wrong result afterwards", scenarios[which].name, (long long)nth);
    if (in_use() != alive)
        fail_msg("%s, allocation %lld: %lld allocations are left", scenarios[which].name, (long long)nth,
                 (long long)(in_use() - alive));
    checks += reached;
    return reached;
}

static int64_t only_nth = -1;
static bool every_one;

static void every_allocation_fails_once(void **state)
{
    size_t which = (size_t)(uintptr_t)*state;
    int64_t got_by = 0, count = 0, step = every_one ? 1 : scenarios[which].step;
    uint64_t start = tw_os_now_ns();
    tw_hash right = right_result(scenarios[which].run);
    if (!tw_hash_equal(right_result(scenarios[which].run), right))
        fail_msg("%s: another result the second time", scenarios[which].name);
    for (int64_t nth = TW_MAX(only_nth, 0); fail_one(which, nth, right, &got_by) && only_nth < 0; nth += step)
        count++;
    print_message("%-24s %6lld allocations failed, %lld of them were done without, %.1f s\n", scenarios[which].name,
                  (long long)count, (long long)got_by, (double)(tw_os_now_ns() - start) * 1e-9);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[TW_COUNT(scenarios)];
    size_t count = 0;
    char remove[128];
    every_one = argc > 1 && !strcmp(argv[1], "--all");
    argv += every_one;
    argc -= every_one;
    only_nth = argc > 2 ? strtoll(argv[2], NULL, 10) : -1;
    snprintf(folder, sizeof folder, "/tmp/tw-allocation-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(remove, sizeof remove, "%s/cache", folder);
    setenv("TW_CACHE", "0", 1);
    setenv("TW_CACHE_DIR", remove, 1);
    setenv("TW_BACKGROUND", "1", 1);
    json_set_alloc_funcs(tw_alloc, tw_free);
    for (size_t i = 0; i < TW_COUNT(scenarios); i++)
        if (argc < 2 || !strcmp(argv[1], scenarios[i].name))
            tests[count++] =
                (struct CMUnitTest){scenarios[i].name, every_allocation_fails_once, NULL, NULL, (void *)(uintptr_t)i};
    tw_library_init();
    tw_memory_watch();
    int failed = _cmocka_run_group_tests("allocation", tests, count, NULL, NULL);
    printf("# checks: %lld\n", (long long)checks);
    clean_up();
    tw_capture_reset();
    snprintf(remove, sizeof remove, "rm -rf %s", folder);
    return failed || system(remove) != 0;
}
