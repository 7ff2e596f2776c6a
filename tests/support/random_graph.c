/* The generator: a growing pool of values, and one maker for each class of operations. A maker that finds no fitting
 * operands does nothing. */
#include "support/random_graph.h"

#include "ops/build.h"

enum { MOST_VALUES = 96, MOST_ELEMENTS = 40000, MOST_PRODUCTS = 400000 };

uint64_t random_next(random_source *r) /* splitmix64 */
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t random_below(random_source *r, int64_t n)
{
    return (int64_t)(random_next(r) % (uint64_t)n);
}

typedef struct maker {
    tw_graph *g;
    random_source r;
    tw_value *value[MOST_VALUES];
    bool exact[MOST_VALUES]; /* every correct evaluation gives the same bits */
    int count;
} maker;

static bool chance(maker *m, int percent)
{
    return random_below(&m->r, 100) < percent;
}

static bool is_floating(const tw_value *v)
{
    return tw_dtype_floating((tw_dtype)v->type.dtype);
}

static int64_t elements(const tw_value *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->type.rank; i++)
        n *= v->type.dims[i];
    return n;
}

static bool keep(maker *m, tw_value *v, bool exact)
{
    if (!v || m->count == MOST_VALUES || elements(v) > MOST_ELEMENTS)
        return false; /* what was made stays unused: dead code is part of the test */
    m->exact[m->count] = exact || !is_floating(v);
    m->value[m->count++] = v;
    return true;
}

/* Late values more often: graphs grow deep rather than wide. */
static int pick(maker *m)
{
    int64_t a = random_below(&m->r, m->count), b = random_below(&m->r, m->count);
    return (int)(a > b ? a : b);
}

static int64_t random_size(maker *m)
{
    static const int64_t sizes[] = {1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 33, 64, 65, 127, 200, 257};
    return chance(m, 2) ? 0 : sizes[random_below(&m->r, chance(m, 70) ? 9 : (int64_t)TW_COUNT(sizes))];
}

static tw_type random_type(maker *m, tw_dtype dtype)
{
    tw_type t = {.dtype = (uint8_t)dtype, .rank = (uint8_t)random_below(&m->r, 5)};
    int64_t count = 1;
    for (int i = 0; i < t.rank; i++) {
        int64_t size = random_size(m);
        t.dims[i] = count * size > MOST_ELEMENTS / 4 ? 1 : size;
        count *= t.dims[i];
    }
    return t;
}

static tw_dtype random_dtype(maker *m)
{
    static const tw_dtype often[] = {TW_F32, TW_F32, TW_F32, TW_F64, TW_F16, TW_BF16, TW_I64, TW_I32, TW_U8, TW_BOOL};
    return often[random_below(&m->r, TW_COUNT(often))];
}

static double random_number(maker *m)
{
    static const double numbers[] = {0, -0.0, 1, -1, 2, 0.5, -3, 7, 0.1, 255};
    return numbers[random_below(&m->r, TW_COUNT(numbers))];
}

/* ---- element-wise ---- */

static bool same_type(const tw_type *a, const tw_type *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           (!a->rank || !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims));
}

/* Can x grow to the shape? */
static bool grows_to(const tw_value *x, const tw_type *t)
{
    int added = t->rank - x->type.rank;
    for (int i = 0; added >= 0 && i < x->type.rank; i++)
        if (x->type.dims[i] != t->dims[added + i] && x->type.dims[i] != 1)
            return false;
    return added >= 0;
}

/* A partner for element-wise operations of type t: of its shape, expanded to it, a scalar, or a constant. */
static tw_value *partner(maker *m, const tw_type *t, bool *exact)
{
    tw_type scalar = {.dtype = t->dtype};
    for (int tries = 0; tries < 12; tries++) {
        int i = pick(m);
        tw_value *v = m->value[i];
        *exact = m->exact[i];
        if (v->type.dtype != t->dtype && tries < 8)
            continue;
        if (!grows_to(v, t))
            continue;
        if (v->type.dtype != t->dtype) { /* a cast to an integer is discontinuous */
            if (!m->exact[i])
                continue;
            v = tw_g_cast(m->g, v, (tw_dtype)t->dtype);
        }
        if (v && (same_type(&v->type, t) || (v->type.rank == 0 && chance(m, 50))))
            return v;
        return v ? tw_g_expand(m->g, v, t->rank, t->dims) : NULL;
    }
    *exact = true;
    double number = random_number(m);
    return tw_g_filled(m->g, chance(m, 50) ? t : &scalar, t->dtype == TW_BOOL ? number > 0 : number);
}

