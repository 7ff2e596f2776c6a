/* Steps of this library as work, and curves measured from them. Nothing here depends on how fast the machine is. */
#include "support.h"

#include "machine/calibrate.h"
#include "tilewright/tensor.h"

static int checks;

/* The step's products alone are 6 operations for each weight of a matrix and token, and those of attention. */
static void launches_hold_the_work_of_the_step(void **unused)
{
    (void)unused;
    tw_gpt_config config = {.layers = 2, .dim = 32, .heads = 2, .context = 16, .vocabulary = 64};
    double batch = 4, tokens = batch * 16, matrices = 2 * 12 * 32 * 32 + 64 * 32, flops = 0, bytes = 0, products = 0;
    tw_captured c;
    if (tw_captured_training(&config, (int64_t)batch, 2, &c) != TW_OK)
        fail_msg("%s", tw_error_message());
    for (int i = 0; i < c.launches; i++) {
        flops += c.launch[i].flops;
        bytes += c.launch[i].bytes;
        products += c.launch[i].kind == TW_KIND_MATMUL ? c.launch[i].flops : 0;
        assert_true(c.launch[i].seconds > 0 && c.launch[i].kind >= 0 && c.launch[i].kind < TW_KINDS);
        checks++;
    }
    assert_true(products >= 6 * matrices * tokens && products <= 2 * 6 * matrices * tokens);
    assert_true(flops >= products && bytes > 0);
    assert_true(c.operations > 100 && c.seconds > 0 && c.peak_bytes >= 3 * 4 * matrices); /* weights and two moments */
    tw_captured_free(&c);
}

static tw_captured made_up(int launches)
{
    tw_captured c = {.launch = malloc((size_t)launches * sizeof *c.launch), .launches = launches, .operations = 10};
    for (int i = 0; i < launches; i++) {
        double size = exp(12 * random01());
        c.launch[i] = (tw_captured_launch){.kind = random_between(0, TW_KINDS - 1),
                                           .flops = 1e4 * size * random01(),
                                           .bytes = 1e3 * size,
                                           .programs = random_between(1, 500)};
        /* A machine with 100 GFLOP/s, 20 GB/s, 5 us a launch, whose efficiency depends on the class. */
        c.launch[i].seconds =
            (c.launch[i].flops / 100e9 + c.launch[i].bytes / 20e9 + 5e-6) * (1.5 + 0.3 * c.launch[i].kind);
    }
    c.rest = 1e-5;
    return c;
}

static double total(const tw_captured *c)
{
    double all = c->rest;
    for (int i = 0; i < c->launches; i++)
        all += c->launch[i].seconds;
    return all;
}

static void a_machine_that_is_made_up_is_found_again(void **unused)
{
    (void)unused;
    tw_calibration c = {0}, again;
    for (int i = 0; i < 10; i++) {
        tw_captured sample = made_up(60);
        assert_int_equal(tw_calibration_add(&c, &sample), TW_OK);
        tw_captured_free(&sample);
    }
    tw_text text = {0};
    tw_calibration_print(&c, &text);
    if (tw_calibration_parse("samples", text.data, text.count, &again) != TW_OK)
        fail_msg("%s", tw_error_message());
    assert_int_equal(again.samples, c.samples);
    for (int i = 0; i < 20; i++) {
        tw_captured other = made_up(100);
        close_to(tw_calibrated_time(&c, &other), total(&other), 0.12, "a step of other sizes");
        close_to(tw_calibrated_time(&again, &other), tw_calibrated_time(&c, &other), 1e-3, "written and read");
        tw_captured_free(&other);
        checks += 2;
    }
    tw_text_free(&text);
    tw_calibration_free(&c);
    tw_calibration_free(&again);
}

static void wrong_samples_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *said;
    } wrong[] = {{"kind\tflops\tbytes\tprograms\tseconds\n", "no launches"},
                 {"kind\tflops\tbytes\tprograms\tseconds\n9\t1\t1\t1\t1\n", "s:2: kind 9"},
                 {"kind\tflops\tbytes\tprograms\tseconds\n0\t1\t1\t1\t0\n", "more than 0 seconds"},
                 {"kind\tflops\tbytes\tprograms\tseconds\n0\tx\t1\t1\t1\n", "s:2: flops is 'x'"},
                 {"kind\tflops\tbytes\tprograms\tseconds\n0\t1\t-1\t1\t1\n", "s:2: bytes is '-1'"},
                 {"kind\n0\n", "seconds is ''"}};
    for (size_t i = 0; i < TW_COUNT(wrong); i++) {
        tw_calibration c;
        if (tw_calibration_parse("s", wrong[i].text, strlen(wrong[i].text), &c) == TW_OK ||
            !strstr(tw_error_message(), wrong[i].said))
            fail_msg("'%s' is not in: %s", wrong[i].said, tw_error_message());
        checks++;
    }
}

/* Twice the chip is at most twice as fast, and faster. */
static void chips_take_a_step_by_their_data_sheets(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    const tw_chip *chip = need(l, TW_KIND_CHIP, "H100-SXM-80GB");
    tw_chip twice = *chip;
    twice.memory_bandwidth *= 2;
    for (int p = 0; p < TW_PEAKS; p++)
        twice.peak[p] *= 2;
    tw_captured c = made_up(200);
    tw_device d = tw_device_of(chip, NULL, 1), e = tw_device_of(&twice, NULL, 1);
    double kinds[TW_KINDS], sum = 0, time = tw_captured_time(&c, &d, TW_PEAK_BF16, kinds);
    for (int k = 0; k < TW_KINDS; k++)
        sum += kinds[k];
    close_to(sum, time, 1e-9, "kinds add up");
    double faster = tw_captured_time(&c, &e, TW_PEAK_BF16, NULL);
    assert_true(faster < time && faster >= time / 2);
    tw_captured_free(&c);
    tw_library_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launches_hold_the_work_of_the_step),
        cmocka_unit_test(a_machine_that_is_made_up_is_found_again),
        cmocka_unit_test(wrong_samples_are_refused),
        cmocka_unit_test(chips_take_a_step_by_their_data_sheets),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
