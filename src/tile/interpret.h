/* The interpreter: runs a tile program, instance by instance, operation by operation, over plain arrays.
 *
 * It shares nothing with code generation and is what back ends are tested against. With checks on it also finds reads
 * and writes outside of every buffer, races between program instances, reads of memory that nobody wrote, and the first
 * NaN.
 *
 * Pointers are addresses of a machine of its own: buffer i begins at (i + 1) << 40, so that an address that leaves its
 * buffer meets no other. */
#ifndef TW_INTERPRET_H
#define TW_INTERPRET_H

#include "tile/lang/lang.h"

typedef struct tw_tile_buffer {
    void *data;
    size_t bytes;
    const char *name;
    bool written; /* holds values already; false: a read before the first write is an error where that is checked */
} tw_tile_buffer;

typedef struct tw_tile_argument { /* in the order of the program's arg operations */
    int buffer;                   /* of a pointer; -1: none */
    int64_t
        bits; /* of a scalar: as it stands in memory, in the low bytes; of a pointer: bytes behind the buffer's start */
} tw_tile_argument;

typedef enum {
    TW_TILE_OUT_OF_BOUNDS,
    TW_TILE_RACE,
    TW_TILE_UNWRITTEN,
    TW_TILE_NAN,
    TW_TILE_FINDINGS
} tw_tile_finding_kind;

typedef struct tw_tile_finding {
    tw_tile_finding_kind kind;
    const tw_op *op;
    int64_t program[3];
    char text[200]; /* what was found, without the place */
} tw_tile_finding;

typedef struct tw_tile_machine tw_tile_machine;

typedef struct tw_tile_run {
    int64_t grid[3];
    const int64_t *range;  /* NULL, or the linear program ids [0] <= id < [1] to run; axis 0 runs fastest */
    const int64_t *symbol; /* what s0, s1... of the program stand for; NULL: it has none */
    const tw_tile_buffer *buffer;
    int buffers;
    const tw_tile_argument *argument;
    int arguments;
    bool check_races, check_unwritten, check_nan;              /* bounds are always checked */
    void (*found)(void *user, const tw_tile_finding *finding); /* NULL: the first finding ends the run with its text */
    void (*print)(void *user, const char *line);               /* device_print; NULL: dropped */
    /* NULL, or who hears of prints and asserts in their place: see tw_kernel_call in codegen/codegen.h. */
    bool (*say)(void *user, int64_t statement, const int64_t *program, const void *const *operand);
    bool (*step)(void *user, tw_tile_machine *m, const tw_op *op); /* after each operation; false: stop */
    void *user;
    const tw_op **failed_at; /* NULL, or where the operation goes at which the run ended with an error */
    int64_t most_operations; /* 0: no bound; else one that ends a loop that never does */
} tw_tile_run;

tw_status tw_tile_interpret(const tw_graph *program, const tw_tile_run *run);

/* For step: what a value is now (row-major, its dtype's size each; pointers 8 bytes); NULL: not computed. */
const void *tw_tile_machine_value(const tw_tile_machine *m, const tw_value *v);
const int64_t *tw_tile_machine_program(const tw_tile_machine *m);
const char *tw_tile_finding_name(tw_tile_finding_kind kind);
double tw_tile_element(const tw_type *t, const void *data, int64_t i); /* as a double */

#endif
