/* What is written about a plan: a page that needs nothing else, JSON and a trace that other programs read, shares that
 * add up. */
#include "support.h"

#include <jansson.h>

#include "machine/report.h"

typedef struct planned {
    tw_library *library;
    tw_planner planner;
    tw_search_space space;
    tw_search_result *result;
    tw_upgrade upgrade[TW_UPGRADE_MOST];
    tw_timeline timeline;
    tw_report report;
} planned;

static void plan(planned *x, const char *model, const char *machine)
{
    x->library = tw_library_create();
    x->result = malloc(sizeof *x->result);
    tw_workload w = tw_workload_of(need(x->library, TW_KIND_MODEL, model));
    int upgrades = 0;
    w.batch = 256;
    assert_int_equal(tw_planner_create(&x->planner, need(x->library, TW_KIND_MACHINE, machine), &w, NULL), TW_OK);
    x->space = tw_search_everything();
    tw_search_prices(&x->space, x->library, x->planner.machine);
    if (tw_search(&x->planner, &x->space, x->result) != TW_OK)
        fail_msg("%s", tw_error_message());
    assert_int_equal(tw_upgrades(&x->planner, &x->space, &x->result->best[0], NULL, x->upgrade, &upgrades), TW_OK);
    assert_int_equal(tw_step_timeline(&x->planner, &x->result->best[0].strategy, 16, &x->timeline), TW_OK);
    x->report = (tw_report){.library = x->library,
                            .planner = &x->planner,
                            .space = &x->space,
                            .result = x->result,
                            .upgrade = x->upgrade,
                            .upgrades = upgrades,
                            .timeline = &x->timeline,
                            .tokens = 1e12};
}

static void drop(planned *x)
{
    tw_timeline_free(&x->timeline);
    tw_planner_destroy(&x->planner);
    tw_library_destroy(x->library);
    free(x->result);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static void a_page_needs_nothing_else(void **unused)
{
    (void)unused;
    planned x;
    tw_text text = {0};
    plan(&x, "llama3-70b", "h100-4096");
    tw_report_page(&x.report, &text);
    const char *page = tw_text_string(&text);
    assert_int_equal(count(page, "<svg"), count(page, "</svg>"));
    assert_true(count(page, "<svg") >= 4); /* timeline, memory, roofline, cost */
    assert_int_equal(count(page, "<table"), count(page, "</table>"));
    assert_int_equal(count(page, "http"), count(page, "http://www.w3.org/2000/svg")); /* a name, nothing to fetch */
    assert_int_equal(count(page, "<script"), 0);
    assert_int_equal(count(page, "nan"), 0);
    assert_int_equal(count(page, "inf"), 0);
    assert_non_null(strstr(page, "</html>"));
    tw_text_free(&text);
    drop(&x);
}

static void other_programs_can_read_it(void **unused)
{
    (void)unused;
    planned x;
    tw_text text = {0}, trace = {0};
    plan(&x, "GPT-3", "h100-4096");
    assert_int_equal(tw_report_json(&x.report, &text), TW_OK);
    assert_int_equal(tw_report_trace(&x.timeline, &trace), TW_OK);
    json_t *j = json_loads(tw_text_string(&text), 0, NULL), *t = json_loads(tw_text_string(&trace), 0, NULL);
    assert_non_null(j);
    assert_non_null(t);
    json_t *plans = json_object_get(j, "plans"), *events = json_object_get(t, "traceEvents"), *event;
    size_t i;
    assert_int_equal(json_array_size(plans), x.result->count);
    assert_true(json_array_size(events) >= x.timeline.spans);
    double last = 0;
    json_array_foreach(events, i, event)
    {
        double start = json_number_value(json_object_get(event, "ts")),
               length = json_number_value(json_object_get(event, "dur"));
        assert_true(start >= 0 && length >= 0);
        last = fmax(last, start + length);
    }
    close_to(last, x.timeline.end * 1e6, 1e-6, "the trace ends with the step, in microseconds");
    json_decref(j);
    json_decref(t);
    tw_text_free(&text);
    tw_text_free(&trace);
    drop(&x);
}

static void shares_add_up(void **unused)
{
    (void)unused;
    planned x;
    plan(&x, "Qwen3-30B-A3B", "dgx-h200");
    for (int i = 0; i < x.result->count; i++) {
        tw_share share[TW_SHARES];
        tw_memory_share memory[TW_MEMORY_SHARES];
        double time = 0, bytes = 0;
        for (int k = tw_step_shares(&x.result->best[i].step, share); k--;)
            time += share[k].seconds;
        for (int k = tw_memory_shares(&x.result->best[i].step.memory, memory); k--;)
            bytes += memory[k].bytes;
        close_to(time, x.result->best[i].step.time, 1e-6, "time");
        close_to(bytes, x.result->best[i].step.memory.total, 1e-6, "memory");
    }
    drop(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_needs_nothing_else),
        cmocka_unit_test(other_programs_can_read_it),
        cmocka_unit_test(shares_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
