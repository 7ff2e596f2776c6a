/* What users of the JSON library share. */
#ifndef TW_IO_JSON_H
#define TW_IO_JSON_H

#include <jansson.h>

/* Frees what json_dumps made: a program may have given the JSON library allocation functions of its own. */
static inline void tw_json_free_text(char *text)
{
    json_malloc_t allocate;
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    release(text);
}

#endif