static bool is_elementary(int code)
{
    return tw_reference_ulp(code, TW_F32) > 0.5;
}

/* Continuous and well conditioned enough for values that carry an error. */
static bool forgives(int code)
{
    switch (code) {
    case TW_G_NEG:
    case TW_G_ABS:
    case TW_G_SIN:
    case TW_G_COS:
    case TW_G_ATAN:
    case TW_G_TANH:
    case TW_G_ERF:
    case TW_G_ADD:
    case TW_G_SUB:
    case TW_G_MAXIMUM:
    case TW_G_MINIMUM:
    case TW_G_WHERE:
        return true;
    default:
        return false;
    }
}

/* The ways to use badly conditioned operations on values that carry an error. */
static tw_value *guarded(maker *m, tw_value *x)
{
    tw_graph *g = m->g;
    tw_value *magnitude = tw_g_tanh(g, tw_g_abs(g, x)), *one = tw_g_like(g, x, 1);
    tw_value *positive = tw_g_add(g, magnitude, one); /* 1 to 2 */
    switch (random_below(&m->r, 6)) {
    case 0:
        return tw_g_div(g, tw_g_tanh(g, x), positive);
    case 1:
        return tw_g_log(g, tw_g_add(g, positive, one));
    case 2:
        return tw_g_rsqrt(g, positive);
    case 3:
        return tw_g_sqrt(g, positive);
    case 4:
        return tw_g_exp(g, tw_g_tanh(g, x));
    default:
        return tw_g_mul(g, tw_g_tanh(g, x), magnitude);
    }
}

static int random_pointwise(maker *m)
{
    for (;;) {
        int code = (int)random_below(&m->r, tw_graph_table.count);
        if (tw_graph_table.ops[code].level == TW_LEVEL_PRIMITIVE &&
            tw_graph_table.ops[code].class == TW_CLASS_POINTWISE)
            return code;
    }
}

/* Arithmetic on bool means nothing; floating-only operations need floating operands. */
static bool takes(int code, const tw_value *x)
{
    tw_dtype t = (tw_dtype)x->type.dtype;
    bool logical = code == TW_G_BITWISE_NOT || (code >= TW_G_BITWISE_AND && code <= TW_G_BITWISE_XOR);
    bool compares = code >= TW_G_EQ && code <= TW_G_GE;
    bool integers = logical || code == TW_G_IDIV || (code >= TW_G_SHIFT_LEFT && code <= TW_G_SHIFT_RIGHT_LOGICAL);
    if (code == TW_G_CAST || code == TW_G_WHERE || compares)
        return true;
    if (t == TW_BOOL)
        return logical || code == TW_G_MAXIMUM || code == TW_G_MINIMUM;
    if (integers)
        return !tw_dtype_floating(t);
    return tw_dtype_floating(t) ||
           !(is_elementary(code) || code == TW_G_SQRT || code == TW_G_DIV || code == TW_G_ISNAN);
}

static void make_pointwise(maker *m)
{
    int code = random_pointwise(m), i = pick(m);
    tw_value *operand[3] = {m->value[i]}, *x = operand[0];
    const tw_op_info *info = &tw_graph_table.ops[code];
    tw_attr attr = {.i = random_dtype(m)};
    bool exact = m->exact[i], other = true;
    if (!takes(code, x))
        return;
    if (!exact && !forgives(code) && code != TW_G_CAST) {
        keep(m, guarded(m, x), false);
        return;
    }
    if (code == TW_G_CAST && !exact && (!tw_dtype_floating((tw_dtype)attr.i)))
        return;
    for (int n = 1; n < info->operands && operand[n - 1]; n++) {
        operand[n] = partner(m, &x->type, &other);
        exact = exact && other;
    }
    if (!exact && !forgives(code) && code != TW_G_CAST)
        return;
    if (code == TW_G_WHERE) { /* the condition comes first, and must be exact */
        tw_type condition = x->type;
        condition.dtype = TW_BOOL;
        operand[2] = x;
        operand[0] = partner(m, &condition, &other);
        if (!other)
            return;
    }
    for (int n = 0; n < info->operands; n++)
        if (!operand[n])
            return;
    tw_op *op = tw_graph_add(m->g, code, info->operands, operand, &attr);
    if (op)
        keep(m, &op->result[0], exact && !is_elementary(code));
}

/* ---- reductions, scans, contractions ---- */

