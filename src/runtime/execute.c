/* Running a plan: one parallel region, program ids handed out in chunks.
 *
 * A batch may begin when the programs of the one before are done, not when all threads have arrived: a thread that the
 * system doesn't run for a while holds nobody up unless it has a chunk. Who waits looks for a few microseconds, then
 * sleeps, so that a busy machine gets its core.
 *
 * Which thread runs which program never changes a result: every program computes its elements in an order fixed by the
 * plan. */
#include <omp.h>
#include <stdatomic.h>

#include "base/os.h"
#include "runtime/runtime.h"
#include "tensor/hooks.h"

enum { SMALL_PLAN_NS = 20000, CHUNKS_A_THREAD = 4, ALIGNMENT = 64, LOOKS = 2000 };

static _Atomic bool timing, spans;

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
    tw_os_at_thread_end(tw_runtime_free);
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

/* How far a launch has come; on a cache line of its own. */
typedef struct progress {
    _Alignas(64) _Atomic int64_t next; /* program to hand out */
    _Atomic int64_t done;
    _Atomic uint32_t state;
} progress;
enum { RUNNING, SOMEBODY_SLEEPS, FINISHED };

/* The first error of any thread; from then on launches only count their programs. */
typedef struct failure {
    _Atomic bool any;
    tw_status status;
    char message[512];
} failure;

static void note(failure *f, tw_status status)
{
    if (status == TW_OK || atomic_exchange(&f->any, true))
        return;
    f->status = status;
    snprintf(f->message, sizeof f->message, "%s", tw_error_message());
}

/* What all threads of a run share. */
typedef struct run {
    const tw_executable *e;
    void **buffer; /* by launch argument, all launches one after another */
    int *first;    /* index of a launch's first buffer */
    int threads;
    int64_t scratch_stride;
    progress *progress; /* by launch */
    failure *failure;
    _Atomic uint64_t *ns;
    tw_launch_span *span;
} run;

/* Returns how many programs this thread ran. */
static int64_t run_launch(const run *r, int l, char *scratch)
{
    const tw_plan_launch *launch = &r->e->plan->launch[l];
    const tw_kernel *kernel = r->e->kernel[launch->kernel];
    const tw_kernel_call call = {.grid = {launch->grid[0], launch->grid[1], launch->grid[2]}, .kernel = kernel};
    int64_t programs = call.grid[0] * call.grid[1] * call.grid[2];
    int64_t chunk = r->threads == 1 ? programs : TW_MAX(programs / (r->threads * CHUNKS_A_THREAD), 1);
    int64_t done = 0;
    progress *p = &r->progress[l];
    while (true) {
        int64_t from = atomic_fetch_add_explicit(&p->next, chunk, memory_order_relaxed);
        if (from >= programs)
            return done;
        int64_t end = TW_MIN(from + chunk, programs);
        if (!atomic_load_explicit(&r->failure->any, memory_order_relaxed))
            note(r->failure, kernel->run(r->buffer + r->first[l], launch->scalar, &call, from, end, scratch));
        done += end - from;
        if (atomic_fetch_add(&p->done, end - from) + end - from == programs &&
            atomic_exchange(&p->state, FINISHED) == SOMEBODY_SLEEPS)
            tw_os_wake(&p->state);
    }
}

static void wait_for(progress *p)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&p->state, memory_order_acquire) == FINISHED)
            return;
        tw_os_pause();
    }
    for (uint32_t state = RUNNING; (state = atomic_load(&p->state)) != FINISHED;)
        if (state == SOMEBODY_SLEEPS || atomic_compare_exchange_strong(&p->state, &state, SOMEBODY_SLEEPS))
            tw_os_sleep_while(&p->state, SOMEBODY_SLEEPS);
}

static void run_thread(const run *r, int thread)
{
    const tw_plan *plan = r->e->plan;
    char *mine = (char *)r->buffer[-1] + thread * r->scratch_stride;
    for (int l = 0; l < plan->launches;) {
        int batch = plan->launch[l].batch, first = l;
        for (; l < plan->launches && plan->launch[l].batch == batch; l++) {
            uint64_t start = r->ns || r->span ? tw_os_now_ns() : 0;
            int64_t programs = run_launch(r, l, mine);
            if (r->span)
                r->span[l * r->threads + thread] = (tw_launch_span){start, tw_os_now_ns(), programs};
            if (r->ns) {
                wait_for(&r->progress[l]);
                if (thread == 0)
                    r->ns[l] += tw_os_now_ns() - start;
            }
        }
        for (int done = first; r->threads > 1 && done < l && l < plan->launches; done++)
            wait_for(&r->progress[done]);
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
        if (atomic_load(&r->failure->any))
            return TW_OK; /* who runs it says so */
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

static progress *fresh_progress(const tw_plan *plan)
{
    size_t bytes = ((size_t)plan->launches + 1) * sizeof(progress);
    progress *p = tw_alloc_aligned(bytes, sizeof *p);
    for (int l = 0; p && l < plan->launches; l++) {
        const int64_t *grid = plan->launch[l].grid;
        atomic_init(&p[l].next, 0);
        atomic_init(&p[l].done, 0);
        atomic_init(&p[l].state, grid[0] * grid[1] * grid[2] > 0 ? RUNNING : FINISHED);
    }
    return p;
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
    progress *far = fresh_progress(plan);
    bool look = spans;
    tw_launch_span *span = look ? fresh_spans(e, threads) : NULL;
    tw_status status = buffer && first && far && (span || !look) ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK) {
        buffer[0] = memory.scratch;
        bind(plan, inputs, outputs, buffer + 1, first);
        failure failed = {.status = TW_OK};
        run r = {e, buffer + 1, first, threads, stride, far, &failed, timing ? e->ns : NULL, span};
        if (watcher)
            status = run_watched(&r, watcher);
        else
            run_together(&r);
        if (atomic_load(&failed.any))
            status = tw_error(failed.status, "%s", failed.message);
        if (r.ns && !watcher)
            e->runs++;
    }
    tw_free(buffer);
    tw_free(first);
    tw_free(far);
    return status;
}
