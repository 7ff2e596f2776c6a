/* tw plan graph: what a step that this library compiles would take on chips: the same launches, operations and bytes as
 * `tw explain` shows. */
#include "cli/graph_file.h"
#include "cli/plan.h"
#include "cli/training.h"
#include "machine/captured.h"

static tw_status train_once(void *user)
{
    tw_status status;
    training_step(user, &status);
    return status;
}

static tw_status run_once(void *user)
{
    return graph_run_compute(user);
}

static tw_status capture(const char *file, training *t, tw_captured *c)
{
    tw_status status;
    graph_run *r = NULL;
    if (file) {
        status = graph_run_open(file, NULL, t->seed, &r);
        if (status == TW_OK)
            status = tw_capture_work(run_once, r, 1, c);
        graph_run_close(r);
        return status;
    }
    status = training_open(t, NULL, false);
    if (status == TW_OK)
        status = tw_capture_work(train_once, t, 1, c);
    training_close(t);
    return status;
}

static void print_chip(const tw_captured *c, const tw_chip *chip, tw_peak type)
{
    tw_device d = tw_device_of(chip, NULL, 1);
    double kinds[TW_KINDS], all = tw_captured_time(c, &d, type, kinds), flops = 0;
    for (int i = 0; i < c->launches; i++)
        flops += c->launch[i].flops;
    bool fits = !(c->peak_bytes > chip->memory_bytes);
    printf("%-20s %11.4g ms %9.4g %9.4g %9.4g %9.4g %9.4g %10.4g  %s\n", chip->item.name, all * 1e3,
           kinds[TW_KIND_MATMUL] * 1e3, kinds[TW_KIND_ATTENTION] * 1e3, kinds[TW_KIND_NORM_SOFTMAX] * 1e3,
           kinds[TW_KIND_POINTWISE] * 1e3, kinds[TW_KIND_OTHER] * 1e3, flops / all * 1e-12,
           fits ? "fits" : "does not fit");
}

static tw_status print(const tw_captured *c, const tw_library *l, const text_list *chips, tw_peak type)
{
    double flops = 0, bytes = 0;
    for (int i = 0; i < c->launches; i++) {
        flops += c->launch[i].flops;
        bytes += c->launch[i].bytes;
    }
    printf("a step: %d launches, %.4g GFLOP, %.4g GB through memory, %.4g GB held at most\n\n", c->launches,
           flops * 1e-9, bytes * 1e-9, c->peak_bytes * 1e-9);
    printf("%-20s %14s %9s %9s %9s %9s %9s %10s\n", "ms", "step", "products", "attention", "norms", "pointwise",
           "other", "TFLOP/s");
    for (int i = 0; i < chips->count; i++) {
        const tw_description *chip;
        TW_TRY(tw_library_need(l, TW_KIND_CHIP, chips->item[i], &chip));
        print_chip(c, (const tw_chip *)(const void *)chip, type);
    }
    return TW_OK;
}

int cmd_plan_graph(int argc, char **argv)
{
    training t = training_defaults();
    text_list with = {.count = 0}, settings = {.count = 0}, chips = {.count = 0};
    const char *file = NULL, *type_name = "fp32";
    tw_peak type;
    int given, code;
    const option own[] = {
        {"--on", "CHIP", "a chip of tw machine list; may be given many times", OPTION_LIST, &chips, 0, 0},
        {"--dtype", "TYPE", "of the engine that products run on: fp32, tf32, bf16, ... (fp32)", OPTION_TEXT, &type_name,
         0, 0},
        {"--set", "PATH=VALUE", "change a value of a description", OPTION_LIST, &settings, 0, 0},
        {"--with", "FILE", "descriptions beside those that come with tw", OPTION_LIST, &with, 0, 0},
    };
    option options[TRAINING_OPTIONS + TW_COUNT(own)];
    training_options(&t, options);
    memcpy(options + TRAINING_OPTIONS, own, sizeof own);
    if (!plan_arguments("plan graph", "FILE",
                        "The training step of a GPT (options as in tw train), or the graph in FILE, as this "
                        "library compiles it: what it would take on chips.",
                        options, TW_COUNT(options), argc, argv, &file, 0, 1, &given, &code))
        return code;
    tw_captured c = {0};
    tw_library *l = cli_library(&with);
    tw_status status = l ? cli_set(l, &settings) : tw_error_code();
    if (status == TW_OK && !tw_peak_parse(type_name, &type))
        status = tw_error(TW_ERR_VALUE, "--dtype '%.40s'; expected fp64, fp32, tf32, fp16, bf16, fp8, fp4 or int8",
                          type_name);
    if (status == TW_OK && !chips.count)
        status = tw_error(TW_ERR_VALUE, "no chip; expected --on CHIP, as in --on H100-SXM-80GB");
    TW_SCOPE {
        if (status == TW_OK)
            status = capture(file, &t, &c);
    }
    tw_scope_end_all();
    if (status == TW_OK)
        status = print(&c, l, &chips, type);
    tw_captured_free(&c);
    tw_library_destroy(l);
    return status == TW_OK ? 0 : cli_fail("plan graph");
}
