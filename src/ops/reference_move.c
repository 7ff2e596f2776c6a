/* Creation, views, joins, gathers and scatters: where each element comes from. */
#include <math.h>

#include "ops/reference_internal.h"

static void copy_element(wide *to, int64_t at, const wide *from, int64_t source)
{
    if (to->f)
        to->f[at] = from->f[source];
    else
        to->i[at] = from->i[source];
}

static void add_element(wide *to, int64_t at, const wide *from, int64_t source)
{
    if (to->f)
        to->f[at] += from->f[source];
    else
        to->i[at] = (int64_t)((uint64_t)to->i[at] + (uint64_t)from->i[source]);
}

static void strides_of(const wide *w, int64_t *stride)
{
    int64_t below = 1;
    for (int i = w->rank - 1; i >= 0; i--) {
        stride[i] = below;
        below *= w->shape[i];
    }
}

static void split(const wide *w, int64_t element, int64_t *at)
{
    for (int i = w->rank - 1; i >= 0; i--) {
        at[i] = element % w->shape[i];
        element /= w->shape[i];
    }
}

/* ---- creation ---- */

static void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53 * c[0], q = (uint64_t)0xCD9E8D57 * c[2];
        uint32_t next[4] = {(uint32_t)(q >> 32) ^ c[1] ^ k[0], (uint32_t)q, (uint32_t)(p >> 32) ^ c[3] ^ k[1],
                            (uint32_t)p};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9;
        k[1] += 0xBB67AE85;
    }
    memcpy(out, c, sizeof c);
}

void tw_reference_philox(uint64_t counter_low, uint64_t counter_high, uint64_t key, uint32_t out[4])
{
    uint32_t counter[4] = {(uint32_t)counter_low, (uint32_t)(counter_low >> 32), (uint32_t)counter_high,
                           (uint32_t)(counter_high >> 32)};
    philox_block(counter, (uint32_t[2]){(uint32_t)key, (uint32_t)(key >> 32)}, out);
}

static void random_bits(step *s)
{
    uint64_t key = (uint64_t)s->x[0]->i[0], counter = (uint64_t)s->x[0]->i[1], stream = (uint64_t)s->op->attr[1].i;
    uint32_t words[4] = {0};
    for (int64_t e = 0; e < s->y->count; e++) {
        if (e % 4 == 0)
            tw_reference_philox(counter + (stream << 32) + (uint64_t)e / 4, 0, key, words);
        s->y->i[e] = (int32_t)words[e % 4];
    }
}

tw_status tw_reference_create(step *s)
{
    wide *y = s->y;
    if (s->op->code == TW_G_PHILOX) {
        random_bits(s);
        return TW_OK;
    }
    for (int64_t e = 0; e < y->count; e++) {
        int64_t at[TW_MAX_RANK] = {0}, whole = s->op->attr[2].i;
        double value = s->op->attr[1].f;
        if (s->op->code == TW_G_IOTA) {
            split(y, e, at);
            whole = at[s->op->attr[1].i];
            value = (double)whole;
        }
        if (y->f)
            y->f[e] = value;
        else
            y->i[e] = whole;
    }
    return TW_OK;
}

/* ---- views ---- */

static tw_status pad(step *s)
{
    const wide *x = s->x[0];
    int64_t stride[TW_MAX_RANK];
    strides_of(x, stride);
    for (int64_t e = 0; e < s->y->count; e++) {
        int64_t at[TW_MAX_RANK] = {0}, from = 0;
        bool inside = true;
        split(s->y, e, at);
        for (int i = 0; i < x->rank; i++) {
            int64_t own = at[i] - s->op->attr[0].dims.v[i];
            inside = inside && own >= 0 && own < x->shape[i];
            from += own * stride[i];
        }
        if (inside)
            copy_element(s->y, e, x, from);
        else if (s->y->f)
            s->y->f[e] = s->op->attr[2].f;
        else
            s->y->i[e] = isfinite(s->op->attr[2].f) ? (int64_t)s->op->attr[2].f : 0;
    }
    return TW_OK;
}

static tw_status cat(step *s)
{
    int64_t axis = s->op->attr[0].i, before = 0;
    axis_form whole = tw_reference_axis(s->y, axis);
    for (uint32_t p = 0; p < s->op->operands; p++) {
        axis_form part = tw_reference_axis(s->x[p], axis);
        if (!s->x[p]->f != !s->y->f)
            return tw_error(TW_ERR_DTYPE, "reference: cat of several dtypes; expected a decomposed graph");
        for (int64_t e = 0; e < s->x[p]->count; e++) {
            int64_t b = e % part.b, r = e / part.b % part.r, a = e / part.b / part.r;
            copy_element(s->y, (a * whole.r + before + r) * whole.b + b, s->x[p], e);
        }
        before += part.r;
    }
    return TW_OK;
}

/* Place of each dimension's first element and the distance between elements, in the array that is sliced. */
static tw_status slice_places(const step *s, const wide *outer, const wide *inner, const tw_attr *starts,
                              const tw_attr *steps, int64_t *first, int64_t *apart)
{
    int64_t stride[TW_MAX_RANK];
    strides_of(outer, stride);
    *first = 0;
    for (int i = 0; i < outer->rank; i++) {
        int64_t start = evaluated(s, starts->dims.v[i]), by = steps->dims.v[i],
                last = start + (inner->shape[i] - 1) * by;
        bool fits = start >= 0 && start < outer->shape[i] && last >= 0 && last < outer->shape[i];
        if (!fits && inner->count)
            return tw_error(TW_ERR_VALUE, "reference: %s: elements %lld to %lld of dimension %d, which has %lld",
                            s->op->info->name, (long long)start, (long long)last, i, (long long)outer->shape[i]);
        *first += start * stride[i];
        apart[i] = by * stride[i];
    }
    return TW_OK;
}

