/* Dimensions: constants, or shared expressions over symbols. A symbol is a size >= 1 known when a plan runs.
 *
 * An expression is a polynomial: terms of coefficient * product of atoms, sorted, where an atom is a symbol or a
 * floor-division that didn't come out even. Equal polynomials are one entry of the graph's table, so that equal
 * dimensions have equal handles. */
#include <stdlib.h>

#include "ir/internal.h"

enum { MOST_FACTORS = 6, MOST_TERMS = 12, MOST_ENTRIES = 1 << 14 }; /* entries are found by looking at each */
static const int64_t MOST = (int64_t)1 << 61;                       /* of any number, so that two can be added */

typedef struct term {
    int64_t coefficient;
    int factors;
    int32_t factor[MOST_FACTORS]; /* atom numbers, ascending; none: the constant term */
} term;

typedef struct polynomial {
    int terms;
    term term[MOST_TERMS];
} polynomial;

typedef struct atom {
    bool division;
    int symbol;
    tw_dim dividend, divisor;
} atom;

struct tw_dim_table {
    tw_vec(polynomial) expressions;
    tw_vec(atom) atoms;
    int symbols;
};

static tw_dim_table *table_of(tw_graph *g)
{
    if (!g->dims)
        g->dims = tw_alloc_zero(1, sizeof *g->dims);
    return g->dims;
}

void tw_dim_table_free(tw_graph *g)
{
    if (!g->dims)
        return;
    tw_vec_free(&g->dims->expressions);
    tw_vec_free(&g->dims->atoms);
    tw_free(g->dims);
}

static polynomial expand(const tw_graph *g, tw_dim d)
{
    if (d < 0 && g->dims && (size_t)(-1 - d) < g->dims->expressions.count)
        return g->dims->expressions.data[-1 - d];
    polynomial p = {.terms = d > 0};
    p.term[0].coefficient = d;
    return p;
}

static int compare_terms(const term *a, const term *b)
{
    if (a->factors != b->factors)
        return a->factors > b->factors ? -1 : 1; /* highest degree first */
    for (int i = 0; i < a->factors; i++)
        if (a->factor[i] != b->factor[i])
            return a->factor[i] < b->factor[i] ? -1 : 1;
    return 0;
}

static bool add_term(polynomial *p, const term *t)
{
    int at = 0;
    while (at < p->terms && compare_terms(&p->term[at], t) < 0)
        at++;
    if (at < p->terms && compare_terms(&p->term[at], t) == 0) {
        p->term[at].coefficient += t->coefficient;
        if (llabs(p->term[at].coefficient) > MOST)
            return false;
        if (p->term[at].coefficient == 0)
            memmove(&p->term[at], &p->term[at + 1], (size_t)(--p->terms - at) * sizeof *t);
        return true;
    }
    if (t->coefficient == 0)
        return true;
    if (p->terms == MOST_TERMS)
        return false;
    memmove(&p->term[at + 1], &p->term[at], (size_t)(p->terms++ - at) * sizeof *t);
    p->term[at] = *t;
    return true;
}

static tw_dim fail(tw_graph *g, tw_status status)
{
    g->failed = status;
    return 0;
}

/* The handle of a polynomial; a constant is itself. */
static tw_dim intern(tw_graph *g, const polynomial *p, bool fits)
{
    if (fits && p->terms == 0)
        return 0;
    if (fits && p->terms == 1 && p->term[0].factors == 0)
        return TW_MAX(p->term[0].coefficient, 0);
    if (!fits)
        return fail(g,
                    tw_error(TW_ERR_UNSUPPORTED,
                             "a symbolic dimension of more than %d terms or %d factors, or with a number beyond 2^61",
                             MOST_TERMS, MOST_FACTORS));
    tw_dim_table *t = table_of(g);
    if (!t)
        return fail(g, TW_ERR_MEMORY);
    for (size_t i = 0; i < t->expressions.count; i++) {
        const polynomial *q = &t->expressions.data[i];
        bool same = q->terms == p->terms;
        for (int j = 0; same && j < p->terms; j++)
            same = q->term[j].coefficient == p->term[j].coefficient && compare_terms(&q->term[j], &p->term[j]) == 0;
        if (same)
            return -1 - (tw_dim)i;
    }
    if (t->expressions.count == MOST_ENTRIES)
        return fail(g, tw_error(TW_ERR_UNSUPPORTED, "more than %d different symbolic dimensions", MOST_ENTRIES));
    return tw_vec_push(&t->expressions, *p) ? -(tw_dim)t->expressions.count : fail(g, TW_ERR_MEMORY);
}

