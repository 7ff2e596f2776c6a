/* tw plan sweep: the best plan over one number, as a table and a figure. */
#include <math.h>

#include "cli/plan.h"
#include "machine/picture.h"

enum { MOST_POINTS = 200 };

typedef struct sweep {
    plan_request *request;
    tw_library *library;
    const char *vary, *measure, *svg, *tsv;
    double from, to;
    int64_t points;
    bool log;
} sweep;

/* What may stand on the y axis. */
static const struct {
    const char *name, *title;
    size_t offset;
    double scale;
} measures[] = {
    {"tokens", "tokens/s", offsetof(plan_figures, tokens_per_second), 1},
    {"step", "time of a step or pass, s", offsetof(plan_figures, seconds), 1},
    {"token", "time of a token, ms", offsetof(plan_figures, token_ms), 1},
    {"utilisation", "model FLOPs, % of 16-bit peak", offsetof(plan_figures, utilisation), 100},
    {"memory", "memory of a device, GiB", offsetof(plan_figures, memory), 1.0 / 1073741824},
    {"kwh", "kWh a million tokens", offsetof(plan_figures, kwh), 1},
    {"usd", "USD a million tokens", offsetof(plan_figures, dollars), 1},
};

static double figure(const plan_figures *f, size_t measure)
{
    return *(const double *)(const void *)((const char *)f + measures[measure].offset) * measures[measure].scale;
}

/* A number of the request, or one of a description. */
static tw_status set(sweep *s, double value)
{
    const struct {
        const char *name;
        int64_t *to;
    } numbers[] = {{"batch", &s->request->batch},     {"sequence", &s->request->sequence},
                   {"devices", &s->request->devices}, {"input", &s->request->input},
                   {"output", &s->request->output},   {"sequences", &s->request->sequences},
                   {"draft", &s->request->draft}};
    for (size_t i = 0; i < TW_COUNT(numbers); i++)
        if (!strcmp(s->vary, numbers[i].name)) {
            *numbers[i].to = (int64_t)llround(value);
            return *numbers[i].to >= 1 ? TW_OK
                                       : tw_error(TW_ERR_VALUE, "--vary %s: %g; expected 1 or more", s->vary, value);
        }
    return tw_library_set_number(s->library, s->vary, value);
}

/* Text of a value as the description has it: "3.35 TB/s". */
static const char *value_text(const sweep *s, double value, char *out, size_t room)
{
    tw_dimension dimension = TW_DIM_NONE;
    double now;
    if (strchr(s->vary, '.') && tw_library_get(s->library, s->vary, &now, &dimension) == TW_OK)
        return tw_quantity_text(value, dimension, out, room);
    snprintf(out, room, "%.6g", round(value));
    return out;
}

static tw_status measure(sweep *s, double value, plan_figures *out, char *why, size_t room)
{
    plan_job job;
    *why = '\0';
    TW_TRY(set(s, value));
    tw_status status = plan_begin(s->request, s->library, &job);
    if (status == TW_OK) {
        status = plan_measure(&job, out);
        if (status != TW_OK && status != TW_ERR_MEMORY) {
            snprintf(why, room, "%s", tw_error_message());
            status = TW_OK;
        }
    }
    plan_end(&job);
    return status;
}

static double point(const sweep *s, int i)
{
    double t = s->points > 1 ? (double)i / (double)(s->points - 1) : 0;
    return s->log ? s->from * pow(s->to / s->from, t) : s->from + t * (s->to - s->from);
}

static void write_row(const sweep *s, double value, const plan_figures *f, const char *why, tw_text *out)
{
    char text[64];
    tw_text_add(out, "%.9g\t%s", value, value_text(s, value, text, sizeof text));
    for (size_t m = 0; m < TW_COUNT(measures); m++)
        if (*why || isnan(figure(f, m)))
            tw_text_add(out, "\t");
        else
            tw_text_add(out, "\t%.6g", figure(f, m));
    tw_text_add(out, "\t%s\n", *why ? why : f->plan);
}

