/* Text of the description language, before anything knows what it means: sections of "key = value" lines.
 *
 *     # a comment                             [kind name]          ; nothing may follow the bracket but a comment
 *     key = value                             key = value          ; where the value comes from
 *     key = "a value with ; or # in it"
 *
 * Every token remembers its line, so that whoever finds fault with it can say where. */
#ifndef TW_MACHINE_DOCUMENT_H
#define TW_MACHINE_DOCUMENT_H

#include "base/base.h"

typedef struct tw_entry {
    const char *key, *value; /* value: trimmed, unquoted */
    const char *source;      /* what stands behind ';', "" when nothing does */
    int line;
} tw_entry;

typedef struct tw_section {
    const char *kind, *name; /* name: "" where only the kind is given */
    const char *file;
    int line;
    int entries;
    tw_entry *entry;
} tw_section;

typedef struct tw_document {
    const char *file;
    int sections;
    tw_section *section;
} tw_document;

enum {
    TW_DOCUMENT_BYTES = 4 << 20, /* limits that no sensible file comes near */
    TW_DOCUMENT_LINE = 4096,
    TW_DOCUMENT_SECTIONS = 20000,
    TW_DOCUMENT_ENTRIES = 2000 /* in one section */
};

/* Everything of `document` lives in `arena`; `text` need not outlive the call. `file` is what messages call the text.
 * error: TW_ERR_FORMAT with file, line, what stands there and what was expected. */
tw_status tw_document_parse(tw_arena *arena, const char *file, const char *text, size_t bytes, tw_document *document);

const tw_entry *tw_section_find(const tw_section *section, const char *key); /* NULL: not given */

#endif
