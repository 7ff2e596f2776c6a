/* Source files, positions, messages with a caret, interned names. */
#include "tile/lang/internal.h"

static bool out_of_memory(tw_lang *l)
{
    l->memory_failed = true;
    return false;
}

void tw_lang_position(const source *s, uint32_t at, int *line, int *column)
{
    int low = 0, high = s->lines - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (s->line_start[middle] <= at)
            low = middle;
        else
            high = middle - 1;
    }
    *line = low + 1;
    *column = (int)(at - s->line_start[low]) + 1;
}

/* The line of an error with a caret below; tabs and what isn't printable become blanks, long lines are cut. */
static const char *context_of(tw_lang *l, const source *s, uint32_t at, uint32_t length, int line, int column)
{
    enum { BEFORE = 60, WIDTH = 110 };
    uint32_t start = s->line_start[line - 1], end = start;
    while (end < s->bytes && s->text[end] != '\n' && s->text[end] != '\r')
        end++;
    if (at > start + BEFORE && end > start + WIDTH)
        start = at - BEFORE;
    uint32_t shown = TW_MIN(end - start, (uint32_t)WIDTH);
    tw_text text = {0};
    tw_text_add(&text, "  %s:%d:%d\n  ", s->path, line, column);
    for (uint32_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)s->text[start + i];
        tw_text_add(&text, "%c", c < ' ' ? ' ' : c);
    }
    tw_text_add(&text, "\n  %*s", (int)(at - start), "");
    uint32_t carets = TW_MAX(TW_MIN(length, end > at ? end - at : 1), 1u);
    for (uint32_t i = 0; i < TW_MIN(carets, (uint32_t)60); i++)
        tw_text_add(&text, "^");
    tw_text_add(&text, "\n");
    char *copy = text.failed ? NULL : tw_arena_text(l->arena, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return copy ? copy : "";
}

bool tw_lang_fail(tw_lang *l, diagnostic *d, const source *s, uint32_t at, uint32_t length, const char *format, ...)
{
    enum { MOST_REASON = 600 };
    char reason[MOST_REASON];
    int line, column;
    if (d->set)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    for (char *c = reason; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    at = TW_MIN(at, (uint32_t)s->bytes);
    tw_lang_position(s, at, &line, &column);
    *d = (diagnostic){.set = true, .status = TW_ERR_FORMAT, .file = s, .at = at};
    d->context = context_of(l, s, at, length, line, column);
    d->reason = tw_arena_text(l->arena, "%s", reason);
    if (!d->reason) {
        d->status = TW_ERR_MEMORY;
        out_of_memory(l);
    }
    return false;
}

const char *tw_lang_intern(tw_lang *l, const char *text, size_t length)
{
    tw_hash key = tw_hash_bytes(tw_key(0x6e616d65), text, length);
    char *known = tw_map_get(l->names, key);
    if (known)
        return known;
    char *copy = tw_arena_alloc(l->arena, length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    if (copy && tw_map_put(l->names, key, copy))
        return copy;
    out_of_memory(l);
    return "";
}

/* ---- names that were meant ---- */

enum { MOST_COMPARED = 40 };

static int distance(const char *a, const char *b)
{
    int row[MOST_COMPARED + 1], n = (int)strlen(a), m = (int)strlen(b);
    if (n > MOST_COMPARED || m > MOST_COMPARED)
        return MOST_COMPARED;
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = TW_MIN(TW_MIN(above, row[j - 1]) + 1, change);
            diagonal = above;
        }
    }
    return row[m];
}

const char *tw_lang_nearest(const char *name, const char *const *names, int count)
{
    const char *best = NULL;
    int least = TW_MAX((int)strlen(name) / 3, 1) + 1;
    for (int i = 0; i < count; i++) {
        int d = distance(name, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}
