/* Handles, memory, errors, printing, and gradients of gradients. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "capture/capture.h"
#include "tilewright/ops.h"

static int checks;

#define LIST(...)                                                                                                      \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void says(tw_status status, tw_status want, const char *words)
{
    checks++;
    assert_int_equal(status, want);
    if (!strstr(tw_error_message(), words))
        fail_msg("the message is \"%s\"; expected it to say \"%s\"", tw_error_message(), words);
}

/* ---- printing ---- */

static tw_dtype dtype_named(const char *name)
{
    for (int d = 0; d < TW_TENSOR_DTYPES; d++)
        if (!strcmp(tw_dtype_name((tw_dtype)d), name))
            return (tw_dtype)d;
    fail_msg("no dtype %s", name);
    return TW_F32;
}

/* "f32 2,3 v0 v1 ..." */
static tw_tensor *tensor_of_line(char *line)
{
    int64_t shape[TW_MAX_RANK], n = 1;
    int rank = 0;
    tw_dtype dtype = dtype_named(strtok(line, " "));
    for (const char *at = strtok(NULL, " "); at && *at != '-'; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        n *= shape[rank++] = strtoll(at, NULL, 10);
    char *data = calloc((size_t)n + 1, 8);
    for (int64_t i = 0; i < n; i++)
        tw_dtype_store(dtype, data + (size_t)i * tw_dtype_size(dtype), strtod(strtok(NULL, " "), NULL));
    tw_tensor *t = tw_from_data(data, rank, shape, dtype);
    free(data);
    return t;
}

static void prints_as_pytorch_does(void **state)
{
    (void)state;
    void *data;
    size_t bytes;
    assert_int_equal(tw_os_read_file(PRINTS_DATA, 1 << 24, &data, &bytes), TW_OK);
    for (char *at = data; *at;) {
        char want[20000] = "", *next = strchr(at, '\n');
        *next++ = '\0';
        while (!strncmp(next, "  ", 2)) {
            char *end = strchr(next, '\n');
            strncat(want, next + 2, (size_t)(end - next - 1));
            next = end + 1;
        }
        want[strlen(want) - 1] = '\0';
        TW_SCOPE {
            char first[60];
            snprintf(first, sizeof first, "%s", at);
            char *text = tw_print_text(tensor_of_line(at));
            checks++;
            if (!text || strcmp(text, want))
                fail_msg("%s\n%s\nPyTorch has\n%s", first, text ? text : tw_error_message(), want);
            tw_text_release(text);
        }
        at = next;
    }
    tw_free(data);
}

static void prints_what_it_knows_of_gradients(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *x = tw_requires_grad(tw_ones(LIST(2), TW_F32), true), *y = tw_exp(x);
        char *text = tw_print_text(x), *more = tw_print_text(y);
        assert_string_equal(text, "tensor([1., 1.], requires_grad=True)");
        assert_string_equal(more, "tensor([2.7183, 2.7183], grad_fn=<exp>)");
        tw_text_release(text);
        tw_text_release(more);
    }
}

/* ---- memory ---- */

static int freed;

static void count_free(void *user)
{
    freed += user != NULL;
}

static void memory_of_the_program(void **state)
{
    (void)state;
    float data[] = {1, 2, 3, 4, 5, 6};
    freed = 0;
    TW_SCOPE {
        tw_tensor *x = tw_from_memory(data, LIST(2, 3), NULL, TW_F32, count_free, &freed);
        assert_ptr_equal(tw_data(x), data);
        data[0] = 10;
        assert_true(tw_item(tw_sum(x, 0, NULL, false)) == 30);
        assert_int_equal(tw_mul_(x, tw_scalar(2, TW_F32)), TW_OK); /* in the program's memory */
        assert_int_equal(tw_sync(), TW_OK);
        assert_true(data[0] == 20 && data[5] == 12);
        assert_ptr_equal(tw_data(x), data);
        tw_tensor *row = tw_select(x, 0, 1);
        assert_ptr_equal(tw_memory(row), data + 3);
        assert_true(tw_shares_memory(row, x));
        assert_int_equal(tw_fill_(row, 7), TW_OK);
        assert_int_equal(tw_sync(), TW_OK);
        assert_true(data[2] == 6 && data[3] == 7 && data[5] == 7);
    }
    assert_int_equal(freed, 1);
    checks += 8;
}

