/* Every derivative against finite differences in f64, evaluated by the reference in exact mode: gradients, and
 * gradients of gradients. The case list must cover the operation table: an operation with a derivative and no case is a
 * failure.
 *
 * A case's loss is the sum of the result times fixed random weights. Differences are of fourth order, so that a step of
 * 1e-3 leaves errors of about 1e-12; operands stay clear of multiples of 1/4, where piecewise operations have their
 * corners. What the corners themselves give is a test of its own, with PyTorch's conventions as the expected values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "autograd/autograd.h"
#include "capture/capture.h"
#include "decompose/decompose.h"
#include "ops/build.h"
#include "ops/reference.h"
#include "simplify/simplify.h"
#include "tensor/hooks.h"

enum { MOST = 5, MOST_LIST = 8 };

/* Operands, separated by spaces:
 *   f[2,3]        f64 in (-2, 2); f[2,3](lo,hi) in another range; ? after it: no gradient is asked for
 *   i4[2,3]       i64 in [0, 4);  p4[2] a permutation of the first numbers below 4
 *   b[3]          bool;           - an optional operand that isn't given
 * Attributes, separated by |, lists by commas. once: the gradient is not differentiated again (it is constant, or not
 * continuous). */
typedef struct derivative_case {
    const char *name, *operands, *attributes;
    bool once;
} derivative_case;

