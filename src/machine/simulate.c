/* The event loop. Tasks that nothing holds back become ready, start when their stream is free, and end after their
 * seconds; transfers end later when they share a link. Ends are kept in a heap; one that was overtaken by a change of
 * rate is recognised by its number and dropped. */
#include "machine/simulate.h"

#include <math.h>

typedef struct task {
    int stream, priority, from, to;
    int waits;         /* earlier tasks that have not ended */
    int first;         /* edge to a later task, -1: none */
    int next_ready;    /* of the same stream */
    int version;       /* of its end in the heap */
    double left, rate; /* seconds of work left, at rate 1 */
    double since;      /* when `left` was right */
    double start, end; /* NaN: not yet */
} task;

typedef struct edge {
    int to, next;
} edge;

typedef struct ending {
    double time;
    int task, version;
} ending;

typedef struct stream {
    tw_order order;
    int running, ready; /* task, -1: none; head of a list in order of start */
    int queue, last;    /* QUEUE: the next task that may start, the last that was added */
    double busy;
} stream;

typedef struct link {
    int active; /* transfers on it */
    double busy, carried, since;
} link;

struct tw_simulation {
    tw_vec(task) task;
    tw_vec(edge) edge;
    tw_vec(ending) heap;
    tw_vec(int) moving;   /* transfers under way */
    tw_vec(int) follower; /* of each task, the next one of its stream; -1: none */
    tw_vec(int) ended;    /* at the present moment */
    stream *stream;
    link *link;
    int streams, links, done;
    double now;
    bool failed;
};

tw_simulation *tw_simulation_create(int streams, int links)
{
    tw_simulation *s = tw_alloc_zero(1, sizeof *s);
    if (!s)
        return NULL;
    s->stream = tw_alloc_zero((size_t)streams + 1, sizeof *s->stream);
    s->link = tw_alloc_zero((size_t)links + 1, sizeof *s->link);
    s->streams = streams;
    s->links = links;
    if (!s->stream || !s->link) {
        tw_simulation_destroy(s);
        return NULL;
    }
    for (int i = 0; i < streams; i++)
        s->stream[i] = (stream){.running = -1, .ready = -1, .queue = -1, .last = -1};
    return s;
}

void tw_simulation_destroy(tw_simulation *s)
{
    if (!s)
        return;
    tw_vec_free(&s->task);
    tw_vec_free(&s->edge);
    tw_vec_free(&s->heap);
    tw_vec_free(&s->moving);
    tw_vec_free(&s->follower);
    tw_vec_free(&s->ended);
    tw_free(s->stream);
    tw_free(s->link);
    tw_free(s);
}

void tw_simulation_order(tw_simulation *s, int at, tw_order order)
{
    s->stream[at].order = order;
}

int tw_simulation_add(tw_simulation *s, int at, int priority, double seconds)
{
    int number = (int)s->task.count;
    task t = {.stream = at,
              .priority = priority,
              .from = -1,
              .to = -1,
              .first = -1,
              .next_ready = -1,
              .left = TW_MAX(seconds, 0.0),
              .rate = 1,
              .start = NAN,
              .end = NAN};
    if (s->task.count > (size_t)1 << 28 || !tw_vec_push(&s->follower, -1) || !tw_vec_push(&s->task, t))
        return -1;
    if (at < 0)
        return number;
    stream *on = &s->stream[at];
    if (on->last >= 0)
        s->follower.data[on->last] = number;
    else
        on->queue = number;
    on->last = number;
    return number;
}

void tw_simulation_transfer(tw_simulation *s, int number, int from, int to)
{
    s->task.data[number].from = from;
    s->task.data[number].to = to == from ? -1 : to;
}

bool tw_simulation_after(tw_simulation *s, int number, int earlier)
{
    edge e = {.to = number, .next = s->task.data[earlier].first};
    if (!tw_vec_push(&s->edge, e))
        return false;
    s->task.data[earlier].first = (int)s->edge.count - 1;
    s->task.data[number].waits++;
    return true;
}

/* ---- the heap of ends ---- */

static bool push_end(tw_simulation *s, ending e)
{
    if (!tw_vec_push(&s->heap, e))
        return false;
    ending *h = s->heap.data;
    for (size_t i = s->heap.count - 1; i > 0 && h[(i - 1) / 2].time > h[i].time; i = (i - 1) / 2) {
        ending swap = h[i];
        h[i] = h[(i - 1) / 2];
        h[(i - 1) / 2] = swap;
    }
    return true;
}

static ending pop_end(tw_simulation *s)
{
    ending *h = s->heap.data, top = h[0];
    h[0] = h[--s->heap.count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < s->heap.count; k++)
            if (h[k].time < h[least].time)
                least = k;
        if (least == i)
            return top;
        ending swap = h[i];
        h[i] = h[least];
        h[least] = swap;
        i = least;
    }
}

static void schedule_end(tw_simulation *s, int number)
{
    task *t = &s->task.data[number];
    t->version++;
    if (!push_end(s, (ending){.time = s->now + t->left / t->rate, .task = number, .version = t->version}))
        s->failed = true;
}

/* ---- links ---- */

static double share_of(const tw_simulation *s, const task *t)
{
    int most = 1;
    if (t->from >= 0)
        most = TW_MAX(most, s->link[t->from].active);
    if (t->to >= 0)
        most = TW_MAX(most, s->link[t->to].active);
    return 1.0 / most;
}

/* Transfers that share a link with one that came or went get their new rate. */
static void adjust(tw_simulation *s, int from, int to)
{
    for (size_t i = 0; i < s->moving.count; i++) {
        task *t = &s->task.data[s->moving.data[i]];
        bool touched = (from >= 0 && (t->from == from || t->to == from)) || (to >= 0 && (t->from == to || t->to == to));
        double rate = touched ? share_of(s, t) : t->rate;
        if (rate == t->rate)
            continue;
        t->left = TW_MAX(0.0, t->left - (s->now - t->since) * t->rate);
        t->since = s->now;
        t->rate = rate;
        schedule_end(s, s->moving.data[i]);
    }
}

