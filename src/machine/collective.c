/* Collectives on a tree of tiers. Inside a tier the textbook forms hold (start-up alpha, rate B, n members, S bytes):
 *
 *     ring          all-reduce 2(n-1)/n S/B, all-gather and reduce-scatter half of it, plus the pipeline's fill
 *     tree          2 S/B, start-up grows with log2 n
 *     recursive     2 log2 n start-ups, 2(n-1)/n S/B (halving and doubling)
 *     in the switch (n+1)/n S/B: members send once and receive the sum
 *     all-to-all    (n-1)/n S/B, every member to every other
 *
 * Across tiers: reduce-scatter inside, the same again on what is left further out, all-gather back; so the links of an
 * outer tier carry 1/(members inside) of the bytes for each device. The cheapest algorithm is taken. */
#include "machine/cost.h"

#include <math.h>

const char *tw_collective_name(tw_collective c)
{
    static const char *const names[TW_COLLECTIVES] = {"all-reduce", "all-gather", "reduce-scatter",
                                                      "all-to-all", "broadcast",  "send"};
    return (unsigned)c < TW_COLLECTIVES ? names[c] : "unknown";
}

tw_group tw_group_of(const tw_machine *m, double members, double stride)
{
    tw_group g = {.members = m->tiers ? members : 1, .tiers = m->tiers};
    double inside = 1;
    for (int t = 0; t < m->tiers; t++) {
        double within = TW_MIN(members, TW_MAX(1.0, floor(m->tier[t].members / stride)));
        if (t == m->tiers - 1)
            within = members;
        g.size[t] = TW_MAX(1.0, within / inside);
        inside = TW_MAX(inside, within);
    }
    return g;
}

/* Constants of a tier's link, with what holds where none were measured. */
typedef struct link_constants {
    double rate, alpha, step, send, achieved, fill, fill_half, reduced;
} link_constants;

