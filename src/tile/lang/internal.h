/* What the files of the front end share: sources and messages, tokens, the syntax tree, modules and their functions.
 *
 * A set of source files (tw_lang) owns one arena: text, tokens, trees, modules die with it. Names are interned, so that
 * equal names are equal pointers. */
#ifndef TW_LANG_INTERNAL_H
#define TW_LANG_INTERNAL_H

#include "tile/lang/lang.h"

__extension__ typedef __int128 wide; /* Python's whole numbers, as far as kernels need them */

enum {
    MOST_FILE_BYTES = 16 << 20,
    MOST_NESTING = 200,    /* brackets, blocks, operators inside each other: every walk of a tree is recursive */
    MOST_INDENTATION = 100 /* as Python's own tokenizer */
};

/* ---- sources and messages: source.c ---- */

typedef struct source {
    const char *path, *text;
    size_t bytes;
    uint32_t *line_start; /* offsets; lines are counted from 1 */
    int lines;
} source;

typedef struct diagnostic { /* the first error of a function or a file */
    bool set;
    tw_status status;
    const source *file;
    uint32_t at;         /* offset in the file */
    char *reason;        /* one line */
    const char *context; /* the line, a caret, the chain of calls */
} diagnostic;

void tw_lang_position(const source *s, uint32_t at, int *line, int *column);
/* Remembers the first message only; always returns false. `length`: how many characters the caret underlines. */
bool tw_lang_fail(tw_lang *l, diagnostic *d, const source *s, uint32_t at, uint32_t length, const char *format, ...)
    TW_PRINTF(6, 7);
const char *tw_lang_intern(tw_lang *l, const char *text, size_t length);            /* NULL: no memory */
const char *tw_lang_nearest(const char *name, const char *const *names, int count); /* for "did you mean"; NULL */

/* ---- tokens: token.c ---- */

typedef enum { T_NAME, T_NUMBER, T_STRING, T_OP, T_NEWLINE, T_INDENT, T_DEDENT, T_END, T_BAD } token_kind;

typedef struct token {
    uint8_t kind;
    uint32_t op; /* T_OP: its characters, the first one lowest */
    uint32_t at, length;
    const char *text; /* T_NAME: interned; T_BAD: what is wrong */
} token;

#define OP1(a) ((uint32_t)(a))
#define OP2(a, b) ((uint32_t)(a) | (uint32_t)(b) << 8)
#define OP3(a, b, c) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16)

typedef tw_vec(token) token_list;
/* All tokens of text[from, to), an end token last. Errors become T_BAD tokens. `bracketed`: lines are joined (inside an
 * f-string). false: no memory. */
bool tw_lang_tokenize(tw_lang *l, const source *s, uint32_t from, uint32_t to, bool bracketed, token_list *out);

/* ---- the syntax tree: parse_expression.c, parse_statement.c ---- */

typedef enum {
    /* expressions */
    N_NAME,    /* name */
    N_INT,     /* number */
    N_FLOAT,   /* real */
    N_STRING,  /* name, length */
    N_FSTRING, /* child: N_STRING and expressions */
    N_TRUE,
    N_FALSE,
    N_NONE,
    N_ELLIPSIS,
    N_TUPLE,
    N_LIST,
    N_SET,
    N_DICT,      /* child: key, value, key, value; a NULL key: ** */
    N_ATTRIBUTE, /* child 0, name */
    N_SUBSCRIPT, /* child 0, index */
    N_SLICE,     /* three children, each may be NULL */
    N_CALL,      /* child 0: what is called; then arguments, N_STARRED, N_KEYWORD */
    N_KEYWORD,   /* name (NULL: **), child 0 */
    N_STARRED,
    N_UNARY,   /* op */
    N_BINARY,  /* op */
    N_COMPARE, /* child 0, 1, ...; ops[i] stands between i and i + 1 */
    N_AND,
    N_OR,
    N_CONDITIONAL,   /* test, then, otherwise */
    N_LAMBDA,        /* child: N_PARAMETER..., last the body */
    N_COMPREHENSION, /* op: '[', '(', '{' or ':'; child: element, (value,) N_CLAUSE... */
    N_CLAUSE,        /* target, iterable, conditions... */
    N_WALRUS,        /* target, value */
    N_OTHER,         /* an expression that kernels can't have: yield, await; name */
    /* statements */
    N_EXPRESSION,
    N_ASSIGN,    /* targets..., value */
    N_ANNOTATED, /* target, annotation, value or NULL */
    N_AUGMENTED, /* op; target, value */
    N_RETURN,    /* value or NULL */
    N_IF,        /* test, block, block or NULL */
    N_FOR,       /* target, iterable, block, else block or NULL */
    N_WHILE,     /* test, block, else block or NULL */
    N_WITH,      /* contexts..., block: scopes of profilers and of warps, which mean nothing here */
    N_PASS,
    N_BREAK,
    N_CONTINUE,
    N_ASSERT,      /* test, message or NULL */
    N_RAISE,       /* value or NULL */
    N_DEFINITION,  /* a nested function: name, `function` */
    N_UNSUPPORTED, /* name: the construct, said when it is reached */
    N_BLOCK,       /* statements */
    N_PARAMETER    /* name; op: 0, '*' or OP2('*', '*'); annotation or NULL, default or NULL */
} node_kind;

