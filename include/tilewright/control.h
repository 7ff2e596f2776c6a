/* How the library goes about its work: tiers, threads, limits, what it says. None of it changes a result.
 *
 * One shortcut is taken unless TW_EXACT=1 is in the environment: what a causal mask hides from a whole block of rows
 * is not computed, so that 0 times infinity or NaN there counts as 0, and a sum of -0 may stay -0.
 *
 * Every setting has an environment variable that holds where the program sets nothing. Settings are of the whole
 * program and may be changed by any thread; what runs already isn't touched. */
#ifndef TILEWRIGHT_CONTROL_H
#define TILEWRIGHT_CONTROL_H

#include "tilewright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

TW_API const char *tw_library_version(void); /* "0.1.0" */

/* ---- tiers: when recorded operations are compiled together ---- */
typedef enum {
    TW_TIER_AUTO,       /* first sight: operation by operation; second sight: compiled as a whole */
    TW_TIER_OPERATIONS, /* always operation by operation */
    TW_TIER_COMPILED,   /* compiled at first sight */
    TW_TIER_EAGER       /* operation by operation, and each runs at its call instead of at the next look */
} tw_tier;
TW_API void tw_set_tier(tw_tier tier);
TW_API tw_tier tw_get_tier(void); /* TW_EAGER=1: eager, whatever the program sets */

/* How often one segment, or one compiled function, is compiled for new sizes, dtypes or strides. What no kernel serves
 * then runs operation by operation; TW_LOG=guards says so. < 0: TW_RECOMPILE_LIMIT, else 8. */
TW_API void tw_set_recompile_limit(int64_t limit);
TW_API int64_t tw_recompile_limit(void);

/* The most that tensors and a plan's temporaries should take together, in bytes; 0: TW_MEMORY_BUDGET, else no limit.
 * Plans that are made from now on compute again what doesn't fit, the cheapest first; where that isn't enough they
 * take the least they can (TW_LOG=plan says so). Results are the same bits. */
TW_API void tw_set_memory_budget(int64_t bytes);
TW_API int64_t tw_memory_budget(void);
TW_API void tw_memory_trim(void); /* gives the system back large blocks that were freed and kept for the next use */

/* Threads that kernels run on, the caller's included; <= 0: TW_THREADS, else one for each core. */
TW_API void tw_set_num_threads(int threads);
TW_API int tw_num_threads(void);

/* ---- what happened ---- */
typedef struct tw_capture_stats {
    int64_t segments, hits, compiled; /* runs; found compiled; plans for which kernels were compiled */
    int64_t known;                    /* segments that are remembered now */
    uint64_t compile_ns;              /* of the last whole segment: passes, scheduling and kernels */
} tw_capture_stats;
TW_API tw_capture_stats tw_capture_statistics(void);
TW_API int64_t tw_capture_stated_peak(void); /* bytes that tensors hold now plus what the last segment needs to run */
TW_API void tw_capture_reset(void);          /* forgets every plan but those of compiled functions */

/* ---- what it says ---- The library is silent. TW_LOG=stage,stage (or tw_log_set) turns stages on: graph, decompose,
 * simplify, fusion, tile, llvm, asm, plan, guards, timing, cache, check. Lines go to the program's callback, by default
 * to standard error. The callback may be called on any thread, one call at a time. */
typedef void tw_log_callback(void *user, const char *stage, const char *message);
TW_API void tw_log_to(tw_log_callback *callback, void *user); /* NULL: back to standard error */
TW_API tw_status tw_log_set(const char *stages);              /* "graph,plan"; "" turns all off; "all" */

#ifdef __cplusplus
}
#endif
#endif
