/* Elementary functions over all of f32: every 1021st number, subnormal, huge and special ones among them, within the
 * promised units in the last place of the C library's in double; and numbers next to multiples of pi/2, where most
 * digits cancel. */
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
#include "ops/graph_ops.h"
#include "ops/reference.h"
#include "tilewright/ops.h"

static int checks;

static double rsqrt_(double x)
{
    return 1 / sqrt(x);
}

static const struct {
    const char *name;
    int code;
    tw_tensor *(*run)(tw_tensor *);
    double (*want)(double);
} functions[] = {
    {"exp", TW_G_EXP, tw_exp, exp},     {"exp2", TW_G_EXP2, tw_exp2, exp2},      {"expm1", TW_G_EXPM1, tw_expm1, expm1},
    {"log", TW_G_LOG, tw_log, log},     {"log2", TW_G_LOG2, tw_log2, log2},      {"log1p", TW_G_LOG1P, tw_log1p, log1p},
    {"sqrt", TW_G_SQRT, tw_sqrt, sqrt}, {"rsqrt", TW_G_RSQRT, tw_rsqrt, rsqrt_}, {"sin", TW_G_SIN, tw_sin, sin},
    {"cos", TW_G_COS, tw_cos, cos},     {"tan", TW_G_TAN, tw_tan, tan},          {"asin", TW_G_ASIN, tw_asin, asin},
    {"acos", TW_G_ACOS, tw_acos, acos}, {"atan", TW_G_ATAN, tw_atan, atan},      {"tanh", TW_G_TANH, tw_tanh, tanh},
    {"erf", TW_G_ERF, tw_erf, erf},
};

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* How many units of f32 lie between what came out and what is right. */
static double units(float got, double want)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (isinf(got) && fabs(want) > 0x1.ffffffp127)
        return signbit(got) == signbit((float)want) ? 0 : INFINITY;
    return fabs((double)got - want) / tw_ulp(want, TW_F32);
}

static void all_within(size_t f, const float *x, int64_t count)
{
    TW_SCOPE {
        tw_tensor *y = functions[f].run(tw_from_data(x, 1, &count, TW_F32));
        const float *got = tw_data(y);
        assert_non_null(got);
        double promised = tw_reference_ulp(functions[f].code, TW_F32);
        for (int64_t i = 0; i < count; i++)
            if (units(got[i], functions[f].want(x[i])) > promised)
                fail_msg("%s(%a) is %a; expected %a within %g units", functions[f].name, (double)x[i], (double)got[i],
                         functions[f].want(x[i]), promised);
    }
    checks++;
}

static void all_numbers(void **state)
{
    (void)state;
    enum { STEP = 1021 };
    int64_t count = 0;
    float *x = malloc(((size_t)(UINT32_MAX / STEP) + 1) * sizeof *x);
    assert_non_null(x);
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STEP)
        x[count++] = float_of((uint32_t)bits);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
        all_within(f, x, count);
    free(x);
}

/* The f32 nearest to k pi/2 and its neighbours, for k over all magnitudes. */
static void next_to_multiples_of_pi_2(void **state)
{
    (void)state;
    enum { STEPS = 60000 };
    static float x[3 * STEPS];
    double k = 1;
    for (int i = 0; i < STEPS; i++, k = ceil(k * 1.00145)) {
        x[3 * i] = (float)fmin(k * 0x1.921fb54442d18p+0, 0x1p127);
        x[3 * i + 1] = nextafterf(x[3 * i], 0);
        x[3 * i + 2] = -nextafterf(x[3 * i], INFINITY);
    }
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
        if (functions[f].want == sin || functions[f].want == cos || functions[f].want == tan)
            all_within(f, x, 3 * STEPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_numbers), cmocka_unit_test(next_to_multiples_of_pi_2)};
    tw_library_init();
    tw_set_tier(TW_TIER_COMPILED);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    tw_capture_reset();
    return failed;
}
