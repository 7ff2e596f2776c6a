/* Discrete-event simulation: tasks on streams and links. A stream runs one task at a time; a link is shared evenly by
 * the transfers on it. Used for the timeline of a step and for collectives message by message. */
#ifndef TW_MACHINE_SIMULATE_H
#define TW_MACHINE_SIMULATE_H

#include "base/base.h"

typedef struct tw_simulation tw_simulation;

typedef enum {
    TW_ORDER_QUEUE,   /* tasks of the stream start in the order in which they were added */
    TW_ORDER_PRIORITY /* whichever is ready starts, lowest priority number first */
} tw_order;

/* Streams and links are numbered from 0. NULL: no memory. */
tw_simulation *tw_simulation_create(int streams, int links);
void tw_simulation_destroy(tw_simulation *s);
void tw_simulation_order(tw_simulation *s, int stream, tw_order order);

/* A task of `seconds` on a stream (-1: on none). Returns its number; -1: no memory. */
int tw_simulation_add(tw_simulation *s, int stream, int priority, double seconds);
/* Its seconds are those of a transfer that has links `from` and `to` (-1: none) to itself; others slow it down. */
void tw_simulation_transfer(tw_simulation *s, int task, int from, int to);
/* `task` starts when `earlier` has ended. false: no memory. */
bool tw_simulation_after(tw_simulation *s, int task, int earlier);

/* error: TW_ERR_VALUE when tasks wait for each other in a circle. */
tw_status tw_simulation_run(tw_simulation *s);

double tw_simulation_end(const tw_simulation *s); /* of everything */
double tw_simulation_start_of(const tw_simulation *s, int task);
double tw_simulation_end_of(const tw_simulation *s, int task);
double tw_simulation_busy(const tw_simulation *s, int stream);       /* seconds that the stream worked */
double tw_simulation_link_busy(const tw_simulation *s, int link);    /* seconds that the link carried anything */
double tw_simulation_link_carried(const tw_simulation *s, int link); /* seconds' worth of transfers that it carried */

#endif
