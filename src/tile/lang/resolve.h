/* What names mean: Triton's modules, builtins, dtypes, functions of the given files. */
#ifndef TW_LANG_RESOLVE_H
#define TW_LANG_RESOLVE_H

#include "tile/lang/builtins.h"

typedef enum {
    IS_NOTHING,    /* not defined */
    IS_EXPRESSION, /* `value`, to be read in `scope` */
    IS_FUNCTION,
    IS_MODULE, /* part of Triton: path; or another one that nobody gave ("numpy") */
    IS_FILE,   /* a given file */
    IS_BUILTIN,
    IS_DTYPE,   /* name */
    IS_SPECIAL, /* a name of tl that has a meaning of its own: name */
    IS_CLASS,
    IS_UNAVAILABLE, /* known to Triton, not done here: name */
    IS_OPAQUE       /* what host code computes, or comes from a file that isn't there: name, path */
} meaning_kind;

typedef struct meaning {
    meaning_kind kind;
    const char *name, *path;
    const builtin *builtin;
    function *function;
    module *file;
    node *value;
    scope *scope;
} meaning;

meaning tw_lang_meaning(scope *s, const char *name);
meaning tw_lang_member(tw_lang *l, meaning of, const char *name);
meaning tw_lang_method(const char *name); /* of a tensor: a builtin or nothing */
bool tw_lang_is_dtype(const char *name);
const char *tw_lang_guess(tw_lang *l, const meaning *of, const char *name); /* a name near to it, or NULL */

#endif
