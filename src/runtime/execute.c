/* Running a plan: one parallel region, a barrier between batches, program ids handed out in chunks.
 *
 * Which thread runs which program never changes a result: every program computes its elements in an order fixed by the
 * plan. */
#include <omp.h>
#include <stdatomic.h>

#include "base/os.h"
#include "runtime/runtime.h"
#include "tensor/hooks.h"

enum { SMALL_PLAN_NS = 20000, CHUNKS_A_THREAD = 4, ALIGNMENT = 64 };

static bool timing, spans;

/* Temporary memory is kept between runs: one block for all plans that this thread runs. */
static _Thread_local struct {
    char *arena, *scratch;
    int64_t arena_bytes, scratch_bytes;
} memory;
static _Atomic int64_t bytes_held;

void tw_runtime_timing(bool on)
{
    timing = on;
}

void tw_runtime_spans(bool on)
{
    spans = on;
}

int64_t tw_runtime_bytes(void)
{
    return atomic_load(&bytes_held);
}

static bool grow(char **block, int64_t *had, int64_t wants)
{
    if (*had >= wants && *block)
        return true;
    tw_free(*block);
    atomic_fetch_sub(&bytes_held, *had);
    tw_count_bytes(-*had);
    *had = 0;
    *block = tw_alloc_aligned((size_t)TW_MAX(wants, ALIGNMENT), ALIGNMENT);
    if (*block) {
        *had = wants;
        atomic_fetch_add(&bytes_held, wants);
        tw_count_bytes(wants);
    }
    return *block != NULL;
}

void tw_runtime_free(void)
{
    atomic_fetch_sub(&bytes_held, memory.arena_bytes + memory.scratch_bytes);
    tw_count_bytes(-memory.arena_bytes - memory.scratch_bytes);
    tw_free(memory.arena);
    tw_free(memory.scratch);
    memset(&memory, 0, sizeof memory);
}

/* What all threads of a run share. */
typedef struct run {
    const tw_executable *e;
    void **buffer; /* by launch argument, all launches one after another */
    int *first;    /* index of a launch's first buffer */
    int threads;
    int64_t scratch_stride;
    _Atomic int64_t *next; /* by launch: next program to hand out */
    uint64_t *ns;
    tw_launch_span *span;
} run;

/* Returns how many programs this thread ran. */
static int64_t run_launch(const run *r, int l, char *scratch)
{
    const tw_plan_launch *launch = &r->e->plan->launch[l];
    int64_t programs = launch->grid[0] * launch->grid[1] * launch->grid[2];
    int64_t chunk = r->threads == 1 ? programs : TW_MAX(programs / (r->threads * CHUNKS_A_THREAD), 1);
    int64_t done = 0;
    tw_host_kernel_fn *kernel = r->e->entry[launch->kernel];
    while (true) {
        int64_t from = atomic_fetch_add_explicit(&r->next[l], chunk, memory_order_relaxed);
        if (from >= programs)
            return done;
        int64_t end = TW_MIN(from + chunk, programs);
        kernel(r->buffer + r->first[l], launch->scalar, from, end, scratch);
        done += end - from;
    }
}

static void run_thread(const run *r, int thread)
{
    const tw_plan *plan = r->e->plan;
    char *mine = (char *)r->buffer[-1] + thread * r->scratch_stride;
    for (int l = 0; l < plan->launches;) {
        int batch = plan->launch[l].batch;
        for (; l < plan->launches && plan->launch[l].batch == batch; l++) {
            uint64_t start = r->ns || r->span ? tw_os_now_ns() : 0;
            int64_t programs = run_launch(r, l, mine);
            if (r->span)
                r->span[l * r->threads + thread] = (tw_launch_span){start, tw_os_now_ns(), programs};
            if (r->ns) {
#pragma omp barrier
                if (thread == 0)
                    r->ns[l] += tw_os_now_ns() - start;
            }
        }
        if (!r->ns && l < plan->launches) {
#pragma omp barrier
        }
    }
}

