/* Tile program in, something that runs it out. A back end is one table of functions, and one folder; docs/
 * adding-a-back-end.md says what each function has to do.
 *
 * What a back end makes of a program is a kernel, and a kernel is run by one function:
 *   buffers      one address for each pointer argument of the program, in order of the `arg` operations
 *   scalars      the values of the program's symbols (s0, s1...), then of its scalar arguments, 8 bytes each (f32 as
 *                its bits)
 *   call         the grid, and who hears what the program says
 *   first, last  the linear program ids to run, of call->grid[0] * [1] * [2]; axis 0 runs fastest
 *   scratch      tw_kernel_scratch_bytes(kernel, scalars) bytes for this thread alone, aligned to 64
 * It returns when these programs are done. Several threads run parts of one launch at the same time, and any split of
 * the ids gives the same bits. An error (of a device, or no memory) ends the launch. */
#ifndef TW_CODEGEN_H
#define TW_CODEGEN_H

#include <stdatomic.h>

#include "ir/ir.h"

typedef struct tw_backend tw_backend;
typedef struct tw_kernel tw_kernel;

/* What all programs of a launch share. `say` hears of each print and assert that a program reaches: which one of the
 * program it is (from 0, in the order of the text), the program's place in the grid, its operands' elements, row-major,
 * rows padded as the back end's `row` says. false: the instance ends here. Compiled code reads the fields by place: new
 * ones go to the end. */
typedef struct tw_kernel_call {
    int64_t grid[3];
    bool (*say)(void *user, int64_t statement, const int64_t *program, const void *const *operand);
    void *user;
    const tw_kernel *kernel; /* the one that runs, for those whose code is data */
} tw_kernel_call;

typedef tw_status tw_kernel_fn(void *const *buffers, const int64_t *scalars, const tw_kernel_call *call, int64_t first,
                               int64_t last, void *scratch);
typedef int64_t tw_kernel_scratch_fn(const int64_t *scalars);

/* A back end's own structure begins with this; compile and load fill it in by tw_kernel_init. */
struct tw_kernel {
    const tw_backend *backend;
    tw_kernel_fn *run;
    tw_kernel_scratch_fn *scratch;
    _Atomic int references;
    bool from_cache;
};

/* Two kernels to measure the machine with: a program of ARITHMETIC does *work operations of dtype (f32, f64, i32 or
 * i64) without memory; one of STREAM adds a block of buffers[0] and buffers[1] (f32) into buffers[2], *work bytes in
 * all; program i does block i. */
typedef enum { TW_PROBE_ARITHMETIC, TW_PROBE_STREAM } tw_probe_kind;

struct tw_backend {
    const char *name; /* as TW_BACKEND has it */
    /* Makes a kernel of a tile program, perhaps from what is kept on disk. Thread-safe; the program is only read. */
    tw_status (*compile)(const tw_graph *program, tw_kernel **kernel);
    /* Only from what is kept on disk, or TW_ERR_UNSUPPORTED; NULL: nothing is kept. */
    tw_status (*load)(const tw_graph *program, tw_kernel **kernel);
    void (*unload)(tw_kernel *kernel); /* nobody has it any more */
    /* Of a tile that is handed to `say`: elements from row to row; NULL: rows aren't padded. */
    int64_t (*row)(int64_t elements);
    /* The text of one stage, for `tw tile compile --emit`; NULL: there are none. */
    tw_status (*emit)(const tw_graph *program, const char *stage, tw_text *out);
    /* NULL: what tile programs reach is what the machine can do (probe.c). */
    tw_status (*probe)(tw_probe_kind kind, tw_dtype dtype, tw_kernel **kernel, int64_t *work);
};

extern const tw_backend tw_host_backend, tw_interpreter_backend;

/* ---- backend.c ---- */
tw_status tw_backend_chosen(const tw_backend **backend); /* by TW_BACKEND; the host where it says nothing */
void tw_backend_names(tw_text *out);                     /* all of them, with commas between */

void tw_kernel_init(tw_kernel *kernel, const tw_backend *backend, tw_kernel_fn *run, tw_kernel_scratch_fn *scratch);
void tw_kernel_retain(tw_kernel *kernel);
void tw_kernel_release(tw_kernel *kernel);
bool tw_kernel_shared(const tw_kernel *kernel); /* has more than one owner */
static inline int64_t tw_kernel_scratch_bytes(const tw_kernel *kernel, const int64_t *scalars)
{
    return kernel->scratch(scalars);
}

/* ---- probe.c ---- by the back end's own probe, or by tile programs */
tw_status tw_backend_probe(const tw_backend *backend, tw_probe_kind kind, tw_dtype dtype, tw_kernel **kernel,
                           int64_t *work);

/* What the host is: for the cost model, `tw devices` and cache keys. */
typedef struct tw_host_target {
    char cpu[64];     /* LLVM's name: "znver4" */
    int vector_bytes; /* of the widest useful register: 64, 32 or 16 */
    int vector_registers;
    bool fma, bf16_dot, int8_dot;
} tw_host_target;
const tw_host_target *tw_host_target_get(void);

#endif
