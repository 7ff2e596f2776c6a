/* What only this folder uses. */
#ifndef TW_MACHINE_INTERNAL_H
#define TW_MACHINE_INTERNAL_H

#include "machine/library.h"
#include "machine/schema.h"
#include "machine/workload.h"

/* Texts of data/machine, compiled in. Ends with a NULL name. */
typedef struct tw_embedded {
    const char *name, *text;
    size_t bytes;
} tw_embedded;
extern const tw_embedded tw_embedded_machines[];

void tw_library_restore(tw_library *library); /* every item as its text says, nothing derived */

/* Names to pointers, derived numbers, checks across fields and items: after every change. */
tw_status tw_library_resolve(tw_library *library);

/* What the layers of a model hold, by kind: how many layers have it, and its parameters in one of them. */
typedef struct tw_parts {
    double attention_layers, mixer_layers, dense_layers, expert_layers;
    double attention, mixer, dense, expert, shared, router, norm, bias;
    double query_width; /* of queries (and keys) over all heads */
} tw_parts;
tw_parts tw_model_parts(const tw_model *m);
double tw_micro_batches(const tw_planner *p, const tw_strategy *s); /* of a step, on one replica */
double tw_stage_layers(const tw_model *m, const tw_strategy *s);
double tw_activation_bytes(const tw_planner *p, const tw_strategy *s);
double tw_held_micro_batches(const tw_planner *p, const tw_strategy *s);
double tw_device_parameters(const tw_planner *p, const tw_strategy *s, double *experts); /* result: all but experts */
void tw_planner_forget(tw_planner *p); /* what was remembered, after its work changed */
/* Joules of all devices; `overhead`: W beside each chip. The first is what no work at all would cost. */
double tw_idle_energy(const tw_planner *p, double time, double devices, double overhead);
double tw_step_energy(const tw_planner *p, const tw_step *step, double devices, double overhead);
/* What the device loses to a host that needs `host` seconds for launches of `device` seconds. */
double tw_host_wait(const tw_software *software, double device, double host);
tw_layer_cost tw_layer_compute(const tw_planner *p, const tw_strategy *s); /* what tw_planner_layer remembers */
double tw_model_attended(const tw_model *m, double sequence, bool half, bool windowed); /* tokens that one token sees */

#endif
