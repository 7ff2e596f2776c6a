/* Operations on whole tiles: reduce, scan, combine, dot, sort. For the orders see docs/architecture.md, "Orders". */
#include <math.h>
#include <stdlib.h>

#include "tile/interpret_internal.h"

typedef struct lines { /* a tile seen along an axis: element (o, i, l) is at (o * n + i) * inner + l */
    int64_t outer, n, inner;
} lines;

static lines along(const tw_type *t, int axis)
{
    lines x = {1, t->dims[axis], 1};
    for (int i = 0; i < axis; i++)
        x.outer *= t->dims[i];
    for (int i = axis + 1; i < t->rank; i++)
        x.inner *= t->dims[i];
    return x;
}

static int combine_code(int64_t kind)
{
    return kind == TW_T_REDUCE_SUM    ? TW_T_ADD
           : kind == TW_T_REDUCE_PROD ? TW_T_MUL
           : kind == TW_T_REDUCE_MIN  ? TW_T_MIN
                                      : TW_T_MAX;
}

static tw_status combine_two(tw_tile_machine *m, int64_t kind, tw_dtype dtype, void *a, const void *b)
{
    int code = combine_code(kind);
    if (dtype == TW_BOOL && code == TW_T_ADD) /* as back ends have it: any, all */
        code = TW_T_OR;
    return tw_tile_binary(m, code, dtype, 1, a, a, 0, b, 0);
}

/* 64 partial results, then halves: the order of the last axis. */
static tw_status reduce_row(tw_tile_machine *m, int64_t kind, tw_dtype dtype, const char *x, int64_t n, void *to)
{
    enum { PARTIALS = 64 };
    size_t size = tw_dtype_size(dtype);
    uint64_t part[PARTIALS];
    for (int64_t i = 0; i < n; i++) {
        int64_t p = i % PARTIALS;
        if (i < PARTIALS)
            memcpy(&part[p], x + (size_t)i * size, size);
        else
            TW_TRY(combine_two(m, kind, dtype, &part[p], x + (size_t)i * size));
    }
    for (int64_t half = PARTIALS / 2; half >= 1; half /= 2)
        for (int64_t p = 0; p < half; p++)
            if (p + half < n)
                TW_TRY(combine_two(m, kind, dtype, &part[p], &part[p + half]));
    memcpy(to, &part[0], size);
    return TW_OK;
}

static bool better(const tw_type *t, const void *data, int64_t candidate, int64_t best, bool largest)
{
    if (!tw_dtype_floating((tw_dtype)t->dtype) && tw_dtype_size((tw_dtype)t->dtype) == 8) {
        int64_t a = ((const int64_t *)data)[candidate], b = ((const int64_t *)data)[best];
        if (t->dtype == TW_U64)
            return largest ? (uint64_t)a > (uint64_t)b : (uint64_t)a < (uint64_t)b;
        return largest ? a > b : a < b;
    }
    double a = tw_tile_element(t, data, candidate), b = tw_tile_element(t, data, best);
    if (isnan(b))
        return false;
    return isnan(a) || (largest ? a > b : a < b);
}

static void reduce_argument(const tw_op *op, const void *x, lines l, int64_t *to)
{
    bool largest = op->attr[1].i == TW_T_REDUCE_ARGMAX;
    const tw_type *t = &op->operand[0]->type;
    for (int64_t o = 0; o < l.outer; o++) {
        for (int64_t k = 0; k < l.inner; k++) {
            int64_t best = o * l.n * l.inner + k;
            int64_t first = best;
            for (int64_t i = 1; i < l.n; i++)
                if (better(t, x, first + i * l.inner, best, largest))
                    best = first + i * l.inner;
            to[o * l.inner + k] = (best - first) / l.inner;
        }
    }
}

