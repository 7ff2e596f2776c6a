/* tw plan validate: published measurements against the model. */
#include <math.h>

#include "base/os.h"
#include "cli/machine.h"
#include "cli/measurements.h"

/* Rows of one group: equal texts in each member that is not NULL. */
typedef struct selection {
    const char *kind, *source, *hw, *split;
} selection;

static size_t source_length(const char *id) /* ids begin with their source: "sc21-t1-1.7B" */
{
    return strcspn(id, "-");
}

static bool same_source(const char *id, const char *other)
{
    size_t n = source_length(id);
    return n == source_length(other) && !strncmp(id, other, n);
}

static bool selected(const tw_outcome *o, const void *data)
{
    const selection *s = data;
    return (!s->kind || !strcmp(s->kind, o->kind)) && (!s->source || same_source(s->source, o->id)) &&
           (!s->hw || !strcmp(s->hw, o->hw)) && (!s->split || !strcmp(s->split, o->split));
}

static void print_stats(const char *name, const tw_error_stats *s)
{
    if (s->rows)
        printf("%-44s %5d  %6.1f  %6.1f  %6.1f  %7.1f  %s\n", name, s->rows, 100 * s->median, 100 * s->mean,
               100 * s->p90, 100 * s->worst, s->worst_id);
}

/* One line for each different value of a column, in order of appearance. */
static void print_groups(const tw_validation *v, const char *title, int by, bool splits)
{
    static const char *const split_names[] = {"fit", "test"};
    printf("\n%-44s %5s  %6s  %6s  %6s  %7s  %s\n", title, "rows", "median", "mean", "p90", "worst", "worst row");
    for (int i = 0; i < v->rows; i++) {
        const tw_outcome *o = &v->row[i];
        bool seen = false;
        for (int k = 0; k < i && !seen; k++) {
            const tw_outcome *e = &v->row[k];
            seen = (by == 2 || !strcmp(e->kind, o->kind)) &&
                   (by == 0 || (by == 1 ? same_source(e->id, o->id) : !strcmp(e->hw, o->hw)));
        }
        if (seen)
            continue;
        for (int s = 0; s < (splits ? 2 : 1); s++) {
            selection want = {.kind = by == 2 ? NULL : o->kind,
                              .source = by == 1 ? o->id : NULL,
                              .hw = by == 2 ? o->hw : NULL,
                              .split = splits ? split_names[s] : NULL};
            char name[128];
            snprintf(name, sizeof name, "%s%s%.*s%s%s%s", by == 2 ? "" : o->kind, by == 1 ? " " : "",
                     by == 1 ? (int)source_length(o->id) : 0, o->id, by == 2 ? o->hw : "", splits ? " " : "",
                     splits ? split_names[s] : "");
            tw_error_stats stats = tw_validation_stats(v, selected, &want);
            print_stats(name, &stats);
        }
    }
}

/* How much slower the plan that the model would choose was than the best one that was measured. */
static tw_status print_choices(const tw_validation *v)
{
    tw_plan_choice *choice;
    int count, right = 0, near = 0, worst = 0;
    double sum = 0, most = -1;
    TW_TRY(tw_validation_choices(v, &choice, &count));
    for (int i = 0; i < count; i++) {
        double loss = choice[i].chosen->measured / choice[i].best->measured - 1;
        sum += loss;
        right += choice[i].chosen == choice[i].best;
        near += loss <= 0.03;
        if (loss > most) {
            most = loss;
            worst = i;
        }
    }
    if (count)
        printf("\nplans chosen in %d jobs of which several were measured: the best one in %d, within 3 %% of it in %d, "
               "mean loss %.2f %%, worst %.1f %% (%s: %s instead of %s)\n",
               count, right, near, 100 * sum / count, 100 * most, choice[worst].job, choice[worst].chosen->id,
               choice[worst].best->id);
    return TW_OK;
}

/* Published plans and what the search would do instead. */
static tw_status print_duels(const tw_library *l, const char *file, const char *text, size_t bytes)
{
    tw_arena *arena = tw_arena_create(0);
    tw_plan_duel *d;
    int count, slower = 0, same = 0;
    tw_status status = arena ? tw_plan_duels(l, file, text, bytes, arena, &d, &count) : TW_ERR_MEMORY;
    for (int i = 0; status == TW_OK && i < count; i++) {
        slower += d[i].found_time > d[i].published_time * (1 + 1e-9);
        same += !*d[i].differs;
        printf("%s: %.4g s published (%s", d[i].id, d[i].published_time, d[i].published);
        if (d[i].missing > 0)
            printf("; by our sums it lacks %.1f GiB", d[i].missing / 1073741824);
        printf(")\n  %.4g s found, %+.1f %%: %s\n", d[i].found_time, 100 * (d[i].found_time / d[i].published_time - 1),
               *d[i].differs ? d[i].differs : "the same plan");
    }
    if (status == TW_OK)
        printf("%d published plans: the same one is found for %d, a faster one for %d, a slower one for %d\n", count,
               same, count - same - slower, slower);
    tw_arena_destroy(arena);
    return status;
}