static const derivative_case cases[] = {
    {"neg", "f[3,5]", "", false},
    {"neg", "f[]", "", false},
    {"neg", "f[0,3]", "", false},
    {"abs", "f[7]", "", false},
    {"sign", "f[7]", "", true},
    {"exp", "f[3,5]", "", false},
    {"exp", "f[1]", "", false},
    {"exp", "f[0]", "", false},
    {"exp2", "f[7]", "", false},
    {"expm1", "f[7]", "", false},
    {"log", "f[7](0.3,4)", "", false},
    {"log2", "f[7](0.3,4)", "", false},
    {"log1p", "f[7](-0.7,4)", "", false},
    {"sqrt", "f[7](0.3,4)", "", false},
    {"rsqrt", "f[7](0.3,4)", "", false},
    {"sin", "f[7]", "", false},
    {"cos", "f[7]", "", false},
    {"tan", "f[7](-1,1)", "", false},
    {"asin", "f[7](-0.8,0.8)", "", false},
    {"acos", "f[7](-0.8,0.8)", "", false},
    {"atan", "f[7]", "", false},
    {"tanh", "f[7]", "", false},
    {"erf", "f[7]", "", false},
    {"floor", "f[7]", "", true},
    {"ceil", "f[7]", "", true},
    {"round", "f[7]", "", true},
    {"trunc", "f[7]", "", true},
    {"cast", "f[2,3]", "7", false},
    {"add", "f[3,5] f[3,5]", "", false},
    {"add", "f[3,1] f[5]", "", false},
    {"add", "f[] f[2,3]", "", false},
    {"add", "f[0,3] f[3]", "", false},
    {"add", "f[2,0] f[2,1]", "", false},
    {"sub", "f[3,5] f[3,5]", "", false},
    {"sub", "f[2,1,3] f[4,1]", "", false},
    {"sub", "f[2,3] f[]", "", false},
    {"mul", "f[3,5] f[3,5]", "", false},
    {"mul", "f[1,5] f[3,1]", "", false},
    {"mul", "f[1,1] f[3]", "", false},
    {"mul", "f[0,1] f[1,3]", "", false},
    {"div", "f[3,5] f[3,5](0.5,2)", "", false},
    {"div", "f[5] f[3,1](-2,-0.5)", "", false},
    {"fmod", "f[3,5](2,2.3) f[3,5](0.6,0.64)", "", true},
    {"pow", "f[3,5](0.3,3) f[3,5]", "", false},
    {"pow", "f[](0.3,3) f[4]", "", false},
    {"pow", "f[4,1](0.3,3) f[](1,3)", "", false},
    {"atan2", "f[3,5] f[3,5]", "", false},
    {"atan2", "f[3,1] f[2]", "", false},
    {"maximum", "f[3,5] f[3,5]", "", true},
    {"maximum", "f[3,1] f[5]", "", true},
    {"minimum", "f[3,5] f[3,5]", "", true},
    {"minimum", "f[] f[5]", "", true},
    {"where", "b[3,5] f[3,5] f[3,5]", "", false},
    {"where", "b[3,1] f[5] f[]", "", false},
    {"sum", "f[3,5]", "|0", false},
    {"sum", "f[3,4,5]", "0,2|1", false},
    {"sum", "f[3,4,5]", "1|0", false},
    {"sum", "f[]", "|0", false},
    {"sum", "f[0,3]", "0|0", false},
    {"sum", "f[3,0]", "1|1", false},
    {"prod", "f[7]", "|0", false},
    {"prod", "f[3,4]", "1|0", false},
    {"prod", "f[2,3,2]", "0,2|1", false},
    {"prod", "f[0,3]", "0|0", false},
    {"amax", "f[7]", "|0", true},
    {"amax", "f[3,4]", "1|1", true},
    {"amax", "f[2,3,3]", "0,2|0", true},
    {"amin", "f[7]", "|0", true},
    {"amin", "f[3,4]", "0|0", true},
    {"reshape", "f[3,4]", "2,6", false},
    {"reshape", "f[3,4]", "-1", false},
    {"reshape", "f[1,1]", "", false},
    {"reshape", "f[0,4]", "2,0", false},
    {"permute", "f[2,3,4]", "2,0,1", false},
    {"permute", "f[2,0]", "1,0", false},
    {"expand", "f[3,1]", "2,3,4", false},
    {"expand", "f[]", "3", false},
    {"expand", "f[1]", "0", false},
    {"slice", "f[7]", "1|3|2", false},
    {"slice", "f[7,3]", "6,0|3,3|-2,1", false},
    {"slice", "f[4,5]", "2,0|0,5|1,1", false},
    {"after", "f[3,4] i4[2]", "", false},
    {"pad", "f[3,4]", "1,0|0,2|1.5", false},
    {"pad", "f[0]", "2|1|0", false},
    {"cat", "f[2,3] f[2,1] f[2,2]", "1", false},
    {"cat", "f[2,3] f[0,3]", "0", false},
    {"cat", "f[3]", "0", false},
    {"gather", "f[4,3] i4[5,3]", "0", false},
    {"gather", "f[4,3] i3[4,2]", "1", false},
    {"gather", "f[7] i7[0]", "0", false},
    {"index_select", "f[4,3] i4[6]", "0", false},
    {"index_select", "f[2,3,2] i3[2]", "1", false},
    {"scatter_add", "f[4,3] i4[5,3] f[5,3]", "0", false},
    {"scatter_add", "f[2,5] i5[2,3] f[2,3]", "1", false},
    {"scatter", "f[7] p7[4] f[4]", "0", false},
    {"index_add", "f[4,3] i4[6] f[6,3]", "0", false},
    {"index_add", "f[2,3] i3[5] f[2,5]", "1", false},
    {"slice_update", "f[7] f[3]", "1|2", false},
    {"slice_update", "f[4,5] f[2,2]", "1,3|2,-3", false},
    {"slice_update", "f[4] f[0]", "2|1", false},
    {"dot", "f[3,4] f[4,5]", "", false},
    {"dot", "f[2,3,4] f[2,4,1]", "", false},
    {"dot", "f[3,0] f[0,2]", "", false},
    {"cumsum", "f[7]", "0|0", false},
    {"cumsum", "f[3,4]", "1|1", false},
    {"cumsum", "f[3,4]", "0|0", false},
    {"cumprod", "f[5]", "0|0", false},
    {"cumprod", "f[3,4]", "1|1", false},
    {"cumprod", "f[4,2]", "0|0", false},
    {"cummax", "f[7]", "0|0", false},
    {"cummax", "f[3,4]", "1|1", false},
    {"cummin", "f[4,3]", "0|0", false},
    {"cummin", "f[3,4]", "0|1", false},
    {"reciprocal", "f[7](0.3,3)", "", false},
    {"square", "f[3,5]", "", false},
    {"log10", "f[7](0.3,4)", "", false},
    {"sinh", "f[7]", "", false},
    {"cosh", "f[7]", "", false},
    {"asinh", "f[7]", "", false},
    {"acosh", "f[7](1.2,4)", "", false},
    {"atanh", "f[7](-0.8,0.8)", "", false},
    {"logaddexp", "f[3,5] f[5]", "", false},
    {"logaddexp", "f[4] f[]", "", false},
    {"floor_divide", "f[5](3.05,3.2) f[5](0.55,0.6)", "", true},
    {"remainder", "f[5](2,2.3) f[5](0.6,0.64)", "", true},
    {"remainder", "f[5](-3.2,-3.05) f[](0.55,0.6)", "", true},
    {"clamp", "f[9]", "-0.5|1", true},
    {"lerp", "f[3,5] f[3,5] f[]", "", false},
    {"lerp", "f[3,1] f[5] f[3,5]", "", false},
    {"addcmul", "f[3,5] f[5] f[3,1]", "0.7", false},
    {"addcdiv", "f[3,5] f[5] f[3,1](0.5,2)", "-0.7", false},
    {"nan_to_num", "f[7]", "0|1|-1", false},
    {"masked_fill", "f[3,5] b[5]", "2.5", false},
    {"sigmoid", "f[7]", "", false},
    {"silu", "f[7]", "", false},
    {"relu", "f[9]", "", true},
    {"relu6", "f[9](-1,8)", "", true},
    {"leaky_relu", "f[9]", "0.1", true},
    {"elu", "f[9]", "1.3", false},
    {"softplus", "f[7]", "", false},
    {"mish", "f[7]", "", false},
    {"hardtanh", "f[9]", "-1|1", true},
    {"hardsigmoid", "f[9](-5,5)", "", true},
    {"hardswish", "f[9](-5,5)", "", false},
    {"softsign", "f[7]", "", false},
    {"gelu", "f[7]", "", false},
    {"gelu_tanh", "f[7]", "", false},
    {"mean", "f[3,5]", "|0", false},
    {"mean", "f[3,4,5]", "0,2|1", false},
    {"mean", "f[3,0]", "0|0", false},
    {"var", "f[7]", "|0|1", false},
    {"var", "f[3,4]", "1|1|0", false},
    {"std", "f[7]", "|0|1", false},
    {"std", "f[3,4]", "0|0|1", false},
    {"logsumexp", "f[7]", "|0", false},
    {"logsumexp", "f[3,4]", "1|1", false},
    {"norm", "f[7]", "|0", false},
    {"norm", "f[3,4]", "0|0", false},
    {"flatten", "f[2,3,4]", "0|1", false},
    {"transpose", "f[2,3,4]", "0|2", false},
    {"unsqueeze", "f[2,3]", "1", false},
    {"squeeze", "f[2,1,3]", "1", false},
    {"broadcast_to", "f[3,1]", "2,3,4", false},
    {"select", "f[3,4]", "1|-1", false},
    {"narrow_to", "f[3,5]", "1|1|3", false},
    {"flip", "f[3,4]", "0,1", false},
    {"roll", "f[3,5]", "2|1", false},
    {"repeat", "f[2,3]", "2,1,2", false},
    {"stack", "f[3] f[3] f[3]", "1", false},
    {"diagonal", "f[3,3]", "", false},
    {"tril", "f[3,4]", "0", false},
    {"triu", "f[4,3]", "-1", false},
    {"zeros_like", "f[3]", "", true},
    {"ones_like", "f[3]", "", true},
    {"matmul", "f[3,4] f[4,5]", "", false},
    {"matmul", "f[4] f[4]", "", false},
    {"matmul", "f[2,1,3,4] f[3,4,2]", "", false},
    {"matmul", "f[4] f[2,4,3]", "", false},
    {"matmul", "f[2,3,4] f[4]", "", false},
    {"linear", "f[2,3,4] f[5,4] f[5]", "", false},
    {"linear", "f[4] f[3,4] -", "", false},
    {"outer", "f[3] f[4]", "", false},
    {"addmm", "f[3] f[2,4] f[4,3]", "", false},
    {"softmax", "f[3,5]", "1", false},
    {"softmax", "f[3,5]", "0", false},
    {"log_softmax", "f[3,5]", "-1", false},
    {"layer_norm", "f[3,5] f[5] f[5]", "1|1e-5", false},
    {"layer_norm", "f[2,3,4] f[3,4] -", "2|1e-3", false},
    {"layer_norm", "f[5] - -", "1|1e-5", false},
    {"rms_norm", "f[3,5] f[5]", "1|1e-5", false},
    {"rms_norm", "f[3,5] -", "1|1e-3", false},
    {"dropout", "f[5,5] i9[2]", "0.4|0", false},
    {"embedding", "f[6,3] i6[2,4]", "", false},
    {"take_along_dim", "f[4,3] i4[2,3]", "0", false},
    {"nll_loss", "f[4,5] i5[4]", "", false},
    {"cross_entropy", "f[4,5] i5[4]", "", false},
    {"mse_loss", "f[3,4] f[3,4]", "", false},
    {"l1_loss", "f[3,4] f[3,4]", "", true},
    {"bce_with_logits", "f[3,4] f[3,4](0.1,0.9)", "", false},
    {"attention", "f[2,3,4] f[2,5,4] f[2,5,3] -", "0|0", false},
    {"attention", "f[1,3,4] f[1,3,4] f[1,3,2] -", "1|0.7", false},
    {"attention", "f[2,3,4] f[2,5,4] f[2,5,3] f[3,5]", "0|0", false},
    {"rotary", "f[2,3,4] f[3,4] f[3,4]", "", false},
};

