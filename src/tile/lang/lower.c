/* What all of the lowering uses: errors with the chain of calls, places, variables, bounds on work. */
#include "tile/lang/lower.h"

bool tw_lang_error(lowering *c, const node *n, const char *format, ...)
{
    char reason[500];
    if (c->d->set)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    const frame *f = c->frame;
    tw_lang_fail(c->l, c->d, &f->f->module->file, n ? n->at : f->f->at, n ? n->length : 1, "%s", reason);
    tw_text chain = {0};
    tw_text_add(&chain, "%s", c->d->context);
    for (int i = 0; f->caller && f->site && i < MOST_CALLS; i++) {
        int line, column;
        const source *s = &f->caller->f->module->file;
        tw_lang_position(s, f->site->at, &line, &column);
        tw_text_add(&chain, "  in %s, called from %s:%d:%d in %s\n", f->f->name, s->path, line, column,
                    f->caller->f->name);
        f = f->caller;
    }
    char *copy = tw_arena_text(c->l->arena, "%s", tw_text_string(&chain));
    if (copy)
        c->d->context = copy;
    tw_text_free(&chain);
    return false;
}

bool tw_lang_step(lowering *c, const node *n)
{
    if (c->d->set)
        return false;
    if (++c->steps > MOST_STEPS)
        return tw_lang_error(c, n, "compiling takes more than %d steps: a loop that is unrolled is too long",
                             MOST_STEPS);
    if ((c->steps & 1023) == 0 && tw_arena_bytes(c->l->arena) + tw_arena_bytes(c->g->arena) > MOST_BYTES)
        return tw_lang_error(c, n, "compiling takes more than %d MiB of memory", MOST_BYTES >> 20);
    if (c->depth > MOST_DEPTH)
        return tw_lang_error(c, n, "expressions and calls are nested too deep");
    return true;
}

void tw_lang_set_place(lowering *c, const node *n)
{
    int line, column;
    const source *s = &c->frame->f->module->file;
    if (c->frame->f->module->prelude && c->frame->caller) { /* the caller's line says more */
        c->g->place = c->frame->place;
        return;
    }
    tw_lang_position(s, n->at, &line, &column);
    tw_hash key = tw_hash_u64(tw_hash_u64(tw_key_pointer(s), (uint64_t)line), c->frame->place);
    uintptr_t known = (uintptr_t)tw_map_get(c->place_map, key);
    if (!known) {
        tw_lang_place p = {s->path, line, column, c->frame->f->name, c->frame->place};
        if (tw_vec_push(&c->places, p) && tw_map_put(c->place_map, key, (void *)(uintptr_t)c->places.count))
            known = c->places.count;
    }
    c->g->place = (uint32_t)known;
}

bool tw_lang_note(lowering *c, const node *n, const char *what)
{
    char line_text[200];
    int line, column;
    if (c->l->options.strict)
        return tw_lang_error(c, n, "an extension of Triton that --strict refuses: %s", what);
    tw_lang_position(&c->frame->f->module->file, n->at, &line, &column);
    snprintf(line_text, sizeof line_text, "%s:%d: extension: %s\n", c->frame->f->module->file.path, line, what);
    if (!strstr(tw_text_string(&c->l->notes), line_text) && c->l->notes.count < 8192)
        tw_text_add(&c->l->notes, "%s", line_text);
    return true;
}

val *tw_lang_variable(frame *f, const char *name)
{
    for (int i = f->env.count - 1; i >= 0; i--)
        if (f->env.item[i].name == name)
            return &f->env.item[i].v;
    return NULL;
}

bool tw_lang_define(lowering *c, const char *name, val v)
{
    environment *e = &c->frame->env;
    val *known = tw_lang_variable(c->frame, name);
    if (known) {
        *known = v;
        return true;
    }
    c->steps += e->count / 16; /* variables are searched one by one: many of them are work */
    if (e->count == e->room) {
        int room = TW_MAX(16, 2 * e->room);
        variable *grown = tw_arena_alloc(c->l->arena, (size_t)room * sizeof *grown);
        if (!grown)
            return tw_lang_error(c, NULL, "out of memory");
        if (e->count)
            memcpy(grown, e->item, (size_t)e->count * sizeof *grown);
        e->item = grown;
        e->room = room;
    }
    e->item[e->count++] = (variable){name, v};
    return true;
}