static void bind(const tw_plan *plan, void *const *inputs, void *const *outputs, void **buffer, int *first)
{
    int n = 0;
    for (int l = 0; l < plan->launches; l++) {
        first[l] = n;
        for (int j = 0; j < plan->launch[l].arguments; j++) {
            const tw_plan_slot *slot = &plan->slot[plan->launch[l].slot[j]];
            buffer[n++] = slot->kind == TW_SLOT_INPUT    ? inputs[slot->index]
                          : slot->kind == TW_SLOT_OUTPUT ? outputs[slot->index]
                                                         : memory.arena + slot->offset;
        }
    }
}

static int64_t work_of(const tw_plan *plan)
{
    int64_t work = 0;
    for (int l = 0; l < plan->launches; l++)
        work += plan->launch[l].flops / 32 + plan->launch[l].bytes / 16; /* about one ns each */
    return work;
}

static int threads_for(const tw_plan *plan)
{
    return work_of(plan) < SMALL_PLAN_NS ? 1 : tw_num_threads();
}

static int64_t scratch_stride(const tw_executable *e)
{
    return (e->scratch_bytes + 4095) / 4096 * 4096 + ALIGNMENT;
}

int64_t tw_execute_scratch(const tw_executable *e)
{
    return scratch_stride(e) * threads_for(e->plan);
}

/* One launch after another, so that the memory between two of them can be looked at. */
static tw_status run_watched(const run *r, const tw_launch_watcher *watcher)
{
    for (int l = 0; l < r->e->plan->launches; l++) {
        void *const *buffers = r->buffer + r->first[l];
        TW_TRY(watcher->look(watcher->user, l, buffers, false));
#pragma omp parallel num_threads(r->threads)
        run_launch(r, l, (char *)r->buffer[-1] + omp_get_thread_num() * r->scratch_stride);
        TW_TRY(watcher->look(watcher->user, l, buffers, true));
    }
    return TW_OK;
}

static void run_together(const run *r)
{
    if (r->threads == 1) {
        run_thread(r, 0);
        return;
    }
#pragma omp parallel num_threads(r->threads)
    run_thread(r, omp_get_thread_num());
}

static tw_launch_span *fresh_spans(tw_executable *e, int threads)
{
    tw_free(e->span);
    e->span = tw_alloc_zero((size_t)(e->plan->launches * threads) + 1, sizeof *e->span);
    e->span_threads = e->span ? threads : 0;
    return e->span;
}

tw_status tw_execute(tw_executable *e, void *const *inputs, void *const *outputs)
{
    return tw_execute_watched(e, inputs, outputs, NULL);
}

tw_status tw_execute_watched(tw_executable *e, void *const *inputs, void *const *outputs,
                             const tw_launch_watcher *watcher)
{
    const tw_plan *plan = e->plan;
    int arguments = 1, threads = threads_for(plan);
    for (int l = 0; l < plan->launches; l++)
        arguments += plan->launch[l].arguments;
    int64_t stride = scratch_stride(e);
    if (!grow(&memory.arena, &memory.arena_bytes, plan->arena_bytes) ||
        !grow(&memory.scratch, &memory.scratch_bytes, stride * threads))
        return TW_ERR_MEMORY;
    void **buffer = tw_alloc((size_t)(arguments + 1) * sizeof *buffer);
    int *first = tw_alloc((size_t)(plan->launches + 1) * sizeof *first);
    _Atomic int64_t *next = tw_alloc_zero((size_t)plan->launches + 1, sizeof *next);
    tw_launch_span *span = spans ? fresh_spans(e, threads) : NULL;
    tw_status status = buffer && first && next && (span || !spans) ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK) {
        buffer[0] = memory.scratch;
        bind(plan, inputs, outputs, buffer + 1, first);
        run r = {e, buffer + 1, first, threads, stride, next, timing ? e->ns : NULL, span};
        if (watcher)
            status = run_watched(&r, watcher);
        else
            run_together(&r);
        e->runs += timing && !watcher;
    }
    tw_free(buffer);
    tw_free(first);
    tw_free((void *)next);
    return status;
}
