/* The explanation as a person reads it in a terminal. */
#include <stdlib.h>

#include "explain/explain.h"

/* "17.15 ms": a few digits and a unit, so that a tiny graph and a large step read alike. */
typedef struct amount {
    char text[16];
} amount;

static amount scaled(double x, const char *const *units, int last)
{
    amount a;
    int i = 0;
    for (; i < last && x >= 1000; i++)
        x /= 1000;
    snprintf(a.text, sizeof a.text, "%.*f%s", i == 0 ? 0 : x < 100 ? 2 : 1, x, units[i]);
    return a;
}

static amount duration(double ns)
{
    static const char *const units[] = {" ns", " us", " ms", " s"};
    return scaled(ns, units, 3);
}

static amount size(double bytes)
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB"};
    return scaled(bytes, units, 4);
}

static amount number(double x)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    return scaled(x, units, 4);
}

/* ---- what was captured ---- */

static void add_segments(const tw_explanation *e, tw_text *out)
{
    for (size_t i = 0; i < e->runs.count; i++) {
        const explained_run *r = &e->runs.data[i];
        const explained_plan *p = r->plan < 0 ? NULL : e->plans.data[r->plan];
        size_t same = 0;
        while (same < i && e->runs.data[same].plan != r->plan)
            same++;
        tw_text_add(out, "  segment %zu: %d operations, ended by %s; ", i, r->operations, r->reason);
        if (!p)
            tw_text_add(out, "run operation by operation\n");
        else if (same < i)
            tw_text_add(out, "runs as segment %zu does\n", same);
        else
            tw_text_add(out, "%d launches of %d kernels in %d batches (plan %d)\n", p->launches, p->kernels, p->batches,
                        r->plan);
    }
}

static void add_head(const tw_explanation *e, const char *title, tw_text *out)
{
    double launches = 0;
    for (int k = 0; k < TW_KINDS; k++)
        launches += e->kind_ns[k];
    tw_text_add(out, "%s\n\none step: %s, of which its launches take %s\n", title, duration(e->step_ns).text,
                duration(launches).text);
    if (e->compared)
        tw_text_add(out, "operation by operation: %s; compiled it is %.2f times as fast\n",
                    duration(e->separate_ns).text, e->separate_ns / e->step_ns);
    add_segments(e, out);
}

static void add_limits(const tw_limits *l, tw_text *out)
{
    tw_text_add(out, "\nthis machine, measured now with %d thread%s\n  arithmetic  %.0f GFLOP/s in f32, %.0f in f64\n",
                l->threads, l->threads == 1 ? "" : "s", l->operations_per_ns[TW_F32], l->operations_per_ns[TW_F64]);
    tw_text_add(out, "  bytes       ");
    for (int i = 0; i < TW_LIMIT_LEVELS; i++)
        tw_text_add(out, "%s%.0f GB/s for %s", i ? ", " : "", l->bytes_per_ns[i], size((double)l->bytes[i]).text);
    tw_text_add(out, "\n  a launch    %s for its threads to meet\n", duration(l->barrier_ns).text);
}

/* ---- kernels ---- */

typedef struct row { /* all launches of one kernel */
    const explained_launch *first;
    int launches;
    double ns, flops, bytes, limit_ns, by_limit[LIMITS];
} row;