/* y[e] = x[first + sum of at[i] * apart[i]] */
static void copy_strided(wide *y, const wide *x, int64_t first, const int64_t *apart)
{
    for (int64_t e = 0; e < y->count; e++) {
        int64_t at[TW_MAX_RANK] = {0}, from = first;
        split(y, e, at);
        for (int i = 0; i < y->rank; i++)
            from += at[i] * apart[i];
        copy_element(y, e, x, from);
    }
}

static tw_status slice(step *s)
{
    int64_t first, apart[TW_MAX_RANK];
    TW_TRY(slice_places(s, s->x[0], s->y, &s->op->attr[0], &s->op->attr[2], &first, apart));
    copy_strided(s->y, s->x[0], first, apart);
    return TW_OK;
}

static tw_status slice_update(step *s)
{
    int64_t first, apart[TW_MAX_RANK];
    const wide *value = s->x[1];
    TW_TRY(slice_places(s, s->y, value, &s->op->attr[0], &s->op->attr[1], &first, apart));
    for (int64_t e = 0; e < s->y->count; e++)
        copy_element(s->y, e, s->x[0], e);
    for (int64_t e = 0; e < value->count; e++) {
        int64_t at[TW_MAX_RANK] = {0}, to = first;
        split(value, e, at);
        for (int i = 0; i < value->rank; i++)
            to += at[i] * apart[i];
        copy_element(s->y, to, value, e);
    }
    return TW_OK;
}

static void permute(step *s)
{
    int64_t stride[TW_MAX_RANK], apart[TW_MAX_RANK];
    strides_of(s->x[0], stride);
    for (int i = 0; i < s->y->rank; i++)
        apart[i] = stride[s->op->attr[0].dims.v[i]];
    copy_strided(s->y, s->x[0], 0, apart);
}

static void expand(step *s)
{
    int64_t stride[TW_MAX_RANK], apart[TW_MAX_RANK];
    int added = s->y->rank - s->x[0]->rank;
    strides_of(s->x[0], stride);
    for (int i = 0; i < s->y->rank; i++)
        apart[i] = i < added || s->x[0]->shape[i - added] == 1 ? 0 : stride[i - added];
    copy_strided(s->y, s->x[0], 0, apart);
}

tw_status tw_reference_view(step *s)
{
    switch (s->op->code) {
    case TW_G_AFTER:
    case TW_G_RESHAPE:
        if (s->x[0]->count != s->y->count)
            return tw_error(TW_ERR_SHAPE, "reference: reshape of %lld elements to %lld", (long long)s->x[0]->count,
                            (long long)s->y->count);
        for (int64_t e = 0; e < s->y->count; e++)
            copy_element(s->y, e, s->x[0], e);
        return TW_OK;
    case TW_G_PERMUTE:
        permute(s);
        return TW_OK;
    case TW_G_EXPAND:
        expand(s);
        return TW_OK;
    case TW_G_SLICE:
        return slice(s);
    case TW_G_PAD:
        return pad(s);
    case TW_G_CAT:
        return cat(s);
    default:
        return slice_update(s);
    }
}

/* ---- indexing ---- */

static tw_status out_of_range(const step *s, int64_t index, int64_t size)
{
    return tw_error(TW_ERR_VALUE, "%s: index %lld; expected 0 <= index < %lld", s->op->info->name, (long long)index,
                    (long long)size);
}

/* Runs over the index array; `x` is the array that indices point into, `along` the one that runs with the index. A
 * rank-1 index (index_select, index_add) serves every slice; otherwise the index names the place along the axis of each
 * of its own elements. */
static tw_status indexed(step *s, const wide *outer, const wide *along, bool shared,
                         void (*move)(wide *, int64_t, const wide *, int64_t), bool gathers)
{
    const wide *index = s->x[1];
    int64_t axis = s->op->attr[0].i, outer_stride[TW_MAX_RANK], along_stride[TW_MAX_RANK];
    const wide *walked = shared ? along : index;
    strides_of(outer, outer_stride);
    strides_of(along, along_stride);
    for (int64_t e = 0; e < walked->count; e++) {
        int64_t at[TW_MAX_RANK] = {0}, there = 0, here = 0;
        split(walked, e, at);
        int64_t named = index->i[shared ? at[axis] : e];
        if (named < 0 || named >= outer->shape[axis])
            return out_of_range(s, named, outer->shape[axis]);
        for (int i = 0; i < walked->rank; i++) {
            there += (i == axis ? named : at[i]) * outer_stride[i];
            here += at[i] * along_stride[i];
        }
        if (gathers)
            move(s->y, here, outer, there);
        else
            move(s->y, there, along, here);
    }
    return TW_OK;
}

tw_status tw_reference_index(step *s)
{
    bool shared = s->op->code == TW_G_INDEX_SELECT || s->op->code == TW_G_INDEX_ADD;
    if (s->op->info->class == TW_CLASS_GATHER)
        return indexed(s, s->x[0], s->y, shared, copy_element, true);
    for (int64_t e = 0; e < s->y->count; e++)
        copy_element(s->y, e, s->x[0], e);
    return indexed(s, s->y, s->x[2], shared, s->op->code == TW_G_SCATTER ? copy_element : add_element, false);
}
