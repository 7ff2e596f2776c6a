/* The same training steps operation by operation and compiled: what fusing buys, and that it changes nothing. */
#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "capture/capture.h"
#include "cli/training.h"

enum { STEPS = 8, TIMED = 2 };

typedef struct side {
    const char *name;
    tw_tier tier;
    int steps;
    double loss[STEPS], ms; /* the median step, without the first */
    int64_t peak, stated;   /* bytes; stated: before the first compiled step ran; 0: not known */
    uint64_t kind_ns[TW_KINDS];
} side;

/* ---- the state to go back to ---- in memory of its own, so that it counts on neither side */

typedef struct snapshot {
    char *bytes;
    int64_t step, generator[2];
    uint64_t random;
} snapshot;

/* Weights and both moments, one after another. */
static tw_tensor *state_tensor(const training *t, int i)
{
    int n = t->model.parameters.count;
    return i < n       ? t->model.parameters.item[i].value
           : i < 2 * n ? t->optimiser.m[i - n]
           : i < 3 * n ? t->optimiser.v[i - 2 * n]
                       : NULL;
}

static size_t bytes_of(const tw_tensor *t)
{
    return (size_t)tw_numel(t) * tw_dtype_size(tw_tensor_dtype(t));
}

static tw_status take_snapshot(const training *t, snapshot *s)
{
    size_t total = 0;
    for (int i = 0; state_tensor(t, i); i++)
        total += bytes_of(state_tensor(t, i));
    *s = (snapshot){.bytes = tw_alloc(total), .step = t->optimiser.step, .random = t->random};
    tw_status status = s->bytes ? tw_generator_get(s->generator) : TW_ERR_MEMORY;
    char *at = s->bytes;
    for (int i = 0; status == TW_OK && state_tensor(t, i); i++) {
        tw_tensor *from = state_tensor(t, i);
        status = tw_copy_out(from, at, bytes_of(from));
        at += bytes_of(from);
    }
    return status;
}

static tw_status go_back(training *t, const snapshot *s)
{
    const char *at = s->bytes;
    bool grad = tw_set_grad_enabled(false);
    tw_status status = tw_generator_set(s->generator);
    tw_set_tier(TW_TIER_OPERATIONS);
    TW_SCOPE {
        for (int i = 0; status == TW_OK && state_tensor(t, i); i++) {
            tw_tensor *to = state_tensor(t, i);
            status = tw_assign(to, tw_from_data(at, tw_rank(to), tw_shape(to), tw_tensor_dtype(to)));
            at += bytes_of(to);
        }
        if (status == TW_OK)
            status = tw_sync();
    }
    tw_set_grad_enabled(grad);
    t->optimiser.step = s->step;
    t->random = s->random;
    return status;
}

/* ---- running ---- */

