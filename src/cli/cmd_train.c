/* tw train: a GPT on a text file, operation by operation and compiled. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>

#include "base/os.h"
#include "capture/capture.h"
#include "cli/cli.h"
#include "cli/model.h"
#include "tilewright/ops.h"

typedef struct training {
    /* options */
    const char *data, *checkpoint, *resume;
    int64_t batch, steps, seed, eval_every, warm;
    double lr;
    bool eager, compare;
    tw_gpt_config config;
    /* state */
    tw_gpt model;
    tw_adamw optimiser;
    vocabulary words;
    int64_t *tokens, train_count, count;
    uint64_t random;
    double compiled_ms, eager_ms, eager_loss, worst_difference;
    int64_t eager_peak, compiled_peak, stated_peak;
    int launches, batches, kernels;
    uint64_t compile_ns;
} training;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* ---- data ---- */

static tw_status load_text(training *t)
{
    void *text;
    size_t bytes;
    TW_TRY(tw_os_read_file(t->data, (size_t)1 << 32, &text, &bytes));
    if (!t->words.size)
        vocabulary_from_text(&t->words, text, bytes);
    t->count = (int64_t)bytes;
    t->train_count = t->count * 9 / 10;
    t->tokens = tw_alloc((bytes + 1) * sizeof *t->tokens);
    tw_status status = t->tokens ? TW_OK : TW_ERR_MEMORY;
    for (size_t i = 0; i < bytes && status == TW_OK; i++) {
        t->tokens[i] = t->words.token[((unsigned char *)text)[i]];
        if (t->tokens[i] < 0)
            status = tw_error(TW_ERR_VALUE, "%s: byte %zu is 0x%02x, which the checkpoint's text doesn't have", t->data,
                              i, ((unsigned char *)text)[i]);
    }
    tw_free(text);
    int64_t least = t->config.context + 2;
    if (status == TW_OK && (t->train_count < least || t->count - t->train_count < least))
        status = tw_error(TW_ERR_VALUE, "%s has %lld bytes; expected at least %lld for a context of %lld", t->data,
                          (long long)t->count, (long long)(10 * least), (long long)t->config.context);
    return status;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void take_batch(const training *t, uint64_t *random, bool training_part, tw_tensor **x, tw_tensor **y)
{
    int64_t T = t->config.context, first = training_part ? 0 : t->train_count;
    int64_t room = (training_part ? t->train_count : t->count - t->train_count) - T - 1, shape[] = {t->batch, T};
    *x = tw_empty(2, shape, TW_I64);
    *y = tw_empty(2, shape, TW_I64);
    if (tw_tensor_status(*x) != TW_OK || tw_tensor_status(*y) != TW_OK)
        return;
    for (int64_t b = 0; b < t->batch; b++) {
        int64_t at = first + (int64_t)(next_random(random) % (uint64_t)room);
        memcpy((int64_t *)(uintptr_t)tw_data(*x) + b * T, t->tokens + at, (size_t)T * sizeof(int64_t));
        memcpy((int64_t *)(uintptr_t)tw_data(*y) + b * T, t->tokens + at + 1, (size_t)T * sizeof(int64_t));
    }
}

/* ---- steps ---- the inner scope frees what the step made before anybody looks, so that only the loss and the
 * parameters are computed */

static double train_step(training *t, tw_status *status)
{
    tw_tensor *loss = NULL;
    double value = NAN;
    TW_SCOPE {
        TW_SCOPE {
            tw_tensor *x, *y;
            take_batch(t, &t->random, true, &x, &y);
            loss = tw_yield(tw_gpt_loss(&t->model, x, y, true));
            *status = tw_backward(loss, NULL);
            if (*status == TW_OK)
                *status = tw_adamw_step(&t->optimiser);
            tw_parameters_zero_grad(&t->model.parameters);
        }
        value = *status == TW_OK ? tw_item(loss) : NAN;
        if (*status == TW_OK && tw_tensor_status(loss) != TW_OK)
            *status = tw_tensor_status(loss);
    }
    return value;
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
                take_batch(t, &random, false, &x, &y);
                loss = tw_yield(tw_gpt_loss(&t->model, x, y, false));
            }
            sum += tw_item(loss) / BATCHES;
        }
    }
    tw_set_grad_enabled(grad);
    return sum;
}

