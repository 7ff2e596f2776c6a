/* Layers and their gradients against PyTorch's; what dropout leaves. */
#include "nn/expected.h"

#include "tilewright/nn.h"

static void take(tw_tensor *parameter, const char *name)
{
    bool grad = tw_set_grad_enabled(false);
    assert_int_equal(tw_assign(parameter, number(name)), TW_OK);
    tw_set_grad_enabled(grad);
}

static void take_all(const tw_parameters *p)
{
    for (int i = 0; i < p->count; i++)
        take(p->item[i].value, p->item[i].name);
}

static tw_tensor *leaf(const char *name)
{
    return tw_requires_grad(number(name), true);
}

/* The result, and the gradients of the parameters, whose names begin with those of `owner`, and of x. */
static void check_layer(const char *name, const char *owner, tw_tensor *y, const tw_tensor *x, tw_parameters *p)
{
    char key[96];
    snprintf(key, sizeof key, "%s.want", name);
    agrees(y, key);
    snprintf(key, sizeof key, "%s.weigh", name);
    assert_int_equal(tw_backward(tw_sum(tw_mul(y, number(key)), 0, NULL, false), NULL), TW_OK);
    for (int i = 0; i < p->count; i++) {
        snprintf(key, sizeof key, "%s.grad.%s", name, p->item[i].name + strlen(owner) + 1);
        agrees(tw_grad_of(p->item[i].value), key);
    }
    if (x) {
        snprintf(key, sizeof key, "%s.grad.x", name);
        agrees(tw_grad_of(x), key);
    }
    tw_parameters_zero_grad(p);
}

static void linear_and_embedding_are_pytorch_s(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_parameters p = {0};
        tw_linear_layer linear;
        assert_int_equal(tw_linear_init(&linear, &p, "linear", 6, 4, true, 1), TW_OK);
        take_all(&p);
        tw_tensor *x = leaf("linear.x");
        check_layer("linear", "linear", tw_linear_forward(&linear, x), x, &p);
        tw_parameters_free(&p);
        tw_embedding_layer embedding;
        assert_int_equal(tw_embedding_init(&embedding, &p, "embedding", 7, 4, 1), TW_OK);
        take_all(&p);
        check_layer("embedding", "embedding", tw_embedding_forward(&embedding, number("embedding.index")), NULL, &p);
        tw_parameters_free(&p);
    }
}

static void norms_are_pytorch_s(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_parameters p = {0};
        tw_layer_norm_layer layer;
        assert_int_equal(tw_layer_norm_init(&layer, &p, "layer_norm", 6), TW_OK);
        take_all(&p);
        tw_tensor *x = leaf("layer_norm.x");
        check_layer("layer_norm", "layer_norm", tw_layer_norm_forward(&layer, x), x, &p);
        tw_parameters_free(&p);
        tw_rms_norm_layer rms;
        assert_int_equal(tw_rms_norm_init(&rms, &p, "rms_norm", 6), TW_OK);
        take_all(&p);
        x = leaf("rms_norm.x");
        check_layer("rms_norm", "rms_norm", tw_rms_norm_forward(&rms, x), x, &p);
        tw_parameters_free(&p);
    }
}

static void attention_is_pytorch_s(void **state)
{
    static const struct {
        const char *name, *other, *mask;
        bool causal;
    } ways[] = {{"attention.plain", NULL, NULL, false},
                {"attention.causal", NULL, NULL, true},
                {"attention.sees", NULL, "attention.sees", false},
                {"attention.both", NULL, "attention.sees", true},
                {"attention.scores", NULL, "attention.scores", false},
                {"attention.blind", NULL, "attention.blind", false},
                {"attention.cross", "attention.other", NULL, false},
                {"attention.partial", "attention.other", "attention.part", false}};
    (void)state;
    TW_SCOPE {
        tw_parameters p = {0};
        tw_attention_layer l;
        assert_int_equal(tw_attention_init(&l, &p, "attention", 12, 3, true, 1), TW_OK);
        assert_int_equal(p.count, 4);
        take_all(&p);
        for (size_t i = 0; i < TW_COUNT(ways); i++) {
            tw_tensor *x = leaf("attention.x"), *mask = ways[i].mask ? number(ways[i].mask) : NULL;
            tw_tensor *other = ways[i].other ? leaf(ways[i].other) : NULL;
            check_layer(ways[i].name, "attention", tw_attention_forward(&l, x, other, mask, ways[i].causal), x, &p);
            if (other) {
                char key[96];
                snprintf(key, sizeof key, "%s.grad.other", ways[i].name);
                agrees(tw_grad_of(other), key);
            }
        }
        tw_parameters_free(&p);
    }
}

