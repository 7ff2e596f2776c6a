/* tw plan MODEL MACHINE: the best parallel plan, where its time goes, what would make it faster. */
#include <math.h>

#include "cli/plan.h"

tw_library *cli_library(const text_list *with)
{
    tw_library *l = tw_library_create();
    for (int i = 0; l && i < with->count; i++)
        if (tw_library_add_file(l, with->item[i]) != TW_OK) {
            tw_library_destroy(l);
            return NULL;
        }
    return l;
}

tw_status cli_set(tw_library *l, const text_list *settings)
{
    for (int i = 0; i < settings->count; i++) {
        char path[256];
        size_t n = strcspn(settings->item[i], "=");
        if (settings->item[i][n] != '=' || n >= sizeof path)
            return tw_error(TW_ERR_VALUE, "--set '%.80s'; expected kind.name.key=value, as in chip.H100.tdp=700 W",
                            settings->item[i]);
        snprintf(path, sizeof path, "%.*s", (int)n, settings->item[i]);
        TW_TRY(tw_library_set(l, path, settings->item[i] + n + 1));
    }
    return TW_OK;
}

static void print_bar(double share, int width)
{
    int full = (int)lround(share * width);
    for (int i = 0; i < width; i++)
        putchar(i < full ? '#' : ' ');
}

static void print_head(const plan_job *job)
{
    const tw_machine *m = &job->machine;
    const tw_workload *w = &job->planner.work;
    printf("%s, %.4g billion parameters, on %s: %g x %s", w->model->item.name, job->planner.parameters * 1e-9,
           m->item.name, m->devices, m->chip->item.name);
    for (int t = 0; t < m->tiers; t++)
        printf("%s%s %g", t ? ", " : " (", m->tier[t].item.name, m->tier[t].size);
    printf("%s\n", m->tiers ? ")" : "");
}

/* ---- training ---- */

static void print_shares(const tw_step *s)
{
    tw_share share[TW_SHARES];
    int count = tw_step_shares(s, share);
    printf("\nwhere the time goes\n");
    for (int i = 0; i < count; i++) {
        printf("  %-30s ", share[i].name);
        print_bar(share[i].seconds / s->time, 40);
        printf(" %5.1f %%\n", 100 * share[i].seconds / s->time);
    }
    if (s->overlapped > 0)
        printf("  communication beside compute: %.4g s\n", s->overlapped);
}

static void print_memory(const tw_memory_use *use)
{
    tw_memory_share share[TW_MEMORY_SHARES];
    int count = tw_memory_shares(use, share);
    printf("memory   %.1f of %.1f GiB:", use->total / 1073741824, use->capacity / 1073741824);
    for (int i = 0; i < count; i++)
        printf("%s %s %.1f", i ? "," : "", share[i].name, share[i].bytes / 1073741824);
    if (use->on_host > 0)
        printf("; on the host %.1f", use->on_host / 1073741824);
    printf("\n");
}

static const char letters[TW_WORKS] = {
    [TW_WORK_FORWARD] = 'F', [TW_WORK_BACKWARD] = 'B', [TW_WORK_WEIGHT] = 'W',  [TW_WORK_HOST] = 'h',
    [TW_WORK_TENSOR] = 't',  [TW_WORK_EXPERT] = 'e',   [TW_WORK_CONTEXT] = 'c', [TW_WORK_SEND] = 's',
    [TW_WORK_DATA] = 'd',    [TW_WORK_UPDATE] = 'u',   [TW_WORK_OTHER] = 'o'};

/* One line a stage; each column shows what took most of its time. */
static void print_lane(const tw_timeline *t, int stage, int columns)
{
    double most[160] = {0};
    char what[160];
    memset(what, '.', sizeof what);
    for (size_t i = 0; i < t->spans; i++) {
        const tw_span *s = &t->span[i];
        if (s->stage != stage || s->hidden)
            continue;
        int from = (int)(s->start / t->end * columns), to = (int)(s->end / t->end * columns);
        for (int c = TW_MAX(from, 0); c <= to && c < columns; c++) {
            double low = TW_MAX(s->start, t->end * c / columns), high = TW_MIN(s->end, t->end * (c + 1) / columns);
            if (high - low > most[c]) {
                most[c] = high - low;
                what[c] = letters[s->work];
            }
        }
    }
    printf("  stage %-4d |%.*s|\n", stage, columns, what);
}

