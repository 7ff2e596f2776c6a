/* Training and inference rows; the other kinds stand in files of their own. */
#include "machine/predict.h"

#include <math.h>

#include "machine/internal.h"

static double known(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

/* ---- training ---- */

/* Each figure counts FLOPs its own way (see formulas in docs/machine-model.md). */
static double in_metric(const tw_row *r, const char *metric, const tw_workload *w, const tw_planner *p, double devices,
                        double time)
{
    const tw_model *m = w->model;
    double tokens = w->batch * w->sequence, peak = p->machine->chip->peak[TW_PEAK_BF16];
    double gpt = tw_gpt_step_flops(m, w->batch, w->sequence, false),
           gpt_again = tw_gpt_step_flops(m, w->batch, w->sequence, true);
    bool gpt_like = !m->gated && m->experts == 0 && m->mixer_layers == 0;
    double model_flops = gpt_like ? tokens * (6 * tw_model_parameters(m) + 12 * m->layers * m->hidden * w->sequence)
                                  : 3 * tokens * tw_model_forward_flops(m, w->sequence, true);
    (void)r;
    if (!strcmp(metric, "iter_time"))
        return time;
    if (!strcmp(metric, "tokens_per_s_per_dev"))
        return tokens / time / devices;
    if (!strcmp(metric, "tokens_per_s"))
        return tokens / time;
    if (!strcmp(metric, "hw_tflops_per_dev"))
        return gpt_again / time / devices * 1e-12;
    if (!strcmp(metric, "mfu"))
        return 100 * (gpt_like ? gpt : model_flops) / time / devices / peak;
    if (!strcmp(metric, "model_tflops_per_dev"))
        return model_flops / time / devices * 1e-12;
    if (!strcmp(metric, "aggregate_pflops"))
        return gpt_again / time * 1e-15;
    return NAN;
}

static tw_status best_plan(tw_planner *p, tw_search_space *space, tw_search_result *found)
{
    tw_status status = tw_search(p, space, found);
    if (status == TW_OK)
        return TW_OK;
    space->ignore_memory = true; /* it was run, whatever our sums of memory say */
    return tw_search(p, space, found);
}

tw_status tw_predict_training(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    tw_machine machine;
    tw_model model;
    tw_planner p;
    TW_TRY(tw_row_machine(l, r, &machine));
    TW_TRY(tw_row_model(l, r, &model));
    tw_workload w = tw_row_workload(l, r, &model);
    tw_search_space space = tw_row_space(r, &model);
    machine.devices = known(r->n_dev, machine.devices);
    TW_TRY(tw_planner_create(&p, &machine, &w, constants));
    tw_search_result *found = tw_alloc_zero(1, sizeof *found);
    tw_status status = found ? best_plan(&p, &space, found) : TW_ERR_MEMORY;
    if (status == TW_OK) {
        out->seconds = found->best[0].step.time;
        out->value = in_metric(r, r->metric, &w, &p, machine.devices, out->seconds);
        out->value2 = in_metric(r, r->metric2, &w, &p, machine.devices, out->seconds);
        tw_strategy_text(&found->best[0].strategy, out->plan, sizeof out->plan);
        if (isnan(out->value))
            status = tw_error(TW_ERR_UNSUPPORTED, "training metric '%s' is not modelled", r->metric);
    }
    tw_planner_destroy(&p);
    tw_free(found);
    return status;
}

/* ---- inference ---- */

static tw_status serve(tw_planner *p, const tw_strategy *s, const tw_row *r, tw_serving *out)
{
    double input = known(tw_row_shape(r, "in"), known(tw_row_shape(r, "seq"), p->work.sequence));
    double output = known(tw_row_shape(r, "out"), 1), batch = tw_row_shape(r, "batch");
    char load[16];
    if (tw_row_shape_text(r, "load", load, sizeof load) && !strcmp(load, "max"))
        return tw_planner_saturated(p, s, input, output, known(batch, 2048), out);
    return tw_planner_request(p, s, known(batch, 1), input, output, out);
}

tw_status tw_predict_inference(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    tw_machine machine;
    tw_model model;
    tw_planner p;
    tw_serving served;
    TW_TRY(tw_row_machine(l, r, &machine));
    TW_TRY(tw_row_model(l, r, &model));
    tw_workload w = tw_row_workload(l, r, &model);
    w.phase = TW_PHASE_PREFILL;
    /* Prompt and token times come out of a framework's log; latencies and throughputs are of compiled engines. */
    bool eager = !strcmp(r->metric, "prompt_time") || !strcmp(r->metric, "ttft");
    bool classic = !strcmp(model.software->item.name, "classic");
    const tw_description *software = tw_library_find(l, TW_KIND_SOFTWARE,
                                                     eager     ? "eager"
                                                     : classic ? "engine-classic"
                                                               : "engine");
    w.software = software ? (const tw_software *)(const void *)software : w.software;
    tw_strategy s = {.tensor = (int)known(r->tp, known(r->n_dev, 1)),
                     .pipeline = (int)known(r->pp, 1),
                     .chunks = 1,
                     .data = 1,
                     .context = 1,
                     .expert = (int)TW_MAX(1.0, known(r->ep, 1)),
                     .micro_batch = 1,
                     .schedule = TW_SCHEDULE_1F1B};
    TW_TRY(tw_planner_create(&p, &machine, &w, constants));
    tw_status status = serve(&p, &s, r, &served);
    if (status == TW_OK) {
        if (!strcmp(r->metric, "latency"))
            out->value = served.latency * 1e3;
        else if (!strcmp(r->metric, "prompt_time") || !strcmp(r->metric, "ttft"))
            out->value = served.prefill * 1e3;
        else if (!strcmp(r->metric, "token_time"))
            out->value = served.token * 1e3;
        else if (!strcmp(r->metric, "tokens_per_s") || !strcmp(r->metric, "output_tokens_per_s"))
            out->value = served.tokens_per_second;
        else
            status = tw_error(TW_ERR_UNSUPPORTED, "inference metric '%s' is not modelled", r->metric);
        if (!strncmp(r->metric2, "token", 5))
            out->value2 = served.token * 1e3;
        out->seconds = served.latency;
        snprintf(out->plan, sizeof out->plan, "%g in flight, %.4g GiB of %.4g", served.concurrency,
                 served.memory.total / 1073741824, served.memory.capacity / 1073741824);
    }
    tw_planner_destroy(&p);
    return status;
}

tw_status tw_predict(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    *out = (tw_prediction){.value = NAN, .value2 = NAN, .seconds = NAN};
    const char *k = r->kind;
    if (!strcmp(k, "gemm") || !strcmp(k, "op") || !strcmp(k, "attn") || !strcmp(k, "mem"))
        return tw_predict_kernel(l, r, constants, out);
    if (!strcmp(k, "collective") || !strcmp(k, "link"))
        return tw_predict_links(l, r, out);
    if (!strcmp(k, "train"))
        return tw_predict_training(l, r, constants, out);
    if (!strcmp(k, "infer"))
        return tw_predict_inference(l, r, constants, out);
    if (!strcmp(k, "memory"))
        return tw_predict_memory(l, r, constants, out);
    if (!strcmp(k, "run"))
        return tw_predict_run(l, r, constants, out);
    if (!strcmp(k, "power"))
        return tw_predict_power(l, r, constants, out);
    return tw_error(TW_ERR_UNSUPPORTED, "rows of kind '%s' are not modelled", k);
}
