/* The step as a trace in the Trace Event Format, which chrome://tracing and ui.perfetto.dev read: a track of segments
 * and of what lies between them, and a track for each thread with the launches that it worked on. Times are
 * microseconds. */
#include <jansson.h>
#include <stdlib.h>

#include "explain/explain.h"
#include "io/json.h"

enum { PROCESS = 1, SEGMENTS_TRACK = 0 };

static bool add_name(json_t *events, const char *what, int track, const char *name)
{
    json_t *e = json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", what, "ph", "M", "pid", PROCESS, "tid", track,
                          "args", "name", name);
    return json_array_append_new(events, e) == 0;
}

/* Takes over `arguments`. */
static bool add_slice(json_t *events, const tw_explanation *e, const char *name, const char *category, int track,
                      uint64_t start, uint64_t end, json_t *arguments)
{
    json_t *slice = json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "name", name, "cat", category, "ph", "X",
                              "pid", PROCESS, "tid", track, "ts", (double)(start - e->begun) * 1e-3, "dur",
                              (double)(end - start) * 1e-3, "args", arguments);
    return json_array_append_new(events, slice) == 0;
}

static bool add_launch(json_t *events, const tw_explanation *e, const explained_run *r, int number, int thread)
{
    const explained_launch *l = &e->plans.data[r->plan]->launch[number];
    const tw_launch_span *span = &r->span[number * r->threads + thread];
    json_t *arguments = json_pack("{s:i, s:i, s:I, s:I, s:I, s:s, s:s}", "launch", number, "batch", l->batch,
                                  "programs", (json_int_t)span->programs, "flops", (json_int_t)l->flops, "bytes",
                                  (json_int_t)(l->bytes_read + l->bytes_written), "limit",
                                  explained_limit_name(l->bound), "inside", l->summary);
    return add_slice(events, e, l->name, tw_kernel_kind_name(l->kind), 1 + thread, span->start, span->end, arguments);
}

static bool add_run(json_t *events, const tw_explanation *e, const explained_run *r, uint64_t since)
{
    json_t *arguments = json_pack("{s:s, s:i}", "ended_by", r->reason, "operations", r->operations);
    bool fine = r->start <= since ||
                add_slice(events, e, "recording", "program", SEGMENTS_TRACK, since, r->start, json_object());
    fine = add_slice(events, e, r->plan < 0 ? "segment, operation by operation" : "segment", "segment", SEGMENTS_TRACK,
                     r->start, r->end, arguments) &&
           fine;
    for (int l = 0; r->span && l < e->plans.data[r->plan]->launches; l++)
        for (int t = 0; t < r->threads; t++)
            if (r->span[l * r->threads + t].programs)
                fine = add_launch(events, e, r, l, t) && fine;
    return fine;
}

static bool add_tracks(json_t *events, const tw_explanation *e, const char *title)
{
    char name[32];
    int threads = 0;
    for (size_t i = 0; i < e->runs.count; i++)
        threads = TW_MAX(threads, e->runs.data[i].threads);
    bool fine = add_name(events, "process_name", SEGMENTS_TRACK, title) &&
                add_name(events, "thread_name", SEGMENTS_TRACK, "segments");
    for (int t = 0; t < threads; t++) {
        snprintf(name, sizeof name, "thread %d", t);
        fine = add_name(events, "thread_name", 1 + t, name) && fine;
    }
    return fine;
}

tw_status explain_trace(const tw_explanation *e, const char *title, tw_text *out)
{
    json_t *events = json_array(), *document = NULL;
    uint64_t since = e->begun;
    bool fine = events && add_tracks(events, e, title);
    for (size_t i = 0; i < e->runs.count; i++) {
        fine = add_run(events, e, &e->runs.data[i], since) && fine;
        since = e->runs.data[i].end;
    }
    document = json_pack("{s:s, s:O}", "displayTimeUnit", "ms", "traceEvents", events);
    char *text = fine && document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    if (text)
        tw_text_add_bytes(out, text, strlen(text));
    tw_json_free_text(text);
    json_decref(document);
    json_decref(events);
    return text ? TW_OK : tw_error(TW_ERR_MEMORY, "explain: the trace could not be made");
}
