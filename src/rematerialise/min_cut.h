/* Minimum cuts of small directed networks. */
#ifndef TW_MIN_CUT_H
#define TW_MIN_CUT_H

#include "base/base.h"

typedef struct tw_network tw_network;
#define TW_CAPACITY_INFINITE ((int64_t)1 << 60)

tw_network *tw_network_create(tw_arena *arena, int nodes); /* node 0 is the source, node 1 the sink; NULL: no memory */
bool tw_network_edge(tw_network *n, int from, int to, int64_t capacity); /* false: no memory */

/* sink_side[node]: does a minimum cut leave the node on the sink's side? Of several such cuts, the one with the
 * smallest sink side. error: TW_ERR_MEMORY. */
tw_status tw_network_cut(tw_network *n, bool *sink_side, int64_t *capacity);

#endif
