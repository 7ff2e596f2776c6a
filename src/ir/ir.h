/* The one IR: SSA values, operations with attributes and regions, in a graph. Two operation tables use it: graph
 * (tensors) and tile (blocks of tensors in a kernel). See README.md of this folder for the text form.
 *
 * Memory: a graph owns an arena; values, operations, types and attributes live in it and die with it.
 * Passes that change much build a new graph and map old values to new ones (tw_graph_clone_op): no use lists to keep
 * true. */
#ifndef TW_IR_H
#define TW_IR_H

#include "base/base.h"

typedef struct tw_graph tw_graph;
typedef struct tw_op tw_op;
typedef struct tw_value tw_value;
typedef struct tw_block tw_block;

/* ---- dimensions: dim.c ----
 * A dimension is a constant (>= 0) or an expression over the graph's symbols (< 0: a handle into the graph's table).
 * Expressions are polynomials over symbols and floor-divisions, kept in one canonical form and shared, so that equal
 * expressions have equal handles. A symbol stands for a size >= 1 that is known when the plan runs. */
typedef int64_t tw_dim;
static inline bool tw_dim_constant(tw_dim d)
{
    return d >= 0;
}
tw_dim tw_dim_symbol(tw_graph *g, int index); /* symbol s<index>; printed "s0" */
int tw_graph_symbols(const tw_graph *g);      /* 1 + the highest symbol index in use */
tw_dim tw_dim_add(tw_graph *g, tw_dim a, tw_dim b);
tw_dim tw_dim_sub(tw_graph *g, tw_dim a, tw_dim b); /* caller knows that a >= b */
tw_dim tw_dim_mul(tw_graph *g, tw_dim a, tw_dim b);
tw_dim tw_dim_floordiv(tw_graph *g, tw_dim a,
                       tw_dim b); /* exact division is found where it exists: (4*s0)/4 = s0, (s0*s1)/s1 = s0 */
tw_dim tw_dim_ceildiv(tw_graph *g, tw_dim a, tw_dim b);
bool tw_dim_divides(tw_graph *g, tw_dim divisor, tw_dim d); /* provably, for all sizes */
tw_dim tw_dim_import(tw_graph *to, const tw_graph *from, tw_dim d);
int64_t tw_dim_eval(const tw_graph *g, tw_dim d, const int64_t *symbols); /* symbols[i] is s<i> */
void tw_dim_print(const tw_graph *g, tw_dim d, tw_text *out); /* "8", "s0", "4*s0*s1+3" ; floor-division "(s0+3)/4" */
/* The expression as a list of steps for code generation: postfix program. */
typedef enum { TW_DIM_CONST, TW_DIM_SYMBOL, TW_DIM_ADD, TW_DIM_MUL, TW_DIM_FLOORDIV } tw_dim_step_kind;
typedef struct {
    tw_dim_step_kind kind;
    int64_t value;
} tw_dim_step;
int tw_dim_steps(const tw_graph *g, tw_dim d, tw_dim_step *steps, int room); /* number of steps, or -1: no room */

/* ---- types ---- a tensor (graph level) or a tile (tile level; rank 0 is a scalar); `pointer`: elements are addresses
 * of dtype. */
typedef struct tw_type {
    uint8_t dtype; /* tw_dtype */
    uint8_t rank;
    bool pointer;
    tw_dim dims[TW_MAX_RANK];
} tw_type;
bool tw_type_equal(const tw_type *a, const tw_type *b);
tw_dim tw_type_count(tw_graph *g, const tw_type *t); /* number of elements */
tw_type tw_type_make(tw_dtype dtype, int rank, const tw_dim *dims);
static inline tw_type tw_type_scalar(tw_dtype dtype)
{
    return (tw_type){.dtype = (uint8_t)dtype};
}
void tw_type_print(const tw_graph *g, const tw_type *t, tw_text *out); /* "f32[4, s0]", "ptr<f32>[16]", "i64[]" */

/* ---- attributes: by position, as the operation's row names them ---- */
typedef enum {
    TW_ATTR_INT,
    TW_ATTR_FLOAT,
    TW_ATTR_BOOL,
    TW_ATTR_DTYPE,
    TW_ATTR_DIMS,
    TW_ATTR_INTS,
    TW_ATTR_ENUM,
    TW_ATTR_TEXT
} tw_attr_kind;
typedef union tw_attr {
    int64_t i; /* INT, BOOL, DTYPE, ENUM (index into the row's list of names) */
    double f;
    const char *text; /* TEXT: NUL-terminated; owned by the graph's arena once in an operation */
    struct {
        const tw_dim *v; /* DIMS: sizes, perhaps symbolic; INTS: plain numbers (axes, steps): a list; owned by the
                            graph's arena once in an operation */
        int n;
    } dims;
} tw_attr;
typedef struct tw_attr_info {
    const char *name;
    tw_attr_kind kind;
    const char *const *names; /* ENUM: NULL-terminated */
} tw_attr_info;

