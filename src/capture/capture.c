/* Segments meet their plans.
 *
 * The key of a segment is the structural hash of its graph, its inputs' types and which results renew which inputs. At
 * first sight it runs operation by operation, through plans of one operation each; at second sight it is compiled as a
 * whole, beside the program where a core is free. A segment that differs in sizes only from one that was seen before
 * counts as seen again, and shares its kernels (sizes.c).
 *
 * Memory of the past is bounded: of very many segments those are forgotten that were not used for longest.
 *
 * One lock guards what is known. Compiling happens outside of it, one at a time; running needs neither. */
#include "capture/check.h"
#include "capture/internal.h"
#include "ops/graph_ops.h"
#include "tilewright/tensor.h"

enum { MOST_MEMBERS = 64, MOST_KNOWN = 4096 };

static tw_os_lock *lock, *compile_lock; /* made at start-up */
static tw_map *segments, *families;
static uint64_t now;
static tw_capture_stats stats; /* under the lock, but for hits */
static _Atomic int64_t hits;
static const tw_executable *last; /* under the lock, too */
static struct {
    tw_segment_watcher *look;
    void *user;
} watcher;

void tw_capture_watch(tw_segment_watcher *look, void *user)
{
    watcher.look = look;
    watcher.user = user;
}

int64_t tw_capture_stated_peak(void)
{
    tw_os_lock_take(lock);
    int64_t needed = last ? last->plan->arena_bytes + tw_execute_scratch(last) : -1;
    tw_os_lock_release(lock);
    return needed < 0 ? 0 : tw_tensor_bytes() - tw_runtime_bytes() + needed;
}

tw_capture_stats tw_capture_statistics(void)
{
    tw_os_lock_take(lock);
    tw_capture_stats now_so_far = stats;
    now_so_far.hits = atomic_load(&hits);
    now_so_far.known = segments ? (int64_t)tw_map_count(segments) : 0;
    tw_os_lock_release(lock);
    return now_so_far;
}

const tw_executable *tw_capture_last(void)
{
    tw_os_lock_take(lock);
    const tw_executable *e = last;
    tw_os_lock_release(lock);
    return e;
}

/* ---- what is known ---- */

static void destroy(known *k)
{
    if (last == atomic_load(&k->executable))
        last = NULL;
    tw_executable_destroy(atomic_load(&k->executable));
    tw_free(k);
}

void tw_capture_kind_times(uint64_t ns[TW_KINDS])
{
    size_t cursor = 0;
    tw_hash key;
    void *value;
    memset(ns, 0, TW_KINDS * sizeof *ns);
    tw_os_lock_take(lock);
    while (segments && tw_map_next(segments, &cursor, &key, &value)) {
        tw_executable *e = atomic_load(&((known *)value)->executable);
        if (e)
            tw_executable_say_times(e);
        for (int l = 0; e && l < e->plan->launches; l++) {
            ns[e->plan->kernel[e->plan->launch[l].kernel].kind] += e->ns[l];
            e->ns[l] = 0;
        }
    }
    tw_os_lock_release(lock);
}

static tw_hash key_of(const tw_graph *g, tw_hash h, const tw_segment_io *io)
{
    h = tw_hash_u64(h, (uint64_t)io->outputs);
    for (int i = 0; i < io->outputs; i++)
        h = tw_hash_u64(h, (uint64_t)(int64_t)io->in_place[i]);
    const tw_op *op = g->body->first;
    for (int i = 0; i < io->inputs && io->stride; i++, op = op->next)
        if (io->stride[i])
            h = tw_hash_bytes(tw_hash_u64(h, (uint64_t)i), io->stride[i], op->result[0].type.rank * sizeof(int64_t));
    return h;
}

static void forget(known *k)
{
    family *f = k->family;
    tw_map_remove(segments, k->key);
    destroy(k);
    if (--f->members > 0)
        return;
    tw_map_remove(families, f->key);
    tw_family_destroy(f);
}

