/* Sections and lines of the description language. A line never continues on the next one, so an error costs one line.
 */
#include "machine/document.h"

#include <ctype.h>

typedef struct reader {
    tw_arena *arena;
    const char *file;
    int line;
    tw_vec(tw_section) section;
    tw_vec(tw_entry) entry; /* of the section being read */
} reader;

static bool name_character(char c)
{
    return isalnum((unsigned char)c) || strchr("_-.+/()@", c);
}

static bool key_character(char c)
{
    return islower((unsigned char)c) || isdigit((unsigned char)c) || c == '_';
}

static void trim(const char **from, const char **to)
{
    while (*from < *to && (**from == ' ' || **from == '\t'))
        ++*from;
    while (*to > *from && ((*to)[-1] == ' ' || (*to)[-1] == '\t'))
        --*to;
}

static const char *copy(reader *r, const char *from, const char *to)
{
    char *text = tw_arena_alloc(r->arena, (size_t)(to - from) + 1);
    if (text) {
        memcpy(text, from, (size_t)(to - from));
        text[to - from] = '\0';
    }
    return text;
}

/* The entries gathered so far belong to the section that stands last. */
static tw_status close_section(reader *r)
{
    if (!r->section.count)
        return TW_OK;
    tw_section *s = &r->section.data[r->section.count - 1];
    s->entries = (int)r->entry.count;
    s->entry = tw_arena_copy(r->arena, r->entry.data, r->entry.count * sizeof *r->entry.data);
    r->entry.count = 0;
    return s->entry || !s->entries ? TW_OK : TW_ERR_MEMORY;
}

static tw_status read_header(reader *r, const char *at, const char *end)
{
    const char *close = memchr(at, ']', (size_t)(end - at)), *kind = at + 1, *name;
    if (!close)
        return tw_error(TW_ERR_FORMAT, "%s:%d: '[' without ']'; expected [kind name], as in [chip H100]", r->file,
                        r->line);
    const char *rest = close + 1, *kind_end = kind, *name_end = close;
    trim(&rest, &end);
    if (rest < end && *rest != '#' && *rest != ';')
        return tw_error(TW_ERR_FORMAT, "%s:%d: '%.*s' stands behind ']'; expected the end of the line", r->file,
                        r->line, (int)TW_MIN(end - rest, 40), rest);
    trim(&kind, &close);
    kind_end = kind;
    while (kind_end < close && key_character(*kind_end))
        kind_end++;
    name = kind_end;
    name_end = close;
    trim(&name, &name_end);
    bool wrong = kind_end == kind || (name < name_end && name == kind_end);
    for (const char *c = name; c < name_end; c++)
        wrong |= !name_character(*c);
    if (wrong)
        return tw_error(TW_ERR_FORMAT,
                        "%s:%d: '[%.*s]' is no section; expected [kind name], a kind in small letters and a name of "
                        "letters, digits and _-.+/()@",
                        r->file, r->line, (int)TW_MIN(close - (at + 1), 80), at + 1);
    TW_TRY(close_section(r));
    if (r->section.count >= TW_DOCUMENT_SECTIONS)
        return tw_error(TW_ERR_FORMAT, "%s:%d: more than %d sections", r->file, r->line, TW_DOCUMENT_SECTIONS);
    tw_section s = {.kind = copy(r, kind, kind_end), .name = copy(r, name, name_end), .file = r->file, .line = r->line};
    return s.kind && s.name && tw_vec_push(&r->section, s) ? TW_OK : TW_ERR_MEMORY;
}

/* Where the value ends: at ';' or at a '#' behind a space, outside quotes. */
static tw_status split_value(const reader *r, const char **value, const char **value_end, const char **source,
                             const char *end)
{
    const char *c = *value;
    *source = NULL;
    if (c < end && *c == '"') {
        const char *close = memchr(c + 1, '"', (size_t)(end - c - 1));
        if (!close)
            return tw_error(TW_ERR_FORMAT, "%s:%d: a value begins with '\"' and does not end; expected a second '\"'",
                            r->file, r->line);
        *value = c + 1;
        *value_end = close;
        c = close + 1;
        trim(&c, &end);
        if (c < end && *c != ';' && *c != '#')
            return tw_error(TW_ERR_FORMAT, "%s:%d: '%.*s' stands behind a quoted value; expected ';' and a source",
                            r->file, r->line, (int)TW_MIN(end - c, 40), c);
    } else {
        while (c < end && *c != ';' && !(*c == '#' && (c == *value || c[-1] == ' ' || c[-1] == '\t')))
            c++;
        *value_end = c;
    }
    if (c < end && *c == ';')
        *source = c + 1;
    return TW_OK;
}

