/* From options to a planner. */
#include "cli/plan.h"

#include <math.h>
#include <stdlib.h>

#include "base/os.h"

bool plan_arguments(const char *name, const char *operands, const char *about, const option *options, int count,
                    int argc, char **argv, const char **arguments, int least, int most, int *given, int *code)
{
    text_list list = {.count = 0};
    const command_line line = {.name = name,
                               .about = about,
                               .options = options,
                               .count = count,
                               .operand = operands,
                               .given = &list,
                               .least = least,
                               .most = most};
    if (!cli_parse(&line, argc, argv, code))
        return false;
    *given = list.count;
    memcpy(arguments, list.item, (size_t)list.count * sizeof *arguments);
    return true;
}

int plan_options(plan_request *r, option out[PLAN_OPTIONS])
{
    const option rows[] = {
        {"--phase", "PHASE", "train, prefill or decode (train)", OPTION_TEXT, &r->phase, 0, 0},
        {"--objective", "WHAT", "time, money or energy (time)", OPTION_TEXT, &r->objective, 0, 0},
        {"--batch", "N", "sequences of a training step (about 4 million tokens)", OPTION_INT, &r->batch, 1, 1e12},
        {"--sequence", "N", "tokens of a sequence (the model's)", OPTION_INT, &r->sequence, 1, 1e9},
        {"--dtype", "TYPE", "of matrix products: bf16, fp8, nvfp4, ... (bf16)", OPTION_TEXT, &r->type, 0, 0},
        {"--software", "NAME", "a [software] (the model's)", OPTION_TEXT, &r->software, 0, 0},
        {"--devices", "N", "that plans use (all of the machine)", OPTION_INT, &r->devices, 1, 1e6},
        {"--fewer", NULL, "also a half, a quarter, ... of them", OPTION_FLAG, &r->fewer, 0, 0},
        {"--fix", "PLAN", "parts of the plan that are given: tp=8,pp=4,vpp=2,dp=16,cp=1,ep=8,mbs=1,zero=1,...",
         OPTION_TEXT, &r->fixed, 0, 0},
        {"--tokens", "N", "of the whole training run", OPTION_FLOAT, &r->tokens, 0, 1e18},
        {"--budget", "USD", "that the run may cost (with --tokens)", OPTION_FLOAT, &r->budget, 0, 1e15},
        {"--input", "N", "serving: tokens of a prompt (2048)", OPTION_INT, &r->input, 1, 1e9},
        {"--output", "N", "serving: tokens of an answer (256)", OPTION_INT, &r->output, 1, 1e9},
        {"--sequences", "N", "serving: in flight on an instance (what is best)", OPTION_INT, &r->sequences, 1, 1e6},
        {"--slowest", "MS", "serving: milliseconds for a token at most", OPTION_FLOAT, &r->slowest, 0, 1e9},
        {"--draft", "N", "speculative decoding: tokens checked at once", OPTION_INT, &r->draft, 1, 64},
        {"--accept", "P", "probability that a proposed token is taken (0.8)", OPTION_FLOAT, &r->accept, 0, 1},
        {"--draft-model", "MODEL", "that proposes them (none: for free)", OPTION_TEXT, &r->draft_model, 0, 0},
        {"--keep", "N", "plans to print (5)", OPTION_INT, &r->keep, 1, TW_SEARCH_MOST},
        {"--constants", "FIT", "of the cost model, instead of the chip's own", OPTION_TEXT, &r->constants, 0, 0},
        {"--set", "PATH=VALUE", "change a value of a description; may be given many times", OPTION_LIST, &r->settings,
         0, 0},
        {"--with", "FILE", "descriptions beside those that come with tw", OPTION_LIST, &r->with, 0, 0},
    };
    _Static_assert(TW_COUNT(rows) == PLAN_OPTIONS, "the header says how many");
    memcpy(out, rows, sizeof rows);
    return PLAN_OPTIONS;
}

/* ---- "tp=8,zero=1,recompute=full" ---- */

static int choice(const char *text, const char *(*name)(int), int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(text, name(i)))
            return i;
    return -1;
}