static void make_reduction(maker *m)
{
    int i = pick(m);
    tw_value *x = m->value[i];
    if (x->type.rank == 0)
        return;
    int64_t axis = random_below(&m->r, x->type.rank);
    bool adds = !is_floating(x), wraps = x->type.dtype == TW_BOOL || x->type.dtype == TW_U8 || x->type.dtype == TW_I32;
    tw_value *summed = wraps ? tw_g_cast(m->g, x, TW_I64) : x; /* as decomposition does */
    bool empty = x->type.dims[axis] == 0;
    switch (random_below(&m->r, 8)) {
    case 0:
    case 1:
    case 2:
        keep(m, tw_g_sum(m->g, summed, 1, &axis, false), adds);
        return;
    case 3:
        if (x->type.dims[axis] <= 8 && m->exact[i])
            keep(m, tw_g_prod(m->g, summed, 1, &axis, false), adds);
        return;
    case 4:
        if (!empty)
            keep(m, tw_g_amax(m->g, x, 1, &axis, false), m->exact[i]);
        return;
    case 5:
        if (!empty)
            keep(m, tw_g_amin(m->g, x, 1, &axis, false), m->exact[i]);
        return;
    case 6:
        if (!empty && m->exact[i])
            keep(m, tw_g_argmax(m->g, x, axis, chance(m, 50)), true);
        return;
    default:
        if (!empty && m->exact[i])
            keep(m, tw_g_argmin(m->g, x, axis, chance(m, 50)), true);
        return;
    }
}

static void make_scan(maker *m)
{
    int i = pick(m);
    tw_value *x = m->value[i];
    if (x->type.rank == 0)
        return;
    bool wraps = x->type.dtype == TW_BOOL || x->type.dtype == TW_U8 || x->type.dtype == TW_I32;
    int64_t axis = random_below(&m->r, x->type.rank);
    if (chance(m, 40)) {
        bool largest = chance(m, 50);
        keep(m, (largest ? tw_g_cummax : tw_g_cummin)(m->g, x, axis, chance(m, 40)), m->exact[i]);
        return;
    }
    x = wraps ? tw_g_cast(m->g, x, TW_I64) : x;
    if (chance(m, 70) || x->type.dims[axis] > 8 || !m->exact[i])
        keep(m, tw_g_cumsum(m->g, x, axis, chance(m, 40)), false);
    else
        keep(m, tw_g_cumprod(m->g, x, axis, chance(m, 40)), false);
}

static void make_dot(maker *m)
{
    tw_value *a = m->value[pick(m)];
    int rank = a->type.rank;
    if (rank < 2 || !is_floating(a))
        return;
    tw_value *b = NULL;
    for (int tries = 0; tries < 8 && !b; tries++) { /* something that fits, straight or transposed, else a transposed */
        tw_value *v = tries < 7 ? m->value[pick(m)] : a;
        bool fits = v->type.rank == rank && v->type.dtype == a->type.dtype;
        for (int i = 0; fits && i < rank - 2; i++)
            fits = v->type.dims[i] == a->type.dims[i];
        if (fits && v->type.dims[rank - 2] == a->type.dims[rank - 1])
            b = v;
        else if (fits && v->type.dims[rank - 1] == a->type.dims[rank - 1])
            b = tw_g_swap(m->g, v, -2, -1);
    }
    if (!b || elements(a) * b->type.dims[rank - 1] > MOST_PRODUCTS)
        return;
    tw_value *y = tw_g_dot(m->g, a, b);
    keep(m, chance(m, 30) && y ? tw_g_swap(m->g, y, -2, -1) : y, false);
}

/* ---- views, joins, creation ---- */

static tw_value *random_reshape(maker *m, tw_value *x)
{
    int64_t left = elements(x), shape[TW_MAX_RANK];
    int rank = 0;
    if (left == 0)
        return tw_g_reshape(m->g, x, 1, (int64_t[]){0});
    while (left > 1 && rank < 4) {
        int64_t divisor = 1;
        for (int tries = 0; tries < 6; tries++) {
            int64_t d = 1 + random_below(&m->r, TW_MIN(left, 40));
            divisor = left % d == 0 && d > divisor ? d : divisor;
        }
        shape[rank++] = divisor;
        left /= divisor;
    }
    if (left > 1 || chance(m, 20))
        shape[rank++] = left;
    return tw_g_reshape(m->g, x, rank, shape);
}

static tw_value *random_slice(maker *m, tw_value *x)
{
    int64_t starts[TW_MAX_RANK], sizes[TW_MAX_RANK], steps[TW_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        int64_t n = x->type.dims[i], by = 1 + (chance(m, 30) ? random_below(&m->r, 3) : 0), most = (n + by - 1) / by;
        sizes[i] = n == 0 ? 0 : chance(m, 40) ? most : random_below(&m->r, most + 1);
        int64_t span = sizes[i] ? (sizes[i] - 1) * by + 1 : 0;
        starts[i] = sizes[i] ? random_below(&m->r, n - span + 1) : 0;
        steps[i] = by;
        if (sizes[i] && chance(m, 25)) {
            starts[i] += span - 1;
            steps[i] = -by;
        }
    }
    int rank = x->type.rank;
    return tw_g_slice(m->g, x, rank, starts, rank, sizes, rank, steps);
}

