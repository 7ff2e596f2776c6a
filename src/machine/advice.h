/* What a faster part would be worth: the step with one number of the machine changed. */
#ifndef TW_MACHINE_ADVICE_H
#define TW_MACHINE_ADVICE_H

#include "machine/search.h"

typedef enum {
    TW_UPGRADE_PEAK,
    TW_UPGRADE_MEMORY_RATE,
    TW_UPGRADE_MEMORY_SIZE,
    TW_UPGRADE_HOST,      /* speed of the host's cores */
    TW_UPGRADE_HOST_LINK, /* what offloaded state moves over */
    TW_UPGRADE_TIER_RATE, /* of one tier's links */
    TW_UPGRADE_TIER_LATENCY,
    TW_UPGRADES
} tw_upgrade_kind;

typedef struct tw_upgrade {
    char name[80], now[48]; /* "bandwidth of tier node", "450 GB/s" */
    double elasticity;      /* percent of the step's time for each percent of the number, the plan unchanged */
    double twice;           /* step time with twice the number (half the latency), planned anew, over today's */
} tw_upgrade;

enum { TW_UPGRADE_MOST = TW_UPGRADES + 2 * TW_TIERS };

/* `best`: what tw_search found in `space`. Ordered by what doubling saves. */
tw_status tw_upgrades(const tw_planner *p, const tw_search_space *space, const tw_candidate *best, const tw_fit *fit,
                      tw_upgrade out[TW_UPGRADE_MOST], int *count);

#endif
