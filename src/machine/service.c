/* Every instance size and load is tried: there are few of them. */
#include "machine/service.h"

#include <math.h>

#include "machine/internal.h"

typedef struct trial {
    tw_planner *p;
    const tw_search_space *space;
    const tw_service *service;
    tw_service_plan *best;
    int *count;
    bool fits; /* anything did */
} trial;

static void keep(trial *x, const tw_service_plan *plan)
{
    int at = *x->count, most = TW_MIN((int)TW_SERVICE_MOST, TW_MAX(1, x->space->keep));
    if (at == most && plan->score >= x->best[at - 1].score)
        return;
    at -= at == most;
    for (; at > 0 && x->best[at - 1].score > plan->score; at--)
        x->best[at] = x->best[at - 1];
    x->best[at] = *plan;
    *x->count = TW_MIN(*x->count + 1, most);
}

/* What a million tokens cost at `tokens_per_second` of one instance, drawing what the pass draws. */
static void price(const trial *x, tw_service_plan *plan, double tokens_per_second)
{
    tw_step pass = plan->serving.pass;
    double joules = tw_step_joules(x->p, x->space, &pass, plan->devices) / TW_MAX(pass.time, 1e-12); /* W */
    plan->joules = joules * 1e6 / tokens_per_second;
    plan->dollars = plan->devices * x->space->rent * 1e6 / tokens_per_second + plan->joules * x->space->electricity;
    plan->tokens_per_second = tokens_per_second * plan->instances;
}

static double score(const trial *x, const tw_service_plan *plan)
{
    switch (x->space->objective) {
    case TW_OBJECTIVE_MONEY:
        return plan->dollars;
    case TW_OBJECTIVE_ENERGY:
        return plan->joules;
    default:
        return x->service->prompts_only ? plan->serving.prefill : -plan->tokens_per_second;
    }
}

static tw_status try_prompts(trial *x, tw_service_plan *plan)
{
    double batch = TW_MAX(1.0, x->service->sequences);
    TW_TRY(tw_planner_pass(x->p, &plan->strategy, batch, x->service->input, 0, &plan->serving.pass));
    plan->serving.prefill = plan->serving.latency = plan->serving.pass.time;
    plan->serving.concurrency = batch;
    plan->serving.memory = plan->serving.pass.memory;
    if (plan->serving.memory.total > plan->serving.memory.capacity)
        return TW_OK;
    x->fits = true;
    plan->serving.tokens_per_second = batch * x->service->input / plan->serving.prefill;
    price(x, plan, plan->serving.tokens_per_second);
    plan->score = score(x, plan);
    keep(x, plan);
    return TW_OK;
}

static tw_status try_loads(trial *x, tw_service_plan *plan)
{
    const tw_service *v = x->service;
    double most = TW_MIN(tw_planner_most_sequences(x->p, &plan->strategy, v->input, v->output), 8192.0);
    for (double n = v->sequences > 0 ? v->sequences : 1; n <= most; n = n < most ? TW_MIN(2 * n, most) : most + 1) {
        TW_TRY(tw_planner_serve(x->p, &plan->strategy, v->input, v->output, n, &plan->serving));
        x->fits = true;
        if (!(v->slowest > 0 && plan->serving.token > v->slowest)) {
            price(x, plan, plan->serving.tokens_per_second);
            plan->score = score(x, plan);
            keep(x, plan);
        }
        if (v->sequences > 0)
            break;
    }
    return TW_OK;
}

static tw_status try_instance(trial *x, int tensor, int pipeline, int expert)
{
    tw_service_plan plan = {.strategy = {.tensor = tensor,
                                         .pipeline = pipeline,
                                         .chunks = 1,
                                         .data = 1,
                                         .context = 1,
                                         .expert = expert,
                                         .micro_batch = 1,
                                         .schedule = TW_SCHEDULE_1F1B},
                            .devices = (double)tensor * pipeline};
    plan.instances = floor((x->space->devices > 0 ? x->space->devices : x->p->machine->devices) / plan.devices);
    if (plan.instances < 1)
        return TW_OK;
    return x->service->prompts_only ? try_prompts(x, &plan) : try_loads(x, &plan);
}

static bool allowed(int fixed, int value)
{
    return fixed <= 0 || fixed == value;
}

tw_status tw_search_service(tw_planner *p, const tw_search_space *space, const tw_service *service,
                            tw_service_plan best[TW_SERVICE_MOST], int *count)
{
    const tw_model *m = p->work.model;
    trial x = {.p = p, .space = space, .service = service, .best = best, .count = count};
    double devices = space->devices > 0 ? space->devices : p->machine->devices;
    *count = 0;
    if (!(service->input >= 1) || !(service->output >= 1) || service->input > 1e9 || service->output > 1e9)
        return tw_error(TW_ERR_VALUE, "serving: %g tokens in, %g out; expected 1 to 1e9", service->input,
                        service->output);
    for (int t = 1; t <= m->heads && t <= devices && t <= 256; t++) {
        if (fmod(m->heads, t) != 0 || !allowed(space->fixed.tensor, t))
            continue;
        for (int s = 1; s <= m->layers && (double)t * s <= devices && s <= 32; s++) {
            if (fmod(m->layers, s) != 0 || !allowed(space->fixed.pipeline, s))
                continue;
            for (int e = 1; e <= t; e = e < t ? t : t + 1)
                if (allowed(space->fixed.expert, e) && (e == 1 || (m->experts > 0 && fmod(m->experts, e) == 0)))
                    TW_TRY(try_instance(&x, t, s, e));
        }
    }
    if (*count)
        return TW_OK;
    if (x.fits)
        return tw_error(TW_ERR_VALUE, "no way of serving %s on %s gives a token in %g ms", m->item.name,
                        p->machine->item.name, service->slowest * 1e3);
    tw_strategy one = {.tensor = 1, .pipeline = 1, .chunks = 1, .data = 1, .context = 1, .expert = 1, .micro_batch = 1};
    tw_memory_use use = tw_planner_memory(p, &one);
    return tw_error(
        TW_ERR_VALUE,
        "%s cannot be served on %g x %s: its weights take %.1f GiB, a device holds %.1f GiB; use more devices or "
        "a narrower type",
        m->item.name, devices, p->machine->chip->item.name, use.weights / 1073741824, use.capacity / 1073741824);
}
