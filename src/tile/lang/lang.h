/* The tile language: Triton's kernels as source text, parsed and lowered to tile programs without Python.
 *
 *   tw_lang *l = tw_lang_create(NULL);
 *   tw_lang_add(l, "kernels.py", text, bytes);
 *   tw_lang_program p;
 *   tw_lang_compile(l, "add_kernel", arguments, count, &p);      p.graph is the tile program
 *
 * Everything belongs to the tw_lang and dies with it, the graph of a compiled program excepted. Source text is hostile:
 * bounded in size, nesting, work; a message says file, line, column, what was found, what was expected. */
#ifndef TW_LANG_H
#define TW_LANG_H

#include "tile/tile.h"

typedef struct tw_lang tw_lang;

typedef struct tw_lang_options {
    bool strict;      /* refuse what Triton would refuse: break, slices of tiles, sizes that are no power of two */
    int64_t most_ops; /* tile operations of one program; 0: a default */
} tw_lang_options;

tw_lang *tw_lang_create(const tw_lang_options *options); /* NULL options: the defaults; NULL: no memory */
void tw_lang_destroy(tw_lang *l);

/* Adds a file and parses its kernels. An error concerns the file as a whole (too large, no memory); what is wrong
 * inside a kernel is in its tw_lang_kernel, host code around kernels is never an error. */
tw_status tw_lang_add(tw_lang *l, const char *path, const char *text, size_t bytes);

/* A function with @triton.jit. */
typedef struct tw_lang_kernel {
    const char *file, *name;
    int line;
    const char *reason;  /* NULL: it parses and its names resolve; else one line */
    const char *context; /* the place: source line, caret */
    int reason_line;
} tw_lang_kernel;

/* Resolves names and checks calls of every kernel, once all files are there. */
tw_status tw_lang_check_all(tw_lang *l);
int tw_lang_kernel_count(const tw_lang *l);
const tw_lang_kernel *tw_lang_kernel_at(const tw_lang *l, int i);

/* ---- compiling ---- */

typedef enum {
    TW_LANG_ARG_POINTER,
    TW_LANG_ARG_SCALAR,
    TW_LANG_ARG_CONSTANT,  /* tl.constexpr, or a plain argument that is known: None, numbers */
    TW_LANG_ARG_DESCRIPTOR /* a tensor descriptor made by the host: pointer, shape, strides; block shape in the text */
} tw_lang_arg_kind;

/* One argument as the launch knows it: "x:*f32", "n:i32", "BLOCK=128". */
typedef struct tw_lang_arg {
    const char *name;
    tw_lang_arg_kind kind;
    const char *text;  /* the type, "*fp32" or "i64"; of a constant its value as Python writes it; of a descriptor
                          "f32[64, 32]" */
    const char *value; /* of a scalar: what the launch will pass, for @triton.heuristics; NULL: not known */
} tw_lang_arg;

typedef struct tw_lang_parameter { /* of the compiled program, in the order of its arg operations */
    const char *name;
    bool pointer;
    tw_dtype dtype;
    const char *type; /* "*fp32" */
    const char *part; /* of a descriptor: "base", "shape0", "stride1"; else NULL */
} tw_lang_parameter;

typedef struct tw_lang_place { /* what tw_op.place counts, from 1 */
    const char *file;
    int line, column;
    const char *function;
    uint32_t caller; /* place of the call that was inlined; 0: the kernel itself */
} tw_lang_place;

typedef struct tw_lang_program {
    tw_graph *graph; /* the caller's: tw_graph_destroy */
    const tw_lang_parameter *parameter;
    int parameters;
    const tw_lang_place *place; /* place[i - 1] */
    int places;
    const char *notes;         /* extensions that the kernel uses, one a line; "" */
    const char *const *config; /* of the chosen @triton.autotune configuration: "BLOCK=128"; NULL-terminated */
} tw_lang_program;

/* Arguments that are not given: defaults, values of @triton.autotune's configuration number `config` and of
 * @triton.heuristics. */
tw_status tw_lang_compile(tw_lang *l, const char *kernel, const tw_lang_arg *args, int count, int config,
                          tw_lang_program *program);
const char *tw_lang_error_context(const tw_lang *l);      /* of the last failed compilation: lines for people */
int tw_lang_config_count(tw_lang *l, const char *kernel); /* of @triton.autotune, as far as they can be known */
const char *tw_lang_source_line(const tw_lang *l, const char *file, int line, int *length);

/* Every builtin, for documentation: name, signature, text. NULL: no more. */
typedef struct tw_lang_builtin {
    const char *modules, *name, *signature, *doc;
} tw_lang_builtin;
const tw_lang_builtin *tw_lang_builtin_at(int i);

#endif
