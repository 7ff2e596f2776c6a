/* Index expressions in one canonical form: see index.h for the identities. */
#include "schedule/index.h"

enum { MOST_TERMS = 24 };

/* An expression under construction, on the stack. */
typedef struct builder {
    int64_t constant;
    int terms;
    tw_term term[MOST_TERMS];
    bool failed;
} builder;

static bool indexes_equal(int rank, const tw_index *const *x, const tw_index *const *y)
{
    for (int i = 0; i < rank; i++)
        if (!tw_ix_equal(x[i], y[i]))
            return false;
    return true;
}

static bool atoms_equal(const tw_atom *x, const tw_atom *y)
{
    if (x == y)
        return true;
    if (x->kind != y->kind)
        return false;
    switch (x->kind) {
    case TW_ATOM_VAR:
        return x->var == y->var;
    case TW_ATOM_DIV:
    case TW_ATOM_MOD:
        return x->by == y->by && tw_ix_equal(x->of, y->of);
    case TW_ATOM_READ:
        return x->read == y->read && indexes_equal(x->read->type.rank, x->at, y->at);
    }
    return false;
}

bool tw_ix_equal(const tw_index *x, const tw_index *y)
{
    if (x == y)
        return true;
    if (!x || !y || x->hash != y->hash || x->constant != y->constant || x->terms != y->terms)
        return false;
    for (int i = 0; i < x->terms; i++) {
        bool found = false;
        for (int j = 0; j < y->terms && !found; j++)
            found = x->term[i].coefficient == y->term[j].coefficient && atoms_equal(x->term[i].atom, y->term[j].atom);
        if (!found)
            return false;
    }
    return true;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 31;
}

static uint64_t atom_hash(const tw_atom *atom)
{
    uint64_t h = mix(7, (uint64_t)atom->kind);
    switch (atom->kind) {
    case TW_ATOM_VAR:
        return mix(h, (uint64_t)atom->var);
    case TW_ATOM_DIV:
    case TW_ATOM_MOD:
        return mix(mix(h, (uint64_t)atom->by), atom->of->hash);
    case TW_ATOM_READ:
        h = mix(h, (uint64_t)(uintptr_t)atom->read);
        for (int i = 0; i < atom->read->type.rank; i++)
            h = mix(h, atom->at[i]->hash);
        return h;
    }
    return h;
}

static void atom_bounds(const tw_atom *atom, int64_t *low, int64_t *high)
{
    switch (atom->kind) {
    case TW_ATOM_VAR:
    case TW_ATOM_READ:
        *low = 0;
        *high = TW_MAX(atom->extent - 1, 0);
        return;
    case TW_ATOM_DIV:
        *low = atom->of->low < 0 ? -((-atom->of->low + atom->by - 1) / atom->by) : atom->of->low / atom->by;
        *high = atom->of->high < 0 ? -((-atom->of->high + atom->by - 1) / atom->by) : atom->of->high / atom->by;
        return;
    case TW_ATOM_MOD:
        *low = 0;
        *high = atom->by - 1;
        return;
    }
}

/* Adds coefficient * atom, merging with an equal atom. */
static void put(builder *b, int64_t coefficient, const tw_atom *atom)
{
    if (coefficient == 0)
        return;
    for (int i = 0; i < b->terms; i++) {
        if (!atoms_equal(b->term[i].atom, atom))
            continue;
        b->term[i].coefficient += coefficient;
        if (b->term[i].coefficient == 0)
            b->term[i] = b->term[--b->terms];
        return;
    }
    if (b->terms == MOST_TERMS) {
        b->failed = true;
        return;
    }
    b->term[b->terms++] = (tw_term){coefficient, atom};
}

static void put_index(builder *b, const tw_index *x, int64_t factor)
{
    b->constant += x->constant * factor;
    for (int i = 0; i < x->terms; i++)
        put(b, x->term[i].coefficient * factor, x->term[i].atom);
}

static const tw_index *finish(tw_arena *a, builder *b);

static const tw_index *atom_index(tw_arena *a, const tw_atom *atom)
{
    builder b = {0};
    tw_atom *copy = tw_arena_copy(a, atom, sizeof *atom);
    if (!copy)
        return NULL;
    put(&b, 1, copy);
    return finish(a, &b);
}

