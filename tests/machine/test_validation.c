/* Published measurements against the model: thresholds that hold, so that no change makes it worse unseen. The rows are
 * those of data/machine; what is asked of the model, and where it misses, stands in docs/machine-model.md. */
#include "support.h"

#include "base/os.h"
#include "machine/facts.h"
#include "machine/validate.h"

static int checks;

static void read_data(const char *name, void **text, size_t *bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", DATA_FOLDER, name);
    if (tw_os_read_file(path, (size_t)64 << 20, text, bytes) != TW_OK)
        fail_msg("%s", tw_error_message());
}

typedef struct selection {
    const char *kind, *split, *source, *hw; /* NULL: any; source: what ids begin with */
} selection;

static bool selected(const tw_outcome *o, const void *data)
{
    const selection *s = data;
    return (!s->kind || !strcmp(o->kind, s->kind)) && (!s->split || !strcmp(o->split, s->split)) &&
           (!s->source || !strncmp(o->id, s->source, strlen(s->source))) && (!s->hw || !strcmp(o->hw, s->hw));
}

/* Percent; 0: not asked. */
typedef struct bound {
    selection of;
    int rows; /* at least so many */
    double median, mean, worst;
} bound;

static void hold(const tw_validation *v, const bound *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tw_error_stats s = tw_validation_stats(v, selected, &b[i].of);
        const struct {
            const char *name;
            double got, most;
        } figure[] = {{"median", s.median, b[i].median}, {"mean", s.mean, b[i].mean}, {"worst", s.worst, b[i].worst}};
        if (s.rows < b[i].rows)
            fail_msg("%s %s: %d rows, expected %d", b[i].of.kind, b[i].of.source, s.rows, b[i].rows);
        for (size_t k = 0; k < TW_COUNT(figure); k++) {
            if (figure[k].most > 0 && !(100 * figure[k].got <= figure[k].most))
                fail_msg("%s %s %s: %s %.2f %%, expected at most %.2f (worst: %s)", b[i].of.kind ? b[i].of.kind : "",
                         b[i].of.source ? b[i].of.source : "", b[i].of.hw ? b[i].of.hw : "", figure[k].name,
                         100 * figure[k].got, figure[k].most, s.worst_id);
            checks += figure[k].most > 0;
        }
    }
}

static tw_validation validate(tw_library *l, const char *name, const char *constants)
{
    void *text;
    size_t bytes;
    tw_validation v;
    read_data(name, &text, &bytes);
    if (tw_validate(l, name, text, bytes, constants, &v) != TW_OK)
        fail_msg("%s", tw_error_message());
    tw_free(text);
    return v;
}

static void published_measurements(void **unused)
{
    (void)unused;
    static const bound bounds[] = {
        {{"train", "test", "sc21", NULL}, 22, 0, 5, 12},
        {{"train", "test", "kort22", NULL}, 5, 0, 4, 0},
        {{"memory", "test", "kort22-mem-", NULL}, 12, 0, 0, 0.1},
        {{"memory", "test", "kort22-actpct-", NULL}, 16, 0, 0, 1.2}, /* read off a chart */
        {{"train", "test", "mpt", NULL}, 90, 8, 0, 0},
        {{"train", "test", "vtrain", NULL}, 40, 0, 9, 0},
        {{"train", "test", "mbridge", NULL}, 50, 13, 0, 0},
        {{"train", "test", "nemo2407", NULL}, 7, 12, 0, 0},
        {{"infer", "test", NULL, NULL}, 200, 8, 0, 0},
        {{"gemm", NULL, NULL, NULL}, 80, 0, 8, 0},
        {{"op", NULL, NULL, NULL}, 140, 0, 8, 0},
        {{"op", NULL, "lc-layernorm", NULL}, 40, 0, 8, 0},
        {{"op", NULL, "lc-softmax", NULL}, 40, 0, 8.1, 0},
        {{"mem", NULL, NULL, NULL}, 15, 0, 8, 0},
    };
    tw_library *l = tw_library_create();
    tw_validation v = validate(l, "validation.tsv", NULL);
    assert_true(v.rows > 1300);
    hold(&v, bounds, TW_COUNT(bounds));
    tw_validation_free(&v);
    tw_library_destroy(l);
}