/* Columns and reversed rows, read and written where they are. */
static void strided_memory(void **state)
{
    (void)state;
    static const tw_tier tiers[] = {TW_TIER_COMPILED, TW_TIER_OPERATIONS};
    for (int k = 0; k < 2; k++) {
        double data[12];
        for (int i = 0; i < 12; i++)
            data[i] = i;
        tw_set_tier(tiers[k]);
        TW_SCOPE {
            tw_tensor *x = tw_from_memory(data + 9, LIST(3, 4), (int64_t[]){1, -3}, TW_F64, NULL,
                                          NULL); /* x[i][j] = 9 - 3 j + i */
            assert_int_equal(tw_tensor_status(x), TW_OK);
            tw_tensor *y = tw_add(x, tw_scalar(100, TW_F64));
            const double *got = tw_data(y);
            for (int i = 0; i < 12; i++)
                assert_true(got[i] == 109 - 3 * (i % 4) + i / 4);
            assert_true(((const double *)tw_data(x))[1] == 6 && ((const double *)tw_memory(x))[1] == 10);
            assert_int_equal(tw_add_(x, y), TW_OK);
            tw_tensor *corner = tw_narrow_to(x, 1, 1, (int64_t[]){2}, 1, (int64_t[]){2});
            assert_int_equal(tw_neg_(corner), TW_OK);
            assert_int_equal(tw_sync(), TW_OK);
            for (int i = 0; i < 12; i++) {
                int row = i % 3, column = 3 - i / 3;
                double want = (row + 9 - 3 * column) * 2 + 100;
                assert_true(data[i] == (column >= 2 ? -want : want));
            }
            checks += 26;
        }
    }
    tw_set_tier(TW_TIER_AUTO);
    TW_SCOPE {
        double data[4] = {0};
        tw_tensor *x = tw_from_memory(data, LIST(2, 3), (int64_t[]){1, 1}, TW_F64, NULL, NULL);
        says(tw_tensor_status(x), TW_ERR_VALUE, "overlap");
    }
}

static void strides_are_those_of_views(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *x = tw_zeros(LIST(2, 3, 4), TW_F32), *y = tw_permute(x, LIST(2, 0, 1));
        assert_false(tw_is_contiguous(y));
        assert_memory_equal(tw_strides(y), ((int64_t[]){1, 12, 4}), 3 * sizeof(int64_t));
        assert_ptr_equal(tw_contiguous(x), x);
        tw_tensor *z = tw_contiguous(y);
        assert_true(tw_is_contiguous(z) && !tw_shares_memory(z, x));
        assert_false(tw_shares_memory(tw_reshape(y, LIST(24)), x)); /* must copy */
        assert_true(tw_shares_memory(tw_reshape(x, LIST(6, 4)), x));
        uint64_t before = tw_version(x);
        assert_int_equal(tw_zero_(y), TW_OK);
        assert_int_equal(tw_version(x), before + 1);
        checks += 8;
    }
}

/* What a view alone keeps alive is the view. */
static void a_view_alone_is_kept_alone(void **state)
{
    (void)state;
    tw_sync();
    tw_runtime_free();
    int64_t before = tw_tensor_bytes();
    TW_SCOPE {
        tw_tensor *part = NULL;
        TW_SCOPE {
            tw_tensor *big = tw_exp(tw_zeros(LIST(1000, 100), TW_F32));
            part = tw_yield(tw_select(big, 0, 3));
        }
        assert_true(((const float *)tw_data(part))[99] == 1);
        assert_int_equal(tw_tensor_bytes() - before, 100 * 4 + tw_runtime_bytes());
        tw_runtime_free();
        checks += 2;
    }
}

/* ---- errors ---- */

static void errors_name_what_was_given(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *a = tw_zeros(LIST(2, 3), TW_F32), *b = tw_zeros(LIST(4, 5), TW_F32), *i = tw_zeros(LIST(2), TW_I64);
        says(tw_tensor_status(tw_matmul(a, b)), TW_ERR_SHAPE, "matmul");
        says(tw_tensor_status(tw_add(a, b)), TW_ERR_SHAPE, "[2, 3]");
        says(tw_tensor_status(tw_softmax(a, 2)), TW_ERR_AXIS, "axis 2");
        says(tw_tensor_status(tw_bitwise_not(a)), TW_ERR_DTYPE, "f32");
        tw_tensor *failed = tw_matmul(a, b);
        assert_int_equal(tw_tensor_status(tw_exp(tw_add(failed, a))), TW_ERR_SHAPE); /* is passed on */
        says(tw_add_(i, tw_scalar(0.5, TW_F32)), TW_ERR_DTYPE, "can't hold");
        says(tw_add_(a, tw_zeros(LIST(4, 2, 3), TW_F32)), TW_ERR_SHAPE, "");
        says(tw_fill_(tw_requires_grad(a, true), 1), TW_ERR_VALUE, "requires gradients");
        says(tw_fill_(tw_select(a, 0, 0), 1), TW_ERR_VALUE, "view of a leaf");
        tw_set_grad_enabled(false);
        assert_int_equal(tw_fill_(a, 1), TW_OK);
        tw_set_grad_enabled(true);
        checks += 2;
    }
}