static tw_status run_reduce(tw_tile_machine *m, const tw_op *op)
{
    const tw_type *t = &op->operand[0]->type;
    const char *x = data_of(m, op->operand[0]);
    char *to = tw_tile_allocate(m, &op->result[0]);
    int axis = (int)op->attr[0].i;
    lines l = along(t, axis);
    tw_dtype dtype = (tw_dtype)t->dtype;
    size_t size = tw_dtype_size(dtype);
    if (!to)
        return TW_ERR_MEMORY;
    if (op->attr[1].i == TW_T_REDUCE_ARGMAX || op->attr[1].i == TW_T_REDUCE_ARGMIN) {
        reduce_argument(op, x, l, (int64_t *)to);
        return TW_OK;
    }
    for (int64_t o = 0; o < l.outer; o++) {
        if (axis == t->rank - 1) {
            TW_TRY(reduce_row(m, op->attr[1].i, dtype, x + (size_t)(o * l.n) * size, l.n, to + (size_t)o * size));
            continue;
        }
        for (int64_t k = 0; k < l.inner; k++) {
            char *r = to + (size_t)(o * l.inner + k) * size;
            memcpy(r, x + (size_t)(o * l.n * l.inner + k) * size, size);
            for (int64_t i = 1; i < l.n; i++)
                TW_TRY(combine_two(m, op->attr[1].i, dtype, r, x + (size_t)((o * l.n + i) * l.inner + k) * size));
        }
    }
    return TW_OK;
}

/* Half precision runs in f32 and rounds each element once. */
static tw_status run_scan(tw_tile_machine *m, const tw_op *op)
{
    const tw_type *t = &op->operand[0]->type;
    const char *x = data_of(m, op->operand[0]);
    char *to = tw_tile_allocate(m, &op->result[0]);
    lines l = along(t, (int)op->attr[0].i);
    tw_dtype dtype = (tw_dtype)t->dtype;
    bool half = dtype == TW_F16 || dtype == TW_BF16;
    size_t size = tw_dtype_size(dtype);
    if (!to)
        return TW_ERR_MEMORY;
    for (int64_t line = 0; line < l.outer * l.inner; line++) {
        uint64_t sum = 0;
        for (int64_t k = 0; k < l.n; k++) {
            int64_t i = op->attr[2].i ? l.n - 1 - k : k, at = (line / l.inner * l.n + i) * l.inner + line % l.inner;
            uint64_t e = 0;
            if (half)
                tw_tile_widen(dtype, x + (size_t)at * size, 1, (float *)&e);
            else
                memcpy(&e, x + (size_t)at * size, size);
            if (k == 0)
                sum = e;
            else
                TW_TRY(combine_two(m, op->attr[1].i, half ? TW_F32 : dtype, &sum, &e));
            if (half)
                tw_tile_narrow(dtype, (float *)&sum, 1, to + (size_t)at * size);
            else
                memcpy(to + (size_t)at * size, &sum, size);
        }
    }
    return TW_OK;
}

/* ---- by a region ---- */

/* state[k] = the region's function of state[k] and element `from` of tile k. */
static tw_status run_region(tw_tile_machine *m, const tw_op *op, int tiles, int64_t from, uint64_t *state)
{
    const tw_block *b = op->region[0];
    const tw_op *end;
    for (int k = 0; k < tiles; k++) {
        size_t size = element_bytes(&op->operand[k]->type);
        void *first = tw_tile_allocate(m, b->arg[k]), *second = tw_tile_allocate(m, b->arg[tiles + k]);
        if (!first || !second)
            return TW_ERR_MEMORY;
        memcpy(first, &state[k], size);
        memcpy(second, (const char *)data_of(m, op->operand[k]) + (size_t)from * size, size);
    }
    TW_TRY(tw_tile_run_block(m, b, &end));
    for (int k = 0; k < tiles; k++)
        memcpy(&state[k], data_of(m, end->operand[k]), element_bytes(&op->operand[k]->type));
    m->op = op;
    return TW_OK;
}