static void print_unpredicted(const tw_validation *v)
{
    int count = 0;
    for (int i = 0; i < v->rows; i++)
        count += *v->row[i].why != '\0';
    if (count)
        printf("\n%d rows could not be predicted:\n", count);
    for (int i = 0; i < v->rows; i++)
        if (*v->row[i].why)
            printf("  %-52s %s\n", v->row[i].id, v->row[i].why);
}

static tw_status write_rows(const tw_validation *v, const char *path)
{
    tw_text text = {0};
    tw_os_writer *w;
    tw_text_add(&text, "id\tkind\tsplit\thw\tmetric\tunit\tmeasured\tpredicted\terror\tmetric2\tmeasured2\tpredicted2\t"
                       "seconds\tplan\twhy\n");
    for (int i = 0; i < v->rows; i++) {
        const tw_outcome *o = &v->row[i];
        tw_text_add(&text, "%s\t%s\t%s\t%s\t%s\t%s\t%.9g\t%.9g\t%.6g\t%s\t%.9g\t%.9g\t%.6g\t%s\t%s\n", o->id, o->kind,
                    o->split, o->hw, o->metric, o->unit, o->measured, o->predicted, o->error, o->metric2, o->measured2,
                    o->predicted2, o->seconds, o->plan, o->why);
    }
    tw_status status = text.failed ? TW_ERR_MEMORY : tw_os_writer_open(path, &w);
    if (status == TW_OK) {
        status = tw_os_writer_write(w, text.data, text.count);
        if (status == TW_OK)
            status = tw_os_writer_commit(w, false);
        else
            tw_os_writer_cancel(w);
    }
    tw_text_free(&text);
    return status;
}

static tw_status read_input(const char *file, void **text, size_t *bytes)
{
    if (file)
        return tw_os_read_file(file, (size_t)256 << 20, text, bytes);
    const tw_embedded *e = &tw_embedded_measurements[0];
    *bytes = e->bytes;
    *text = tw_alloc(e->bytes + 1);
    if (!*text)
        return TW_ERR_MEMORY;
    memcpy(*text, e->text, e->bytes + 1);
    return TW_OK;
}

int cmd_plan_validate(int argc, char **argv)
{
    const char *file = NULL, *tsv = NULL, *constants = NULL;
    text_list with = {.count = 0}, settings = {.count = 0};
    bool quiet = false, plans = false;
    int given, code;
    const option options[] = {
        {"--tsv", "FILE", "write every row with its prediction", OPTION_TEXT, &tsv, 0, 0},
        {"--constants", "FIT", "one set of constants for every chip, instead of each its own", OPTION_TEXT, &constants,
         0, 0},
        {"--set", "PATH=VALUE", "change a value of a description; may be given many times", OPTION_LIST, &settings, 0,
         0},
        {"--with", "FILE", "descriptions beside those that come with tw", OPTION_LIST, &with, 0, 0},
        {"--plans", NULL, "compare published training plans with those that the search finds", OPTION_FLAG, &plans, 0,
         0},
        {"--quiet", NULL, "no tables", OPTION_FLAG, &quiet, 0, 0},
    };
    if (!plan_arguments("plan validate", "FILE",
                        "Predicts every measurement of FILE (the columns of data/machine/validation.tsv, which it "
                        "takes when none is given)\n"
                        "and prints how far off: median, mean, 90th percentile and worst error in percent, by "
                        "kind, source, chip and split.",
                        options, TW_COUNT(options), argc, argv, &file, 0, 1, &given, &code))
        return code;
    void *text = NULL;
    size_t bytes = 0;
    tw_validation v = {0};
    tw_library *l = cli_library(&with);
    tw_status status = l ? cli_set(l, &settings) : tw_error_code();
    if (status == TW_OK)
        status = read_input(file, &text, &bytes);
    if (status == TW_OK && plans) {
        status = print_duels(l, file ? file : "validation.tsv", text, bytes);
        quiet = true;
    }
    if (status == TW_OK && (!plans || tsv))
        status = tw_validate(l, file ? file : "validation.tsv", text, bytes, constants, &v);
    if (status == TW_OK && !quiet) {
        printf("errors in percent of the measured value\n");
        print_groups(&v, "by kind and split", 0, true);
        print_groups(&v, "by kind, source and split", 1, true);
        print_groups(&v, "by chip and split", 2, true);
        status = print_choices(&v);
        print_unpredicted(&v);
    }
    if (status == TW_OK && tsv)
        status = write_rows(&v, tsv);
    if (v.arena)
        tw_validation_free(&v);
    tw_free(text);
    tw_library_destroy(l);
    return status == TW_OK ? 0 : cli_fail("plan validate");
}