static tw_status run(sweep *s, size_t what)
{
    double x[MOST_POINTS], y[MOST_POINTS];
    char why[400], title[200];
    tw_text table = {0}, picture = {0};
    tw_status status = TW_OK;
    tw_text_add(&table, "value\ttext");
    for (size_t m = 0; m < TW_COUNT(measures); m++)
        tw_text_add(&table, "\t%s", measures[m].title);
    tw_text_add(&table, "\tplan\n");
    for (int i = 0; i < s->points && status == TW_OK; i++) {
        plan_figures f = {.plan = ""};
        x[i] = point(s, i);
        status = measure(s, x[i], &f, why, sizeof why);
        y[i] = *why ? NAN : figure(&f, what);
        if (status == TW_OK)
            write_row(s, x[i], &f, why, &table);
    }
    if (status == TW_OK)
        status = plan_write_file(s->tsv ? s->tsv : "-", &table);
    if (status == TW_OK && s->svg) {
        tw_series one = {.name = measures[what].name, .x = x, .y = y, .points = (int)s->points};
        snprintf(title, sizeof title, "%.60s on %.60s", s->request->model, s->request->machine);
        tw_axes axes = {.title = title, .x = s->vary, .y = measures[what].title, .log_x = s->log};
        tw_picture_lines(&picture, &axes, &one, 1);
        status = plan_write_file(s->svg, &picture);
    }
    tw_text_free(&table);
    tw_text_free(&picture);
    return status;
}

static tw_status check(const sweep *s, size_t *what)
{
    if (!s->vary || isnan(s->from) || isnan(s->to))
        return tw_error(TW_ERR_VALUE,
                        "expected --vary with --from and --to, as in --vary chip.H100.memory_bandwidth --from 2e12 "
                        "--to 8e12 or --vary batch --from 64 --to 4096 --log");
    if (s->log && !(s->from > 0 && s->to > 0))
        return tw_error(TW_ERR_VALUE, "--log from %g to %g; expected both over zero", s->from, s->to);
    for (*what = 0; *what < TW_COUNT(measures); ++*what)
        if (!strcmp(s->measure, measures[*what].name))
            return TW_OK;
    return tw_error(TW_ERR_VALUE, "--measure '%.40s'; expected tokens, step, token, utilisation, memory, kwh or usd",
                    s->measure);
}

int cmd_plan_sweep(int argc, char **argv)
{
    const char *names[2];
    plan_request r = {.keep = 1};
    sweep s = {.request = &r, .measure = "tokens", .from = NAN, .to = NAN, .points = 17};
    option options[PLAN_OPTIONS + 8];
    int given, code, count = plan_options(&r, options);
    size_t what = 0;
    options[count++] =
        (option){"--vary",
                 "WHAT",
                 "batch, sequence, devices, input, output, sequences, draft, or a path such as chip.H100.tdp",
                 OPTION_TEXT,
                 &s.vary,
                 0,
                 0};
    options[count++] =
        (option){"--from", "X", "first value, in the base unit (byte/s, s, W, ...)", OPTION_FLOAT, &s.from, 0, 1e30};
    options[count++] = (option){"--to", "X", "last value", OPTION_FLOAT, &s.to, 0, 1e30};
    options[count++] = (option){"--points", "N", "values between (17)", OPTION_INT, &s.points, 2, MOST_POINTS};
    options[count++] = (option){"--log", NULL, "values grow by a factor instead of a sum", OPTION_FLAG, &s.log, 0, 0};
    options[count++] = (option){"--measure",
                                "WHAT",
                                "of the figure: tokens, step, token, utilisation, memory, kwh, usd (tokens)",
                                OPTION_TEXT,
                                &s.measure,
                                0,
                                0};
    options[count++] = (option){"--svg", "FILE", "a figure", OPTION_TEXT, &s.svg, 0, 0};
    options[count++] = (option){"--tsv", "FILE", "the table (standard output)", OPTION_TEXT, &s.tsv, 0, 0};
    if (!plan_arguments("plan sweep", "MODEL MACHINE", "The best plan while one number changes: a table, and a figure.",
                        options, count, argc, argv, names, 2, 2, &given, &code))
        return code;
    r.model = names[0];
    r.machine = names[1];
    s.library = cli_library(&r.with);
    tw_status status = s.library ? cli_set(s.library, &r.settings) : tw_error_code();
    if (status == TW_OK)
        status = check(&s, &what);
    if (status == TW_OK)
        status = run(&s, what);
    tw_library_destroy(s.library);
    return status == TW_OK ? 0 : cli_fail("plan sweep");
}
