/* Pipelines as tasks.
 *
 * One stream a stage. GPipe, 1F1B and interleaved 1F1B run in the order that their papers give; zero bubble (ZB-H1, Qi
 * et al. 2024) by priority: gradients of inputs first, then forward while fewer micro-batches are in flight than 1F1B
 * would hold, then gradients of weights. Transfers between stages are tasks on the sender's way out and the receiver's
 * way in; a stage that had to wait for them would be idle, which is what the closed forms leave out where sends hide.
 */
#include "machine/timeline.h"

#include <math.h>
#include <stdlib.h>

#include "machine/internal.h"
#include "machine/simulate.h"

const char *tw_work_name(tw_work work)
{
    static const char *const names[TW_WORKS] = {"forward", "backward", "weights", "host",   "tensor", "expert",
                                                "context", "send",     "data",    "update", "other"};
    return (unsigned)work < TW_WORKS ? names[work] : "unknown";
}

/* One piece of work of the pipeline. */
typedef struct piece {
    int chunk, micro_batch;
    tw_work work;
} piece;

typedef struct builder {
    const tw_pipeline *p;
    tw_simulation *sim;
    int *forward, *backward, *weight; /* task numbers by (stage, chunk, micro-batch) */
    int *sends;                       /* tasks of transfers */
    size_t send_count;
} builder;

static size_t at(const builder *b, int stage, int chunk, int micro_batch)
{
    return ((size_t)stage * (size_t)b->p->chunks + (size_t)chunk) * (size_t)b->p->micro_batches + (size_t)micro_batch;
}

/* Interleaved order (Narayanan et al. 2021): micro-batches in groups of as many as there are stages, chunk by chunk. */
static piece nth(const tw_pipeline *p, int n, bool backward)
{
    int group = p->stages * p->chunks, within = n % group, chunk = within / p->stages;
    return (piece){.chunk = backward ? p->chunks - 1 - chunk : chunk,
                   .micro_batch = n / group * p->stages + within % p->stages,
                   .work = backward ? TW_WORK_BACKWARD : TW_WORK_FORWARD};
}

/* Forward pieces that a stage runs before its first backward one. */
static int warm_up(const tw_pipeline *p, int stage)
{
    int total = p->micro_batches * p->chunks, behind = p->stages - 1 - stage;
    int wanted = p->schedule == TW_SCHEDULE_GPIPE ? total
                 : p->chunks > 1                  ? 2 * behind + (p->chunks - 1) * p->stages
                                                  : behind;
    return TW_MIN(wanted, total);
}

static bool add_piece(builder *b, int stage, piece x, int place)
{
    const tw_pipeline *p = b->p;
    bool split = p->schedule == TW_SCHEDULE_ZERO_BUBBLE;
    double seconds = x.work == TW_WORK_FORWARD  ? p->forward[stage]
                     : x.work == TW_WORK_WEIGHT ? p->backward[stage] * p->weight
                                                : p->backward[stage] * (split ? 1 - p->weight : 1);
    /* Priorities: backward, forward, weights; each in order of micro-batches. */
    int rank = x.work == TW_WORK_BACKWARD ? 0 : x.work == TW_WORK_FORWARD ? 1 : 2;
    int task = tw_simulation_add(b->sim, stage, rank * p->micro_batches + place, seconds);
    int *table = x.work == TW_WORK_FORWARD ? b->forward : x.work == TW_WORK_WEIGHT ? b->weight : b->backward;
    table[at(b, stage, x.chunk, x.micro_batch)] = task;
    return task >= 0;
}

static bool add_stage(builder *b, int stage)
{
    const tw_pipeline *p = b->p;
    int total = p->micro_batches * p->chunks, warm = warm_up(p, stage), backward = 0;
    if (p->schedule == TW_SCHEDULE_ZERO_BUBBLE) {
        tw_simulation_order(b->sim, stage, TW_ORDER_PRIORITY);
        for (int i = 0; i < total; i++)
            if (!add_piece(b, stage, (piece){0, i, TW_WORK_FORWARD}, i) ||
                !add_piece(b, stage, (piece){0, i, TW_WORK_BACKWARD}, i) ||
                !add_piece(b, stage, (piece){0, i, TW_WORK_WEIGHT}, i))
                return false;
        return true;
    }
    for (int i = 0; i < total; i++) {
        if (!add_piece(b, stage, nth(p, i, false), i))
            return false;
        if (i >= warm && !add_piece(b, stage, nth(p, backward++, true), 0))
            return false;
    }
    while (backward < total)
        if (!add_piece(b, stage, nth(p, backward++, true), 0))
            return false;
    return true;
}