/* Called right before a compiled segment runs: the first time it says what memory will be needed. */
static void state_peak(void *user, const tw_segment_run *run, bool done)
{
    side *s = user;
    if (done || s->stated || !run->executable)
        return;
    s->stated = tw_capture_stated_peak();
    printf("before the first compiled step: it will need %.2f MB at its peak\n", (double)s->stated * 1e-6);
    fflush(stdout);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tw_status run_side(training *t, side *s, const volatile sig_atomic_t *stop)
{
    double ms[STEPS] = {0};
    tw_status status = TW_OK;
    tw_set_tier(s->tier);
    if (s->tier == TW_TIER_COMPILED)
        tw_capture_watch(state_peak, s);
    tw_tensor_peak_bytes(true);
    for (; s->steps < STEPS && !*stop && status == TW_OK; s->steps++) {
        uint64_t start = tw_os_now_ns();
        s->loss[s->steps] = training_step(t, &status);
        ms[s->steps] = (double)(tw_os_now_ns() - start) * 1e-6;
    }
    tw_capture_watch(NULL, NULL);
    s->peak = tw_tensor_peak_bytes(true);
    if (s->steps > 1)
        qsort(ms + 1, (size_t)s->steps - 1, sizeof *ms, by_size);
    s->ms = s->steps > 1 ? ms[s->steps / 2] : ms[0];
    tw_capture_kind_times(s->kind_ns); /* forget what was before */
    tw_runtime_timing(true);
    for (int i = 0; i < TIMED && !*stop && status == TW_OK; i++)
        training_step(t, &status);
    tw_runtime_timing(false);
    tw_capture_kind_times(s->kind_ns);
    return status;
}

/* ---- what was fused ---- */

typedef struct chain {
    int operations, launches, batches;
    const tw_plan_launch *launch; /* one of those that run it */
} chain;

static bool computes(const tw_op *op)
{
    return op->info->class != TW_CLASS_VIEW && op->info->class != TW_CLASS_CREATION;
}

/* "sub, mul, sum, ...": what a kernel computes, in order, as far as a line has room. */
static void print_operations(const tw_plan_launch *l, const tw_op *const *definition)
{
    enum { ROOM = 76 };
    int length = 0, same = 0;
    for (int i = 0; i < l->insides; i += same) {
        const tw_op *op = definition[l->inside[i]];
        char text[64];
        for (same = 1; i + same < l->insides && definition[l->inside[i + same]]->code == op->code;)
            same++;
        if (!computes(op))
            continue;
        int n = snprintf(text, sizeof text, same > 1 ? "%s%s x%d" : "%s%s", length ? ", " : "", op->info->name, same);
        if (length + n > ROOM) {
            printf(", ...");
            break;
        }
        length += printf("%s", text);
    }
    printf("\n");
}

static void find_chains(const tw_plan *plan, const tw_op *const *definition, chain longest[TW_KINDS], int *operations)
{
    for (int i = 0; i < plan->launches; i++) {
        const tw_plan_launch *l = &plan->launch[i];
        chain *c = &longest[plan->kernel[l->kernel].kind];
        int count = 0;
        for (int k = 0; k < l->insides; k++)
            count += computes(definition[l->inside[k]]);
        *operations += count;
        if (count > c->operations)
            *c = (chain){.operations = count, .launch = l};
    }
    for (int k = 0; k < TW_KINDS; k++)
        for (int i = 0, batch = -1; longest[k].launch && i < plan->launches; i++) {
            if (plan->launch[i].kernel != longest[k].launch->kernel)
                continue;
            longest[k].launches++;
            longest[k].batches += plan->launch[i].batch != batch;
            batch = plan->launch[i].batch;
        }
}

static tw_status say_fused(void)
{
    const tw_executable *e = tw_capture_last();
    tw_arena *a = tw_arena_create(0);
    const tw_op **definition = e && a ? tw_plan_definitions(e->plan, a) : NULL;
    chain longest[TW_KINDS] = {{0}};
    int operations = 0;
    if (!definition) {
        tw_arena_destroy(a);
        return TW_ERR_MEMORY;
    }
    find_chains(e->plan, definition, longest, &operations);
    printf(
        "\nwhat was fused: the %d operations of a step became %d kernels, run %d times in %d launches\n"
        "(ready after %.0f ms; %d of the kernels were kept on disk from an earlier run). One by one, every operation\n"
        "reads and writes memory; a kernel does all of its operations on what it has read before it writes.\n"
        "The longest kernel of each kind:\n",
        operations, e->plan->kernels, e->plan->launches, e->plan->batches,
        (double)tw_capture_statistics().compile_ns * 1e-6, e->from_cache);
    for (int k = 0; k < TW_KINDS; k++) {
        const chain *c = &longest[k];
        if (c->operations < 2)
            continue;
        printf("  %s: %d operations in one kernel, run ", tw_kernel_kind_name((tw_kernel_kind)k), c->operations);
        if (c->launches > 1)
            printf("%d times a step%s\n    ", c->launches, c->batches == 1 ? ", in one launch" : "");
        else
            printf("once a step\n    ");
        print_operations(c->launch, definition);
    }
    tw_arena_destroy(a);
    return TW_OK;
}

/* ---- saying it ---- */

static void say_losses(const side *a, const side *b)
{
    double worst = 0;
    printf("\n%6s %16s %16s %12s\n", "step", a->name, b->name, "difference");
    for (int i = 0; i < TW_MIN(a->steps, b->steps); i++) {
        double difference = fabs(a->loss[i] - b->loss[i]);
        worst = fmax(worst, difference);
        printf("%6d %16.6f %16.6f %12.1e\n", i + 1, a->loss[i], b->loss[i], difference);
    }
    printf("the losses agree within %.1e\n", worst);
}

static void say_speed(const training *t, const side *a, const side *b)
{
    const side *sides[] = {a, b};
    double tokens = (double)(t->batch * t->config.context) * 1e3;
    printf("\n%16s %12s %12s %12s\n", "", "ms a step", "tokens/s", "peak memory");
    for (int i = 0; i < 2; i++)
        printf("%-16s %12.2f %12.0f %9.2f MB%s", sides[i]->name, sides[i]->ms, tokens / sides[i]->ms,
               (double)sides[i]->peak * 1e-6, i == 0 ? "\n" : "");
    printf(" (stated %.2f MB: %+.1f %%)\n", (double)b->stated * 1e-6,
           b->stated ? 100 * ((double)b->peak / (double)b->stated - 1) : NAN);
    printf("compiled, a step is %.2f times as fast and takes %.2f times the memory\n", a->ms / b->ms,
           (double)b->peak / (double)a->peak);
    if (t->budget && b->peak > t->budget)
        printf("the memory budget of %.2f MB was not reached: this is the least that the step can take\n",
               (double)t->budget * 1e-6);
}

static void say_kinds(const side *a, const side *b)
{
    double sum[2] = {0};
    for (int k = 0; k < TW_KINDS; k++) {
        sum[0] += (double)a->kind_ns[k];
        sum[1] += (double)b->kind_ns[k];
    }
    printf("\n%-28s %24s %24s\n", "where the time goes, a step", a->name, b->name);
    for (int k = 0; k <= TW_KINDS; k++) {
        bool all = k == TW_KINDS;
        double x = all ? sum[0] : (double)a->kind_ns[k], y = all ? sum[1] : (double)b->kind_ns[k];
        printf("  %-26s %12.2f ms %6.1f %% %12.2f ms %6.1f %%\n",
               all ? "in kernels" : tw_kernel_kind_name((tw_kernel_kind)k), x * 1e-6 / TIMED,
               sum[0] > 0 ? 100 * x / sum[0] : 0, y * 1e-6 / TIMED, sum[1] > 0 ? 100 * y / sum[1] : 0);
    }
    printf(
        "A compiled kernel counts where its dearest operation does: what pointwise operations are left to do happens\n"
        "inside of the others, on values that are at hand. One by one, attention's products are matrix products.\n");
}

tw_status training_compare(training *t, const volatile sig_atomic_t *stop)
{
    side separate = {.name = "one by one", .tier = TW_TIER_EAGER},
         whole = {.name = "compiled", .tier = TW_TIER_COMPILED};
    snapshot start;
    tw_status status = take_snapshot(t, &start);
    if (status == TW_OK)
        printf("%d steps operation by operation (each runs by itself, at once), then the same steps compiled\n", STEPS);
    fflush(stdout);
    if (status == TW_OK)
        status = run_side(t, &separate, stop);
    tw_runtime_free();
    if (status == TW_OK)
        status = go_back(t, &start);
    if (status == TW_OK)
        status = run_side(t, &whole, stop);
    if (status == TW_OK && !*stop) {
        say_losses(&separate, &whole);
        say_speed(t, &separate, &whole);
        status = say_fused();
        say_kinds(&separate, &whole);
        printf("\n");
    }
    if (status == TW_OK)
        status = go_back(t, &start);
    tw_free(start.bytes);
    return status;
}
