/* The table of fields: which keys a section may hold, what they mean, where the value goes. One row a field; parsing,
 * checking, printing, `--set`, sweeps and the reference page are derived from it. */
#ifndef TW_MACHINE_SCHEMA_H
#define TW_MACHINE_SCHEMA_H

#include "machine/library.h"

typedef enum { TW_FIELD_NUMBER, TW_FIELD_COUNT, TW_FIELD_TEXT, TW_FIELD_CHOICE, TW_FIELD_FLAG } tw_field_type;

typedef struct tw_field {
    const char *key;
    tw_field_type type;
    tw_dimension dimension;
    double low, high;    /* inclusive, in the base unit */
    size_t offset;       /* of a double, const char * or int */
    const char *choices; /* "a|b|c", index = value */
    const char *doc;
    bool required;
} tw_field;

typedef struct tw_item_schema {
    const char *name;
    size_t bytes;
    const tw_field *field;
    int fields;
} tw_item_schema;

extern const tw_item_schema tw_schemas[TW_ITEM_KINDS];

const tw_field *tw_schema_find(tw_item_kind kind, const char *key); /* NULL: no such key */
void tw_schema_clear(tw_item_kind kind, void *item);                /* everything unknown */

/* Reads one value into the item. error: says place, key, what was given, what was expected. */
tw_status tw_schema_read(tw_item_kind kind, const tw_section *section, const tw_entry *entry, tw_arena *arena,
                         void *item);

#endif