/* ---- operation tables: generated from ops/graph.def and tile/tile.def by tools/opgen.py ---- */
typedef enum { TW_LEVEL_STRUCTURE, TW_LEVEL_COMPOSITE, TW_LEVEL_PRIMITIVE, TW_LEVEL_TILE } tw_level;
typedef enum {
    TW_CLASS_STRUCTURE, /* input, constant-like, output, control flow */
    TW_CLASS_POINTWISE,
    TW_CLASS_REDUCTION,
    TW_CLASS_VIEW,
    TW_CLASS_CREATION, /* full, iota, philox: no tensor is read (philox: two integers) */
    TW_CLASS_JOIN,     /* cat */
    TW_CLASS_GATHER,
    TW_CLASS_SCATTER,
    TW_CLASS_CONTRACTION,
    TW_CLASS_SCAN,
    TW_CLASS_MEMORY, /* tile: load, store, atomics */
    TW_CLASS_COMPOSITE
} tw_class;

enum { TW_OP_PURE = 1, TW_OP_COMMUTATIVE = 2, TW_OP_TERMINATOR = 4, TW_OP_ALIAS = 8, TW_OP_IN_PLACE = 16 };

/* Types of an operation's results from its operands and attributes: the row's shape and dtype rules. Sets
 * op->results[].type. */
typedef tw_status tw_infer_rule(tw_graph *g, tw_op *op);

typedef struct tw_op_info {
    const char *name;
    const char *doc;
    tw_level level;
    tw_class class;
    int operands;  /* how many; with `optional`, the most */
    int optional;  /* how many of the last ones may be absent (NULL) */
    bool variadic; /* any number of operands (cat, output, yield) */
    int attrs;
    int results; /* -1: as many as its first region yields (for, while, if) */
    int regions;
    int cost; /* of one element, in vector instructions for a vector of them */
    int flags;
    const char *const *operand_names;
    const tw_attr_info *attr_info;
    tw_infer_rule *infer;
} tw_op_info;

typedef struct tw_op_table {
    const char *name; /* "graph" or "tile" */
    const tw_op_info *ops;
    int count;
    int input, output; /* codes of the structure operations that stand for the graph's arguments and results */
} tw_op_table;

/* ---- values, operations, blocks, graphs ---- */
struct tw_value {
    tw_type type;
    uint32_t id; /* number in the graph: "%7"; unique and dense: arrays of graph->values entries map values to facts */
    uint32_t index;  /* which result of def, or which argument of block */
    tw_op *def;      /* NULL: a block argument */
    tw_block *block; /* of a block argument */
};

struct tw_op {
    tw_op *prev, *next;
    tw_block *block; /* NULL: removed or not yet inserted */
    const tw_op_info *info;
    uint16_t code;
    uint16_t regions;
    uint32_t place; /* where in a source text it comes from, as the graph's maker counts; 0: nowhere. No part of the
                       text form or the hash. */
    uint32_t operands, results;
    tw_value **operand; /* NULL entries: optional operands not given */
    tw_attr *attr;
    tw_block **region; /* one block each */
    tw_value *result;  /* an array */
};

struct tw_block {
    tw_op *first, *last;
    tw_op *parent; /* NULL: the graph's body */
    tw_value **arg;
    uint32_t args;
};

struct tw_graph {
    tw_arena *arena;
    const tw_op_table *table;
    tw_block *body;
    uint32_t values; /* how many value ids were given out */
    struct tw_dim_table *dims;
    tw_status failed;     /* a dimension could not be made (and is 0): the graph takes no operation any more */
    tw_op *insert_before; /* builders insert here; NULL: at the end of insert_block */
    tw_block *insert_block;
    uint32_t place; /* that new operations get */
    const char *name;
};

tw_graph *tw_graph_create(const tw_op_table *table); /* NULL: no memory */
void tw_graph_destroy(tw_graph *g);

/* Makes an operation, infers its result types, and inserts it at the graph's insertion point. Attributes and operands
 * are copied. NULL: the rule refused (tw_error_message says why) or no memory. `regions` blocks are made empty. Result
 * types of an operation with regions are inferred by tw_op_finish once the regions are filled. */
