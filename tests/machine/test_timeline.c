/* The event simulation against closed forms where those are exact, and what must hold of every pipeline: nothing is
 * busy longer than the step lasts, and what one stage sends another receives. */
#include "support.h"

#include "machine/simulate.h"
#include "machine/timeline.h"

enum { STAGES = 16 };

static double run(int stages, int chunks, int m, int schedule, double forward, double backward)
{
    double f[STAGES], b[STAGES];
    tw_timeline t;
    for (int i = 0; i < stages; i++) {
        f[i] = forward;
        b[i] = backward;
    }
    tw_pipeline p = {.stages = stages,
                     .chunks = chunks,
                     .micro_batches = m,
                     .schedule = schedule,
                     .forward = f,
                     .backward = b,
                     .weight = 0.5};
    if (tw_pipeline_run(&p, &t) != TW_OK)
        fail_msg("%s", tw_error_message());
    double end = t.end;
    tw_timeline_free(&t);
    return end;
}

static void equal_stages_take_the_time_of_the_closed_forms(void **unused)
{
    (void)unused;
    for (int p = 1; p <= STAGES; p++)
        for (int m = 1; m <= 40; m++) {
            close_to(run(p, 1, m, TW_SCHEDULE_GPIPE, 1, 2), (m + p - 1) * 3.0, 1e-9, "gpipe");
            close_to(run(p, 1, m, TW_SCHEDULE_1F1B, 1, 2), (m + p - 1) * 3.0, 1e-9, "1f1b");
            for (int v = 2; v <= 4 && m % p == 0 && p > 1; v++)
                close_to(run(p, v, m, TW_SCHEDULE_INTERLEAVED, 1.0 / v, 2.0 / v), m * 3.0 + (p - 1) * 3.0 / v, 1e-9,
                         "interleaved");
            /* Gradients of weights fill two thirds of the bubble, where there are enough of them. */
            close_to(run(p, 1, m, TW_SCHEDULE_ZERO_BUBBLE, 1, 2), m * 3.0 + (p - 1) * 1.0 + fmax(0, p - m), 1e-9,
                     "zero bubble");
        }
}

static void the_slowest_end_sets_the_pace(void **unused)
{
    (void)unused;
    for (int i = 0; i < 500; i++) {
        int p = random_between(2, STAGES), m = random_between(p, 60);
        double f[STAGES], b[STAGES], end = random01(), sum = 0;
        for (int s = 0; s < p; s++) {
            double more = s == p - 1 ? end : 0;
            f[s] = 1 + more / 3;
            b[s] = 2 + more * 2 / 3;
            sum += f[s] + b[s];
        }
        tw_pipeline line = {
            .stages = p, .chunks = 1, .micro_batches = m, .schedule = TW_SCHEDULE_1F1B, .forward = f, .backward = b};
        tw_timeline t;
        assert_int_equal(tw_pipeline_run(&line, &t), TW_OK);
        close_to(t.end, sum + (m - 1) * (3 + end), 0.01, "unequal stages");
        tw_timeline_free(&t);
    }
}

