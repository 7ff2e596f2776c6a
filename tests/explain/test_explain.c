/* Explanations: figures worked by hand, limits, times that add up, memory that is what was stated, reasons; and each
 * form read back by something that is not ours where there is one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "explain/explain.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static int checks;

#define SHAPE(...)                                                                                                     \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* ---- explaining ---- */

typedef tw_tensor *program(tw_tensor *const *in);

/* One look at what the program makes of `in`. */
static tw_explanation *explain(program *p, tw_tensor *const *in)
{
    tw_explanation *e = NULL;
    TW_SCOPE {
        tw_tensor *y = NULL;
        tw_sync();
        assert_int_equal(tw_explain_begin(), TW_OK);
        TW_SCOPE {
            y = tw_yield(p(in));
        }
        if (!tw_data(y))
            fail_msg("%s", tw_error_message());
        e = tw_explain_end();
    }
    if (!e)
        fail_msg("%s", tw_error_message());
    return e;
}

static const explained_launch *only_launch(const tw_explanation *e)
{
    assert_int_equal(e->plans.count, 1);
    assert_int_equal(e->plans.data[0]->launches, 1);
    return &e->plans.data[0]->launch[0];
}

static void expect_work(program *p, tw_tensor *const *in, int64_t flops, int64_t read, int64_t written)
{
    tw_explanation *e = explain(p, in);
    const explained_launch *l = only_launch(e);
    assert_int_equal(l->flops, flops);
    assert_int_equal(l->bytes_read, read);
    assert_int_equal(l->bytes_written, written);
    checks += 3;
    tw_explanation_free(e);
}

/* ---- figures by hand ---- */

static tw_tensor *linear_and_relu(tw_tensor *const *in)
{
    return tw_relu(tw_linear(in[0], in[1], in[2]));
}

static tw_tensor *softmax(tw_tensor *const *in)
{
    return tw_softmax(in[0], -1);
}

static tw_tensor *third(tw_tensor *const *in)
{
    return tw_neg(tw_narrow_to(in[0], 1, SHAPE(10), SHAPE(10)));
}

static tw_tensor *rows_named(tw_tensor *const *in)
{
    return tw_neg(tw_embedding(in[0], in[1]));
}

static tw_tensor *running_sum(tw_tensor *const *in)
{
    return tw_cumsum(in[0], 0, false);
}

static tw_tensor *narrower(tw_tensor *const *in)
{
    return tw_tanh(in[0]);
}

static void operations_and_bytes_by_hand(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *linear[] = {tw_randn(SHAPE(50, 64), TW_F32), tw_randn(SHAPE(96, 64), TW_F32),
                               tw_randn(SHAPE(96), TW_F32)};
        /* 2 x 50 x 96 x 64 of the product, then bias and maximum on 50 x 96 */
        expect_work(linear_and_relu, linear, 2 * 50 * 96 * 64 + 2 * 50 * 96, 4 * (50 * 64 + 96 * 64 + 96), 4 * 50 * 96);
        tw_tensor *rows[] = {tw_randn(SHAPE(33, 77), TW_F32)};
        /* amax, sub, exp, sum, div; sub and exp once, though they may be computed again rather than kept */
        expect_work(softmax, rows, 5 * 33 * 77, 4 * 33 * 77, 4 * 33 * 77);
        tw_tensor *wide[] = {tw_randn(SHAPE(8, 30), TW_F32)};
        expect_work(third, wide, 80, 4 * 80, 4 * 80); /* a third of each row is read */
        int64_t names[] = {3, 999, 3, 0, 17};
        tw_tensor *table[] = {tw_randn(SHAPE(1000, 16), TW_F32), tw_from_data(names, SHAPE(5), TW_I64)};
        expect_work(rows_named, table, 80, 4 * 80 + 8 * 5, 4 * 80); /* five rows of the thousand */
        expect_work(running_sum, rows, 33 * 77, 4 * 33 * 77, 4 * 33 * 77);
        tw_tensor *half[] = {tw_randn(SHAPE(500), TW_BF16)};
        expect_work(narrower, half, 500, 2 * 500, 2 * 500);
    }
}

