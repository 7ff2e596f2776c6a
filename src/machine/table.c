/* Tab-separated text: no quoting, one row a line. */
#include "machine/table.h"

enum { MOST_COLUMNS = 256, MOST_ROWS = 1 << 20 };

static int split(tw_arena *arena, const char *at, const char *end, const char **cell, int room)
{
    int n = 0;
    for (;;) {
        const char *tab = memchr(at, '\t', (size_t)(end - at)), *stop = tab ? tab : end;
        if (n == room || !(cell[n] = tw_arena_text(arena, "%.*s", (int)(stop - at), at)))
            return n == room ? -1 : -2;
        n++;
        if (!tab)
            return n;
        at = tab + 1;
    }
}

typedef tw_vec(const char *) texts;
typedef tw_vec(int) numbers;

static tw_status read_row(tw_arena *arena, tw_table *t, int line, const char *at, const char *end, texts *cells,
                          numbers *lines)
{
    const char *cell[MOST_COLUMNS];
    int n = split(arena, at, end, cell, MOST_COLUMNS);
    if (n == -2)
        return TW_ERR_MEMORY;
    if (n < 0 || (t->columns && n > t->columns))
        return tw_error(TW_ERR_FORMAT, "%s:%d: more cells than the header has columns (%d)", t->file, line,
                        t->columns ? t->columns : MOST_COLUMNS);
    if (!t->columns) {
        t->columns = n;
        t->header = tw_arena_copy(arena, cell, (size_t)n * sizeof *cell);
        return t->header ? TW_OK : TW_ERR_MEMORY;
    }
    if (lines->count == MOST_ROWS)
        return tw_error(TW_ERR_FORMAT, "%s:%d: more than %d rows", t->file, line, MOST_ROWS);
    for (int i = 0; i < t->columns; i++)
        if (!tw_vec_push(cells, i < n ? cell[i] : ""))
            return TW_ERR_MEMORY;
    return tw_vec_push(lines, line) ? TW_OK : TW_ERR_MEMORY;
}

tw_status tw_table_parse(tw_arena *arena, const char *file, const char *text, size_t bytes, tw_table *t)
{
    texts cells = {0};
    numbers lines = {0};
    tw_status status = TW_OK;
    int line = 0;
    *t = (tw_table){.file = file};
    for (const char *at = text, *end = text + bytes; at < end && status == TW_OK;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end, *last = stop;
        line++;
        if (last > at && last[-1] == '\r')
            last--;
        if (last > at && memchr(at, 0, (size_t)(last - at)))
            status = tw_error(TW_ERR_FORMAT, "%s:%d: a zero byte; expected text", file, line);
        else if (last > at && *at != '#')
            status = read_row(arena, t, line, at, last, &cells, &lines);
        at = stop + 1;
    }
    if (status == TW_OK && !t->columns)
        status = tw_error(TW_ERR_FORMAT, "%s: no header line; expected column names with tabs between", file);
    if (status == TW_OK) {
        t->rows = (int)lines.count;
        t->cell = tw_arena_copy(arena, cells.data, cells.count * sizeof *cells.data);
        t->line = tw_arena_copy(arena, lines.data, lines.count * sizeof *lines.data);
        status = (t->cell && t->line) || !t->rows ? TW_OK : TW_ERR_MEMORY;
    }
    tw_vec_free(&cells);
    tw_vec_free(&lines);
    return status;
}

int tw_table_column(const tw_table *t, const char *name)
{
    for (int i = 0; i < t->columns; i++)
        if (!strcmp(t->header[i], name))
            return i;
    return -1;
}

const char *tw_table_cell(const tw_table *t, int row, int column)
{
    return column < 0 ? "" : t->cell[(size_t)row * (size_t)t->columns + (size_t)column];
}