/* Floating results from no floating operand, or constant whatever the operands are: nothing to derive. */
static const char *const without_derivative[] = {
    "isinf",   "isfinite",     "logical_not", "logical_and", "logical_or", "logical_xor", "any",         "all",
    "one_hot", "rand_uniform", "rand_normal", "rand_int",    "eye",        "linspace",    "arange_from",
};

/* ---- inputs ---- */

static uint64_t random_state;

static double uniform(void) /* in [0, 1) */
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = random_state ^ random_state >> 29;
    return (double)(x * 0x9e3779b97f4a7c15u >> 11) * 0x1p-53;
}

static double clear_of_corners(double low, double high)
{
    double x;
    do
        x = low + (high - low) * uniform();
    while (fabs(x * 4 - round(x * 4)) < 0.05);
    return x;
}

typedef struct problem {
    const derivative_case *row;
    int code, operands;
    bool given[MOST], asked[MOST];
    tw_array operand[MOST], weight, second[MOST]; /* second: weights of the gradients */
    tw_attr attr[MOST];
    int64_t list[MOST][MOST_LIST];
} problem;

static int code_of(const char *name)
{
    for (int i = 0; i < tw_graph_table.count; i++)
        if (!strcmp(tw_graph_table.ops[i].name, name))
            return i;
    fail_msg("no operation %s", name);
    return -1;
}

