/* A step of a program as a workload: the launches that it was compiled to, with the same operations and bytes as
 * `tw explain` shows, and what they would take on a chip. */
#ifndef TW_MACHINE_CAPTURED_H
#define TW_MACHINE_CAPTURED_H

#include "machine/cost.h"
#include "schedule/schedule.h"
#include "tilewright/explain.h"

typedef struct tw_captured_launch {
    int kind; /* tw_kernel_kind */
    double flops, bytes, programs;
    double seconds; /* as measured here: the fastest of several, since what disturbs only adds */
} tw_captured_launch;

typedef struct tw_captured {
    tw_captured_launch *launch;
    int launches;
    double operations; /* that the program recorded */
    double seconds;    /* of a step here, with nobody looking on: the fastest */
    double processor;  /* the same by processor time of all threads, which other programs don't add to */
    double rest;       /* of a step beside its launches: recording, looking up, what the program itself does */
    double peak_bytes; /* of tensors, stated before anything ran */
} tw_captured;

/* Runs the step about 2 * times + 2 times, compiled. error: beside those of the step, TW_ERR_VALUE when it runs
 * operation by operation (a limit of control.h) or differently each time. `captured` is freed with tw_captured_free. */
tw_status tw_capture_work(tw_explained_step *step, void *user, int times, tw_captured *captured);
void tw_captured_free(tw_captured *captured);

/* All launches one after the other on a chip: each the larger of its operations at the rate of large products and its
 * bytes at the rate of its class. By kind into `kinds` (seconds), NULL: not asked for. */
double tw_captured_time(const tw_captured *captured, const tw_device *device, tw_peak type, double kinds[TW_KINDS]);

#endif
