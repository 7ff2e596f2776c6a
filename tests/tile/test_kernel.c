/* tilewright/kernel.h: compiling from source text, arguments, launching, what programs say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tilewright/control.h"
#include "tilewright/kernel.h"
#include "tilewright/tensor.h"

static const char text[] = "import triton\n"
                           "import triton.language as tl\n"
                           "\n"
                           "@triton.jit\n"
                           "def add_kernel(x_ptr, y_ptr, out_ptr, n, scale, BLOCK: tl.constexpr):\n"
                           "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
                           "    x = tl.load(x_ptr + i, mask=i < n)\n"
                           "    y = tl.load(y_ptr + i, mask=i < n)\n"
                           "    tl.store(out_ptr + i, x + y * scale, mask=i < n)\n"
                           "\n"
                           "@triton.jit\n"
                           "def shift(x_ptr, out_ptr, stride, BLOCK: tl.constexpr):\n"
                           "    i = tl.arange(0, BLOCK)\n"
                           "    x = tl.load(x_ptr + (i + 1) % BLOCK * stride)\n"
                           "    tl.store(out_ptr + i * stride, x)\n"
                           "\n"
                           "@triton.jit\n"
                           "def swap(x_ptr, BLOCK: tl.constexpr):\n"
                           "    i = tl.arange(0, BLOCK)\n"
                           "    a = tl.load(x_ptr + i)\n"
                           "    b = tl.load(x_ptr + BLOCK - 1 - i)\n"
                           "    tl.store(x_ptr + i, b)\n"
                           "    tl.store(x_ptr + 2 * BLOCK + i, a)\n"
                           "\n"
                           "@triton.jit\n"
                           "def careful(x_ptr, n, BLOCK: tl.constexpr):\n"
                           "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
                           "    x = tl.load(x_ptr + i)\n"
                           "    tl.device_print('seen', tl.program_id(0), x)\n"
                           "    tl.device_assert(x < n, 'too large')\n"
                           "    tl.store(x_ptr + i, x + 1)\n"
                           "\n"
                           "@triton.jit\n"
                           "def places(out_ptr):\n"
                           "    x, y, z = tl.program_id(0), tl.program_id(1), tl.program_id(2)\n"
                           "    at = (z * tl.num_programs(1) + y) * tl.num_programs(0) + x\n"
                           "    tl.store(out_ptr + at, x + 10 * y + 100 * z)\n";

static tw_kernel_program *compile(const char *kernel, const char *const *given, int count)
{
    tw_kernel_source *s;
    tw_kernel_program *p = NULL;
    assert_int_equal(tw_kernel_source_create(&s), TW_OK);
    assert_int_equal(tw_kernel_source_add(s, "test.py", text, sizeof text - 1), TW_OK);
    if (tw_kernel_program_create(s, kernel, given, count, &p) != TW_OK)
        fail_msg("%s\n%s", tw_error_message(), tw_kernel_source_context(s));
    tw_kernel_source_destroy(s); /* programs don't need it */
    return p;
}

static void a_launch_computes(void **state)
{
    enum { N = 100000 };
    (void)state;
    static float x[N], y[N], out[N];
    const char *const given[] = {"x_ptr:*f32", "y_ptr:*f32", "out_ptr:*f32", "n:i32", "scale:f32", "BLOCK=256"};
    tw_kernel_program *p = compile("add_kernel", given, 6);
    assert_int_equal(tw_kernel_argument_count(p), 5);
    assert_string_equal(tw_kernel_argument_at(p, 3).name, "n");
    assert_true(tw_kernel_argument_at(p, 0).pointer && tw_kernel_argument_at(p, 0).dtype == TW_F32);
    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = (float)(i % 7);
    }
    for (int threads = 1; threads <= 2; threads++) {
        tw_set_num_threads(threads);
        for (int n = N - 300; n <= N; n += 100) {
            memset(out, 0, sizeof out);
            const tw_kernel_value v[] = {
                {.pointer = x}, {.pointer = y}, {.pointer = out}, {.integer = n}, {.number = 0.5}};
            assert_int_equal(tw_kernel_launch(p, (int64_t[]){(n + 255) / 256, 1, 1}, v), TW_OK);
            for (int i = 0; i < N; i++)
                assert_true(out[i] == (i < n ? x[i] + y[i] * 0.5f : 0));
        }
    }
    tw_set_num_threads(0);
    tw_kernel_program_destroy(p);
}

/* The tile is read before it is written, also where two arguments are one array. */
static void arrays_may_be_one(void **state)
{
    enum { B = 64 };
    (void)state;
    int32_t x[2 * B], out[2 * B];
    const char *const given[] = {"x_ptr:*i32", "out_ptr:*i32", "stride:i32", "BLOCK=64"};
    tw_kernel_program *p = compile("shift", given, 4);
    for (int stride = 1; stride <= 2; stride++) {
        for (int shared = 0; shared < 2; shared++) {
            for (int i = 0; i < 2 * B; i++)
                x[i] = out[i] = i;
            int32_t *to = shared ? x : out;
            const tw_kernel_value v[] = {{.pointer = x}, {.pointer = to}, {.integer = stride}};
            assert_int_equal(tw_kernel_launch(p, (int64_t[]){1, 1, 1}, v), TW_OK);
            for (int i = 0; i < B; i++)
                assert_int_equal(to[i * stride], (i + 1) % B * stride);
        }
    }
    tw_kernel_program_destroy(p);
}

