/* Every operation against PyTorch: tests/data/sweep.bin, written by tests/data/make_sweep.py, holds operands and
 * results. Each case is built as one operation, decomposed, simplified and evaluated by the reference, so that it pins
 * down type rules and decompositions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decompose/decompose.h"
#include "ops/build.h"
#include "ops/reference.h"
#include "simplify/simplify.h"

enum { MOST = 8 };

typedef struct reader {
    const unsigned char *at, *end;
    bool failed;
} reader;

typedef struct sweep_case {
    char name[64];
    tw_attr attr[MOST];
    int64_t list[MOST][TW_MAX_RANK];
    int attrs, operands;
    tw_array operand[MOST], want; /* dtype TW_DTYPES: an optional operand that isn't given */
    double ulp, absolute;
} sweep_case;

static void take(reader *r, void *to, size_t bytes)
{
    if ((size_t)(r->end - r->at) < bytes) {
        r->failed = true;
        memset(to, 0, bytes);
        return;
    }
    memcpy(to, r->at, bytes);
    r->at += bytes;
}

static int byte(reader *r)
{
    unsigned char b;
    take(r, &b, 1);
    return b;
}

static void take_attr(reader *r, sweep_case *c, int i)
{
    switch (byte(r)) {
    case 0:
        take(r, &c->attr[i].i, 8);
        return;
    case 1:
        take(r, &c->attr[i].f, 8);
        return;
    default:
        c->attr[i].dims.n = byte(r);
        assert_in_range(c->attr[i].dims.n, 0, TW_MAX_RANK);
        take(r, c->list[i], (size_t)c->attr[i].dims.n * 8);
        c->attr[i].dims.v = c->list[i];
    }
}

static void take_array(reader *r, tw_array *a)
{
    int64_t shape[TW_MAX_RANK] = {0};
    if (!byte(r)) {
        *a = (tw_array){.dtype = TW_DTYPES};
        return;
    }
    tw_dtype dtype = (tw_dtype)byte(r);
    int rank = byte(r);
    assert_true(dtype < TW_TENSOR_DTYPES && rank <= TW_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        int32_t size;
        take(r, &size, sizeof size);
        shape[i] = size;
    }
    assert_int_equal(tw_array_create(dtype, rank, shape, a), TW_OK);
    take(r, a->data, a->bytes);
}

static void take_case(reader *r, sweep_case *c)
{
    *c = (sweep_case){0};
    take(r, c->name, (size_t)byte(r) % sizeof c->name);
    c->attrs = byte(r);
    assert_true(c->attrs <= MOST);
    for (int i = 0; i < c->attrs; i++)
        take_attr(r, c, i);
    c->operands = byte(r);
    assert_true(c->operands <= MOST);
    for (int i = 0; i < c->operands; i++)
        take_array(r, &c->operand[i]);
    take_array(r, &c->want);
    take(r, &c->ulp, sizeof c->ulp);
    take(r, &c->absolute, sizeof c->absolute);
}

static void free_case(sweep_case *c)
{
    for (int i = 0; i < c->operands; i++)
        tw_array_free(&c->operand[i]);
    tw_array_free(&c->want);
}

static int code_of(const char *name)
{
    for (int i = 0; i < tw_graph_table.count; i++)
        if (!strcmp(tw_graph_table.ops[i].name, name))
            return i;
    return -1;
}

/* The graph of one operation, decomposed and simplified; NULL with an error set. */
static tw_graph *graph_of(const sweep_case *c)
{
    tw_graph *g = tw_graph_create(&tw_graph_table);
    tw_value *operand[MOST] = {0};
    int code = code_of(c->name);
    bool changed = false;
    assert_true(g && code >= 0);
    assert_int_equal(tw_graph_table.ops[code].attrs, c->attrs);
    for (int i = 0; i < c->operands; i++)
        if (c->operand[i].dtype != TW_DTYPES)
            operand[i] = tw_graph_input(g, tw_type_make(c->operand[i].dtype, c->operand[i].rank, c->operand[i].shape));
    tw_op *op = tw_graph_add(g, code, c->operands, operand, c->attr);
    if (op && tw_g_output(g, 1, (tw_value *[]){&op->result[0]}) && tw_pass_decompose(&g, &changed) == TW_OK &&
        tw_pass_simplify(&g, &changed) == TW_OK && tw_graph_verify(g) == TW_OK)
        return g;
    tw_graph_destroy(g);
    return NULL;
}

static bool run_case(const sweep_case *c, tw_text *report)
{
    tw_array given[MOST], got = {0};
    int n = 0;
    for (int i = 0; i < c->operands; i++)
        if (c->operand[i].dtype != TW_DTYPES)
            given[n++] = c->operand[i];
    tw_graph *g = graph_of(c);
    bool fine = g && tw_reference_run(g, NULL, given, n, &got, 1) == TW_OK;
    if (!fine) {
        tw_text_add(report, "%s", tw_error_message());
    } else if (got.dtype != c->want.dtype) {
        tw_text_add(report, "result is %s; PyTorch's is %s", tw_dtype_name(got.dtype), tw_dtype_name(c->want.dtype));
        fine = false;
    } else {
        fine = tw_array_compare(&got, &c->want, c->ulp, c->absolute, report);
    }
    tw_array_free(&got);
    tw_graph_destroy(g);
    return fine;
}

static unsigned char *read_file(const char *path, size_t *bytes)
{
    enum { LARGEST = 2 << 20 };
    FILE *file = fopen(path, "rb");
    unsigned char *data = file ? tw_alloc(LARGEST) : NULL;
    *bytes = data ? fread(data, 1, LARGEST, file) : 0;
    if (file)
        fclose(file);
    return data;
}

static const char *path = SWEEP_DATA;
static int checks;

static void every_operation_agrees_with_pytorch(void **state)
{
    (void)state;
    size_t bytes;
    unsigned char *data = read_file(path, &bytes);
    assert_non_null(data);
    reader r = {data, data + bytes, false};
    char magic[8];
    uint32_t cases, failed = 0;
    take(&r, magic, sizeof magic);
    take(&r, &cases, sizeof cases);
    assert_memory_equal(magic, "TWSWEEP1", 8);
    for (uint32_t i = 0; i < cases; i++) {
        sweep_case c;
        tw_text report = {0};
        take_case(&r, &c);
        assert_false(r.failed);
        if (!run_case(&c, &report)) {
            const tw_array *shape = c.operands ? &c.operand[0] : &c.want;
            print_error("case %u: %s of %s, rank %d: %s\n", i, c.name, tw_dtype_name(shape->dtype), shape->rank,
                        tw_text_string(&report));
            failed++;
        }
        checks++;
        tw_text_free(&report);
        free_case(&c);
    }
    assert_true(r.at == r.end);
    tw_free(data);
    assert_int_equal(failed, 0);
}

int main(int argc, char **argv)
{
    path = argc > 1 ? argv[1] : path;
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_operation_agrees_with_pytorch)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
