/* A launch takes its roof over its efficiency. The roof is what its operations, its bytes and a launch would take at
 * the best rates that any sample showed; the efficiency is interpolated between samples of the class: weights fall with
 * the square of the distance in log2 of operations, bytes and programs. Outside the measured sizes the nearest ones
 * hold. */
#include "machine/calibrate.h"

#include <math.h>
#include <stdlib.h>

#include "machine/table.h"
#include "tilewright/control.h"
#include "tilewright/optim.h"
#include "tilewright/tensor.h"

/* ---- training steps ---- */

typedef struct trainer {
    tw_gpt model;
    tw_adamw optimiser;
    int64_t batch;
} trainer;

static tw_tensor *random_tokens(const trainer *t)
{
    const tw_gpt_config *c = &t->model.config;
    int64_t shape[] = {t->batch, c->context};
    tw_tensor *x = tw_empty(2, shape, TW_I64);
    int64_t *at = tw_tensor_status(x) == TW_OK ? (int64_t *)(uintptr_t)tw_data(x) : NULL;
    for (int64_t i = 0; at && i < t->batch * c->context; i++)
        at[i] = (i * 7919 + i / 5) % c->vocabulary;
    return x;
}

static tw_status train_once(void *user)
{
    trainer *t = user;
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *loss = NULL;
        TW_SCOPE {
            loss = tw_yield(tw_gpt_loss(&t->model, random_tokens(t), random_tokens(t), true));
            status = tw_backward(loss, NULL);
            if (status == TW_OK)
                status = tw_adamw_step(&t->optimiser);
            tw_parameters_zero_grad(&t->model.parameters);
        }
        if (status == TW_OK) {
            tw_item(loss);
            status = tw_tensor_status(loss);
        }
    }
    return status;
}

tw_status tw_captured_training(const tw_gpt_config *config, int64_t batch, int times, tw_captured *captured)
{
    trainer t = {.batch = batch};
    tw_status status = tw_manual_seed(1);
    *captured = (tw_captured){0};
    tw_capture_reset(); /* sizes of other models don't count towards the limit of recompilation */
    if (status == TW_OK)
        status = tw_gpt_init(&t.model, config);
    if (status == TW_OK)
        status = tw_adamw_init(&t.optimiser, &t.model.parameters, 1e-3);
    if (status == TW_OK)
        status = tw_capture_work(train_once, &t, times, captured);
    tw_adamw_free(&t.optimiser);
    tw_gpt_free(&t.model);
    return status;
}

bool tw_calibration_model(int index, tw_gpt_config *config, int64_t *batch)
{
    static const short sizes[][4] = {/* dim, heads, context, batch */
                                     {32, 2, 32, 4},   {48, 2, 96, 8},   {64, 4, 32, 16}, {64, 2, 128, 4},
                                     {128, 4, 32, 16}, {128, 8, 128, 4}, {256, 4, 64, 8}, {256, 8, 32, 16},
                                     {384, 6, 64, 4},  {512, 8, 64, 4}};
    if (index < 0 || index >= (int)TW_COUNT(sizes))
        return false;
    *config = (tw_gpt_config){
        .layers = 1, .dim = sizes[index][0], .heads = sizes[index][1], .context = sizes[index][2], .vocabulary = 256};
    *batch = sizes[index][3];
    return true;
}

/* ---- samples ---- */

static void find_rates(tw_calibration *c)
{
    c->peak = c->bandwidth = 1;
    c->launch = INFINITY;
    for (int i = 0; i < c->samples; i++) {
        const tw_captured_launch *s = &c->sample[i];
        c->peak = TW_MAX(c->peak, s->flops / s->seconds);
        c->bandwidth = TW_MAX(c->bandwidth, s->bytes / s->seconds);
        c->launch = TW_MIN(c->launch, s->seconds);
    }
}

static bool make_room(tw_calibration *c, int more)
{
    int room = TW_MAX(c->room, 64);
    while (room < c->samples + more)
        room *= 2;
    if (room == c->room)
        return true;
    tw_captured_launch *sample = tw_realloc(c->sample, (size_t)room * sizeof *sample);
    if (!sample)
        return false;
    c->sample = sample;
    c->room = room;
    return true;
}

tw_status tw_calibration_add(tw_calibration *c, const tw_captured *captured)
{
    double before = c->samples ? c->per_operation : 0, operation = captured->rest / TW_MAX(captured->operations, 1.0);
    if (!make_room(c, captured->launches))
        return TW_ERR_MEMORY;
    for (int i = 0; i < captured->launches; i++)
        if (captured->launch[i].seconds > 0)
            c->sample[c->samples++] = captured->launch[i];
    c->per_operation = before > 0 ? TW_MIN(before, operation) : operation; /* what disturbs only adds */
    find_rates(c);
    return TW_OK;
}