static tw_status run_combine(tw_tile_machine *m, const tw_op *op)
{
    enum { MOST_TILES = 16 };
    int tiles = (int)op->operands;
    uint64_t state[MOST_TILES];
    lines l = along(&op->operand[0]->type, (int)op->attr[0].i);
    bool scan = op->attr[1].i != 0, reverse = op->attr[2].i != 0;
    if (tiles > MOST_TILES)
        return tw_tile_fail(m, "more than %d tiles combined together", MOST_TILES);
    for (int k = 0; k < tiles; k++)
        if (!tw_tile_allocate(m, &op->result[k]))
            return TW_ERR_MEMORY;
    for (int64_t line = 0; line < l.outer * l.inner; line++) {
        for (int64_t j = 0; j < l.n; j++) {
            int64_t i = reverse ? l.n - 1 - j : j, at = (line / l.inner * l.n + i) * l.inner + line % l.inner;
            if (j > 0)
                TW_TRY(run_region(m, op, tiles, at, state));
            for (int k = 0; k < tiles; k++) {
                size_t size = element_bytes(&op->operand[k]->type);
                if (j == 0)
                    memcpy(&state[k], (const char *)data_of(m, op->operand[k]) + (size_t)at * size, size);
                if (scan || j + 1 == l.n)
                    memcpy((char *)data_of(m, &op->result[k]) + (size_t)(scan ? at : line) * size, &state[k], size);
            }
        }
    }
    return TW_OK;
}

/* ---- products ---- */

static void product_f32(const float *a, const float *b, const float *acc, float *r, int64_t rows, int64_t k,
                        int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++)
            r[i * columns + j] = acc ? acc[i * columns + j] : 0;
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < columns; j++)
                r[i * columns + j] = fmaf(a[i * k + p], b[p * columns + j], r[i * columns + j]);
    }
}

static void product_f64(const double *a, const double *b, const double *acc, double *r, int64_t rows, int64_t k,
                        int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++)
            r[i * columns + j] = acc ? acc[i * columns + j] : 0;
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < columns; j++)
                r[i * columns + j] = fma(a[i * k + p], b[p * columns + j], r[i * columns + j]);
    }
}

static void product_i32(tw_dtype dtype, const void *a, const void *b, const int32_t *acc, int32_t *r, int64_t rows,
                        int64_t k, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            uint32_t sum = acc ? (uint32_t)acc[i * columns + j] : 0;
            for (int64_t p = 0; p < k; p++) {
                int x = dtype == TW_I8 ? ((const int8_t *)a)[i * k + p] : ((const uint8_t *)a)[i * k + p];
                int y = dtype == TW_I8 ? ((const int8_t *)b)[p * columns + j] : ((const uint8_t *)b)[p * columns + j];
                sum += (uint32_t)(x * y);
            }
            r[i * columns + j] = (int32_t)sum;
        }
    }
}

static tw_status run_dot(tw_tile_machine *m, const tw_op *op)
{
    const tw_type *x = &op->operand[0]->type, *y = &op->operand[1]->type;
    int r = x->rank;
    int64_t rows = x->dims[r - 2], k = x->dims[r - 1], columns = y->dims[r - 1], batch = 1;
    tw_dtype dtype = (tw_dtype)x->dtype;
    char *to = tw_tile_allocate(m, &op->result[0]);
    const char *a = data_of(m, op->operand[0]), *b = data_of(m, op->operand[1]),
               *acc = op->operand[2] ? data_of(m, op->operand[2]) : NULL;
    float *wide_a = NULL;
    for (int i = 0; i < r - 2; i++)
        batch *= x->dims[i];
    if (!to)
        return TW_ERR_MEMORY;
    if (dtype == TW_F16 || dtype == TW_BF16) {
        wide_a = tw_alloc((size_t)(batch * (rows * k + k * columns)) * sizeof *wide_a + 16);
        if (!wide_a)
            return TW_ERR_MEMORY;
        tw_tile_widen(dtype, a, batch * rows * k, wide_a);
        tw_tile_widen(dtype, b, batch * k * columns, wide_a + batch * rows * k);
        a = (const char *)wide_a;
        b = (const char *)(wide_a + batch * rows * k);
        dtype = TW_F32;
    }
    size_t in = tw_dtype_size(dtype), out = tw_dtype_size((tw_dtype)op->result[0].type.dtype);
    for (int64_t i = 0; i < batch; i++) {
        const void *pa = a + (size_t)(i * rows * k) * in, *pb = b + (size_t)(i * k * columns) * in;
        const void *pc = acc ? acc + (size_t)(i * rows * columns) * out : NULL;
        void *pr = to + (size_t)(i * rows * columns) * out;
        if (dtype == TW_F32)
            product_f32(pa, pb, pc, pr, rows, k, columns);
        else if (dtype == TW_F64)
            product_f64(pa, pb, pc, pr, rows, k, columns);
        else
            product_i32(dtype, pa, pb, pc, pr, rows, k, columns);
    }
    tw_free(wide_a);
    return TW_OK;
}