static void work_is_counted_in_its_dtype(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *x[] = {tw_randn(SHAPE(20, 30), TW_BF16)};
        tw_explanation *e = explain(softmax, x); /* cast to f32, computed there, cast back */
        const explained_launch *l = only_launch(e);
        assert_int_equal(l->flops_of[TW_F32], 5 * 20 * 30);
        assert_int_equal(l->flops_of[TW_BF16], 0);
        assert_int_equal(l->bytes_read, 2 * 20 * 30);
        assert_true(!strncmp(l->summary, "cast", 4) && strstr(l->summary, ", amax, sub") &&
                    strstr(l->summary, "sum, div"));

        tw_explanation_free(e);
    }
}

/* ---- limits ---- */

static void the_largest_limit_bounds(void **state)
{
    explained_launch launch[3] = {
        {.flops_of = {[TW_F32] = 1000000, [TW_F64] = 500000}, .bytes_read = 1000, .bytes_written = 500},
        {.flops_of = {[TW_F32] = 1000}, .bytes_read = 3000000, .bytes_written = 1000000},
        {.flops_of = {[TW_F32] = 10}, .bytes_read = 40},
    };
    explained_plan plan = {.launch = launch, .launches = 3, .threads = 2}, *plans[] = {&plan};
    tw_explanation e = {.plans = {plans, 1, 1}};
    (void)state;
    for (int d = 0; d < TW_TENSOR_DTYPES; d++)
        e.limits.operations_per_ns[d] = d == TW_F64 ? 50 : 100;
    const int64_t bytes[TW_LIMIT_LEVELS] = {1000, 10000, 100000, 1000000, 10000000};
    for (int i = 0; i < TW_LIMIT_LEVELS; i++) {
        e.limits.bytes[i] = bytes[i];
        e.limits.bytes_per_ns[i] = 50 - 10 * i;
    }
    e.limits.barrier_ns = 300;
    explain_apply_limits(&e);
    assert_int_equal(launch[0].bound, LIMIT_COMPUTE);
    assert_true(fabs(launch[0].limit_ns[LIMIT_COMPUTE] - (1000000 / 100.0 + 500000 / 50.0)) < 1e-6);
    assert_int_equal(launch[1].bound, LIMIT_MEMORY);
    /* between the last two levels, by the logarithm */
    double share = log(4.0) / log(10.0), bandwidth = 20 * (1 - share) + 10 * share;
    assert_true(fabs(launch[1].limit_ns[LIMIT_MEMORY] - 4000000 / bandwidth) < 1e-6);
    assert_int_equal(launch[2].bound, LIMIT_LAUNCH);
    assert_true(launch[2].limit_ns[LIMIT_MEMORY] == 40 / 50.0); /* fewer bytes than the first level: as there */
    assert_true(tw_limits_bandwidth(&e.limits, 1 << 30) == 10); /* more than the last */
    plan.threads = 1;
    explain_apply_limits(&e);
    assert_int_equal(launch[2].bound, LIMIT_MEMORY);
    checks += 8;
}

static void the_machine_is_measured(void **state)
{
    tw_limits l;
    (void)state;
    assert_int_equal(tw_limits_measure(&l), TW_OK);
    assert_int_equal(l.threads, tw_num_threads());
    for (int d = 0; d < TW_TENSOR_DTYPES; d++)
        assert_true(l.operations_per_ns[d] > 0.1 && l.operations_per_ns[d] < 1e6);
    for (int i = 0; i < TW_LIMIT_LEVELS; i++)
        assert_true(l.bytes_per_ns[i] > 0.1 && l.bytes_per_ns[i] < 1e6);
    assert_true(l.operations_per_ns[TW_F32] > l.operations_per_ns[TW_F64]);
    assert_true(l.bytes_per_ns[0] > l.bytes_per_ns[TW_LIMIT_LEVELS - 1]); /* caches are faster than memory */
    assert_true(l.barrier_ns > 0);
    checks += 18;
}

/* ---- a training step ---- */

typedef struct trainer {
    tw_gpt model;
    tw_adamw optimiser;
    int looks; /* at the loss, before the end */
} trainer;