/* `later` needs what `earlier` made on another stage. */
static bool across(builder *b, int earlier, int from, int later, int to)
{
    if (from == to || b->p->send <= 0)
        return tw_simulation_after(b->sim, later, earlier);
    int send = tw_simulation_add(b->sim, -1, 0, b->p->send);
    if (send < 0)
        return false;
    tw_simulation_transfer(b->sim, send, 2 * from, 2 * to + 1);
    b->sends[b->send_count++] = send;
    return tw_simulation_after(b->sim, send, earlier) && tw_simulation_after(b->sim, later, send);
}

static bool connect(builder *b, int stage, int chunk, int i)
{
    const tw_pipeline *p = b->p;
    int f = b->forward[at(b, stage, chunk, i)], g = b->backward[at(b, stage, chunk, i)], last = p->stages - 1;
    if (stage > 0 || chunk > 0) {
        int from = stage > 0 ? stage - 1 : last;
        if (!across(b, b->forward[at(b, from, stage > 0 ? chunk : chunk - 1, i)], from, f, stage))
            return false;
    }
    if (stage < last || chunk < p->chunks - 1) {
        int from = stage < last ? stage + 1 : 0;
        if (!across(b, b->backward[at(b, from, stage < last ? chunk : chunk + 1, i)], from, g, stage))
            return false;
    }
    if (!tw_simulation_after(b->sim, g, f))
        return false;
    if (p->schedule != TW_SCHEDULE_ZERO_BUBBLE)
        return true;
    int held = p->stages - stage; /* micro-batches in flight: as many as 1F1B holds */
    return tw_simulation_after(b->sim, b->weight[at(b, stage, 0, i)], g) &&
           (i < held || tw_simulation_after(b->sim, f, b->backward[at(b, stage, 0, i - held)]));
}

static tw_status build(builder *b)
{
    const tw_pipeline *p = b->p;
    for (int stage = 0; stage < p->stages; stage++)
        if (!add_stage(b, stage))
            return TW_ERR_MEMORY;
    for (int stage = 0; stage < p->stages; stage++)
        for (int chunk = 0; chunk < p->chunks; chunk++)
            for (int i = 0; i < p->micro_batches; i++)
                if (!connect(b, stage, chunk, i))
                    return TW_ERR_MEMORY;
    return TW_OK;
}

static void take_spans(const builder *b, tw_timeline *t)
{
    const tw_pipeline *p = b->p;
    const int *const table[] = {b->forward, b->backward, b->weight};
    const tw_work work[] = {TW_WORK_FORWARD, TW_WORK_BACKWARD, TW_WORK_WEIGHT};
    int kinds = p->schedule == TW_SCHEDULE_ZERO_BUBBLE ? 3 : 2;
    for (int stage = 0; stage < p->stages; stage++)
        for (int chunk = 0; chunk < p->chunks; chunk++)
            for (int i = 0; i < p->micro_batches; i++)
                for (int k = 0; k < kinds; k++) {
                    int task = table[k][at(b, stage, chunk, i)];
                    t->span[t->spans++] = (tw_span){.start = tw_simulation_start_of(b->sim, task),
                                                    .end = tw_simulation_end_of(b->sim, task),
                                                    .stage = stage,
                                                    .micro_batch = i,
                                                    .chunk = chunk,
                                                    .work = (unsigned char)work[k]};
                }
    for (int stage = 0; stage < p->stages; stage++) {
        t->busy[stage] = tw_simulation_busy(b->sim, stage);
        if (p->send > 0) {
            t->sent += tw_simulation_link_carried(b->sim, 2 * stage) / p->send * p->send_bytes;
            t->received += tw_simulation_link_carried(b->sim, 2 * stage + 1) / p->send * p->send_bytes;
        }
    }
    t->end = tw_simulation_end(b->sim);
    for (size_t i = 0; i < b->send_count; i++)
        t->span[t->spans++] = (tw_span){.start = tw_simulation_start_of(b->sim, b->sends[i]),
                                        .end = tw_simulation_end_of(b->sim, b->sends[i]),
                                        .stage = -1,
                                        .micro_batch = -1,
                                        .work = TW_WORK_SEND,
                                        .hidden = 1};
}

enum { MOST_PIECES = 1 << 24 };

