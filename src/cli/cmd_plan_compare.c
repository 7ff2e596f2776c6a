/* tw plan compare: machines side by side. */
#include <math.h>

#include "cli/plan.h"
#include "machine/money.h"

enum { MOST_MACHINES = 8 };

typedef struct column {
    char name[64], chip[64], why[400]; /* why: there is no plan */
    plan_figures figures;
    double price, parts, peak, bandwidth, capacity, tdp, tokens_per_device;
} column;

static tw_status fill(plan_request *r, tw_library *l, const char *machine, column *c)
{
    plan_job job;
    r->machine = machine;
    tw_status status = plan_begin(r, l, &job);
    if (status == TW_OK) {
        const tw_chip *chip = job.machine.chip;
        snprintf(c->name, sizeof c->name, "%s", job.machine.item.name);
        snprintf(c->chip, sizeof c->chip, "%s", chip->item.name);
        c->price = tw_machine_cost_of(l, &job.machine).price;
        c->parts = tw_chip_cost_of(l, chip).parts;
        c->peak = chip->peak[TW_PEAK_BF16];
        c->bandwidth = chip->memory_bandwidth;
        c->capacity = chip->memory_bytes;
        c->tdp = chip->tdp;
        status = plan_measure(&job, &c->figures);
        if (status != TW_OK && status != TW_ERR_MEMORY) {
            snprintf(c->why, sizeof c->why, "%s", tw_error_message());
            c->figures = (plan_figures){.plan = "does not fit",
                                        .devices = NAN,
                                        .seconds = NAN,
                                        .tokens_per_second = NAN,
                                        .utilisation = NAN,
                                        .memory = NAN,
                                        .watts = NAN,
                                        .kwh = NAN,
                                        .dollars = NAN,
                                        .token_ms = NAN,
                                        .prompt_ms = NAN};
            status = TW_OK;
        }
        c->tokens_per_device = c->figures.tokens_per_second / c->figures.devices;
    }
    plan_end(&job);
    return status;
}

static void line(const char *name, const column *c, int count, size_t offset, double scale)
{
    bool any = false;
    for (int i = 0; i < count; i++)
        any |= !isnan(*(const double *)(const void *)((const char *)&c[i] + offset));
    if (!any)
        return;
    printf("%-30s", name);
    for (int i = 0; i < count; i++) {
        double value = *(const double *)(const void *)((const char *)&c[i] + offset);
        if (isnan(value))
            printf(" %18s", "-");
        else
            printf(" %18.5g", value * scale);
    }
    printf("\n");
}

#define LINE(name, member, scale) line(name, c, count, offsetof(column, member), scale)

static void print(const column *c, int count, bool serving)
{
    printf("%-30s", "");
    for (int i = 0; i < count; i++)
        printf(" %18.18s", c[i].name);
    printf("\n%-30s", "chip");
    for (int i = 0; i < count; i++)
        printf(" %18.18s", c[i].chip);
    printf("\n");
    LINE("16-bit peak, TFLOP/s", peak, 1e-12);
    LINE("memory, GiB", capacity, 1.0 / 1073741824);
    LINE("memory bandwidth, TB/s", bandwidth, 1e-12);
    LINE("design power, W", tdp, 1);
    LINE("parts of a chip, USD", parts, 1);
    LINE("price of a device, USD", price, 1);
    LINE("devices", figures.devices, 1);
    LINE(serving ? "a pass, ms" : "step, ms", figures.seconds, 1e3);
    LINE("prompt, ms", figures.prompt_ms, 1);
    LINE("a token, ms", figures.token_ms, 1);
    LINE("tokens/s", figures.tokens_per_second, 1);
    LINE("tokens/s a device", tokens_per_device, 1);
    LINE("model FLOPs, % of 16-bit peak", figures.utilisation, 100);
    LINE("memory used, GiB", figures.memory, 1.0 / 1073741824);
    LINE("power of a device, W", figures.watts, 1);
    LINE("kWh a million tokens", figures.kwh, 1);
    LINE("USD a million tokens", figures.dollars, 1);
    printf("\n");
    for (int i = 0; i < count; i++)
        printf("%s: %s\n", c[i].name, *c[i].why ? c[i].why : c[i].figures.plan);
}

int cmd_plan_compare(int argc, char **argv)
{
    const char *names[MOST_MACHINES + 1];
    plan_request r = {.keep = 0};
    option options[PLAN_OPTIONS];
    int given, code, count = plan_options(&r, options);
    if (!plan_arguments("plan compare", "MODEL MACHINE MACHINE...",
                        "The best plan of a model on each of up to 8 machines, side by side.", options, count, argc,
                        argv, names, 2, MOST_MACHINES + 1, &given, &code))
        return code;
    column *c = tw_alloc_zero(MOST_MACHINES, sizeof *c);
    tw_library *l = cli_library(&r.with);
    tw_status status = !c || !l ? tw_error_code() : cli_set(l, &r.settings);
    r.model = names[0];
    for (int i = 1; i < given && status == TW_OK; i++)
        status = fill(&r, l, names[i], &c[i - 1]);
    if (status == TW_OK)
        print(c, given - 1, r.phase && strcmp(r.phase, "train") != 0);
    tw_free(c);
    tw_library_destroy(l);
    return status == TW_OK ? 0 : cli_fail("plan compare");
}