static tw_status step(void *user)
{
    trainer *t = user;
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *loss = NULL;
        TW_SCOPE {
            int64_t tokens[8 * 32];
            for (int i = 0; i < 8 * 32; i++)
                tokens[i] = i * 7 % 61;
            tw_tensor *x = tw_from_data(tokens, SHAPE(8, 32), TW_I64);
            loss = tw_yield(tw_gpt_loss(&t->model, x, x, true));
            if (t->looks && isnan(tw_item(loss)))
                status = tw_tensor_status(loss);
            if (status == TW_OK)
                status = tw_backward(loss, NULL);
            if (status == TW_OK)
                status = tw_adamw_step(&t->optimiser);
            tw_parameters_zero_grad(&t->model.parameters);
        }
        if (status == TW_OK)
            status = t->looks ? tw_sync() : isnan(tw_item(loss)) ? tw_error_code() : TW_OK;
    }
    return status;
}

static trainer new_trainer(void)
{
    trainer t = {0};
    const tw_gpt_config config = {.layers = 2, .dim = 64, .heads = 2, .context = 32, .vocabulary = 61};
    assert_int_equal(tw_gpt_init(&t.model, &config), TW_OK);
    assert_int_equal(tw_adamw_init(&t.optimiser, &t.model.parameters, 1e-3), TW_OK);
    return t;
}

static void free_trainer(trainer *t)
{
    tw_adamw_free(&t->optimiser);
    tw_gpt_free(&t->model);
}

static trainer trained;
static tw_explanation *explained; /* of trained's step: made once, looked at by several tests */

static int explain_a_step(void **state)
{
    (void)state;
    trained = new_trainer();
    trained.optimiser.parameters = &trained.model.parameters;
    explained = tw_explain_step(step, &trained);
    if (!explained)
        printf("%s\n", tw_error_message());
    return explained ? 0 : -1;
}

static int forget_the_step(void **state)
{
    (void)state;
    tw_explanation_free(explained);
    free_trainer(&trained);
    return 0;
}

static void launches_add_up(void **state)
{
    (void)state;
    double ns = 0, kinds = 0;
    assert_int_equal(explained->runs.count, 1);
    assert_int_equal(explained->samples, MOST_SAMPLES);
    const explained_plan *p = explained->plans.data[0];
    for (int l = 0; l < p->launches; l++) {
        int64_t flops = 0;
        for (int d = 0; d < TW_TENSOR_DTYPES; d++)
            flops += p->launch[l].flops_of[d];
        assert_int_equal(flops, p->launch[l].flops);
        assert_true(p->launch[l].insides > 0 && *p->launch[l].summary);
        assert_true(l == 0 || p->launch[l].batch - p->launch[l - 1].batch <= 1);
        ns += p->launch[l].ns;
    }
    for (int k = 0; k < TW_KINDS; k++)
        kinds += explained->kind_ns[k];
    assert_true(fabs(ns - kinds) < 1e-3 * ns);
    checks += 3 * p->launches + 3;
    /* In each timed step by itself: all launches together take no longer than the run of the segment. */
    for (int k = 0; k < MOST_SAMPLES; k++) {
        double sum = 0;
        for (int l = 0; l < p->launches; l++)
            sum += p->sample[k][l];
        assert_true(sum > 0);
        const explained_run *r = &explained->runs.data[0];
        double run = (double)(r->end - r->start);
        if (k == MOST_SAMPLES - 1)
            assert_true(sum <= run);
    }
    checks += MOST_SAMPLES + 1;
}

static void memory_is_what_was_stated(void **state)
{
    (void)state;
    double off = (double)explained->measured_bytes / (double)explained->stated_bytes - 1;
    double separate_off = (double)explained->separate_measured_bytes / (double)explained->separate_stated_bytes - 1;
    if (fabs(off) > 0.05 || fabs(separate_off) > 0.05)
        fail_msg("compiled %+.1f %%, operation by operation %+.1f %%", 100 * off, 100 * separate_off);
    const explained_plan *p = explained->plans.data[0];
    assert_true(p->arena_bytes <= p->temporary_bytes);
    int64_t most = 0;
    for (int i = 0; i < p->temporaries; i++)
        most = TW_MAX(most, p->temporary[i].offset + p->temporary[i].bytes);
    assert_true(most <= p->arena_bytes && most + 64 > p->arena_bytes);
    /* parameters and both moments are renewed; the large ones are written where they are */
    assert_int_equal(p->renewed, 3 * trained.model.parameters.count);
    assert_true(p->in_place_bytes > 0.9 * (double)p->renewed_bytes);
    checks += 6;
}

