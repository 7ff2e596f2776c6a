/* Views share memory, changes in place are seen by every alias, and gradients flow through both: random programs whose
 * results are PyTorch's (tests/data/make_aliases.py). Each program runs three ways: computed at the end of the program,
 * compiled at once, and operation by operation at each call. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "capture/capture.h"
#include "tilewright/ops.h"

enum { MOST_TENSORS = 64, MOST_FIELDS = 512 };

static int checks, failures;

typedef struct program {
    tw_tensor *t[MOST_TENSORS];
    int count, number;
    const char *last; /* the latest statement */
    bool failed;      /* it gave an error */
} program;

typedef struct line {
    char *field[MOST_FIELDS];
    int fields;
} line;

static void split(char *text, line *l)
{
    l->fields = 0;
    for (char *at = strtok(text, " "); at && l->fields < MOST_FIELDS; at = strtok(NULL, " "))
        l->field[l->fields++] = at;
}

static int list(const char *text, int64_t *out)
{
    int n = 0;
    for (const char *at = text; at && *at != '-' + 0 && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        out[n++] = strtoll(at, NULL, 10);
    return n;
}

static tw_tensor *filled(const char *shape_text)
{
    int64_t shape[TW_MAX_RANK];
    double data[1024];
    int rank = list(shape_text, shape);
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    for (int64_t i = 0; i < n; i++)
        data[i] = (double)(i % 7) - 3;
    return tw_from_data(data, rank, shape, TW_F64);
}

static tw_tensor *view(const line *l, tw_tensor *x)
{
    int64_t a[TW_MAX_RANK], b[TW_MAX_RANK], c[TW_MAX_RANK];
    const char *name = l->field[0];
    const char *first = l->fields > 3 ? l->field[3] : "", *second = l->fields > 4 ? l->field[4] : "";
    int n = l->fields > 3 ? list(first, a) : 0;
    int64_t number = atoll(first), other = atoll(second);
    if (!strcmp(name, "slice"))
        return tw_slice(x, n, a, list(second, b), b, list(l->field[5], c), c);
    if (!strcmp(name, "permute"))
        return tw_permute(x, n, a);
    if (!strcmp(name, "transpose"))
        return tw_transpose(x, number, other);
    if (!strcmp(name, "select"))
        return tw_select(x, number, other);
    if (!strcmp(name, "narrow"))
        return tw_narrow_to(x, number, 1, &other, 1, (int64_t[]){atoll(l->field[5])});
    if (!strcmp(name, "reshape"))
        return tw_reshape(x, n, a);
    if (!strcmp(name, "unsqueeze"))
        return tw_unsqueeze(x, number);
    if (!strcmp(name, "squeeze"))
        return tw_squeeze(x, number);
    if (!strcmp(name, "expand"))
        return tw_expand(x, n, a);
    if (!strcmp(name, "flatten"))
        return tw_flatten(x, number, other);
    return strcmp(name, "diagonal") ? NULL : tw_diagonal(x);
}

static tw_tensor *computed(const program *p, const line *l, tw_tensor *x)
{
    const char *name = l->field[0];
    if (!strcmp(name, "exp"))
        return tw_exp(tw_mul(x, tw_scalar(0.25, TW_F64)));
    if (!strcmp(name, "mul"))
        return tw_mul(x, p->t[atoi(l->field[3])]);
    if (!strcmp(name, "clone"))
        return tw_clone(x);
    return strcmp(name, "sum") ? NULL : tw_sum(x, 0, NULL, false);
}

static bool changed(program *p, const line *l)
{
    const char *name = l->field[0];
    tw_tensor *x = p->t[atoi(l->field[1])],
              *y = l->fields > 2 ? p->t[atoi(l->field[2]) < 0 ? 0 : atoi(l->field[2])] : NULL;
    tw_status status;
    if (!strcmp(name, "add_"))
        status = tw_add_(x, y);
    else if (!strcmp(name, "mul_"))
        status = tw_mul_(x, y);
    else if (!strcmp(name, "assign"))
        status = tw_assign(x, y);
    else if (!strcmp(name, "tanh_"))
        status = tw_tanh_(x);
    else if (!strcmp(name, "neg_"))
        status = tw_neg_(x);
    else if (!strcmp(name, "fill_"))
        status = tw_fill_(x, atof(l->field[2]));
    else
        return false;
    p->failed = status != TW_OK;
    return true;
}

static void complain(const program *p, const char *what)
{
    failures++;
    print_error("program %d, \"%s\": %s (%s)\n", p->number, p->last, what, tw_error_message());
}

static void compare(const program *p, tw_tensor *t, const line *l)
{
    const double *data = tw_data(t);
    checks++;
    if (!data || tw_numel(t) != l->fields - 2) {
        complain(p, data ? "another number of elements" : "cannot be computed");
        return;
    }
    for (int i = 0; i < l->fields - 2; i++) {
        double want = strtod(l->field[i + 2], NULL);
        if (!(fabs(data[i] - want) <= 1e-12 * fmax(1, fabs(want)))) {
            char text[96];
            snprintf(text, sizeof text, "element %d is %.17g, PyTorch has %.17g", i, data[i], want);
            complain(p, text);
            return;
        }
    }
}

static void compare_strides(const program *p, const tw_tensor *t, const line *l)
{
    int64_t want[TW_MAX_RANK];
    int n = l->fields > 3 ? list(l->field[3], want) : 0;
    checks++;
    for (int i = 0; i < tw_rank(t); i++)
        if (n != tw_rank(t) || tw_strides(t)[i] != want[i]) {
            complain(p, "other strides than PyTorch's");
            return;
        }
}

/* d sum(last^2) / d leaf */
static void compare_gradient(program *p, const line *l)
{
    tw_tensor *last = p->t[p->count - 1];
    p->failed = tw_backward(tw_sum(tw_mul(last, last), 0, NULL, false), NULL) != TW_OK;
    if (!p->failed && l->fields > 2)
        compare(p, tw_grad_of(p->t[0]), l);
}

static void statement(program *p, const line *l)
{
    const char *name = l->field[0];
    tw_tensor *made = NULL;
    if (!strcmp(name, "look"))
        compare(p, p->t[atoi(l->field[1])], l);
    else if (!strcmp(name, "strides"))
        compare_strides(p, p->t[atoi(l->field[1])], l);
    else if (!strcmp(name, "grad"))
        compare_gradient(p, l);
    else if (!strcmp(name, "new") || !strcmp(name, "leaf"))
        made = tw_requires_grad(filled(l->field[2]), name[0] == 'l');
    else if (!changed(p, l) && !(made = view(l, p->t[atoi(l->field[2])])) &&
             !(made = computed(p, l, p->t[atoi(l->field[2])])))
        complain(p, "an unknown statement");
    if (made)
        p->t[p->count++] = made;
}

static void run_programs(char *text)
{
    program p = {.number = -1};
    tw_scope scope = {0};
    for (char *next, *at = text; at && *at; at = next) {
        static char copy[1 << 16];
        line l;
        if ((next = strchr(at, '\n')))
            *next++ = '\0';
        snprintf(copy, sizeof copy, "%s", at);
        split(copy, &l);
        if (!strcmp(l.field[0], "program")) {
            if (p.number >= 0)
                tw_scope_end(&scope);
            scope = tw_scope_begin();
            p = (program){.number = atoi(l.field[1])};
        } else if (!strcmp(l.field[0], "error")) {
            if (!p.failed)
                complain(&p, "PyTorch refuses this");
            p.failed = false;
        } else {
            if (p.failed)
                complain(&p, "fails");
            p.failed = false;
            p.last = at;
            statement(&p, &l);
        }
    }
    tw_scope_end(&scope);
}

static void run_all(void)
{
    void *text;
    size_t bytes;
    if (tw_os_read_file(ALIASES_DATA, 1 << 24, &text, &bytes) != TW_OK)
        fail_msg("%s", tw_error_message());
    failures = 0;
    run_programs(text);
    tw_free(text);
    assert_int_equal(failures, 0);
}

static void aliases_as_in_pytorch(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_AUTO);
    run_all();
}

static void aliases_compiled(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_COMPILED);
    run_all();
}

static void aliases_at_each_call(void **state)
{
    (void)state;
    tw_set_tier(TW_TIER_OPERATIONS);
    run_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_as_in_pytorch),
        cmocka_unit_test(aliases_compiled),
        cmocka_unit_test(aliases_at_each_call),
    };
    tw_library_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_scope_end_all();
    tw_capture_reset();
    return failed;
}