static tw_status fix_one(tw_search_space *s, const char *key, const char *text)
{
    const struct {
        const char *key;
        int *to;
        long low, high;
    } number[] = {{"tp", &s->fixed.tensor, 1, 1000000},       {"pp", &s->fixed.pipeline, 1, 100000},
                  {"vpp", &s->fixed.chunks, 1, 100000},       {"dp", &s->fixed.data, 1, 1000000},
                  {"cp", &s->fixed.context, 1, 100000},       {"ep", &s->fixed.expert, 1, 1000000},
                  {"mbs", &s->fixed.micro_batch, 1, 1000000}, {"zero", &s->fixed.zero, 0, 3},
                  {"seqpar", &s->sequence_parallel, 0, 1},    {"offload", &s->fixed.offload, 0, 1}};
    if (!strcmp(key, "recompute") || !strcmp(key, "schedule")) {
        bool recompute = key[0] == 'r';
        int found = recompute ? choice(text, tw_recompute_name, TW_RECOMPUTES)
                              : choice(text, tw_pipeline_schedule_name, TW_SCHEDULES);
        if (found < 0)
            return tw_error(TW_ERR_VALUE, "--fix %s=%.40s; expected %s", key, text,
                            recompute ? "none, selective or full" : "gpipe, 1f1b, interleaved or zero-bubble");
        *(recompute ? &s->fixed.recompute : &s->fixed.schedule) = found;
        return TW_OK;
    }
    for (size_t i = 0; i < TW_COUNT(number); i++) {
        char *end;
        long value = strtol(text, &end, 10);
        if (strcmp(key, number[i].key) != 0)
            continue;
        if (end == text || *end || value < number[i].low || value > number[i].high)
            return tw_error(TW_ERR_VALUE, "--fix %s=%.40s; expected a whole number from %ld to %ld", key, text,
                            number[i].low, number[i].high);
        *number[i].to = (int)value;
        return TW_OK;
    }
    return tw_error(TW_ERR_VALUE,
                    "--fix: no part of a plan is called '%.40s'; expected tp, pp, vpp, dp, cp, ep, mbs, zero, "
                    "seqpar, offload, recompute or schedule",
                    key);
}

static tw_status fix(tw_search_space *s, const char *text)
{
    while (text && *text) {
        char part[64];
        size_t n = strcspn(text, ",");
        snprintf(part, sizeof part, "%.*s", (int)TW_MIN(n, sizeof part - 1), text);
        char *equals = strchr(part, '=');
        if (!equals)
            return tw_error(TW_ERR_VALUE, "--fix '%.40s'; expected a name, '=' and a value, as in tp=8", part);
        *equals = '\0';
        TW_TRY(fix_one(s, part, equals + 1));
        text += n + (text[n] == ',');
    }
    return TW_OK;
}

/* ---- the job ---- */

static tw_status workload(const plan_request *r, const tw_library *l, tw_workload *w)
{
    const tw_description *model, *software, *draft;
    TW_TRY(tw_library_need(l, TW_KIND_MODEL, r->model, &model));
    *w = tw_workload_of((const tw_model *)(const void *)model);
    if (r->sequence)
        w->sequence = (double)r->sequence;
    w->batch = r->batch ? (double)r->batch : pow(2, ceil(log2(TW_MAX(1.0, 4194304 / w->sequence))));
    if (r->type && !tw_peak_parse(r->type, &w->type))
        return tw_error(TW_ERR_VALUE, "--dtype '%.40s'; expected fp64, fp32, tf32, fp16, bf16, fp8, fp4 or int8",
                        r->type);
    if (r->software) {
        TW_TRY(tw_library_need(l, TW_KIND_SOFTWARE, r->software, &software));
        w->software = (const tw_software *)(const void *)software;
    }
    w->draft = r->draft ? (double)r->draft : 1;
    w->accept = r->accept > 0 ? r->accept : 0.8;
    if (r->draft_model) {
        TW_TRY(tw_library_need(l, TW_KIND_MODEL, r->draft_model, &draft));
        w->draft_model = (const tw_model *)(const void *)draft;
    }
    return TW_OK;
}

static tw_status search_space(const plan_request *r, const tw_workload *w, plan_job *job)
{
    tw_search_space *s = &job->space;
    *s = tw_search_everything();
    s->keep = r->keep ? (int)r->keep : 5;
    s->fewer = r->fewer || r->budget > 0;
    s->devices = r->devices ? (double)r->devices : 0;
    if (r->objective) {
        int found = -1;
        for (int o = 0; o < TW_OBJECTIVES; o++)
            if (!strcmp(r->objective, tw_objective_name((tw_objective)o)))
                found = o;
        if (found < 0)
            return tw_error(TW_ERR_VALUE, "--objective '%.40s'; expected time, money or energy", r->objective);
        s->objective = (tw_objective)found;
    }
    if (r->budget > 0 && !(r->tokens > 0))
        return tw_error(TW_ERR_VALUE,
                        "--budget without --tokens; expected both: what the run may cost and how long it is");
    tw_search_prices(s, job->library, &job->machine);
    if (r->budget > 0)
        s->most_dollars = r->budget * w->batch * w->sequence / r->tokens;
    if (s->devices > job->machine.devices)
        return tw_error(TW_ERR_VALUE, "--devices %g; %s has %g", s->devices, job->machine.item.name,
                        job->machine.devices);
    return fix(s, r->fixed);
}

