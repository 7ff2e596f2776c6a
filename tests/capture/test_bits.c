/* The training step of a GPT, dropout included: the same bits in every weight and moment however it is run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

enum { STEPS = 4, BATCH = 8, TIME = 192, VOCABULARY = 256 };

static int checks;

typedef struct way {
    const char *name, *variable, *value; /* of the environment */
    tw_tier tier;
    int threads;
} way;

typedef struct state_of_run {
    char *bytes;
    size_t count, room;
} state_of_run;

static void remember(state_of_run *s, tw_tensor *t)
{
    size_t bytes = (size_t)tw_numel(t) * sizeof(float);
    if (s->count + bytes > s->room)
        assert_non_null(s->bytes = realloc(s->bytes, s->room = 2 * (s->count + bytes)));
    assert_int_equal(tw_copy_out(t, s->bytes + s->count, bytes), TW_OK);
    s->count += bytes;
}

static void train_step(tw_gpt *m, tw_adamw *o, int step, state_of_run *s)
{
    int64_t token[2][BATCH * TIME];
    for (int i = 0; i < BATCH * TIME; i++) {
        token[0][i] = (i * 7 + step * 13 + i * i % 31) % VOCABULARY;
        token[1][i] = (token[0][i] + 1) % VOCABULARY;
    }
    TW_SCOPE {
        const int64_t shape[2] = {BATCH, TIME};
        tw_tensor *loss =
            tw_gpt_loss(m, tw_from_data(token[0], 2, shape, TW_I64), tw_from_data(token[1], 2, shape, TW_I64), true);
        assert_int_equal(tw_backward(loss, NULL), TW_OK);
        tw_clip_grad_norm(&m->parameters, 1);
        assert_int_equal(tw_adamw_step(o), TW_OK);
        tw_parameters_zero_grad(&m->parameters);
        remember(s, loss);
    }
}

static state_of_run train(const way *w)
{
    const tw_gpt_config config = {
        .layers = 4, .dim = 128, .heads = 4, .context = TIME, .vocabulary = VOCABULARY, .dropout = 0.1};
    state_of_run s = {0};
    tw_gpt m = {0};
    tw_adamw o = {0};
    if (w->variable)
        setenv(w->variable, w->value, 1);
    tw_capture_reset();
    tw_set_tier(w->tier);
    tw_set_num_threads(w->threads);
    tw_manual_seed(5);
    assert_int_equal(tw_gpt_init(&m, &config), TW_OK);
    assert_int_equal(tw_adamw_init(&o, &m.parameters, 1e-3), TW_OK);
    for (int i = 0; i < STEPS; i++)
        train_step(&m, &o, i, &s);
    for (int i = 0; i < m.parameters.count; i++) {
        remember(&s, m.parameters.item[i].value);
        remember(&s, o.m[i]);
        remember(&s, o.v[i]);
    }
    tw_adamw_free(&o);
    tw_gpt_free(&m);
    if (w->variable)
        unsetenv(w->variable);
    return s;
}

static void the_same_bits_however_it_runs(void **state)
{
    (void)state;
    static const way ways[] = {
        {"operations, one thread", NULL, NULL, TW_TIER_OPERATIONS, 1},
        {"compiled, one thread", NULL, NULL, TW_TIER_COMPILED, 1},
        {"compiled, two threads", NULL, NULL, TW_TIER_COMPILED, 2},
        {"compiled, two threads, again", NULL, NULL, TW_TIER_COMPILED, 2},
        {"compiled, three threads, exact", "TW_EXACT", "1", TW_TIER_COMPILED, 3},
        {"eager, two threads, exact", "TW_EXACT", "1", TW_TIER_OPERATIONS, 2},
        {"each operation at once", "TW_EAGER", "1", TW_TIER_OPERATIONS, 2},
        {"each operation at once, as a tier", NULL, NULL, TW_TIER_EAGER, 2},
        {"compiled at second sight", NULL, NULL, TW_TIER_AUTO, 2},
        {"computed again for want of memory", "TW_MEMORY_BUDGET", "12000000", TW_TIER_COMPILED, 2},
    };
    state_of_run want = train(&ways[0]);
    for (size_t i = 1; i < TW_COUNT(ways); i++) {
        state_of_run got = train(&ways[i]);
        assert_int_equal(got.count, want.count);
        for (size_t at = 0; at < want.count; at += sizeof(float))
            if (memcmp(got.bytes + at, want.bytes + at, sizeof(float)) != 0)
                fail_msg("%s: number %zu differs from operation by operation", ways[i].name, at / sizeof(float));
        checks++;
        free(got.bytes);
    }
    free(want.bytes);
}

/* Attention of 256 positions over values whose last is infinite: 0 times infinity is only found by who looks. */
static int not_finite(tw_tensor *q, tw_tensor *v, bool exact)
{
    int count = 0;
    if (exact)
        setenv("TW_EXACT", "1", 1);
    tw_capture_reset();
    tw_set_tier(TW_TIER_COMPILED);
    TW_SCOPE {
        tw_tensor *y = tw_attention(q, q, v, NULL, true, 0);
        const float *got = tw_data(y);
        assert_non_null(got);
        for (int64_t i = 0; i < tw_numel(y); i++)
            count += !isfinite(got[i]);
    }
    unsetenv("TW_EXACT");
    return count;
}

static void what_a_mask_hides_is_left_out(void **state)
{
    (void)state;
    enum { POSITIONS = 256, SIZE = 32, BLOCK = 64 };
    static float value[POSITIONS * SIZE];
    const int64_t shape[] = {1, 1, POSITIONS, SIZE};
    for (int i = 0; i < POSITIONS * SIZE; i++)
        value[i] = i < (POSITIONS - 1) * SIZE ? 1 : INFINITY;
    TW_SCOPE {
        tw_tensor *v = tw_from_data(value, 4, shape, TW_F32), *q = tw_randn(4, shape, TW_F32);
        assert_int_equal(not_finite(q, v, false), BLOCK * SIZE); /* the last block of rows looks at it */
        assert_int_equal(not_finite(q, v, true), POSITIONS * SIZE);
    }
    checks += 2;
}

/* The test above must be able to fail: another seed gives other masks, and other bits. */
static void another_seed_gives_other_bits(void **state)
{
    (void)state;
    double sum[2];
    for (int i = 0; i < 2; i++)
        TW_SCOPE {
            tw_manual_seed((uint64_t)i);
            tw_tensor *ones = tw_ones(1, (int64_t[]){1000}, TW_F32);
            tw_tensor *kept = tw_dropout(ones, tw_generator_take(1000), 0.5, 0);
            tw_tensor *weighted = tw_mul(kept, tw_arange(0, 1000, 1, TW_F32));
            sum[i] = tw_item(tw_sum(weighted, 1, (int64_t[]){0}, false));
        }
    assert_true(sum[0] != sum[1]);
    checks++;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_bits_however_it_runs),
                                       cmocka_unit_test(what_a_mask_hides_is_left_out),
                                       cmocka_unit_test(another_seed_gives_other_bits)};
    tw_library_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    tw_capture_reset();
    return failed;
}
