/* What the files of the interpreter share. */
#ifndef TW_INTERPRET_INTERNAL_H
#define TW_INTERPRET_INTERNAL_H

#include "tile/interpret.h"

enum { ADDRESS_SHIFT = 40 };

typedef struct slot { /* a tile value's array */
    void *data;
    size_t bytes;
} slot;

typedef struct shadow_cell {          /* of one byte of a buffer */
    uint32_t writer, reader;          /* program + 1 of the last; 0: none */
    uint32_t write_clock, read_clock; /* of that program, when it did */
    bool atomic_write, atomic_read, written;
} shadow_cell;

typedef struct order order; /* which programs' clocks happened before: see interpret_check.c */

struct tw_tile_machine {
    const tw_graph *g;
    tw_graph *copy; /* of a program with symbols; NULL: none */
    const tw_tile_run *run;
    slot *value;        /* by value id */
    const tw_op **last; /* by value id: the last operation of its block that reads it */
    tw_vec(slot) pool;
    int64_t program[3], linear, operations;
    bool returned_nan;       /* a NaN was found already */
    bool ended;              /* who hears of a print or assert ended this instance */
    const tw_op **statement; /* prints and asserts, in order; NULL: nobody asks */
    int statements;
    shadow_cell **shadow; /* by buffer; NULL without checks */
    uint32_t clock;
    order *order;
    tw_status status;
    const tw_op *op; /* that runs */
    size_t bytes;
};

static inline int64_t tile_count(const tw_type *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}
static inline size_t element_bytes(const tw_type *t)
{
    return t->pointer ? 8 : tw_dtype_size((tw_dtype)t->dtype);
}
static inline void *data_of(const tw_tile_machine *m, const tw_value *v)
{
    return m->value[v->id].data;
}

tw_status tw_tile_fail(tw_tile_machine *m, const char *format, ...) TW_PRINTF(2, 3); /* with program and place */
void *tw_tile_allocate(tw_tile_machine *m, const tw_value *v); /* the value's array; NULL: an error */

tw_status tw_tile_run_elementwise(tw_tile_machine *m, const tw_op *op);
tw_status tw_tile_run_shape(tw_tile_machine *m, const tw_op *op);
tw_status tw_tile_run_memory(tw_tile_machine *m, const tw_op *op);
tw_status tw_tile_run_whole(tw_tile_machine *m, const tw_op *op);
tw_status tw_tile_run_block(tw_tile_machine *m, const tw_block *block, const tw_op **terminator);

/* float <-> elements of a floating dtype */
void tw_tile_widen(tw_dtype dtype, const void *from, int64_t count, float *to);
void tw_tile_narrow(tw_dtype dtype, const float *from, int64_t count, void *to);
/* One operation on arrays: strides 0 (a scalar) or 1. */
tw_status tw_tile_binary(tw_tile_machine *m, int code, tw_dtype dtype, int64_t n, void *r, const void *a, int sa,
                         const void *b, int sb);

/* ---- checks ---- */
tw_status tw_tile_checks_begin(tw_tile_machine *m);
void tw_tile_checks_end(tw_tile_machine *m);
void tw_tile_checks_program(tw_tile_machine *m); /* a new instance begins */
tw_status tw_tile_found(tw_tile_machine *m, tw_tile_finding_kind kind, const char *format, ...) TW_PRINTF(3, 4);
/* The bytes at an address, where they lie in a buffer; NULL: outside, and *status says whether to go on. */
void *tw_tile_at(tw_tile_machine *m, int64_t address, size_t bytes, const char *what, tw_status *status);
tw_status tw_tile_touch(tw_tile_machine *m, int64_t address, size_t bytes, bool write, bool atomic);
tw_status tw_tile_synchronise(tw_tile_machine *m, int64_t address); /* an atomic operation: acquire and release */

#endif