static tw_status check(const tw_pipeline *p)
{
    if (p->stages < 1 || p->chunks < 1 || p->micro_batches < 1)
        return tw_error(TW_ERR_VALUE, "timeline: %d stages, %d chunks, %d micro-batches; expected 1 or more of each",
                        p->stages, p->chunks, p->micro_batches);
    if ((double)p->stages * p->chunks * p->micro_batches > MOST_PIECES)
        return tw_error(TW_ERR_VALUE,
                        "timeline: %d stages x %d chunks x %d micro-batches are more than %d pieces; play "
                        "fewer micro-batches",
                        p->stages, p->chunks, p->micro_batches, MOST_PIECES);
    if (p->chunks > 1 && p->micro_batches % p->stages != 0)
        return tw_error(TW_ERR_VALUE, "timeline: interleaving needs micro-batches in multiples of %d stages, not %d",
                        p->stages, p->micro_batches);
    if (p->chunks > 1 && p->schedule == TW_SCHEDULE_ZERO_BUBBLE)
        return tw_error(TW_ERR_UNSUPPORTED, "timeline: zero bubble with chunks");
    return TW_OK;
}

tw_status tw_pipeline_run(const tw_pipeline *p, tw_timeline *t)
{
    *t = (tw_timeline){.stages = p->stages};
    TW_TRY(check(p));
    size_t pieces = (size_t)p->stages * (size_t)p->chunks * (size_t)p->micro_batches;
    builder b = {.p = p, .sim = tw_simulation_create(p->stages, 2 * p->stages)};
    int *numbers = tw_alloc(pieces * 5 * sizeof *numbers);
    t->span = tw_alloc(pieces * 5 * sizeof *t->span); /* forward, backward, weights, two transfers */
    t->busy = tw_alloc_zero((size_t)p->stages, sizeof *t->busy);
    tw_status status = b.sim && numbers && t->span && t->busy ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK) {
        b.forward = numbers;
        b.backward = numbers + pieces;
        b.weight = numbers + 2 * pieces;
        b.sends = numbers + 3 * pieces;
        status = build(&b);
    }
    if (status == TW_OK)
        status = tw_simulation_run(b.sim);
    if (status == TW_OK)
        take_spans(&b, t);
    tw_simulation_destroy(b.sim);
    tw_free(numbers);
    if (status != TW_OK)
        tw_timeline_free(t);
    return status;
}

void tw_timeline_free(tw_timeline *t)
{
    tw_free(t->span);
    tw_free(t->busy);
    *t = (tw_timeline){0};
}

/* ---- the whole step ---- */

static double direction_sum(const tw_stage_time *t)
{
    return t->compute + t->host + t->tensor + t->expert + t->context;
}

/* The parts of one piece, in the order in which they are drawn: shares of its length. */
static void split_span(tw_timeline *t, const tw_span *whole, const tw_stage_time *d, double layers, double data,
                       double sends)
{
    const struct {
        tw_work work;
        double seconds;
    } part[] = {{(tw_work)whole->work, 0},
                {TW_WORK_HOST, d->host * layers},
                {TW_WORK_TENSOR, d->tensor * layers},
                {TW_WORK_EXPERT, d->expert * layers},
                {TW_WORK_CONTEXT, d->context * layers},
                {TW_WORK_DATA, data},
                {TW_WORK_SEND, sends}};
    double length = whole->end - whole->start, rest = length, from = whole->start;
    for (size_t i = 1; i < TW_COUNT(part); i++)
        rest -= part[i].seconds;
    for (size_t i = 0; i < TW_COUNT(part); i++) {
        double seconds = i ? part[i].seconds : TW_MAX(0.0, rest);
        if (seconds <= 0)
            continue;
        tw_span s = *whole;
        s.start = from;
        s.end = from = TW_MIN(from + seconds, whole->end);
        s.work = (unsigned char)part[i].work;
        t->span[t->spans++] = s;
    }
    if (d->hidden > 0) {
        tw_span beside = *whole;
        beside.end = whole->start + TW_MIN(length, d->hidden * layers);
        beside.work = d->tensor > 0 || d->expert <= 0 ? TW_WORK_TENSOR : TW_WORK_EXPERT;
        beside.hidden = 1;
        t->span[t->spans++] = beside;
    }
}

static void add_span(tw_timeline *t, int stage, tw_work work, double start, double seconds, bool hidden)
{
    if (seconds > 0)
        t->span[t->spans++] = (tw_span){.start = start,
                                        .end = start + seconds,
                                        .stage = stage,
                                        .micro_batch = -1,
                                        .work = (unsigned char)work,
                                        .hidden = hidden};
}

