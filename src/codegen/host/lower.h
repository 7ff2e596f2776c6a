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
    LLVMValueRef base;    /* of a pointer or an offset that is a VECTOR: an i64 that all lanes add; NULL: 0 */
    bool absolute;        /* of a pointer: no base; the offset is an address, in bytes */
    bool guessed;         /* of a pointer that is a VECTOR: may well be neighbours, which is looked at when it runs */
} lane;

/* One element of an index: a scalar, or the vector dimension (lanes v, v + 1, ...). */
typedef struct place {
    LLVMValueRef v; /* i64 */
    bool vector;
    LLVMValueRef lanes; /* <W x i64>: an index of each lane's own; v and vector mean nothing then */
} place;

typedef struct memo_entry {
    const tw_value *value;
    bool offset; /* as cg_offset has it */
    place at[TW_MAX_RANK];
    lane result;
} memo_entry;

typedef struct value_state {
    LLVMValueRef scalar;   /* rank 0: its value, once computed */
    lane pointer;          /* rank-0 pointers */
    LLVMValueRef memory;   /* a tile that was materialised: row-major, rows padded to whole vectors */
    LLVMValueRef into;     /* a product that is written over its accumulator */
    bool ragged;           /* a panel that ends early: see ragged.c */
    uint8_t cut;           /* of a driver: which of its loops do (CUT_M ...) */
    bool keep;             /* dear and needed by several loops: the first loop stores it */
    bool early;            /* a load that a later store may overwrite before it is needed: see order.c */
    bool deferred;         /* a product that waits for its stores */
    int8_t rare;           /* a select: 1 with a branch around its first arm, -1 without; 0: not known yet */
    int32_t cost;          /* operations in its cone */
    int32_t looked[2];     /* by order.c: in which round it was looked at, in step or not */
    int32_t hoisted, rest; /* by cg_hoist: in which round it was looked at, and what it found */
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

/* Loops over a panel that ends early: a product's rows, columns and chain, a reduction's row. */
enum { CUT_M = 1, CUT_N = 2, CUT_K = 4, CUT_ROW = 8 };

typedef struct ragged {          /* the panel of the block that is lowered; mask NULL: none */
    const tw_value *mask, *base; /* its first row; NULL: 0 */
    int64_t rows, columns;
} ragged;

enum { MOST_KEPT = 128 };
enum { MOST_SIZES = 64, ROW_LANES = 16 /* of the widest vector of the narrowest type that is looped over */ };

typedef struct cg {
    const tw_graph *g;
    LLVMContextRef c;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMValueRef entry_end; /* terminator of the entry block: scratch addresses are computed before it */
    LLVMValueRef function, buffers, scalars, call, scratch, pid[3];
    LLVMValueRef iota32; /* <W x i32> 0, 1, 2... of the current width */
    int W;               /* lanes now; 16 on AVX-512 */
    int vector_bytes;
    value_state *state;     /* by value id */
    uint32_t *uses;         /* by value id */
    const tw_value **under; /* by value id: the condition that it is needed under; see rare.c */
    int pointers;           /* pointer arguments */
    known_size size[MOST_SIZES];
    int sizes;
    block_size *block; /* of scratch memory, one after another */
    int blocks, block_room;
    LLVMValueRef scratch_used; /* bytes so far, in the entry block */
    int looking;               /* round of order.c */
    int hoisting;              /* round of cg_hoist */
    bool *probed;              /* not NULL: loads only say whether they are of neighbours */
    LLVMValueRef tail;         /* <W x i1>: active lanes of a last, partial vector; NULL: all */
    ragged ragged;
    LLVMValueRef end;     /* of the rows of the running loop, where they end early; NULL: they don't */
    const tw_type *space; /* index space of the running loop, for `keep` */
    place space_at[TW_MAX_RANK];
    memo_entry *memo;
    int memo_count, memo_room;
    const tw_value *kept[MOST_KEPT]; /* by the running loop */
    int kept_count;
    const tw_value **pushed; /* tiles that got memory, in order */
    int pushed_count, pushed_room;
    LLVMBasicBlockRef leave; /* where a program instance ends early */
    tw_arena *arena;
    tw_status status;
} cg;

/* ---- lower.c ---- */
tw_status tw_host_lower(const tw_graph *program, LLVMContextRef context, LLVMModuleRef *module);
void cg_fail(cg *x, tw_status status);
void cg_refuse(cg *x, const char *what); /* TW_ERR_UNSUPPORTED */
LLVMValueRef cg_i64(cg *x, int64_t value);
LLVMBasicBlockRef cg_block(cg *x); /* appended; the builder stays where it is */
void cg_lower_block(cg *x, const tw_block *block);
int cg_hoist(cg *x, const tw_value *v);
bool cg_same_shape(const tw_type *a, const tw_type *b);

/* ---- control.c ---- */
void cg_for(cg *x, const tw_op *op);
void cg_while(cg *x, const tw_op *op);
void cg_if(cg *x, const tw_op *op);

/* ---- order.c ---- */
bool cg_writes(const tw_op *op);                                   /* user memory, itself or in a region */
bool cg_may_alias(const tw_value *pointer, const tw_value *other); /* tiles or scalars of pointers */
void cg_order_loads(cg *x, const tw_block *block);
bool cg_must_part(cg *x, const tw_op *first, const tw_op *second); /* stores; else they may be one loop */
bool cg_may_wait(cg *x, const tw_op *dot);                         /* until its stores are looped over */

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
LLVMValueRef cg_iota(cg *x, int64_t step);                     /* <W x i64> 0, step, 2 * step... */
LLVMValueRef cg_extend(cg *x, LLVMValueRef v, tw_dtype dtype); /* an integer, or a vector of them, to 64 bits */
LLVMValueRef cg_all_lanes(cg *x);

/* ---- ragged.c ---- */
void cg_find_ragged(cg *x, const tw_block *block);
LLVMValueRef cg_ragged_columns(cg *x); /* that the program looks at */

/* ---- rare.c ---- */
bool cg_find_rare(cg *x);             /* false: no memory */
bool cg_rare(cg *x, const tw_op *op); /* is it a select with an arm that is worth a branch? */
lane cg_eval_rare(cg *x, const tw_op *op, const place *at);

/* ---- eval.c ---- */
lane cg_eval(cg *x, const tw_value *v, const place *at);
void cg_forget(cg *x);
void cg_bind(cg *x, const tw_value *v, const place *at, lane result);
const lane *cg_find_offset(const cg *x, const tw_value *v, const place *at);
void cg_bind_offset(cg *x, const tw_value *v, const place *at, lane result);
void cg_push_memory(cg *x, const tw_value *v, LLVMValueRef memory);
void cg_pop_memory(cg *x, int count); /* back to so many: what a region filled isn't there behind it */
LLVMValueRef cg_memory_at(cg *x, const tw_value *v, LLVMValueRef memory, const place *at); /* address of an element */

/* ---- views.c ---- */
lane cg_view(cg *x, const tw_op *op, const place *at);
/* A view of one source: which element of it is at `at`? */
const tw_value *cg_source(cg *x, const tw_op *op, const place *at, place *inner);
LLVMValueRef cg_lanes(cg *x, const place *p); /* the index as <W x i64> */
bool cg_place_is_vector(const place *at, int rank);
lane cg_split_half(cg *x, const tw_value *half, const place *at);

/* ---- pointer.c ---- */
lane cg_pointer(cg *x, const tw_op *op, const place *at); /* of an operation that makes pointers */
lane cg_offset(cg *x, const tw_value *v,
               const place *at);                      /* an integer as an offset: i64, split, no overflow assumed */
lane cg_address(cg *x, lane pointer, tw_dtype dtype); /* as 64-bit integers, in bytes */
lane cg_from_address(cg *x, LLVMValueRef address);
LLVMValueRef cg_element_at(cg *x, tw_dtype dtype, const lane *pointer,
                           LLVMValueRef index); /* UNIFORM, or lane 0 of AFFINE */
LLVMValueRef cg_vector_of_pointers(cg *x, tw_dtype dtype, const lane *pointer);

/* ---- memory.c ---- */
LLVMValueRef cg_to_memory(cg *x, const tw_type *t, lane l, bool vector); /* a scalar, or W lanes, as memory has them */
LLVMTypeRef cg_element_type(cg *x, const tw_type *t);                    /* in memory; pointers are i64 */
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
void cg_write_memory(cg *x, const tw_value *v, LLVMValueRef memory, const place *at, lane l);

/* ---- combine.c, atomic.c, sort.c, say.c ---- */
void cg_combine(cg *x, const tw_op *op);
void cg_atomic(cg *x, const tw_op *op);
void cg_sort(cg *x, const tw_op *op);
void cg_say(cg *x, const tw_op *op);

/* ---- dot.c ---- */
void cg_dot(cg *x, const tw_op *op, const tw_op *const *stores, int count, LLVMValueRef into);

#endif