static void print_timeline(const tw_timeline *t, double micro_batches, int shown)
{
    int rows = TW_MIN(t->stages, 8);
    bool seen[TW_WORKS] = {false};
    printf("\ntimeline, 0 to %.4g s", t->end);
    if (shown > 0 && micro_batches > shown)
        printf(" (the first micro-batches of %g)", micro_batches);
    printf("\n");
    for (int r = 0; r < rows; r++)
        print_lane(t, rows > 1 ? (int)((double)r * (t->stages - 1) / (rows - 1)) : 0, 96);
    for (size_t i = 0; i < t->spans; i++)
        seen[t->span[i].work] |= !t->span[i].hidden;
    printf(" ");
    for (int w = 0; w < TW_WORKS; w++)
        if (seen[w])
            printf(" %c %s", letters[w], tw_work_name((tw_work)w));
    printf(" . idle\n");
}

static void print_plans(const tw_search_result *found)
{
    char plan[240];
    printf("\nnext best\n");
    for (int i = 1; i < found->count; i++) {
        const tw_candidate *c = &found->best[i];
        tw_strategy_text(&c->strategy, plan, sizeof plan);
        printf("  %2d  %9.4g s  %+5.1f %%  %s\n", i + 1, c->step.time,
               100 * (c->step.time / found->best[0].step.time - 1), plan);
    }
    const tw_search_failures *f = &found->failures;
    printf("searched: %lld plans timed, %lld branches cut by a bound, %lld did not fit", (long long)found->evaluated,
           (long long)found->pruned, (long long)f->memory);
    if (f->memory) {
        const tw_memory_use *use = &f->closest.step.memory;
        tw_strategy_text(&f->closest.strategy, plan, sizeof plan);
        printf(
            ";\n  the nearest of those lacks %.2f GiB (weights %.1f, gradients %.1f, optimiser %.1f, activations %.1f, "
            "workspace %.1f of %.1f): %s",
            f->missing / 1073741824, use->weights / 1073741824, use->gradients / 1073741824,
            use->optimiser / 1073741824, use->activations / 1073741824, use->workspace / 1073741824,
            use->capacity / 1073741824, plan);
    }
    printf("\n");
}

static void print_upgrades(const tw_upgrade *u, int count)
{
    printf("\nwhat an upgrade would change in the step's time\n  %-32s %-14s %18s %22s\n", "", "now", "1 % more",
           "twice, planned anew");
    for (int i = 0; i < count; i++)
        printf("  %-32s %-14s %16.2f %% %20.1f %%\n", u[i].name, u[i].now, u[i].elasticity, 100 * (u[i].twice - 1));
}

static void print_best(const plan_job *job, const plan_request *r, const tw_candidate *best)
{
    const tw_workload *w = &job->planner.work;
    const tw_step *s = &best->step;
    char plan[240];
    double tokens = w->batch * w->sequence, rate = s->model_flops / s->time / best->devices,
           peak = job->machine.chip->peak[TW_PEAK_BF16];
    printf("training, %g sequences of %g tokens a step, %s, software %s, best %s\n\n", w->batch, w->sequence,
           tw_peak_name(w->type), w->software->item.name, tw_objective_name(job->space.objective));
    tw_strategy_text(&best->strategy, plan, sizeof plan);
    printf("plan     %s", plan);
    if (best->devices < job->machine.devices)
        printf(" (%g devices)", best->devices);
    printf("\nstep     %.4g s, %.4g tokens/s, %.4g model TFLOP/s a device (%.1f %% of its 16-bit peak)\n", s->time,
           tokens / s->time, rate * 1e-12, 100 * rate / peak);
    print_memory(&s->memory);
    double joules = tw_step_joules(&job->planner, &job->space, s, best->devices),
           dollars = tw_step_dollars(&job->planner, &job->space, s, best->devices);
    printf("energy   %.4g kWh a step, %.4g kWh a million tokens, %.0f W a device\n", joules / 3.6e6,
           joules / 3.6 / tokens, joules / s->time / best->devices);
    printf("money    %.4g USD a step, %.4g USD a million tokens (%.2f USD a device and hour, electricity included)\n",
           dollars, dollars / tokens * 1e6, dollars / s->time / best->devices * 3600);
    printf("bytes    a device sends a step:");
    for (int t = 0; t < job->machine.tiers; t++)
        printf("%s %s %.4g GB", t ? "," : "", job->machine.tier[t].item.name, s->link_bytes[t] * 1e-9);
    printf("\n");
    if (r->tokens > 0)
        printf("run      %.4g tokens: %.4g days, %.4g MWh, %.4g million USD\n", r->tokens,
               r->tokens / tokens * s->time / 86400, r->tokens / tokens * joules / 3.6e9,
               r->tokens / tokens * dollars * 1e-6);
}

