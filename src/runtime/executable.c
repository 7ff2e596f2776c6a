/* A plan's kernels, compiled side by side. */
#include <stdatomic.h>

#include "base/os.h"
#include "runtime/runtime.h"

typedef struct work {
    tw_executable *e;
    bool may_compile;
    _Atomic int from_cache, compiled;
    _Atomic int next;
    _Atomic int status;
    char message[512];
    _Atomic bool said;
} work;

static void compile_some(void *data)
{
    work *w = data;
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < w->e->plan->kernels && atomic_load(&w->status) == TW_OK;) {
        tw_kernel_origin origin = TW_KERNEL_SHARED;
        tw_status status = tw_kernel_get(w->e->plan->kernel[i].program, w->may_compile, &w->e->kernel[i], &origin);
        atomic_fetch_add(&w->from_cache, status == TW_OK && origin == TW_KERNEL_FROM_DISK);
        atomic_fetch_add(&w->compiled, status == TW_OK && origin == TW_KERNEL_COMPILED);
        if (status == TW_OK)
            continue;
        if (!atomic_exchange(&w->said, true)) /* another thread's error text must reach the caller's thread */
            snprintf(w->message, sizeof w->message, "%s: %s", w->e->plan->kernel[i].name, tw_error_message());
        atomic_store(&w->status, (int)status);
    }
}

static tw_status compile_all(tw_executable *e, bool may_compile)
{
    enum { MOST_HELPERS = 15 };
    work w = {.e = e, .may_compile = may_compile};
    tw_os_thread *helper[MOST_HELPERS];
    int helpers = TW_MIN(TW_MIN(tw_os_cores(), e->plan->kernels) - 1, MOST_HELPERS), started = 0;
    for (; started < helpers; started++)
        if (tw_os_thread_start(&helper[started], compile_some, &w) != TW_OK)
            break;
    compile_some(&w);
    for (int i = 0; i < started; i++)
        tw_os_thread_join(helper[i]);
    e->from_cache = atomic_load(&w.from_cache);
    e->compiled = atomic_load(&w.compiled);
    return atomic_load(&w.status) == TW_OK ? TW_OK : tw_error((tw_status)atomic_load(&w.status), "%s", w.message);
}

tw_status tw_executable_create(tw_plan *plan, bool may_compile, tw_executable **executable)
{
    uint64_t start = tw_os_now_ns();
    tw_executable *e = tw_alloc_zero(1, sizeof *e);
    *executable = NULL;
    if (!e) {
        tw_plan_destroy(plan);
        return TW_ERR_MEMORY;
    }
    size_t kernels = (size_t)plan->kernels + 1;
    e->plan = plan;
    e->kernel = tw_alloc_zero(kernels, sizeof *e->kernel);
    e->ns = tw_alloc_zero((size_t)plan->launches + 1, sizeof *e->ns);
    tw_status status = e->kernel && e->ns ? compile_all(e, may_compile) : TW_ERR_MEMORY;
    for (int l = 0; l < plan->launches && status == TW_OK; l++) {
        int64_t bytes = tw_kernel_scratch_bytes(e->kernel[plan->launch[l].kernel], plan->launch[l].scalar);
        e->scratch_bytes = TW_MAX(e->scratch_bytes, bytes);
    }
    e->compile_ns = tw_os_now_ns() - start;
    if (status == TW_OK) {
        tw_say(TW_LOG_TIMING, "%d kernels in %.1f ms, %d from the cache, %d compiled", plan->kernels,
               (double)e->compile_ns * 1e-6, e->from_cache, e->compiled);
        *executable = e;
    } else {
        tw_executable_destroy(e);
    }
    return status;
}

void tw_executable_say_times(const tw_executable *e)
{
    if (!e->runs || !tw_log_on(TW_LOG_TIMING))
        return;
    for (int k = 0; k < e->plan->kernels; k++) {
        double ns = 0, flops = 0, bytes = 0;
        int launches = 0;
        for (int l = 0; l < e->plan->launches; l++) {
            const tw_plan_launch *launch = &e->plan->launch[l];
            if (launch->kernel != k)
                continue;
            launches++;
            ns += (double)e->ns[l] / (double)e->runs;
            flops += (double)launch->flops;
            bytes += (double)launch->bytes;
        }
        tw_say(TW_LOG_TIMING, "%9.3f ms a run in %3d launches, %6.1f GFLOP/s, %6.1f GB/s: %s", ns * 1e-6, launches,
               flops / ns, bytes / ns, e->plan->kernel[k].name);
    }
}

void tw_executable_destroy(tw_executable *e)
{
    if (!e)
        return;
    for (int i = 0; e->kernel && i < e->plan->kernels; i++)
        tw_kernel_release(e->kernel[i]);
    tw_free(e->kernel);
    tw_free(e->ns);
    tw_free(e->span);
    tw_plan_destroy(e->plan);
    tw_free(e);
}
