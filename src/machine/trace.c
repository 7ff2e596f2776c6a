/* JSON: the trace-event format (complete events, microseconds) of Chrome and Perfetto, and a plan for other programs.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "machine/report.h"

/* jansson keeps no NaN: what is unknown is null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static tw_status print(json_t *root, size_t flags, tw_text *out)
{
    char *text = root ? json_dumps(root, flags) : NULL;
    json_decref(root);
    if (!text)
        return tw_error(TW_ERR_MEMORY, "json: no memory");
    tw_text_add_bytes(out, text, strlen(text));
    tw_text_add_bytes(out, "\n", 1);
    free(text);
    return out->failed ? TW_ERR_MEMORY : TW_OK;
}

tw_status tw_report_trace(const tw_timeline *t, tw_text *out)
{
    json_t *root = json_object(), *events = json_array();
    bool right = root && events;
    for (size_t i = 0; i < t->spans && right; i++) {
        const tw_span *s = &t->span[i];
        json_t *e = json_pack("{s:s, s:s, s:f, s:f, s:i, s:i}", "name", tw_work_name((tw_work)s->work), "ph", "X", "ts",
                              s->start * 1e6, "dur", (s->end - s->start) * 1e6, "pid",
                              s->stage < 0 ? t->stages : s->stage, "tid", (int)s->hidden);
        if (e && s->micro_batch >= 0)
            json_object_set_new(e, "args", json_pack("{s:i, s:i}", "micro-batch", s->micro_batch, "chunk", s->chunk));
        right = e && !json_array_append_new(events, e);
    }
    for (int stage = 0; stage < t->stages && right; stage++) {
        char name[32];
        snprintf(name, sizeof name, "stage %d", stage);
        right = !json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name", "ph", "M",
                                                         "pid", stage, "args", "name", name));
    }
    if (!right || json_object_set_new(root, "traceEvents", events)) {
        json_decref(root);
        return tw_error(TW_ERR_MEMORY, "trace: no memory");
    }
    json_object_set_new(root, "displayTimeUnit", json_string("ms"));
    return print(root, JSON_COMPACT, out);
}

static json_t *strategy(const tw_strategy *s)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:b, s:b}", "tensor", s->tensor, "pipeline",
                     s->pipeline, "chunks", s->chunks, "data", s->data, "context", s->context, "expert", s->expert,
                     "micro_batch", s->micro_batch, "zero", s->zero, "recompute", tw_recompute_name(s->recompute),
                     "schedule", tw_pipeline_schedule_name(s->schedule), "sequence_parallel", s->sequence_parallel,
                     "offload_optimiser", s->offload == TW_OFFLOAD_OPTIMISER);
}

static json_t *candidate(const tw_report *r, const tw_candidate *c)
{
    json_t *o = json_object(), *time = json_object(), *memory = json_object();
    tw_share share[TW_SHARES];
    tw_memory_share held[TW_MEMORY_SHARES];
    int shares = tw_step_shares(&c->step, share), parts = tw_memory_shares(&c->step.memory, held);
    for (int i = 0; i < shares; i++)
        json_object_set_new(time, share[i].name, number(share[i].seconds));
    for (int i = 0; i < parts; i++)
        json_object_set_new(memory, held[i].name, number(held[i].bytes));
    json_object_set_new(memory, "capacity", number(c->step.memory.capacity));
    json_object_set_new(o, "strategy", strategy(&c->strategy));
    json_object_set_new(o, "devices", number(c->devices));
    json_object_set_new(o, "step_seconds", number(c->step.time));
    json_object_set_new(o, "seconds", time);
    json_object_set_new(o, "memory_bytes", memory);
    json_object_set_new(o, "model_flops", number(c->step.model_flops));
    json_object_set_new(o, "hardware_flops", number(c->step.hardware_flops));
    json_object_set_new(o, "joules", number(tw_step_joules(r->planner, r->space, &c->step, c->devices)));
    json_object_set_new(o, "dollars", number(tw_step_dollars(r->planner, r->space, &c->step, c->devices)));
    return o;
}

tw_status tw_report_json(const tw_report *r, tw_text *out)
{
    json_t *root = json_object(), *plans = json_array(), *advice = json_array();
    const tw_workload *w = &r->planner->work;
    json_object_set_new(root, "model", json_string(w->model->item.name));
    json_object_set_new(root, "machine", json_string(r->planner->machine->item.name));
    json_object_set_new(root, "chip", json_string(r->planner->machine->chip->item.name));
    json_object_set_new(root, "batch", number(w->batch));
    json_object_set_new(root, "sequence", number(w->sequence));
    json_object_set_new(root, "type", json_string(tw_peak_name(w->type)));
    json_object_set_new(root, "evaluated", json_integer(r->result->evaluated));
    for (int i = 0; i < r->result->count; i++)
        json_array_append_new(plans, candidate(r, &r->result->best[i]));
    for (int i = 0; i < r->upgrades; i++)
        json_array_append_new(advice, json_pack("{s:s, s:s, s:o, s:o}", "number", r->upgrade[i].name, "now",
                                                r->upgrade[i].now, "elasticity", number(r->upgrade[i].elasticity),
                                                "twice", number(r->upgrade[i].twice)));
    json_object_set_new(root, "plans", plans);
    json_object_set_new(root, "upgrades", advice);
    return print(root, JSON_INDENT(2), out);
}