tw_op *tw_graph_add(tw_graph *g, int code, int operands, tw_value *const *operand, const tw_attr *attrs);
tw_status tw_op_finish(tw_graph *g, tw_op *op);
tw_value *tw_block_add_arg(tw_graph *g, tw_block *block, tw_type type);
tw_value *tw_graph_input(tw_graph *g, tw_type type); /* adds the next input at the end of the body's leading inputs */
void tw_op_remove(tw_op *op);
void tw_graph_insert_at_end(tw_graph *g, tw_block *block);
void tw_graph_insert_before(tw_graph *g, tw_op *op);

/* Copies one operation (regions included) of `from` into `to` at the insertion point; map[old value id] gives the new
 * operands and receives the new results. The map has from->values entries. Symbolic dimensions are imported. */
tw_op *tw_graph_clone_op(tw_graph *to, const tw_graph *from, const tw_op *op, tw_value **map);
tw_graph *tw_graph_clone(const tw_graph *from);

#define tw_for_each_op(op, block)                                                                                      \
    for (tw_op *op = (block)->first, *op##_next; op && (op##_next = op->next, true); op = op##_next)

/* Facts computed on demand, in arena `a`, valid until the graph changes. */
uint32_t *tw_graph_use_counts(const tw_graph *g, tw_arena *a); /* by value id */
bool tw_block_uses(const tw_block *block, const tw_value *v);  /* here or in a region within */
void tw_block_replace_uses(tw_block *block, const tw_value *from, tw_value *to);
typedef struct tw_users {
    uint32_t *start; /* start[id] .. start[id + 1] index `op` */
    tw_op **op;      /* an operation that uses the value twice stands there twice */
} tw_users;
tw_users tw_graph_users(const tw_graph *g, tw_arena *a); /* start == NULL: no memory */

/* ---- text: print.c, parse.c ---- parse(print(g)) is g, and print(parse(t)) is t for text that print made. */
void tw_graph_print(const tw_graph *g, tw_text *out);
void tw_graph_dump(const tw_graph *g); /* to standard error: for debuggers */
void tw_op_print(const tw_graph *g, const tw_op *op, int indent, tw_text *out);
/* Hostile input is expected: bounded in size and nesting, every error says line, column, what was found and what was
 * expected. */
tw_graph *tw_graph_parse(const tw_op_table *table, const char *text, size_t bytes);

/* ---- verify.c ---- definitions dominate uses, arity, attributes in range, types as the rules infer them, terminators.
 */
tw_status tw_graph_verify(const tw_graph *g);

/* ---- hash: structural, independent of ids' absolute numbers and of names ---- */
tw_status tw_graph_hash(const tw_graph *g, tw_hash *hash);
tw_status tw_graph_shape_hash(const tw_graph *g, tw_hash *hash); /* equal also for graphs that differ in sizes only */

/* ---- passes: pass.c ---- */
typedef tw_status tw_pass_run(tw_graph **g,
                              bool *changed); /* may replace *g by a new graph (and destroys the old one) */
typedef struct tw_pass {
    const char *name;
    tw_pass_run *run;
    tw_log_stage log; /* TW_LOG of this stage prints the graph after the pass */
} tw_pass;
/* Runs them in order; the verifier runs after each in debug builds and when TW_VERIFY is set. */
tw_status tw_pass_run_all(const tw_pass *passes, int count, tw_graph **g);

/* Passes by name, for `tw opt` and text tests. */
void tw_pass_register(const tw_pass *pass);
const tw_pass *tw_pass_find(const char *name); /* NULL: unknown */
const char *tw_pass_names(void);               /* all of them, with commas between, for messages */

/* Generic passes, for both tables. */
tw_status tw_pass_dce(tw_graph **g, bool *changed); /* removes pure operations whose results nobody uses */
tw_status tw_pass_cse(tw_graph **g,
                      bool *changed); /* one computation for equal pure operations of one block or its parents */

/* ---- rewrite.c ---- rules as data. One walk in order; at each operation the rules of its code are tried until none
 * applies. A rule looks at `op` and either returns false, or builds the replacement (inserted before op) and sets
 * *replacement; the driver then replaces every use. */
typedef struct tw_rewrite_rule {
    int code;         /* the root operation of the pattern */
    const char *name; /* "x * 1 = x" : printed in logs */
    bool (*apply)(tw_graph *g, const tw_op *op, tw_value **replacement);
} tw_rewrite_rule;
tw_status tw_rewrite(tw_graph **g, const tw_rewrite_rule *rules, int count, bool *changed);

#endif