/* 10,000 random pipelines: whatever their numbers. */
static void nothing_is_lost_and_nothing_works_overtime(void **unused)
{
    (void)unused;
    for (int i = 0; i < 10000; i++) {
        int p = random_between(1, STAGES), v = p > 1 && random01() < 0.3 ? random_between(2, 3) : 1;
        int m = v > 1 ? p * random_between(1, 3) : random_between(1, 24), schedule = random_between(0, 3);
        double f[STAGES], b[STAGES], work[STAGES], least = 0, crossings = 0;
        schedule = v > 1 ? TW_SCHEDULE_INTERLEAVED : schedule == TW_SCHEDULE_INTERLEAVED ? TW_SCHEDULE_1F1B : schedule;
        for (int s = 0; s < p; s++) {
            f[s] = random01() + 0.01;
            b[s] = random01() * 2 + 0.01;
            work[s] = m * v * (f[s] + b[s]);
            least = fmax(least, work[s]);
        }
        tw_pipeline line = {.stages = p,
                            .chunks = v,
                            .micro_batches = m,
                            .schedule = schedule,
                            .forward = f,
                            .backward = b,
                            .weight = 0.5,
                            .send = random01() < 0.5 ? random01() : 0,
                            .send_bytes = 7};
        tw_timeline t;
        if (tw_pipeline_run(&line, &t) != TW_OK)
            fail_msg("%d x %d, %d: %s", p, v, m, tw_error_message());
        assert_true(t.end >= least * (1 - 1e-12));
        for (int s = 0; s < p; s++) {
            assert_true(t.busy[s] <= t.end * (1 + 1e-9));
            close_to(t.busy[s], work[s], 1e-9, "work of a stage");
        }
        close_to(t.sent, t.received, 1e-9, "bytes sent and received");
        if (line.send > 0 && p > 1) {
            crossings = 2.0 * m * (v * p - 1); /* forward and backward, every boundary of the model */
            close_to(t.sent, crossings * 7, 1e-9, "bytes over all boundaries");
        }
        tw_timeline_free(&t);
    }
}

/* ---- whole steps ---- */

static int one_of(const int *from, int count)
{
    return from[random_between(0, count - 1)];
}

/* A machine with links, chip and model of random sizes, in place of those of the library. */
static void random_job(const tw_library *l, tw_machine *machine, tw_chip *chip, tw_model *model, tw_software *software)
{
    static const int heads[] = {4, 8, 16, 32}, layers[] = {4, 8, 12, 16, 24, 32};
    *machine = *(const tw_machine *)need(l, TW_KIND_MACHINE, "h100-4096");
    *chip = *machine->chip;
    *model = *(const tw_model *)need(l, TW_KIND_MODEL, random01() < 0.3 ? "Qwen3-30B-A3B" : "GPT-3");
    *software = *(const tw_software *)need(l, TW_KIND_SOFTWARE, random01() < 0.5 ? "classic" : "current");
    machine->chip = chip;
    for (int t = 0; t < machine->tiers; t++)
        machine->tier[t].rate = 1e9 * exp(7 * random01());
    for (int p = 0; p < TW_PEAKS; p++)
        chip->peak[p] *= exp(2 * random01() - 1);
    chip->memory_bandwidth *= exp(2 * random01() - 1);
    model->heads = model->kv_heads = one_of(heads, 4);
    model->layers = model->attention_layers = model->ffn_layers = one_of(layers, 6);
    model->hidden = model->heads * model->head_dim;
    model->latent = model->hidden;
    model->ffn = 4 * model->hidden;
}

static tw_strategy random_strategy(const tw_model *m)
{
    int chunks = random01() < 0.25 ? 2 : 1;
    tw_strategy s = {.tensor = 1 << random_between(0, 2),
                     .pipeline = 1 << random_between(0, 3),
                     .data = 1 << random_between(0, 4),
                     .context = random01() < 0.2 ? 2 : 1,
                     .expert = m->experts > 0 ? 1 << random_between(0, 2) : 1,
                     .micro_batch = 1 << random_between(0, 2),
                     .zero = random_between(0, 3),
                     .recompute = random_between(0, 2),
                     .sequence_parallel = random01() < 0.5,
                     .offload = random01() < 0.1};
    bool even = fmod(m->layers, s.pipeline * 2.0) == 0;
    s.chunks = s.pipeline > 1 && even ? chunks : 1;
    s.schedule = s.chunks > 1 ? TW_SCHEDULE_INTERLEAVED : one_of((const int[]){0, 1, 3}, s.pipeline > 1 ? 3 : 2);
    return s;
}

/* 10,000 random machines and plans: nothing is lost, nothing works overtime, and the closed form is met where it is
 * exact: every send is seen or there is none, as many micro-batches as stages, work at the ends that does not rule. */
