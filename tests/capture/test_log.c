/* TW_LOG: each stage says what the design promises, as text through the program's callback, and nothing when it is off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "tilewright/ops.h"

static int checks;

typedef struct heard {
    tw_text text;
    int lines;
    bool foreign; /* something of a stage that is off */
    const char *stage;
} heard;

static void listen(void *user, const char *stage, const char *message)
{
    heard *h = user;
    h->lines++;
    h->foreign = h->foreign || strcmp(stage, h->stage) != 0;
    tw_text_add(&h->text, "%s\n", message);
}

/* Softmax of a product's rows, compiled anew: something for every stage. */
static void work(void)
{
    tw_capture_reset();
    TW_SCOPE {
        int64_t shape[] = {24, 40};
        tw_tensor *x = tw_randn(2, shape, TW_F32), *y = NULL;
        tw_sync();
        TW_SCOPE {
            y = tw_yield(tw_sum(tw_softmax(tw_matmul(x, tw_transpose(x, 0, 1)), -1), 1, (int64_t[]){0}, false));
        }
        assert_non_null(tw_data(y));
    }
}

static heard hear(const char *stage)
{
    heard h = {.stage = stage};
    assert_int_equal(tw_log_set(stage), TW_OK);
    tw_log_to(listen, &h);
    work();
    tw_log_to(NULL, NULL);
    assert_int_equal(tw_log_set(""), TW_OK);
    return h;
}

static const struct {
    const char *stage, *contains[4];
} promises[] = {
    {"graph", {"softmax %", "matmul %", "output %"}},
    {"decompose", {"after decompose:", "amax %", "dot %"}},
    {"simplify", {"after simplify:", "exp %"}},
    {"fusion", {"crosses memory from launch 0 to 1: ", "they loop over different things"}},
    {"tile", {"reduce %", "store %", "dot %"}},
    {"llvm", {"define ", "@tw_kernel(", "fmul"}},
    {"asm", {"tw_kernel:", "ret"}},
    {"plan", {"plan: ", "launches", "batch 0: "}},
    {"guards", {"ended by data of f32[24], is compiled: seen 1 times"}},
    {"timing", {"kernels in ", "compiled in "}},
};

static void each_stage_says_what_it_promises(void **state)
{
    (void)state;
    for (size_t i = 0; i < TW_COUNT(promises); i++) {
        heard h = hear(promises[i].stage);
        for (int k = 0; k < 4 && promises[i].contains[k]; k++) {
            if (!strstr(tw_text_string(&h.text), promises[i].contains[k]))
                fail_msg("TW_LOG=%s doesn't say '%s':\n%s", promises[i].stage, promises[i].contains[k],
                         tw_text_string(&h.text));
            checks++;
        }
        assert_false(h.foreign);
        tw_text_free(&h.text);
    }
}

static void the_cache_says_what_it_keeps_and_serves(void **state)
{
    char folder[] = "/tmp/tw-test-log-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    setenv("TW_CACHE", "1", 1);
    setenv("TW_CACHE_DIR", folder, 1);
    heard first = hear("cache"), second = hear("cache");
    assert_non_null(strstr(tw_text_string(&first.text), " keeps a new kernel of "));
    assert_null(strstr(tw_text_string(&first.text), " serves "));
    assert_non_null(strstr(tw_text_string(&second.text), " serves a kernel of "));
    assert_null(strstr(tw_text_string(&second.text), " keeps "));
    tw_text_free(&first.text);
    tw_text_free(&second.text);
    heard asked = hear("asm"); /* a cached kernel has no text: asking for it compiles again */
    assert_non_null(strstr(tw_text_string(&asked.text), "tw_kernel:"));
    tw_text_free(&asked.text);
    setenv("TW_CACHE", "0", 1);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    checks += 5;
}

static void nothing_is_said_when_all_is_off(void **state)
{
    (void)state;
    heard h = hear("");
    assert_int_equal(h.lines, 0);
    assert_int_equal(tw_log_set("graph,nonsense"), TW_ERR_VALUE);
    assert_non_null(strstr(tw_error_message(), "unknown stage 'nonsense'"));
    checks += 3;
}

int main(void)
{
    setenv("TW_CACHE", "0", 1);
    tw_set_tier(TW_TIER_COMPILED);
    tw_manual_seed(5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stage_says_what_it_promises),
        cmocka_unit_test(the_cache_says_what_it_keeps_and_serves),
        cmocka_unit_test(nothing_is_said_when_all_is_off),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    return failed;
}