typedef struct plan_files {
    const char *html, *trace, *json;
    bool no_advice;
} plan_files;

static tw_status write_reports(const tw_report *report, const plan_files *files)
{
    tw_text text = {0};
    tw_status status = TW_OK;
    if (files->html) {
        tw_report_page(report, &text);
        status = plan_write_file(files->html, &text);
    }
    text.count = 0;
    if (status == TW_OK && files->trace && report->timeline &&
        (status = tw_report_trace(report->timeline, &text)) == TW_OK)
        status = plan_write_file(files->trace, &text);
    text.count = 0;
    if (status == TW_OK && files->json && (status = tw_report_json(report, &text)) == TW_OK)
        status = plan_write_file(files->json, &text);
    tw_text_free(&text);
    return status;
}

static tw_status train(plan_job *job, const plan_request *r, const plan_files *files, tw_search_result *found)
{
    tw_upgrade upgrade[TW_UPGRADE_MOST];
    tw_timeline timeline;
    int upgrades = 0;
    bool quiet = files->json && !strcmp(files->json, "-");
    TW_TRY(tw_search(&job->planner, &job->space, found));
    const tw_candidate *best = &found->best[0];
    if (!files->no_advice && job->space.objective == TW_OBJECTIVE_TIME && !job->space.fewer)
        TW_TRY(tw_upgrades(&job->planner, &job->space, best, job->constants, upgrade, &upgrades));
    /* A few rounds of the pipeline; of very deep ones as much as can be drawn, or nothing. */
    double pieces = (double)best->strategy.pipeline * best->strategy.chunks;
    int shown = (int)TW_MAX(1.0, TW_MIN(3.0 * best->strategy.pipeline, 1e6 / pieces));
    tw_status drawn = tw_step_timeline(&job->planner, &best->strategy, shown, &timeline);
    if (drawn == TW_ERR_MEMORY)
        return drawn;
    if (!quiet) {
        print_head(job);
        print_best(job, r, best);
        print_shares(&best->step);
        if (drawn == TW_OK)
            print_timeline(&timeline, best->step.micro_batches, shown);
        print_plans(found);
        if (upgrades)
            print_upgrades(upgrade, upgrades);
    }
    tw_report report = {.library = job->library,
                        .planner = &job->planner,
                        .space = &job->space,
                        .result = found,
                        .upgrade = upgrade,
                        .upgrades = upgrades,
                        .timeline = drawn == TW_OK ? &timeline : NULL,
                        .tokens = r->tokens};
    tw_status status = write_reports(&report, files);
    if (drawn == TW_OK)
        tw_timeline_free(&timeline);
    return status;
}

/* ---- serving ---- */