/* Is `quotient` the division that goes with remainder `m`: m = e % c and quotient = e / c, or (e / c) % d ? */
static bool goes_with(const tw_atom *quotient, const tw_atom *m)
{
    if (quotient->kind == TW_ATOM_DIV)
        return quotient->by == m->by && tw_ix_equal(quotient->of, m->of);
    if (quotient->kind != TW_ATOM_MOD || quotient->of->terms != 1 || quotient->of->constant != 0 ||
        quotient->of->term[0].coefficient != 1)
        return false;
    const tw_atom *inner = quotient->of->term[0].atom;
    return inner->kind == TW_ATOM_DIV && inner->by == m->by && tw_ix_equal(inner->of, m->of);
}

/* e/c where e is plain enough to have been simplified away: the quotient of `m` may be affine terms instead of a DIV
 * atom. Only the two identities of the header are looked for; returns true when it changed something. */
static bool recombine(tw_arena *a, builder *b)
{
    for (int i = 0; i < b->terms; i++) {
        const tw_atom *m = b->term[i].atom;
        if (m->kind != TW_ATOM_MOD)
            continue;
        for (int j = 0; j < b->terms; j++) {
            if (j == i || b->term[j].coefficient != b->term[i].coefficient * m->by || !goes_with(b->term[j].atom, m))
                continue;
            int64_t coefficient = b->term[i].coefficient;
            const tw_atom *q = b->term[j].atom;
            const tw_index *whole = q->kind == TW_ATOM_DIV ? m->of : tw_ix_mod(a, m->of, m->by * q->by);
            if (!whole) {
                b->failed = true;
                return false;
            }
            int high = TW_MAX(i, j), low = TW_MIN(i, j);
            b->term[high] = b->term[--b->terms];
            b->term[low] = b->term[--b->terms];
            put_index(b, whole, coefficient);
            return true;
        }
    }
    return false;
}

static const tw_index *finish(tw_arena *a, builder *b)
{
    while (recombine(a, b))
        ;
    if (b->failed)
        return NULL;
    tw_index *x = tw_arena_alloc(a, sizeof *x);
    tw_term *term = b->terms ? tw_arena_copy(a, b->term, (size_t)b->terms * sizeof *term) : NULL;
    if (!x || (b->terms && !term))
        return NULL;
    *x = (tw_index){b->constant, b->terms, term, b->constant, b->constant, mix(3, (uint64_t)b->constant)};
    for (int i = 0; i < b->terms; i++) {
        int64_t low = 0, high = 0, c = term[i].coefficient;
        atom_bounds(term[i].atom, &low, &high);
        x->low += c * (c > 0 ? low : high);
        x->high += c * (c > 0 ? high : low);
        x->hash += mix(atom_hash(term[i].atom), (uint64_t)c); /* a sum: the order of terms doesn't matter */
    }
    return x;
}

const tw_index *tw_ix_constant(tw_arena *a, int64_t value)
{
    builder b = {.constant = value};
    return finish(a, &b);
}

const tw_index *tw_ix_var(tw_arena *a, int var, int64_t extent)
{
    if (extent == 1)
        return tw_ix_constant(a, 0);
    return atom_index(a, &(tw_atom){.kind = TW_ATOM_VAR, .var = var, .extent = extent});
}

const tw_index *tw_ix_read(tw_arena *a, const tw_value *value, int rank, const tw_index *const *at, int64_t extent)
{
    const tw_index **copy = tw_arena_alloc(a, (size_t)TW_MAX(rank, 1) * sizeof *copy);
    if (!copy)
        return NULL;
    for (int i = 0; i < rank; i++)
        if (!(copy[i] = at[i]))
            return NULL;
    return atom_index(a, &(tw_atom){.kind = TW_ATOM_READ, .read = value, .at = copy, .extent = extent});
}

const tw_index *tw_ix_add(tw_arena *a, const tw_index *x, const tw_index *y)
{
    builder b = {0};
    if (!x || !y)
        return NULL;
    put_index(&b, x, 1);
    put_index(&b, y, 1);
    return finish(a, &b);
}

