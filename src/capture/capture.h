/* Running recorded segments: a cache of compiled plans, and the tiers. */
#ifndef TW_CAPTURE_H
#define TW_CAPTURE_H

#include "runtime/runtime.h"
#include "tensor/hooks.h"
#include "tilewright/control.h"

/* Graph to executable: decompose, simplify, schedule, compile. `in_place`, `stride`: as in tw_schedule_options. */
tw_status tw_compile_graph(const tw_graph *segment, const int *in_place, const int64_t *const *stride,
                           tw_executable **executable);

/* One run of a segment, for those who look on. */
typedef struct tw_segment_run {
    const tw_graph *graph;           /* as it was recorded; NULL: a compiled function is replayed */
    const tw_segment_io *io;         /* lives until the run is done, like the graph */
    const tw_executable *executable; /* NULL: it ran operation by operation */
    const char *reason;              /* what ended it: who looked at a value */
    uint64_t start, end, compile_ns; /* 0: was compiled before */
} tw_segment_run;
typedef void tw_segment_watcher(void *user, const tw_segment_run *run, bool done); /* called before and after */
void tw_capture_watch(tw_segment_watcher *watcher, void *user);                    /* NULL: nobody looks on */

const tw_executable *tw_capture_last(void); /* the last whole segment that ran compiled; NULL: none */
void tw_capture_forget_plans(void);         /* plans alone: tw_capture_reset forgets kernels too */

/* Nanoseconds by kind of kernel, over all plans, since the last call, while tw_runtime_timing was on. */
void tw_capture_kind_times(uint64_t ns[TW_KINDS]);

void tw_background_finish(void); /* waits until nothing is compiled beside the program any more */
void tw_library_init(void);

#endif
