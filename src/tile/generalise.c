/* One program for many sizes: where two programs of the same structure differ in a number, the number becomes a symbol.
 *
 *     %1 = arange {size=[64]}          %1 = arange {size=[96]}          %1 = arange {size=[s0]}
 *     %2 = constant {bits=64}    and   %2 = constant {bits=96}    give  %2 = dim {value=[s0]}
 *     %3 = constant {bits=8}           %3 = constant {bits=8}           %3 = constant {bits=8}
 *
 * Equal pairs of numbers become one symbol: the least general program that both are instances of (Plotkin, "A note on
 * inductive generalization", 1970). Which instance a launch wants is then a list of words. Nothing is assumed about
 * where a number comes from: at the sizes of a launch the general program with its words is that launch's program, by
 * construction. */
#include "tile/tile.h"

enum { MOST_PAIRS = 64 };

typedef struct number { /* of the first program */
    bool word;          /* the bits of something else than an i64; i64 constants and dimensions share their symbols */
    bool symbolic;      /* a symbol already: `value` is its handle */
    int64_t value;
} number;

typedef struct pair {
    number first;
    int64_t second;
    tw_dim to; /* in the general program */
} pair;

typedef struct merger {
    const tw_graph *a, *b;
    tw_graph *g;           /* NULL: match only */
    tw_value **map;        /* by value id of a */
    const tw_value **twin; /* by value id of b: the value of a that it corresponds to */
    pair pair[MOST_PAIRS];
    int pairs, symbols;
} merger;

/* ---- what two programs must have in common ---- */

static bool is_number(const tw_op *op) /* a scalar that may differ */
{
    return op->code == TW_T_CONSTANT || op->code == TW_T_DIM;
}

static tw_dtype dtype_of(const tw_op *op)
{
    return (tw_dtype)op->result[0].type.dtype;
}

static tw_hash skeleton(const tw_block *block, tw_hash h, uint32_t *place, uint32_t *next)
{
    for (uint32_t i = 0; i < block->args; i++)
        place[block->arg[i]->id] = ++*next;
    tw_for_each_op (op, block) {
        h = tw_hash_u64(h, is_number(op) ? (uint64_t)TW_T_CONSTANT << 32 | dtype_of(op)
                                         : (uint64_t)op->code << 32 | op->operands);
        for (uint32_t i = 0; i < op->operands; i++)
            h = tw_hash_u64(h, op->operand[i] ? place[op->operand[i]->id] : 0);
        for (int i = 0; i < op->info->attrs && !is_number(op); i++) {
            tw_attr_kind kind = op->info->attr_info[i].kind;
            bool list = kind == TW_ATTR_DIMS || kind == TW_ATTR_INTS;
            if (kind == TW_ATTR_TEXT) {
                h = tw_hash_bytes(h, op->attr[i].text, strlen(op->attr[i].text));
                continue;
            }
            h = tw_hash_u64(h, list ? (uint64_t)op->attr[i].dims.n : (uint64_t)op->attr[i].i);
            for (int j = 0; kind == TW_ATTR_INTS && j < op->attr[i].dims.n; j++)
                h = tw_hash_u64(h, (uint64_t)op->attr[i].dims.v[j]);
        }
        for (uint32_t i = 0; i < op->results; i++)
            place[op->result[i].id] = ++*next;
        for (uint32_t i = 0; i < op->regions; i++)
            h = skeleton(op->region[i], h, place, next);
    }
    return tw_hash_u64(h, 0xb10c);
}

tw_status tw_tile_skeleton(const tw_graph *program, tw_hash *hash)
{
    uint32_t next = 0, *place = tw_alloc_zero(program->values + 1, sizeof *place);
    if (!place)
        return TW_ERR_MEMORY;
    *hash = skeleton(program->body, tw_key(1), place, &next);
    tw_free(place);
    return TW_OK;
}

/* ---- numbers ---- */

static bool same_number(number a, number b)
{
    return a.word == b.word && a.symbolic == b.symbolic && a.value == b.value;
}

/* What stands for the pair in the general program; false: there is nothing (or, matching, one symbol had two values).
 */
