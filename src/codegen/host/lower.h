/* Tile program to LLVM IR by demand; what the files of this folder share. See README.md.
 *
 * A tile value is a function of an index. eval() yields, at one index, a `lane`: what W neighbouring elements along the
 * vector dimension are. Lanes stay lazy: a value equal in all lanes is one scalar; base + lane * step of an arange is
 * two numbers, so that a load through it becomes a contiguous vector load and its comparison with a bound becomes a
 * prefix mask. */
#ifndef TW_HOST_LOWER_H
#define TW_HOST_LOWER_H

#include <llvm-c/Core.h>

#include "codegen/codegen.h"
#include "tile/tile_ops.h"

typedef enum { LANE_NONE, LANE_UNIFORM, LANE_AFFINE, LANE_VECTOR } lane_form;

typedef struct lane {
    lane_form form;
    LLVMValueRef v;       /* UNIFORM: a scalar; AFFINE: lane 0 (i64); VECTOR: <W x T> */
    int64_t step;         /* AFFINE: from lane to lane */
    LLVMValueRef pointer; /* of a pointer value: its base; v and step are the offset in elements */
} lane;

/* One element of an index: a scalar, or the vector dimension (lanes v, v + 1, ...). */
typedef struct place {
    LLVMValueRef v; /* i64 */
    bool vector;
} place;

typedef struct memo_entry {
    const tw_value *value;
    place at[TW_MAX_RANK];
    lane result;
} memo_entry;

typedef struct value_state {
    LLVMValueRef scalar; /* rank 0: its value, once computed */
    lane pointer;        /* rank-0 pointers */
    LLVMValueRef memory; /* a tile that was materialised: row-major, rows padded to whole vectors */
    LLVMValueRef into;   /* a product that is written over its accumulator */
    bool keep;           /* dear and needed by several loops: the first loop stores it */
    bool deferred;       /* a product that waits for its stores */
    int32_t cost;        /* operations in its cone */
} value_state;

typedef struct known_size {
    tw_dim dim;
    bool padded; /* to whole vectors */
    LLVMValueRef v;
} known_size;

typedef struct block_size { /* of scratch memory: bytes times the product of dimensions */
    int64_t bytes;
    int dims, round; /* round: which dimension (from 1) is rounded up to whole vectors; 0: none */
    tw_dim dim[TW_MAX_RANK];
} block_size;

enum { MOST_SIZES = 64, ROW_LANES = 16 /* of the widest vector of the narrowest type that is looped over */ };

typedef struct cg {
    const tw_graph *g;
    LLVMContextRef c;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMValueRef entry_end; /* terminator of the entry block: scratch addresses are computed before it */
    LLVMValueRef function, buffers, scalars, scratch, pid;
    LLVMValueRef iota32; /* <W x i32> 0, 1, 2... of the current width */
    int W;               /* lanes now; 16 on AVX-512 */
    int vector_bytes;
    value_state *state; /* by value id */
    uint32_t *uses;     /* by value id */
    int pointers;       /* pointer arguments */
    known_size size[MOST_SIZES];
    int sizes;
    block_size *block; /* of scratch memory, one after another */
    int blocks, block_room;
    LLVMValueRef scratch_used; /* bytes so far, in the entry block */
    LLVMValueRef tail;         /* <W x i1>: active lanes of a last, partial vector; NULL: all */
    const tw_type *space;      /* index space of the running loop, for `keep` */
    place space_at[TW_MAX_RANK];
    memo_entry *memo;
    int memo_count, memo_room;
    tw_arena *arena;
    tw_status status;
} cg;

/* ---- lower.c ---- */
tw_status tw_host_lower(const tw_graph *program, LLVMContextRef context, LLVMModuleRef *module);
void cg_fail(cg *x, tw_status status);
LLVMValueRef cg_i64(cg *x, int64_t value);
void cg_lower_block(cg *x, const tw_block *block);

