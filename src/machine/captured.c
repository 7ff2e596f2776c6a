/* From what `explain` saw to launches, and from launches to seconds on a chip. */
#include "machine/captured.h"

#include <math.h>
#include <time.h>

#include "base/os.h"
#include "explain/explain.h"

static double least(const double *x, int n)
{
    double low = INFINITY;
    for (int i = 0; i < n; i++)
        low = TW_MIN(low, x[i]);
    return low;
}

enum { MOST_TIMES = 32 };

/* ---- launches of one explanation ---- */

static int count_launches(const tw_explanation *e)
{
    int count = 0;
    for (size_t i = 0; i < e->runs.count; i++)
        count += e->runs.data[i].plan >= 0 ? e->plans.data[e->runs.data[i].plan]->launches : 0;
    return count;
}

/* In the order in which they ran; a segment that ran twice counts twice. */
static void copy_launches(const tw_explanation *e, tw_captured *c)
{
    c->launches = 0;
    for (size_t i = 0; i < e->runs.count; i++) {
        const explained_run *r = &e->runs.data[i];
        c->operations += r->operations;
        if (r->plan < 0)
            continue;
        const explained_plan *p = e->plans.data[r->plan];
        for (int l = 0; l < p->launches; l++) {
            const explained_launch *from = &p->launch[l];
            c->launch[c->launches++] = (tw_captured_launch){.kind = (int)from->kind,
                                                            .flops = (double)from->flops,
                                                            .bytes = (double)(from->bytes_read + from->bytes_written),
                                                            .programs = (double)from->programs};
        }
    }
    c->peak_bytes = (double)e->stated_bytes;
}

static void copy_times(const tw_explanation *e, int launches, double *seconds, int sample, int samples)
{
    int at = 0;
    for (size_t i = 0; i < e->runs.count; i++) {
        const explained_run *r = &e->runs.data[i];
        for (int l = 0; r->plan >= 0 && l < e->plans.data[r->plan]->launches && at < launches; l++)
            seconds[at++ * samples + sample] = e->plans.data[r->plan]->launch[l].ns * 1e-9;
    }
}

/* ---- runs ---- */

static tw_status look_on(tw_explained_step *step, void *user, tw_explanation **e)
{
    *e = NULL;
    TW_TRY(tw_explain_begin());
    tw_status status = step(user);
    *e = tw_explain_end();
    return status != TW_OK ? status : *e ? TW_OK : tw_error_code();
}

static tw_status watch(tw_explained_step *step, void *user, int times, tw_captured *c)
{
    tw_explanation *e;
    double *seconds = NULL, rest[MOST_TIMES];
    tw_status status = TW_OK;
    for (int i = 0; i < times && status == TW_OK; i++) {
        status = look_on(step, user, &e);
        if (status == TW_OK && i == 0) {
            int count = count_launches(e);
            c->launch = tw_alloc_zero((size_t)count + 1, sizeof *c->launch);
            seconds = tw_alloc_zero((size_t)count * (size_t)times + 1, sizeof *seconds);
            if (c->launch && seconds)
                copy_launches(e, c);
            else
                status = TW_ERR_MEMORY;
        }
        if (status == TW_OK && !c->launches)
            status = tw_error(TW_ERR_VALUE, "the step ran operation by operation; expected it compiled: TW_LOG=guards "
                                            "says why it is not");
        if (status == TW_OK && count_launches(e) != c->launches)
            status = tw_error(TW_ERR_VALUE, "the step ran %d launches, then %d; expected the same ones each time",
                              c->launches, count_launches(e));
        if (status == TW_OK) {
            copy_times(e, c->launches, seconds, i, times);
            rest[i] = (double)(e->ended - e->begun) * 1e-9;
            for (int l = 0; l < c->launches; l++)
                rest[i] -= seconds[l * times + i];
        }
        tw_explanation_free(e);
    }
    for (int l = 0; l < c->launches && status == TW_OK; l++)
        c->launch[l].seconds = least(seconds + l * times, times);
    if (status == TW_OK)
        c->rest = TW_MAX(0.0, least(rest, times));
    tw_free(seconds);
    return status;
}

static tw_status clock_steps(tw_explained_step *step, void *user, int times, tw_captured *c)
{
    double sample[MOST_TIMES], processor[MOST_TIMES];
    for (int i = 0; i < times; i++) {
        uint64_t start = tw_os_now_ns();
        clock_t worked = clock();
        TW_TRY(step(user));
        sample[i] = (double)(tw_os_now_ns() - start) * 1e-9;
        processor[i] = (double)(clock() - worked) / CLOCKS_PER_SEC;
    }
    c->seconds = least(sample, times);
    c->processor = least(processor, times);
    return TW_OK;
}

tw_status tw_capture_work(tw_explained_step *step, void *user, int times, tw_captured *c)
{
    tw_tier tier = tw_get_tier();
    *c = (tw_captured){0};
    times = TW_MAX(1, TW_MIN(times, (int)MOST_TIMES));
    tw_set_tier(TW_TIER_COMPILED);
    tw_status status = step(user); /* compiles */
    if (status == TW_OK)
        status = step(user);
    if (status == TW_OK)
        status = clock_steps(step, user, times, c);
    if (status == TW_OK)
        status = watch(step, user, times, c);
    tw_set_tier(tier);
    if (status != TW_OK)
        tw_captured_free(c);
    return status;
}

void tw_captured_free(tw_captured *c)
{
    tw_free(c->launch);
    *c = (tw_captured){0};
}

/* ---- on a chip ---- */

static double launch_time(const tw_captured_launch *l, const tw_device *d, tw_peak type)
{
    double rate = l->kind == TW_KIND_NORM_SOFTMAX ? d->norm : d->stream, memory = d->fit->ramp + l->bytes / rate;
    bool products = l->kind == TW_KIND_MATMUL || l->kind == TW_KIND_ATTENTION;
    /* What is no product runs at the rate of vector units: a sixteenth of the engine's, as on A100 and H100. */
    double peak = products ? d->matrix[type] : d->matrix[TW_PEAK_BF16] / 16;
    if (l->kind == TW_KIND_ATTENTION)
        peak *= d->fit->attention_forward / d->fit->mma_16;
    return d->fit->gap + TW_MAX(memory, l->flops / peak);
}

double tw_captured_time(const tw_captured *c, const tw_device *d, tw_peak type, double kinds[TW_KINDS])
{
    double all = 0;
    for (int k = 0; kinds && k < TW_KINDS; k++)
        kinds[k] = 0;
    for (int i = 0; i < c->launches; i++) {
        double time = launch_time(&c->launch[i], d, type);
        all += time;
        if (kinds)
            kinds[c->launch[i].kind] += time;
    }
    return all;
}
