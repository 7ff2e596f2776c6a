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
} session;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    interrupted = 1;
    signal(signal_number, SIG_DFL); /* who asks twice doesn't want to wait */
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
    /* ms: the mean step since the last line */
    double tokens = (double)(s->t.batch * s->t.config.context) / ms * 1e3,
           left = ms * (double)(s->steps - step - 1) * 1e-3;
    bool terminal = tw_os_terminal(stdout);
    printf("%sstep %lld/%lld  loss %.4f  validation %.4f  %.0f tokens/s  %.1f s left%s%s", terminal ? "\r\033[K" : "",
           (long long)(step + 1), (long long)s->steps, loss, validation, tokens, left,
           tw_get_tier() == TW_TIER_EAGER ? "  (operation by operation)" : "",
           terminal && step + 1 < s->steps ? "" : "\n");
    fflush(stdout);
}

/* ---- the command ---- */

/* Steps before --resume count. */
static tw_status run_steps(session *s)
{
    tw_status status = TW_OK;
    int64_t first = s->t.optimiser.step;
    double validation = first < s->steps && !interrupted ? validation_loss(&s->t) : NAN;
    uint64_t said = 0;
    double ms = 0;
    int64_t last = first;
    for (int64_t i = first; i < s->steps && !interrupted && status == TW_OK; i++) {
        tw_set_tier(s->eager || i - first < s->warm ? TW_TIER_EAGER : TW_TIER_COMPILED);
        uint64_t start = tw_os_now_ns();
        double loss = training_step(&s->t, &status);
        ms += (double)(tw_os_now_ns() - start) * 1e-6;
        bool evaluated = (i + 1) % s->eval_every == 0 || i + 1 == s->steps;
        if (evaluated && status == TW_OK)
            validation = validation_loss(&s->t);
        bool due = tw_os_terminal(stdout) && tw_os_now_ns() - said > 200000000u;
        if (status == TW_OK && (due || evaluated || i - first < 3)) {
            say_progress(s, i, loss, validation, ms / (double)(i + 1 - last));
            last = i + 1;
            ms = 0;
            said = tw_os_now_ns();
        }
    }
    return status;
}

/* A name that is free: an interrupt must not replace what somebody keeps. */
static const char *fresh_name(char *name, size_t room)
{
    for (int i = 1; i < 1000; i++) {
        snprintf(name, room, i > 1 ? "tw-interrupted-%d.safetensors" : "tw-interrupted.safetensors", i);
        FILE *f = fopen(name, "rb");
        if (!f)
            break;
        fclose(f);
    }
    return name;
}

static tw_status save(const session *s)
{
    const training *t = &s->t;
    char name[64];
    const char *path = s->checkpoint ? s->checkpoint : interrupted ? fresh_name(name, sizeof name) : NULL;
    if (!path)
        return TW_OK;
    TW_TRY(checkpoint_save(path, (tw_gpt *)(uintptr_t)&t->model, &t->optimiser, &t->words, t->random));
    printf("%ssaved %s after %lld steps%s%s\n", interrupted ? "\ninterrupted: " : "", path,
           (long long)t->optimiser.step, interrupted ? "; go on with --resume " : "", interrupted ? path : "");
    return TW_OK;
}

/* Before anything runs, so that a wrong path costs no time. */
static tw_status check_path(const char *path)
{
    tw_os_writer *w = NULL;
    if (path)
        TW_TRY(tw_os_writer_open(path, &w));
    tw_os_writer_cancel(w);
    return TW_OK;
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
        {"--steps", "N", "training steps, those before --resume included (200)", OPTION_INT, &s.steps, 0, 1e12},
        {"--eval-every", "N", "steps between validations (50)", OPTION_INT, &s.eval_every, 1, 1e12},
        {"--warm", "N", "first steps operation by operation, the rest compiled (0)", OPTION_INT, &s.warm, 0, 1e12},
        {"--checkpoint", "FILE", "save weights, optimiser and position here", OPTION_TEXT, &s.checkpoint, 0, 0},
        {"--resume", "FILE", "go on from a checkpoint, which says the sizes of the model", OPTION_TEXT, &s.resume, 0,
         0},
        {"--eager", NULL, "operation by operation only, each at its call", OPTION_FLAG, &s.eager, 0, 0},
        {"--compare", NULL, "first compare both ways: time, memory, losses", OPTION_FLAG, &s.compare, 0, 0},
    };
    option options[TRAINING_OPTIONS + TW_COUNT(own)];
    training_options(t, options);
    memcpy(options + TRAINING_OPTIONS, own, sizeof own);
    const command_line line = {
        .name = "train",
        .about = "Trains a GPT on the bytes of a text file. Ctrl-C saves a checkpoint (--checkpoint, else\n"
                 "tw-interrupted.safetensors here) and ends; --resume goes on from it with the same losses.",
        .options = options,
        .count = TW_COUNT(options)};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    if (!t->data) {
        fprintf(stderr, "tw train: --data FILE is needed; tw train --help says more\n");
        return CLI_USAGE;
    }
    signal(SIGINT, on_interrupt);
    tw_status status = check_path(s.checkpoint);
    TW_SCOPE {
        if (status == TW_OK)
            status = training_open(t, s.resume, s.eager || s.compare || s.warm > 0);
        if (status == TW_OK)
            say_model(t);
        if (status == TW_OK && s.compare)
            status = training_compare(t, &interrupted);
        if (status == TW_OK)
            status = run_steps(&s);
        if (status == TW_OK)
            status = save(&s);
    }
    code = status == TW_OK ? (interrupted ? CLI_INTERRUPTED : 0) : cli_fail("train");
    training_close(t);
    tw_scope_end_all();
    return code;
}
