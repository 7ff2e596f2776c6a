/* Tile program in, machine code out. One folder a target; a target is one table of functions.
 *
 * The kernel of a tile program on the host is one function:
 *   buffers      one address for each pointer argument of the program, in order of the `arg` operations
 *   scalars      the values of the program's symbols (s0, s1...), then of its scalar arguments, 8 bytes each (f32 as
 * its bits) call         the grid, and who hears what the program says first, last  the linear program ids to run, of
 * call->grid[0] * [1] * [2]; axis 0 runs fastest scratch      scratch_bytes(scalars) bytes for this thread alone,
 * aligned to 64 Any split of the ids over threads gives the same bits. */
#ifndef TW_CODEGEN_H
#define TW_CODEGEN_H

#include "ir/ir.h"

/* What all programs of a launch share. `say` hears of each print and assert that a program reaches: which one of the
 * program it is (from 0, in the order of the text), the program's place in the grid, its operands' elements, row-major,
 * rows padded as tw_kernel_row says. false: the instance ends here. */
typedef struct tw_host_call {
    int64_t grid[3];
    bool (*say)(void *user, int64_t statement, const int64_t *program, const void *const *operand);
    void *user;
} tw_host_call;

typedef void tw_host_kernel_fn(void *const *buffers, const int64_t *scalars, const tw_host_call *call, int64_t first,
                               int64_t last, void *scratch);
typedef int64_t tw_host_scratch_fn(const int64_t *scalars);

typedef struct tw_kernel tw_kernel; /* loaded code; counted references */

/* Compiles (or takes from the disk cache) and loads a tile program for this machine. Thread-safe; the program is only
 * read. */
tw_status tw_host_compile(const tw_graph *program, tw_kernel **kernel);
tw_status tw_host_load(const tw_graph *program,
                       tw_kernel **kernel); /* from the disk cache; TW_ERR_UNSUPPORTED: not there */
tw_host_kernel_fn *tw_kernel_entry(const tw_kernel *kernel);
int64_t tw_kernel_scratch_bytes(const tw_kernel *kernel, const int64_t *scalars);
bool tw_kernel_from_cache(const tw_kernel *kernel);
void tw_kernel_retain(tw_kernel *kernel);
void tw_kernel_release(tw_kernel *kernel);
bool tw_kernel_shared(const tw_kernel *kernel); /* has more than one owner */
int64_t tw_kernel_row(int64_t elements);        /* of a tile that is handed to `say`: elements from row to row */

/* The text of one stage, for `tw tile` and TW_LOG: "llvm" or "asm". */
tw_status tw_host_emit(const tw_graph *program, const char *stage, tw_text *out);

/* Two kernels that are no tile programs, to measure the machine with: a program of ARITHMETIC does *work operations of
 * dtype (f32, f64, i32 or i64) in registers; one of STREAM adds a block of buffers[0] and buffers[1] (f32) into
 * buffers[2], *work bytes in all. */
typedef enum { TW_PROBE_ARITHMETIC, TW_PROBE_STREAM } tw_probe_kind;
tw_status tw_host_probe(tw_probe_kind kind, tw_dtype dtype, tw_kernel **kernel, int64_t *work);

/* What the target is: for the cost model, `tw devices` and cache keys. */
typedef struct tw_host_target {
    char cpu[64];     /* LLVM's name: "znver4" */
    int vector_bytes; /* of the widest useful register: 64, 32 or 16 */
    int vector_registers;
    bool fma, bf16_dot, int8_dot;
} tw_host_target;
const tw_host_target *tw_host_target_get(void);

#endif
