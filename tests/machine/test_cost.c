/* Closed forms against what is known of them without this code: counts by hand, published sizes, messages played one by
 * one. */
#include "support.h"

#include "machine/money.h"
#include "machine/simulate.h"

static int checks;

/* ---- money ---- */

static void wafers_and_yields(void **unused)
{
    (void)unused;
    close_to(tw_dies_per_wafer(814, 300), 63, 0.02, "dies of 814 mm2 on 300 mm"); /* pi 150^2/814 - pi 300/sqrt(1628) */
    close_to(tw_dies_per_wafer(100, 300), 640.2, 0.01, "dies of 100 mm2");
    close_to(tw_die_yield(814, 0, 3), 1, 1e-12, "without defects");
    close_to(tw_die_yield(814, 0.1, 3), pow(1 + 0.814 / 3, -3), 1e-12, "negative binomial");
    close_to(tw_die_yield(814, 0.1, 1e7), exp(-0.814), 1e-5, "Poisson, where defects don't cluster");
    close_to(tw_die_yield_spare(814, 0.1, 3, 0, 0.7), tw_die_yield(814, 0.1, 3), 1e-9, "nothing to spare");
    double last = 0;
    for (int spare = 0; spare <= 40; spare += 4) {
        double y = tw_die_yield_spare(814, 0.5, 3, spare, 1);
        assert_true(y >= last && y <= 1 + 1e-12);
        last = y;
        checks++;
    }
    close_to(last, 1, 1e-6, "everything may be broken");
}

/* ---- sizes of models, as their makers state them ---- */

static void parameters_are_those_that_makers_state(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    for (int i = 0; i < tw_library_count(l, TW_KIND_MODEL); i++) {
        const tw_model *m = (const tw_model *)(const void *)tw_library_at(l, TW_KIND_MODEL, i);
        if (isnan(m->parameters))
            continue;
        close_to(tw_model_parameters(m), m->parameters, 0.06, m->item.name);
        checks++;
    }
    tw_library_destroy(l);
}

/* Narayanan et al. 2021, section 5.1: 175 billion parameters, 96 B s L h^2 (1 + s/6h + V/16Lh). */
static void flops_of_gpt3(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    const tw_model *m = need(l, TW_KIND_MODEL, "GPT-3");
    double h = 12288, L = 96, s = 2048, V = m->vocab, B = 1536;
    close_to(tw_gpt_step_flops(m, B, s, true), 96 * B * s * L * h * h * (1 + s / (6 * h) + V / (16 * L * h)), 1e-12,
             "with recomputation");
    close_to(tw_gpt_step_flops(m, B, s, false), 72 * B * s * L * h * h * (1 + s / (6 * h) + V / (12 * L * h)), 1e-12,
             "without");
    tw_library_destroy(l);
}

/* ---- collectives, message by message ---- */

/* A link without start-up or loss, so that only bytes count. */
static const char ideal[] =
    "[link L]\nclass = scale-up\nbandwidth = 100 GB/s\nlinks = 64\nalpha = 10 ns\nalpha_send = 10 ns\n"
    "achieved = 1\nfill = 0 B\nstep = 10 ns\nphy_latency = 0.1 ns\nfec_latency = 0 s\n"
    "[machine M]\nchip = H100-SXM-80GB\n[tier t]\nsize = 16\nlink = L\ntopology = switch\n"
    "bandwidth = 100 GB/s\n";

typedef struct pieces {
    tw_simulation *s;
    int n;
    double seconds; /* of one piece on one link */
    int last[64];   /* what each member waits for */
    double sent, received;
} pieces;

static int message(pieces *p, int from, int to)
{
    int task = tw_simulation_add(p->s, -1, 0, p->seconds);
    tw_simulation_transfer(p->s, task, 2 * from, 2 * to + 1);
    if (p->last[from] >= 0)
        assert_true(tw_simulation_after(p->s, task, p->last[from]));
    return task;
}

/* `steps` times, every member passes one piece to its neighbour, which may go on with it then. */
static void around(pieces *p, int steps)
{
    int task[64];
    for (int k = 0; k < steps; k++) {
        for (int i = 0; i < p->n; i++)
            task[i] = message(p, i, (i + 1) % p->n);
        for (int i = 0; i < p->n; i++)
            p->last[(i + 1) % p->n] = task[i];
    }
}

/* Halving and doubling: with partners at distance 1, 2, 4, ... and pieces of a half, a quarter, ... and back. */
static void halving_doubling(pieces *p, double whole)
{
    int task[64], rounds = 0;
    for (int d = 1; d < p->n; d *= 2)
        rounds++;
    for (int k = 0; k < 2 * rounds; k++) {
        int r = k < rounds ? k : 2 * rounds - 1 - k;
        p->seconds = whole / pow(2, r + 1);
        for (int i = 0; i < p->n; i++)
            task[i] = message(p, i, i ^ (1 << r));
        for (int i = 0; i < p->n; i++)
            p->last[i ^ (1 << r)] = task[i];
    }
}

/* Every member to every other, at once: links are shared. */
static void everybody(pieces *p)
{
    for (int i = 0; i < p->n; i++)
        for (int k = 1; k < p->n; k++)
            message(p, i, (i + k) % p->n);
}

