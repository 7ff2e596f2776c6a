/* What print and assert of a program say, for the interpreter and for compiled code alike. */
#ifndef TW_TILE_SAY_H
#define TW_TILE_SAY_H

#include "tile/tile.h"

/* A print's line: "pid (0, 0, 0) text: 1 2 3". data: an array for each operand, row-major; a row of n elements takes
 * row(n), NULL: n. */
typedef int64_t tw_tile_row(int64_t elements);
void tw_tile_say_print(const tw_op *op, const int64_t *program, const void *const *data, tw_tile_row *row,
                       tw_text *line);
/* The prints and asserts of a program in the order of its text; returns how many. NULL: they are only counted. */
int tw_tile_statements(const tw_block *block, const tw_op **statement);

/* The first element of an assert's condition that doesn't hold; -1: all do. */
int64_t tw_tile_broken(const tw_op *op, const void *data, tw_tile_row *row);

#endif