static bool merge(merger *m, number first, int64_t second, tw_dim *to)
{
    for (int i = 0; i < m->pairs; i++) {
        if (!same_number(m->pair[i].first, first))
            continue;
        if (m->pair[i].second == second) {
            *to = m->pair[i].to;
            return true;
        }
        if (!m->g)
            return false;
    }
    if ((!m->g && !first.symbolic) || m->pairs == MOST_PAIRS)
        return false;
    *to = m->g ? tw_dim_symbol(m->g, m->symbols++) : first.value;
    m->pair[m->pairs++] = (pair){first, second, *to};
    return true;
}

static bool merge_dim(merger *m, tw_dim first, int64_t second, tw_dim *to)
{
    *to = first;
    return first == second || merge(m, (number){false, !tw_dim_constant(first), first}, second, to);
}

/* A constant as 64 bits: an integer, or the bits of a floating value. */
static int64_t word_of(const tw_op *op)
{
    int64_t word = 0;
    if (!tw_dtype_floating(dtype_of(op)))
        return op->attr[1].i;
    tw_dtype_store(dtype_of(op), &word, op->attr[0].f);
    return word;
}

static tw_op *merge_number(merger *m, const tw_op *a, const tw_op *b)
{
    bool symbolic = a->code == TW_T_DIM;
    tw_dim to;
    if (!symbolic && word_of(a) == word_of(b))
        return m->g ? tw_graph_clone_op(m->g, m->a, a, m->map) : (tw_op *)(uintptr_t)a;
    number first = {dtype_of(a) != TW_I64, symbolic, symbolic ? a->attr[0].dims.v[0] : word_of(a)};
    if (!merge(m, first, word_of(b), &to))
        return NULL;
    tw_value *v = m->g ? tw_t_dim(m->g, 1, &to, dtype_of(a)) : NULL;
    return v ? v->def : m->g ? NULL : (tw_op *)(uintptr_t)a;
}

/* ---- operations ---- */

static bool same_operands(const merger *m, const tw_op *a, const tw_op *b)
{
    bool same = a->code == b->code || (is_number(a) && is_number(b));
    same = same && a->operands == b->operands && a->regions == b->regions && a->results == b->results;
    for (uint32_t i = 0; i < a->operands && same; i++)
        same = b->operand[i] ? m->twin[b->operand[i]->id] == a->operand[i] : !a->operand[i];
    return same;
}

static bool merge_attrs(merger *m, const tw_op *a, const tw_op *b, tw_attr *attr, tw_dim *list)
{
    for (int i = 0; i < a->info->attrs; i++) {
        tw_attr_kind kind = a->info->attr_info[i].kind;
        attr[i] = a->attr[i];
        if (kind == TW_ATTR_TEXT) {
            if (strcmp(a->attr[i].text, b->attr[i].text) != 0)
                return false;
            continue;
        }
        if (kind != TW_ATTR_DIMS && kind != TW_ATTR_INTS) {
            if (a->attr[i].i != b->attr[i].i)
                return false;
            continue;
        }
        if (a->attr[i].dims.n != b->attr[i].dims.n || a->attr[i].dims.n > TW_MAX_RANK)
            return false;
        attr[i].dims.v = list;
        for (int j = 0; j < a->attr[i].dims.n; j++, list++) {
            tw_dim first = a->attr[i].dims.v[j], second = b->attr[i].dims.v[j];
            *list = first;
            if (kind == TW_ATTR_INTS ? first != second : !merge_dim(m, first, second, list))
                return false;
        }
    }
    return true;
}

static bool merge_block(merger *m, const tw_block *a, const tw_block *b);