static void every_edge_has_a_reason(void **state)
{
    (void)state;
    const explained_plan *p = explained->plans.data[0];
    assert_true(p->edges > 10);
    for (int i = 0; i < p->edges; i++) {
        assert_true(p->edge[i].from >= 0 && p->edge[i].from < p->edge[i].to && p->edge[i].to < p->launches);
        assert_true(p->launch[p->edge[i].from].batch < p->launch[p->edge[i].to].batch);
        assert_true(*p->edge[i].reason && p->edge[i].value[0] == '%' && p->edge[i].bytes > 0);
    }
    checks += 3 * p->edges;
}

static void segments_say_what_ended_them(void **state)
{
    (void)state;
    trainer t = new_trainer();
    t.looks = 1;
    t.optimiser.parameters = &t.model.parameters;
    assert_int_equal(step(&t), TW_OK); /* compiles */
    assert_int_equal(tw_explain_begin(), TW_OK);
    assert_int_equal(step(&t), TW_OK);
    tw_explanation *e = tw_explain_end();
    assert_non_null(e);
    assert_int_equal(e->runs.count, 2);
    assert_string_equal(e->runs.data[0].reason, "item of f32[]");
    assert_string_equal(e->runs.data[1].reason, "sync");
    assert_true(e->runs.data[0].operations > 20 && e->runs.data[1].operations > 20);
    assert_true(e->runs.data[0].end <= e->runs.data[1].start);
    assert_true(e->step_ns >= (double)(e->runs.data[1].end - e->runs.data[0].start));
    char *text = tw_explain_text(e, TW_EXPLAIN_TABLE, "two looks");
    assert_non_null(strstr(text, "segment 0: "));
    assert_non_null(strstr(text, ", ended by item of f32[]; "));
    assert_non_null(strstr(text, ", ended by sync; "));
    tw_text_release(text);
    tw_explanation_free(e);
    free_trainer(&t);
    checks += 11;
}

static tw_tensor *chain_of_two(tw_tensor *const *in)
{
    return tw_softmax(tw_tanh(in[0]), 0);
}

static void what_runs_by_operations_is_said(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_OPERATIONS);
    TW_SCOPE {
        tw_tensor *x[] = {tw_randn(SHAPE(9, 8), TW_F32)};
        tw_explanation *e = explain(chain_of_two, x);
        assert_int_equal(e->runs.count, 1);
        assert_int_equal(e->runs.data[0].plan, -1);
        assert_int_equal(e->runs.data[0].operations, 2);
        for (int form = 0; form < TW_EXPLAIN_FORMS; form++) {
            char *text = tw_explain_text(e, (tw_explain_form)form, NULL);
            assert_non_null(text);
            tw_text_release(text);
        }
        tw_explanation_free(e);
    }
    tw_set_tier(TW_TIER_COMPILED);
    checks += 3 + TW_EXPLAIN_FORMS;
}

/* ---- forms ---- */

static char *form_of(tw_explain_form form, const char *title)
{
    char *text = tw_explain_text(explained, form, title);
    if (!text)
        fail_msg("%s", tw_error_message());
    return text;
}

static void the_table_says_it_all(void **state)
{
    static const char *const parts[] = {"a small step\n\none step: ",
                                        "operation by operation: ",
                                        "ended by item of f32[]",
                                        " GFLOP/s in f32",
                                        "kernels, the dearest first",
                                        "matmul",
                                        "where the time goes",
                                        "matrix products",
                                        "why kernels end where they end",
                                        "a kernel holds one",
                                        "memory at its peak",
                                        " stated",
                                        " measured (",
                                        "written in place"};
    (void)state;
    char *text = form_of(TW_EXPLAIN_TABLE, "a small step");
    for (size_t i = 0; i < TW_COUNT(parts); i++)
        if (!strstr(text, parts[i]))
            fail_msg("'%s' is not in\n%s", parts[i], text);
    for (const char *line = text, *end; *line; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        assert_true(end - line <= 150); /* the machine's line is the longest */
    }
    checks += (int)TW_COUNT(parts) + 1;
    tw_text_release(text);
}

