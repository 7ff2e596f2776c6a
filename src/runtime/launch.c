/* One tile program, launched on plain memory.
 *
 * Arguments of which something useful is known get a variant of their own: a stride of 1 makes lanes neighbours for
 * certain, and two arguments with one address are one array, of which the compiler must know. A variant is found by
 * comparing a few bytes; the one of the last launch comes first.
 *
 * A launch runs on the calling thread until a few microseconds say that there is more to do than other threads cost,
 * so that small ones cost little over their work. */
#include "runtime/launch.h"

#include <omp.h>
#include <stdatomic.h>

#include "base/os.h"
#include "runtime/runtime.h"
#include "tensor/hooks.h"
#include "tile/optimise.h"
#include "tile/say.h"

enum { MOST_ARGUMENTS = 200, SOON_NS = 4000, WORTH_NS = 20000, CHUNKS_A_THREAD = 8, ALIGNMENT = 64 };

typedef struct variant {
    struct variant *next;
    uint8_t known[MOST_ARGUMENTS];
    tw_kernel *kernel;
    int64_t scratch_bytes;
} variant;

struct tw_launcher {
    tw_graph *program;
    tw_launch_options options;
    int arguments, pointers;
    uint8_t pointer[MOST_ARGUMENTS], integer[MOST_ARGUMENTS]; /* flags by argument; integer: its bytes */
    const tw_op **statement;                                  /* prints and asserts, in the order of the text */
    int statements;
    _Atomic(variant *) variants;
    tw_os_lock *lock; /* of compiling, and of what programs say */
};

/* One launch, for what its programs say. */
typedef struct launch {
    tw_launcher *l;
    tw_kernel_call call;
    const variant *v;
    void *buffer[MOST_ARGUMENTS];
    int64_t scalar[MOST_ARGUMENTS];
    int64_t programs;
    _Atomic int64_t next;
    _Atomic bool stopped;
    int64_t failed;      /* -1: nothing */
    _Atomic bool broken; /* the back end met an error: */
    tw_status status;
    char message[400];
} launch;

static _Thread_local struct {
    char *memory;
    int64_t bytes;
} scratch;

static void free_scratch(void)
{
    tw_free(scratch.memory);
    scratch.memory = NULL;
    scratch.bytes = 0;
}

static char *scratch_of(int64_t bytes)
{
    if (scratch.bytes >= bytes && scratch.memory)
        return scratch.memory;
    free_scratch();
    tw_os_at_thread_end(free_scratch);
    scratch.bytes = TW_MAX(bytes, (int64_t)ALIGNMENT);
    scratch.memory = tw_alloc_aligned((size_t)scratch.bytes, ALIGNMENT);
    if (!scratch.memory)
        scratch.bytes = 0;
    return scratch.memory;
}

/* ---- creating ---- */

static tw_status read_arguments(tw_launcher *l)
{
    for (const tw_op *op = l->program->body->first; op && op->code == TW_T_ARG; op = op->next) {
        tw_dtype dtype = (tw_dtype)op->attr[1].i;
        int i = l->arguments++;
        if (i == MOST_ARGUMENTS)
            return tw_error(TW_ERR_UNSUPPORTED, "launch: kernel %s has more than %d arguments", l->program->name,
                            MOST_ARGUMENTS);
        l->pointer[i] = op->attr[2].i != 0;
        l->pointers += l->pointer[i];
        if (!l->pointer[i] && !tw_dtype_floating(dtype) && dtype != TW_BOOL)
            l->integer[i] = (uint8_t)tw_dtype_size(dtype);
    }
    if (tw_graph_symbols(l->program))
        return tw_error(TW_ERR_UNSUPPORTED, "launch: kernel %s has symbols for sizes", l->program->name);
    return TW_OK;
}

static void free_variants(tw_launcher *l)
{
    for (variant *v = atomic_load(&l->variants), *next; v; v = next) {
        next = v->next;
        tw_kernel_release(v->kernel);
        tw_free(v);
    }
}

void tw_launcher_destroy(tw_launcher *l)
{
    if (!l)
        return;
    free_variants(l);
    tw_os_lock_destroy(l->lock);
    tw_graph_destroy(l->program);
    tw_free((void *)l->statement);
    tw_free(l);
}