static void steps_of_random_machines(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    int exact = 0, played = 0;
    double worst = 0;
    for (int i = 0; played < 10000; i++) {
        tw_machine machine;
        tw_chip chip;
        tw_model model;
        tw_software software;
        tw_planner p;
        tw_step step;
        tw_timeline t;
        random_job(l, &machine, &chip, &model, &software);
        tw_strategy s = random_strategy(&model);
        tw_workload w = tw_workload_of(&model);
        int micro_batches = s.chunks > 1 ? s.pipeline * random_between(1, 4) : random_between(1, 24);
        w.software = &software;
        w.sequence = 1024 << random_between(0, 2);
        w.batch = (double)s.data * s.micro_batch * micro_batches;
        assert_int_equal(tw_planner_create(&p, &machine, &w, NULL), TW_OK);
        if (tw_strategy_check(&p, &s) == TW_OK && fmod(model.layers, s.pipeline) == 0) {
            assert_int_equal(tw_planner_train(&p, &s, &step), TW_OK);
            if (tw_step_timeline(&p, &s, 0, &t) != TW_OK)
                fail_msg("%s", tw_error_message());
            tw_step_parts x = tw_step_divide(&p, &s);
            for (int stage = 0; stage < t.stages; stage++)
                assert_true(t.busy[stage] <= t.end * (1 + 1e-9));
            close_to(t.sent, t.received, 1e-9, "bytes sent and received");
            assert_true(isfinite(step.time) && step.time > 0);
            bool even_ends = fabs(x.first - x.last) <= 0 || s.pipeline == 1 || s.schedule != TW_SCHEDULE_ZERO_BUBBLE;
            if (x.sends.hidden <= 0 && micro_batches >= s.pipeline && even_ends && s.chunks == 1) {
                double off = fabs(t.end / step.time - 1);
                if (off > 0.01)
                    fail_msg("step %d: %g s played, %g s by the closed form (%d stages, %d micro-batches, schedule %d)",
                             i, t.end, step.time, s.pipeline, micro_batches, s.schedule);
                worst = fmax(worst, off);
                exact++;
            }
            tw_timeline_free(&t);
            played++;
        }
        tw_planner_destroy(&p);
    }
    print_message("%d steps played, %d of them where the closed form is exact: %.2g %% off at most\n", played, exact,
                  100 * worst);
    assert_true(exact > 2000);
    tw_library_destroy(l);
}

static void transfers_share_a_link(void **unused)
{
    (void)unused;
    tw_simulation *s = tw_simulation_create(0, 3);
    int a = tw_simulation_add(s, -1, 0, 1), b = tw_simulation_add(s, -1, 0, 1), c = tw_simulation_add(s, -1, 0, 3);
    tw_simulation_transfer(s, a, 0, 1); /* a and b leave by the same link, c by another to where b goes */
    tw_simulation_transfer(s, b, 0, 2);
    tw_simulation_transfer(s, c, 2, -1);
    assert_int_equal(tw_simulation_run(s), TW_OK);
    close_to(tw_simulation_end_of(s, a), 2, 1e-12, "two on one link take twice as long");
    close_to(tw_simulation_end_of(s, b), 2, 1e-12, "as the other");
    close_to(tw_simulation_end_of(s, c), 4, 1e-12, "the third had half its link for a while");
    close_to(tw_simulation_link_busy(s, 0), 2, 1e-12, "the link worked all the time");
    close_to(tw_simulation_link_carried(s, 0), 2, 1e-12, "and carried both");
    tw_simulation_destroy(s);
}

static void a_circle_of_tasks_is_an_error(void **unused)
{
    (void)unused;
    tw_simulation *s = tw_simulation_create(1, 0);
    int a = tw_simulation_add(s, 0, 0, 1), b = tw_simulation_add(s, 0, 0, 1);
    assert_true(tw_simulation_after(s, a, b) && tw_simulation_after(s, b, a));
    assert_int_equal(tw_simulation_run(s), TW_ERR_VALUE);
    tw_simulation_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_stages_take_the_time_of_the_closed_forms),
        cmocka_unit_test(the_slowest_end_sets_the_pace),
        cmocka_unit_test(nothing_is_lost_and_nothing_works_overtime),
        cmocka_unit_test(steps_of_random_machines),
        cmocka_unit_test(transfers_share_a_link),
        cmocka_unit_test(a_circle_of_tasks_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
