/* Sensitivities by trying: copies of the machine with one number changed, the same plan timed again, and a new search.
 */
#include "machine/advice.h"

#include <math.h>

/* A machine that may be changed, and all that it points to. */
typedef struct copy {
    tw_machine machine;
    tw_chip chip, host;
    tw_link link[TW_TIERS];
} copy;

static void copy_machine(copy *c, const tw_machine *from)
{
    c->machine = *from;
    c->chip = *from->chip;
    c->machine.chip = &c->chip;
    if (c->chip.host) {
        c->host = *c->chip.host;
        c->chip.host = &c->host;
    }
    for (int t = 0; t < from->tiers; t++)
        if (from->tier[t].link) {
            c->link[t] = *from->tier[t].link;
            c->machine.tier[t].link = &c->link[t];
        }
}

static void describe(tw_upgrade *u, const char *name, double now, tw_dimension dimension)
{
    snprintf(u->name, sizeof u->name, "%s", name);
    tw_quantity_text(now, dimension, u->now, sizeof u->now);
}

/* Changes one number by `factor`; false: the machine has none of that kind. */
static bool change(copy *c, tw_upgrade_kind kind, int tier, double factor, tw_upgrade *u)
{
    char name[80];
    tw_machine_tier *t = &c->machine.tier[tier];
    tw_link *k = &c->link[tier];
    switch (kind) {
    case TW_UPGRADE_PEAK:
        describe(u, "peak of the matrix engine", c->chip.peak[TW_PEAK_BF16], TW_DIM_FLOP_RATE);
        for (int p = 0; p < TW_PEAKS; p++)
            c->chip.peak[p] *= factor;
        return true;
    case TW_UPGRADE_MEMORY_RATE:
        describe(u, "memory bandwidth", c->chip.memory_bandwidth, TW_DIM_BYTE_RATE);
        c->chip.memory_bandwidth *= factor;
        return !isnan(c->chip.memory_bandwidth);
    case TW_UPGRADE_MEMORY_SIZE:
        describe(u, "memory capacity", c->chip.memory_bytes, TW_DIM_BYTES);
        c->chip.memory_bytes *= factor;
        return !isnan(c->chip.memory_bytes);
    case TW_UPGRADE_HOST:
        describe(u, "speed of the host's cores", c->host.speed, TW_DIM_NONE);
        c->host.speed *= factor;
        return c->chip.host && !isnan(c->host.speed);
    case TW_UPGRADE_HOST_LINK:
        describe(u, "bandwidth to the host", c->chip.host_bandwidth, TW_DIM_BYTE_RATE);
        c->chip.host_bandwidth *= factor;
        return !isnan(c->chip.host_bandwidth);
    case TW_UPGRADE_TIER_RATE:
        snprintf(name, sizeof name, "bandwidth of tier %.40s", t->item.name);
        describe(u, name, t->rate, TW_DIM_BYTE_RATE);
        t->rate *= factor;
        return true;
    case TW_UPGRADE_TIER_LATENCY:
        snprintf(name, sizeof name, "latency of tier %.40s", t->item.name);
        describe(u, name, t->link && !isnan(k->alpha) ? k->alpha : t->hop_latency, TW_DIM_TIME);
        t->hop_latency /= factor;
        k->alpha /= factor;
        k->step /= factor;
        k->alpha_send /= factor;
        return true;
    default:
        return false;
    }
}

/* Step time of `s` on the changed machine, or of the best plan there. */
static tw_status time_on(const copy *c, const tw_planner *p, const tw_fit *fit, const tw_search_space *space,
                         const tw_strategy *s, tw_search_result *found, double *time)
{
    tw_planner q;
    tw_step step;
    TW_TRY(tw_planner_create(&q, &c->machine, &p->work, fit));
    tw_status status = s ? tw_planner_train(&q, s, &step) : tw_search(&q, space, found);
    if (status == TW_OK)
        *time = s ? step.time : found->best[0].step.time;
    tw_planner_destroy(&q);
    return status;
}

static tw_status assess(const tw_planner *p, const tw_search_space *space, const tw_candidate *best, const tw_fit *fit,
                        tw_upgrade_kind kind, int tier, tw_search_result *found, tw_upgrade *u)
{
    copy little, much;
    double more, twice;
    copy_machine(&little, p->machine);
    copy_machine(&much, p->machine);
    *u = (tw_upgrade){.twice = NAN};
    if (!change(&much, kind, tier, 2, u) || !change(&little, kind, tier, 1.01, u))
        return TW_OK;
    TW_TRY(time_on(&little, p, fit, space, &best->strategy, found, &more));
    TW_TRY(time_on(&much, p, fit, space, NULL, found, &twice));
    u->elasticity = (more / best->step.time - 1) / 0.01;
    u->twice = twice / best->step.time;
    return TW_OK;
}

tw_status tw_upgrades(const tw_planner *p, const tw_search_space *space, const tw_candidate *best, const tw_fit *fit,
                      tw_upgrade out[TW_UPGRADE_MOST], int *count)
{
    tw_search_result *found = tw_alloc(sizeof *found);
    tw_search_space one = *space;
    tw_status status = found ? TW_OK : TW_ERR_MEMORY;
    one.keep = 1;
    *count = 0;
    for (int k = 0; k < TW_UPGRADES && status == TW_OK; k++) {
        int tiers = k == TW_UPGRADE_TIER_RATE || k == TW_UPGRADE_TIER_LATENCY ? p->machine->tiers : 1;
        for (int t = 0; t < tiers && status == TW_OK; t++) {
            tw_upgrade u;
            status = assess(p, &one, best, fit, (tw_upgrade_kind)k, t, found, &u);
            if (status != TW_OK || isnan(u.twice))
                continue;
            int at = (*count)++;
            for (; at > 0 && out[at - 1].twice > u.twice; at--)
                out[at] = out[at - 1];
            out[at] = u;
        }
    }
    tw_free(found);
    return status;
}