tw_status tw_launcher_create(const tw_graph *program, const tw_launch_options *options, tw_launcher **launcher)
{
    tw_launcher *l = tw_alloc_zero(1, sizeof *l);
    *launcher = NULL;
    if (!l)
        return TW_ERR_MEMORY;
    if (options)
        l->options = *options;
    tw_status status = tw_os_lock_create(&l->lock);
    l->program = tw_graph_clone(program);
    if (status == TW_OK)
        status = l->program ? read_arguments(l) : TW_ERR_MEMORY;
    if (status == TW_OK) {
        l->statements = tw_tile_statements(l->program->body, NULL);
        l->statement = tw_alloc_zero((size_t)l->statements + 1, sizeof *l->statement);
        status = l->statement ? TW_OK : TW_ERR_MEMORY;
    }
    if (status == TW_OK) {
        tw_tile_statements(l->program->body, l->statement);
        *launcher = l;
        return TW_OK;
    }
    tw_launcher_destroy(l);
    return status;
}

/* ---- variants ---- */

static void look_at(const tw_launcher *l, const int64_t *word, uint8_t *known)
{
    for (int i = 0; i < l->arguments; i++) {
        known[i] = 0;
        if (l->integer[i])
            known[i] = (l->integer[i] == 8 ? word[i] : (int32_t)word[i]) == 1;
        for (int j = 0; l->pointer[i] && j < i && !known[i]; j++)
            known[i] = l->pointer[j] && word[j] == word[i] && word[i] ? (uint8_t)(j + 1) : 0;
    }
}

static void say_why(const tw_launcher *l, const uint8_t *known)
{
    tw_text text = {0};
    if (!tw_log_on(TW_LOG_GUARDS))
        return;
    for (int i = 0; i < l->arguments; i++)
        if (known[i])
            tw_text_add(&text, l->pointer[i] ? ", argument %d is argument %d's array" : ", argument %d is 1", i,
                        known[i] - 1);
    tw_say(TW_LOG_GUARDS, "kernel %s: variant %d%s", l->program->name, tw_launcher_variants(l), tw_text_string(&text));
    tw_text_free(&text);
}

static tw_status compile(tw_launcher *l, const uint8_t *known, variant **made)
{
    tw_kernel_origin origin;
    tw_graph *g = tw_graph_clone(l->program);
    variant *v = tw_alloc_zero(1, sizeof *v);
    tw_status status = g && v ? tw_tile_specialise(g, known, l->arguments) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_tile_optimise(&g);
    if (status == TW_OK)
        status = tw_kernel_get(g, true, &v->kernel, &origin);
    tw_graph_destroy(g);
    if (status != TW_OK) {
        tw_free(v);
        return status;
    }
    memcpy(v->known, known, sizeof v->known);
    v->scratch_bytes = tw_kernel_scratch_bytes(v->kernel, NULL);
    *made = v;
    return TW_OK;
}

static const variant *find(const tw_launcher *l, const uint8_t *known)
{
    for (const variant *v = atomic_load_explicit(&l->variants, memory_order_acquire); v; v = v->next)
        if (!memcmp(v->known, known, (size_t)l->arguments))
            return v;
    return NULL;
}

static tw_status variant_for(tw_launcher *l, const int64_t *word, const variant **found)
{
    uint8_t known[MOST_ARGUMENTS];
    memset(known, 0, (size_t)l->arguments);
    if (!l->options.general)
        look_at(l, word, known);
    if ((*found = find(l, known)))
        return TW_OK;
    tw_os_lock_take(l->lock);
    tw_status status = TW_OK;
    variant *made;
    memset(known + l->arguments, 0, sizeof known - (size_t)l->arguments);
    if (!(*found = find(l, known)) && (status = compile(l, known, &made)) == TW_OK) {
        say_why(l, known);
        made->next = atomic_load(&l->variants);
        atomic_store_explicit(&l->variants, made, memory_order_release);
        *found = made;
    }
    tw_os_lock_release(l->lock);
    return status;
}

int tw_launcher_variants(const tw_launcher *l)
{
    int count = 0;
    for (const variant *v = atomic_load(&l->variants); v; v = v->next)
        count++;
    return count;
}

tw_status tw_launcher_prepare(tw_launcher *l, const int64_t *word)
{
    const variant *v;
    return variant_for(l, word, &v);
}

/* ---- what programs say ---- */

static void say_print(launch *run, const tw_op *op, const int64_t *program, const void *const *operand)
{
    tw_text line = {0};
    tw_tile_say_print(op, program, operand, run->v->kernel->backend->row, &line);
    tw_os_lock_take(run->l->lock);
    run->l->options.print(run->l->options.user, tw_text_string(&line));
    tw_os_lock_release(run->l->lock);
    tw_text_free(&line);
}

