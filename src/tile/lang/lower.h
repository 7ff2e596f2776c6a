/* Lowering: a kernel's tree, with types of its arguments, to tile operations. What the files of it share.
 *
 * The tree is interpreted once, with values (val) that are known at compile time or stand for tile values; calls of
 * helpers are inlined by interpreting their bodies. Every function returns false after an error, which is remembered
 * once (c->d) with the chain of calls. */
#ifndef TW_LANG_LOWER_H
#define TW_LANG_LOWER_H

#include "tile/lang/resolve.h"

enum {
    MOST_CALLS = 48,         /* helpers inside helpers */
    MOST_DEPTH = 900,        /* expressions and statements inside each other, all frames together */
    MOST_STEPS = 6000000,    /* statements and expressions evaluated, unrolled loops included */
    MOST_VALUES = 1 << 20,   /* tile values of a program */
    MOST_ITEMS = 4096,       /* of a tuple */
    MOST_TEXT = 1 << 15,     /* of a string */
    MOST_ELEMENTS = 1 << 24, /* of a tile */
    MOST_BYTES = 1 << 29     /* that compiling may take */
};

/* ---- types of elements ---- the order is the table's in values.c */
typedef enum {
    S_VOID,
    S_I1,
    S_I8,
    S_I16,
    S_I32,
    S_I64,
    S_U8,
    S_U16,
    S_U32,
    S_U64,
    S_F8E4NV,
    S_F8E5,
    S_F8E4B8,
    S_F8E4B15,
    S_F8E5B16,
    S_F16,
    S_BF16,
    S_F32,
    S_F64,
    S_COUNT
} scalar_kind;

typedef struct sca { /* an element: a number, or a pointer to one (2: a pointer to a pointer) */
    uint8_t kind, pointers;
} sca;

typedef struct sca_info {
    const char *name, *brief; /* "float32", "f32" */
    tw_dtype dtype;           /* in tile operations; 8-bit floats travel as u8 */
    int bits, mantissa;
    bool floating, sign;
} sca_info;
extern const sca_info tw_sca[S_COUNT];

/* ---- values ---- */
typedef enum {
    V_UNDEFINED, /* a name that only some branches define */
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STRING,
    V_TUPLE,
    V_DICT, /* items: key, value, key, value */
    V_TYPE,
    V_FUNCTION,
    V_MEANING, /* modules, builtins, classes, opaque names */
    V_METHOD,  /* of `items[0]`, named `name` */
    V_SLICE,   /* three items */
    V_LAMBDA,
    V_TENSOR,
    V_BLOCK /* a block pointer or a tensor descriptor */
} val_kind;

typedef struct val val;
typedef struct block_pointer block_pointer;

struct val {
    uint8_t kind;
    sca s;           /* TENSOR, TYPE */
    bool descriptor; /* BLOCK */
    int32_t count;   /* TUPLE, DICT items; STRING length; TYPE: rank, -1: no tile */
    union {
        bool truth;
        wide i;
        double f;
        tw_value *v;
        const char *text;
        val *item;
        function *function;
        meaning *meaning;
        block_pointer *block;
        const int64_t *dims; /* TYPE of a tile */
        const node *lambda;
    };
    const char *name;          /* METHOD; UNDEFINED: why */
    const char *const *fields; /* TUPLE: names of a named tuple */
};

struct block_pointer {
    int rank;
    bool nan;                           /* what stands outside */
    val base;                           /* a scalar pointer */
    val shape[5], stride[5], offset[5]; /* i64 scalars; offsets i32 of a descriptor */
    int64_t size[5];
};

typedef struct variable {
    const char *name;
    val v;
} variable;
typedef struct environment {
    variable *item;
    int count, room;
} environment;

typedef struct frame {
    struct frame *caller;
    function *f;
    const node *site; /* of the call, in the caller's file; NULL: the kernel */
    environment env;
    bool host;                /* a constexpr_function: numbers stay numbers */
    bool sealed;              /* a combine function: no memory, no control flow that branches at run time */
    int loops;                /* around what is lowered now */
    int run_time_loops;       /* those of them that are operations */
    uint32_t place;           /* of the call */
    struct frame *defined_in; /* of a nested function */
} frame;

