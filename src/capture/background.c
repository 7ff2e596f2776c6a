/* Compiling beside the program: one thread that takes segments from a list. The program goes on operation by operation
 * until their plans are there. */
#include "capture/internal.h"
#include "tilewright/tensor.h"

typedef struct request {
    struct request *next;
    known *k;
    tw_graph *g;
    int *in_place;
    char reason[200];
} request;

static tw_os_lock *lock; /* of the list; made at start-up */
static tw_os_thread *worker;
static request *first, **end = &first;
static bool busy, stopping;

__attribute__((constructor)) static void start(void)
{
    if (tw_os_lock_create(&lock) != TW_OK)
        lock = NULL;
}

bool tw_background_free(void)
{
    const char *wanted = tw_env("TW_BACKGROUND");
    return lock && (wanted ? tw_env_on("TW_BACKGROUND") : tw_num_threads() < tw_os_cores());
}

static void free_request(request *r)
{
    tw_graph_destroy(r->g);
    tw_free(r->in_place);
    tw_free(r);
}

static void work(void *unused)
{
    (void)unused;
    tw_os_lock_take(lock);
    while (!stopping) {
        request *r = first;
        if (!r) {
            tw_os_lock_wait(lock);
            continue;
        }
        if (!(first = r->next))
            end = &first;
        busy = true;
        tw_os_lock_release(lock);
        /* an error is told to nobody here: the segment goes on operation by operation and its next sight compiles it */
        if (tw_known_compile(r->k, r->g, r->in_place, NULL, true, r->reason, NULL) != TW_OK)
            tw_say(TW_LOG_GUARDS, "compiling beside the program failed: %s", tw_error_message());
        r->k->compiling = false;
        tw_known_done(r->k);
        free_request(r);
        tw_os_lock_take(lock);
        busy = false;
        tw_os_lock_signal(lock);
    }
    tw_os_lock_release(lock);
}

tw_status tw_background_compile(known *k, const tw_graph *g, const tw_segment_io *io, const char *reason)
{
    for (int i = 0; i < io->inputs && io->stride; i++)
        if (io->stride[i]) /* the strides are the program's, and may be gone */
            return TW_OK;
    request *r = tw_alloc_zero(1, sizeof *r);
    if (!r)
        return TW_ERR_MEMORY;
    r->k = k;
    r->g = tw_graph_clone(g);
    r->in_place = tw_alloc((size_t)(io->outputs + 1) * sizeof *r->in_place);
    snprintf(r->reason, sizeof r->reason, "%s, beside the program", reason);
    if (!r->g || !r->in_place) {
        free_request(r);
        return TW_ERR_MEMORY;
    }
    memcpy(r->in_place, io->in_place, (size_t)io->outputs * sizeof *r->in_place);
    tw_os_lock_take(lock);
    tw_status status = worker ? TW_OK : tw_os_thread_start(&worker, work, NULL);
    if (status == TW_OK) {
        k->compiling = true;
        atomic_fetch_add(&k->running, 1); /* it must not be forgotten meanwhile */
        *end = r;
        end = &r->next;
        tw_os_lock_signal(lock);
    }
    tw_os_lock_release(lock);
    if (status != TW_OK)
        free_request(r);
    return status;
}

void tw_background_finish(void)
{
    if (!lock)
        return;
    tw_os_lock_take(lock);
    while (worker && (first || busy))
        tw_os_lock_wait(lock);
    tw_os_lock_release(lock);
}

/* A thread that compiles while the process ends would find LLVM's statics gone. */
__attribute__((destructor)) static void stop(void)
{
    if (!lock)
        return;
    tw_os_lock_take(lock);
    stopping = true;
    tw_os_lock_signal(lock);
    tw_os_lock_release(lock);
    if (worker)
        tw_os_thread_join(worker);
    worker = NULL;
}