static bool say(void *user, int64_t statement, const int64_t *program, const void *const *operand)
{
    launch *run = user;
    const tw_op *op = run->l->statement[statement];
    if (op->code == TW_T_PRINT) {
        if (run->l->options.print)
            say_print(run, op, program, operand);
        return true;
    }
    int64_t broken = tw_tile_broken(op, operand[0], run->v->kernel->backend->row);
    if (broken < 0)
        return true;
    tw_os_lock_take(run->l->lock);
    if (run->failed < 0) {
        run->failed = statement;
        snprintf(run->message, sizeof run->message,
                 "program (%lld, %lld, %lld): the assertion does not hold (element %lld)%s%s", (long long)program[0],
                 (long long)program[1], (long long)program[2], (long long)broken, *op->attr[0].text ? ": " : "",
                 op->attr[0].text);
    }
    tw_os_lock_release(run->l->lock);
    atomic_store(&run->stopped, true);
    return false;
}

/* ---- running ---- */

static void run_chunk(launch *run, int64_t first, int64_t last, char *memory)
{
    tw_status status = run->v->kernel->run(run->buffer, run->scalar, &run->call, first, last, memory);
    if (status == TW_OK || atomic_exchange(&run->broken, true))
        return;
    run->status = status;
    snprintf(run->message, sizeof run->message, "%s", tw_error_message());
    atomic_store(&run->stopped, true);
}

static bool run_chunks(launch *run, int64_t chunk)
{
    char *memory = scratch_of(run->v->scratch_bytes);
    while (memory && !atomic_load_explicit(&run->stopped, memory_order_relaxed)) {
        int64_t first = atomic_fetch_add_explicit(&run->next, chunk, memory_order_relaxed);
        if (first >= run->programs)
            return true;
        run_chunk(run, first, TW_MIN(first + chunk, run->programs), memory);
    }
    return memory != NULL;
}

/* Alone, twice as many programs each time, until that has taken a while. */
static int64_t run_alone(launch *run, char *memory, bool *worth)
{
    int64_t done = 0, count = 1;
    uint64_t start = tw_os_now_ns();
    *worth = false;
    while (done < run->programs && !atomic_load_explicit(&run->stopped, memory_order_relaxed)) {
        int64_t last = TW_MIN(done + count, run->programs);
        run_chunk(run, done, last, memory);
        done = last;
        if (done == run->programs)
            break;
        uint64_t passed = tw_os_now_ns() - start;
        if (passed > SOON_NS && (double)passed / (double)done * (double)(run->programs - done) > WORTH_NS) {
            *worth = true;
            break;
        }
        count *= 2;
    }
    return done;
}

static tw_status run_all(launch *run)
{
    char *memory = scratch_of(run->v->scratch_bytes);
    if (!memory)
        return TW_ERR_MEMORY;
    if (run->programs == 1) {
        run_chunk(run, 0, 1, memory);
        return TW_OK;
    }
    bool worth, fine = true;
    int64_t done = run_alone(run, memory, &worth);
    int threads = worth ? tw_num_threads() : 1; /* not before it is needed: it asks the system */
    if (done == run->programs || atomic_load(&run->stopped))
        return TW_OK;
    atomic_init(&run->next, done);
    int64_t chunk = TW_MAX((run->programs - done) / ((int64_t)threads * CHUNKS_A_THREAD), (int64_t)1);
#pragma omp parallel num_threads(threads) reduction(&& : fine) if (threads > 1)
    fine = run_chunks(run, chunk);
    return fine ? TW_OK : TW_ERR_MEMORY;
}

tw_status tw_launcher_run(tw_launcher *l, const int64_t *grid, const int64_t *word, int64_t *failed)
{
    launch run; /* large: only what is used is set */
    run.l = l;
    run.call = (tw_kernel_call){.grid = {grid[0], grid[1], grid[2]}, .say = say, .user = &run};
    run.failed = -1;
    run.status = TW_ERR_VALUE; /* of an assertion */
    atomic_init(&run.broken, false);
    atomic_init(&run.stopped, false);
    for (int i = 0; i < 3; i++)
        if (grid[i] < 0 || grid[i] > INT32_MAX)
            return tw_error(TW_ERR_VALUE, "a grid of [%lld, %lld, %lld] programs", (long long)grid[0],
                            (long long)grid[1], (long long)grid[2]);
    if (__builtin_mul_overflow(grid[0] * grid[1], grid[2], &run.programs))
        return tw_error(TW_ERR_VALUE, "a grid of too many programs");
    TW_TRY(variant_for(l, word, &run.v));
    run.call.kernel = run.v->kernel;
    for (int i = 0, pointers = 0, scalars = 0; i < l->arguments; i++) {
        if (l->pointer[i])
            run.buffer[pointers++] = (void *)(uintptr_t)word[i];
        else
            run.scalar[scalars++] = word[i];
    }
    if (run.programs > 0)
        TW_TRY(run_all(&run));
    if (failed)
        *failed = run.failed;
    return run.failed >= 0 || atomic_load(&run.broken) ? tw_error(run.status, "%s", run.message) : TW_OK;
}
