/* Whole runs, memory and power. */
#include <math.h>

#include "machine/internal.h"
#include "machine/predict.h"

static double known(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

tw_status tw_predict_memory(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    tw_machine machine;
    tw_model model;
    tw_planner p;
    TW_TRY(tw_row_machine(l, r, &machine));
    TW_TRY(tw_row_model(l, r, &model));
    tw_workload w = tw_row_workload(l, r, &model);
    tw_search_space space = tw_row_space(r, &model);
    tw_strategy s = space.fixed;
    s.chunks = TW_MAX(s.chunks, 1);
    s.data = TW_MAX(s.data, 1);
    s.micro_batch = TW_MAX(s.micro_batch, 1);
    s.zero = TW_MAX(s.zero, 0);
    s.recompute = TW_MAX(s.recompute, 0);
    s.schedule = s.chunks > 1 ? TW_SCHEDULE_INTERLEAVED : TW_SCHEDULE_1F1B;
    s.sequence_parallel = space.sequence_parallel == 1;
    if (!strcmp(r->metric, "device_gb")) {
        w.phase = TW_PHASE_PREFILL;
        w.sequence = tw_row_shape(r, "in");
        s.micro_batch = (int)known(tw_row_shape(r, "batch"), 1);
        TW_TRY(tw_planner_create(&p, &machine, &w, constants));
        p.work.context = known(tw_row_shape(r, "out"), 0);
        out->value = tw_planner_memory(&p, &s).total * 1e-9;
        tw_planner_destroy(&p);
        return TW_OK;
    }
    TW_TRY(tw_planner_create(&p, &machine, &w, constants));
    double held = tw_held_micro_batches(&p, &s) * model.layers / s.pipeline;
    double activations = tw_activation_bytes(&p, &s) * held;
    if (!strcmp(r->metric, "act_gib_per_dev"))
        out->value = activations / 1073741824;
    else if (!strcmp(r->metric, "param_opt_gib_per_dev")) /* weights, gradients in 32 bits, Adam: 18 bytes each */
        out->value = 18 * p.layer_parameters / ((double)s.tensor * s.pipeline) / 1073741824;
    else if (!strcmp(r->metric, "act_pct_of_tp_baseline")) {
        tw_strategy baseline = s;
        baseline.recompute = TW_RECOMPUTE_NONE;
        baseline.sequence_parallel = false;
        out->value = 100 * tw_activation_bytes(&p, &s) / tw_activation_bytes(&p, &baseline);
    } else {
        tw_planner_destroy(&p);
        return tw_error(TW_ERR_UNSUPPORTED, "memory metric '%s' is not modelled", r->metric);
    }
    tw_planner_destroy(&p);
    return TW_OK;
}

/* A run of `tokens` on devices whose plan is not published: the best plan there is, times what long runs lose. */
tw_status tw_predict_run(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    tw_machine machine;
    const tw_description *economy = tw_library_find(l, TW_KIND_ECONOMY, "default");
    double tokens = tw_row_shape(r, "tokens"),
           goodput = economy ? ((const tw_economy *)(const void *)economy)->goodput : 0.9;
    if (strcmp(r->metric, "device_hours") != 0 || isnan(tokens))
        return tw_error(TW_ERR_UNSUPPORTED, "metric '%s' without a number of tokens", r->metric);
    tw_row whole = *r;
    const char *named = strchr(r->id, '-'); /* "run-deepseek-v3": the table has no column for it */
    if (!*r->model && named && tw_row_known_model(l, named + 1, r->params_b))
        whole.model = named + 1;
    whole.n_dev = known(r->n_dev, 512);
    whole.seq = known(r->seq, 2048);
    whole.gbs = known(r->gbs, TW_MAX(2048.0, whole.n_dev));
    TW_TRY(tw_row_machine(l, &whole, &machine));
    tw_model model;
    /* Utilisation of a model of that size in standard proportions. */
    if (!*whole.model && (isnan(whole.layers) || isnan(whole.hidden))) {
        whole.layers = round(pow(r->params_b * 1e9 / 12 / 16384, 1.0 / 3));
        whole.hidden = whole.layers * 128;
        whole.heads = whole.layers;
        whole.vocab = known(r->vocab, 32000);
    }
    TW_TRY(tw_row_model(l, &whole, &model));
    tw_workload w = tw_row_workload(l, &whole, &model);
    tw_planner p;
    tw_search_result *found = tw_alloc_zero(1, sizeof *found);
    tw_search_space space = tw_row_space(&whole, &model);
    space.fixed.micro_batch = 0;
    TW_TRY(tw_planner_create(&p, &machine, &w, constants));
    tw_status status = found ? tw_search(&p, &space, found) : TW_ERR_MEMORY;
    if (status == TW_OK) {
        const tw_step *step = &found->best[0].step;
        double per_token =
            step->time * whole.n_dev / (w.batch * w.sequence) / p.parameters; /* device seconds, by parameter */
        out->value = tokens * r->params_b * 1e9 * per_token / goodput / 3600;
        out->seconds = step->time;
        tw_strategy_text(&found->best[0].strategy, out->plan, sizeof out->plan);
    }
    tw_planner_destroy(&p);
    tw_free(found);
    return status;
}

tw_status tw_predict_power(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    const tw_description *item;
    TW_TRY(tw_library_need(l, TW_KIND_CHIP, r->hw, &item));
    const tw_chip *c = (const tw_chip *)(const void *)item;
    const tw_fit *f = constants ? constants : c->fit;
    double tdp = known(c->tdp, 400);
    if (!strcmp(r->metric,
                "system_w_per_dev")) { /* training keeps a chip near 60 % of its design power; hosts and fans add */
        out->value = tdp * 0.61 + 100;
        return TW_OK;
    }
    if (!strcmp(r->metric, "gpu_energy")) {
        tw_row run = *r;
        tw_prediction hours = {.value = NAN, .value2 = NAN};
        run.metric = "device_hours";
        TW_TRY(tw_predict_run(l, &run, constants, &hours));
        out->value = hours.value * tdp * (f->idle_power + (1 - f->idle_power) * 0.85) * 1e-6; /* MWh */
        return TW_OK;
    }
    return tw_error(TW_ERR_UNSUPPORTED, "power metric '%s' is not modelled", r->metric);
}