static tw_dim from_atom(tw_graph *g, const atom *a)
{
    tw_dim_table *t = table_of(g);
    if (!t)
        return fail(g, TW_ERR_MEMORY);
    size_t i = 0;
    for (; i < t->atoms.count; i++) {
        const atom *b = &t->atoms.data[i];
        if (a->division == b->division && a->symbol == b->symbol && a->dividend == b->dividend &&
            a->divisor == b->divisor)
            break;
    }
    if (i == t->atoms.count && !tw_vec_push(&t->atoms, *a))
        return fail(g, TW_ERR_MEMORY);
    polynomial p = {.terms = 1, .term[0] = {.coefficient = 1, .factors = 1, .factor[0] = (int32_t)i}};
    return intern(g, &p, true);
}

tw_dim tw_dim_symbol(tw_graph *g, int index)
{
    tw_dim d = from_atom(g, &(atom){.symbol = index});
    if (g->dims)
        g->dims->symbols = TW_MAX(g->dims->symbols, index + 1);
    return d;
}

int tw_graph_symbols(const tw_graph *g)
{
    return g->dims ? g->dims->symbols : 0;
}

static tw_dim constant(tw_graph *g, bool overflow, tw_dim d)
{
    return !overflow && d <= MOST ? d : fail(g, tw_error(TW_ERR_UNSUPPORTED, "a size beyond 2^61"));
}

static tw_dim combine(tw_graph *g, tw_dim a, tw_dim b, int64_t sign)
{
    polynomial p = expand(g, a), q = expand(g, b);
    bool fits = true;
    for (int i = 0; i < q.terms; i++) {
        q.term[i].coefficient *= sign;
        fits = fits && add_term(&p, &q.term[i]);
    }
    return intern(g, &p, fits);
}

tw_dim tw_dim_add(tw_graph *g, tw_dim a, tw_dim b)
{
    tw_dim sum;
    if (a < 0 || b < 0)
        return combine(g, a, b, 1);
    bool overflow = __builtin_add_overflow(a, b, &sum);
    return constant(g, overflow, sum);
}

tw_dim tw_dim_sub(tw_graph *g, tw_dim a, tw_dim b)
{
    return a >= 0 && b >= 0 ? TW_MAX(a - b, 0) : combine(g, a, b, -1);
}

tw_dim tw_dim_mul(tw_graph *g, tw_dim a, tw_dim b)
{
    tw_dim constants;
    if (a >= 0 && b >= 0) {
        bool overflow = __builtin_mul_overflow(a, b, &constants);
        return constant(g, overflow, constants);
    }
    polynomial p = expand(g, a), q = expand(g, b), product = {0};
    bool fits = true;
    for (int i = 0; i < p.terms; i++) {
        for (int j = 0; j < q.terms && fits; j++) {
            term t = {0};
            int x = 0, y = 0;
            fits = p.term[i].factors + q.term[j].factors <= MOST_FACTORS &&
                   !__builtin_mul_overflow(p.term[i].coefficient, q.term[j].coefficient, &t.coefficient) &&
                   llabs(t.coefficient) <= MOST;
            while (fits && (x < p.term[i].factors || y < q.term[j].factors)) {
                bool left =
                    y == q.term[j].factors || (x < p.term[i].factors && p.term[i].factor[x] <= q.term[j].factor[y]);
                t.factor[t.factors++] = left ? p.term[i].factor[x++] : q.term[j].factor[y++];
            }
            fits = fits && add_term(&product, &t);
        }
    }
    return intern(g, &product, fits);
}

/* t / by for a single-term divisor; false: not even. */
static bool divide_term(term *t, const term *by)
{
    if (t->coefficient % by->coefficient != 0)
        return false;
    t->coefficient /= by->coefficient;
    for (int i = 0; i < by->factors; i++) {
        int at = 0;
        while (at < t->factors && t->factor[at] != by->factor[i])
            at++;
        if (at == t->factors)
            return false;
        memmove(&t->factor[at], &t->factor[at + 1], (size_t)(--t->factors - at) * sizeof *t->factor);
    }
    return true;
}

static bool divide_evenly(const tw_graph *g, tw_dim a, tw_dim b, polynomial *quotient)
{
    polynomial p = expand(g, a), q = expand(g, b);
    *quotient = (polynomial){0};
    if (q.terms != 1)
        return false;
    for (int i = 0; i < p.terms; i++)
        if (!divide_term(&p.term[i], &q.term[0]) || !add_term(quotient, &p.term[i]))
            return false;
    return true;
}

bool tw_dim_divides(tw_graph *g, tw_dim divisor, tw_dim d)
{
    polynomial quotient;
    if (divisor >= 0 && d >= 0)
        return divisor > 0 && d % divisor == 0;
    return divisor == d || divide_evenly(g, d, divisor, &quotient);
}

tw_dim tw_dim_floordiv(tw_graph *g, tw_dim a, tw_dim b)
{
    polynomial quotient;
    if (b == 0)
        return 0;
    if (a >= 0 && b >= 0)
        return a / b;
    if (a == b)
        return 1;
    if (divide_evenly(g, a, b, &quotient))
        return intern(g, &quotient, true);
    return from_atom(g, &(atom){.division = true, .dividend = a, .divisor = b});
}

