/* The explanation as one HTML page: page.html, embedded, with the figures as JSON in its middle. The page draws them
 * itself and needs nothing from outside. */
#include <jansson.h>
#include <stdlib.h>

#include "explain/explain.h"
#include "io/json.h"

extern const char explain_page_html[]; /* page.html, made into C by tools/embed.py */

static json_t *strings(const char *const *text, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_string(text[i]));
    return list;
}

static json_t *launches_of(const explained_plan *p)
{
    json_t *list = json_array();
    for (int i = 0; i < p->launches; i++) {
        const explained_launch *l = &p->launch[i];
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:s, s:i, s:I, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:s, s:s, s:o}", "kernel",
                            l->kernel, "batch", l->batch, "name", l->name, "kind", (int)l->kind, "programs",
                            (json_int_t)l->programs, "ns", l->ns, "flops", (json_int_t)l->flops, "read",
                            (json_int_t)l->bytes_read, "written", (json_int_t)l->bytes_written, "compute_ns",
                            l->limit_ns[LIMIT_COMPUTE], "memory_ns", l->limit_ns[LIMIT_MEMORY], "launch_ns",
                            l->limit_ns[LIMIT_LAUNCH], "limit", explained_limit_name(l->bound), "summary", l->summary,
                            "inside", strings(l->inside, l->insides)));
    }
    return list;
}

static json_t *edges_of(const explained_plan *p)
{
    json_t *list = json_array();
    for (int i = 0; i < p->edges; i++)
        json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:s, s:I}", "from", p->edge[i].from, "to", p->edge[i].to,
                                              "value", p->edge[i].value, "reason", p->edge[i].reason, "bytes",
                                              (json_int_t)p->edge[i].bytes));
    return list;
}

static json_t *temporaries_of(const explained_plan *p)
{
    json_t *list = json_array();
    for (int i = 0; i < p->temporaries; i++) {
        const explained_temporary *t = &p->temporary[i];
        json_array_append_new(list, json_pack("{s:i, s:i, s:I, s:I, s:s}", "first", t->first, "last", t->last, "offset",
                                              (json_int_t)t->offset, "bytes", (json_int_t)t->bytes, "value", t->value));
    }
    return list;
}

static json_t *plans_of(const tw_explanation *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->plans.count; i++) {
        const explained_plan *p = e->plans.data[i];
        json_array_append_new(list, json_pack("{s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:I, s:I, s:o, s:o, s:o}", "kernels",
                                              p->kernels, "batches", p->batches, "arena", (json_int_t)p->arena_bytes,
                                              "scratch", (json_int_t)p->scratch_bytes, "unshared",
                                              (json_int_t)p->temporary_bytes, "renewed", p->renewed, "in_place",
                                              p->in_place, "renewed_bytes", (json_int_t)p->renewed_bytes,
                                              "in_place_bytes", (json_int_t)p->in_place_bytes, "launches",
                                              launches_of(p), "edges", edges_of(p), "temporaries", temporaries_of(p)));
    }
    return list;
}

/* Spans as [launch, thread, start, end], in microseconds of the step. */
static json_t *spans_of(const tw_explanation *e, const explained_run *r)
{
    json_t *list = json_array();
    for (int l = 0; r->span && l < e->plans.data[r->plan]->launches; l++) {
        for (int t = 0; t < r->threads; t++) {
            const tw_launch_span *span = &r->span[l * r->threads + t];
            if (span->programs)
                json_array_append_new(list, json_pack("[i, i, f, f]", l, t, (double)(span->start - e->begun) * 1e-3,
                                                      (double)(span->end - e->begun) * 1e-3));
        }
    }
    return list;
}

static json_t *runs_of(const tw_explanation *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->runs.count; i++) {
        const explained_run *r = &e->runs.data[i];
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:i, s:f, s:f, s:i, s:o}", "plan", r->plan, "reason", r->reason, "operations",
                            r->operations, "start", (double)(r->start - e->begun) * 1e-3, "end",
                            (double)(r->end - e->begun) * 1e-3, "threads", r->threads, "spans", spans_of(e, r)));
    }
    return list;
}

static json_t *kinds_of(const tw_explanation *e)
{
    json_t *list = json_array();
    for (int k = 0; k < TW_KINDS; k++)
        json_array_append_new(list, json_pack("{s:s, s:f, s:f}", "name", tw_kernel_kind_name((tw_kernel_kind)k), "ns",
                                              e->kind_ns[k], "separate_ns", e->separate_kind_ns[k]));
    return list;
}

static json_t *limits_of(const tw_limits *l)
{
    json_t *levels = json_array();
    for (int i = 0; i < TW_LIMIT_LEVELS; i++)
        json_array_append_new(levels, json_pack("[I, f]", (json_int_t)l->bytes[i], l->bytes_per_ns[i]));
    return json_pack("{s:i, s:f, s:f, s:f, s:o}", "threads", l->threads, "f32", l->operations_per_ns[TW_F32], "f64",
                     l->operations_per_ns[TW_F64], "barrier_ns", l->barrier_ns, "levels", levels);
}

static json_t *document_of(const tw_explanation *e, const char *title)
{
    return json_pack("{s:s, s:f, s:b, s:f, s:{s:I, s:I, s:I, s:I}, s:o, s:o, s:o, s:o}", "title", title, "step_ns",
                     e->step_ns, "compared", e->compared, "separate_ns", e->separate_ns, "memory", "stated",
                     (json_int_t)e->stated_bytes, "measured", (json_int_t)e->measured_bytes, "separate_stated",
                     (json_int_t)e->separate_stated_bytes, "separate_measured", (json_int_t)e->separate_measured_bytes,
                     "limits", limits_of(&e->limits), "kinds", kinds_of(e), "runs", runs_of(e), "plans", plans_of(e));
}

tw_status explain_page(const tw_explanation *e, const char *title, tw_text *out)
{
    static const char HERE[] = "@DATA@";
    const char *split = strstr(explain_page_html, HERE);
    json_t *document = document_of(e, title);
    /* "</" would end the page's script element: slashes are escaped */
    char *text =
        split && document ? json_dumps(document, JSON_COMPACT | JSON_ESCAPE_SLASH | JSON_REAL_PRECISION(9)) : NULL;
    if (text) {
        tw_text_add_bytes(out, explain_page_html, (size_t)(split - explain_page_html));
        tw_text_add_bytes(out, text, strlen(text));
        tw_text_add(out, "%s", split + sizeof HERE - 1);
    }
    tw_json_free_text(text);
    json_decref(document);
    return text ? TW_OK : tw_error(TW_ERR_MEMORY, "explain: the page could not be made");
}