static const char *read_numbers(const char *at, int64_t *list, int *n)
{
    *n = 0;
    while (*at && *at != '|' && *at != ']') {
        char *end;
        list[(*n)++] = strtoll(at, &end, 10);
        assert_true(end > at && *n <= MOST_LIST);
        at = *end == ',' ? end + 1 : end;
    }
    return at;
}

static void read_attributes(problem *p)
{
    const tw_op_info *info = &tw_graph_table.ops[p->code];
    const char *at = p->row->attributes;
    for (int i = 0; i < info->attrs; i++) {
        tw_attr_kind kind = info->attr_info[i].kind;
        if (kind == TW_ATTR_DIMS || kind == TW_ATTR_INTS) {
            at = read_numbers(at, p->list[i], &p->attr[i].dims.n);
            p->attr[i].dims.v = p->list[i];
        } else {
            char *end;
            if (kind == TW_ATTR_FLOAT)
                p->attr[i].f = strtod(at, &end);
            else
                p->attr[i].i = strtoll(at, &end, 10);
            at = end;
        }
        at += *at == '|';
    }
    assert_int_equal(*at, 0);
}

static void fill_floats(tw_array *a, double low, double high)
{
    for (int64_t i = 0; i < tw_array_count(a); i++)
        ((double *)a->data)[i] = clear_of_corners(low, high);
}

static void fill_integers(tw_array *a, int64_t below, bool permutation)
{
    int64_t *x = a->data, n = tw_array_count(a);
    for (int64_t i = 0; i < n; i++)
        x[i] = permutation ? (3 * i + 1) % below : (int64_t)(uniform() * (double)below);
}

