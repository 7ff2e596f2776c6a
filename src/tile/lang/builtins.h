/* The table of builtins, and how arguments meet parameters. */
#ifndef TW_LANG_BUILTINS_H
#define TW_LANG_BUILTINS_H

#include "tile/lang/internal.h"

enum { MOST_PARAMETERS = 16 };

typedef enum {
    MATH_ABS,
    MATH_EXP,
    MATH_EXP2,
    MATH_EXPM1,
    MATH_LOG,
    MATH_LOG2,
    MATH_LOG1P,
    MATH_SIN,
    MATH_COS,
    MATH_TAN,
    MATH_ASIN,
    MATH_ACOS,
    MATH_ATAN,
    MATH_TANH,
    MATH_SQRT,
    MATH_RSQRT,
    MATH_ERF,
    MATH_FLOOR,
    MATH_CEIL,
    MATH_TRUNC,
    MATH_RINT,
    MATH_POW,
    MATH_ATAN2,
    MATH_FMOD,
    MATH_COPYSIGN,
    MATH_LDEXP
} math_function;

typedef enum { RED_SUM, RED_PROD, RED_MAX, RED_MIN, RED_ARGMAX, RED_ARGMIN, RED_XOR, RED_OR } reduction;

struct lowering;
struct val;
typedef struct call_arguments call_arguments;
typedef bool builtin_handler(struct lowering *c, const node *site, struct val *arg, int which, struct val *result);

typedef struct builtin {
    const char *modules, *name, *signature;
    builtin_handler *handler;
    int which;
    const char *doc;
} builtin;

const builtin *tw_lang_find_builtin(const char *in, const char *name); /* NULL: unknown */
extern const builtin tw_lang_builtins[];
extern const int tw_lang_builtins_count;

typedef struct parameter { /* of a builtin's signature */
    const char *name;
    int length;
    bool optional, rest, keyword_only;
} parameter;
int tw_lang_signature(const builtin *b, parameter out[MOST_PARAMETERS]);

#endif
