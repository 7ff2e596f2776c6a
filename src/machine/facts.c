/* Expressions to values, values to verdicts. */
#include "machine/facts.h"

#include <math.h>
#include <stdlib.h>

#include "machine/internal.h"
#include "machine/row.h"

/* ---- paths of their own ---- */

typedef struct context {
    const tw_library *library;
    const tw_table *measurements; /* NULL: none */
} context;

static bool measured(const tw_table *t, const char *id, const char *column, double *value)
{
    int ids = t ? tw_table_column(t, "id") : -1, at = t ? tw_table_column(t, column) : -1;
    for (int i = 0; ids >= 0 && at >= 0 && i < t->rows; i++)
        if (!strcmp(tw_table_cell(t, i, ids), id)) {
            *value = strtod(tw_table_cell(t, i, at), NULL);
            return true;
        }
    return false;
}

/* share.MODEL.CHIP.pass_time, .pass_flops: of what passes over memory take of a layer's training, on one chip, as an
 * eager framework runs it. */
static bool share(const tw_library *l, const char *path, double *value)
{
    char model_name[64], chip_name[64];
    const char *first = strchr(path, '.'), *last = strrchr(path, '.');
    if (!first || first == last || (size_t)(first - path) >= sizeof model_name ||
        (size_t)(last - first) >= sizeof chip_name)
        return false;
    snprintf(model_name, sizeof model_name, "%.*s", (int)(first - path), path);
    snprintf(chip_name, sizeof chip_name, "%.*s", (int)(last - first - 1), first + 1);
    tw_row r = {.id = "share", .hw = chip_name, .model = model_name, .n_dev = 1, .node_size = 1, .nic_gbps = NAN};
    tw_machine machine;
    tw_planner p;
    const tw_description *model = tw_library_find(l, TW_KIND_MODEL, model_name);
    const tw_description *software = tw_library_find(l, TW_KIND_SOFTWARE, "framework");
    if (!model || !software || tw_row_machine(l, &r, &machine) != TW_OK)
        return false;
    tw_workload w = tw_workload_of((const tw_model *)(const void *)model);
    w.software = (const tw_software *)(const void *)software;
    w.attention = TW_ATTENTION_EAGER;
    w.type = TW_PEAK_FP16;
    if (tw_planner_create(&p, &machine, &w, NULL) != TW_OK)
        return false;
    tw_strategy s = {.tensor = 1, .pipeline = 1, .chunks = 1, .data = 1, .context = 1, .expert = 1, .micro_batch = 8};
    const tw_layer_cost *c = tw_planner_layer(&p, &s);
    double time = c->gemm + c->attention + c->pass;
    /* An operation for each element that a pass reads or writes. */
    double elements = c->pass * p.device.stream / 2, flops = c->flops;
    bool known = true;
    if (!strcmp(last, ".pass_time"))
        *value = c->pass / time;
    else if (!strcmp(last, ".pass_flops"))
        *value = elements / (elements + flops);
    else
        known = false;
    tw_planner_destroy(&p);
    return known;
}

static bool look_up(const void *data, const char *path, double *value)
{
    const context *c = data;
    if (!strncmp(path, "row.", 4))
        return measured(c->measurements, path + 4, "value", value);
    if (!strncmp(path, "row2.", 5))
        return measured(c->measurements, path + 5, "value2", value);
    return !strncmp(path, "share.", 6) && share(c->library, path + 6, value);
}

/* ---- verdicts ---- */

static const double EQUAL = 0.02, ROUNDED = 0.04;

static char by_distance(double off, double about)
{
    double size = fabs(off);
    return size <= EQUAL ? '=' : size <= TW_MAX(about, ROUNDED) ? '~' : '!';
}

/* "1.5 to 2": how far outside, relative to the nearer end; 0 inside. */
static double outside(const char *range, double value)
{
    char *end;
    double low = strtod(range, &end);
    const char *to = strstr(end, "to");
    double high = to ? strtod(to + 2, NULL) : low;
    return value < low ? value / low - 1 : value > high ? value / high - 1 : 0;
}