static double play(tw_collective what, tw_algorithm how, int n, double seconds)
{
    pieces p = {.s = tw_simulation_create(0, 2 * n), .n = n, .seconds = seconds / n};
    for (int i = 0; i < n; i++)
        p.last[i] = -1;
    if (what == TW_ALL_TO_ALL)
        everybody(&p);
    else if (how == TW_ALGORITHM_RECURSIVE)
        halving_doubling(&p, seconds);
    else
        around(&p, (what == TW_ALL_REDUCE ? 2 : 1) * (n - 1));
    assert_int_equal(tw_simulation_run(p.s), TW_OK);
    double end = tw_simulation_end(p.s);
    for (int i = 0; i < n; i++) {
        p.sent += tw_simulation_link_carried(p.s, 2 * i);
        p.received += tw_simulation_link_carried(p.s, 2 * i + 1);
        assert_true(tw_simulation_link_busy(p.s, 2 * i) <= end * (1 + 1e-9));
        assert_true(tw_simulation_link_busy(p.s, 2 * i + 1) <= end * (1 + 1e-9));
    }
    close_to(p.sent, p.received, 1e-9, "bytes sent and received");
    tw_simulation_destroy(p.s);
    return end;
}

static void messages_one_by_one_take_the_time_of_the_closed_forms(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    if (tw_library_add_text(l, "ideal", ideal, sizeof ideal - 1) != TW_OK)
        fail_msg("%s", tw_error_message());
    const tw_machine *m = need(l, TW_KIND_MACHINE, "M");
    const struct {
        tw_collective what;
        tw_algorithm how;
        bool powers; /* of two members only */
    } forms[] = {{TW_ALL_REDUCE, TW_ALGORITHM_RING, false},
                 {TW_ALL_REDUCE, TW_ALGORITHM_RECURSIVE, true},
                 {TW_ALL_GATHER, TW_ALGORITHM_RING, false},
                 {TW_REDUCE_SCATTER, TW_ALGORITHM_RING, false},
                 {TW_ALL_TO_ALL, TW_ALGORITHM_AUTO, false}};
    for (size_t f = 0; f < TW_COUNT(forms); f++)
        for (int n = 2; n <= 16; n++) {
            if (forms[f].powers && (n & (n - 1)))
                continue;
            for (double bytes = 1e8; bytes < 2e10; bytes *= 10) {
                tw_group g = tw_group_of(m, n, 1);
                double closed = tw_collective_time(m, &g, forms[f].what, bytes, forms[f].how);
                close_to(closed, play(forms[f].what, forms[f].how, n, bytes / 100e9), 0.01,
                         tw_collective_name(forms[f].what));
                checks++;
            }
        }
    tw_library_destroy(l);
}

/* What a collective puts on links: by hand for 2 nodes of 4. */
static void bytes_by_tier(void **unused)
{
    (void)unused;
    tw_group g = {.members = 8, .tiers = 2, .size = {4, 2}};
    double on[TW_TIERS] = {0};
    tw_collective_bytes(&g, TW_ALL_REDUCE, 8e9, on);
    close_to(on[0], 2 * 0.75 * 8e9, 1e-12, "within a node: 3/4 there and back");
    close_to(on[1], 2 * 0.5 * 2e9, 1e-12, "between nodes: of a quarter, 1/2 there and back");
    memset(on, 0, sizeof on);
    tw_collective_bytes(&g, TW_ALL_TO_ALL, 8e9, on);
    close_to(on[0], 3e9, 1e-12, "to three neighbours");
    close_to(on[1], 4e9, 1e-12, "to four others");
}

/* No faster than the links allow, slower with more bytes, whatever the machine. */
static void collectives_of_random_machines(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    tw_machine m = *(const tw_machine *)need(l, TW_KIND_MACHINE, "h100-4096");
    for (int i = 0; i < 20000; i++) {
        int t = random_between(0, m.tiers - 1), what = random_between(0, TW_COLLECTIVES - 1);
        m.tier[t].rate = 1e9 * exp(8 * random01());
        tw_group g = tw_group_of(&m, random_between(2, 4096), 1 << random_between(0, 6));
        double bytes = exp(25 * random01()),
               time = tw_collective_time(&m, &g, (tw_collective)what, bytes, TW_ALGORITHM_AUTO);
        double more = tw_collective_time(&m, &g, (tw_collective)what, 2 * bytes, TW_ALGORITHM_AUTO), on[TW_TIERS] = {0};
        if (g.members <= 1)
            continue;
        assert_true(isfinite(time) && time > 0 && more >= time);
        tw_collective_bytes(&g, (tw_collective)what, bytes, on);
        /* In-switch reduction halves what a member sends. */
        for (int k = 0; k < m.tiers; k++)
            assert_true(time >= on[k] / m.tier[k].rate * (what == TW_ALL_REDUCE ? 0.5 : 1) * (1 - 1e-9));
        checks++;
    }
    tw_library_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wafers_and_yields), cmocka_unit_test(parameters_are_those_that_makers_state),
        cmocka_unit_test(flops_of_gpt3),     cmocka_unit_test(messages_one_by_one_take_the_time_of_the_closed_forms),
        cmocka_unit_test(bytes_by_tier),     cmocka_unit_test(collectives_of_random_machines),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