static tw_value *random_pad(maker *m, tw_value *x)
{
    int64_t low[TW_MAX_RANK], high[TW_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        low[i] = chance(m, 50) ? random_below(&m->r, 4) : 0;
        high[i] = chance(m, 50) ? random_below(&m->r, 4) : 0;
    }
    bool small = x->type.dtype == TW_U8 || x->type.dtype == TW_BOOL;
    return tw_g_pad(m->g, x, x->type.rank, low, x->type.rank, high, small ? 1 : (double)random_below(&m->r, 5) - 2);
}

static tw_value *random_permute(maker *m, tw_value *x)
{
    int64_t axes[TW_MAX_RANK];
    int rank = x->type.rank;
    for (int i = 0; i < rank; i++) {
        int64_t j = random_below(&m->r, i + 1);
        axes[i] = axes[j];
        axes[j] = i;
    }
    return tw_g_permute(m->g, x, rank, axes);
}

static tw_value *random_expand(maker *m, tw_value *x)
{
    int64_t shape[TW_MAX_RANK], count = elements(x);
    int rank = x->type.rank, added = rank < 4 && chance(m, 50);
    for (int i = 0; i < rank + added; i++) {
        int64_t had = i < added ? 1 : x->type.dims[i - added], grown = had == 1 ? 1 + random_below(&m->r, 9) : had;
        shape[i] = had == 1 && count * grown <= MOST_ELEMENTS ? grown : had;
        count *= had == 1 ? shape[i] : 1;
    }
    return tw_g_expand(m->g, x, rank + added, shape);
}

static tw_value *random_after(maker *m, tw_value *x)
{
    return tw_g_after(m->g, x, m->value[pick(m)]);
}

static void make_view(maker *m)
{
    int i = pick(m);
    tw_value *x = m->value[i];
    static tw_value *(*const views[])(maker *, tw_value *) = {random_reshape, random_slice,  random_pad,
                                                              random_permute, random_expand, random_after};
    keep(m, views[random_below(&m->r, TW_COUNT(views))](m, x), m->exact[i]);
}

static void make_cat(maker *m)
{
    int i = pick(m);
    tw_value *part[3] = {m->value[i], m->value[i], m->value[i]}, *x = part[0];
    bool exact = m->exact[i];
    if (x->type.rank == 0)
        return;
    int64_t axis = random_below(&m->r, x->type.rank);
    for (int n = 1; n < 3; n++) {
        int j = pick(m);
        tw_type t = m->value[j]->type;
        if (t.rank != x->type.rank || t.dtype != x->type.dtype)
            continue;
        t.dims[axis] = x->type.dims[axis];
        if (!same_type(&t, &x->type))
            continue;
        part[n] = m->value[j];
        exact = exact && m->exact[j];
    }
    keep(m, tw_g_cat(m->g, 1 + (int)random_below(&m->r, 3), part, axis), exact);
}

static void make_creation(maker *m)
{
    tw_type t = random_type(m, random_dtype(m));
    if (chance(m, 30)) {
        tw_value *state = tw_g_iota(m->g, 1, (int64_t[]){2}, 0, TW_I64);
        keep(m, tw_g_philox(m->g, state, t.rank, t.dims, random_below(&m->r, 3)), true);
    } else if (t.rank && chance(m, 60)) {
        keep(m,
             tw_g_iota(m->g, t.rank, t.dims, random_below(&m->r, t.rank),
                       t.dtype == TW_BOOL ? TW_I64 : (tw_dtype)t.dtype),
             true);
    } else {
        double number = random_number(m);
        keep(m, tw_g_filled(m->g, &t, t.dtype == TW_BOOL || t.dtype == TW_U8 ? number > 0 : number), true);
    }
}

/* ---- indexing ---- */

/* Integers from the pool brought into 0..size-1: |v| fmod size, whatever v holds. */
static tw_value *index_into(maker *m, int rank, const int64_t *shape, int64_t size)
{
    tw_type t = tw_type_make(TW_I64, rank, shape);
    bool exact;
    tw_value *v = partner(m, &t, &exact);
    if (v && !same_type(&v->type, &t))
        v = tw_g_expand(m->g, v, t.rank, t.dims);
    if (!v || size == 0)
        return NULL;
    tw_value *zero = tw_g_constant(m->g, TW_I64, 0), *modulus = tw_g_constant(m->g, TW_I64, (double)size);
    v = tw_g_bitwise_and(m->g, v, tw_g_full(m->g, 0, NULL, 0, INT64_MAX, TW_I64));
    v = tw_g_fmod(m->g, tw_g_maximum(m->g, v, zero), modulus);
    return v && chance(m, 30) ? tw_g_cast(m->g, v, TW_I32) : v;
}