void tw_calibration_free(tw_calibration *c)
{
    tw_free(c->sample);
    *c = (tw_calibration){0};
}

/* ---- predictions ---- */

static double roof(const tw_calibration *c, const tw_captured_launch *l)
{
    return l->flops / c->peak + l->bytes / c->bandwidth + c->launch;
}

static double distance(const tw_captured_launch *a, const tw_captured_launch *b)
{
    double f = log2((a->flops + 1) / (b->flops + 1)), m = log2((a->bytes + 1) / (b->bytes + 1)),
           p = log2((a->programs + 1) / (b->programs + 1));
    return f * f + m * m + 0.25 * p * p;
}

/* Of all samples of the class, weighted; of all classes where it has none. */
static double slowness(const tw_calibration *c, const tw_captured_launch *l)
{
    double sum[2] = {0, 0}, weight[2] = {0, 0};
    for (int i = 0; i < c->samples; i++) {
        const tw_captured_launch *s = &c->sample[i];
        double d = distance(s, l) + 0.05, w = 1 / (d * d);
        int other = s->kind != l->kind;
        sum[other] += w * log(s->seconds / roof(c, s));
        weight[other] += w;
    }
    int from = weight[0] > 0 ? 0 : 1;
    return weight[from] > 0 ? exp(sum[from] / weight[from]) : 1;
}

double tw_calibrated_time(const tw_calibration *c, const tw_captured *captured)
{
    double all = c->per_operation * captured->operations;
    for (int i = 0; i < captured->launches; i++)
        all += roof(c, &captured->launch[i]) * slowness(c, &captured->launch[i]);
    return all;
}

/* ---- text ---- */

void tw_calibration_print(const tw_calibration *c, tw_text *out)
{
    tw_text_add(out, "# Launches of this machine by class and size; tw machine calibrate.\n");
    tw_text_add(out, "kind\tflops\tbytes\tprograms\tseconds\n");
    tw_text_add(out, "operation\t0\t0\t0\t%.6g\n", c->per_operation);
    for (int i = 0; i < c->samples; i++)
        tw_text_add(out, "%d\t%.9g\t%.9g\t%.9g\t%.6g\n", c->sample[i].kind, c->sample[i].flops, c->sample[i].bytes,
                    c->sample[i].programs, c->sample[i].seconds);
}

static tw_status number(const tw_table *t, int row, const char *column, double *value)
{
    const char *cell = tw_table_cell(t, row, tw_table_column(t, column));
    char *end;
    *value = strtod(cell, &end);
    if (end == cell || *end || !(*value >= 0) || !(*value < 1e18))
        return tw_error(TW_ERR_FORMAT, "%s:%d: %s is '%.40s'; expected a number from 0 to 1e18", t->file, t->line[row],
                        column, cell);
    return TW_OK;
}

static tw_status parse_row(const tw_table *t, int row, tw_calibration *c)
{
    tw_captured_launch l = {0};
    double kind;
    TW_TRY(number(t, row, "seconds", &l.seconds));
    if (!strcmp(tw_table_cell(t, row, tw_table_column(t, "kind")), "operation")) {
        c->per_operation = l.seconds;
        return TW_OK;
    }
    TW_TRY(number(t, row, "kind", &kind));
    TW_TRY(number(t, row, "flops", &l.flops));
    TW_TRY(number(t, row, "bytes", &l.bytes));
    TW_TRY(number(t, row, "programs", &l.programs));
    if (kind >= TW_KINDS || !(l.seconds > 0))
        return tw_error(TW_ERR_FORMAT, "%s:%d: kind %g, %g seconds; expected a kind under %d and more than 0 seconds",
                        t->file, t->line[row], kind, l.seconds, (int)TW_KINDS);
    l.kind = (int)kind;
    if (!make_room(c, 1))
        return TW_ERR_MEMORY;
    c->sample[c->samples++] = l;
    return TW_OK;
}

tw_status tw_calibration_parse(const char *file, const char *text, size_t bytes, tw_calibration *out)
{
    tw_arena *arena = tw_arena_create(0);
    tw_table table;
    *out = (tw_calibration){0};
    if (!arena)
        return TW_ERR_MEMORY;
    tw_status status = tw_table_parse(arena, file, text, bytes, &table);
    for (int i = 0; status == TW_OK && i < table.rows; i++)
        status = parse_row(&table, i, out);
    tw_arena_destroy(arena);
    if (status == TW_OK && !out->samples)
        status = tw_error(TW_ERR_FORMAT, "%s: no launches; expected what tw machine calibrate writes", file);
    if (status == TW_OK)
        find_rates(out);
    else
        tw_calibration_free(out);
    return status;
}
