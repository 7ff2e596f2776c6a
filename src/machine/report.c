/* The page and its numbers. Nothing is fetched: pictures are SVG in place, there is no script. */
#include "machine/report.h"

#include <math.h>

#include "machine/money.h"

int tw_step_shares(const tw_step *s, tw_share out[TW_SHARES])
{
    const tw_share all[] = {{"products", s->gemm},
                            {"attention", s->attention},
                            {"pointwise, normalisation", s->pass},
                            {"embedding and head", s->embedding},
                            {"slowed by hidden communication", 0},
                            {"waiting for the host", s->host},
                            {"tensor parallel", s->tensor},
                            {"expert parallel", s->expert},
                            {"context parallel", s->context},
                            {"pipeline: bubble and sends", s->bubble + s->pipeline},
                            {"data parallel", s->data},
                            {"optimiser and overhead", s->optimiser + s->offload + s->other}};
    double sum = 0, slowed = TW_MAX(0.0, s->compute - s->gemm - s->attention - s->pass);
    int count = 0;
    for (size_t i = 0; i < TW_COUNT(all); i++) {
        double seconds = i == 4 ? slowed : all[i].seconds;
        sum += seconds;
        if (seconds > 1e-9 * s->time)
            out[count++] = (tw_share){all[i].name, seconds};
    }
    for (int i = 0; i < count && sum > 0; i++)
        out[i].seconds *= s->time / sum;
    return count;
}

int tw_memory_shares(const tw_memory_use *u, tw_memory_share out[TW_MEMORY_SHARES])
{
    const tw_memory_share all[] = {{"weights", u->weights},     {"gradients", u->gradients},
                                   {"optimiser", u->optimiser}, {"activations", u->activations},
                                   {"cache", u->cache},         {"workspace", u->workspace}};
    int count = 0;
    for (size_t i = 0; i < TW_COUNT(all); i++)
        if (all[i].bytes > 0)
            out[count++] = all[i];
    return count;
}