typedef struct lowering {
    tw_lang *l;
    tw_graph *g;
    diagnostic *d;
    frame *frame;
    int depth, calls;
    int64_t steps, value_limit;
    tw_vec(tw_lang_place) places;
    tw_map *place_map;
    const char *returned, *result, *broken, *continued; /* names of the flags of control flow */
} lowering;

/* ---- values.c ---- */
static inline val of_int(wide i)
{
    return (val){.kind = V_INT, .i = i};
}
static inline val of_bool(bool truth)
{
    return (val){.kind = V_BOOL, .truth = truth};
}
static inline val of_float(double f)
{
    return (val){.kind = V_FLOAT, .f = f};
}
static inline val of_none(void)
{
    return (val){.kind = V_NONE};
}
static inline val of_tensor(tw_value *v, sca s)
{
    return (val){.kind = V_TENSOR, .v = v, .s = s};
}
static inline sca number(scalar_kind kind)
{
    return (sca){.kind = (uint8_t)kind};
}
static inline bool same_sca(sca a, sca b)
{
    return a.kind == b.kind && a.pointers == b.pointers;
}
static inline bool is_pointer(sca s)
{
    return s.pointers > 0;
}
static inline bool is_floating(sca s)
{
    return !s.pointers && tw_sca[s.kind].floating;
}
static inline bool is_f8(sca s)
{
    return !s.pointers && s.kind >= S_F8E4NV && s.kind <= S_F8E5B16;
}
static inline bool is_integer(sca s) /* int1 too */
{
    return !s.pointers && s.kind >= S_I1 && s.kind <= S_U64;
}
static inline bool is_number(const val *v) /* known at compile time */
{
    return v->kind == V_BOOL || v->kind == V_INT || v->kind == V_FLOAT;
}
static inline int rank_of(const val *v)
{
    return v->kind == V_TENSOR ? v->v->type.rank : 0;
}
tw_dtype tw_lang_dtype(sca s); /* of tile operations: what a pointer points to, for pointers */
bool tw_lang_sca_named(const char *name, size_t length, sca *s); /* "float32", "fp32", "f32", "*f32" */
void tw_lang_print_sca(sca s, tw_text *out);
const char *tw_lang_type_text(lowering *c, const val *v);    /* for messages; in the arena */
bool tw_lang_constant(const val *v, val *number);            /* also scalar tensors that are constants */
val tw_lang_tuple(lowering *c, int count);                   /* items to fill in; count 0 after an error */
bool tw_lang_equal(const val *a, const val *b, bool *equal); /* constants; false: can't be compared */
bool tw_lang_same(const val *a, const val *b);               /* the same thing: needs no merging */

/* ---- errors, places: lower.c ---- */
bool tw_lang_error(lowering *c, const node *n, const char *format, ...) TW_PRINTF(3, 4);
bool tw_lang_step(lowering *c, const node *n); /* counts work; false: too much */
void tw_lang_set_place(lowering *c, const node *n);
bool tw_lang_note(lowering *c, const node *n, const char *what); /* an extension: refused where strict */
val *tw_lang_variable(frame *f, const char *name);
bool tw_lang_define(lowering *c, const char *name, val v);

/* ---- constants: constant.c ---- operators on values that are known */
bool tw_lang_constant_binary(lowering *c, const node *n, uint32_t op, const val *a, const val *b, val *out);
bool tw_lang_constant_compare(lowering *c, const node *n, compare_kind kind, const val *a, const val *b, val *out);
bool tw_lang_truth(lowering *c, const node *n, const val *v, bool *truth);
bool tw_lang_to_int(lowering *c, const node *n, const val *v, const char *what, int64_t *i);

