/* Running recorded segments: a cache of compiled plans, and the tiers. */
#ifndef TW_CAPTURE_H
#define TW_CAPTURE_H

#include "runtime/runtime.h"

typedef enum {
    TW_TIER_AUTO,       /* first sight: operation by operation; second sight: compiled as a whole */
    TW_TIER_OPERATIONS, /* always operation by operation */
    TW_TIER_COMPILED    /* compiled at first sight */
} tw_tier;
TW_API void tw_set_tier(tw_tier tier);
TW_API tw_tier tw_get_tier(void);

/* Graph to executable: decompose, simplify, schedule, compile. `in_place`, `stride`: as in tw_schedule_options. */
tw_status tw_compile_graph(const tw_graph *segment, const int *in_place, const int64_t *const *stride,
                           tw_executable **executable);

typedef struct tw_capture_stats {
    int64_t segments, hits, compiled, operations; /* runs; found compiled; compilations; single operations run */
    uint64_t compile_ns;                          /* of the last whole segment: passes, scheduling and kernels */
} tw_capture_stats;
TW_API tw_capture_stats tw_capture_statistics(void);
const tw_executable *tw_capture_last(void); /* the last whole segment that ran compiled; NULL: none */
/* Bytes that tensors hold now plus what the last compiled segment needs: the peak of running it again. */
TW_API int64_t tw_capture_stated_peak(void);
TW_API void tw_capture_reset(void); /* forgets every plan */

/* Nanoseconds by kind of kernel, over all plans, since the last call, while tw_runtime_timing was on. */
void tw_capture_kind_times(uint64_t ns[TW_KINDS]);

void tw_library_init(void);

#endif