static void tsv_has_a_line_a_launch(void **state)
{
    (void)state;
    const explained_plan *p = explained->plans.data[0];
    char *text = form_of(TW_EXPLAIN_TSV, NULL), *line = strchr(text, '\n') + 1;
    int columns = 1, lines = 0;
    for (const char *c = text; *c != '\n'; c++)
        columns += *c == '\t';
    for (char *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        long long plan, launch, batch, kernel, flops, read;
        char name[80], kind[80];
        double ns;
        int tabs = 1;
        for (const char *c = line; c < end; c++)
            tabs += *c == '\t';
        assert_int_equal(tabs, columns);
        assert_int_equal(sscanf(line, "%lld\t%lld\t%lld\t%lld\t%79[^\t]\t%79[^\t]\t%*d\t%lf\t%lld\t%lld", &plan,
                                &launch, &batch, &kernel, name, kind, &ns, &flops, &read),
                         9);
        assert_int_equal(launch, lines);
        assert_int_equal(flops, p->launch[lines].flops);
        assert_int_equal(read, p->launch[lines].bytes_read);
    }
    assert_int_equal(lines, p->launches);
    checks += 5 * lines + 1;
    tw_text_release(text);
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* Every slice has a name, a track, a time; slices of a track follow each other; launches lie within the segment. */
static void the_trace_is_one(void **state)
{
    json_error_t problem;
    double until[64] = {0}, from = 0, to = 0;
    size_t i;
    json_t *event;
    int launches = 0;
    (void)state;
    char *text = form_of(TW_EXPLAIN_TRACE, "a \"small\" step");
    json_t *trace = json_loads(text, 0, &problem);
    if (!trace)
        fail_msg("%s", problem.text);
    json_array_foreach(json_object_get(trace, "traceEvents"), i, event)
    {
        const char *phase = json_string_value(json_object_get(event, "ph"));
        int track = (int)number(event, "tid");
        assert_true(track >= 0 && track < 64 && *json_string_value(json_object_get(event, "name")));
        if (!strcmp(phase, "M"))
            continue;
        assert_string_equal(phase, "X");
        double start = number(event, "ts"), end = start + number(event, "dur");
        assert_true(start >= until[track] - 0.002);
        until[track] = end;
        if (!strcmp(json_string_value(json_object_get(event, "name")), "segment")) {
            from = start;
            to = end;
        } else if (track > 0) {
            assert_true(start >= from - 0.002 && end <= to + 0.002);
            assert_true(number(json_object_get(event, "args"), "programs") > 0);
            launches++;
        }
    }
    assert_true(launches >= explained->plans.data[0]->launches);
    checks += 6;
    json_decref(trace);
    tw_text_release(text);
}

static int occurrences(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        count++;
    return count;
}

static void the_page_needs_nothing_else(void **state)
{
    static const char OPEN[] = "<script type=\"application/json\" id=\"data\">";
    json_error_t problem;
    (void)state;
    char *text = form_of(TW_EXPLAIN_HTML, "</script><b>&");
    assert_int_equal(occurrences(text, "http"), 1);
    assert_non_null(strstr(text, "\"http://www.w3.org/2000/svg\"")); /* a name, not an address */
    assert_null(strstr(text, " src="));
    assert_null(strstr(text, "<link"));
    assert_null(strstr(text, "@import"));
    assert_null(strstr(text, "url("));
    assert_null(strstr(text, "@DATA@"));
    const char *data = strstr(text, OPEN) + sizeof OPEN - 1, *end = strstr(data, "</script>");
    json_t *document = json_loadb(data, (size_t)(end - data), 0, &problem);
    if (!document)
        fail_msg("%s", problem.text);
    const json_t *plan = json_array_get(json_object_get(document, "plans"), 0);
    assert_string_equal(json_string_value(json_object_get(document, "title")), "</script><b>&");
    assert_int_equal(json_array_size(json_object_get(plan, "launches")), explained->plans.data[0]->launches);
    assert_int_equal(json_array_size(json_object_get(plan, "edges")), explained->plans.data[0]->edges);
    assert_int_equal(json_array_size(json_object_get(plan, "temporaries")), explained->plans.data[0]->temporaries);
    checks += 11;
    json_decref(document);
    tw_text_release(text);
}

/* A box a launch, an arrow an edge, quotes that close. */
static void the_graph_is_one(void **state)
{
    (void)state;
    const explained_plan *p = explained->plans.data[0];
    char *text = form_of(TW_EXPLAIN_DOT, "a \"small\" step");
    bool inside = false;
    int depth = 0;
    for (const char *c = text; *c; c++) {
        if (inside && *c == '\\')
            c++;
        else if (*c == '"')
            inside = !inside;
        else if (!inside)
            depth += (*c == '{') - (*c == '}');
        assert_true(depth >= 0 && (!inside || *c != '\n'));
    }
    assert_true(!inside && depth == 0);
    assert_int_equal(occurrences(text, "[fillcolor="), p->launches);
    assert_int_equal(occurrences(text, " -> "), p->edges);
    checks += 4;
    tw_text_release(text);
}

/* ---- errors ---- */

static void misuse_is_an_error(void **state)
{
    (void)state;
    assert_null(tw_explain_end());
    assert_non_null(strstr(tw_error_message(), "not begun"));
    assert_int_equal(tw_explain_begin(), TW_OK);
    assert_int_equal(tw_explain_begin(), TW_ERR_VALUE);
    tw_explanation *e = tw_explain_end(); /* of nothing */
    assert_non_null(e);
    assert_int_equal(e->runs.count, 0);
    assert_null(tw_explain_text(e, (tw_explain_form)99, NULL));
    tw_explanation_free(e);
    tw_explanation_free(NULL);
    checks += 6;
}

static tw_status fails(void *user)
{
    (void)user;
    return tw_error(TW_ERR_VALUE, "this step fails");
}

static void a_step_that_fails_is_its_error(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_AUTO);
    assert_null(tw_explain_step(fails, NULL));
    assert_string_equal(tw_error_message(), "this step fails");
    assert_int_equal(tw_get_tier(), TW_TIER_AUTO);
    tw_set_tier(TW_TIER_COMPILED);
    checks += 3;
}

