/* The interpreter of tile programs (src/tile/interpret*.c) as a back end: TW_BACKEND=interpreter. Slow, and independent
 * of LLVM: whatever runs here and on the host must give the same bits. It is also the shortest example of a back end.
 *
 * A kernel is a copy of its program. Its addresses are the interpreter's own; how long an array is isn't known here,
 * so that bounds aren't checked (`tw tile check` does that), and an address that a program makes from an integer leads
 * nowhere. */
#include "base/os.h"
#include "codegen/codegen.h"
#include "tile/interpret.h"

enum { MOST_ARGUMENTS = 256 };
/* An argument may lie anywhere in its array (a reversed view begins at the end): what the interpreter takes for the
 * array's start is far before it. */
static const int64_t BEFORE = (int64_t)1 << 38, ANY_BYTES = ((int64_t)1 << 39) - 1;

typedef struct interpreted {
    tw_kernel kernel; /* first: what the runtime sees */
    tw_graph *program;
    bool atomic; /* it has atomic operations */
} interpreted;

/* Atomic operations of the interpreter aren't: instances of programs that have some run one after another. */
static _Atomic uint32_t one_at_a_time;

static bool has_atomic(const tw_block *block)
{
    bool found = false;
    tw_for_each_op (op, block) {
        found = found || op->code == TW_T_ATOMIC;
        for (uint32_t i = 0; i < op->regions && !found; i++)
            found = has_atomic(op->region[i]);
    }
    return found;
}

/* ---- running ---- */

static tw_status run(void *const *buffers, const int64_t *scalars, const tw_kernel_call *call, int64_t first,
                     int64_t last, void *scratch)
{
    const interpreted *k = (const interpreted *)call->kernel;
    tw_tile_buffer buffer[MOST_ARGUMENTS];
    tw_tile_argument argument[MOST_ARGUMENTS];
    int arguments = 0, pointers = 0, words = tw_graph_symbols(k->program);
    (void)scratch;
    for (const tw_op *op = k->program->body->first; op && op->code == TW_T_ARG; op = op->next) {
        if (op->attr[2].i) {
            void *start = (void *)((uintptr_t)buffers[pointers] - (uintptr_t)BEFORE);
            buffer[pointers] = (tw_tile_buffer){start, (size_t)ANY_BYTES, "argument", true};
            argument[arguments++] = (tw_tile_argument){pointers++, BEFORE};
        } else {
            argument[arguments++] = (tw_tile_argument){-1, scalars[words++]};
        }
    }
    const int64_t range[] = {first, last};
    const tw_tile_run r = {.grid = {call->grid[0], call->grid[1], call->grid[2]},
                           .range = range,
                           .symbol = scalars,
                           .buffer = buffer,
                           .buffers = pointers,
                           .argument = argument,
                           .arguments = arguments,
                           .say = call->say,
                           .user = call->user};
    if (k->atomic)
        tw_os_word_take(&one_at_a_time);
    tw_status status = tw_tile_interpret(k->program, &r);
    if (k->atomic)
        tw_os_word_release(&one_at_a_time);
    return status;
}

static int64_t scratch_bytes(const int64_t *scalars)
{
    (void)scalars;
    return 0;
}

/* ---- making and unmaking ---- */

static tw_status check_arguments(const tw_graph *program)
{
    int count = 0;
    for (const tw_op *op = program->body->first; op && op->code == TW_T_ARG; op = op->next)
        count++;
    return count <= MOST_ARGUMENTS ? TW_OK
                                   : tw_error(TW_ERR_UNSUPPORTED, "interpreter: kernel %s has %d arguments; at most %d",
                                              program->name, count, MOST_ARGUMENTS);
}

static tw_status compile(const tw_graph *program, tw_kernel **kernel)
{
    *kernel = NULL;
    TW_TRY(check_arguments(program));
    interpreted *k = tw_alloc_zero(1, sizeof *k);
    if (!k || !(k->program = tw_graph_clone(program))) {
        tw_free(k);
        return TW_ERR_MEMORY;
    }
    k->atomic = has_atomic(k->program->body);
    tw_kernel_init(&k->kernel, &tw_interpreter_backend, run, scratch_bytes);
    *kernel = &k->kernel;
    return TW_OK;
}

static void unload(tw_kernel *kernel)
{
    interpreted *k = (interpreted *)kernel;
    tw_graph_destroy(k->program);
    tw_free(k);
}

const tw_backend tw_interpreter_backend = {.name = "interpreter", .compile = compile, .unload = unload};
