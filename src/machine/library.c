/* The set of descriptions: adding texts, inheriting ('like'), finding by name, changing numbers. What is checked across
 * fields and items stands in check.c. */
#include <ctype.h>
#include <math.h>

#include "base/os.h"
#include "machine/internal.h"

/* What a text says is kept beside what is used: `given` has no derived numbers, so that a copy ('like') or a change
 * derives its own. */
typedef struct stored {
    tw_description *item, *given;
} stored;

typedef struct item_list {
    tw_vec(stored) at;
} item_list;

struct tw_library {
    tw_arena *arena;
    item_list list[TW_ITEM_KINDS]; /* tiers stand in their machines */
};

const char *tw_item_kind_name(tw_item_kind kind)
{
    return tw_schemas[kind].name;
}

tw_library *tw_library_create_empty(void)
{
    tw_library *l = tw_alloc_zero(1, sizeof *l);
    if (l && !(l->arena = tw_arena_create(1 << 18))) {
        tw_free(l);
        return NULL;
    }
    return l;
}

void tw_library_destroy(tw_library *l)
{
    if (!l)
        return;
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        tw_vec_free(&l->list[k].at);
    tw_arena_destroy(l->arena);
    tw_free(l);
}

tw_library *tw_library_create(void)
{
    tw_library *l = tw_library_create_empty();
    tw_status status = l ? TW_OK : TW_ERR_MEMORY;
    for (const tw_embedded *e = tw_embedded_machines; e->name && status == TW_OK; e++)
        status = tw_library_add_text(l, e->name, e->text, e->bytes);
    if (status == TW_OK)
        return l;
    tw_library_destroy(l);
    return NULL;
}

int tw_library_count(const tw_library *l, tw_item_kind kind)
{
    return (int)l->list[kind].at.count;
}

const tw_description *tw_library_at(const tw_library *l, tw_item_kind kind, int index)
{
    return l->list[kind].at.data[index].item;
}

void tw_library_restore(tw_library *l)
{
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        for (size_t i = 0; i < l->list[k].at.count; i++)
            memcpy(l->list[k].at.data[i].item, l->list[k].at.data[i].given, tw_schemas[k].bytes);
}

static int index_of(const tw_library *l, tw_item_kind kind, const char *name)
{
    for (size_t i = 0; i < l->list[kind].at.count; i++)
        if (!strcmp(l->list[kind].at.data[i].item->name, name))
            return (int)i;
    return -1;
}

/* Names differ in case, in '-', '_' and spaces, and are abbreviated: 0 equal, 1 equal but for those, 2 a prefix up to a
 * separator, 3 nothing in common. */
static int distance(const char *have, const char *want)
{
    if (!strcmp(have, want))
        return 0;
    while (*have && *want) {
        if (strchr("-_ .", *have)) {
            have++;
            continue;
        }
        if (strchr("-_ .", *want)) {
            want++;
            continue;
        }
        if (tolower((unsigned char)*have) != tolower((unsigned char)*want))
            return 3;
        have++;
        want++;
    }
    return *want ? 3 : !*have ? 1 : strchr("-_ .", *have) ? 2 : 3;
}

const tw_description *tw_library_find(const tw_library *l, tw_item_kind kind, const char *name)
{
    const tw_description *best = NULL;
    int nearest = 3, how_many = 0;
    if (!*name)
        return NULL;
    for (size_t i = 0; i < l->list[kind].at.count; i++) {
        int d = distance(l->list[kind].at.data[i].item->name, name);
        if (d < nearest) {
            nearest = d;
            how_many = 0;
        }
        if (d == nearest && d < 3) {
            best = how_many++ ? best : l->list[kind].at.data[i].item;
        }
    }
    return how_many == 1 || nearest == 0 ? best : NULL;
}

