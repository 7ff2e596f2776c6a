/* Reads the text form of a graph: what print.c writes, blank lines and lines that begin with # besides.
 *
 * The text may be hostile: sizes, nesting and numbers are bounded, values are defined before they are used, and every
 * type that the text states must be the one that the operation's rule infers. */
#include <errno.h>
#include <stdlib.h>

#include "ir/internal.h"

enum {
    MOST_BYTES = 64 << 20,
    MOST_DEPTH = 16,
    MOST_LIST = 256,
    MOST_NAME = 64,
    MOST_SYMBOL = 255,
    MOST_EXPRESSION = 8,
    MOST_TERMS = 12
};
static const int64_t MOST_SIZE = (int64_t)1 << 40;

typedef struct parser {
    const char *text, *at, *end;
    tw_graph *g;
    tw_map *values; /* by number in the text */
    int depth;
    tw_status status;
} parser;

/* ---- errors and tokens ---- */

/* "line:column: ..." ; the first error stays. */
static bool fail(parser *p, const char *format, ...)
{
    char message[256];
    int line = 1, column = 1;
    va_list arguments;
    if (p->status != TW_OK)
        return false;
    for (const char *c = p->text; c < p->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    p->status = tw_error(TW_ERR_FORMAT, "%d:%d: %s", line, column, message);
    return false;
}

static bool memory(parser *p)
{
    if (p->status == TW_OK)
        p->status = tw_error(TW_ERR_MEMORY, "parse: out of memory");
    return false;
}

/* A refusal from below, with the place in front. */
static bool refused(parser *p)
{
    char message[200];
    if (tw_error_code() == TW_ERR_MEMORY)
        return memory(p);
    snprintf(message, sizeof message, "%s", tw_error_message());
    return fail(p, "%s", message);
}

static void skip_blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
        p->at++;
}

static char peek(parser *p)
{
    skip_blanks(p);
    return p->at < p->end ? *p->at : '\0';
}

static bool take(parser *p, char c)
{
    if (peek(p) != c || p->at == p->end)
        return false;
    p->at++;
    return true;
}

static const char *found(const parser *p, char *room, size_t size)
{
    if (p->at == p->end)
        return "the end of the text";
    if (*p->at == '\n')
        return "the end of the line";
    snprintf(room, size, *p->at >= ' ' && *p->at < 127 ? "'%c'" : "byte 0x%02x", (unsigned char)*p->at);
    return room;
}

