/* A plan as a page, as a trace for chrome://tracing or Perfetto, and as JSON. */
#ifndef TW_MACHINE_REPORT_H
#define TW_MACHINE_REPORT_H

#include "machine/advice.h"
#include "machine/picture.h"

/* Everything that is known about a training plan. */
typedef struct tw_report {
    const tw_library *library;
    tw_planner *planner;
    const tw_search_space *space;
    const tw_search_result *result;
    const tw_upgrade *upgrade;
    int upgrades;
    const tw_timeline *timeline;
    double tokens; /* of the whole run; 0: not asked */
} tw_report;

/* One share of a step's time. */
typedef struct tw_share {
    const char *name;
    double seconds;
} tw_share;
enum { TW_SHARES = 12 };
int tw_step_shares(const tw_step *step, tw_share out[TW_SHARES]); /* they sum to the step's time */
enum { TW_MEMORY_SHARES = 6 };
typedef struct tw_memory_share {
    const char *name;
    double bytes;
} tw_memory_share;
int tw_memory_shares(const tw_memory_use *use, tw_memory_share out[TW_MEMORY_SHARES]);

/* A self-contained HTML page: timeline, time, memory, roofline, money, other plans, upgrades. */
void tw_report_page(const tw_report *report, tw_text *out);
/* error: no memory. */
tw_status tw_report_trace(const tw_timeline *timeline, tw_text *out);
tw_status tw_report_json(const tw_report *report, tw_text *out);

#endif
