/* What the files of src/ir share. */
#ifndef TW_IR_INTERNAL_H
#define TW_IR_INTERNAL_H

#include "ir/ir.h"

typedef struct tw_dim_table tw_dim_table;
void tw_dim_table_free(tw_graph *g);
tw_op *tw_op_allocate(tw_graph *g, int code, uint32_t operands, uint32_t results, uint32_t regions);
void tw_op_insert(tw_graph *g, tw_op *op);
tw_block *tw_block_create(tw_graph *g, tw_op *parent);

#endif
