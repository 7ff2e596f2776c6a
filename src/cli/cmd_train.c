/* tw train: a GPT on a text file, operation by operation and compiled. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>

#include "base/os.h"
#include "capture/capture.h"
#include "cli/training.h"

typedef struct session {
    training t;
    const char *checkpoint, *resume;
    int64_t steps, eval_every, warm;
    bool eager, compare;
    double compiled_ms, eager_ms, worst_difference;
    int64_t eager_peak, compiled_peak, stated_peak;
    int launches, batches, kernels;
    uint64_t compile_ns;
} session;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static double validation_loss(training *t)
{
    enum { BATCHES = 4 };
    uint64_t random = 12345;
    double sum = 0;
    bool grad = tw_set_grad_enabled(false);
    for (int i = 0; i < BATCHES; i++) {
        TW_SCOPE {
            tw_tensor *loss = NULL;
            TW_SCOPE {
                tw_tensor *x, *y;
                training_batch(t, &random, false, &x, &y);
                loss = tw_yield(tw_gpt_loss(&t->model, x, y, false));
            }
            sum += tw_item(loss) / BATCHES;
        }
    }
    tw_set_grad_enabled(grad);
    return sum;
}

static void say_progress(const session *s, int64_t step, double loss, double validation, double ms)
{
    double tokens = (double)(s->t.batch * s->t.config.context) / ms * 1e3,
           left = ms * (double)(s->steps - step - 1) * 1e-3;
    bool terminal = tw_os_terminal(stdout);
    printf("%sstep %lld/%lld  loss %.4f  validation %.4f  %.0f tokens/s  %.1f s left%s", terminal ? "\r\033[K" : "",
           (long long)(step + 1), (long long)s->steps, loss, validation, tokens, left,
           terminal && step + 1 < s->steps ? "" : "\n");
    fflush(stdout);
}

/* ---- where the time goes ---- */

static void print_shares(const char *title, const uint64_t *ns, double steps)
{
    uint64_t sum = 0;
    for (int k = 0; k < TW_KINDS; k++)
        sum += ns[k];
    printf("%s\n", title);
    for (int k = 0; k < TW_KINDS; k++)
        printf("  %-28s %9.2f ms  %5.1f %%\n", tw_kernel_kind_name((tw_kernel_kind)k), (double)ns[k] * 1e-6 / steps,
               sum ? 100.0 * (double)ns[k] / (double)sum : 0);
}

/* Two steps with each launch timed. */
static tw_status time_kinds(training *t, const char *title)
{
    enum { STEPS = 2 };
    uint64_t ns[TW_KINDS];
    tw_status status = TW_OK;
    tw_capture_kind_times(ns); /* forget what was before */
    tw_runtime_timing(true);
    for (int i = 0; i < STEPS && status == TW_OK; i++)
        training_step(t, &status);
    tw_runtime_timing(false);
    tw_capture_kind_times(ns);
    print_shares(title, ns, STEPS);
    return status;
}

static double median(double *x, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && x[j] < x[j - 1]; j--) {
            double swap = x[j];
            x[j] = x[j - 1];
            x[j - 1] = swap;
        }
    return n ? x[n / 2] : NAN;
}

/* What the step that was just compiled is, before it runs again. */
static void note_plan(session *s)
{
    const tw_executable *e = tw_capture_last();
    s->stated_peak = tw_capture_stated_peak();
    s->compile_ns = tw_capture_statistics().compile_ns;
    s->launches = e ? e->plan->launches : 0;
    s->batches = e ? e->plan->batches : 0;
    s->kernels = e ? e->plan->kernels : 0;
}

/* Runs `steps` steps in one tier from the current state; the losses and the median time. */
static tw_status run_tier(session *s, tw_tier tier, int steps, double *losses, double *ms, int64_t *peak)
{
    enum { MOST = 64 };
    double times[MOST];
    tw_status status = TW_OK;
    tw_set_tier(tier);
    for (int i = 0; i < steps && i < MOST && status == TW_OK; i++) {
        if (i == 1)
            tw_tensor_peak_bytes(true); /* the first step compiles */
        uint64_t start = tw_os_now_ns();
        losses[i] = training_step(&s->t, &status);
        times[i] = (double)(tw_os_now_ns() - start) * 1e-6;
        if (i == 0 && tier == TW_TIER_COMPILED && status == TW_OK)
            note_plan(s);
    }
    *peak = tw_tensor_peak_bytes(true);
    *ms = median(times + 1, TW_MIN(steps, MOST) - 1);
    return status;
}

static tw_status rewind_to(training *t, const char *path)
{
    tw_tensor_file *file = NULL;
    tw_gpt_config config;
    vocabulary words;
    TW_TRY(checkpoint_config(path, &file, &config, &words));
    tw_status status = checkpoint_restore(file, &t->model, &t->optimiser, &t->random);
    tw_close_safetensors(file);
    return status;
}

