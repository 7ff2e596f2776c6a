/* Runs plans: memory, threads, timing. */
#ifndef TW_RUNTIME_H
#define TW_RUNTIME_H

#include "codegen/codegen.h"
#include "schedule/schedule.h"
#include "tilewright/control.h"

/* When one thread worked on one launch, in ns of tw_os_now_ns; programs == 0: not at all. */
typedef struct tw_launch_span {
    uint64_t start, end;
    int64_t programs;
} tw_launch_span;

/* A plan with its loaded kernels. */
typedef struct tw_executable {
    tw_plan *plan;
    tw_kernel **kernel;    /* one for each of the plan's */
    int64_t scratch_bytes; /* a thread: the most that any launch needs */
    _Atomic uint64_t *ns;  /* by launch, summed over runs, while timing is on */
    _Atomic int64_t runs;
    tw_launch_span *span; /* of the last run while tw_runtime_spans was on: [launch][thread]; NULL: none */
    int span_threads;
    uint64_t compile_ns;
    int from_cache, compiled; /* kernels that came from disk; that were compiled now (the rest was loaded already) */
} tw_executable;

/* Kernels by program, shared by all plans: kernels.c. The caller releases the kernel; thread-safe. */
typedef enum { TW_KERNEL_SHARED, TW_KERNEL_FROM_DISK, TW_KERNEL_COMPILED } tw_kernel_origin;
tw_status tw_kernel_get(const tw_graph *program, bool may_compile, tw_kernel **kernel, tw_kernel_origin *origin);
int64_t tw_kernels_loaded(void); /* in the table */
void tw_kernels_forget(void);    /* plans keep those that they have */
void tw_kernels_forget_unused(void);

/* Gets the plan's kernels, on several threads where there are cores. Takes over the plan (also on failure).
 * may_compile: else TW_ERR_UNSUPPORTED if a kernel is neither loaded nor on disk. */
tw_status tw_executable_create(tw_plan *plan, bool may_compile, tw_executable **executable);
void tw_executable_destroy(tw_executable *e);
void tw_executable_say_times(const tw_executable *e); /* under TW_LOG=timing: what the launches of each kernel took */

/* inputs[i], outputs[i]: addresses of contiguous row-major values, in the graph's order. Blocks until done. */
tw_status tw_execute(tw_executable *e, void *const *inputs, void *const *outputs);

/* The same, launch by launch, with somebody who looks at the memory before and after each (done). buffers: one for each
 * argument of the launch. An error of `look` ends the run; only then may it run other plans itself. */
typedef struct tw_launch_watcher {
    tw_status (*look)(void *user, int launch, void *const *buffers, bool done);
    void *user;
} tw_launch_watcher;
tw_status tw_execute_watched(tw_executable *e, void *const *inputs, void *const *outputs,
                             const tw_launch_watcher *watcher);

int64_t tw_execute_scratch(const tw_executable *e); /* bytes that all threads together need beside the arena */

/* What this machine can do, measured now with all threads; a few tenths of a second: limits.c */
enum { TW_LIMIT_LEVELS = 5 };
typedef struct tw_limits {
    const tw_backend *backend;
    int threads;
    double operations_per_ns[TW_TENSOR_DTYPES]; /* by the dtype of a value: f16 and bf16 are computed in f32 */
    int64_t bytes[TW_LIMIT_LEVELS];             /* a sum that reads and writes so much, again and again ... */
    double bytes_per_ns[TW_LIMIT_LEVELS];       /* ... moves so much: caches, then memory */
    double barrier_ns;                          /* all threads waiting for each other: the least that a launch costs */
} tw_limits;
tw_status tw_limits_measure(tw_limits *l);
double tw_limits_bandwidth(const tw_limits *l, int64_t bytes); /* bytes a ns, for a kernel that touches so many */

void tw_runtime_timing(bool on); /* per launch; each batch then waits for its launches one by one */
void tw_runtime_spans(bool on);  /* per launch and thread, in the order in which they really run */
void tw_runtime_free(void);      /* this thread's temporary memory */
int64_t tw_runtime_bytes(void);  /* that temporaries of plans hold now */

#endif