static const char *read_operand(problem *p, const char *at)
{
    int i = p->operands++, rank;
    int64_t shape[MOST_LIST], below = 0;
    char kind = *at++, *end;
    double low = -2, high = 2;
    if (kind == '-')
        return at;
    if (kind == 'i' || kind == 'p') {
        below = strtoll(at, &end, 10);
        at = end;
    }
    at = read_numbers(at + 1, shape, &rank) + 1;
    p->given[i] = true;
    p->asked[i] = kind == 'f';
    tw_dtype dtype = kind == 'f' ? TW_F64 : kind == 'b' ? TW_BOOL : TW_I64;
    assert_int_equal(tw_array_create(dtype, rank, shape, &p->operand[i]), TW_OK);
    if (*at == '(') {
        low = strtod(at + 1, &end);
        high = strtod(end + 1, &end);
        at = end + 1;
    }
    if (kind == 'f')
        fill_floats(&p->operand[i], low, high);
    else if (kind == 'b')
        for (int64_t k = 0; k < tw_array_count(&p->operand[i]); k++)
            ((unsigned char *)p->operand[i].data)[k] = uniform() < 0.5;
    else
        fill_integers(&p->operand[i], below, kind == 'p');
    return at;
}

/* By what the row says, not by where it stands: a new row leaves the numbers of the others alone. */
static uint64_t seed_of(const derivative_case *row)
{
    tw_hash h = tw_hash_bytes((tw_hash){0}, row->name, strlen(row->name));
    h = tw_hash_bytes(h, row->operands, strlen(row->operands));
    return tw_hash_bytes(h, row->attributes, strlen(row->attributes)).lo | 1;
}

static void read_problem(problem *p, const derivative_case *row)
{
    *p = (problem){.row = row, .code = code_of(row->name)};
    random_state = seed_of(row);
    for (const char *at = row->operands; *at; at += *at == ' ')
        at = read_operand(p, at);
    read_attributes(p);
}

static void free_problem(problem *p)
{
    for (int i = 0; i < p->operands; i++) {
        tw_array_free(&p->operand[i]);
        tw_array_free(&p->second[i]);
    }
    tw_array_free(&p->weight);
}

/* ---- graphs ---- what: the loss, its gradients, the loss of the gradients, or the gradients of that */

typedef enum { LOSS, GRADIENTS, LOSS_OF_GRADIENTS, SECOND_GRADIENTS } what;

typedef struct built {
    tw_graph *g;
    tw_array given[3 * MOST];
    int inputs, outputs;
    int of[MOST]; /* by output: the operand that it is the gradient of */
} built;

static tw_value *input(built *b, const tw_array *a)
{
    b->given[b->inputs++] = *a;
    return tw_graph_input(b->g, tw_type_make(a->dtype, a->rank, a->shape));
}

static tw_value *weighted(tw_graph *g, tw_value *x, tw_value *weight)
{
    return tw_g_sum(g, tw_g_mul(g, x, weight), 0, NULL, false);
}

/* Weights of the shape of v, made the first time they are needed. */
static tw_value *weight_for(built *b, tw_array *weight, const tw_value *v)
{
    if (!weight->data) {
        assert_int_equal(tw_array_create(TW_F64, v->type.rank, v->type.dims, weight), TW_OK);
        fill_floats(weight, -1, 1);
    }
    return input(b, weight);
}

static int gradients(problem *p, built *b, tw_value *loss, tw_value *const *operand, tw_value **grad)
{
    tw_value *wrt[MOST] = {0};
    int n = 0;
    for (int i = 0; i < p->operands; i++)
        wrt[i] = p->asked[i] ? operand[i] : NULL;
    assert_int_equal(tw_autograd_graph(b->g, loss, NULL, wrt, p->operands, grad), TW_OK);
    for (int i = 0; i < p->operands; i++) {
        if (!grad[i])
            continue;
        assert_true(tw_type_equal(&grad[i]->type, &operand[i]->type));
        n++;
    }
    return n;
}