static void make_gather(maker *m)
{
    int i = pick(m);
    tw_value *x = m->value[i];
    if (x->type.rank == 0)
        return;
    int64_t axis = random_below(&m->r, x->type.rank), shape[TW_MAX_RANK], many = 1 + random_below(&m->r, 9);
    for (int d = 0; d < x->type.rank; d++)
        shape[d] = d == axis ? many : x->type.dims[d];
    bool whole = chance(m, 50);
    tw_value *index = index_into(m, whole ? x->type.rank : 1, whole ? shape : &many, x->type.dims[axis]);
    if (index)
        keep(m, whole ? tw_g_gather(m->g, x, index, axis) : tw_g_index_select(m->g, x, index, axis), m->exact[i]);
}

static void make_scatter(maker *m)
{
    int i = pick(m);
    tw_value *x = m->value[i];
    bool other;
    if (x->type.rank == 0 || x->type.dtype == TW_BOOL)
        return;
    int64_t axis = random_below(&m->r, x->type.rank), many = 1 + random_below(&m->r, 9);
    tw_type t = x->type;
    t.dims[axis] = many;
    tw_value *source = partner(m, &t, &other);
    if (source && !same_type(&source->type, &t))
        source = tw_g_expand(m->g, source, t.rank, t.dims);
    bool slices = chance(m, 40), writes = chance(m, 30);
    tw_value *index = source ? index_into(m, slices ? 1 : t.rank, slices ? &many : t.dims, x->type.dims[axis]) : NULL;
    if (!index)
        return;
    if (slices)
        keep(m, tw_g_index_add(m->g, x, index, source, axis), false);
    else if (writes)
        keep(m, tw_g_scatter(m->g, x, index, source, axis), m->exact[i] && other);
    else
        keep(m, tw_g_scatter_add(m->g, x, index, source, axis), false);
}

static void make_update(maker *m)
{
    int i = pick(m);
    tw_value *x = m->value[i], *part = random_slice(m, x);
    bool other;
    if (!part)
        return;
    const tw_op *slice = part->def;
    tw_type t = part->type;
    tw_value *value = partner(m, &t, &other);
    if (value && !same_type(&value->type, &t))
        value = tw_g_expand(m->g, value, t.rank, t.dims);
    if (value)
        keep(m, tw_g_slice_update(m->g, x, value, t.rank, slice->attr[0].dims.v, t.rank, slice->attr[2].dims.v),
             m->exact[i] && other);
}

/* ---- the whole ---- */

static void make_one(maker *m)
{
    int64_t kind = random_below(&m->r, 100);
    void (*const make)(maker *) = kind < 45   ? make_pointwise
                                  : kind < 60 ? make_reduction
                                  : kind < 76 ? make_view
                                  : kind < 82 ? make_dot
                                  : kind < 85 ? make_cat
                                  : kind < 88 ? make_creation
                                  : kind < 92 ? make_gather
                                  : kind < 95 ? make_scatter
                                  : kind < 97 ? make_update
                                              : make_scan;
    make(m);
}

tw_graph *random_graph(uint64_t seed)
{
    maker m = {.g = tw_graph_create(&tw_graph_table), .r = {seed * 0x2545f4914f6cdd1du + 1}};
    if (!m.g)
        return NULL;
    int inputs = 1 + (int)random_below(&m.r, 4), steps = 1 + (int)random_below(&m.r, chance(&m, 20) ? 60 : 16);
    for (int i = 0; i < inputs; i++) {
        tw_type t = i > 0 && chance(&m, 50) ? m.value[0]->type : random_type(&m, i == 0 ? TW_F32 : random_dtype(&m));
        keep(&m, tw_graph_input(m.g, t), true);
    }
    for (int i = 0; i < steps && m.count > 0; i++)
        make_one(&m);
    tw_value *out[3];
    int outputs = 1 + (int)random_below(&m.r, 3);
    out[0] = m.value[m.count - 1];
    for (int i = 1; i < outputs; i++)
        out[i] = m.value[pick(&m)];
    tw_error_clear();
    if (tw_g_output(m.g, outputs, out))
        return m.g;
    tw_graph_destroy(m.g);
    return NULL;
}