/* Forgets what nobody uses and was not used since `before`: of this family (NULL: of all). */
static void forget_old(const family *f, uint64_t before)
{
    size_t cursor = 0, count = 0;
    tw_hash key;
    void *value;
    known **old = tw_alloc(tw_map_count(segments) * sizeof(known *));
    while (old && tw_map_next(segments, &cursor, &key, &value)) {
        known *k = value;
        if ((!f || k->family == f) && k->used < before && k->functions == 0 && atomic_load(&k->running) == 0)
            old[count++] = k;
    }
    for (size_t i = 0; i < count; i++)
        forget(old[i]);
    tw_free(old);
}

static uint64_t oldest_use(const family *f)
{
    size_t cursor = 0;
    tw_hash key;
    void *value;
    uint64_t oldest = now;
    while (tw_map_next(segments, &cursor, &key, &value)) {
        const known *k = value;
        if (k->family == f && k->functions == 0 && atomic_load(&k->running) == 0)
            oldest = TW_MIN(oldest, k->used);
    }
    return oldest;
}

void tw_capture_forget_plans(void)
{
    tw_background_finish();
    tw_os_lock_take(lock);
    if (segments)
        forget_old(NULL, UINT64_MAX);
    if (segments && tw_map_count(segments) == 0) {
        tw_map_destroy(segments);
        tw_map_destroy(families);
        segments = families = NULL;
    }
    tw_os_lock_release(lock);
}

void tw_capture_reset(void)
{
    tw_capture_forget_plans();
    tw_kernels_forget();
}

/* Of the sizes of one segment the one goes that was not used for longest; of all segments the older half. */
static void make_room(const family *f)
{
    if (f->members >= MOST_MEMBERS)
        forget_old(f, oldest_use(f) + 1);
    if (tw_map_count(segments) < MOST_KNOWN)
        return;
    forget_old(NULL, now - MOST_KNOWN / 2);
    tw_kernels_forget_unused();
}

static family *family_of(const tw_graph *g, const tw_segment_io *io)
{
    tw_hash key;
    if (tw_graph_shape_hash(g, &key) != TW_OK)
        return NULL;
    key = key_of(g, key, io);
    family *f = tw_map_get(families, key);
    if (f || !(f = tw_family_create(g, io)))
        return f;
    f->key = key;
    if (tw_map_put(families, key, f))
        return f;
    tw_family_destroy(f);
    return NULL;
}

static known *new_member(family *f, tw_hash key)
{
    f->members++; /* so that it stays while room is made */
    make_room(f);
    known *k = tw_alloc_zero(1, sizeof *k);
    if (k && tw_map_put(segments, key, k)) {
        k->key = key;
        k->family = f;
        return k;
    }
    tw_free(k);
    if (--f->members == 0) {
        tw_map_remove(families, f->key);
        tw_family_destroy(f);
    }
    return NULL;
}

static known *find(const tw_graph *g, const tw_segment_io *io)
{
    tw_hash key;
    if ((!segments && !(segments = tw_map_create())) || (!families && !(families = tw_map_create())) ||
        tw_graph_hash(g, &key) != TW_OK)
        return NULL;
    key = key_of(g, key, io);
    known *k = tw_map_get(segments, key);
    if (!k) {
        family *f = family_of(g, io);
        if (!f || !(k = new_member(f, key)))
            return NULL;
    }
    k->used = ++now;
    atomic_fetch_add(&k->running, 1);
    return k;
}

known *tw_known(const tw_graph *g, const tw_segment_io *io)
{
    tw_os_lock_take(lock);
    known *k = find(g, io);
    tw_os_lock_release(lock);
    return k;
}

void tw_known_done(known *k)
{
    if (k)
        atomic_fetch_sub(&k->running, 1);
}

/* ---- compiling ---- */

static int operations_in(const tw_graph *g)
{
    int count = 0;
    for (const tw_op *op = g->body->first; op; op = op->next)
        count += op->info->level != TW_LEVEL_STRUCTURE;
    return count;
}

static int general_kernels(const tw_plan *plan)
{
    int count = 0;
    for (int i = 0; i < plan->kernels; i++)
        count += tw_graph_symbols(plan->kernel[i].program) > 0;
    return count;
}

