/* The table of builtins: looking up, reading signatures. */
#include "tile/lang/builtins.h"

#define B(modules, name, signature, handler, which, doc) builtin_handler tw_lang_do_##handler;
#include "tile/lang/builtins.def"
#undef B

const builtin tw_lang_builtins[] = {
#define B(modules, name, signature, handler, which, doc) {modules, #name, signature, tw_lang_do_##handler, which, doc},
#include "tile/lang/builtins.def"
#undef B
};
const int tw_lang_builtins_count = (int)TW_COUNT(tw_lang_builtins);

static bool in_module(const char *modules, const char *one)
{
    size_t n = strlen(one);
    for (const char *at = modules; *at;) {
        size_t length = strcspn(at, " ");
        if (length == n && !strncmp(at, one, n))
            return true;
        at += length;
        at += strspn(at, " ");
    }
    return false;
}

const builtin *tw_lang_find_builtin(const char *in, const char *name)
{
    for (int i = 0; i < tw_lang_builtins_count; i++)
        if (!strcmp(tw_lang_builtins[i].name, name) && in_module(tw_lang_builtins[i].modules, in))
            return &tw_lang_builtins[i];
    return NULL;
}

int tw_lang_signature(const builtin *b, parameter out[MOST_PARAMETERS])
{
    int count = 0;
    bool keyword_only = false;
    for (const char *at = b->signature; *at && count < MOST_PARAMETERS;) {
        parameter p = {.keyword_only = keyword_only, .rest = *at == '*'};
        p.name = at + p.rest;
        p.length = (int)strcspn(p.name, ",=");
        at = p.name + p.length;
        p.optional = *at == '=' || p.rest;
        keyword_only = keyword_only || p.rest;
        at += strspn(at, "=, ");
        out[count++] = p;
    }
    return count;
}

const tw_lang_builtin *tw_lang_builtin_at(int i)
{
    static _Thread_local tw_lang_builtin row;
    if (i < 0 || i >= tw_lang_builtins_count)
        return NULL;
    const builtin *b = &tw_lang_builtins[i];
    row = (tw_lang_builtin){b->modules, b->name, b->signature, b->doc};
    return &row;
}