/* ---- sorting ---- by merging runs; -0 is less than 0, NaN comes last in both orders */

typedef struct key {
    int64_t whole;
    double real;
    int64_t at;
} key;

static bool before(const key *a, const key *b, bool floating, bool plain, bool descending)
{
    if (floating) {
        if (isnan(a->real) || isnan(b->real))
            return !isnan(a->real) && isnan(b->real);
        if (a->real == b->real)
            return descending ? signbit(a->real) < signbit(b->real) : signbit(a->real) > signbit(b->real);
        return descending ? a->real > b->real : a->real < b->real;
    }
    bool less = plain ? (uint64_t)a->whole < (uint64_t)b->whole : a->whole < b->whole,
         more = plain ? (uint64_t)a->whole > (uint64_t)b->whole : a->whole > b->whole;
    return descending ? more : less;
}

static void merge_sort(key *x, key *room, int64_t n, bool floating, bool plain, bool descending)
{
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t first = 0; first < n; first += 2 * width) {
            int64_t middle = TW_MIN(first + width, n), end = TW_MIN(first + 2 * width, n), i = first, j = middle;
            for (int64_t k = first; k < end; k++) {
                bool right = i == middle || (j < end && before(&x[j], &x[i], floating, plain, descending));
                room[k] = right ? x[j++] : x[i++];
            }
        }
        memcpy(x, room, (size_t)n * sizeof *x);
    }
}

static tw_status run_sort(tw_tile_machine *m, const tw_op *op)
{
    const tw_type *t = &op->operand[0]->type;
    lines l = along(t, (int)op->attr[0].i);
    tw_dtype dtype = (tw_dtype)t->dtype;
    size_t size = tw_dtype_size(dtype);
    const char *x = data_of(m, op->operand[0]);
    char *to = tw_tile_allocate(m, &op->result[0]);
    key *keys = tw_alloc((size_t)l.n * 2 * sizeof *keys);
    if (!to || !keys) {
        tw_free(keys);
        return TW_ERR_MEMORY;
    }
    for (int64_t line = 0; line < l.outer * l.inner; line++) {
        int64_t first = line / l.inner * l.n * l.inner + line % l.inner;
        for (int64_t i = 0; i < l.n; i++) {
            int64_t at = first + i * l.inner;
            keys[i] = (key){.real = tw_tile_element(t, x, at), .at = at};
            keys[i].whole = size == 8 ? ((const int64_t *)(const void *)x)[at]
                                      : (int64_t)(tw_dtype_floating(dtype) ? 0 : keys[i].real);
        }
        merge_sort(keys, keys + l.n, l.n, tw_dtype_floating(dtype), dtype == TW_U64, op->attr[1].i != 0);
        for (int64_t i = 0; i < l.n; i++)
            memcpy(to + (size_t)(first + i * l.inner) * size, x + (size_t)keys[i].at * size, size);
    }
    tw_free(keys);
    return TW_OK;
}

tw_status tw_tile_run_whole(tw_tile_machine *m, const tw_op *op)
{
    switch (op->code) {
    case TW_T_REDUCE:
        return run_reduce(m, op);
    case TW_T_SCAN:
        return run_scan(m, op);
    case TW_T_COMBINE:
        return run_combine(m, op);
    case TW_T_DOT:
        return run_dot(m, op);
    default:
        return run_sort(m, op);
    }
}