/* Has the family been compiled as often as is allowed? What is compiled already may still be used. */
static bool at_limit(family *f)
{
    int64_t limit = tw_recompile_limit();
    if (f->compiles < limit)
        return false;
    if (!f->said_limit)
        tw_say(TW_LOG_GUARDS,
               "a segment was compiled %d times, the limit: sizes that its kernels don't serve run operation by "
               "operation",
               f->compiles);
    f->said_limit = true;
    return true;
}

tw_status tw_known_compile(known *k, const tw_graph *g, const int *in_place, const int64_t *const *stride, bool limited,
                           const char *reason, uint64_t *ns)
{
    tw_executable *e = NULL;
    tw_status status = TW_OK;
    tw_os_lock_take(compile_lock);
    if (!atomic_load(&k->executable)) {
        uint64_t start = tw_os_now_ns(), took;
        tw_os_lock_take(lock);
        bool others = k->family->members > 1 && k->family->first;
        tw_os_lock_release(lock);
        bool may = !limited || !at_limit(k->family);
        status = tw_compile_member(g, in_place, stride, others ? k->family : NULL, may, &e);
        took = tw_os_now_ns() - start;
        if (ns)
            *ns = took;
        tw_os_lock_take(lock);
        if (status == TW_OK) {
            k->family->compiles += e->compiled > 0;
            stats.compiled += e->compiled > 0 && operations_in(g) > 1;
            stats.compile_ns = operations_in(g) > 1 ? took : stats.compile_ns;
            atomic_store(&k->executable, e);
        }
        k->refused = status == TW_ERR_UNSUPPORTED && !may;
        tw_os_lock_release(lock);
        if (status == TW_OK && operations_in(g) > 1)
            tw_say(TW_LOG_GUARDS,
                   "a segment of %d operations, %s; %d kernels, %d of them for all sizes, %d compiled, %.1f ms",
                   operations_in(g), reason, e->plan->kernels, general_kernels(e->plan), e->compiled,
                   (double)took * 1e-6);
    }
    tw_os_lock_release(compile_lock);
    return status;
}

/* ---- running a plan ---- */

tw_status tw_run_executable(tw_executable *e, tw_segment_io *io)
{
    void **temporary = tw_alloc_zero((size_t)io->outputs + 1, sizeof *temporary);
    size_t *bytes = tw_alloc_zero((size_t)io->outputs + 1, sizeof *bytes);
    tw_status status = temporary && bytes ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < e->plan->slots && status == TW_OK; i++) {
        const tw_plan_slot *slot = &e->plan->slot[i];
        int k = slot->index;
        if (slot->kind != TW_SLOT_OUTPUT || io->output[k])
            continue;
        if (slot->alias_input >= 0) {
            io->output[k] = io->input[slot->alias_input];
            continue;
        }
        bytes[k] = (size_t)slot->bytes;
        io->output[k] = temporary[k] = tw_alloc_aligned(TW_MAX(bytes[k], (size_t)1), 64);
        status = temporary[k] ? TW_OK : TW_ERR_MEMORY;
    }
    if (status == TW_OK)
        status = tw_checked_execute(e, io->input, io->output);
    for (int k = 0; temporary && k < io->outputs; k++) {
        if (temporary[k] && status == TW_OK)
            memcpy(io->input[io->in_place[k]], temporary[k], bytes[k]);
        tw_free(temporary[k]);
    }
    tw_free(temporary);
    tw_free(bytes);
    return status;
}

/* ---- the runner ---- */

typedef enum { RUN_PLAN, COMPILE, COMPILE_BESIDE, RUN_OPERATIONS } action;