/* NULL graph: nothing depends on the operands. */
static void build(problem *p, what wanted, built *b)
{
    tw_value *operand[MOST] = {0}, *grad[MOST] = {0}, *second[MOST] = {0}, *result[MOST];
    *b = (built){.g = tw_graph_create(&tw_graph_table)};
    for (int i = 0; i < p->operands; i++)
        operand[i] = p->given[i] ? input(b, &p->operand[i]) : NULL;
    tw_op *op = tw_graph_add(b->g, p->code, p->operands, operand, p->attr);
    if (!op)
        fail_msg("%s: %s", p->row->name, tw_error_message());
    tw_value *loss = weighted(b->g, &op->result[0], weight_for(b, &p->weight, &op->result[0]));
    int found = 1;
    if (wanted >= GRADIENTS)
        found = gradients(p, b, loss, operand, grad);
    if (wanted >= LOSS_OF_GRADIENTS && found) {
        tw_value *sum = tw_g_constant(b->g, TW_F64, 0);
        for (int i = 0; i < p->operands; i++)
            if (grad[i])
                sum = tw_g_add(b->g, sum, weighted(b->g, grad[i], weight_for(b, &p->second[i], grad[i])));
        loss = sum;
    }
    if (wanted == SECOND_GRADIENTS && found)
        found = gradients(p, b, loss, operand, second);
    tw_value **list = wanted == GRADIENTS ? grad : second;
    if (wanted == LOSS || wanted == LOSS_OF_GRADIENTS)
        result[b->outputs++] = loss;
    for (int i = 0; i < p->operands && (wanted == GRADIENTS || wanted == SECOND_GRADIENTS); i++) {
        if (!list[i])
            continue;
        b->of[b->outputs] = i;
        result[b->outputs++] = list[i];
    }
    assert_non_null(tw_g_output(b->g, b->outputs, result));
    bool changed;
    if (tw_pass_decompose(&b->g, &changed) != TW_OK || tw_graph_verify(b->g) != TW_OK)
        fail_msg("%s: %s", p->row->name, tw_error_message());
}

static void evaluate(const problem *p, const built *b, tw_array *outputs)
{
    if (tw_reference_evaluate(b->g, TW_REFERENCE_EXACT, NULL, b->given, b->inputs, outputs, b->outputs) != TW_OK)
        fail_msg("%s(%s | %s): %s", p->row->name, p->row->operands, p->row->attributes, tw_error_message());
}

/* ---- finite differences ---- */

static double value_of(const problem *p, const built *b)
{
    tw_array out = {0};
    evaluate(p, b, &out);
    double v = *(double *)out.data;
    tw_array_free(&out);
    return v;
}

static double difference(const problem *p, const built *b, double *x)
{
    static const double at[] = {1, -1, 2, -2}, factor[] = {8, -8, -1, 1};
    const double h = 1e-3, was = *x;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *x = was + at[i] * h;
        sum += factor[i] * value_of(p, b);
    }
    *x = was;
    return sum / (12 * h);
}

static int checks, failures;

static void expect(const problem *p, const char *order, int operand, int64_t element, double got, double want)
{
    checks++;
    if (fabs(got - want) <= 2e-8 * (1 + fabs(want)))
        return;
    failures++;
    print_error("%s(%s | %s): %s gradient of operand %d, element %lld: %.12g; differences give %.12g\n", p->row->name,
                p->row->operands, p->row->attributes, order, operand, (long long)element, got, want);
}

static void compare(problem *p, what loss, what gradient, const char *order)
{
    built f, d;
    tw_array got[MOST] = {0};
    bool compared[MOST] = {0};
    build(p, loss, &f);
    build(p, gradient, &d);
    if (d.outputs)
        evaluate(p, &d, got);
    for (int k = 0; k < d.outputs; k++) {
        tw_array *x = &p->operand[d.of[k]];
        compared[d.of[k]] = true;
        checks++;
        for (int64_t i = 0; i < tw_array_count(x); i++)
            expect(p, order, d.of[k], i, ((double *)got[k].data)[i], difference(p, &f, (double *)x->data + i));
        tw_array_free(&got[k]);
    }
    for (int i = 0; i < p->operands; i++) /* an absent gradient says that the loss doesn't depend on it */
        for (int64_t e = 0; p->asked[i] && !compared[i] && e < tw_array_count(&p->operand[i]); e++)
            expect(p, order, i, e, 0, difference(p, &f, (double *)p->operand[i].data + e));
    tw_graph_destroy(f.g);
    tw_graph_destroy(d.g);
}

static void gradients_are_what_differences_give(void **state)
{
    (void)state;
    failures = 0;
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        problem p;
        read_problem(&p, &cases[i]);
        compare(&p, LOSS, GRADIENTS, "first");
        free_problem(&p);
    }
    assert_int_equal(failures, 0);
}

static void gradients_of_gradients_are_what_differences_give(void **state)
{
    (void)state;
    failures = 0;
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        problem p;
        if (cases[i].once)
            continue;
        read_problem(&p, &cases[i]);
        compare(&p, LOSS_OF_GRADIENTS, SECOND_GRADIENTS, "second");
        free_problem(&p);
    }
    assert_int_equal(failures, 0);
}