const tw_index *tw_ix_scale(tw_arena *a, const tw_index *x, int64_t factor)
{
    builder b = {0};
    if (!x)
        return NULL;
    put_index(&b, x, factor);
    return finish(a, &b);
}

const tw_index *tw_ix_offset(tw_arena *a, const tw_index *x, int64_t constant)
{
    builder b = {.constant = constant};
    if (!x)
        return NULL;
    put_index(&b, x, 1);
    return finish(a, &b);
}

static int64_t floor_div(int64_t x, int64_t by)
{
    return x >= 0 ? x / by : -((-x + by - 1) / by);
}

/* Splits x = by * quotient + rest, where rest has the terms whose coefficients `by` does not divide. */
static bool split(tw_arena *a, const tw_index *x, int64_t by, const tw_index **quotient, const tw_index **rest)
{
    builder q = {.constant = floor_div(x->constant, by)};
    builder r = {.constant = x->constant - q.constant * by};
    for (int i = 0; i < x->terms; i++) {
        if (x->term[i].coefficient % by == 0)
            put(&q, x->term[i].coefficient / by, x->term[i].atom);
        else
            put(&r, x->term[i].coefficient, x->term[i].atom);
    }
    *quotient = finish(a, &q);
    *rest = finish(a, &r);
    return *quotient && *rest;
}

/* x = c*q + r with 0 <= r < c for a c > 1 that divides `by`: then x/by = q/(by/c), and x % by = c*(q % (by/c)) + r. */
static int64_t inner_factor(tw_arena *a, const tw_index *x, int64_t by, const tw_index **q, const tw_index **r)
{
    for (int i = 0; i < x->terms; i++) {
        int64_t c = x->term[i].coefficient < 0 ? -x->term[i].coefficient : x->term[i].coefficient;
        if (c > 1 && c < by && by % c == 0 && split(a, x, c, q, r) && (*r)->low >= 0 && (*r)->high < c)
            return c;
    }
    return 0;
}

const tw_index *tw_ix_div(tw_arena *a, const tw_index *x, int64_t by)
{
    const tw_index *quotient, *rest;
    if (!x || by == 1)
        return x;
    if (!split(a, x, by, &quotient, &rest))
        return NULL;
    if (rest->low >= 0 && rest->high < by)
        return quotient;
    if (rest->terms == 1 && rest->constant == 0 && rest->term[0].coefficient == 1 &&
        rest->term[0].atom->kind == TW_ATOM_DIV) {
        const tw_atom *inner = rest->term[0].atom; /* (e/c)/d = e/(c*d) */
        return tw_ix_add(a, quotient, tw_ix_div(a, inner->of, inner->by * by));
    }
    const tw_index *q, *r;
    int64_t c = inner_factor(a, rest, by, &q, &r);
    if (c)
        return tw_ix_add(a, quotient, tw_ix_div(a, q, by / c));
    return tw_ix_add(a, quotient, atom_index(a, &(tw_atom){.kind = TW_ATOM_DIV, .of = rest, .by = by}));
}

const tw_index *tw_ix_mod(tw_arena *a, const tw_index *x, int64_t by)
{
    const tw_index *quotient, *rest;
    if (!x)
        return NULL;
    if (by == 1)
        return tw_ix_constant(a, 0);
    if (!split(a, x, by, &quotient, &rest))
        return NULL;
    if (rest->low >= 0 && rest->high < by)
        return rest;
    if (rest->terms == 1 && rest->constant == 0 && rest->term[0].coefficient == 1 &&
        rest->term[0].atom->kind == TW_ATOM_MOD && rest->term[0].atom->by % by == 0)
        return tw_ix_mod(a, rest->term[0].atom->of, by); /* (e % (c*d)) % c = e % c */
    const tw_index *q, *r;
    int64_t c = inner_factor(a, rest, by, &q, &r);
    if (c)
        return tw_ix_add(a, tw_ix_scale(a, tw_ix_mod(a, q, by / c), c), r);
    return atom_index(a, &(tw_atom){.kind = TW_ATOM_MOD, .of = rest, .by = by});
}

