/* Numbers of tests/data/nn.safetensors (make_nn.py) and a comparison with them. */
#ifndef TW_TESTS_EXPECTED_H
#define TW_TESTS_EXPECTED_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "tilewright/io.h"
#include "tilewright/ops.h"

static tw_tensor_file *expected;
static int checks;

static int open_expected(void **state)
{
    (void)state;
    return tw_open_safetensors(NN_DATA, &expected) != TW_OK;
}

static int close_expected(void **state)
{
    (void)state;
    tw_close_safetensors(expected);
    tw_scope_end_all();
    return 0;
}

static tw_tensor *number(const char *name)
{
    tw_tensor *t = tw_file_tensor(expected, name);
    if (tw_tensor_status(t) != TW_OK)
        fail_msg("%s: %s", name, tw_error_message());
    return t;
}

/* Computed by PyTorch in f64, by us in f32: a few roundings of numbers up to about 10. */
static void agrees(tw_tensor *got, const char *name)
{
    enum { UNITS = 64 };
    tw_tensor *want = number(name);
    const float *a = tw_data(got), *b = tw_data(want);
    if (!a || !b)
        fail_msg("%s: %s", name, tw_error_message());
    assert_int_equal(tw_rank(got), tw_rank(want));
    for (int i = 0; i < tw_rank(got); i++)
        assert_int_equal(tw_size(got, i), tw_size(want, i));
    for (int64_t i = 0; i < tw_numel(got); i++) {
        float limit = UNITS * 1.2e-7F * fmaxf(1, fabsf(b[i]));
        if (isnan(a[i]) != isnan(b[i]) || fabsf(a[i] - b[i]) > limit)
            fail_msg("%s: element %lld is %.9g; PyTorch's is %.9g", name, (long long)i, (double)a[i], (double)b[i]);
        checks++;
    }
}

#endif