static bool listed(const char *name)
{
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        if (!strcmp(cases[i].name, name))
            return true;
    for (size_t i = 0; i < TW_COUNT(without_derivative); i++)
        if (!strcmp(without_derivative[i], name))
            return true;
    return false;
}

static void every_operation_with_a_derivative_has_a_case(void **state)
{
    (void)state;
    for (int code = 0; code < tw_graph_table.count; code++) {
        checks++;
        if (tw_derive_possible(code) && !listed(tw_graph_table.ops[code].name))
            fail_msg("%s has a derivative and no case", tw_graph_table.ops[code].name);
    }
}

/* ---- compiled ---- */

static double magnitude(const tw_array *a)
{
    double most = 1;
    for (int64_t i = 0; i < tw_array_count(a); i++)
        most = fmax(most, fabs(((double *)a->data)[i]));
    return most;
}

static void compare_compiled(problem *p)
{
    built d;
    tw_array want[MOST] = {0}, got[MOST] = {0};
    void *in[3 * MOST], *out[MOST];
    int in_place[MOST];
    build(p, GRADIENTS, &d);
    if (d.outputs)
        evaluate(p, &d, want);
    for (int i = 0; i < d.inputs; i++)
        in[i] = d.given[i].data;
    for (int k = 0; k < d.outputs; k++) {
        assert_int_equal(tw_array_create(TW_F64, want[k].rank, want[k].shape, &got[k]), TW_OK);
        out[k] = got[k].data;
        in_place[k] = -1;
    }
    tw_segment_io io = {d.inputs, d.outputs, in, NULL, out, in_place};
    if (d.outputs && tw_segment_runner(d.g, &io, "the test") != TW_OK)
        fail_msg("%s: compiled: %s", p->row->name, tw_error_message());
    for (int k = 0; k < d.outputs; k++) {
        tw_text report = {0};
        checks++;
        if (!tw_array_compare(&got[k], &want[k], 16, 1e-13 * magnitude(&want[k]), &report)) {
            failures++;
            print_error("%s(%s): compiled: %s\n", p->row->name, p->row->operands, tw_text_string(&report));
        }
        tw_text_free(&report);
        tw_array_free(&want[k]);
        tw_array_free(&got[k]);
    }
    tw_graph_destroy(d.g);
}

/* The first case of each operation. */
static void compiled_gradients_are_the_reference_s(void **state)
{
    (void)state;
    tw_library_init();
    tw_set_tier(TW_TIER_COMPILED);
    failures = 0;
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        problem p;
        if (i && !strcmp(cases[i].name, cases[i - 1].name))
            continue;
        read_problem(&p, &cases[i]);
        compare_compiled(&p);
        free_problem(&p);
    }
    assert_int_equal(failures, 0);
}

/* ---- corners: what PyTorch gives where the derivative has no limit, or where a rule could divide zero by zero ---- */

typedef struct corner {
    derivative_case row;
    double x[6], y[6], dx[6], dy[6]; /* operands and their gradients, for a gradient of ones */
} corner;