static tw_status phase_of(const plan_request *r, tw_workload *w, plan_job *job)
{
    const char *phase = r->phase ? r->phase : "train";
    job->serving = strcmp(phase, "train") != 0;
    job->service = (tw_service){.input = r->input ? (double)r->input : 2048,
                                .output = r->output ? (double)r->output : 256,
                                .sequences = (double)r->sequences,
                                .slowest = r->slowest * 1e-3,
                                .prompts_only = !strcmp(phase, "prefill")};
    w->phase = job->service.prompts_only ? TW_PHASE_PREFILL : job->serving ? TW_PHASE_DECODE : TW_PHASE_TRAIN;
    if (job->serving && strcmp(phase, "prefill") != 0 && strcmp(phase, "decode") != 0)
        return tw_error(TW_ERR_VALUE, "--phase '%.40s'; expected train, prefill or decode", phase);
    const tw_description *engine = tw_library_find(job->library, TW_KIND_SOFTWARE, "engine");
    if (job->serving && !r->software && engine)
        w->software = (const tw_software *)(const void *)engine;
    return TW_OK;
}

tw_status plan_begin(const plan_request *r, tw_library *library, plan_job *job)
{
    const tw_description *machine, *fit = NULL;
    tw_workload w;
    *job = (plan_job){.library = library};
    TW_TRY(tw_library_need(library, TW_KIND_MACHINE, r->machine, &machine));
    job->machine = *(const tw_machine *)(const void *)machine;
    TW_TRY(workload(r, library, &w));
    TW_TRY(phase_of(r, &w, job));
    TW_TRY(search_space(r, &w, job));
    if (r->constants)
        TW_TRY(tw_library_need(library, TW_KIND_FIT, r->constants, &fit));
    job->constants = (const tw_fit *)(const void *)fit;
    return tw_planner_create(&job->planner, &job->machine, &w, job->constants);
}

void plan_end(plan_job *job)
{
    tw_planner_destroy(&job->planner);
}

tw_status plan_write_file(const char *path, const tw_text *text)
{
    tw_os_writer *w;
    if (text->failed)
        return TW_ERR_MEMORY;
    if (!strcmp(path, "-")) {
        fputs(tw_text_string(text), stdout);
        return TW_OK;
    }
    TW_TRY(tw_os_writer_open(path, &w));
    tw_status status = tw_os_writer_write(w, text->data, text->count);
    if (status == TW_OK)
        return tw_os_writer_commit(w, false);
    tw_os_writer_cancel(w);
    return status;
}

static tw_status measure_training(plan_job *job, plan_figures *out)
{
    tw_search_result *found = tw_alloc_zero(1, sizeof *found);
    tw_search_space space = job->space;
    space.keep = 1;
    tw_status status = found ? tw_search(&job->planner, &space, found) : TW_ERR_MEMORY;
    if (status == TW_OK) {
        const tw_candidate *c = &found->best[0];
        const tw_step *s = &c->step;
        double tokens = job->planner.work.batch * job->planner.work.sequence;
        double joules = tw_step_joules(&job->planner, &space, s, c->devices);
        tw_strategy_text(&c->strategy, out->plan, sizeof out->plan);
        out->devices = c->devices;
        out->seconds = s->time;
        out->tokens_per_second = tokens / s->time;
        out->utilisation = s->model_flops / s->time / c->devices / job->machine.chip->peak[TW_PEAK_BF16];
        out->memory = s->memory.total;
        out->watts = joules / s->time / c->devices;
        out->kwh = joules / 3.6 / tokens;
        out->dollars = tw_step_dollars(&job->planner, &space, s, c->devices) / tokens * 1e6;
    }
    tw_free(found);
    return status;
}

static tw_status measure_serving(plan_job *job, plan_figures *out)
{
    tw_service_plan plan[TW_SERVICE_MOST];
    int count;
    TW_TRY(tw_search_service(&job->planner, &job->space, &job->service, plan, &count));
    const tw_service_plan *best = &plan[0];
    const tw_step *s = &best->serving.pass;
    snprintf(out->plan, sizeof out->plan, "%g x (TP %d x PP %d), %g sequences each", best->instances,
             best->strategy.tensor, best->strategy.pipeline, best->serving.concurrency);
    out->devices = best->devices * best->instances;
    out->seconds = s->time;
    out->token_ms = job->service.prompts_only ? NAN : best->serving.token * 1e3;
    out->prompt_ms = best->serving.prefill * 1e3;
    out->tokens_per_second = best->tokens_per_second;
    out->utilisation = s->model_flops / s->time / best->devices / job->machine.chip->peak[TW_PEAK_BF16];
    out->memory = best->serving.memory.total;
    out->watts = best->joules * best->tokens_per_second / 1e6 / out->devices;
    out->kwh = best->joules / 3.6e6;
    out->dollars = best->dollars;
    return TW_OK;
}

tw_status plan_measure(plan_job *job, plan_figures *out)
{
    *out = (plan_figures){.token_ms = NAN, .prompt_ms = NAN};
    return job->serving ? measure_serving(job, out) : measure_training(job, out);
}