/* ---- sizes.c ---- */
LLVMValueRef cg_size(cg *x, tw_dim d); /* as i64: a constant, or made from the program's symbols */
LLVMValueRef cg_rounded_down(cg *x, LLVMValueRef n, int64_t to);
LLVMValueRef cg_first_lanes(cg *x, LLVMValueRef count); /* a mask; NULL: all lanes for certain */
LLVMValueRef cg_scratch(cg *x, block_size size);        /* a block of this thread's memory */
void cg_lower_scratch_size(cg *x);
block_size cg_tile_size(const tw_type *t);
LLVMValueRef cg_tile_stride(cg *x, const tw_type *t, int d); /* of a tile in scratch memory, in elements */

/* ---- types and single operations: ops.c ---- */
LLVMTypeRef cg_type(cg *x, tw_dtype dtype);        /* in registers: bool is i1 */
LLVMTypeRef cg_memory_type(cg *x, tw_dtype dtype); /* in memory: bool is i8 */
LLVMValueRef cg_intrinsic(cg *x, const char *name, LLVMTypeRef *overload, unsigned overloads, LLVMValueRef *arguments,
                          unsigned count);
LLVMValueRef cg_splat(cg *x, LLVMValueRef scalar);
LLVMValueRef cg_vector(cg *x, lane l, tw_dtype dtype); /* any form as <W x T> */
lane cg_pointwise(cg *x, const tw_op *op, const lane *operand);
LLVMValueRef cg_binary(cg *x, int code, tw_dtype dtype, LLVMValueRef a,
                       LLVMValueRef b);                          /* add, mul, min, max for reductions */
LLVMValueRef cg_widen(cg *x, LLVMValueRef v, tw_dtype dtype);    /* f16, bf16 to f32 */
LLVMValueRef cg_round_to(cg *x, LLVMValueRef v, tw_dtype dtype); /* and back */
LLVMValueRef cg_constant(cg *x, tw_dtype dtype, double value, int64_t bits);

/* ---- eval.c ---- */
lane cg_eval(cg *x, const tw_value *v, const place *at);
void cg_forget(cg *x);
void cg_bind(cg *x, const tw_value *v, const place *at, lane result);
void cg_push_memory(cg *x, const tw_value *v, LLVMValueRef memory);
LLVMValueRef cg_memory_at(cg *x, const tw_value *v, LLVMValueRef memory, const place *at); /* address of an element */

/* ---- memory.c ---- */
lane cg_load(cg *x, const tw_op *op, const place *at);
void cg_store(cg *x, const tw_op *op, const place *at, lane pointer, lane value, lane mask);

/* ---- loops.c ---- */
enum { MOST_PHIS = 64 };
typedef struct loop { /* for index = first; index < limit; index += step, with values carried from one round to the next
                       */
    LLVMBasicBlockRef header, after;
    LLVMValueRef index, step, phi[MOST_PHIS];
    int phis;
} loop;
loop cg_loop_begin(cg *x, LLVMValueRef first, LLVMValueRef limit, int64_t step, int phis, const LLVMValueRef *initial);
void cg_loop_end(cg *x, loop *l, const LLVMValueRef *next); /* afterwards phi[] holds the last values */
typedef void cg_body(cg *x, void *data, const place *at);
/* Runs `body` for every vector of the index space `t`: full vectors in a loop, then the rest with x->tail set. */
void cg_for_each_vector(cg *x, const tw_type *t, cg_body *body, void *data);
void cg_finish_kept(cg *x);
void cg_set_width(cg *x, int lanes);

/* ---- drivers.c: what is really looped over ---- */
void cg_store_all(cg *x, const tw_op *const *op, int count, const place *at); /* at one index */
void cg_copy_to(cg *x, const tw_value *v, LLVMValueRef memory);
void cg_store_group(cg *x, const tw_op *const *stores, int count);
void cg_reduce(cg *x, const tw_op *op);
void cg_scan(cg *x, const tw_op *op);
void cg_materialise(cg *x, const tw_value *v);

/* ---- dot.c ---- */
void cg_dot(cg *x, const tw_op *op, const tw_op *const *stores, int count, LLVMValueRef into);

#endif
