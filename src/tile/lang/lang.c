/* A set of source files: making, adding, asking for its kernels. */
#include "tile/lang/internal.h"

extern const char tw_lang_prelude[]; /* prelude.py */
extern const unsigned tw_lang_prelude_bytes;

static module *add_module(tw_lang *l, const char *path, const char *text, size_t bytes, bool prelude)
{
    module *m = tw_arena_zero(l->arena, 1, sizeof *m);
    char *copy = tw_arena_alloc(l->arena, bytes + 1);
    size_t lines = 1;
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    uint32_t *start = tw_arena_alloc(l->arena, lines * sizeof *start);
    if (!m || !copy || !start)
        return NULL;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    m->l = l;
    m->prelude = prelude;
    m->file = (source){
        .path = tw_arena_text(l->arena, "%s", path), .text = copy, .bytes = bytes, .line_start = start, .lines = 1};
    start[0] = 0;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '\n')
            start[m->file.lines++] = (uint32_t)i + 1;
    if (!m->file.path)
        return NULL;
    if (prelude)
        l->prelude = m;
    else if (l->last)
        l->last = l->last->next = m;
    else
        l->first = l->last = m;
    bool fine = tw_lang_tokenize(l, &m->file, 0, (uint32_t)bytes, false, &m->tokens) && tw_lang_scan(m);
    return fine ? m : NULL;
}

tw_lang *tw_lang_create(const tw_lang_options *options)
{
    tw_lang *l = tw_alloc_zero(1, sizeof *l);
    if (!l)
        return NULL;
    l->arena = tw_arena_create(0);
    l->names = tw_map_create();
    if (options)
        l->options = *options;
    if (l->arena && l->names && add_module(l, "prelude.py", tw_lang_prelude, tw_lang_prelude_bytes, true))
        return l;
    tw_lang_destroy(l);
    return NULL;
}

void tw_lang_destroy(tw_lang *l)
{
    if (!l)
        return;
    if (l->prelude)
        tw_vec_free(&l->prelude->tokens);
    for (module *m = l->first; m; m = m->next)
        tw_vec_free(&m->tokens);
    for (scope *s = l->scopes; s; s = s->next)
        tw_map_destroy(s->last);
    tw_vec_free(&l->kernels);
    tw_text_free(&l->notes);
    tw_map_destroy(l->names);
    tw_arena_destroy(l->arena);
    tw_free(l);
}

tw_status tw_lang_add(tw_lang *l, const char *path, const char *text, size_t bytes)
{
    if (bytes > MOST_FILE_BYTES)
        return tw_error(TW_ERR_FORMAT, "%s: a file of %zu bytes, expected at most %d", path, bytes, MOST_FILE_BYTES);
    module *m = add_module(l, path, text, bytes, false);
    if (!m)
        return tw_error(TW_ERR_MEMORY, "%s: out of memory", path);
    return TW_OK;
}

tw_status tw_lang_check_all(tw_lang *l)
{
    for (size_t i = 0; i < l->kernels.count; i++) {
        function *f = l->kernels.data[i];
        int column;
        if (f->info.reason || (tw_lang_check(f) && !f->d.set))
            continue;
        f->info.reason = f->d.reason ? f->d.reason : "out of memory";
        f->info.context = f->d.context ? f->d.context : "";
        if (f->d.file)
            tw_lang_position(f->d.file, f->d.at, &f->info.reason_line, &column);
    }
    return l->memory_failed ? tw_error(TW_ERR_MEMORY, "tile language: out of memory") : TW_OK;
}

int tw_lang_kernel_count(const tw_lang *l)
{
    return (int)l->kernels.count;
}

const tw_lang_kernel *tw_lang_kernel_at(const tw_lang *l, int i)
{
    return &l->kernels.data[i]->info;
}

const char *tw_lang_source_line(const tw_lang *l, const char *file, int line, int *length)
{
    for (const module *m = l->first; m; m = m->next) {
        if (strcmp(m->file.path, file) != 0 || line < 1 || line > m->file.lines)
            continue;
        const char *at = m->file.text + m->file.line_start[line - 1];
        *length = (int)strcspn(at, "\r\n");
        return at;
    }
    *length = 0;
    return "";
}