/* The same steps operation by operation and compiled, from the same state. */
static tw_status compare(session *s)
{
    enum { STEPS = 8 };
    double eager[STEPS], compiled[STEPS];
    char path[64];
    snprintf(path, sizeof path, "tw-compare-%llx.safetensors", (unsigned long long)tw_os_now_ns());
    TW_TRY(checkpoint_save(path, &s->t.model, &s->t.optimiser, &s->t.words, s->t.random));
    tw_status status = run_tier(s, TW_TIER_OPERATIONS, STEPS, eager, &s->eager_ms, &s->eager_peak);
    if (status == TW_OK)
        status = time_kinds(&s->t, "where the time goes, operation by operation:");
    tw_runtime_free();
    if (status == TW_OK)
        status = rewind_to(&s->t, path);
    if (status == TW_OK)
        status = run_tier(s, TW_TIER_COMPILED, STEPS, compiled, &s->compiled_ms, &s->compiled_peak);
    if (status == TW_OK)
        status = time_kinds(&s->t, "where the time goes, compiled:");
    if (status == TW_OK)
        status = rewind_to(&s->t, path);
    remove(path);
    if (status != TW_OK)
        return status;
    for (int i = 0; i < STEPS; i++) {
        printf("step %d: loss %.6f operation by operation, %.6f compiled, difference %.1e\n", i + 1, eager[i],
               compiled[i], fabs(eager[i] - compiled[i]));
        s->worst_difference = fmax(s->worst_difference, fabs(eager[i] - compiled[i]));
    }
    double tokens = (double)(s->t.batch * s->t.config.context) * 1e3;
    printf("operation by operation: %8.2f ms a step, %8.0f tokens/s, peak %7.1f MB\n", s->eager_ms,
           tokens / s->eager_ms, (double)s->eager_peak * 1e-6);
    printf("compiled:               %8.2f ms a step, %8.0f tokens/s, peak %7.1f MB (stated %.1f MB, %+.1f %%)\n",
           s->compiled_ms, tokens / s->compiled_ms, (double)s->compiled_peak * 1e-6, (double)s->stated_peak * 1e-6,
           100 * ((double)s->compiled_peak / (double)s->stated_peak - 1));
    printf("compiled is %.2f times as fast, with %.2f times the memory; compiled in %.0f ms\n",
           s->eager_ms / s->compiled_ms, (double)s->compiled_peak / (double)s->eager_peak,
           (double)s->compile_ns * 1e-6);
    printf("fused: one step is %d kernels run %d times in %d launches\n", s->kernels, s->launches, s->batches);
    return TW_OK;
}

/* ---- the command ---- */

static tw_status run_steps(session *s)
{
    tw_status status = TW_OK;
    double validation = validation_loss(&s->t);
    uint64_t said = 0;
    for (int64_t i = 0; i < s->steps && !interrupted && status == TW_OK; i++) {
        tw_set_tier(s->eager || i < s->warm ? TW_TIER_OPERATIONS : TW_TIER_COMPILED);
        uint64_t start = tw_os_now_ns();
        double loss = training_step(&s->t, &status), ms = (double)(tw_os_now_ns() - start) * 1e-6;
        if ((i + 1) % s->eval_every == 0 || i + 1 == s->steps)
            validation = validation_loss(&s->t);
        bool terminal = tw_os_terminal(stdout);
        if (status == TW_OK && ((terminal && tw_os_now_ns() - said > 200000000u) || (i + 1) % s->eval_every == 0 ||
                                i + 1 == s->steps || i < 3)) {
            say_progress(s, i, loss, validation, ms);
            said = tw_os_now_ns();
        }
    }
    return status;
}

static void say_model(const training *t)
{
    int64_t count = 0;
    for (int i = 0; i < t->model.parameters.count; i++)
        count += tw_numel(t->model.parameters.item[i].value);
    printf("%lld parameters in %d tensors; %lld bytes of text, %d different\n", (long long)count,
           t->model.parameters.count, (long long)t->count, t->words.size);
}

int cmd_train(int argc, char **argv)
{
    session s = {.t = training_defaults(), .steps = 200, .eval_every = 50};
    training *t = &s.t;
    int code;
    const option own[] = {
        {"--steps", "N", "training steps (200)", OPTION_INT, &s.steps, 0, 1e12},
        {"--eval-every", "N", "steps between validations (50)", OPTION_INT, &s.eval_every, 1, 1e12},
        {"--warm", "N", "first steps operation by operation (0)", OPTION_INT, &s.warm, 0, 1e12},
        {"--checkpoint", "FILE", "save weights, optimiser and position here", OPTION_TEXT, &s.checkpoint, 0, 0},
        {"--resume", "FILE", "go on from a checkpoint", OPTION_TEXT, &s.resume, 0, 0},
        {"--eager", NULL, "operation by operation only", OPTION_FLAG, &s.eager, 0, 0},
        {"--compare", NULL, "first compare both ways: time, memory, losses", OPTION_FLAG, &s.compare, 0, 0},
    };
    option options[TRAINING_OPTIONS + TW_COUNT(own)];
    training_options(t, options);
    memcpy(options + TRAINING_OPTIONS, own, sizeof own);
    if (!cli_parse("train", "Trains a GPT on the bytes of a text file. Ctrl-C saves the checkpoint and ends.", options,
                   TW_COUNT(options), argc, argv, &code))
        return code;
    if (!t->data) {
        fprintf(stderr, "tw train: --data FILE is needed; tw train --help says more\n");
        return 2;
    }
    signal(SIGINT, on_interrupt);
    tw_status status = TW_OK;
    TW_SCOPE {
        status = training_open(t, s.resume);
        if (status == TW_OK)
            say_model(t);
        if (status == TW_OK && s.compare)
            status = compare(&s);
        if (status == TW_OK)
            status = run_steps(&s);
        if (status == TW_OK && s.checkpoint) {
            status = checkpoint_save(s.checkpoint, &t->model, &t->optimiser, &t->words, t->random);
            if (status == TW_OK)
                printf("%ssaved %s after %lld steps\n", interrupted ? "interrupted: " : "", s.checkpoint,
                       (long long)t->optimiser.step);
        }
    }
    code = status == TW_OK ? (interrupted ? 130 : 0) : cli_fail("train");
    training_close(t);
    tw_scope_end_all();
    return code;
}