static void say_progress(const training *t, int64_t step, double loss, double validation, double ms)
{
    double tokens = (double)(t->batch * t->config.context) / ms * 1e3, left = ms * (double)(t->steps - step - 1) * 1e-3;
    bool terminal = tw_os_terminal(stdout);
    printf("%sstep %lld/%lld  loss %.4f  validation %.4f  %.0f tokens/s  %.1f s left%s", terminal ? "\r\033[K" : "",
           (long long)(step + 1), (long long)t->steps, loss, validation, tokens, left,
           terminal && step + 1 < t->steps ? "" : "\n");
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
        train_step(t, &status);
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
static void note_plan(training *t)
{
    const tw_executable *e = tw_capture_last();
    t->stated_peak = tw_capture_stated_peak();
    t->compile_ns = tw_capture_statistics().compile_ns;
    t->launches = e ? e->plan->launches : 0;
    t->batches = e ? e->plan->batches : 0;
    t->kernels = e ? e->plan->kernels : 0;
}

/* Runs `steps` steps in one tier from the current state; the losses and the median time. */
static tw_status run_tier(training *t, tw_tier tier, int steps, double *losses, double *ms, int64_t *peak)
{
    enum { MOST = 64 };
    double times[MOST];
    tw_status status = TW_OK;
    tw_set_tier(tier);
    for (int i = 0; i < steps && i < MOST && status == TW_OK; i++) {
        if (i == 1)
            tw_tensor_peak_bytes(true); /* the first step compiles */
        uint64_t start = tw_os_now_ns();
        losses[i] = train_step(t, &status);
        times[i] = (double)(tw_os_now_ns() - start) * 1e-6;
        if (i == 0 && tier == TW_TIER_COMPILED && status == TW_OK)
            note_plan(t);
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
static tw_status compare(training *t)
{
    enum { STEPS = 8 };
    double eager[STEPS], compiled[STEPS];
    char path[64];
    snprintf(path, sizeof path, "tw-compare-%llx.safetensors", (unsigned long long)tw_os_now_ns());
    TW_TRY(checkpoint_save(path, &t->model, &t->optimiser, &t->words, t->random));
    tw_status status = run_tier(t, TW_TIER_OPERATIONS, STEPS, eager, &t->eager_ms, &t->eager_peak);
    if (status == TW_OK)
        status = time_kinds(t, "where the time goes, operation by operation:");
    tw_runtime_free();
    if (status == TW_OK)
        status = rewind_to(t, path);
    if (status == TW_OK)
        status = run_tier(t, TW_TIER_COMPILED, STEPS, compiled, &t->compiled_ms, &t->compiled_peak);
    if (status == TW_OK)
        status = time_kinds(t, "where the time goes, compiled:");
    if (status == TW_OK)
        status = rewind_to(t, path);
    remove(path);
    if (status != TW_OK)
        return status;
    for (int i = 0; i < STEPS; i++) {
        printf("step %d: loss %.6f operation by operation, %.6f compiled, difference %.1e\n", i + 1, eager[i],
               compiled[i], fabs(eager[i] - compiled[i]));
        t->worst_difference = fmax(t->worst_difference, fabs(eager[i] - compiled[i]));
    }
    double tokens = (double)(t->batch * t->config.context) * 1e3;
    printf("operation by operation: %8.2f ms a step, %8.0f tokens/s, peak %7.1f MB\n", t->eager_ms,
           tokens / t->eager_ms, (double)t->eager_peak * 1e-6);
    printf("compiled:               %8.2f ms a step, %8.0f tokens/s, peak %7.1f MB (stated %.1f MB, %+.1f %%)\n",
           t->compiled_ms, tokens / t->compiled_ms, (double)t->compiled_peak * 1e-6, (double)t->stated_peak * 1e-6,
           100 * ((double)t->compiled_peak / (double)t->stated_peak - 1));
    printf("compiled is %.2f times as fast, with %.2f times the memory; compiled in %.0f ms\n",
           t->eager_ms / t->compiled_ms, (double)t->compiled_peak / (double)t->eager_peak,
           (double)t->compile_ns * 1e-6);
    printf("fused: one step is %d kernels run %d times in %d launches\n", t->kernels, t->launches, t->batches);
    return TW_OK;
}

/* ---- the command ---- */

static tw_status prepare(training *t)
{
    tw_tensor_file *file = NULL;
    if (t->resume)
        TW_TRY(checkpoint_config(t->resume, &file, &t->config, &t->words));
    tw_status status = load_text(t);
    double needed = 0;
    if (status == TW_OK) {
        t->config.vocabulary = t->words.size;
        double weights = 12.0 * (double)t->config.layers * (double)t->config.dim * (double)t->config.dim;
        needed = weights * 16 +
                 (double)(t->batch * t->config.context) * (double)t->config.dim * (double)t->config.layers * 40;
        if (needed > (double)tw_os_memory_bytes())
            status = tw_error(TW_ERR_MEMORY, "these sizes need about %.1f GB; this machine has %.1f GB", needed * 1e-9,
                              (double)tw_os_memory_bytes() * 1e-9);
    }
    if (status == TW_OK)
        status = tw_manual_seed((uint64_t)t->seed);
    if (status == TW_OK)
        status = tw_gpt_init(&t->model, &t->config);
    if (status == TW_OK)
        status = tw_adamw_init(&t->optimiser, &t->model.parameters, t->lr);
    t->random = (uint64_t)t->seed;
    if (status == TW_OK && file)
        status = checkpoint_restore(file, &t->model, &t->optimiser, &t->random);
    tw_close_safetensors(file);
    return status;
}

static tw_status run_steps(training *t)
{
    tw_status status = TW_OK;
    double validation = validation_loss(t);
    uint64_t said = 0;
    for (int64_t i = 0; i < t->steps && !interrupted && status == TW_OK; i++) {
        tw_set_tier(t->eager || i < t->warm ? TW_TIER_OPERATIONS : TW_TIER_COMPILED);
        uint64_t start = tw_os_now_ns();
        double loss = train_step(t, &status), ms = (double)(tw_os_now_ns() - start) * 1e-6;
        if ((i + 1) % t->eval_every == 0 || i + 1 == t->steps)
            validation = validation_loss(t);
        bool terminal = tw_os_terminal(stdout);
        if (status == TW_OK && ((terminal && tw_os_now_ns() - said > 200000000u) || (i + 1) % t->eval_every == 0 ||
                                i + 1 == t->steps || i < 3)) {
            say_progress(t, i, loss, validation, ms);
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
    training t = {.data = NULL,
                  .batch = 16,
                  .steps = 200,
                  .seed = 1,
                  .eval_every = 50,
                  .lr = 3e-4,
                  .config = {.layers = 4, .dim = 128, .heads = 4, .context = 64}};
    int code;
    const option options[] = {
        {"--data", "FILE", "text to learn (any bytes)", OPTION_TEXT, &t.data, 0, 0},
        {"--layers", "N", "blocks (4)", OPTION_INT, &t.config.layers, 1, 1000},
        {"--dim", "N", "size of the residual stream (128)", OPTION_INT, &t.config.dim, 1, 1 << 16},
        {"--heads", "N", "attention heads (4)", OPTION_INT, &t.config.heads, 1, 1 << 12},
        {"--context", "N", "tokens that the model sees (64)", OPTION_INT, &t.config.context, 1, 1 << 16},
        {"--batch", "N", "sequences a step (16)", OPTION_INT, &t.batch, 1, 1 << 16},
        {"--steps", "N", "training steps (200)", OPTION_INT, &t.steps, 0, 1e12},
        {"--lr", "X", "learning rate of AdamW (0.0003)", OPTION_FLOAT, &t.lr, 0, 10},
        {"--dropout", "P", "probability (0)", OPTION_FLOAT, &t.config.dropout, 0, 0.99},
        {"--seed", "N", "of weights and batches (1)", OPTION_INT, &t.seed, 0, 9e15},
        {"--eval-every", "N", "steps between validations (50)", OPTION_INT, &t.eval_every, 1, 1e12},
        {"--warm", "N", "first steps operation by operation (0)", OPTION_INT, &t.warm, 0, 1e12},
        {"--checkpoint", "FILE", "save weights, optimiser and position here", OPTION_TEXT, &t.checkpoint, 0, 0},
        {"--resume", "FILE", "go on from a checkpoint", OPTION_TEXT, &t.resume, 0, 0},
        {"--eager", NULL, "operation by operation only", OPTION_FLAG, &t.eager, 0, 0},
        {"--compare", NULL, "first compare both ways: time, memory, losses", OPTION_FLAG, &t.compare, 0, 0},
    };
    if (!cli_parse("train", "Trains a GPT on the bytes of a text file. Ctrl-C saves the checkpoint and ends.", options,
                   TW_COUNT(options), argc, argv, &code))
        return code;
    if (!t.data) {
        fprintf(stderr, "tw train: --data FILE is needed; tw train --help says more\n");
        return 2;
    }
    signal(SIGINT, on_interrupt);
    tw_status status = TW_OK;
    TW_SCOPE {
        status = prepare(&t);
        if (status == TW_OK)
            say_model(&t);
        if (status == TW_OK && t.compare)
            status = compare(&t);
        if (status == TW_OK)
            status = run_steps(&t);
        if (status == TW_OK && t.checkpoint) {
            status = checkpoint_save(t.checkpoint, &t.model, &t.optimiser, &t.words, t.random);
            if (status == TW_OK)
                printf("%ssaved %s after %lld steps\n", interrupted ? "interrupted: " : "", t.checkpoint,
                       (long long)t.optimiser.step);
        }
    }
    code = status == TW_OK ? (interrupted ? 130 : 0) : cli_fail("train");
    tw_adamw_free(&t.optimiser);
    tw_gpt_free(&t.model);
    tw_free(t.tokens);
    tw_scope_end_all();
    return code;
}