/* With the lock held. `reason` says why, if anything is compiled. */
static action decide(known *k, const tw_graph *g, char *reason, size_t room)
{
    tw_tier t = tw_get_tier();
    bool alone = operations_in(g) <= 1, others = k->family->members > 1;
    k->sights++;
    if (t == TW_TIER_OPERATIONS || t == TW_TIER_EAGER)
        return RUN_OPERATIONS;
    if (atomic_load(&k->executable)) {
        hits++;
        return RUN_PLAN;
    }
    if (others)
        tw_family_say_difference(k->family, g, reason, room);
    else
        snprintf(reason, room, "seen %d times", k->sights);
    if (k->refused || k->compiling || (t == TW_TIER_AUTO && k->sights == 1 && !alone && !others))
        return RUN_OPERATIONS;
    return t == TW_TIER_AUTO && !alone && tw_background_free() ? COMPILE_BESIDE : COMPILE;
}

static tw_status run_seen(tw_segment_run *run, tw_executable *e, tw_segment_io *io)
{
    run->io = io;
    run->executable = e;
    run->start = tw_os_now_ns();
    if (watcher.look)
        watcher.look(watcher.user, run, false);
    tw_status status = e ? tw_run_executable(e, io) : tw_run_operations(run->graph, io);
    run->end = tw_os_now_ns();
    if (watcher.look)
        watcher.look(watcher.user, run, true);
    return status;
}

static tw_status run_segment(const tw_graph *g, tw_segment_io *io, const char *look)
{
    tw_segment_run run = {.graph = g, .reason = look};
    char why[120] = "", reason[200];
    tw_os_lock_take(lock);
    known *k = find(g, io);
    action a = k ? decide(k, g, why, sizeof why) : RUN_OPERATIONS;
    stats.segments++;
    tw_os_lock_release(lock);
    if (!k)
        return TW_ERR_MEMORY;
    snprintf(reason, sizeof reason, "ended by %s, is compiled: %s", look, why);
    tw_status status = TW_OK;
    if (a == COMPILE)
        status = tw_known_compile(k, g, io->in_place, io->stride, true, reason, &run.compile_ns);
    else if (a == COMPILE_BESIDE)
        status = tw_background_compile(k, g, io, reason);
    tw_executable *e = a == RUN_PLAN || a == COMPILE ? atomic_load(&k->executable) : NULL;
    if (status == TW_OK || (status == TW_ERR_UNSUPPORTED && k->refused)) {
        if (!e)
            tw_say(TW_LOG_GUARDS, "a segment of %d operations, ended by %s, runs operation by operation",
                   operations_in(g), look);
        if (e) {
            tw_os_lock_take(lock);
            last = e;
            tw_os_lock_release(lock);
        }
        status = run_seen(&run, e, io);
    }
    tw_known_done(k);
    return status;
}

/* ---- compiled functions ---- */

static tw_prepared *prepare(const tw_graph *g, const tw_segment_io *io, const char *reason)
{
    known *k = tw_known(g, io);
    if (!k)
        return NULL;
    char why[200];
    snprintf(why, sizeof why, "of a function, is compiled: %s", reason);
    tw_status status = tw_known_compile(k, g, io->in_place, io->stride, false, why, NULL);
    tw_os_lock_take(lock);
    k->functions += status == TW_OK;
    tw_os_lock_release(lock);
    tw_known_done(k);
    return status == TW_OK ? (tw_prepared *)k : NULL;
}

static tw_status run_prepared(tw_prepared *plan, tw_segment_io *io)
{
    tw_segment_run run = {.reason = "a call of a compiled function"};
    hits++;
    return run_seen(&run, atomic_load(&((known *)plan)->executable), io);
}

static void release_prepared(tw_prepared *plan)
{
    if (!plan)
        return;
    tw_os_lock_take(lock);
    ((known *)plan)->functions--;
    tw_os_lock_release(lock);
}

__attribute__((constructor)) void tw_library_init(void)
{
    if (lock)
        return;
    if (tw_os_lock_create(&lock) != TW_OK || tw_os_lock_create(&compile_lock) != TW_OK)
        return; /* then segments find no runner, and say so */
    tw_register_passes();
    tw_segment_runner = run_segment;
    tw_segment_preparer = prepare;
    tw_prepared_runner = run_prepared;
    tw_prepared_releaser = release_prepared;
}