/* Stage by stage, what is seen before what is hidden, then by time. */
static int by_place(const void *a, const void *b)
{
    const tw_span *x = a, *y = b;
    if (x->stage != y->stage)
        return x->stage < y->stage ? -1 : 1;
    if (x->hidden != y->hidden)
        return x->hidden < y->hidden ? -1 : 1;
    return (x->start > y->start) - (x->start < y->start);
}

/* The most that split_span makes of one, and dress of a stage. */
enum { SPANS_A_PIECE = 8, SPANS_A_STAGE = 6 };

/* Pieces get their parts; what happens once a step stands before and behind them. */
static tw_status dress(tw_timeline *t, const tw_step_parts *x, double layers, int chunks)
{
    size_t plain = t->spans;
    tw_span *old = t->span,
            *span = tw_alloc((plain * SPANS_A_PIECE + (size_t)t->stages * SPANS_A_STAGE) * sizeof *span);
    if (!span)
        return TW_ERR_MEMORY;
    t->span = span;
    t->spans = 0;
    double before = x->gather.seen, behind = t->end + before;
    for (size_t i = 0; i < plain; i++) {
        old[i].start += before;
        old[i].end += before;
        if (old[i].work == TW_WORK_SEND) {
            t->span[t->spans++] = old[i];
            continue;
        }
        bool forward = old[i].work == TW_WORK_FORWARD;
        double share = forward ? 1.0 / 3 : 2.0 / 3;
        split_span(t, &old[i], forward ? &x->forward : &x->backward, layers, x->every.seen * share / chunks,
                   x->sends.seen / 2 / chunks);
    }
    tw_free(old);
    for (int stage = 0; stage < t->stages; stage++) {
        double now = behind;
        add_span(t, stage, TW_WORK_DATA, 0, x->gather.seen, false);
        add_span(t, stage, TW_WORK_DATA, before, x->gather.hidden, true);
        add_span(t, stage, TW_WORK_DATA, TW_MAX(0.0, behind - x->reduce.hidden), x->reduce.hidden, true);
        add_span(t, stage, TW_WORK_DATA, now, x->reduce.seen + x->tied, false);
        now += x->reduce.seen + x->tied;
        add_span(t, stage, TW_WORK_UPDATE, now, x->update + x->offload, false);
        now += x->update + x->offload;
        add_span(t, stage, TW_WORK_OTHER, now, x->overhead + x->slowed_once, false);
        t->busy[stage] += before + now + x->overhead + x->slowed_once - behind;
    }
    qsort(t->span, t->spans, sizeof *t->span, by_place);
    t->end = behind + x->reduce.seen + x->tied + x->update + x->offload + x->overhead + x->slowed_once;
    return TW_OK;
}

tw_status tw_step_timeline(tw_planner *p, const tw_strategy *s, int most, tw_timeline *t)
{
    tw_step_parts x = tw_step_divide(p, s);
    int m = (int)TW_MIN(x.micro_batches, 1e6), stages = s->pipeline;
    if (most > 0 && m > most)
        m = s->chunks > 1 ? TW_MAX(stages, most / stages * stages) : most;
    double layers = x.layers / s->chunks, each = (x.every.seen + x.slowed) / s->chunks;
    double *seconds = tw_alloc(2 * (size_t)stages * sizeof *seconds);
    if (!seconds)
        return TW_ERR_MEMORY;
    for (int i = 0; i < stages; i++) {
        double end = ((i == 0 ? x.first : 0) + (i == stages - 1 ? x.last : 0)) / s->chunks;
        double seen = x.sends.seen / 2 / s->chunks;
        seconds[i] = layers * direction_sum(&x.forward) + seen + each / 3 + end / 3;
        seconds[stages + i] = layers * direction_sum(&x.backward) + seen + each * 2 / 3 + end * 2 / 3;
    }
    double tokens = s->micro_batch * p->work.sequence / s->context;
    tw_pipeline line = {.stages = stages,
                        .chunks = s->chunks,
                        .micro_batches = m,
                        .schedule = s->schedule,
                        .forward = seconds,
                        .backward = seconds + stages,
                        .weight = 0.5,
                        .send = stages > 1 ? x.sends.hidden / 2 / s->chunks : 0,
                        .send_bytes = tokens * p->work.model->hidden * 2 / s->tensor};
    tw_status status = tw_pipeline_run(&line, t);
    tw_free(seconds);
    if (status == TW_OK && (status = dress(t, &x, layers, s->chunks)) != TW_OK)
        tw_timeline_free(t);
    return status;
}