static tw_status read_entry(reader *r, const char *at, const char *end)
{
    const char *equals = memchr(at, '=', (size_t)(end - at)), *key_end = equals, *key = at;
    if (!equals)
        return tw_error(TW_ERR_FORMAT, "%s:%d: '%.*s' has no '='; expected key = value, as in tdp = 700 W", r->file,
                        r->line, (int)TW_MIN(end - at, 60), at);
    trim(&key, &key_end);
    bool wrong = key == key_end || !islower((unsigned char)*key);
    for (const char *c = key; c < key_end; c++)
        wrong |= !key_character(*c);
    if (wrong)
        return tw_error(TW_ERR_FORMAT,
                        "%s:%d: '%.*s' is no key; expected small letters, digits and '_', as in die_area = 814 mm2",
                        r->file, r->line, (int)TW_MIN(key_end - key, 60), key);
    if (!r->section.count)
        return tw_error(TW_ERR_FORMAT, "%s:%d: '%.*s = ...' stands before any section; expected [kind name] first",
                        r->file, r->line, (int)TW_MIN(key_end - key, 60), key);
    const char *value = equals + 1, *value_end = end, *source, *source_end = end;
    trim(&value, &end);
    TW_TRY(split_value(r, &value, &value_end, &source, end));
    trim(&value, &value_end);
    if (source)
        trim(&source, &source_end);
    tw_entry e = {.key = copy(r, key, key_end),
                  .value = copy(r, value, value_end),
                  .source = source ? copy(r, source, source_end) : "",
                  .line = r->line};
    if (!e.key || !e.value || !e.source)
        return TW_ERR_MEMORY;
    if (!*e.value)
        return tw_error(TW_ERR_FORMAT, "%s:%d: '%s' has no value; leave the line out if it is unknown", r->file,
                        r->line, e.key);
    for (size_t i = 0; i < r->entry.count; i++)
        if (!strcmp(r->entry.data[i].key, e.key))
            return tw_error(TW_ERR_FORMAT, "%s:%d: '%s' is given twice in this section, first in line %d", r->file,
                            r->line, e.key, r->entry.data[i].line);
    if (r->entry.count >= TW_DOCUMENT_ENTRIES)
        return tw_error(TW_ERR_FORMAT, "%s:%d: more than %d lines in one section", r->file, r->line,
                        TW_DOCUMENT_ENTRIES);
    return tw_vec_push(&r->entry, e) ? TW_OK : TW_ERR_MEMORY;
}

static tw_status read_line(reader *r, const char *at, const char *end)
{
    if (end > at && end[-1] == '\r')
        end--;
    if (end - at > TW_DOCUMENT_LINE)
        return tw_error(TW_ERR_FORMAT, "%s:%d: a line of %zu bytes; expected at most %d", r->file, r->line,
                        (size_t)(end - at), TW_DOCUMENT_LINE);
    for (const char *c = at; c < end; c++)
        if ((unsigned char)*c < ' ' && *c != '\t')
            return tw_error(TW_ERR_FORMAT, "%s:%d: a control character (0x%02x) in column %d; expected plain text",
                            r->file, r->line, (unsigned char)*c, (int)(c - at) + 1);
    trim(&at, &end);
    if (at == end || *at == '#')
        return TW_OK;
    return *at == '[' ? read_header(r, at, end) : read_entry(r, at, end);
}

tw_status tw_document_parse(tw_arena *arena, const char *file, const char *text, size_t bytes, tw_document *document)
{
    reader r = {.arena = arena, .file = tw_arena_text(arena, "%s", file)};
    tw_status status = r.file ? TW_OK : TW_ERR_MEMORY;
    *document = (tw_document){.file = r.file};
    if (status == TW_OK && bytes > TW_DOCUMENT_BYTES)
        status = tw_error(TW_ERR_FORMAT, "%s: %zu bytes; expected at most %d", file, bytes, TW_DOCUMENT_BYTES);
    for (const char *at = text, *end = text + bytes; at < end && status == TW_OK;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        r.line++;
        status = read_line(&r, at, stop);
        at = stop + 1;
    }
    if (status == TW_OK)
        status = close_section(&r);
    if (status == TW_OK) {
        document->sections = (int)r.section.count;
        document->section = tw_arena_copy(arena, r.section.data, r.section.count * sizeof *r.section.data);
        status = document->section || !document->sections ? TW_OK : TW_ERR_MEMORY;
    }
    tw_vec_free(&r.section);
    tw_vec_free(&r.entry);
    return status;
}

const tw_entry *tw_section_find(const tw_section *section, const char *key)
{
    for (int i = 0; i < section->entries; i++)
        if (!strcmp(section->entry[i].key, key))
            return &section->entry[i];
    return NULL;
}
