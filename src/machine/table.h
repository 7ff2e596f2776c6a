/* Tab-separated text with a header line. */
#ifndef TW_MACHINE_TABLE_H
#define TW_MACHINE_TABLE_H

#include "base/base.h"

typedef struct tw_table {
    const char *file;
    int columns, rows;
    const char **header, **cell; /* cell[row * columns + column], "" where a line is short */
    int *line;                   /* where each row stands */
} tw_table;

/* Lines that begin with '#' and empty ones are skipped. error: TW_ERR_FORMAT with the line. */
tw_status tw_table_parse(tw_arena *arena, const char *file, const char *text, size_t bytes, tw_table *table);
int tw_table_column(const tw_table *table, const char *name);          /* -1: none */
const char *tw_table_cell(const tw_table *table, int row, int column); /* "" for column -1 */

#endif
