/* What is kept between the first and the second half of a graph, and what is computed again. See README.md. */
#ifndef TW_REMATERIALISE_H
#define TW_REMATERIALISE_H

#include "ir/ir.h"

/* What computing again costs, in bytes of memory that one operation on one element is worth: 0 computes everything
 * again that can be, a large number nothing. The default keeps what is dear (products) and computes again what is cheap
 * (element-wise chains): on this generation of machines that also saves time, since memory is what is slow. */
extern const double tw_rematerialise_price;

typedef struct tw_rematerialised {
    int operations;             /* computed twice */
    int64_t bytes_less;         /* live across the cut before and after, by the estimate that the cut was chosen by */
    int64_t element_operations; /* that are done twice */
} tw_rematerialised;

/* What is computed again, by operation in their order, so that a graph that differs in sizes only can be treated alike.
 * Views, which some sizes need and others don't, are not counted: they go with what they view. */
typedef struct tw_remat_choice {
    int operations, cut; /* how many; the last one before the cut */
    bool *again;         /* tw_free it */
} tw_remat_choice;
tw_status tw_rematerialise_choose(const tw_graph *g, double price, tw_remat_choice *choice);
/* in: primitives, simplified; out: the same results, bit by bit. `done` may be NULL. */
tw_status tw_rematerialise_apply(tw_graph **g, const tw_remat_choice *choice, tw_rematerialised *done, bool *changed);

/* Both. */
tw_status tw_rematerialise(tw_graph **g, double price, tw_rematerialised *done, bool *changed);

tw_status tw_pass_rematerialise(tw_graph **g, bool *changed); /* at the default price */

#endif