static void loads_come_before_stores(void **state)
{
    enum { B = 32 };
    (void)state;
    float x[3 * B];
    const char *const given[] = {"x_ptr:*f32", "BLOCK=32"};
    tw_kernel_program *p = compile("swap", given, 2);
    for (int i = 0; i < 3 * B; i++)
        x[i] = (float)i;
    assert_int_equal(tw_kernel_launch(p, (int64_t[]){1, 1, 1}, (tw_kernel_value[]){{.pointer = x}}), TW_OK);
    for (int i = 0; i < B; i++) {
        assert_true(x[i] == (float)(B - 1 - i));
        assert_true(x[2 * B + i] == (float)i);
    }
    tw_kernel_program_destroy(p);
}

typedef struct heard {
    char line[8][200];
    int lines;
} heard;

static void hear(void *user, const char *line)
{
    heard *h = user;
    if (h->lines < 8)
        snprintf(h->line[h->lines++], sizeof h->line[0], "%s", line);
}

static void programs_say_something(void **state)
{
    (void)state;
    int32_t x[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    heard h = {0};
    const char *const given[] = {"x_ptr:*i32", "n:i32", "BLOCK=4"};
    tw_kernel_program *p = compile("careful", given, 3);
    tw_kernel_print_to(p, hear, &h);
    tw_set_num_threads(1);
    tw_status status = tw_kernel_launch(p, (int64_t[]){3, 1, 1}, (tw_kernel_value[]){{.pointer = x}, {.integer = 6}});
    assert_int_equal(status, TW_ERR_VALUE);
    assert_non_null(strstr(tw_error_message(), "too large"));
    assert_non_null(strstr(tw_error_message(), "program (1, 0, 0)"));
    assert_non_null(strstr(tw_error_message(), "element 2"));
    assert_string_equal(h.line[0], "pid (0, 0, 0) seen: 0; 0 1 2 3");
    assert_int_equal(x[0], 1); /* the first instance is done, the second stopped before its store */
    assert_int_equal(x[4], 4);
    tw_set_num_threads(0);
    tw_kernel_program_destroy(p);
}

static void the_grid_has_three_axes(void **state)
{
    (void)state;
    enum { X = 5, Y = 7, Z = 3 };
    int32_t out[X * Y * Z];
    const char *const given[] = {"out_ptr:*i32"};
    tw_kernel_program *p = compile("places", given, 1);
    memset(out, -1, sizeof out);
    assert_int_equal(tw_kernel_launch(p, (int64_t[]){X, Y, Z}, (tw_kernel_value[]){{.pointer = out}}), TW_OK);
    for (int i = 0; i < X * Y * Z; i++)
        assert_int_equal(out[i], i % X + 10 * (i / X % Y) + 100 * (i / X / Y));
    assert_int_equal(tw_kernel_launch(p, (int64_t[]){0, 1, 1}, (tw_kernel_value[]){{.pointer = NULL}}), TW_OK);
    assert_int_equal(tw_kernel_launch(p, (int64_t[]){-1, 1, 1}, (tw_kernel_value[]){{.pointer = out}}), TW_ERR_VALUE);
    tw_kernel_program_destroy(p);
}

static void mistakes_have_messages(void **state)
{
    (void)state;
    tw_kernel_source *s;
    tw_kernel_program *p;
    const char wrong[] = "import triton\nimport triton.language as tl\n@triton.jit\ndef f(x_ptr, B: tl.constexpr):\n"
                         "    tl.store(x_ptr + tl.arange(0, B), tl.arange(0, 2 * B))\n";
    assert_int_equal(tw_kernel_source_create(&s), TW_OK);
    assert_int_equal(tw_kernel_source_add(s, "wrong.py", wrong, sizeof wrong - 1), TW_OK);
    assert_int_equal(tw_kernel_source_count(s), 1);
    assert_string_equal(tw_kernel_source_name(s, 0), "f");
    assert_null(tw_kernel_source_name(s, 1));
    const char *const given[] = {"x_ptr:*i32", "B=8"};
    assert_int_not_equal(tw_kernel_program_create(s, "f", given, 2, &p), TW_OK);
    assert_non_null(strstr(tw_kernel_source_context(s), "wrong.py"));
    assert_int_not_equal(tw_kernel_program_create(s, "nothing", given, 2, &p), TW_OK);
    const char *const odd[] = {"x_ptr"};
    assert_int_equal(tw_kernel_program_create(s, "f", odd, 1, &p), TW_ERR_VALUE);
    assert_null(p);
    tw_kernel_source_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_launch_computes),        cmocka_unit_test(arrays_may_be_one),
        cmocka_unit_test(loads_come_before_stores), cmocka_unit_test(programs_say_something),
        cmocka_unit_test(the_grid_has_three_axes),  cmocka_unit_test(mistakes_have_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