static bool expect(parser *p, char c)
{
    char room[16];
    return take(p, c) || fail(p, "found %s, expected '%c'", found(p, room, sizeof room), c);
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool word(parser *p, const char *what, char name[MOST_NAME])
{
    char room[16];
    int n = 0;
    skip_blanks(p);
    while (p->at + n < p->end && word_char(p->at[n]))
        n++;
    if (n == 0)
        return fail(p, "found %s, expected %s", found(p, room, sizeof room), what);
    if (n >= MOST_NAME)
        return fail(p, "a name of %d characters, expected %s", n, what);
    memcpy(name, p->at, (size_t)n);
    name[n] = '\0';
    p->at += n;
    return true;
}

/* What strtoll and strtod read, from a copy that ends. */
static bool number_token(parser *p, const char *what, char token[MOST_NAME])
{
    char room[16];
    int n = 0;
    skip_blanks(p);
    while (p->at + n < p->end && n < MOST_NAME - 1 &&
           (word_char(p->at[n]) || p->at[n] == '-' || p->at[n] == '+' || p->at[n] == '.'))
        n++;
    memcpy(token, p->at, (size_t)n);
    token[n] = '\0';
    return n > 0 || fail(p, "found %s, expected %s", found(p, room, sizeof room), what);
}

static bool whole(parser *p, int64_t *value)
{
    char token[MOST_NAME], *end;
    if (!number_token(p, "a whole number", token))
        return false;
    errno = 0;
    *value = strtoll(token, &end, 10);
    if (end == token || errno)
        return fail(p, "found '%s', expected a whole number of 64 bits", token);
    p->at += end - token;
    return true;
}

static bool real(parser *p, double *value)
{
    char token[MOST_NAME], *end;
    if (!number_token(p, "a number", token))
        return false;
    *value = strtod(token, &end);
    if (end == token || *end)
        return fail(p, "found '%s', expected a number", token);
    p->at += end - token;
    return true;
}

/* ---- dimensions ---- */

static bool dimension(parser *p, int depth, tw_dim *d);

static bool size(parser *p, tw_dim *d)
{
    if (!whole(p, d))
        return false;
    return (*d >= 0 && *d <= MOST_SIZE) ||
           fail(p, "size %lld, expected 0 to %lld", (long long)*d, (long long)MOST_SIZE);
}

static bool division(parser *p, int depth, tw_dim *d)
{
    tw_dim above, below;
    // NOLINTNEXTLINE(misc-redundant-expression): two parentheses
    if (!expect(p, '(') || !expect(p, '(') || !dimension(p, depth + 1, &above) || !expect(p, ')') || !expect(p, '/') ||
        !expect(p, '(') || !dimension(p, depth + 1, &below) || !expect(p, ')') || !expect(p, ')'))
        return false;
    if (below == 0)
        return fail(p, "a division by 0, expected a divisor of at least 1");
    *d = tw_dim_floordiv(p->g, above, below);
    return true;
}

static bool factor(parser *p, int depth, tw_dim *d)
{
    int64_t index;
    if (peek(p) == '(')
        return division(p, depth, d);
    if (!take(p, 's'))
        return size(p, d);
    if (!whole(p, &index))
        return false;
    if (index < 0 || index > MOST_SYMBOL)
        return fail(p, "symbol s%lld, expected s0 to s%d", (long long)index, MOST_SYMBOL);
    *d = tw_dim_symbol(p->g, (int)index);
    return true;
}

/* Constants stay far from overflow; a product or sum of them that doesn't is refused. */
static bool bounded(parser *p, tw_dim a, tw_dim b)
{
    bool constants = tw_dim_constant(a) && tw_dim_constant(b);
    return !constants || (a <= MOST_SIZE && b <= MOST_SIZE && (a == 0 || b <= MOST_SIZE / a)) ||
           fail(p, "a size beyond %lld", (long long)MOST_SIZE);
}

static bool product(parser *p, int depth, tw_dim *d)
{
    tw_dim next;
    if (!factor(p, depth, d))
        return false;
    for (int n = 1; take(p, '*'); n++) {
        if (n > MOST_EXPRESSION)
            return fail(p, "more than %d factors", MOST_EXPRESSION);
        if (!factor(p, depth, &next) || !bounded(p, *d, next))
            return false;
        *d = tw_dim_mul(p->g, *d, next);
    }
    return true;
}

static bool dimension(parser *p, int depth, tw_dim *d)
{
    tw_dim next;
    if (depth > MOST_EXPRESSION)
        return fail(p, "expressions nested more than %d deep", MOST_EXPRESSION);
    bool minus = take(p, '-');
    if (!product(p, depth, d))
        return false;
    if (minus && tw_dim_constant(*d))
        return *d == 0 || fail(p, "size -%lld, expected at least 0", (long long)*d);
    if (minus)
        *d = tw_dim_sub(p->g, 0, *d);
    for (int n = 1; peek(p) == '+' || peek(p) == '-'; n++) {
        bool less = *p->at++ == '-';
        if (n == MOST_TERMS)
            return fail(p, "more than %d terms", MOST_TERMS);
        if (!product(p, depth, &next))
            return false;
        if (less && tw_dim_constant(*d) && tw_dim_constant(next) && *d < next)
            return fail(p, "a negative size");
        *d = less ? tw_dim_sub(p->g, *d, next) : tw_dim_add(p->g, *d, next);
    }
    return true;
}

/* ---- types and attributes ---- */

static bool dtype(parser *p, tw_dtype *result)
{
    char name[MOST_NAME];
    if (!word(p, "a dtype", name))
        return false;
    for (int d = 0; d < TW_DTYPES; d++) {
        if (!strcmp(tw_dtype_name((tw_dtype)d), name)) {
            *result = (tw_dtype)d;
            return true;
        }
    }
    return fail(p, "found '%s', expected a dtype", name);
}

static bool list(parser *p, bool symbolic, int most, tw_dim *v, int *n)
{
    *n = 0;
    if (!expect(p, '['))
        return false;
    while (peek(p) != ']') {
        if (*n == most)
            return fail(p, "more than %d numbers", most);
        if (*n && !expect(p, ','))
            return false;
        if (!(symbolic ? dimension(p, 0, &v[*n]) : whole(p, &v[*n])))
            return false;
        if (p->g->failed != TW_OK)
            return refused(p);
        ++*n;
    }
    return expect(p, ']');
}

static bool type(parser *p, tw_type *t)
{
    tw_dim dims[TW_MAX_RANK];
    tw_dtype d;
    int rank;
    skip_blanks(p);
    bool pointer = p->end - p->at > 4 && !memcmp(p->at, "ptr<", 4);
    p->at += pointer ? 4 : 0;
    if (!dtype(p, &d) || (pointer && !expect(p, '>')) || !list(p, true, TW_MAX_RANK, dims, &rank))
        return false;
    *t = tw_type_make(d, rank, dims);
    t->pointer = pointer;
    return true;
}

static bool one_of(parser *p, const char *const *names, int64_t *index)
{
    char name[MOST_NAME];
    if (!word(p, "a name", name))
        return false;
    for (*index = 0; names[*index]; ++*index)
        if (!strcmp(names[*index], name))
            return true;
    return fail(p, "found '%s', expected a name like '%s'", name, names[0]);
}

static bool quoted(parser *p, char *room, size_t size, const char **text)
{
    size_t n = 0;
    if (!expect(p, '"'))
        return false;
    for (; p->at < p->end && *p->at != '"' && *p->at != '\n'; p->at++) {
        bool escaped = *p->at == '\\' && p->at + 1 < p->end;
        p->at += escaped;
        if (n + 1 == size)
            return fail(p, "a text of more than %zu bytes", size);
        room[n++] = escaped && *p->at == 'n' ? '\n' : *p->at;
    }
    room[n] = '\0';
    *text = room;
    return expect(p, '"');
}

static bool attribute(parser *p, const tw_attr_info *info, tw_dim *room, tw_attr *attr)
{
    static const char *const truths[] = {"false", "true", NULL};
    char name[MOST_NAME];
    tw_dtype d = TW_F32;
    skip_blanks(p);
    const char *before = p->at;
    if (!word(p, info->name, name))
        return false;
    if (strcmp(name, info->name) != 0) {
        p->at = before;
        return fail(p, "found attribute '%s', expected '%s'", name, info->name);
    }
    if (!expect(p, '='))
        return false;
    switch (info->kind) {
    case TW_ATTR_INT:
        return whole(p, &attr->i);
    case TW_ATTR_FLOAT:
        return real(p, &attr->f);
    case TW_ATTR_BOOL:
        return one_of(p, truths, &attr->i);
    case TW_ATTR_ENUM:
        return one_of(p, info->names, &attr->i);
    case TW_ATTR_DTYPE:
        if (!dtype(p, &d))
            return false;
        attr->i = d;
        return true;
    case TW_ATTR_TEXT:
        return quoted(p, (char *)room, MOST_LIST * sizeof *room, &attr->text);
    case TW_ATTR_DIMS:
    case TW_ATTR_INTS:
        attr->dims.v = room;
        return list(p, info->kind == TW_ATTR_DIMS, MOST_LIST, room, &attr->dims.n);
    }
    return false;
}

/* ---- operations ---- */

typedef struct line { /* one operation as the text has it */
    const tw_op_info *info;
    int code, results, operands;
    int64_t result[MOST_LIST];
    tw_value *operand[MOST_LIST];
    tw_attr attr[8];
    tw_type type[MOST_LIST];
} line;

static bool value_number(parser *p, int64_t *number)
{
    return expect(p, '%') && whole(p, number) &&
           ((*number >= 0 && *number < UINT32_MAX) || fail(p, "value %%%lld", (long long)*number));
}

static bool define(parser *p, int64_t number, tw_value *v)
{
    tw_hash key = tw_key((uint64_t)number);
    if (tw_map_get(p->values, key))
        return fail(p, "%%%lld is defined twice", (long long)number);
    return tw_map_put(p->values, key, v) || memory(p);
}

static bool operand(parser *p, tw_value **v)
{
    int64_t number;
    *v = NULL;
    if (take(p, '_'))
        return true;
    if (!value_number(p, &number))
        return false;
    *v = tw_map_get(p->values, tw_key((uint64_t)number));
    return *v || fail(p, "%%%lld is used before it is defined", (long long)number);
}

static bool result_names(parser *p, line *l)
{
    if (peek(p) != '%')
        return true;
    do {
        if (l->results == MOST_LIST)
            return fail(p, "more than %d results", MOST_LIST);
        if (!value_number(p, &l->result[l->results++]))
            return false;
    } while (take(p, ','));
    return expect(p, '=');
}

static bool operation_name(parser *p, line *l)
{
    char name[MOST_NAME];
    const tw_op_table *table = p->g->table;
    skip_blanks(p);
    const char *before = p->at;
    if (!word(p, "an operation", name))
        return false;
    for (l->code = 0; l->code < table->count; l->code++)
        if (!strcmp(table->ops[l->code].name, name))
            break;
    if (l->code == table->count) {
        p->at = before;
        return fail(p, "found '%s', expected an operation of the %s level", name, table->name);
    }
    l->info = &table->ops[l->code];
    return true;
}

static bool operands(parser *p, line *l)
{
    while (peek(p) == '%' || peek(p) == '_' || (l->operands && peek(p) == ',')) {
        if (l->operands == MOST_LIST)
            return fail(p, "more than %d operands", MOST_LIST);
        if (l->operands && !expect(p, ','))
            return false;
        if (!operand(p, &l->operand[l->operands++]))
            return false;
    }
    return true;
}

static bool attributes(parser *p, line *l, tw_dim (*room)[MOST_LIST])
{
    if (!l->info->attrs)
        return true;
    if (!expect(p, '{'))
        return false;
    for (int i = 0; i < l->info->attrs; i++)
        if ((i && !expect(p, ',')) || !attribute(p, &l->info->attr_info[i], room[i], &l->attr[i]))
            return false;
    return expect(p, '}');
}

static bool types(parser *p, line *l)
{
    for (int i = 0; i < l->results; i++)
        if (!expect(p, i ? ',' : ':') || !type(p, &l->type[i]))
            return false;
    return true;
}

static bool stated_types_hold(parser *p, const line *l, const tw_op *op)
{
    if ((int)op->results != l->results)
        return fail(p, "%s has %u results, the text names %d", l->info->name, op->results, l->results);
    for (int i = 0; i < l->results; i++) {
        if (tw_type_equal(&op->result[i].type, &l->type[i]))
            continue;
        tw_text stated = {0}, inferred = {0};
        tw_type_print(p->g, &l->type[i], &stated);
        tw_type_print(p->g, &op->result[i].type, &inferred);
        fail(p, "%s gives %s, the text says %s", l->info->name, tw_text_string(&inferred), tw_text_string(&stated));
        tw_text_free(&stated);
        tw_text_free(&inferred);
        return false;
    }
    return true;
}

static bool block(parser *p);

static bool region(parser *p, tw_block *body)
{
    tw_block *outer = p->g->insert_block;
    if (!expect(p, '('))
        return false;
    while (peek(p) != ')') {
        int64_t number;
        tw_type t;
        if (body->args && !expect(p, ','))
            return false;
        if (body->args == MOST_LIST)
            return fail(p, "more than %d arguments", MOST_LIST);
        if (!value_number(p, &number) || !expect(p, ':') || !type(p, &t))
            return false;
        tw_value *v = tw_block_add_arg(p->g, body, t);
        if (!v)
            return memory(p);
        if (!define(p, number, v))
            return false;
    }
    if (!expect(p, ')') || !expect(p, '{') || !expect(p, '\n'))
        return false;
    tw_graph_insert_at_end(p->g, body);
    bool fine = block(p);
    tw_graph_insert_at_end(p->g, outer);
    return fine && expect(p, '}');
}

static bool make(parser *p, line *l)
{
    tw_graph *g = p->g;
    if (l->code == g->table->input && !l->info->attrs) { /* nothing to infer its type from */
        const tw_op *last = g->body->last;
        if (g->insert_block != g->body || (last && last->code != l->code))
            return fail(p, "an input after other operations");
        if (l->results != 1)
            return fail(p, "an input with %d results", l->results);
        tw_value *v = tw_graph_input(g, l->type[0]);
        return v ? define(p, l->result[0], v) : refused(p);
    }
    tw_op *op = tw_graph_add(g, l->code, l->operands, l->operand, l->attr);
    if (!op)
        return refused(p);
    for (uint32_t i = 0; i < op->regions; i++)
        if (!region(p, op->region[i]))
            return false;
    if (op->regions && tw_op_finish(g, op) != TW_OK)
        return refused(p);
    if (!stated_types_hold(p, l, op))
        return false;
    for (int i = 0; i < l->results; i++)
        if (!define(p, l->result[i], &op->result[i]))
            return false;
    return true;
}

static bool statement(parser *p)
{
    enum { ATTRS = 8 };
    char room[16];
    line *l = tw_alloc_zero(1, sizeof *l);
    tw_dim(*lists)[MOST_LIST] = tw_alloc_zero(ATTRS, sizeof *lists);
    bool fine = l && lists ? result_names(p, l) && operation_name(p, l) && operands(p, l) && l->info->attrs <= ATTRS &&
                                 attributes(p, l, lists) && types(p, l) && make(p, l)
                           : memory(p);
    tw_free(lists);
    tw_free(l);
    if (!fine)
        return p->status != TW_OK ? false : fail(p, "an operation with too many attributes");
    return peek(p) == '\n' || p->at == p->end ||
           fail(p, "found %s after an operation, expected the end of the line", found(p, room, sizeof room));
}

/* Statements up to the end of the text or a closing brace. */
static bool block(parser *p)
{
    if (++p->depth > MOST_DEPTH)
        return fail(p, "regions nested more than %d deep", MOST_DEPTH);
    while (p->status == TW_OK) {
        char c = peek(p);
        if (p->at == p->end || (c == '}' && p->depth > 1))
            break;
        if (c == '#')
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        else if (c == '\n')
            p->at++;
        else if (!statement(p))
            return false;
    }
    p->depth--;
    return p->status == TW_OK;
}

/* "program NAME", of tile programs. */
static bool header(parser *p)
{
    char name[MOST_NAME];
    while (peek(p) == '\n')
        p->at++;
    if (!word(p, "'program'", name) || strcmp(name, "program") != 0)
        return fail(p, "found '%s', expected 'program'", name);
    if (!word(p, "a name", name))
        return false;
    p->g->name = strcmp(name, "_") ? tw_arena_text(p->g->arena, "%s", name) : "";
    return p->g->name || memory(p);
}

tw_graph *tw_graph_parse(const tw_op_table *table, const char *text, size_t bytes)
{
    parser p = {.text = text, .at = text, .end = text + bytes};
    if (bytes > MOST_BYTES) {
        tw_error(TW_ERR_FORMAT, "a graph of %zu bytes of text, expected at most %d", bytes, MOST_BYTES);
        return NULL;
    }
    p.g = tw_graph_create(table);
    p.values = tw_map_create();
    if (!p.g || !p.values)
        memory(&p);
    else if (strcmp(table->name, "tile") != 0 || header(&p))
        block(&p);
    tw_map_destroy(p.values);
    if (p.status == TW_OK && tw_graph_verify(p.g) == TW_OK)
        return p.g;
    tw_graph_destroy(p.g);
    return NULL;
}