tw_status tw_library_need(const tw_library *l, tw_item_kind kind, const char *name, const tw_description **item)
{
    char near[200] = "";
    *item = tw_library_find(l, kind, name);
    if (*item)
        return TW_OK;
    for (size_t i = 0; i < l->list[kind].at.count && strlen(near) < 120; i++) {
        const char *have = l->list[kind].at.data[i].item->name;
        if (tolower((unsigned char)have[0]) == tolower((unsigned char)name[0]) || l->list[kind].at.count < 12)
            snprintf(near + strlen(near), sizeof near - strlen(near), "%s%.40s", *near ? ", " : "", have);
    }
    return tw_error(TW_ERR_VALUE, "no %s is called '%.80s'%s%s; 'tw machine list %s' names them all",
                    tw_schemas[kind].name, name, *near ? "; near: " : "", near, tw_schemas[kind].name);
}

/* ---- adding ---- */

/* What one call adds: it becomes part of the library only when everything is right. */
typedef struct addition {
    tw_library *l;
    const tw_document *document;
    item_list old[TW_ITEM_KINDS]; /* the lists as they were */
    signed char *state;           /* of each section: 0 unread, 1 being read, 2 read */
    tw_description **item;        /* that a section became */
} addition;

static tw_status wrong(const tw_section *s, const char *format, ...) TW_PRINTF(2, 3);
static tw_status wrong(const tw_section *s, const char *format, ...)
{
    char why[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return tw_error(TW_ERR_FORMAT, "%s:%d: [%s%s%s]: %s", s->file, s->line, s->kind, *s->name ? " " : "", s->name, why);
}

static int kind_of(const char *name)
{
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        if (!strcmp(tw_schemas[k].name, name))
            return k;
    return -1;
}

static tw_status read_section(addition *a, int index);

/* 'like = X': begins as a copy of X, which may stand later in the same document or be in the library. */
static tw_status inherit(addition *a, int index, tw_item_kind kind, const tw_entry *like, tw_description *item)
{
    const tw_section *s = &a->document->section[index];
    const tw_description *parent = NULL;
    for (int i = 0; i < a->document->sections && !parent; i++) {
        const tw_section *other = &a->document->section[i];
        if (i == index || strcmp(other->kind, s->kind) != 0 || strcmp(other->name, like->value) != 0)
            continue;
        if (a->state[i] == 1)
            return tw_error(TW_ERR_FORMAT, "%s:%d: [%s %s] like: '%s' is itself like this one", s->file, like->line,
                            s->kind, s->name, like->value);
        TW_TRY(read_section(a, i));
        parent = a->item[i];
    }
    if (!parent) {
        int known = index_of(a->l, kind, like->value);
        parent = known >= 0 ? a->l->list[kind].at.data[known].given : NULL;
    }
    if (!parent)
        return tw_error(TW_ERR_FORMAT, "%s:%d: [%s %s] like: no %s is called '%s'", s->file, like->line, s->kind,
                        s->name, s->kind, like->value);
    memcpy(item, parent, tw_schemas[kind].bytes);
    return TW_OK;
}

static tw_status read_entries(addition *a, const tw_section *s, tw_item_kind kind, tw_description *item)
{
    for (int e = 0; e < s->entries; e++)
        if (strcmp(s->entry[e].key, "like") != 0)
            TW_TRY(tw_schema_read(kind, s, &s->entry[e], a->l->arena, item));
    for (int f = 0; f < tw_schemas[kind].fields; f++) {
        const tw_field *field = &tw_schemas[kind].field[f];
        if (field->required && isnan(*(double *)(void *)((char *)item + field->offset)))
            return wrong(s, "'%s' is missing; expected a line such as %s = %g%s%s", field->key, field->key,
                         TW_MAX(field->low, 8.0), *field->doc ? "   # " : "", field->doc);
    }
    return TW_OK;
}

/* The tiers that follow a machine belong to it. */
static tw_status read_tiers(addition *a, int index, tw_machine *m)
{
    bool first = true;
    for (int i = index + 1; i < a->document->sections && !strcmp(a->document->section[i].kind, "tier"); i++) {
        const tw_section *s = &a->document->section[i];
        if (first)
            m->tiers = 0;
        first = false;
        if (m->tiers == TW_TIERS)
            return wrong(s, "a machine has at most %d tiers", TW_TIERS);
        if (!*s->name)
            return wrong(s, "a tier needs a name, as in [tier node]");
        for (int k = 0; k < m->tiers; k++)
            if (!strcmp(m->tier[k].item.name, s->name))
                return wrong(s, "this machine has a tier of that name already, in line %d",
                             m->tier[k].item.section->line);
        tw_machine_tier *t = &m->tier[m->tiers++];
        tw_schema_clear(TW_KIND_TIER, t);
        t->item.name = s->name;
        t->item.section = s;
        TW_TRY(read_entries(a, s, TW_KIND_TIER, &t->item));
    }
    return TW_OK;
}

static tw_status put(addition *a, tw_item_kind kind, tw_description *item)
{
    int known = index_of(a->l, kind, item->name);
    stored both = {.item = tw_arena_copy(a->l->arena, item, tw_schemas[kind].bytes), .given = item};
    if (!both.item)
        return TW_ERR_MEMORY;
    if (known >= 0) {
        a->l->list[kind].at.data[known] = both;
        return TW_OK;
    }
    return tw_vec_push(&a->l->list[kind].at, both) ? TW_OK : TW_ERR_MEMORY;
}

static tw_status read_section(addition *a, int index)
{
    const tw_section *s = &a->document->section[index];
    int kind = kind_of(s->kind);
    if (a->state[index] == 2)
        return TW_OK;
    if (kind < 0)
        return wrong(s, "no such kind of section; expected process, memory, link, switch, package, fit, chip, machine, "
                        "tier, model, software or economy");
    if (kind == TW_KIND_TIER)
        return index > 0 && (!strcmp(s[-1].kind, "tier") || !strcmp(s[-1].kind, "machine"))
                   ? TW_OK
                   : wrong(s, "a tier stands behind its machine; expected [machine NAME] before it");
    if (!*s->name)
        return wrong(s, "a name is missing; expected [%s NAME]", s->kind);
    for (int i = 0; i < index; i++)
        if (!strcmp(a->document->section[i].kind, s->kind) && !strcmp(a->document->section[i].name, s->name))
            return wrong(s, "described twice, first in line %d", a->document->section[i].line);
    a->state[index] = 1;
    tw_description *item = tw_arena_zero(a->l->arena, 1, tw_schemas[kind].bytes);
    if (!item)
        return TW_ERR_MEMORY;
    const tw_entry *like = tw_section_find(s, "like");
    if (like)
        TW_TRY(inherit(a, index, (tw_item_kind)kind, like, item));
    else
        tw_schema_clear((tw_item_kind)kind, item);
    item->name = s->name;
    item->section = s;
    TW_TRY(read_entries(a, s, (tw_item_kind)kind, item));
    if (kind == TW_KIND_MACHINE)
        TW_TRY(read_tiers(a, index, (tw_machine *)(void *)item));
    a->item[index] = item;
    a->state[index] = 2;
    return put(a, (tw_item_kind)kind, item);
}

static tw_status keep_lists(addition *a)
{
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        for (size_t i = 0; i < a->l->list[k].at.count; i++)
            if (!tw_vec_push(&a->old[k].at, a->l->list[k].at.data[i]))
                return TW_ERR_MEMORY;
    return TW_OK;
}

static tw_status add(addition *a)
{
    TW_TRY(keep_lists(a));
    for (int i = 0; i < a->document->sections; i++)
        TW_TRY(read_section(a, i));
    return tw_library_resolve(a->l);
}

/* Errors are remembered per thread; undoing must not lose the one that counts. */
static void undo(addition *a, tw_status status)
{
    char message[1024];
    snprintf(message, sizeof message, "%s", tw_error_message());
    for (int k = 0; k < TW_ITEM_KINDS; k++) {
        item_list swap = a->l->list[k];
        a->l->list[k] = a->old[k];
        a->old[k] = swap;
    }
    tw_library_resolve(a->l);
    tw_error(status, "%s", message);
}

tw_status tw_library_add_text(tw_library *l, const char *file, const char *text, size_t bytes)
{
    tw_document *document = tw_arena_zero(l->arena, 1, sizeof *document);
    if (!document)
        return TW_ERR_MEMORY;
    TW_TRY(tw_document_parse(l->arena, file, text, bytes, document));
    addition a = {.l = l, .document = document};
    a.state = tw_alloc_zero((size_t)document->sections + 1, sizeof *a.state);
    a.item = tw_alloc_zero((size_t)document->sections + 1, sizeof *a.item);
    tw_status status = a.state && a.item ? add(&a) : TW_ERR_MEMORY;
    if (status != TW_OK && a.state && a.item)
        undo(&a, status);
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        tw_vec_free(&a.old[k].at);
    tw_free(a.state);
    tw_free(a.item);
    return status;
}

tw_status tw_library_add_file(tw_library *l, const char *path)
{
    void *text;
    size_t bytes;
    TW_TRY(tw_os_read_file(path, TW_DOCUMENT_BYTES, &text, &bytes));
    tw_status status = tw_library_add_text(l, path, text, bytes);
    tw_free(text);
    return status;
}

/* ---- changing ---- */

/* What a path names: where its value is used, and where the text's own value is kept. */
typedef struct place {
    tw_item_kind kind;
    char *item, *given;
    const tw_field *field;
} place;

/* "chip.H100-SXM-80GB.tdp", "machine.NAME.TIER.bandwidth": names may hold dots, keys don't. */
static tw_status locate(const tw_library *l, const char *path, place *p)
{
    char name[256];
    const char *first = strchr(path, '.'), *last = strrchr(path, '.');
    if (!first || last == first || (size_t)(last - first) >= sizeof name)
        return tw_error(TW_ERR_VALUE, "'%.200s' is no path; expected kind.name.key, as in chip.H100.tdp", path);
    snprintf(name, sizeof name, "%.*s", (int)(first - path), path);
    int k = kind_of(name);
    if (k < 0 || k == TW_KIND_TIER)
        return tw_error(TW_ERR_VALUE, "'%.200s': no kind is called '%s'", path, name);
    snprintf(name, sizeof name, "%.*s", (int)(last - first - 1), first + 1);
    const tw_description *found = tw_library_find(l, (tw_item_kind)k, name);
    char *dot = strrchr(name, '.');
    size_t within = 0;
    p->kind = (tw_item_kind)k;
    if (!found && k == TW_KIND_MACHINE && dot) {
        *dot = '\0';
        const tw_description *machine = tw_library_find(l, TW_KIND_MACHINE, name);
        const tw_machine *m = (const tw_machine *)(const void *)machine;
        for (int t = 0; m && t < m->tiers; t++)
            if (!strcmp(m->tier[t].item.name, dot + 1)) {
                found = machine;
                within = offsetof(tw_machine, tier) + (size_t)t * sizeof(tw_machine_tier);
            }
        p->kind = TW_KIND_TIER;
    }
    if (!found)
        return tw_error(TW_ERR_VALUE, "'%.200s': no %s is called '%s'", path, tw_schemas[k].name, name);
    const stored *s = &l->list[k].at.data[index_of(l, (tw_item_kind)k, found->name)];
    p->item = (char *)s->item + within;
    p->given = (char *)s->given + within;
    p->field = tw_schema_find(p->kind, last + 1);
    return p->field ? TW_OK
                    : tw_error(TW_ERR_VALUE, "'%.200s': a %s has no key '%s'; 'tw machine fields %s' lists them", path,
                               tw_schemas[p->kind].name, last + 1, tw_schemas[p->kind].name);
}

static bool is_number(const tw_field *f)
{
    return f->type == TW_FIELD_NUMBER || f->type == TW_FIELD_COUNT;
}

tw_status tw_library_set(tw_library *l, const char *path, const char *text)
{
    place p = {0};
    TW_TRY(locate(l, path, &p));
    const tw_section s = {
        .kind = tw_schemas[p.kind].name, .name = ((tw_description *)(void *)p.item)->name, .file = "--set"};
    const tw_entry e = {.key = p.field->key, .value = text, .source = "", .line = 1};
    TW_TRY(tw_schema_read(p.kind, &s, &e, l->arena, p.given));
    return tw_library_resolve(l);
}

tw_status tw_library_get(const tw_library *l, const char *path, double *value, tw_dimension *dimension)
{
    place p = {0};
    TW_TRY(locate(l, path, &p));
    const void *at = p.item + p.field->offset;
    if (p.field->type == TW_FIELD_TEXT)
        return tw_error(TW_ERR_VALUE, "'%.200s' is no number", path);
    *value = is_number(p.field) ? *(const double *)at : *(const int *)at; /* a choice: its place in the list */
    *dimension = is_number(p.field) ? p.field->dimension : TW_DIM_NONE;
    return TW_OK;
}

tw_status tw_library_set_number(tw_library *l, const char *path, double value)
{
    place p = {0};
    char given[48], low[48], high[48];
    TW_TRY(locate(l, path, &p));
    const tw_field *f = p.field;
    if (!is_number(f))
        return tw_error(TW_ERR_VALUE, "'%.200s' is no number", path);
    if (!(value >= f->low && value <= f->high))
        return tw_error(TW_ERR_VALUE, "%.200s: %s; expected %s to %s", path,
                        tw_quantity_text(value, f->dimension, given, sizeof given),
                        tw_quantity_text(f->low, f->dimension, low, sizeof low),
                        tw_quantity_text(f->high, f->dimension, high, sizeof high));
    *(double *)(void *)(p.given + f->offset) = value;
    return tw_library_resolve(l);
}

/* ---- printing ---- */

static void print_entries(const tw_section *s, const char *standing, tw_text *out)
{
    for (int i = 0; i < s->entries; i++) {
        const tw_entry *e = &s->entry[i];
        if (!strcmp(e->key, "source") || !strcmp(e->key, "note"))
            continue;
        const char *source = *e->source ? e->source : standing ? standing : "";
        tw_text_add(out, "  %-18s %-24s %s\n", e->key, e->value, source);
    }
}

void tw_item_print(const tw_library *l, tw_item_kind kind, const tw_description *item, tw_text *out)
{
    static const char *const statuses[] = {"checked", "partly", "memory", "seed", "hypothesis", "fitted", "sketch"};
    const tw_entry *like = tw_section_find(item->section, "like");
    tw_text_add(out, "[%s %s]  %s:%d%s%s\n", tw_schemas[kind].name, item->name, item->section->file,
                item->section->line, item->status >= 0 ? "  status: " : "",
                item->status >= 0 ? statuses[item->status] : "");
    if (item->note)
        tw_text_add(out, "  %s\n", item->note);
    print_entries(item->section, item->source, out);
    if (kind == TW_KIND_MACHINE) {
        const tw_machine *m = (const tw_machine *)(const void *)item;
        for (int t = 0; t < m->tiers; t++) {
            tw_text_add(out, " [tier %s]\n", m->tier[t].item.name);
            print_entries(m->tier[t].item.section, item->source, out);
        }
    }
    if (like) {
        int parent = index_of(l, kind, like->value);
        if (parent >= 0 && l->list[kind].at.data[parent].item != item) {
            tw_text_add(out, " like ");
            tw_item_print(l, kind, l->list[kind].at.data[parent].item, out);
        }
    }
}