static const corner corners[] = {
    {{"abs", "f[3]", "", true}, {-0.0, 0, 2}, {0}, {0, 0, 1}, {0}},
    {{"relu", "f[3]", "", true}, {0, -1, 1}, {0}, {0, 0, 1}, {0}},
    {{"maximum", "f[2] f[2]", "", true}, {1, 3}, {1, 2}, {0.5, 1}, {0.5, 0}},
    {{"minimum", "f[2] f[2]", "", true}, {1, 3}, {1, 2}, {0.5, 0}, {0.5, 1}},
    {{"clamp", "f[4]", "-1|1", true}, {-1, 1, 2, 0}, {0}, {1, 1, 0, 1}, {0}},
    {{"amax", "f[4]", "|0", true}, {2, 1, 2, 0}, {0}, {0.5, 0, 0.5, 0}, {0}},
    {{"amin", "f[4]", "|0", true}, {2, 0, 2, 0}, {0}, {0, 0.5, 0, 0.5}, {0}},
    {{"prod", "f[4]", "|0", true}, {2, 0, 3, 4}, {0}, {0, 24, 0, 0}, {0}},
    {{"prod", "f[4]", "|0", true}, {2, 0, 3, 0}, {0}, {0, 0, 0, 0}, {0}},
    {{"cumprod", "f[4]", "0|0", true}, {2, 0, 3, 4}, {0}, {1, 32, 0, 0}, {0}},
    {{"cumprod", "f[4]", "0|0", true}, {2, 0, 3, 0}, {0}, {1, 8, 0, 0}, {0}},
    {{"cumprod", "f[4]", "0|1", true}, {4, 3, 0, 2}, {0}, {0, 0, 32, 1}, {0}},
    {{"cummax", "f[4]", "0|0", true}, {1, 1, 0, 2}, {0}, {1, 2, 0, 1}, {0}},
    {{"cummax", "f[4]", "0|1", true}, {1, 1, 0, 1}, {0}, {1, 1, 0, 2}, {0}},
    {{"cummin", "f[4]", "0|0", true}, {1, 1, 2, 0}, {0}, {1, 2, 0, 1}, {0}},
    {{"cummax", "f[5]", "0|0", true}, {1, NAN, 0, 2, NAN}, {0}, {1, 3, 0, 0, 1}, {0}},
    {{"norm", "f[3]", "|0", true}, {0, 0, 0}, {0}, {0, 0, 0}, {0}},
    {{"std", "f[3]", "|0|1", true}, {2, 2, 2}, {0}, {0, 0, 0}, {0}},
    {{"pow", "f[4] f[4]", "", true}, {0, 0, 2, 0}, {0, 2, 0, 1}, {0, 0, 0, 1}, {0, 0, 0.693147180559945309, 0}},
    {{"atan2", "f[2] f[2]", "", true}, {0, 1}, {0, 0}, {0, 0}, {0, -1}},
    {{"leaky_relu", "f[2]", "0.1", true}, {0, -1}, {0}, {0.1, 0.1}, {0}},
    {{"elu", "f[2]", "1", true}, {0, 1}, {0}, {1, 1}, {0}},
    {{"hardtanh", "f[3]", "-1|1", true}, {-1, 1, 0}, {0}, {0, 0, 1}, {0}},
    {{"relu6", "f[3]", "", true}, {0, 6, 3}, {0}, {0, 0, 1}, {0}},
    {{"hardsigmoid", "f[3]", "", true}, {-3, 3, 0}, {0}, {0, 0, 1.0 / 6}, {0}},
    {{"hardswish", "f[3]", "", true}, {-3, 3, 0}, {0}, {0, 1, 0.5}, {0}},
    {{"l1_loss", "f[2] f[2]", "", true}, {1, 3}, {1, 2}, {0, 0.5}, {0, -0.5}},
};

static void corners_give_what_pytorch_gives(void **state)
{
    (void)state;
    failures = 0;
    for (size_t c = 0; c < TW_COUNT(corners); c++) {
        const corner *at = &corners[c];
        problem p = {.row = &at->row, .code = code_of(at->row.name)};
        built d;
        tw_array got[MOST] = {0};
        for (const char *text = at->row.operands; *text; text += *text == ' ')
            text = read_operand(&p, text);
        read_attributes(&p);
        for (int i = 0; i < p.operands; i++)
            memcpy(p.operand[i].data, i ? at->y : at->x, p.operand[i].bytes);
        build(&p, LOSS, &d); /* makes the weights */
        tw_graph_destroy(d.g);
        for (int64_t i = 0; i < tw_array_count(&p.weight); i++)
            ((double *)p.weight.data)[i] = 1;
        build(&p, GRADIENTS, &d);
        evaluate(&p, &d, got);
        assert_int_equal(d.outputs, p.operands);
        for (int k = 0; k < d.outputs; k++) {
            for (int64_t i = 0; i < tw_array_count(&got[k]); i++) {
                double g = ((double *)got[k].data)[i], want = (k ? at->dy : at->dx)[i];
                expect(&p, "corner", k, i, isnan(g) ? 1e300 : g, want);
            }
            tw_array_free(&got[k]);
        }
        tw_graph_destroy(d.g);
        free_problem(&p);
    }
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_with_a_derivative_has_a_case),
        cmocka_unit_test(gradients_are_what_differences_give),
        cmocka_unit_test(gradients_of_gradients_are_what_differences_give),
        cmocka_unit_test(corners_give_what_pytorch_gives),
        cmocka_unit_test(compiled_gradients_are_the_reference_s),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