static void occupy(tw_simulation *s, int at, int change)
{
    if (at < 0)
        return;
    link *l = &s->link[at];
    if (l->active > 0)
        l->busy += s->now - l->since;
    l->since = s->now;
    l->active += change;
}

/* ---- tasks ---- */

static void begin(tw_simulation *s, int number)
{
    task *t = &s->task.data[number];
    t->start = t->since = s->now;
    if (t->stream >= 0)
        s->stream[t->stream].running = number;
    if (t->from >= 0 || t->to >= 0) {
        occupy(s, t->from, 1);
        occupy(s, t->to, 1);
        if (t->from >= 0)
            s->link[t->from].carried += t->left;
        if (t->to >= 0)
            s->link[t->to].carried += t->left;
        t->rate = share_of(s, t);
        if (!tw_vec_push(&s->moving, number))
            s->failed = true;
        adjust(s, t->from, t->to);
    }
    if (!t->version)
        schedule_end(s, number);
}

/* Starts what the stream may run next. */
static void wake(tw_simulation *s, int at)
{
    stream *on = &s->stream[at];
    if (on->running >= 0)
        return;
    int next = on->order == TW_ORDER_QUEUE ? on->queue : on->ready;
    if (next < 0 || (on->order == TW_ORDER_QUEUE && s->task.data[next].waits > 0))
        return;
    if (on->order == TW_ORDER_QUEUE)
        on->queue = s->follower.data[next];
    else
        on->ready = s->task.data[next].next_ready;
    begin(s, next);
}

static void become_ready(tw_simulation *s, int number)
{
    task *t = &s->task.data[number];
    if (t->stream < 0) {
        begin(s, number);
        return;
    }
    stream *on = &s->stream[t->stream];
    if (on->order == TW_ORDER_PRIORITY) {
        int *at = &on->ready;
        while (*at >= 0 && s->task.data[*at].priority <= t->priority)
            at = &s->task.data[*at].next_ready;
        t->next_ready = *at;
        *at = number;
    }
}

static void finish(tw_simulation *s, int number)
{
    task *t = &s->task.data[number];
    t->end = s->now;
    s->done++;
    if (t->from >= 0 || t->to >= 0) {
        occupy(s, t->from, -1);
        occupy(s, t->to, -1);
        for (size_t i = 0; i < s->moving.count; i++)
            if (s->moving.data[i] == number)
                s->moving.data[i] = s->moving.data[--s->moving.count];
        adjust(s, t->from, t->to);
    }
    if (t->stream >= 0) {
        s->stream[t->stream].running = -1;
        s->stream[t->stream].busy += s->now - t->start;
    }
    for (int e = t->first; e >= 0; e = s->edge.data[e].next)
        if (--s->task.data[s->edge.data[e].to].waits == 0)
            become_ready(s, s->edge.data[e].to);
}

/* What ended may let its own stream go on, and those of the tasks that waited for it. */
static void wake_after(tw_simulation *s, int number)
{
    for (int e = s->task.data[number].first; e >= 0; e = s->edge.data[e].next)
        if (s->task.data[s->edge.data[e].to].stream >= 0)
            wake(s, s->task.data[s->edge.data[e].to].stream);
    if (s->task.data[number].stream >= 0)
        wake(s, s->task.data[number].stream);
}

static bool stale(const tw_simulation *s, const ending *e)
{
    return e->version != s->task.data[e->task].version || !isnan(s->task.data[e->task].end);
}

/* Everything that ends now ends before anything starts: a choice by priority sees all that is ready. Sums of the same
 * times in another order differ in their last bits. */
static void step(tw_simulation *s)
{
    s->ended.count = 0;
    do {
        ending e = pop_end(s);
        if (stale(s, &e))
            continue;
        if (!s->ended.count)
            s->now = e.time;
        finish(s, e.task);
        if (!tw_vec_push(&s->ended, e.task))
            s->failed = true;
    } while (s->heap.count && !s->failed &&
             (stale(s, &s->heap.data[0]) || (s->ended.count && s->heap.data[0].time <= s->now * (1 + 1e-12))));
    for (size_t i = 0; i < s->ended.count; i++)
        wake_after(s, s->ended.data[i]);
}

tw_status tw_simulation_run(tw_simulation *s)
{
    for (size_t i = 0; i < s->task.count; i++)
        if (!s->task.data[i].waits)
            become_ready(s, (int)i);
    for (int i = 0; i < s->streams; i++)
        wake(s, i);
    while (s->heap.count && !s->failed)
        step(s);
    if (s->failed)
        return TW_ERR_MEMORY;
    if (s->done != (int)s->task.count)
        return tw_error(TW_ERR_VALUE,
                        "simulation: %d of %zu tasks wait for each other; expected an order without circles",
                        (int)s->task.count - s->done, s->task.count);
    return TW_OK;
}

double tw_simulation_end(const tw_simulation *s)
{
    return s->now;
}

double tw_simulation_start_of(const tw_simulation *s, int number)
{
    return s->task.data[number].start;
}

double tw_simulation_end_of(const tw_simulation *s, int number)
{
    return s->task.data[number].end;
}

double tw_simulation_busy(const tw_simulation *s, int at)
{
    return s->stream[at].busy;
}

double tw_simulation_link_busy(const tw_simulation *s, int at)
{
    return s->link[at].busy;
}

double tw_simulation_link_carried(const tw_simulation *s, int at)
{
    return s->link[at].carried;
}