static double known(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

static link_constants constants_of(const tw_machine_tier *t)
{
    const tw_link *k = t->link;
    link_constants c = {.rate = t->rate / t->oversubscription};
    c.alpha = known(k ? k->alpha : NAN, 10e-6);
    c.step = known(k ? k->step : NAN, 0);
    c.send = known(k ? k->alpha_send : NAN, 10e-6);
    c.achieved = known(k ? k->achieved : NAN, 0.8);
    c.fill = known(k ? k->fill : NAN, 0);
    c.fill_half = known(k ? k->fill_half : NAN, 1e6);
    c.reduced = known(k ? k->achieved_reduced : NAN, c.achieved);
    return c;
}

/* Steps and traffic of topologies that are no crossbar: a ring and a torus reach neighbours only, which rings don't
 * mind; an all-to-all crosses the bisection. */
static double all_to_all_slowdown(const tw_machine_tier *t, double n)
{
    if (t->topology == TW_TOPOLOGY_RING)
        return TW_MAX(1.0, n / 4);
    if (t->topology == TW_TOPOLOGY_TORUS) {
        double longest = 1;
        for (int i = 0; i < t->dim_count; i++)
            longest = TW_MAX(longest, t->dims[i]);
        return TW_MAX(1.0, longest / 4);
    }
    return 1;
}

/* One pair of neighbours uses all of a device's links through a switch, but only its own where links are fixed. */
static double pair_rate(const tw_machine_tier *t, double rate, double n)
{
    if (t->topology == TW_TOPOLOGY_ALL_TO_ALL && t->size > 1)
        return rate / (t->size - 1) * TW_MAX(1.0, n - 1);
    return rate;
}

static double all_reduce(const tw_machine_tier *t, const link_constants *c, double n, double bytes, double rate,
                         double fill, tw_algorithm algorithm)
{
    double moved = (n - 1) / n * bytes, hop = t->hop_latency, steps = ceil(log2(n));
    double ring = c->alpha + 2 * (n - 1) * TW_MAX(c->step, hop) + 2 * moved / rate + fill;
    double tree = c->alpha + 2 * steps * TW_MAX(c->step, hop) + 2 * bytes / rate + 0.5 * fill;
    double recursive = c->alpha + 2 * steps * TW_MAX(c->step, hop) + 2 * moved / rate;
    double in_switch = c->alpha + 2 * hop + (n + 1) / n * bytes / (c->rate * c->reduced) + 0.3 * fill;
    bool switched =
        t->topology == TW_TOPOLOGY_SWITCH || t->topology == TW_TOPOLOGY_FAT_TREE || t->topology == TW_TOPOLOGY_RAIL;
    switch (algorithm) {
    case TW_ALGORITHM_RING:
        return ring;
    case TW_ALGORITHM_TREE:
        return tree;
    case TW_ALGORITHM_RECURSIVE:
        return recursive;
    case TW_ALGORITHM_SWITCH:
        return in_switch;
    case TW_ALGORITHM_AUTO:
        break;
    }
    double best = switched ? TW_MIN(ring, tree) : ring;
    return t->reduces && n > 4 ? TW_MIN(best, in_switch) : best;
}

/* `bytes`: what each member holds of the result; all-to-all: what leaves the tier inside this one. */
static double one_tier(const tw_machine_tier *t, tw_collective what, double n, double bytes, tw_algorithm algorithm)
{
    link_constants c = constants_of(t);
    double rate = pair_rate(t, c.rate, n) * c.achieved, hop = t->hop_latency, moved = (n - 1) / n * bytes;
    double fill = c.fill * (n - 1) / rate * bytes / (bytes + c.fill_half);
    switch (what) {
    case TW_ALL_REDUCE:
        return all_reduce(t, &c, n, bytes, rate, fill, algorithm);
    case TW_ALL_GATHER:
    case TW_REDUCE_SCATTER:
        return c.alpha + (n - 1) * TW_MAX(c.step, hop) + moved / rate + 0.5 * fill;
    case TW_ALL_TO_ALL:
        return c.alpha + hop + bytes / rate * all_to_all_slowdown(t, n);
    case TW_BROADCAST:
        return c.alpha + ceil(log2(n)) * hop + bytes / rate;
    case TW_SEND:
        return c.send + hop + bytes / rate;
    case TW_COLLECTIVES:
        break;
    }
    return 0;
}

static bool outermost(const tw_group *g, int tier)
{
    for (int t = tier + 1; t < g->tiers; t++)
        if (g->size[t] > 1)
            return false;
    return true;
}

double tw_collective_time(const tw_machine *m, const tw_group *g, tw_collective what, double bytes,
                          tw_algorithm algorithm)
{
    double time = 0, inside = 1, left = bytes;
    if (g->members <= 1 || !(bytes > 0))
        return 0;
    for (int t = 0; t < g->tiers; t++) {
        double n = g->size[t];
        const tw_machine_tier *tier = &m->tier[t];
        if (n <= 1)
            continue;
        bool last = outermost(g, t);
        if (what == TW_ALL_REDUCE) { /* stages of different tiers overlap chunk by chunk: the slower one is seen */
            double stage = last ? one_tier(tier, what, n, left, algorithm)
                                : one_tier(tier, TW_REDUCE_SCATTER, n, left, algorithm) +
                                      one_tier(tier, TW_ALL_GATHER, n, left, algorithm);
            time = TW_MAX(time, stage);
        } else if (what == TW_ALL_TO_ALL) { /* tiers work side by side */
            double leaving = bytes * ((last ? g->members : inside * n) - inside) / g->members;
            if (!last) /* what goes further out leaves by this tier's links too, unless they are of the innermost one */
                leaving = t ? bytes * (g->members - inside) / g->members : leaving;
            time = TW_MAX(time, one_tier(tier, what, n, leaving, algorithm));
        } else if (what == TW_SEND) { /* by the outermost tier that lies between */
            time = one_tier(tier, what, n, bytes, algorithm);
        } else if (what == TW_BROADCAST) {
            time += one_tier(tier, what, n, bytes, algorithm);
        } else {
            double stage = one_tier(tier, what, n, left, algorithm);
            time = TW_MAX(time, stage);
        }
        left /= n;
        inside *= n;
    }
    return time;
}

void tw_collective_bytes(const tw_group *g, tw_collective what, double bytes, double on_tier[TW_TIERS])
{
    double inside = 1;
    for (int t = 0; t < g->tiers; t++) {
        double n = g->size[t];
        if (n <= 1)
            continue;
        if (what == TW_ALL_REDUCE)
            on_tier[t] += 2 * (n - 1) / n * bytes / inside;
        else if (what == TW_ALL_GATHER || what == TW_REDUCE_SCATTER)
            on_tier[t] += (n - 1) / n * bytes / inside;
        else if (what == TW_ALL_TO_ALL)
            on_tier[t] += (inside * n - inside) / g->members * bytes;
        else if (what == TW_BROADCAST || outermost(g, t))
            on_tier[t] += bytes;
        inside *= n;
    }
}