tw_dim tw_dim_ceildiv(tw_graph *g, tw_dim a, tw_dim b)
{
    return tw_dim_divides(g, b, a) ? tw_dim_floordiv(g, a, b)
                                   : tw_dim_floordiv(g, tw_dim_add(g, a, tw_dim_sub(g, b, 1)), b);
}

tw_dim tw_dim_import(tw_graph *to, const tw_graph *from, tw_dim d)
{
    if (d >= 0 || to == from)
        return d;
    polynomial p = expand(from, d);
    tw_dim sum = 0;
    for (int i = 0; i < p.terms; i++) {
        tw_dim product = -1;
        for (int j = 0; j < p.term[i].factors; j++) {
            const atom *a = &from->dims->atoms.data[p.term[i].factor[j]];
            tw_dim factor = a->division ? tw_dim_floordiv(to, tw_dim_import(to, from, a->dividend),
                                                          tw_dim_import(to, from, a->divisor))
                                        : tw_dim_symbol(to, a->symbol);
            product = j ? tw_dim_mul(to, product, factor) : factor;
        }
        int64_t c = p.term[i].coefficient;
        tw_dim part = p.term[i].factors ? tw_dim_mul(to, product, c < 0 ? -c : c) : (c < 0 ? -c : c);
        sum = c < 0 ? tw_dim_sub(to, sum, part) : tw_dim_add(to, sum, part);
    }
    return sum;
}

int64_t tw_dim_eval(const tw_graph *g, tw_dim d, const int64_t *symbols)
{
    if (d >= 0)
        return d;
    polynomial p = expand(g, d);
    int64_t sum = 0;
    for (int i = 0; i < p.terms; i++) {
        int64_t product = p.term[i].coefficient;
        for (int j = 0; j < p.term[i].factors; j++) {
            const atom *a = &g->dims->atoms.data[p.term[i].factor[j]];
            int64_t divisor = a->division ? tw_dim_eval(g, a->divisor, symbols) : 1;
            product *= !a->division ? symbols[a->symbol] : divisor ? tw_dim_eval(g, a->dividend, symbols) / divisor : 0;
        }
        sum += product;
    }
    return sum;
}

void tw_dim_print(const tw_graph *g, tw_dim d, tw_text *out)
{
    if (d >= 0) {
        tw_text_add(out, "%lld", (long long)d);
        return;
    }
    polynomial p = expand(g, d);
    for (int i = 0; i < p.terms; i++) {
        int64_t c = p.term[i].coefficient;
        tw_text_add(out, "%s", i == 0 ? (c < 0 ? "-" : "") : c < 0 ? "-" : "+");
        c = c < 0 ? -c : c;
        if (c != 1 || p.term[i].factors == 0)
            tw_text_add(out, "%lld%s", (long long)c, p.term[i].factors ? "*" : "");
        for (int j = 0; j < p.term[i].factors; j++) {
            const atom *a = &g->dims->atoms.data[p.term[i].factor[j]];
            tw_text_add(out, "%s", j ? "*" : "");
            if (a->division) {
                tw_text_add(out, "((");
                tw_dim_print(g, a->dividend, out);
                tw_text_add(out, ")/(");
                tw_dim_print(g, a->divisor, out);
                tw_text_add(out, "))");
            } else {
                tw_text_add(out, "s%d", a->symbol);
            }
        }
    }
}

static bool push_step(tw_dim_step *steps, int room, int *count, tw_dim_step_kind kind, int64_t value)
{
    if (*count == room)
        return false;
    steps[(*count)++] = (tw_dim_step){kind, value};
    return true;
}

static bool add_steps(const tw_graph *g, tw_dim d, tw_dim_step *steps, int room, int *count)
{
    if (d >= 0)
        return push_step(steps, room, count, TW_DIM_CONST, d);
    polynomial p = expand(g, d);
    for (int i = 0; i < p.terms; i++) {
        if (!push_step(steps, room, count, TW_DIM_CONST, p.term[i].coefficient))
            return false;
        for (int j = 0; j < p.term[i].factors; j++) {
            const atom *a = &g->dims->atoms.data[p.term[i].factor[j]];
            bool fits = a->division ? add_steps(g, a->dividend, steps, room, count) &&
                                          add_steps(g, a->divisor, steps, room, count) &&
                                          push_step(steps, room, count, TW_DIM_FLOORDIV, 0)
                                    : push_step(steps, room, count, TW_DIM_SYMBOL, a->symbol);
            if (!fits || !push_step(steps, room, count, TW_DIM_MUL, 0))
                return false;
        }
        if (i && !push_step(steps, room, count, TW_DIM_ADD, 0))
            return false;
    }
    return true;
}

int tw_dim_steps(const tw_graph *g, tw_dim d, tw_dim_step *steps, int room)
{
    int count = 0;
    return add_steps(g, d, steps, room, &count) ? count : -1;
}
