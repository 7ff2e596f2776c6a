/* Watching a step run.
 *
 * A pass is one run of the step. The first notes which segments there are and what they need; further ones note when
 * each thread worked on each launch, which makes nobody wait. The sequence of segments is taken to be that of the first
 * pass; where a later one differs, what differs is left out. */
#include <stdlib.h>

#include "base/os.h"
#include "explain/explain.h"
#include "tilewright/tensor.h"

typedef struct collector {
    tw_explanation *e; /* being made; NULL: nobody watches */
    bool first;
    int sample; /* -1: launches are not timed in this pass */
    size_t run; /* which of the pass */
    tw_status status;
} collector;

static collector now;

static void fail(collector *c)
{
    c->status = TW_ERR_MEMORY;
}

static explained_plan *find_plan(const tw_explanation *e, const tw_executable *executable, int *number)
{
    for (size_t i = 0; i < e->plans.count; i++) {
        if (e->plans.data[i]->executable != executable)
            continue;
        *number = (int)i;
        return e->plans.data[i];
    }
    return NULL;
}

/* ---- before a segment runs ---- */

static int operations_of(const tw_segment_run *run)
{
    int count = 0;
    if (!run->graph) {
        for (int l = 0; run->executable && l < run->executable->plan->launches; l++)
            count += run->executable->plan->launch[l].insides;
        return count;
    }
    tw_for_each_op (op, run->graph->body)
        count += op->info->level != TW_LEVEL_STRUCTURE;
    return count;
}

static void note_run(collector *c, const tw_segment_run *run)
{
    tw_explanation *e = c->e;
    explained_run r = {.plan = -1, .operations = operations_of(run), .compile_ns = run->compile_ns};
    if (run->executable && !find_plan(e, run->executable, &r.plan)) {
        r.plan = (int)e->plans.count;
        if (!explain_adopt(e, run))
            fail(c);
    }
    r.reason = tw_arena_text(e->arena, "%s", run->reason ? run->reason : "the program");
    if (!r.reason || !tw_vec_push(&e->runs, r))
        fail(c);
}

/* What the memory will be at its peak, said before anything runs. */
static void state_peak(tw_explanation *e, const tw_segment_run *run)
{
    int64_t kept = tw_runtime_bytes(), held = tw_tensor_bytes() - kept;
    if (run->executable) {
        int64_t needed = run->executable->plan->arena_bytes + tw_execute_scratch(run->executable);
        e->stated_bytes = TW_MAX(e->stated_bytes, held + TW_MAX(needed, kept));
    }
    if (!run->graph || e->separate_stated_bytes < 0) {
        e->separate_stated_bytes = -1; /* a compiled function's operations are not recorded again */
        return;
    }
    int64_t separate = explain_separate_bytes(run->graph, run->io);
    e->separate_stated_bytes = separate < 0 ? -1 : TW_MAX(e->separate_stated_bytes, held + separate);
}

static void before(collector *c, const tw_segment_run *run)
{
    if (!c->first)
        return;
    note_run(c, run);
    state_peak(c->e, run);
}

/* ---- after it ran ---- */

static const tw_launch_span *span_of(const tw_executable *e, int launch, int thread)
{
    return &e->span[launch * e->span_threads + thread];
}

static double busy_ns(const tw_executable *e, int launch)
{
    double ns = 0;
    for (int t = 0; t < e->span_threads; t++)
        if (span_of(e, launch, t)->programs)
            ns += (double)(span_of(e, launch, t)->end - span_of(e, launch, t)->start);
    return ns;
}

/* A batch takes from the end of the one before to its own, with what its threads waited for each other; its launches,
 * which ran at the same time, share that by how busy they kept the threads. So all of them add up to the run. */
static void note_times(const tw_executable *e, double *ns)
{
    uint64_t since = UINT64_MAX, until = 0;
    for (int t = 0; t < e->span_threads && e->plan->launches; t++)
        since = TW_MIN(since, span_of(e, 0, t)->start);
    for (int first = 0, last; first < e->plan->launches; first = last) {
        double busy = 0;
        for (last = first; last < e->plan->launches && e->plan->launch[last].batch == e->plan->launch[first].batch;
             last++) {
            busy += busy_ns(e, last);
            for (int t = 0; t < e->span_threads; t++)
                until = TW_MAX(until, span_of(e, last, t)->end);
        }
        for (int l = first; l < last; l++)
            ns[l] += (double)(until - since) * (busy > 0 ? busy_ns(e, l) / busy : 1.0 / (last - first));
        since = until;
    }
}

