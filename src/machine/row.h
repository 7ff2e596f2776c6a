/* One row of a table of measurements as numbers, and the machine, model and plan that it describes. */
#ifndef TW_MACHINE_ROW_H
#define TW_MACHINE_ROW_H

#include "machine/search.h"
#include "machine/table.h"

/* Numbers that a row leaves empty are NaN. */
typedef struct tw_row {
    const char *id, *kind, *split, *hw, *dtype, *model, *shape, *metric, *unit, *metric2, *note, *source, *recompute;
    double n_dev, node_size, nic_gbps, params_b, layers, hidden, ffn, heads, kv_heads, vocab, seq, gbs, mbs, tp, pp,
        vpp, dp, cp, ep, zero, seqpar, value, value2;
    int line;
} tw_row;

/* error: TW_ERR_FORMAT with file, line and column where a cell is no number, or a needed column is missing. */
tw_status tw_row_read(const tw_table *table, int row, tw_arena *arena, tw_row *out);

/* "in=128,batch=4": a number of the shape column by name; NaN: absent. Text: into `out`. */
double tw_row_shape(const tw_row *r, const char *key);
bool tw_row_shape_text(const tw_row *r, const char *key, char *out, size_t room);

/* What the row was measured on. Machines and models of rows are built here and live in `machine`, `model`. */
tw_status tw_row_machine(const tw_library *l, const tw_row *r, tw_machine *machine);
tw_status tw_row_model(const tw_library *l, const tw_row *r, tw_model *model);
bool tw_row_known_model(const tw_library *l, const char *name, double billions); /* of about that size */
tw_workload tw_row_workload(const tw_library *l, const tw_row *r, const tw_model *model);
/* What the row says of its plan; the rest is free for a search. */
tw_search_space tw_row_space(const tw_row *r, const tw_model *model);

#endif