static bool merge_regions(merger *m, const tw_op *a, const tw_op *b, tw_op *made)
{
    for (uint32_t r = 0; r < a->regions; r++) {
        const tw_block *x = a->region[r], *y = b->region[r];
        if (x->args != y->args)
            return false;
        for (uint32_t i = 0; i < x->args; i++) {
            m->twin[y->arg[i]->id] = x->arg[i];
            if (!m->g)
                continue;
            /* a loop: its counter, then values of the types that it was given */
            tw_type type = i == 0 && a->code == TW_T_FOR ? tw_type_scalar(TW_I64)
                                                         : made->operand[i + (a->code == TW_T_FOR ? 2 : 0)]->type;
            if (!(m->map[x->arg[i]->id] = tw_block_add_arg(m->g, made->region[r], type)))
                return false;
        }
        tw_block *outer = m->g ? m->g->insert_block : NULL;
        if (m->g)
            tw_graph_insert_at_end(m->g, made->region[r]);
        if (!merge_block(m, x, y))
            return false;
        if (m->g)
            tw_graph_insert_at_end(m->g, outer);
    }
    return !a->regions || !m->g || tw_op_finish(m->g, made) == TW_OK;
}

static bool merge_op(merger *m, const tw_op *a, const tw_op *b)
{
    enum { MOST_OPERANDS = 256, MOST_ATTRS = 8 };
    tw_value *operand[MOST_OPERANDS];
    tw_attr attr[MOST_ATTRS];
    tw_dim list[MOST_ATTRS * TW_MAX_RANK];
    tw_op *made = NULL;
    if (!same_operands(m, a, b) || a->operands > MOST_OPERANDS || a->info->attrs > MOST_ATTRS)
        return false;
    if (is_number(a)) {
        if (dtype_of(a) != dtype_of(b) || b->code != TW_T_CONSTANT || !(made = merge_number(m, a, b)))
            return false;
    } else if (!merge_attrs(m, a, b, attr, list)) {
        return false;
    }
    for (uint32_t i = 0; i < a->operands && m->g; i++)
        operand[i] = a->operand[i] ? m->map[a->operand[i]->id] : NULL;
    if (m->g && a->code == TW_T_FOR && a->operand[2]->def && is_number(a->operand[2]->def) &&
        operand[2]->def->code != TW_T_CONSTANT)
        return false; /* loops are compiled for their step */
    if (m->g && !made && !(made = tw_graph_add(m->g, a->code, (int)a->operands, operand, attr)))
        return false;
    if (!merge_regions(m, a, b, made))
        return false;
    for (uint32_t i = 0; i < a->results; i++) {
        m->twin[b->result[i].id] = &a->result[i];
        if (m->g)
            m->map[a->result[i].id] = &made->result[i];
    }
    return true;
}

static bool merge_block(merger *m, const tw_block *a, const tw_block *b)
{
    const tw_op *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!merge_op(m, x, y))
            return false;
    return !x && !y;
}

static bool begin(merger *m, const tw_graph *a, const tw_graph *b)
{
    *m = (merger){.a = a, .b = b};
    m->map = tw_alloc_zero(a->values + 1, sizeof *m->map);
    m->twin = tw_alloc_zero(b->values + 1, sizeof *m->twin);
    return m->map && m->twin;
}

static void end(merger *m)
{
    tw_free(m->map);
    tw_free((void *)(uintptr_t)m->twin);
}

tw_graph *tw_tile_generalise(const tw_graph *a, const tw_graph *b)
{
    merger m;
    bool fine = begin(&m, a, b) && (m.g = tw_graph_create(&tw_tile_table));
    fine = fine && merge_block(&m, a->body, b->body);
    if (fine)
        fine = (m.g->name = tw_arena_text(m.g->arena, "%s", a->name)) != NULL && m.g->failed == TW_OK;
    end(&m);
    if (fine)
        return m.g;
    tw_graph_destroy(m.g);
    return NULL;
}

bool tw_tile_match(const tw_graph *general, const tw_graph *b, int64_t *word)
{
    merger m;
    bool fine = begin(&m, general, b) && merge_block(&m, general->body, b->body);
    int64_t own[MOST_PAIRS]; /* as the value of each symbol its number: an expression of one symbol says which it is */
    for (int k = 0; k < MOST_PAIRS; k++)
        own[k] = k;
    for (int i = 0; i < m.pairs && fine; i++)
        word[tw_dim_eval(general, m.pair[i].first.value, own)] = m.pair[i].second;
    end(&m);
    return fine;
}