static void note_spans(collector *c, const tw_executable *executable, explained_run *r)
{
    r->threads = executable->span_threads;
    c->e->plans.data[r->plan]->threads = r->threads;
    r->span = tw_arena_copy(c->e->arena, executable->span,
                            (size_t)(executable->plan->launches * r->threads + 1) * sizeof *r->span);
    if (!r->span)
        fail(c);
}

static void after(collector *c, const tw_segment_run *run)
{
    int number = -1;
    explained_plan *p = run->executable ? find_plan(c->e, run->executable, &number) : NULL;
    explained_run *r = c->run < c->e->runs.count ? &c->e->runs.data[c->run] : NULL;
    if (p && c->sample >= 0 && run->executable->span)
        note_times(run->executable, p->sample[c->sample]);
    if (r && r->plan == number) {
        r->start = run->start;
        r->end = run->end;
        if (p && c->sample >= 0 && run->executable->span)
            note_spans(c, run->executable, r);
    }
    c->run++;
}

static void look(void *user, const tw_segment_run *run, bool done)
{
    collector *c = user;
    if (c->status == TW_OK)
        (done ? after : before)(c, run);
}

/* ---- passes ---- */

static void begin_pass(collector *c, bool first, int sample)
{
    c->first = first;
    c->sample = sample;
    c->run = 0;
    tw_runtime_spans(sample >= 0);
    tw_capture_watch(look, c);
    c->e->begun = tw_os_now_ns();
}

static void end_pass(collector *c)
{
    c->e->ended = tw_os_now_ns();
    if (c->sample >= 0)
        c->e->sample_ns[c->sample] = (double)(c->e->ended - c->e->begun);
    tw_capture_watch(NULL, NULL);
    tw_runtime_spans(false);
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : n ? (x[n / 2 - 1] + x[n / 2]) / 2 : 0;
}

/* Medians of each launch, and of what a step takes beside its launches; so the parts add up to the step. */
static void summarise(tw_explanation *e)
{
    double rest[MOST_SAMPLES];
    memcpy(rest, e->sample_ns, sizeof rest);
    for (size_t i = 0; i < e->plans.count; i++) {
        explained_plan *p = e->plans.data[i];
        for (int l = 0; l < p->launches; l++) {
            double sample[MOST_SAMPLES];
            for (int k = 0; k < e->samples; k++) {
                sample[k] = p->sample[k][l];
                rest[k] -= sample[k];
            }
            p->launch[l].ns = median(sample, e->samples);
            e->kind_ns[p->launch[l].kind] += p->launch[l].ns;
            e->step_ns += p->launch[l].ns;
        }
    }
    e->step_ns += median(rest, e->samples);
    explain_apply_limits(e);
}

void tw_explanation_free(tw_explanation *e)
{
    if (!e)
        return;
    tw_vec_free(&e->plans);
    tw_vec_free(&e->runs);
    tw_arena_destroy(e->arena);
    tw_free(e);
}

static tw_status open_collector(collector *c)
{
    *c = (collector){.e = tw_alloc_zero(1, sizeof *c->e), .sample = -1};
    if (!c->e)
        return TW_ERR_MEMORY;
    c->e->arena = tw_arena_create(0);
    if (c->e->arena)
        return TW_OK;
    tw_free(c->e);
    c->e = NULL;
    return TW_ERR_MEMORY;
}

/* The machine as it is now: measured anew after a second. */
static tw_status measure(tw_limits *limits)
{
    static tw_limits recent;
    static uint64_t taken;
    if (!taken || tw_os_now_ns() - taken > 1000000000u || recent.threads != tw_num_threads()) {
        TW_TRY(tw_limits_measure(&recent));
        taken = tw_os_now_ns();
    }
    *limits = recent;
    return TW_OK;
}

/* ---- the program's own last step ---- */

