/* TW_CHECK=1: every kernel of every run beside the reference evaluator. check.c runs and compares, blame.c finds which
 * operation is wrong and saves what is needed to see it again. */
#ifndef TW_CHECK_H
#define TW_CHECK_H

#include "ops/reference.h"
#include "runtime/runtime.h"
#include "tilewright/tensor.h"

bool tw_check_on(void);

/* As tw_execute; while TW_CHECK is on, launch by launch, each compared with the reference on what it really read, so
 * that errors don't add up. error: TW_ERR_INTERNAL, with the kernel, the operation and the element named. */
tw_status tw_checked_execute(tw_executable *e, void *const *inputs, void *const *outputs);

/* What a launch computes, as a graph of its own: its inputs are what it reads, its outputs what it writes, in the order
 * of the launch's arguments; with `all`, the outputs are every operation inside instead. NULL: error set. */
tw_graph *tw_launch_graph(const tw_plan *plan, int launch, bool all);

/* A launch whose results differ. */
typedef struct tw_check_difference {
    const tw_plan *plan;
    int launch;
    const tw_array *read; /* what it read, by argument */
    int output;           /* the first written argument that differs */
    const char *report;   /* where and how much */
} tw_check_difference;
tw_status tw_check_blame(const tw_check_difference *d); /* always an error */

/* Set by io: how arrays are saved (tw_save_safetensors). */
typedef tw_status tw_check_save(const char *path, int count, const char *const *names, tw_tensor *const *tensors,
                                int metadata, const char *const *keys, const char *const *values);
extern tw_check_save *tw_check_saver;

/* For tests of the check itself: called after each checked kernel ran, may spoil what it wrote. */
typedef void tw_check_spoil(const tw_plan *plan, int launch, void *const *buffers);
extern tw_check_spoil *tw_check_spoiler;

#endif
