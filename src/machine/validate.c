/* Every row predicted, and how far off by group. A row that cannot be predicted says why and the rest goes on. */
#include "machine/validate.h"

#include <math.h>
#include <stdlib.h>

#include "machine/predict.h"

static tw_status outcome(const tw_library *l, const tw_table *t, int i, const tw_fit *constants, tw_arena *arena,
                         tw_outcome *o)
{
    tw_row r;
    tw_prediction p;
    TW_TRY(tw_row_read(t, i, arena, &r));
    *o = (tw_outcome){.id = r.id,
                      .kind = r.kind,
                      .split = r.split,
                      .hw = r.hw,
                      .source = r.source,
                      .metric = r.metric,
                      .unit = r.unit,
                      .model = r.model,
                      .metric2 = r.metric2,
                      .measured = r.value,
                      .measured2 = r.value2,
                      .predicted = NAN,
                      .predicted2 = NAN,
                      .error = NAN,
                      .why = "",
                      .job = "",
                      .plan = "",
                      .seconds = NAN};
    if (!strcmp(r.kind, "train") && !strcmp(r.metric, "iter_time") && !isnan(r.tp) && !isnan(r.gbs)) {
        o->job = tw_arena_text(arena, "%s of %g x %g at %g tokens, batch %g, on %g x %s", r.model, r.layers, r.hidden,
                               r.seq, r.gbs, r.n_dev, r.hw);
        if (!o->job)
            return TW_ERR_MEMORY;
    }
    tw_status status = tw_predict(l, &r, constants, &p);
    if (status == TW_ERR_MEMORY)
        return status;
    if (status != TW_OK) {
        o->why = tw_arena_text(arena, "%s", tw_error_message());
        return o->why ? TW_OK : TW_ERR_MEMORY;
    }
    o->predicted = p.value;
    o->predicted2 = p.value2;
    o->seconds = p.seconds;
    o->plan = tw_arena_text(arena, "%s", p.plan);
    if (r.value > 0 && isfinite(p.value))
        o->error = p.value / r.value - 1;
    return o->plan ? TW_OK : TW_ERR_MEMORY;
}

tw_status tw_validate(const tw_library *l, const char *file, const char *text, size_t bytes, const char *constants,
                      tw_validation *out)
{
    tw_table table;
    const tw_description *fit = NULL;
    *out = (tw_validation){.arena = tw_arena_create(1 << 20)};
    if (!out->arena)
        return TW_ERR_MEMORY;
    tw_status status = constants ? tw_library_need(l, TW_KIND_FIT, constants, &fit) : TW_OK;
    if (status == TW_OK)
        status = tw_table_parse(out->arena, file, text, bytes, &table);
    if (status == TW_OK) {
        out->row = tw_arena_zero(out->arena, (size_t)table.rows + 1, sizeof *out->row);
        status = out->row ? TW_OK : TW_ERR_MEMORY;
    }
    for (int i = 0; status == TW_OK && i < table.rows; i++)
        if ((status = outcome(l, &table, i, (const tw_fit *)(const void *)fit, out->arena, &out->row[i])) == TW_OK)
            out->rows++;
    if (status != TW_OK)
        tw_validation_free(out);
    return status;
}

void tw_validation_free(tw_validation *v)
{
    tw_arena_destroy(v->arena);
    *v = (tw_validation){0};
}

/* Of the rows from `first` on that are plans for the same job. */
static tw_plan_choice choice_among(const tw_validation *v, int first)
{
    tw_plan_choice c = {.job = v->row[first].job};
    for (int i = first; i < v->rows; i++) {
        const tw_outcome *o = &v->row[i];
        if (strcmp(o->job, c.job) != 0 || isnan(o->predicted))
            continue;
        if (!c.plans++ || o->predicted < c.chosen->predicted)
            c.chosen = o;
        if (c.plans == 1 || o->measured < c.best->measured)
            c.best = o;
    }
    return c;
}

tw_status tw_validation_choices(const tw_validation *v, tw_plan_choice **choices, int *count)
{
    *count = 0;
    *choices = tw_arena_zero(v->arena, (size_t)v->rows + 1, sizeof **choices);
    if (!*choices)
        return TW_ERR_MEMORY;
    for (int i = 0; i < v->rows; i++) {
        bool seen = !*v->row[i].job;
        for (int k = 0; k < *count && !seen; k++)
            seen = !strcmp((*choices)[k].job, v->row[i].job);
        if (seen)
            continue;
        tw_plan_choice c = choice_among(v, i);
        if (c.plans > 1)
            (*choices)[(*count)++] = c;
    }
    return TW_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

tw_error_stats tw_validation_stats(const tw_validation *v, bool (*select)(const tw_outcome *row, const void *data),
                                   const void *data)
{
    tw_error_stats s = {.median = NAN, .mean = NAN, .p90 = NAN, .worst = NAN, .worst_id = ""};
    double *error = tw_alloc((size_t)(v->rows + 1) * sizeof *error), sum = 0;
    if (!error)
        return s;
    for (int i = 0; i < v->rows; i++) {
        const tw_outcome *o = &v->row[i];
        if (isnan(o->error) || !select(o, data))
            continue;
        double size = fabs(o->error);
        if (!s.rows || size > s.worst) {
            s.worst = size;
            s.worst_id = o->id;
        }
        error[s.rows++] = size;
        sum += size;
    }
    if (s.rows) {
        qsort(error, (size_t)s.rows, sizeof *error, by_size);
        s.mean = sum / s.rows;
        s.median = s.rows % 2 ? error[s.rows / 2] : (error[s.rows / 2 - 1] + error[s.rows / 2]) / 2;
        s.p90 = error[(int)ceil(0.9 * s.rows) - 1];
    }
    tw_free(error);
    return s;
}