static void judge(tw_check *c, double about)
{
    double given = *c->given ? strtod(c->given, NULL) : NAN, off = c->ours / given - 1;
    c->off = NAN;
    c->verdict = '-';
    if (!strcmp(c->kind, "number")) {
        c->off = off;
        c->verdict = by_distance(off, about);
    } else if (!strcmp(c->kind, "range")) {
        c->off = outside(c->given, c->ours);
        c->verdict = c->off == 0 ? '=' : fabs(c->off) <= about ? '~' : '!';
    } else if (!strcmp(c->kind, "most") || !strcmp(c->kind, "least")) {
        c->off = off;
        c->verdict = (c->kind[0] == 'm' ? c->ours <= given : c->ours >= given) ? '=' : '!';
    } else if (!strcmp(c->kind, "claim")) {
        c->verdict = c->ours != 0 ? '=' : '!';
    } else if (!strcmp(c->kind, "loose")) {
        c->verdict = c->ours >= 2 ? '=' : c->ours >= 1 ? '~' : '!';
    } else if (!strcmp(c->kind, "exact")) {
        c->verdict = c->ours == given ? '=' : '!';
        c->off = off;
    } else if (!strcmp(c->kind, "forecast")) {
        c->verdict = 'F';
    } else if (!strcmp(c->kind, "data")) {
        c->verdict = c->ours != 0 ? '-' : '!';
    }
}

char tw_fact_verdict(const tw_facts *f, const char *fact)
{
    static const char order[] = "-F=~!";
    size_t worst = 0;
    for (int i = 0; i < f->checks; i++) {
        const char *at = strchr(order, f->check[i].verdict);
        if (!strcmp(f->check[i].fact, fact) && at && (size_t)(at - order) > worst)
            worst = (size_t)(at - order);
    }
    return order[worst];
}

/* ---- the table ---- */

static tw_status read_check(const context *c, const tw_table *t, int row, tw_check *out)
{
    static const char *const kinds[] = {"number", "range", "most",  "least",    "claim",
                                        "loose",  "exact", "value", "forecast", "data"};
    const char *columns[] = {"fact", "says", "kind", "given", "unit", "ours", "note", "verdict", "about"},
               *cell[TW_COUNT(columns)];
    for (size_t i = 0; i < TW_COUNT(columns); i++) {
        if (tw_table_column(t, columns[i]) < 0)
            return tw_error(TW_ERR_FORMAT, "%s: no column '%s'", t->file, columns[i]);
        cell[i] = tw_table_cell(t, row, tw_table_column(t, columns[i]));
    }
    *out = (tw_check){.fact = cell[0],
                      .says = cell[1],
                      .kind = cell[2],
                      .given = cell[3],
                      .unit = cell[4],
                      .expression = cell[5],
                      .note = cell[6],
                      .noted = cell[7][0]};
    bool known = false;
    for (size_t i = 0; i < TW_COUNT(kinds); i++)
        known |= !strcmp(out->kind, kinds[i]);
    if (!known)
        return tw_error(TW_ERR_FORMAT,
                        "%s:%d: kind '%.40s'; expected number, range, most, least, claim, loose, exact, value, "
                        "forecast or data",
                        t->file, t->line[row], out->kind);
    if (tw_evaluate(c->library, out->expression, look_up, c, &out->ours) != TW_OK) {
        char why[600];
        snprintf(why, sizeof why, "%s", tw_error_message());
        return tw_error(TW_ERR_FORMAT, "%s:%d: %s: %s", t->file, t->line[row], out->fact, why);
    }
    judge(out, *cell[8] ? strtod(cell[8], NULL) : 0);
    return TW_OK;
}

tw_status tw_facts_compute(const tw_library *l, const char *file, const char *text, size_t bytes,
                           const char *measurements, size_t measurement_bytes, tw_facts *out)
{
    tw_table table, rows;
    context c = {.library = l};
    *out = (tw_facts){.arena = tw_arena_create(0)};
    if (!out->arena)
        return TW_ERR_MEMORY;
    tw_status status = tw_table_parse(out->arena, file, text, bytes, &table);
    if (status == TW_OK && measurements) {
        status = tw_table_parse(out->arena, "measurements", measurements, measurement_bytes, &rows);
        c.measurements = &rows;
    }
    if (status == TW_OK && !(out->check = tw_arena_zero(out->arena, (size_t)table.rows + 1, sizeof *out->check)))
        status = TW_ERR_MEMORY;
    for (int i = 0; i < table.rows && status == TW_OK; i++)
        if ((status = read_check(&c, &table, i, &out->check[i])) == TW_OK)
            out->checks++;
    if (status != TW_OK)
        tw_facts_free(out);
    return status;
}

tw_status tw_fact_evaluate(const tw_library *l, const char *expression, const char *measurements,
                           size_t measurement_bytes, double *value)
{
    tw_arena *arena = tw_arena_create(0);
    tw_table rows;
    context c = {.library = l, .measurements = &rows};
    tw_status status =
        arena ? tw_table_parse(arena, "measurements", measurements, measurement_bytes, &rows) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_evaluate(l, expression, look_up, &c, value);
    tw_arena_destroy(arena);
    return status;
}

void tw_facts_free(tw_facts *f)
{
    tw_arena_destroy(f->arena);
    *f = (tw_facts){0};
}