static void plans_of_a_single_node(void **unused)
{
    (void)unused;
    static const bound bounds[] = {{{"train", "test", NULL, NULL}, 1440, 0, 9, 0}};
    tw_library *l = tw_library_create();
    tw_validation v = validate(l, "vtrain-single-node.tsv", NULL);
    tw_plan_choice *choice;
    int count, near = 0;
    hold(&v, bounds, TW_COUNT(bounds));
    assert_int_equal(tw_validation_choices(&v, &choice, &count), TW_OK);
    for (int i = 0; i < count; i++)
        near += choice[i].chosen->measured <= 1.03 * choice[i].best->measured;
    print_message("the plan chosen is within 3 %% of the best one in %d of %d jobs\n", near, count);
    assert_true(near >= 105); /* all are asked */
    checks += 2;
    tw_validation_free(&v);
    tw_library_destroy(l);
}

/* H100 from its data sheet, with the constants of the generation before. */
static void a_chip_from_its_data_sheet(void **unused)
{
    (void)unused;
    static const bound bounds[] = {{{NULL, NULL, NULL, "H100-SXM-80GB"}, 200, 17, 0, 0},
                                   {{NULL, NULL, NULL, "B200-SXM"}, 50, 17, 0, 0}};
    tw_library *l = tw_library_create();
    tw_validation v = validate(l, "validation.tsv", "ampere");
    hold(&v, bounds, TW_COUNT(bounds));
    tw_validation_free(&v);
    tw_library_destroy(l);
}

static void published_plans_are_not_better_than_those_found(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    tw_arena *arena = tw_arena_create(0);
    tw_plan_duel *d;
    void *text;
    size_t bytes;
    int count;
    read_data("validation.tsv", &text, &bytes);
    if (tw_plan_duels(l, "validation.tsv", text, bytes, arena, &d, &count) != TW_OK)
        fail_msg("%s", tw_error_message());
    for (int i = 0; i < count; i++) {
        if (d[i].found_time > d[i].published_time * (1 + 1e-9))
            fail_msg("%s: %g s found, %g s published", d[i].id, d[i].found_time, d[i].published_time);
        assert_true(*d[i].differs || fabs(d[i].found_time / d[i].published_time - 1) < 1e-9);
        checks++;
    }
    assert_true(count > 150);
    tw_free(text);
    tw_arena_destroy(arena);
    tw_library_destroy(l);
}

static void every_fact_has_its_verdict(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    void *seed, *rows;
    size_t seed_bytes, row_bytes;
    tw_facts f;
    int facts = 0;
    read_data("seed.tsv", &seed, &seed_bytes);
    read_data("validation.tsv", &rows, &row_bytes);
    if (tw_facts_compute(l, "seed.tsv", seed, seed_bytes, rows, row_bytes, &f) != TW_OK)
        fail_msg("%s", tw_error_message());
    for (int i = 0; i < f.checks; i++) {
        const tw_check *c = &f.check[i];
        double again;
        if (c->verdict != c->noted)
            fail_msg("%s (%s): %c, noted as %c: %g", c->fact, c->says, c->verdict, c->noted, c->ours);
        assert_int_equal(tw_fact_evaluate(l, c->expression, rows, row_bytes, &again), TW_OK);
        assert_true(again == c->ours); /* as tw machine eval prints it */
        facts += i == 0 || strcmp(f.check[i - 1].fact, c->fact) != 0;
        checks += 2;
    }
    assert_int_equal(facts, 69);
    tw_facts_free(&f);
    tw_free(seed);
    tw_free(rows);
    tw_library_destroy(l);
}

static void wrong_tables_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *said;
    } wrong[] = {{"", "no header"},
                 {"id\tkind\nx\tgemm\n", "no column"},
                 {"id\tkind\thw\tmetric\tvalue\nx\tgemm\tH100-SXM-80GB\ttflops\tmany\n", "t:2: value is 'many'"},
                 {"id\tkind\thw\tmetric\tvalue\nx\tgemm\tH100-SXM-80GB\ttflops\t-1\n", "t:2: value is -1"},
                 {"id\tkind\thw\tmetric\tvalue\nx\tgemm\tH100\ttflops\t1\tmore\tcells\n", "t:2: more cells"}};
    tw_library *l = tw_library_create();
    for (size_t i = 0; i < TW_COUNT(wrong); i++) {
        tw_validation v;
        tw_status status = tw_validate(l, "t", wrong[i].text, strlen(wrong[i].text), NULL, &v);
        if (status == TW_OK || !strstr(tw_error_message(), wrong[i].said))
            fail_msg("'%s' is not in: %s", wrong[i].said, status == TW_OK ? "(accepted)" : tw_error_message());
        checks++;
    }
    tw_library_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_measurements),     cmocka_unit_test(plans_of_a_single_node),
        cmocka_unit_test(a_chip_from_its_data_sheet), cmocka_unit_test(published_plans_are_not_better_than_those_found),
        cmocka_unit_test(every_fact_has_its_verdict), cmocka_unit_test(wrong_tables_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