/* Each would reach memory that isn't the tensor's if its numbers were let wrap; the calls after it are served. */
static void views_do_not_wrap(void **state)
{
    const int64_t large = (int64_t)1 << 32, largest = INT64_MAX;
    (void)state;
    TW_SCOPE {
        tw_tensor *x = tw_ones(LIST(4), TW_F32), *none = tw_zeros(LIST(0), TW_F32), *one = tw_ones(LIST(1), TW_F32);
        says(tw_tensor_status(tw_slice(x, LIST(0), LIST(large + 1), LIST(large))), TW_ERR_VALUE, "out of range");
        says(tw_tensor_status(tw_narrow_to(x, 0, LIST(largest), LIST(1))), TW_ERR_VALUE, "out of range");
        says(tw_tensor_status(tw_narrow_to(x, 0, LIST(largest), LIST(largest))), TW_ERR_VALUE, "out of range");
        says(tw_tensor_status(tw_reshape(none, LIST(large, large))), TW_ERR_UNSUPPORTED, "beyond 2^61");
        says(tw_tensor_status(tw_expand(one, LIST(large, large))), TW_ERR_SHAPE, "2^59");
        says(tw_tensor_status(tw_repeat(x, LIST(largest))), TW_ERR_UNSUPPORTED, "beyond 2^61");
        says(tw_tensor_status(tw_one_hot(tw_zeros(LIST(2), TW_I64), -1, TW_F32)), TW_ERR_VALUE, "-1 classes");
        assert_true(tw_item(tw_sum(x, 0, NULL, false)) == 4);
        checks++;
    }
}

#include "tilewright/places.h"

static void errors_name_the_place(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *a = tw_ones(LIST(2, 3), TW_F32), *b = tw_ones(LIST(4), TW_F32);
        char where[64];
        snprintf(where, sizeof where, "test_tensor.c:%d)", __LINE__ + 1);
        tw_tensor *first = tw_add(a, b);
        says(tw_tensor_status(first), TW_ERR_SHAPE, where);
        tw_tensor *passed_on = tw_exp(tw_neg(first)); /* the place of the cause stays */
        says(tw_tensor_status(passed_on), TW_ERR_SHAPE, where);
        snprintf(where, sizeof where, "test_tensor.c:%d)", __LINE__ + 1);
        says(tw_add_(a, b), TW_ERR_SHAPE, where);
    }
}

/* ---- gradients ---- */

static void saved_values_that_changed_are_noticed(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *x = tw_requires_grad(tw_ones(LIST(3), TW_F32), true), *y = tw_mul(x, tw_scalar(2, TW_F32)),
                  *z = tw_square(y);
        assert_int_equal(tw_add_(y, tw_scalar(1, TW_F32)), TW_OK);
        says(tw_backward(tw_sum(z, 0, NULL, false), NULL), TW_ERR_VALUE, "changed in place");
        tw_tensor *e = tw_exp(x), *loss = tw_sum(e, 0, NULL, false);
        assert_int_equal(tw_backward(loss, NULL), TW_OK);
        says(tw_backward(loss, NULL), TW_ERR_VALUE, "second time");
    }
}

/* d^n sin(x^2) by hand: each gradient is taken with a history of its own. */
static void gradients_of_gradients(void **state)
{
    (void)state;
    for (int k = 0; k < 5; k++) {
        double v = 0.3 + 0.4 * k, s = sin(v * v), c = cos(v * v);
        double want[] = {s, 2 * v * c, 2 * c - 4 * v * v * s, -12 * v * s - 8 * v * v * v * c};
        TW_SCOPE {
            tw_tensor *x = tw_requires_grad(tw_scalar(v, TW_F64), true), *y = tw_sin(tw_square(x));
            for (int n = 0; n < 4; n++) {
                double got = tw_item(y);
                checks++;
                if (fabs(got - want[n]) > 1e-12 * fmax(1, fabs(want[n])))
                    fail_msg("derivative %d at %g is %.17g; expected %.17g", n, v, got, want[n]);
                tw_tensor *next = NULL;
                if (n < 3)
                    assert_int_equal(tw_grad(1, &y, NULL, 1, &x, &next, true), TW_OK);
                y = n < 3 ? next : y;
            }
        }
    }
}

