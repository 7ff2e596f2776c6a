/* Recording: what every eager call does. */
#ifndef TW_TENSOR_RECORD_H
#define TW_TENSOR_RECORD_H

#include "ir/ir.h"
#include "tilewright/tensor.h"

/* Checks, records one operation in the thread's segment, returns its pending result (owned by the open scope). Never
 * NULL. */
tw_tensor *tw_record(int code, int operands, tw_tensor *const *operand, const tw_attr *attrs);

/* The same, and the result becomes the new content of operand[0]. */
tw_status tw_record_in_place(int code, int operands, tw_tensor *const *operand, const tw_attr *attrs);

tw_tensor *tw_tensor_failed(tw_status status); /* what a call returns that failed: carries the error */

#endif