static int dearest_first(const void *a, const void *b)
{
    const row *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

static row *find_row(row *rows, int *count, int from, const explained_launch *l)
{
    for (int i = from; i < *count; i++)
        if (rows[i].first->kernel == l->kernel)
            return &rows[i];
    rows[*count] = (row){.first = l};
    return &rows[(*count)++];
}

static void add_launch(row *r, const explained_launch *l)
{
    r->launches++;
    r->ns += l->ns;
    r->flops += (double)l->flops;
    r->bytes += (double)(l->bytes_read + l->bytes_written);
    r->limit_ns += l->limit_ns[l->bound];
    r->by_limit[l->bound] += l->limit_ns[l->bound];
}

static row *make_rows(const tw_explanation *e, int *count)
{
    size_t room = 1;
    for (size_t i = 0; i < e->plans.count; i++)
        room += (size_t)e->plans.data[i]->launches;
    row *rows = tw_alloc_zero(room, sizeof *rows);
    *count = 0;
    for (size_t i = 0; i < e->plans.count && rows; i++) {
        const explained_plan *p = e->plans.data[i];
        int from = *count;
        for (int l = 0; l < p->launches; l++)
            add_launch(find_row(rows, count, from, &p->launch[l]), &p->launch[l]);
    }
    if (rows)
        qsort(rows, (size_t)*count, sizeof *rows, dearest_first);
    return rows;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void add_row(const row *r, double all_ns, tw_text *out)
{
    int bound = 0;
    for (int i = 0; i < LIMITS; i++)
        bound = r->by_limit[i] > r->by_limit[bound] ? i : bound;
    tw_text_add(out, "%9s %5.1f %4d %8s %9s %8.1f %7.1f  %-7s %4.0f %%  %s\n", duration(r->ns).text,
                100 * share(r->ns, all_ns), r->launches, number(r->flops).text, size(r->bytes).text,
                share(r->flops, r->ns), share(r->bytes, r->ns), explained_limit_name((explained_limit)bound),
                100 * share(r->limit_ns, r->ns), r->first->name);
    tw_text_add(out, "%21s%.98s\n", "", r->first->summary);
}

static tw_status add_kernels(const tw_explanation *e, tw_text *out)
{
    enum { MOST_ROWS = 16 };
    int count;
    row *rows = make_rows(e, &count), rest = {0};
    double all_ns = 0;
    if (!rows)
        return TW_ERR_MEMORY;
    for (int i = 0; i < count; i++)
        all_ns += rows[i].ns;
    tw_text_add(out,
                "\nkernels, the dearest first; roof: the time that the limit would take, of that which it took\n"
                "%9s %5s %4s %8s %9s %8s %7s  %-7s %6s  %s\n",
                "time", "%", "runs", "FLOP", "bytes", "GFLOP/s", "GB/s", "limit", "roof", "kernel, and what is inside");
    for (int i = 0; i < count; i++) {
        if (i < MOST_ROWS) {
            add_row(&rows[i], all_ns, out);
            continue;
        }
        rest.launches += rows[i].launches;
        rest.ns += rows[i].ns;
    }
    if (count > MOST_ROWS)
        tw_text_add(out, "%9s %5.1f %4d  %d more kernels\n", duration(rest.ns).text, 100 * share(rest.ns, all_ns),
                    rest.launches, count - MOST_ROWS);
    tw_free(rows);
    return TW_OK;
}

/* ---- where the time goes ---- */

static void add_kinds(const tw_explanation *e, tw_text *out)
{
    double sum = 0, separate = 0;
    for (int k = 0; k < TW_KINDS; k++) {
        sum += e->kind_ns[k];
        separate += e->separate_kind_ns[k];
    }
    tw_text_add(out, "\n%-30s%s%s\n", "where the time goes", e->compared ? "operation by operation   " : "",
                "     compiled");
    for (int k = 0; k < TW_KINDS; k++) {
        tw_text_add(out, "  %-26s", tw_kernel_kind_name((tw_kernel_kind)k));
        if (e->compared)
            tw_text_add(out, "%14s  %5.1f %%   ", duration(e->separate_kind_ns[k]).text,
                        100 * share(e->separate_kind_ns[k], separate));
        tw_text_add(out, "%14s  %5.1f %%\n", duration(e->kind_ns[k]).text, 100 * share(e->kind_ns[k], sum));
    }
}

/* ---- why kernels end ---- */

typedef struct ending {
    const char *reason;
    int values;
    int64_t bytes;
} ending;

static int largest_first(const void *a, const void *b)
{
    const ending *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void count_ending(ending *endings, int *count, const explained_edge *edge)
{
    int at = 0;
    while (at < *count && strcmp(endings[at].reason, edge->reason) != 0)
        at++;
    *count = TW_MAX(*count, at + 1);
    endings[at].reason = edge->reason;
    endings[at].values++;
    endings[at].bytes += edge->bytes;
}

static tw_status add_endings(const tw_explanation *e, tw_text *out)
{
    enum { MOST_ROWS = 12 };
    size_t room = 1;
    int count = 0;
    for (size_t i = 0; i < e->plans.count; i++)
        room += (size_t)e->plans.data[i]->edges;
    ending *endings = tw_alloc_zero(room, sizeof *endings);
    if (!endings)
        return TW_ERR_MEMORY;
    for (size_t i = 0; i < e->plans.count; i++)
        for (int k = 0; k < e->plans.data[i]->edges; k++)
            count_ending(endings, &count, &e->plans.data[i]->edge[k]);
    qsort(endings, (size_t)count, sizeof *endings, largest_first);
    if (count)
        tw_text_add(out, "\nwhy kernels end where they end: values that cross memory\n%7s %9s  %s\n", "values", "bytes",
                    "the next operation: what kept it out of the kernel");
    for (int i = 0; i < TW_MIN(count, (int)MOST_ROWS); i++)
        tw_text_add(out, "%7d %9s  %.101s\n", endings[i].values, size((double)endings[i].bytes).text,
                    endings[i].reason);
    if (count > MOST_ROWS)
        tw_text_add(out, "%17s  and %d more reasons\n", "", count - MOST_ROWS);
    tw_free(endings);
    return TW_OK;
}

/* ---- memory ---- */

static void add_peak(const char *what, int64_t stated, int64_t measured, tw_text *out)
{
    tw_text_add(out, "  %-26s", what);
    if (stated >= 0)
        tw_text_add(out, "%10s stated", size((double)stated).text);
    if (measured >= 0)
        tw_text_add(out, "%12s measured", size((double)measured).text);
    if (stated > 0 && measured > 0)
        tw_text_add(out, " (%+.1f %%)", 100 * ((double)measured / (double)stated - 1));
    tw_text_add(out, "\n");
}

static void add_memory(const tw_explanation *e, tw_text *out)
{
    tw_text_add(out, "\nmemory at its peak: what tensors hold, temporaries and scratch\n");
    if (e->separate_stated_bytes > 0)
        add_peak("operation by operation", e->separate_stated_bytes, e->separate_measured_bytes, out);
    add_peak("compiled", e->stated_bytes, e->measured_bytes, out);
    for (size_t i = 0; i < e->plans.count; i++) {
        const explained_plan *p = e->plans.data[i];
        tw_text_add(out, "  plan %zu: %d temporaries of %s share %s; scratch of all threads: %s\n", i, p->temporaries,
                    size((double)p->temporary_bytes).text, size((double)p->arena_bytes).text,
                    size((double)p->scratch_bytes).text);
        if (p->renewed)
            tw_text_add(out, "  plan %zu: %d of %d renewed tensors are written in place (%s of %s)\n", i, p->in_place,
                        p->renewed, size((double)p->in_place_bytes).text, size((double)p->renewed_bytes).text);
    }
}

tw_status explain_table(const tw_explanation *e, const char *title, tw_text *out)
{
    add_head(e, title, out);
    add_limits(&e->limits, out);
    TW_TRY(add_kernels(e, out));
    add_kinds(e, out);
    TW_TRY(add_endings(e, out));
    add_memory(e, out);
    return TW_OK;
}
