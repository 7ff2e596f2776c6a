/* Optimisers, clipping and schedules against PyTorch's. */
#include "nn/expected.h"

#include "tilewright/optim.h"

static const char *const names[] = {"a", "b"};
enum { PARAMETERS = 2, STEPS = 6 };

static void start(tw_parameters *p)
{
    char key[64];
    *p = (tw_parameters){0};
    for (int i = 0; i < PARAMETERS; i++) {
        snprintf(key, sizeof key, "optim.%s", names[i]);
        assert_non_null(tw_parameters_add(p, names[i], number(key)));
    }
}

static bool is_expected(const char *name)
{
    for (int i = 0; i < tw_file_count(expected); i++)
        if (!strcmp(tw_file_name(expected, i), name))
            return true;
    return false;
}

/* The gradient of sum(p * g) is g. */
static void set_gradients(tw_parameters *p, int step)
{
    char key[64];
    tw_parameters_zero_grad(p);
    for (int i = 0; i < PARAMETERS; i++) {
        snprintf(key, sizeof key, "optim.%d.%s", step, names[i]);
        if (is_expected(key))
            assert_int_equal(tw_backward(tw_sum(tw_mul(p->item[i].value, number(key)), 0, NULL, false), NULL), TW_OK);
    }
}

static void check_parameters(const tw_parameters *p, const char *name, int step)
{
    char key[64];
    for (int i = 0; i < PARAMETERS; i++) {
        snprintf(key, sizeof key, "%s.%d.%s", name, step, names[i]);
        agrees(p->item[i].value, key);
    }
}

static void sgd_is_pytorch_s(void **state)
{
    static const struct {
        const char *name;
        double momentum, decay;
        bool nesterov;
    } ways[] = {
        {"sgd", 0, 0, false}, {"momentum", 0.9, 0, false}, {"decayed", 0.8, 0.3, false}, {"nesterov", 0.9, 0.2, true}};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(ways); i++)
        TW_SCOPE {
            tw_parameters p;
            tw_sgd o;
            start(&p);
            assert_int_equal(tw_sgd_init(&o, &p, 0.1, ways[i].momentum), TW_OK);
            o.weight_decay = ways[i].decay;
            o.nesterov = ways[i].nesterov;
            for (int t = 0; t < STEPS; t++) {
                set_gradients(&p, t);
                assert_int_equal(tw_sgd_step(&o), TW_OK);
                check_parameters(&p, ways[i].name, t);
            }
            tw_sgd_free(&o);
            tw_parameters_free(&p);
        }
}

static void run_adam(const char *name, tw_adamw *o, tw_parameters *p)
{
    for (int t = 0; t < STEPS; t++) {
        set_gradients(p, t);
        assert_int_equal(tw_adamw_step(o), TW_OK);
        check_parameters(p, name, t);
    }
    tw_adamw_free(o);
    tw_parameters_free(p);
}

static void adam_is_pytorch_s(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_parameters p;
        tw_adamw o;
        start(&p);
        assert_int_equal(tw_adam_init(&o, &p, 0.05), TW_OK);
        run_adam("adam", &o, &p);
        start(&p);
        assert_int_equal(tw_adam_init(&o, &p, 0.05), TW_OK);
        o.beta1 = 0.8, o.beta2 = 0.95, o.eps = 1e-6, o.weight_decay = 0.3;
        run_adam("coupled", &o, &p);
        start(&p);
        assert_int_equal(tw_adamw_init(&o, &p, 0.05), TW_OK);
        run_adam("adamw", &o, &p);
    }
}

static void clipping_is_pytorch_s(void **state)
{
    static const struct {
        const char *name;
        double limit;
    } ways[] = {{"0.5", 0.5}, {"100", 100}};
    char key[64];
    (void)state;
    for (size_t w = 0; w < TW_COUNT(ways); w++)
        TW_SCOPE {
            tw_parameters p;
            start(&p);
            set_gradients(&p, 1);
            snprintf(key, sizeof key, "clip.%s.norm", ways[w].name);
            agrees(tw_clip_grad_norm(&p, ways[w].limit), key);
            for (int i = 0; i < PARAMETERS; i++) {
                snprintf(key, sizeof key, "clip.%s.%s", ways[w].name, names[i]);
                agrees(tw_grad_of(p.item[i].value), key);
            }
            set_gradients(&p, 1);
            assert_int_equal(tw_clip_grad_value(&p, ways[w].limit), TW_OK);
            for (int i = 0; i < PARAMETERS; i++) {
                snprintf(key, sizeof key, "clip_value.%s.%s", ways[w].name, names[i]);
                agrees(tw_grad_of(p.item[i].value), key);
            }
            tw_parameters_free(&p);
        }
}

static double warmup(int64_t step)
{
    return tw_schedule_constant(step, 5);
}

static double linear(int64_t step)
{
    return tw_schedule_linear(step, 0, 10);
}

static double cosine(int64_t step)
{
    return tw_schedule_cosine(step, 0, 10, 0.1);
}

static double exponential(int64_t step)
{
    return tw_schedule_exponential(step, 0.9);
}

static double steps(int64_t step)
{
    return tw_schedule_steps(step, 3, 0.5);
}

static void schedules_are_pytorch_s(void **state)
{
    static const struct {
        const char *name;
        double (*factor)(int64_t);
    } all[] = {{"schedule.warmup", warmup},
               {"schedule.linear", linear},
               {"schedule.cosine", cosine},
               {"schedule.exponential", exponential},
               {"schedule.steps", steps}};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(all); i++)
        TW_SCOPE {
            float got[11];
            for (int64_t step = 0; step < 11; step++)
                got[step] = (float)all[i].factor(step);
            agrees(tw_from_data(got, 1, (int64_t[]){11}, TW_F32), all[i].name);
        }
}

/* Growth to 1, then the same fall as without it; the roots that "Attention Is All You Need" has. */
static void warmup_comes_before_the_fall(void **state)
{
    (void)state;
    for (int64_t step = 0; step < 30; step++) {
        double grown = (double)(step + 1) / 4;
        assert_true(tw_schedule_linear(step, 4, 20) == (step < 4 ? grown : tw_schedule_linear(step - 4, 0, 16)));
        assert_true(tw_schedule_cosine(step, 4, 20, 0.2) ==
                    (step < 4 ? grown : tw_schedule_cosine(step - 4, 0, 16, 0.2)));
        assert_true(fabs(tw_schedule_inverse_sqrt(step, 4) - fmin(grown, 2 / sqrt((double)step + 1))) < 1e-12);
        checks += 3;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_is_pytorch_s),
        cmocka_unit_test(adam_is_pytorch_s),
        cmocka_unit_test(clipping_is_pytorch_s),
        cmocka_unit_test(schedules_are_pytorch_s),
        cmocka_unit_test(warmup_comes_before_the_fall),
    };
    int failed = cmocka_run_group_tests(tests, open_expected, close_expected);
    print_message("# checks: %d\n", checks);
    return failed;
}