/* ---- typed tile operations: emit.c ---- */
bool tw_lang_emit(lowering *c, const node *n, tw_value *v, sca s, val *out); /* v NULL: an error */
bool tw_lang_to_tensor(lowering *c, const node *n, val *v);
bool tw_lang_number(lowering *c, const node *n, const val *number, sca s, val *out); /* a scalar tensor */
bool tw_lang_cast(lowering *c, const node *n, val *v, sca to);
bool tw_lang_cast_rounding(lowering *c, const node *n, val *v, sca to, bool to_zero);
bool tw_lang_bitcast(lowering *c, const node *n, val *v, sca to);
bool tw_lang_broadcast(lowering *c, const node *n, val *v, int rank, const int64_t *dims);
bool tw_lang_align(lowering *c, const node *n, val *a, val *b); /* one shape; scalars stay */
bool tw_lang_promote(lowering *c, const node *n, val *a, val *b, bool division);
bool tw_lang_binary(lowering *c, const node *n, uint32_t op, const val *a, const val *b, val *out);
bool tw_lang_compare(lowering *c, const node *n, compare_kind kind, const val *a, const val *b, val *out);
bool tw_lang_unary(lowering *c, const node *n, uint32_t op, const val *a, val *out);
bool tw_lang_where(lowering *c, const node *n, val condition, val a, val b, val *out);
bool tw_lang_minmax(lowering *c, const node *n, val a, val b, bool larger, bool nan, val *out);
bool tw_lang_to_bool(lowering *c, const node *n, val *v);
bool tw_lang_expand(lowering *c, const node *n, val *v, int axis);
bool tw_lang_reshape(lowering *c, const node *n, val *v, int rank, const int64_t *dims);
bool tw_lang_permute(lowering *c, const node *n, val *v, const int64_t *axes);
bool tw_lang_iota(lowering *c, const node *n, int64_t start, int64_t count, sca s, val *out);
bool tw_lang_take(lowering *c, const node *n, const val *x, val index, int axis,
                  val *out); /* along an axis, index of rank 1 */
static inline uint32_t op_of(const char *text)
{
    uint32_t op = 0;
    for (int i = 0; text[i]; i++)
        op |= (uint32_t)(unsigned char)text[i] << (8 * i);
    return op;
}

/* ---- expressions, statements, calls ---- */
bool tw_lang_evaluate(lowering *c, const node *n, val *out);  /* lower_expression.c */
bool tw_lang_subscript(lowering *c, const node *n, val *out); /* lower_index.c */
bool tw_lang_attribute(lowering *c, const node *n, const val *of, const char *name, val *out);
bool tw_lang_meaning_value(lowering *c, const node *n, meaning m, val *out);
bool tw_lang_statements(lowering *c, node *const *list, uint32_t count); /* lower_statement.c */
bool tw_lang_run_body(lowering *c, function *f, val *out);
bool tw_lang_assign(lowering *c, const node *target, val v, bool keep);
bool tw_lang_call(lowering *c, const node *n, val *out); /* lower_call.c */
bool tw_lang_invoke(lowering *c, const node *site, const val *callee, const val *arg, int count, val *out);
bool tw_lang_prelude_call(lowering *c, const node *n, const char *name, const val *arg, int count, val *out);
bool tw_lang_iterate(lowering *c, const node *n, const val *v, val *items); /* what can be unrolled, as a tuple */

/* Merging of values that differ by the way that was taken: merge.c. */
typedef tw_vec(val) val_list;
bool tw_lang_leaves(lowering *c, const val *v, val_list *out); /* its tensors, in order */
bool tw_lang_rebuild(const val *like, const val *leaf, int *used, lowering *c, val *out);
bool tw_lang_reconcile(lowering *c, const node *n, const char *name, val *a, val *b, tw_block *at_a, tw_block *at_b);

/* Shapes, integers, flags given as arguments of builtins: arguments.c. */
bool tw_lang_shape(lowering *c, const node *n, const val *v, int64_t *dims, int *rank);
bool tw_lang_flag(lowering *c, const node *n, const val *v, bool otherwise, bool *flag);
bool tw_lang_axis(lowering *c, const node *n, const val *v, int rank, int *axis);
bool tw_lang_type_of(lowering *c, const node *n, const val *v, sca *s);
bool tw_lang_tensor(lowering *c, const node *n, val *v, const char *what);
bool tw_lang_do_descriptor_rows(lowering *c, const node *n, val *arg, int which, val *out);
static inline bool given(const val *v)
{
    return v->kind != V_UNDEFINED;
}
static inline bool given_some(const val *v) /* and not None */
{
    return v->kind != V_UNDEFINED && v->kind != V_NONE;
}

#endif
