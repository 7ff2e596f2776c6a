/* Dinic's algorithm ("Algorithm for solution of a problem of maximum flow in networks with power estimation", 1970):
 * breadth-first levels, then augmenting paths along them; both without recursion. */
#include "rematerialise/min_cut.h"

typedef struct edge {
    int to, next;     /* next edge out of the same node; -1 */
    int64_t capacity; /* what is left of it; edge i ^ 1 is the way back */
} edge;

struct tw_network {
    tw_arena *arena;
    int nodes, edges, room;
    edge *edge;
    int *first, *level, *at, *queue;
};

tw_network *tw_network_create(tw_arena *arena, int nodes)
{
    tw_network *n = tw_arena_zero(arena, 1, sizeof *n);
    if (!n)
        return NULL;
    *n = (tw_network){.arena = arena, .nodes = nodes};
    int **arrays[] = {&n->first, &n->level, &n->at, &n->queue};
    for (size_t i = 0; i < TW_COUNT(arrays); i++)
        if (!(*arrays[i] = tw_arena_alloc(arena, (size_t)nodes * sizeof(int))))
            return NULL;
    for (int i = 0; i < nodes; i++)
        n->first[i] = -1;
    return n;
}

bool tw_network_edge(tw_network *n, int from, int to, int64_t capacity)
{
    if (n->edges + 2 > n->room) {
        int room = TW_MAX(256, 2 * n->room);
        edge *grown = tw_arena_alloc(n->arena, (size_t)room * sizeof *grown);
        if (!grown)
            return false;
        if (n->edges)
            memcpy(grown, n->edge, (size_t)n->edges * sizeof *grown);
        n->edge = grown;
        n->room = room;
    }
    n->edge[n->edges] = (edge){to, n->first[from], capacity};
    n->first[from] = n->edges++;
    n->edge[n->edges] = (edge){from, n->first[to], 0};
    n->first[to] = n->edges++;
    return true;
}

/* Distances from the source over edges that have capacity left; false: the sink is out of reach. */
static bool find_levels(tw_network *n)
{
    int head = 0, tail = 0;
    for (int i = 0; i < n->nodes; i++)
        n->level[i] = -1;
    n->level[0] = 0;
    n->queue[tail++] = 0;
    while (head < tail) {
        int node = n->queue[head++];
        for (int e = n->first[node]; e >= 0; e = n->edge[e].next) {
            if (n->edge[e].capacity == 0 || n->level[n->edge[e].to] >= 0)
                continue;
            n->level[n->edge[e].to] = n->level[node] + 1;
            n->queue[tail++] = n->edge[e].to;
        }
    }
    return n->level[1] >= 0;
}

/* One path along the levels; returns what it carries, 0: none is left. `queue` holds the path's edges. */
static int64_t augment(tw_network *n)
{
    int depth = 0, node = 0;
    while (node != 1) {
        int e = n->at[node];
        while (e >= 0 && (n->edge[e].capacity == 0 || n->level[n->edge[e].to] != n->level[node] + 1))
            e = n->edge[e].next;
        n->at[node] = e;
        if (e >= 0) {
            n->queue[depth++] = e;
            node = n->edge[e].to;
        } else if (depth == 0) {
            return 0;
        } else { /* a dead end: back, and never here again */
            n->level[node] = -1;
            node = n->edge[n->queue[--depth] ^ 1].to;
        }
    }
    int64_t least = TW_CAPACITY_INFINITE;
    for (int i = 0; i < depth; i++)
        least = TW_MIN(least, n->edge[n->queue[i]].capacity);
    for (int i = 0; i < depth; i++) {
        edge *e = &n->edge[n->queue[i]], *back = &n->edge[n->queue[i] ^ 1];
        e->capacity -= e->capacity < TW_CAPACITY_INFINITE ? least : 0;
        back->capacity += back->capacity < TW_CAPACITY_INFINITE ? least : 0;
    }
    return least;
}

/* Everything from which the sink can still be reached. */
static void find_sink_side(tw_network *n, bool *sink_side)
{
    int head = 0, tail = 0;
    memset(sink_side, 0, (size_t)n->nodes * sizeof *sink_side);
    sink_side[1] = true;
    n->queue[tail++] = 1;
    while (head < tail) {
        int node = n->queue[head++];
        for (int e = n->first[node]; e >= 0; e = n->edge[e].next) {
            if (n->edge[e ^ 1].capacity == 0 || sink_side[n->edge[e].to])
                continue;
            sink_side[n->edge[e].to] = true;
            n->queue[tail++] = n->edge[e].to;
        }
    }
}

tw_status tw_network_cut(tw_network *n, bool *sink_side, int64_t *capacity)
{
    *capacity = 0;
    while (find_levels(n)) {
        memcpy(n->at, n->first, (size_t)n->nodes * sizeof *n->at);
        for (int64_t carried; (carried = augment(n)) > 0;)
            *capacity += carried;
    }
    find_sink_side(n, sink_side);
    return TW_OK;
}
