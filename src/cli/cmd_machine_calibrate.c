/* tw machine calibrate: how fast this machine runs the library's kernels, and how well that predicts steps of other
 * sizes than those it was measured on. */
#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "cli/plan.h"
#include "machine/calibrate.h"
#include "tilewright/control.h"

enum { TIMES = 15 };

/* Sizes that no calibrating model has. */
static const struct {
    tw_gpt_config config;
    int64_t batch;
} checked[] = {
    {{.layers = 2, .dim = 64, .heads = 2, .context = 64, .vocabulary = 256}, 8},
    {{.layers = 3, .dim = 96, .heads = 3, .context = 48, .vocabulary = 256}, 12},
    {{.layers = 4, .dim = 128, .heads = 4, .context = 64, .vocabulary = 256}, 16},
    {{.layers = 4, .dim = 192, .heads = 6, .context = 64, .vocabulary = 256}, 8},
    {{.layers = 6, .dim = 256, .heads = 8, .context = 64, .vocabulary = 256}, 4},
};

static void name_of(const tw_gpt_config *c, int64_t batch, char *out, size_t room)
{
    snprintf(out, room, "GPT %lld x %lld, %lld heads, context %lld, batch %lld", (long long)c->layers,
             (long long)c->dim, (long long)c->heads, (long long)c->context, (long long)batch);
}

static tw_status measure(tw_calibration *c)
{
    tw_gpt_config config;
    int64_t batch;
    tw_status status = TW_OK;
    for (int i = 0; status == TW_OK && tw_calibration_model(i, &config, &batch); i++) {
        tw_captured captured;
        char name[96];
        name_of(&config, batch, name, sizeof name);
        status = tw_captured_training(&config, batch, TIMES, &captured);
        if (status == TW_OK) {
            fprintf(stderr, "%-56s %7.2f ms a step, %d launches\n", name, captured.seconds * 1e3, captured.launches);
            status = tw_calibration_add(c, &captured);
        }
        tw_captured_free(&captured);
    }
    return status;
}

static tw_status read_samples(const char *file, tw_calibration *c)
{
    void *text;
    size_t bytes;
    TW_TRY(tw_os_read_file(file, (size_t)64 << 20, &text, &bytes));
    tw_status status = tw_calibration_parse(file, text, bytes, c);
    tw_free(text);
    return status;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static tw_status check(const tw_calibration *c)
{
    double off[TW_COUNT(checked)];
    /* On one thread, processor time is the step's without what other programs took from it. */
    bool alone = tw_num_threads() == 1;
    printf("%-56s %12s %12s %8s   %s\n", "step", "predicted", alone ? "processor" : "measured", "off",
           alone ? "by the clock" : "");
    for (size_t i = 0; i < TW_COUNT(checked); i++) {
        tw_captured captured;
        char name[96];
        TW_TRY(tw_captured_training(&checked[i].config, checked[i].batch, TIMES, &captured));
        double predicted = tw_calibrated_time(c, &captured);
        name_of(&checked[i].config, checked[i].batch, name, sizeof name);
        double measured = alone ? captured.processor : captured.seconds;
        printf("%-56s %9.2f ms %9.2f ms %+6.1f %%", name, predicted * 1e3, measured * 1e3,
               100 * (predicted / measured - 1));
        if (alone)
            printf("   %9.2f ms", captured.seconds * 1e3);
        printf("\n");
        off[i] = fabs(predicted / measured - 1);
        tw_captured_free(&captured);
    }
    qsort(off, TW_COUNT(off), sizeof *off, by_size);
    printf("median error %.1f %%, worst %.1f %%\n", 100 * off[TW_COUNT(off) / 2], 100 * off[TW_COUNT(off) - 1]);
    return TW_OK;
}

int cmd_machine_calibrate(int argc, char **argv)
{
    const char *out = NULL, *from = NULL;
    int64_t threads = 0;
    bool checking = false;
    int code;
    const option options[] = {
        {"--out", "FILE", "write the samples", OPTION_TEXT, &out, 0, 0},
        {"--from", "FILE", "samples that were written before, instead of measuring", OPTION_TEXT, &from, 0, 0},
        {"--check", NULL, "predict and measure training steps of five other sizes", OPTION_FLAG, &checking, 0, 0},
        {"--threads", "N", "that kernels run on (one for each core)", OPTION_INT, &threads, 1, 1024},
    };
    const command_line line = {
        .name = "machine calibrate",
        .about = "Measures how fast this machine runs the library's kernels, by class and size, on training steps of\n"
                 "small models.",
        .options = options,
        .count = TW_COUNT(options)};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    tw_calibration c = {0};
    if (threads)
        tw_set_num_threads((int)threads);
    tw_status status = from ? read_samples(from, &c) : measure(&c);
    if (status == TW_OK)
        printf("%d launches; at best %.1f GFLOP/s and %.1f GB/s, a launch %.1f us, an operation %.2f us to record\n",
               c.samples, c.peak * 1e-9, c.bandwidth * 1e-9, c.launch * 1e6, c.per_operation * 1e6);
    if (status == TW_OK && out) {
        tw_text text = {0};
        tw_calibration_print(&c, &text);
        status = plan_write_file(out, &text);
        tw_text_free(&text);
    }
    if (status == TW_OK && checking)
        status = check(&c);
    tw_calibration_free(&c);
    return status == TW_OK ? 0 : cli_fail("machine calibrate");
}