const tw_index *tw_ix_replace(tw_arena *a, const tw_index *x, const tw_index *const *by, int vars)
{
    const tw_index *result = x ? tw_ix_constant(a, x->constant) : NULL;
    for (int i = 0; result && i < x->terms; i++) {
        const tw_atom *atom = x->term[i].atom;
        const tw_index *part = NULL, *of = NULL;
        switch (atom->kind) {
        case TW_ATOM_VAR:
            part = atom->var < vars && by[atom->var] ? by[atom->var] : tw_ix_var(a, atom->var, atom->extent);
            break;
        case TW_ATOM_DIV:
        case TW_ATOM_MOD:
            of = tw_ix_replace(a, atom->of, by, vars);
            part = atom->kind == TW_ATOM_DIV ? tw_ix_div(a, of, atom->by) : tw_ix_mod(a, of, atom->by);
            break;
        case TW_ATOM_READ: {
            const tw_index *at[TW_MAX_RANK];
            for (int d = 0; d < atom->read->type.rank; d++)
                at[d] = tw_ix_replace(a, atom->at[d], by, vars);
            part = tw_ix_read(a, atom->read, atom->read->type.rank, at, atom->extent);
            break;
        }
        }
        result = tw_ix_add(a, result, tw_ix_scale(a, part, x->term[i].coefficient));
    }
    return result;
}

const tw_index *tw_ix_linear(tw_arena *a, int rank, const tw_index *const *at, const int64_t *stride)
{
    builder b = {0};
    for (int i = 0; i < rank; i++) {
        if (!at[i])
            return NULL;
        put_index(&b, at[i], stride[i]);
    }
    return finish(a, &b);
}

void tw_ix_unravel(tw_arena *a, const tw_index *linear, int rank, const int64_t *shape, const tw_index **at)
{
    int64_t below = 1;
    for (int i = rank - 1; i >= 0; i--) {
        const tw_index *x = tw_ix_div(a, linear, below);
        at[i] = i == 0 ? x : tw_ix_mod(a, x, TW_MAX(shape[i], 1));
        if (shape[i] == 1)
            at[i] = tw_ix_constant(a, 0);
        below *= TW_MAX(shape[i], 1);
    }
}

bool tw_ix_uses(const tw_index *x, int var)
{
    for (int i = 0; i < x->terms; i++) {
        const tw_atom *atom = x->term[i].atom;
        if (atom->kind == TW_ATOM_VAR && atom->var == var)
            return true;
        if ((atom->kind == TW_ATOM_DIV || atom->kind == TW_ATOM_MOD) && tw_ix_uses(atom->of, var))
            return true;
        for (int d = 0; atom->kind == TW_ATOM_READ && d < atom->read->type.rank; d++)
            if (tw_ix_uses(atom->at[d], var))
                return true;
    }
    return false;
}

int64_t tw_ix_coefficient(const tw_index *x, int var, bool *affine)
{
    int64_t coefficient = 0;
    for (int i = 0; i < x->terms; i++) {
        const tw_atom *atom = x->term[i].atom;
        if (atom->kind == TW_ATOM_VAR) {
            if (atom->var == var)
                coefficient = x->term[i].coefficient;
        } else {
            tw_index alone = {.terms = 1, .term = &x->term[i]};
            if (tw_ix_uses(&alone, var))
                *affine = false;
        }
    }
    return coefficient;
}

void tw_ix_print(const tw_index *x, tw_text *out)
{
    for (int i = 0; i < x->terms; i++) {
        const tw_atom *atom = x->term[i].atom;
        tw_text_add(out, "%s", i ? " + " : "");
        if (x->term[i].coefficient != 1)
            tw_text_add(out, "%lld*", (long long)x->term[i].coefficient);
        switch (atom->kind) {
        case TW_ATOM_VAR:
            tw_text_add(out, "v%d", atom->var);
            break;
        case TW_ATOM_DIV:
        case TW_ATOM_MOD:
            tw_text_add(out, "(");
            tw_ix_print(atom->of, out);
            tw_text_add(out, ")%c%lld", atom->kind == TW_ATOM_DIV ? '/' : '%', (long long)atom->by);
            break;
        case TW_ATOM_READ:
            tw_text_add(out, "read(%%%u)", atom->read->id);
            break;
        }
    }
    if (x->constant || !x->terms)
        tw_text_add(out, "%s%lld", x->terms ? " + " : "", (long long)x->constant);
}