static void row(tw_text *out, const char *name, const char *format, ...) TW_PRINTF(3, 4);
static void row(tw_text *out, const char *name, const char *format, ...)
{
    char value[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    tw_text_add(out, "<tr><th>%s</th><td>", name);
    tw_text_escape(out, value);
    tw_text_add(out, "</td></tr>\n");
}

static void summary(const tw_report *r, tw_text *out)
{
    const tw_candidate *best = &r->result->best[0];
    const tw_step *s = &best->step;
    const tw_workload *w = &r->planner->work;
    double peak = r->planner->machine->chip->peak[TW_PEAK_BF16], tokens = w->batch * w->sequence;
    char plan[240];
    tw_strategy_text(&best->strategy, plan, sizeof plan);
    tw_text_add(out, "<table>\n");
    row(out, "plan", "%s", plan);
    row(out, "work", "%g sequences of %g tokens a step, %s, software %s", w->batch, w->sequence, tw_peak_name(w->type),
        w->software->item.name);
    row(out, "step", "%.4g s, %.4g tokens/s", s->time, tokens / s->time);
    double rate = s->model_flops / s->time / best->devices;
    row(out, "model FLOPs", "%.4g TFLOP/s a device, %.1f %% of its 16-bit peak", rate * 1e-12, 100 * rate / peak);
    row(out, "memory", "%.1f of %.1f GiB a device", s->memory.total / 1073741824, s->memory.capacity / 1073741824);
    double joules = tw_step_joules(r->planner, r->space, s, best->devices),
           dollars = tw_step_dollars(r->planner, r->space, s, best->devices);
    row(out, "a step", "%.4g kWh, %.4g USD", joules / 3.6e6, dollars);
    row(out, "a million tokens", "%.4g kWh, %.4g USD", joules / 3.6e6 / tokens * 1e6, dollars / tokens * 1e6);
    if (r->tokens > 0)
        row(out, "the run", "%.4g tokens: %.4g days, %.4g MWh, %.4g USD", r->tokens,
            r->tokens / tokens * s->time / 86400, r->tokens / tokens * joules / 3.6e9, r->tokens / tokens * dollars);
    tw_text_add(out, "</table>\n");
}

static void time_picture(const tw_report *r, tw_text *out)
{
    tw_bar bar = {.name = "step"};
    tw_share share[TW_SHARES];
    bar.parts = tw_step_shares(&r->result->best[0].step, share);
    for (int i = 0; i < bar.parts; i++)
        bar.part[i] = (tw_bar_part){share[i].name, share[i].seconds};
    tw_picture_bars(out, "time of one step, of the stage that sets the pace", "s", &bar, 1);
}

static void memory_picture(const tw_report *r, tw_text *out)
{
    const tw_memory_use *use = &r->result->best[0].step.memory;
    tw_memory_share share[TW_MEMORY_SHARES];
    tw_bar bar[2] = {{.name = "used"}, {.name = "there is", .parts = 1}};
    bar[0].parts = tw_memory_shares(use, share);
    for (int i = 0; i < bar[0].parts; i++)
        bar[0].part[i] = (tw_bar_part){share[i].name, share[i].bytes / 1073741824};
    bar[1].part[0] = (tw_bar_part){"capacity", use->capacity / 1073741824};
    tw_picture_bars(out, "memory of one device", "GiB", bar, isfinite(use->capacity) ? 2 : 1);
}

static void roofline(const tw_report *r, tw_text *out)
{
    const tw_candidate *best = &r->result->best[0];
    const tw_step *s = &best->step;
    const tw_device *d = &r->planner->device;
    const tw_layer_cost *layer = tw_planner_layer(r->planner, &best->strategy);
    double peak = d->chip->peak[r->planner->work.type];
    if (!layer || !(peak > 0) || !(d->bandwidth > 0))
        return;
    double busy = layer->gemm + layer->attention + layer->pass;
    double flops = s->hardware_flops / best->devices;
    const tw_roof_point point[] = {{"a layer's kernels", layer->flops / layer->bytes, layer->flops / busy},
                                   {"the whole step", flops / s->memory_bytes, flops / s->time}};
    tw_picture_roofline(out, peak, d->bandwidth, point, 2);
}

static double or_nothing(double value)
{
    return isfinite(value) ? value : 0;
}

static void money_picture(const tw_report *r, tw_text *out)
{
    const tw_machine *m = r->planner->machine;
    tw_chip_cost c = tw_chip_cost_of(r->library, m->chip);
    tw_machine_cost whole = tw_machine_cost_of(r->library, m);
    tw_bar bar[2] = {{.name = "parts of a chip", .parts = 5}, {.name = "price of a device", .parts = 3}};
    bar[0].part[0] = (tw_bar_part){"dies", or_nothing(c.dies + c.io_dies)};
    bar[0].part[1] = (tw_bar_part){"memory", or_nothing(c.memory)};
    bar[0].part[2] = (tw_bar_part){"package", or_nothing(c.package)};
    bar[0].part[3] = (tw_bar_part){"assembly yield", or_nothing(c.assembly)};
    bar[0].part[4] = (tw_bar_part){"design", or_nothing(c.nre)};
    bar[1].part[0] = (tw_bar_part){"chip", or_nothing(whole.chip)};
    bar[1].part[1] = (tw_bar_part){"host", or_nothing(whole.host)};
    bar[1].part[2] = (tw_bar_part){"node and network", or_nothing(whole.node)};
    tw_picture_bars(out, "money", "USD", bar, 2);
}

static void other_plans(const tw_report *r, tw_text *out)
{
    tw_text_add(out, "<h2>Plans</h2>\n<table><tr><th></th><th>step, s</th><th>plan</th><th>GiB</th></tr>\n");
    for (int i = 0; i < r->result->count; i++) {
        const tw_candidate *c = &r->result->best[i];
        char plan[240];
        tw_strategy_text(&c->strategy, plan, sizeof plan);
        tw_text_add(out, "<tr><td>%d</td><td>%.4g</td><td>", i + 1, c->step.time);
        tw_text_escape(out, plan);
        tw_text_add(out, "</td><td>%.1f</td></tr>\n", c->step.memory.total / 1073741824);
    }
    tw_text_add(out, "</table>\n");
}

static void upgrades(const tw_report *r, tw_text *out)
{
    if (!r->upgrades)
        return;
    tw_text_add(out, "<h2>What an upgrade would save</h2>\n<table><tr><th>number</th><th>now</th><th>1 %% more, same "
                     "plan</th><th>twice as good, best plan</th></tr>\n");
    for (int i = 0; i < r->upgrades; i++) {
        const tw_upgrade *u = &r->upgrade[i];
        tw_text_add(out, "<tr><td>");
        tw_text_escape(out, u->name);
        tw_text_add(out, "</td><td>%s</td><td>%+.2f %%</td><td>%+.1f %%</td></tr>\n", u->now, u->elasticity,
                    100 * (u->twice - 1));
    }
    tw_text_add(out, "</table>\n");
}

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>plan</title>\n<style>\n"
    "body{font-family:sans-serif;max-width:940px;margin:2em auto;padding:0 1em;color:#222}\n"
    "table{border-collapse:collapse;margin:1em 0}th{text-align:left}th,td{padding:.2em .8em;border-bottom:1px solid "
    "#ddd}\n"
    "svg{max-width:100%;height:auto}\n</style></head><body>\n";

void tw_report_page(const tw_report *r, tw_text *out)
{
    tw_text_add_bytes(out, head, sizeof head - 1);
    tw_text_add(out, "<h1>");
    tw_text_escape(out, r->planner->work.model->item.name);
    tw_text_add(out, " on %g x ", r->result->best[0].devices);
    tw_text_escape(out, r->planner->machine->chip->item.name);
    tw_text_add(out, " (");
    tw_text_escape(out, r->planner->machine->item.name);
    tw_text_add(out, ")</h1>\n");
    summary(r, out);
    if (r->timeline) {
        tw_text_add(out, "<h2>Timeline</h2>\n");
        tw_picture_timeline(out, r->timeline, 16);
    }
    tw_text_add(out, "<h2>Time</h2>\n");
    time_picture(r, out);
    tw_text_add(out, "<h2>Memory</h2>\n");
    memory_picture(r, out);
    tw_text_add(out, "<h2>Roofline</h2>\n");
    roofline(r, out);
    tw_text_add(out, "<h2>Money</h2>\n");
    money_picture(r, out);
    other_plans(r, out);
    upgrades(r, out);
    tw_text_add(out, "</body></html>\n");
}
