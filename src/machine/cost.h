/* What work costs on one device, and what moving bytes between devices costs. Times are seconds, sizes bytes. */
#ifndef TW_MACHINE_COST_H
#define TW_MACHINE_COST_H

#include "machine/library.h"

/* ---- one device ---- */

/* A chip with its constants, ready for many questions: peaks times what is reached of them. */
typedef struct tw_device {
    const tw_chip *chip;
    const tw_fit *fit;
    double clock;                 /* 1, less under a power cap */
    double sustained;             /* of its 16-bit matrix rate; 1 for a moment's work */
    double matrix[TW_PEAKS];      /* FLOP/s of large products, by operand type */
    double bandwidth;             /* byte/s, data sheet */
    double stream, norm, softmax; /* byte/s reached, by class */
    double cache_bytes, units;
    double host_speed;
} tw_device;

/* `fit`: the constants to use, NULL: the chip's own. `power_cap`: share of TDP, 1: none. */
tw_device tw_device_of(const tw_chip *chip, const tw_fit *fit, double power_cap);
/* The same chip while it is cool: what a single kernel sees. */
tw_device tw_device_cool(const tw_device *d);

typedef enum { TW_PASS_STREAM, TW_PASS_NORM, TW_PASS_SOFTMAX } tw_pass_class;

/* One kernel of a queue; `gap` to the next one included. */
double tw_gemm_time(const tw_device *d, tw_peak type, double m, double n, double k, double batch);
double tw_pass_time(const tw_device *d, tw_pass_class class, double bytes); /* reads and writes `bytes` once */
double tw_norm_time(const tw_device *d, double rows, double columns, double element);
double tw_softmax_time(const tw_device *d, double rows, double columns, double element);
/* Fused attention: `flops` of it, heads of `head_dim`. */
double tw_attention_time(const tw_device *d, tw_peak type, double flops, double head_dim, bool backward);

/* ---- between devices ---- */

typedef enum {
    TW_ALL_REDUCE,
    TW_ALL_GATHER,
    TW_REDUCE_SCATTER,
    TW_ALL_TO_ALL,
    TW_BROADCAST,
    TW_SEND,
    TW_COLLECTIVES
} tw_collective;
typedef enum {
    TW_ALGORITHM_AUTO,
    TW_ALGORITHM_RING,
    TW_ALGORITHM_TREE,
    TW_ALGORITHM_RECURSIVE,
    TW_ALGORITHM_SWITCH
} tw_algorithm;
const char *tw_collective_name(tw_collective c);

/* Who takes part, by how many of them each tier joins: 8 in a node times 4 nodes is {8, 4}. Links are counted for each
 * device (a node of eight devices has eight times the rate to the outside), so groups side by side don't share any. */
typedef struct tw_group {
    double members;
    int tiers;
    double size[TW_TIERS];
} tw_group;

/* `members` devices at distance `stride` on a machine that is filled from the innermost tier; neighbours have stride 1.
 */
tw_group tw_group_of(const tw_machine *machine, double members, double stride);

/* Each member holds `bytes` (all-gather, reduce-scatter, all-to-all: of the whole result; send: what one sends). */
double tw_collective_time(const tw_machine *machine, const tw_group *group, tw_collective what, double bytes,
                          tw_algorithm algorithm);
/* What it puts on the links of each tier, a device and direction. */
void tw_collective_bytes(const tw_group *group, tw_collective what, double bytes, double on_tier[TW_TIERS]);

#endif