static void print_service(const plan_job *job, const tw_service_plan *plan, int count)
{
    const tw_service *v = &job->service;
    const tw_workload *w = &job->planner.work;
    if (v->prompts_only)
        printf("prompts of %g tokens, %s, software %s, best %s\n\n", v->input, tw_peak_name(w->type),
               w->software->item.name, tw_objective_name(job->space.objective));
    else
        printf("serving, %g tokens in, %g out, %s, software %s, best %s\n\n", v->input, v->output,
               tw_peak_name(w->type), w->software->item.name, tw_objective_name(job->space.objective));
    if (w->draft > 1)
        printf("%g tokens checked at once, each taken with probability %g%s%s\n\n", w->draft, w->accept,
               w->draft_model ? ", proposed by " : "", w->draft_model ? w->draft_model->item.name : "");
    printf("%-24s %9s %9s %10s %11s %12s %10s %9s %8s\n", "instance", "instances", "sequences", "prompt, ms",
           "token, ms", "tokens/s", "USD/M", "kWh/M", "GiB");
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "TP %d x PP %d%s", plan[i].strategy.tensor, plan[i].strategy.pipeline,
                 plan[i].strategy.expert > 1 ? ", experts spread" : "");
        printf("%-24s %9g %9g %10.4g %11.4g %12.5g %10.4g %9.4g %8.1f\n", name, plan[i].instances,
               plan[i].serving.concurrency, plan[i].serving.prefill * 1e3, plan[i].serving.token * 1e3,
               plan[i].tokens_per_second, plan[i].dollars, plan[i].joules / 3.6e6,
               plan[i].serving.memory.total / 1073741824);
    }
    const tw_step *s = &plan[0].serving.pass;
    printf("\na pass of the best: products %.4g ms, attention %.4g ms, pointwise %.4g ms, head %.4g ms, tensor "
           "parallel %.4g ms, "
           "host %.4g ms\n",
           s->gemm * 1e3, s->attention * 1e3, s->pass * 1e3, s->embedding * 1e3, s->tensor * 1e3, s->host * 1e3);
}

static tw_status serve(plan_job *job)
{
    tw_service_plan plan[TW_SERVICE_MOST];
    int count;
    TW_TRY(tw_search_service(&job->planner, &job->space, &job->service, plan, &count));
    print_head(job);
    print_service(job, plan, count);
    return TW_OK;
}

static int plan(int argc, char **argv)
{
    const char *names[2];
    plan_request r = {.keep = 0};
    plan_files files = {.html = NULL};
    option options[PLAN_OPTIONS + 4];
    int given, code, count = plan_options(&r, options);
    options[count++] = (option){"--html", "FILE", "a page with pictures", OPTION_TEXT, &files.html, 0, 0};
    options[count++] =
        (option){"--trace", "FILE", "the timeline for chrome://tracing or Perfetto", OPTION_TEXT, &files.trace, 0, 0};
    options[count++] = (option){
        "--json", "FILE", "the plans for other programs (-: standard output, nothing else)", OPTION_TEXT, &files.json,
        0,        0};
    options[count++] = (option){"--no-advice", NULL, "nothing about upgrades", OPTION_FLAG, &files.no_advice, 0, 0};
    if (!plan_arguments(
            "plan", "MODEL MACHINE",
            "The best parallel plan of a model on a machine: its step as a timeline, where time, memory and "
            "money go,\nthe next best plans, why others don't fit, and what an upgrade would change. Also:\n"
            "  tw plan compare MODEL MACHINE MACHINE...   machines side by side\n"
            "  tw plan sweep MODEL MACHINE --vary ...     a figure over one number\n"
            "  tw plan graph [FILE] --on CHIP...          a step that this library compiles, on chips\n"
            "  tw plan validate [FILE]                    published measurements against the model\n"
            "  tw plan seed                               the facts of the seed, computed",
            options, count, argc, argv, names, 2, 2, &given, &code))
        return code;
    r.model = names[0];
    r.machine = names[1];
    plan_job job = {.serving = false};
    tw_library *l = cli_library(&r.with);
    tw_search_result *found = tw_alloc_zero(1, sizeof *found);
    tw_status status = !l || !found ? TW_ERR_MEMORY : cli_set(l, &r.settings);
    if (status == TW_OK)
        status = plan_begin(&r, l, &job);
    if (status == TW_OK && job.serving && (files.html || files.trace || files.json))
        status = tw_error(TW_ERR_VALUE, "--html, --trace and --json are of training; expected --phase train with them");
    if (status == TW_OK)
        status = job.serving ? serve(&job) : train(&job, &r, &files, found);
    plan_end(&job);
    tw_free(found);
    tw_library_destroy(l);
    return status == TW_OK ? 0 : cli_fail("plan");
}

int cmd_plan(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } forms[] = {{"compare", cmd_plan_compare},
                 {"graph", cmd_plan_graph},
                 {"seed", cmd_plan_seed},
                 {"sweep", cmd_plan_sweep},
                 {"validate", cmd_plan_validate}};
    for (size_t i = 0; i < TW_COUNT(forms); i++)
        if (argc > 0 && !strcmp(argv[0], forms[i].name))
            return forms[i].run(argc - 1, argv + 1);
    return plan(argc, argv);
}
