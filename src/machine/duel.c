/* Published plans against the search: is anything missed, and what would it do otherwise? */
#include <math.h>

#include "machine/internal.h"
#include "machine/row.h"
#include "machine/validate.h"

static void differ(tw_text *out, const char *what, int ours, int theirs)
{
    if (ours != theirs)
        tw_text_add(out, "%s%s %d for %d", out->count ? ", " : "", what, ours, theirs);
}

static const char *differences(tw_arena *arena, const tw_strategy *ours, const tw_strategy *theirs)
{
    tw_text text = {0};
    differ(&text, "tensor", ours->tensor, theirs->tensor);
    differ(&text, "pipeline", ours->pipeline, theirs->pipeline);
    differ(&text, "chunks", ours->chunks, theirs->chunks);
    differ(&text, "data", ours->data, theirs->data);
    differ(&text, "context", ours->context, theirs->context);
    differ(&text, "expert", ours->expert, theirs->expert);
    differ(&text, "micro-batch", ours->micro_batch, theirs->micro_batch);
    differ(&text, "ZeRO", ours->zero, theirs->zero);
    differ(&text, "sequence parallelism", ours->sequence_parallel, theirs->sequence_parallel);
    if (ours->recompute != theirs->recompute)
        tw_text_add(&text, "%s%s recomputation for %s", text.count ? ", " : "", tw_recompute_name(ours->recompute),
                    tw_recompute_name(theirs->recompute));
    if (ours->schedule != theirs->schedule)
        tw_text_add(&text, "%s%s for %s", text.count ? ", " : "", tw_pipeline_schedule_name(ours->schedule),
                    tw_pipeline_schedule_name(theirs->schedule));
    const char *kept = text.failed ? NULL : tw_arena_text(arena, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return kept;
}

static const char *written(tw_arena *arena, const tw_strategy *s)
{
    char text[240];
    tw_strategy_text(s, text, sizeof text);
    return tw_arena_text(arena, "%s", text);
}

/* The published plan is among those that fit, whatever our sums say: it was run. */
static tw_status fight(const tw_row *r, tw_planner *p, const tw_model *model, tw_arena *arena, tw_search_result *found,
                       tw_plan_duel *d)
{
    tw_search_space theirs = tw_row_space(r, model), ours = tw_search_everything();
    theirs.ignore_memory = true;
    ours.devices = theirs.devices;
    ours.keep = 1;
    TW_TRY(tw_search(p, &theirs, found));
    tw_candidate published = found->best[0];
    tw_status status = tw_search(p, &ours, found);
    if (status == TW_ERR_MEMORY)
        return status;
    tw_candidate best = status == TW_OK && found->best[0].step.time <= published.step.time ? found->best[0] : published;
    d->id = r->id;
    d->published_time = published.step.time;
    d->found_time = best.step.time;
    d->missing = TW_MAX(0.0, published.step.memory.total - published.step.memory.capacity);
    d->published = written(arena, &published.strategy);
    d->found = written(arena, &best.strategy);
    d->differs = differences(arena, &best.strategy, &published.strategy);
    return d->published && d->found && d->differs ? TW_OK : TW_ERR_MEMORY;
}

static tw_status one_row(const tw_library *l, const tw_row *r, tw_arena *arena, tw_search_result *found,
                         tw_plan_duel *d)
{
    tw_machine machine;
    tw_model model;
    tw_planner p;
    TW_TRY(tw_row_machine(l, r, &machine));
    TW_TRY(tw_row_model(l, r, &model));
    tw_workload w = tw_row_workload(l, r, &model);
    machine.devices = r->n_dev;
    TW_TRY(tw_planner_create(&p, &machine, &w, NULL));
    tw_status status = fight(r, &p, &model, arena, found, d);
    tw_planner_destroy(&p);
    return status;
}

tw_status tw_plan_duels(const tw_library *l, const char *file, const char *text, size_t bytes, tw_arena *arena,
                        tw_plan_duel **duel, int *count)
{
    tw_table table;
    tw_row r;
    *count = 0;
    TW_TRY(tw_table_parse(arena, file, text, bytes, &table));
    *duel = tw_arena_zero(arena, (size_t)table.rows + 1, sizeof **duel);
    tw_search_result *found = tw_alloc_zero(1, sizeof *found);
    tw_status status = *duel && found ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < table.rows && status == TW_OK; i++) {
        if ((status = tw_row_read(&table, i, arena, &r)) != TW_OK)
            break;
        if (strcmp(r.kind, "train") != 0 || isnan(r.tp) || isnan(r.pp) || isnan(r.gbs) || isnan(r.n_dev))
            continue;
        tw_status one = one_row(l, &r, arena, found, &(*duel)[*count]);
        if (one == TW_OK)
            (*count)++;
        else if (one == TW_ERR_MEMORY)
            status = one;
    }
    tw_free(found);
    return status;
}