tw_status tw_explain_begin(void)
{
    if (now.e)
        return tw_error(TW_ERR_VALUE, "explain: begun twice; expected tw_explain_end first");
    TW_TRY(open_collector(&now));
    now.e->samples = 1;
    now.e->separate_measured_bytes = -1;
    tw_tensor_peak_bytes(true);
    begin_pass(&now, true, 0);
    return TW_OK;
}

tw_explanation *tw_explain_end(void)
{
    tw_explanation *e = now.e;
    if (!e) {
        tw_error(TW_ERR_VALUE, "explain: ended, but not begun");
        return NULL;
    }
    end_pass(&now);
    now.e = NULL;
    e->measured_bytes = tw_tensor_peak_bytes(false);
    tw_status status = now.status == TW_OK ? measure(&e->limits) : now.status;
    if (status == TW_OK)
        summarise(e);
    if (status == TW_OK)
        return e;
    tw_explanation_free(e);
    return NULL;
}

/* ---- a step that can be run again ---- */

static tw_status pass(collector *c, tw_explained_step *step, void *user, bool first, int sample)
{
    begin_pass(c, first, sample);
    tw_status status = step(user);
    end_pass(c);
    return status == TW_OK ? c->status : status;
}

static tw_status look_at_compiled(collector *c, tw_explained_step *step, void *user)
{
    tw_explanation *e = c->e;
    TW_TRY(step(user)); /* compiles */
    tw_tensor_peak_bytes(true);
    TW_TRY(pass(c, step, user, true, -1));
    e->measured_bytes = tw_tensor_peak_bytes(false);
    TW_TRY(measure(&e->limits));
    for (e->samples = 0; e->samples < MOST_SAMPLES; e->samples++)
        TW_TRY(pass(c, step, user, false, e->samples));
    return TW_OK;
}

static tw_status look_at_separate(collector *c, tw_explained_step *step, void *user)
{
    tw_explanation *e = c->e;
    uint64_t ns[TW_KINDS];
    tw_runtime_free();
    TW_TRY(step(user)); /* compiles each operation, after which the memory that they need is known */
    if (e->separate_stated_bytes >= 0)
        e->separate_stated_bytes += tw_runtime_bytes();
    tw_tensor_peak_bytes(true);
    uint64_t start = tw_os_now_ns();
    TW_TRY(step(user));
    e->separate_ns = (double)(tw_os_now_ns() - start);
    e->separate_measured_bytes = tw_tensor_peak_bytes(false);
    tw_capture_kind_times(ns); /* forget what was before */
    tw_runtime_timing(true);
    tw_status status = step(user);
    tw_runtime_timing(false);
    tw_capture_kind_times(ns);
    for (int k = 0; k < TW_KINDS; k++)
        e->separate_kind_ns[k] = (double)ns[k];
    e->compared = true;
    return status;
}

tw_explanation *tw_explain_step(tw_explained_step *step, void *user)
{
    collector c;
    tw_tier tier = tw_get_tier();
    if (open_collector(&c) != TW_OK)
        return NULL;
    tw_set_tier(TW_TIER_COMPILED);
    tw_status status = look_at_compiled(&c, step, user);
    tw_set_tier(TW_TIER_OPERATIONS);
    if (status == TW_OK)
        status = look_at_separate(&c, step, user);
    tw_set_tier(tier);
    if (status == TW_OK) {
        summarise(c.e);
        return c.e;
    }
    tw_explanation_free(c.e);
    return NULL;
}

/* ---- forms ---- */

char *tw_explain_text(const tw_explanation *e, tw_explain_form form, const char *title)
{
    static tw_status (*const forms[TW_EXPLAIN_FORMS])(const tw_explanation *, const char *, tw_text *) = {
        explain_table, explain_tsv, explain_page, explain_trace, explain_graphviz};
    tw_text text = {0};
    if ((unsigned)form >= TW_EXPLAIN_FORMS) {
        tw_error(TW_ERR_VALUE, "explain: form %d; expected 0 to %d", (int)form, TW_EXPLAIN_FORMS - 1);
        return NULL;
    }
    tw_text_add(&text, "%s", "");
    tw_status status = forms[form](e, title ? title : "a step", &text);
    if (status == TW_OK && text.data && !text.failed)
        return text.data;
    tw_text_free(&text);
    if (status == TW_OK)
        tw_error(TW_ERR_MEMORY, "explain: out of memory");
    return NULL;
}