/* Each allocation fails in turn: an error, and nothing else. */
static void failed_allocations_are_errors(void **state)
{
    (void)state;
    int failures = 0;
    for (int form = 0; form < TW_EXPLAIN_FORMS; form++) {
        for (int64_t nth = 0;; nth++) {
            tw_memory_fail_at(nth);
            char *text = tw_explain_text(explained, (tw_explain_form)form, NULL);
            tw_memory_fail_at(-1);
            if (text) {
                tw_text_release(text);
                break;
            }
            assert_int_equal(tw_error_code(), TW_ERR_MEMORY);
            failures++;
        }
    }
    assert_true(failures > 10);
    TW_SCOPE {
        tw_tensor *x[] = {tw_randn(SHAPE(9, 8), TW_F32)}, *y = chain_of_two(x);
        assert_non_null(tw_data(y)); /* compiled: what fails from now on is watching */
        for (int64_t nth = 0;; nth++) {
            int64_t before = tw_memory_allocations();
            tw_memory_fail_at(nth);
            tw_status begun = tw_explain_begin();
            if (begun == TW_OK) {
                TW_SCOPE {
                    tw_data(chain_of_two(x));
                }
            }
            bool failed = tw_memory_allocations() - before > nth;
            tw_memory_fail_at(-1);
            tw_explanation_free(begun == TW_OK ? tw_explain_end() : NULL);
            if (!failed)
                break;
            failures++;
        }
    }
    checks += failures;
}

int main(void)
{
    setenv("TW_CACHE", "0", 1);
    tw_set_tier(TW_TIER_COMPILED);
    tw_manual_seed(4);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_and_bytes_by_hand),
        cmocka_unit_test(work_is_counted_in_its_dtype),
        cmocka_unit_test(the_largest_limit_bounds),
        cmocka_unit_test(the_machine_is_measured),
        cmocka_unit_test(launches_add_up),
        cmocka_unit_test(memory_is_what_was_stated),
        cmocka_unit_test(every_edge_has_a_reason),
        cmocka_unit_test(segments_say_what_ended_them),
        cmocka_unit_test(what_runs_by_operations_is_said),
        cmocka_unit_test(the_table_says_it_all),
        cmocka_unit_test(tsv_has_a_line_a_launch),
        cmocka_unit_test(the_trace_is_one),
        cmocka_unit_test(the_page_needs_nothing_else),
        cmocka_unit_test(the_graph_is_one),
        cmocka_unit_test(misuse_is_an_error),
        cmocka_unit_test(a_step_that_fails_is_its_error),
        cmocka_unit_test(failed_allocations_are_errors),
    };
    int failed = cmocka_run_group_tests(tests, explain_a_step, forget_the_step);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    return failed;
}