typedef enum { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IS, CMP_IS_NOT, CMP_IN, CMP_NOT_IN } compare_kind;

typedef struct node node;
struct node {
    uint8_t kind;
    uint16_t depth; /* 1 + the deepest child's: bounds every recursive walk */
    uint32_t op;
    uint32_t at, length; /* in the file */
    uint32_t count;
    node **child;
    union {
        const char *name; /* interned, or the bytes of a string */
        wide number;
        double real;
        const uint8_t *ops;
        struct function *function;
    };
};

typedef tw_vec(node *) node_list;

typedef struct parser {
    tw_lang *l;
    const source *s;
    const token *t; /* the one that is looked at */
    const token *first;
    diagnostic *d;
    int depth;
    struct scope *scope; /* where nested functions are bound */
} parser;

node *tw_lang_node(parser *p, node_kind kind, uint32_t at, int count, node *const *child);
bool tw_lang_push_node(parser *p, node_list *list, node *n);
/* Makes the node of a list and gives the list back. */
node *tw_lang_node_of(parser *p, node_kind kind, uint32_t at, node_list *list, bool fine);
node *tw_lang_parse_number(parser *p);
node *tw_lang_parse_string(parser *p);
bool tw_lang_expected(parser *p, const char *expected); /* an error at the current token */
node *tw_lang_parse_expression(parser *p);              /* one expression: no commas outside brackets */
node *tw_lang_parse_expressions(parser *p);             /* with commas a tuple */
node *tw_lang_parse_targets(parser *p);                 /* of a for loop */
bool tw_lang_parse_parameters(parser *p, uint32_t end, bool annotations, node ***list, int *count);
node *tw_lang_parse_statement(parser *p);
node *tw_lang_parse_block(parser *p);
const char *tw_lang_describe(const parser *p, const token *t, char *room, size_t size);
static inline bool at_op(const parser *p, uint32_t op)
{
    return p->t->kind == T_OP && p->t->op == op;
}
bool tw_lang_at_word(const parser *p, const char *word);
bool tw_lang_take_word(parser *p, const char *word);
bool tw_lang_take_op(parser *p, uint32_t op);
bool tw_lang_expect_op(parser *p, uint32_t op, const char *expected);

/* ---- modules: module.c ---- */

typedef struct module module;
typedef struct scope scope;
typedef struct function function;

typedef enum {
    BIND_VALUE, /* an expression, or (value NULL) something that host code computes */
    BIND_FUNCTION,
    BIND_IMPORT, /* a module, or a name of one */
    BIND_CLASS,
    BIND_PARAMETER
} binding_kind;

typedef struct binding {
    const char *name;
    binding_kind kind;
    node *value;
    function *function;
    const char *from;   /* IMPORT: "triton.language"; with leading dots as written */
    const char *member; /* IMPORT of a name; NULL: the module itself */
    scope *inside;      /* CLASS: its names */
    int previous;       /* the binding of the same name before it, as an index + 1; 0: none */
    uint32_t at;
} binding;

struct scope {
    scope *parent;
    module *module;
    binding *item;
    int count, room;
    tw_map *last;     /* by name: its last binding, as an index + 1 */
    scope *next;      /* of all, for their end */
    bool open;        /* `from x import *`: any name may be defined */
    bool class_scope; /* names are not visible from functions inside */
};

struct function {
    const char *name;
    module *module;
    scope *scope; /* where it is defined */
    uint32_t at;
    node **parameter; /* N_PARAMETER */
    int parameters;
    node *body; /* N_BLOCK; NULL: it did not parse */
    node **decorator;
    int decorators;
    bool jit, host_constant; /* @triton.jit; @triton.constexpr_function: runs at compile time */
    const token *tokens;     /* of a function without a decorator: parsed when something calls it */
    diagnostic d;
    tw_lang_kernel info;
};

struct module {
    tw_lang *l;
    source file;
    token_list tokens;
    scope *scope;
    module *next;
    bool prelude;
};

struct tw_lang {
    tw_arena *arena;
    tw_map *names;
    module *first, *last;
    module *prelude;
    scope *scopes;
    tw_vec(function *) kernels;
    bool memory_failed;
    diagnostic d; /* of the last compilation */
    tw_lang_options options;
    tw_text notes; /* extensions that were used, one a line */
};

bool tw_lang_scan(module *m);                      /* finds functions, constants, imports; parses kernels */
bool tw_lang_parse_function(function *f);          /* of a function that was only remembered */
binding *tw_lang_find(scope *s, const char *name); /* in this scope only; the last one */
binding *tw_lang_bind(module *m, scope *s, const char *name, binding_kind kind, uint32_t at);
/* The binding that a name has for code in `s`: enclosing scopes, then the module. */
binding *tw_lang_lookup(scope *s, const char *name, bool *open);
/* The given file that an import means, as seen from `m`; NULL: not among them. */
module *tw_lang_module_of(module *m, const char *from);
bool tw_lang_triton_path(const char *from, char *path, size_t room); /* is it part of Triton? "language.math" */

/* ---- check.c ---- what holds whatever the arguments' types are */
bool tw_lang_check(function *f);

#endif