/* The gradient of a gradient's norm, through products, softmax and views, against finite differences. */
static tw_tensor *penalty(tw_tensor *w, tw_tensor *x)
{
    tw_tensor *h = tw_softmax(tw_matmul(x, tw_transpose(w, 0, 1)), 1), *g;
    tw_tensor *loss =
        tw_sum(tw_mul(tw_log(h), tw_select(x, 1, 0) ? tw_narrow_to(x, 1, 1, (int64_t[]){0}, 1, (int64_t[]){2}) : x), 0,
               NULL, false);
    if (tw_grad(1, &loss, NULL, 1, &w, &g, true) != TW_OK)
        fail_msg("%s", tw_error_message());
    return tw_sum(tw_square(g), 0, NULL, false);
}

static void a_gradient_penalty(void **state)
{
    (void)state;
    double w[6] = {0.1, -0.4, 0.7, 0.3, 0.2, -0.6}, x[12] = {1, 2, -1, 0.5, -0.25, 3, 0.1, 0.2, 0.3, -2, 1, 0.7};
    TW_SCOPE {
        tw_tensor *input = tw_from_data(x, LIST(4, 3), TW_F64),
                  *weight = tw_requires_grad(tw_from_data(w, LIST(2, 3), TW_F64), true), *g;
        tw_tensor *p = penalty(weight, input);
        assert_int_equal(tw_grad(1, &p, NULL, 1, &weight, &g, false), TW_OK);
        const double *got = tw_data(g);
        for (int i = 0; i < 6; i++) {
            double at[2];
            for (int side = 0; side < 2; side++) {
                double moved[6];
                memcpy(moved, w, sizeof w);
                moved[i] += side ? -1e-6 : 1e-6;
                at[side] = tw_item(penalty(tw_requires_grad(tw_from_data(moved, LIST(2, 3), TW_F64), true), input));
            }
            double want = (at[0] - at[1]) / 2e-6;
            checks++;
            if (fabs(got[i] - want) > 1e-6 * fmax(1, fabs(want)))
                fail_msg("element %d is %.12g; finite differences give %.12g", i, got[i], want);
        }
    }
}

static void gradients_add_up_and_stop(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *x = tw_requires_grad(tw_scalar(3, TW_F32), true);
        for (int i = 1; i <= 3; i++) {
            assert_int_equal(tw_backward(tw_square(x), NULL), TW_OK);
            assert_true(tw_item(tw_grad_of(x)) == 6.0 * i);
        }
        tw_zero_grad(x);
        assert_null(tw_grad_of(x));
        tw_tensor *y = tw_mul(x, tw_detach(x));
        assert_int_equal(tw_backward(y, NULL), TW_OK);
        assert_true(tw_item(tw_grad_of(x)) == 3);
        bool was = tw_set_grad_enabled(false);
        assert_false(tw_needs_grad(tw_square(x)));
        tw_set_grad_enabled(was);
        tw_tensor *d = tw_detach(x);
        assert_true(tw_shares_memory(d, x));
        assert_int_equal(tw_fill_(d, 5), TW_OK);
        assert_true(tw_item(x) == 5);
        checks += 9;
    }
}

/* ---- compiled functions ---- */

static tw_status scale_in_place(void *user, tw_tensor *const *in, int n, tw_tensor **out, int outputs)
{
    tw_tensor *state = user;
    (void)n, (void)outputs;
    out[0] = tw_add(in[0], state);
    tw_status status = tw_mul_(state, tw_scalar(2, TW_F32));
    return status == TW_OK ? tw_add_(in[0], tw_scalar(1, TW_F32)) : status;
}

static void compiled_functions_change_what_they_captured(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *s = tw_ones(LIST(3), TW_F32), *x = tw_zeros(LIST(2, 3), TW_F32), *row = tw_select(x, 0, 1), *y;
        tw_function *f = tw_compile(scale_in_place, s, 1);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(tw_call(f, &row, 1, &y), TW_OK);
            assert_true(((const float *)tw_data(y))[2] == (float)i + (float)(1 << i));
            assert_true(((const float *)tw_data(x))[5] == (float)(i + 1) && ((const float *)tw_data(x))[0] == 0);
            checks += 3;
        }
        tw_function_destroy(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_as_pytorch_does),     cmocka_unit_test(prints_what_it_knows_of_gradients),
        cmocka_unit_test(memory_of_the_program),      cmocka_unit_test(strided_memory),
        cmocka_unit_test(strides_are_those_of_views), cmocka_unit_test(a_view_alone_is_kept_alone),
        cmocka_unit_test(errors_name_what_was_given), cmocka_unit_test(views_do_not_wrap),
        cmocka_unit_test(errors_name_the_place),      cmocka_unit_test(saved_values_that_changed_are_noticed),
        cmocka_unit_test(gradients_of_gradients),     cmocka_unit_test(a_gradient_penalty),
        cmocka_unit_test(gradients_add_up_and_stop),  cmocka_unit_test(compiled_functions_change_what_they_captured),
    };
    tw_library_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    tw_capture_reset();
    return failed;
}
