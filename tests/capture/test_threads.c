/* Several threads of a program at once, each with tensors of its own: they share plans, kernels, the compiler, the log
 * and a kernel program, and each gets what it would have got alone. Under TSan (make check-sanitize) also: no race. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "tilewright/tilewright.h"

static int checks;

enum { THREADS = 4, STEPS = 12, IN = 24, HIDDEN = 40, OUT = 8 };

typedef struct work {
    pthread_barrier_t *start;
    int64_t batch; /* the last steps have another one: one more member of the family is compiled */
    float loss[STEPS];
    tw_status status;
} work;

static double step(tw_parameters *p, tw_sgd *o, int64_t batch)
{
    double loss = 0;
    TW_SCOPE {
        tw_tensor *x = tw_randn(2, (int64_t[]){batch, IN}, TW_F32), *y = tw_randn(2, (int64_t[]){batch, OUT}, TW_F32);
        tw_tensor *h = tw_tanh(tw_linear(x, p->item[0].value, p->item[1].value));
        tw_tensor *error = tw_square(tw_sub(tw_linear(h, p->item[2].value, p->item[3].value), y));
        tw_tensor *result = tw_mean(error, 0, NULL, false);
        if (tw_backward(result, NULL) == TW_OK && tw_sgd_step(o) == TW_OK)
            loss = tw_item(result);
        tw_parameters_zero_grad(p);
    }
    return loss;
}

static void *train(void *data)
{
    work *w = data;
    tw_parameters p = {0};
    tw_linear_layer a, b;
    tw_sgd o;
    w->status = tw_manual_seed(5);
    if (w->start)
        pthread_barrier_wait(w->start);
    if (w->status == TW_OK)
        w->status = tw_linear_init(&a, &p, "a", IN, HIDDEN, true, 0.2);
    if (w->status == TW_OK)
        w->status = tw_linear_init(&b, &p, "b", HIDDEN, OUT, true, 0.2);
    if (w->status == TW_OK)
        w->status = tw_sgd_init(&o, &p, 0.1, 0.9);
    for (int i = 0; i < STEPS && w->status == TW_OK; i++) {
        w->loss[i] = (float)step(&p, &o, i < STEPS / 2 ? w->batch : w->batch + 3);
        w->status = tw_error_code();
    }
    tw_sgd_free(&o);
    tw_parameters_free(&p); /* the thread's own things, generator and scopes, go with it */
    return NULL;
}

static void threads_train_as_if_alone(void **state)
{
    static const tw_tier tiers[] = {TW_TIER_COMPILED, TW_TIER_AUTO, TW_TIER_OPERATIONS};
    (void)state;
    for (size_t t = 0; t < sizeof tiers / sizeof *tiers; t++) {
        pthread_t thread[THREADS];
        pthread_barrier_t start;
        work alone[2] = {{.batch = 16}, {.batch = 33}}, each[THREADS];
        tw_set_tier(tiers[t]);
        train(&alone[0]);
        train(&alone[1]);
        tw_capture_reset(); /* plans and kernels are made again, by whoever is first */
        pthread_barrier_init(&start, NULL, THREADS);
        for (int i = 0; i < THREADS; i++) {
            each[i] = (work){.start = &start, .batch = alone[i % 2].batch};
            assert_int_equal(pthread_create(&thread[i], NULL, train, &each[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(thread[i], NULL);
            assert_int_equal(each[i].status, TW_OK);
            assert_memory_equal(each[i].loss, alone[i % 2].loss, sizeof each[i].loss);
            checks += 2;
        }
        assert_true(alone[0].loss[0] > 0 && alone[0].loss[0] != alone[1].loss[0]);
        pthread_barrier_destroy(&start);
    }
}

static const char text[] = "import triton\n"
                           "import triton.language as tl\n"
                           "@triton.jit\n"
                           "def scale(x_ptr, out_ptr, n, factor, BLOCK: tl.constexpr):\n"
                           "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
                           "    tl.store(out_ptr + i, tl.load(x_ptr + i, mask=i < n) * factor, mask=i < n)\n";

typedef struct launches {
    tw_kernel_program *program;
    int64_t n;
    int bad;
} launches;

static void *launch_often(void *data)
{
    enum { MOST = 5000, ROUNDS = 200 };
    launches *l = data;
    float *x = calloc(2 * MOST, sizeof *x), *out = x ? x + MOST : NULL;
    l->bad = !x;
    for (int64_t i = 0; x && i < l->n; i++)
        x[i] = (float)i;
    for (int round = 0; x && round < ROUNDS; round++) {
        bool in_place = round % 5 == 4; /* another variant */
        const tw_kernel_value values[] = {
            {.pointer = x}, {.pointer = in_place ? x : out}, {.integer = l->n}, {.number = in_place ? 1 : round}};
        l->bad += tw_kernel_launch(l->program, (int64_t[]){(l->n + 63) / 64, 1, 1}, values) != TW_OK;
        for (int64_t i = 0; i < l->n && !in_place; i++)
            l->bad += out[i] != (float)i * (float)round;
    }
    free(x);
    return NULL;
}

static void threads_launch_one_program(void **state)
{
    static const int64_t sizes[THREADS] = {1, 777, 4096, 5000};
    const char *const given[] = {"x_ptr:*f32", "out_ptr:*f32", "n:i32", "factor:f32", "BLOCK=64"};
    pthread_t thread[THREADS];
    launches each[THREADS];
    tw_kernel_source *s;
    tw_kernel_program *p;
    (void)state;
    assert_int_equal(tw_kernel_source_create(&s), TW_OK);
    assert_int_equal(tw_kernel_source_add(s, "threads.py", text, strlen(text)), TW_OK);
    assert_int_equal(tw_kernel_program_create(s, "scale", given, 5, &p), TW_OK);
    tw_kernel_source_destroy(s);
    for (int i = 0; i < THREADS; i++) {
        each[i] = (launches){p, sizes[i], 0};
        assert_int_equal(pthread_create(&thread[i], NULL, launch_often, &each[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(each[i].bad, 0);
        checks++;
    }
    tw_kernel_program_destroy(p);
}

int main(void)
{
    setenv("TW_BACKGROUND", "1", 0); /* compile beside the program, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_train_as_if_alone),
        cmocka_unit_test(threads_launch_one_program),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_message("# checks: %d\n", checks);
    return failed;
}