static void attention_says_what_it_cannot_take(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_parameters p = {0};
        tw_attention_layer l;
        assert_int_equal(tw_attention_init(&l, &p, "a", 12, 5, true, 1), TW_ERR_VALUE);
        assert_int_equal(p.count, 0);
        assert_int_equal(tw_attention_init(&l, &p, "a", 12, 3, false, 1), TW_OK);
        assert_int_equal(p.count, 2);
        tw_tensor *flat = tw_zeros(2, (int64_t[]){5, 12}, TW_F32), *thin = tw_zeros(3, (int64_t[]){2, 5, 8}, TW_F32);
        assert_int_equal(tw_tensor_status(tw_attention_forward(&l, flat, NULL, NULL, false)), TW_ERR_SHAPE);
        assert_non_null(strstr(tw_error_message(), "[batch, time, dim]"));
        assert_int_equal(tw_tensor_status(tw_attention_forward(&l, thin, NULL, NULL, false)), TW_ERR_SHAPE);
        tw_tensor *x = tw_zeros(3, (int64_t[]){2, 5, 12}, TW_F32), *wide = tw_zeros(2, (int64_t[]){5, 4}, TW_BOOL);
        assert_int_equal(tw_tensor_status(tw_attention_forward(&l, x, NULL, wide, false)), TW_ERR_SHAPE);
        assert_non_null(strstr(tw_error_message(), "mask is bool[5, 4]"));
        assert_int_equal(tw_tensor_status(tw_attention_forward(&l, x, thin, NULL, false)), TW_ERR_SHAPE);
        assert_non_null(strstr(tw_error_message(), "other is [2, 5, 8]"));
        char name[64] = "a name that is too long";
        memset(name + strlen(name), '.', sizeof name - 1 - strlen(name));
        name[63] = 0;
        assert_int_equal(tw_attention_init(&l, &p, name, 12, 3, false, 1), TW_ERR_VALUE);
        assert_non_null(strstr(tw_error_message(), "expected at most 63"));
        assert_int_equal(p.count, 2);
        checks += 13;
        tw_parameters_free(&p);
    }
}

enum { MANY = 20000 };

static void dropped(uint64_t seed, float *y)
{
    TW_SCOPE {
        tw_dropout_layer l;
        int64_t n = MANY;
        assert_int_equal(tw_dropout_init(&l, 0.3), TW_OK);
        assert_int_equal(tw_manual_seed(seed), TW_OK);
        for (int i = 0; i < 2; i++)
            assert_int_equal(
                tw_copy_out(tw_dropout_forward(&l, tw_ones(1, &n, TW_F32), true), y + i * n, MANY * sizeof *y), TW_OK);
    }
}

static void dropout_comes_from_the_generator(void **state)
{
    static float first[2 * MANY], again[2 * MANY], other[2 * MANY];
    int zeros = 0;
    (void)state;
    dropped(7, first);
    dropped(7, again);
    dropped(8, other);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    assert_memory_not_equal(first, first + MANY, sizeof first / 2);
    for (int i = 0; i < 2 * MANY; i++) {
        assert_true(first[i] == 0 || fabsf(first[i] - 1 / 0.7F) < 1e-6F);
        zeros += first[i] == 0;
    }
    assert_in_range(zeros, 11500, 12500); /* 12000, standard deviation 92 */
    checks += 2 * MANY;
}

static void dropout_is_for_training(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_dropout_layer l;
        int64_t n = 50;
        assert_int_equal(tw_dropout_init(&l, 1.5), TW_ERR_VALUE);
        assert_int_equal(tw_dropout_init(&l, NAN), TW_ERR_VALUE);
        assert_int_equal(tw_dropout_init(&l, 0.5), TW_OK);
        tw_tensor *x = tw_requires_grad(tw_ones(1, &n, TW_F32), true);
        assert_ptr_equal(tw_dropout_forward(&l, x, false), x);
        tw_tensor *y = tw_dropout_forward(&l, x, true);
        assert_int_equal(tw_backward(tw_sum(y, 0, NULL, false), NULL), TW_OK);
        assert_memory_equal(tw_data(y), tw_data(tw_grad_of(x)), 50 * sizeof(float)); /* the same elements, and 2 */
        assert_int_equal(tw_dropout_init(&l, 1), TW_OK);
        assert_true(tw_item(tw_sum(tw_dropout_forward(&l, x, true), 0, NULL, false)) == 0);
        checks += 6;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_and_embedding_are_pytorch_s),
        cmocka_unit_test(norms_are_pytorch_s),
        cmocka_unit_test(attention_is_pytorch_s),
        cmocka_unit_test(attention_says_what_it_cannot_take),
        cmocka_unit_test(dropout_comes_from_the_generator),
        cmocka_unit_test(dropout_is_for_training),
    };
    int failed = cmocka_run_group_tests(tests, open_expected, close_expected);
    print_message("# checks: %d\n", checks);
    return failed;
}
