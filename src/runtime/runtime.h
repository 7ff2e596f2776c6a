/* Runs plans: memory, threads, timing. */
#ifndef TW_RUNTIME_H
#define TW_RUNTIME_H

#include "codegen/codegen.h"
#include "schedule/schedule.h"

/* A plan with its loaded kernels. */
typedef struct tw_executable {
    tw_plan *plan;
    tw_kernel **kernel; /* one for each of the plan's */
    tw_host_kernel_fn **entry;
    int64_t scratch_bytes; /* a thread: the most that any launch needs */
    uint64_t *ns;          /* by launch, summed over runs, while timing is on */
    int64_t runs;
    uint64_t compile_ns;
    int from_cache;
} tw_executable;

/* Compiles the plan's kernels, on several threads where there are cores. Takes over the plan (also on failure). */
tw_status tw_executable_create(tw_plan *plan, tw_executable **executable);
void tw_executable_destroy(tw_executable *e);
void tw_executable_say_times(const tw_executable *e); /* under TW_LOG=timing: what the launches of each kernel took */

/* inputs[i], outputs[i]: addresses of contiguous row-major values, in the graph's order. Blocks until done. */
tw_status tw_execute(tw_executable *e, void *const *inputs, void *const *outputs);

int64_t tw_execute_scratch(const tw_executable *e); /* bytes that all threads together need beside the arena */

TW_API void tw_set_num_threads(int threads); /* <= 0: TW_THREADS, else all cores */
TW_API int tw_num_threads(void);
void tw_runtime_timing(bool on); /* per launch; each batch then waits for its launches one by one */
void tw_runtime_free(void);      /* this thread's temporary memory */
int64_t tw_runtime_bytes(void);  /* that temporaries of plans hold now */

#endif
