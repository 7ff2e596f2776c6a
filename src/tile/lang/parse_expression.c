/* Expressions: Python's grammar by precedence. Whole expressions are read, also what kernels can't have (lambda,
 * comprehension, dictionary): decorators and module constants use them. */
#include "tile/lang/internal.h"

node *tw_lang_node(parser *p, node_kind kind, uint32_t at, int count, node *const *child)
{
    node *n = tw_arena_zero(p->l->arena, 1, sizeof *n);
    if (n && count && !(n->child = tw_arena_copy(p->l->arena, child, (size_t)count * sizeof *child)))
        n = NULL;
    if (!n) {
        p->l->memory_failed = true;
        tw_lang_fail(p->l, p->d, p->s, at, 1, "out of memory");
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->at = at;
    n->count = (uint32_t)count;
    unsigned depth = 0;
    for (int i = 0; i < count; i++)
        depth = child[i] ? TW_MAX(depth, child[i]->depth) : depth;
    n->depth = (uint16_t)(depth + 1);
    const token *last = p->t > p->first ? p->t - 1 : p->t;
    n->length = last->at + last->length > at ? last->at + last->length - at : 1;
    if (n->depth > 4 * MOST_NESTING) {
        tw_lang_fail(p->l, p->d, p->s, at, 1, "more than %d operators inside each other", 4 * MOST_NESTING);
        return NULL;
    }
    return n;
}

const char *tw_lang_describe(const parser *p, const token *t, char *room, size_t size)
{
    switch (t->kind) {
    case T_NEWLINE:
        return "the end of the line";
    case T_INDENT:
        return "a deeper indentation";
    case T_DEDENT:
        return "the end of the block";
    case T_END:
        return "the end of the file";
    case T_BAD:
        return t->text;
    default:
        snprintf(room, size, "'%.*s'", (int)TW_MIN(t->length, 30u), p->s->text + t->at);
        return room;
    }
}

bool tw_lang_expected(parser *p, const char *expected)
{
    char room[40];
    return tw_lang_fail(p->l, p->d, p->s, p->t->at, p->t->length, "found %s, expected %s",
                        tw_lang_describe(p, p->t, room, sizeof room), expected);
}

bool tw_lang_at_word(const parser *p, const char *word)
{
    return p->t->kind == T_NAME && !strcmp(p->t->text, word);
}

bool tw_lang_take_word(parser *p, const char *word)
{
    if (!tw_lang_at_word(p, word))
        return false;
    p->t++;
    return true;
}

bool tw_lang_take_op(parser *p, uint32_t op)
{
    if (!at_op(p, op))
        return false;
    p->t++;
    return true;
}

bool tw_lang_expect_op(parser *p, uint32_t op, const char *expected)
{
    return tw_lang_take_op(p, op) || tw_lang_expected(p, expected);
}

static bool keyword(const char *name)
{
    static const char *const words[] = {
        "and",      "as",     "assert",  "async", "await", "break",  "class", "continue", "def",  "del",  "elif",
        "else",     "except", "finally", "for",   "from",  "global", "if",    "import",   "in",   "is",   "lambda",
        "nonlocal", "not",    "or",      "pass",  "raise", "return", "try",   "while",    "with", "yield"};
    for (size_t i = 0; i < TW_COUNT(words); i++)
        if (!strcmp(words[i], name))
            return true;
    return false;
}

static bool deeper(parser *p)
{
    if (++p->depth <= MOST_NESTING)
        return true;
    return tw_lang_fail(p->l, p->d, p->s, p->t->at, 1, "expressions nested more than %d deep", MOST_NESTING);
}

bool tw_lang_push_node(parser *p, node_list *list, node *n)
{
    if (!n)
        return false;
    if (tw_vec_push(list, n))
        return true;
    p->l->memory_failed = true;
    return tw_lang_fail(p->l, p->d, p->s, p->t->at, 1, "out of memory");
}

node *tw_lang_node_of(parser *p, node_kind kind, uint32_t at, node_list *list, bool fine)
{
    node *n = fine ? tw_lang_node(p, kind, at, (int)list->count, list->data) : NULL;
    tw_vec_free(list);
    return n;
}

/* ---- brackets ---- */

static node *conditional(parser *p);

static node *starred(parser *p)
{
    uint32_t at = p->t->at;
    p->t++;
    node *x = conditional(p);
    return x ? tw_lang_node(p, N_STARRED, at, 1, &x) : NULL;
}

static node *walrus(parser *p)
{
    node *x = conditional(p);
    if (!x || x->kind != N_NAME || !tw_lang_take_op(p, OP2(':', '=')))
        return x;
    node *pair[2] = {x, conditional(p)};
    return pair[1] ? tw_lang_node(p, N_WALRUS, x->at, 2, pair) : NULL;
}

static node *element(parser *p)
{
    return at_op(p, OP1('*')) ? starred(p) : walrus(p);
}

static node *targets(parser *p);
static node *disjunction(parser *p);

static bool clauses(parser *p, node_list *list)
{
    while (tw_lang_at_word(p, "for") || (tw_lang_at_word(p, "async") && p->t[1].kind == T_NAME)) {
        uint32_t at = p->t->at;
        p->t += tw_lang_at_word(p, "async") ? 2 : 1;
        node_list parts = {0};
        bool fine = tw_lang_push_node(p, &parts, targets(p)) &&
                    (tw_lang_take_word(p, "in") || tw_lang_expected(p, "'in'")) &&
                    tw_lang_push_node(p, &parts, disjunction(p));
        while (fine && tw_lang_take_word(p, "if"))
            fine = tw_lang_push_node(p, &parts, disjunction(p));
        if (!tw_lang_push_node(p, list, tw_lang_node_of(p, N_CLAUSE, at, &parts, fine)))
            return false;
    }
    return true;
}

static node *comprehension(parser *p, uint32_t at, uint32_t op, node *first, node *second)
{
    node_list list = {0};
    bool fine =
        tw_lang_push_node(p, &list, first) && (!second || tw_lang_push_node(p, &list, second)) && clauses(p, &list);
    node *n = tw_lang_node_of(p, N_COMPREHENSION, at, &list, fine);
    if (n)
        n->op = op;
    return n;
}

/* What follows an opening ( or [ up to its closing bracket. */
static node *sequence(parser *p, uint32_t close, node_kind kind)
{
    uint32_t at = p->t->at;
    const char *expected = kind == N_LIST ? "',' or ']'" : "',' or ')'";
    node_list list = {0};
    bool comma = false, fine = true;
    p->t++;
    while (fine && !at_op(p, close)) {
        fine = tw_lang_push_node(p, &list, element(p));
        if (fine && list.count == 1 && (tw_lang_at_word(p, "for") || tw_lang_at_word(p, "async"))) {
            node *first = list.data[0];
            tw_vec_free(&list);
            node *n = comprehension(p, at, kind == N_LIST ? '[' : '(', first, NULL);
            return n && tw_lang_expect_op(p, close, expected) ? n : NULL;
        }
        if (fine && !at_op(p, close)) {
            fine = tw_lang_expect_op(p, OP1(','), expected);
            comma = true;
        }
    }
    fine = fine && tw_lang_expect_op(p, close, expected);
    if (fine && kind == N_TUPLE && list.count == 1 && !comma && list.data[0]->kind != N_STARRED) {
        node *inner = list.data[0]; /* ( x ) is x */
        tw_vec_free(&list);
        return inner;
    }
    return tw_lang_node_of(p, kind, at, &list, fine);
}

static node *braces(parser *p)
{
    uint32_t at = p->t->at;
    node_list list = {0};
    bool fine = true, dict = false;
    p->t++;
    while (fine && !at_op(p, OP1('}'))) {
        node *key = NULL, *value = NULL;
        if (tw_lang_take_op(p, OP2('*', '*'))) {
            dict = true;
            fine = (value = conditional(p)) != NULL;
        } else {
            fine = (key = element(p)) != NULL;
            if (fine && tw_lang_take_op(p, OP1(':'))) {
                dict = true;
                fine = (value = conditional(p)) != NULL;
            }
        }
        if (fine && list.count == 0 && (tw_lang_at_word(p, "for") || tw_lang_at_word(p, "async"))) {
            node *n = comprehension(p, at, value ? ':' : '{', key, value);
            return n && tw_lang_expect_op(p, OP1('}'), "'}'") ? n : NULL;
        }
        fine = fine && tw_vec_push(&list, key) && (!dict || tw_vec_push(&list, value));
        if (fine && !at_op(p, OP1('}')))
            fine = tw_lang_expect_op(p, OP1(','), "',' or '}'");
    }
    fine = fine && tw_lang_expect_op(p, OP1('}'), "',' or '}'");
    return tw_lang_node_of(p, dict || list.count == 0 ? N_DICT : N_SET, at, &list, fine);
}

/* ---- primaries ---- */

static node *name_or_constant(parser *p)
{
    const token *t = p->t;
    if (keyword(t->text))
        return tw_lang_expected(p, "an expression"), NULL;
    p->t++;
    node_kind kind = !strcmp(t->text, "True")    ? N_TRUE
                     : !strcmp(t->text, "False") ? N_FALSE
                     : !strcmp(t->text, "None")  ? N_NONE
                                                 : N_NAME;
    node *n = tw_lang_node(p, kind, t->at, 0, NULL);
    if (n && kind == N_NAME)
        n->name = t->text;
    return n;
}

static node *other(parser *p, const char *what)
{
    uint32_t at = p->t->at;
    p->t++;
    (void)tw_lang_take_word(p, "from");
    node *x = NULL;
    bool end = p->t->kind != T_NAME && p->t->kind != T_NUMBER && p->t->kind != T_STRING && !at_op(p, OP1('(')) &&
               !at_op(p, OP1('[')) && !at_op(p, OP1('{')) && !at_op(p, OP1('-'));
    if (!end && !(x = tw_lang_parse_expressions(p)))
        return NULL;
    node *n = tw_lang_node(p, N_OTHER, at, x ? 1 : 0, &x);
    if (n)
        n->name = what;
    return n;
}

static node *atom(parser *p)
{
    const token *t = p->t;
    switch (t->kind) {
    case T_NUMBER:
        return tw_lang_parse_number(p);
    case T_STRING:
        return tw_lang_parse_string(p);
    case T_NAME:
        return tw_lang_at_word(p, "yield")   ? other(p, "'yield'")
               : tw_lang_at_word(p, "await") ? other(p, "'await'")
                                             : name_or_constant(p);
    case T_OP:
        if (t->op == OP1('('))
            return sequence(p, OP1(')'), N_TUPLE);
        if (t->op == OP1('['))
            return sequence(p, OP1(']'), N_LIST);
        if (t->op == OP1('{'))
            return braces(p);
        if (t->op == OP3('.', '.', '.')) {
            p->t++;
            return tw_lang_node(p, N_ELLIPSIS, t->at, 0, NULL);
        }
        break;
    default:
        break;
    }
    tw_lang_expected(p, "an expression");
    return NULL;
}

static node *argument(parser *p)
{
    uint32_t at = p->t->at;
    const char *name = NULL;
    if (at_op(p, OP1('*')))
        return starred(p);
    bool all = tw_lang_take_op(p, OP2('*', '*'));
    if (!all && p->t->kind == T_NAME && p->t[1].kind == T_OP && p->t[1].op == OP1('=')) {
        name = p->t->text;
        p->t += 2;
    } else if (!all) {
        node *x = walrus(p);
        if (x && (tw_lang_at_word(p, "for") || tw_lang_at_word(p, "async")))
            return comprehension(p, at, '(', x, NULL);
        return x;
    }
    node *x = conditional(p), *n = x ? tw_lang_node(p, N_KEYWORD, at, 1, &x) : NULL;
    if (n)
        n->name = name;
    return n;
}

static node *call(parser *p, node *callee)
{
    node_list list = {0};
    bool fine = tw_lang_push_node(p, &list, callee);
    p->t++;
    while (fine && !at_op(p, OP1(')'))) {
        fine = tw_lang_push_node(p, &list, argument(p));
        if (fine && !at_op(p, OP1(')')))
            fine = tw_lang_expect_op(p, OP1(','), "',' or ')'");
    }
    fine = fine && tw_lang_expect_op(p, OP1(')'), "',' or ')'");
    return tw_lang_node_of(p, N_CALL, callee->at, &list, fine);
}

static node *slice(parser *p)
{
    node *part[3] = {NULL, NULL, NULL};
    uint32_t at = p->t->at;
    if (!at_op(p, OP1(':')) && !(part[0] = element(p)))
        return NULL;
    if (!at_op(p, OP1(':')))
        return part[0];
    for (int i = 1; i < 3 && tw_lang_take_op(p, OP1(':')); i++)
        if (!at_op(p, OP1(':')) && !at_op(p, OP1(',')) && !at_op(p, OP1(']')) && !(part[i] = conditional(p)))
            return NULL;
    return tw_lang_node(p, N_SLICE, at, 3, part);
}

static node *subscript(parser *p, node *of)
{
    node_list list = {0};
    bool comma = false, fine = true;
    uint32_t at = (++p->t)->at;
    while (fine && (!at_op(p, OP1(']')) || list.count == 0)) {
        fine = tw_lang_push_node(p, &list, slice(p));
        if (fine && !at_op(p, OP1(']'))) {
            fine = tw_lang_expect_op(p, OP1(','), "',' or ']'");
            comma = true;
        }
    }
    fine = fine && tw_lang_expect_op(p, OP1(']'), "',' or ']'");
    node *pair[2] = {of, NULL};
    if (fine && list.count == 1 && !comma) {
        pair[1] = list.data[0];
        tw_vec_free(&list);
    } else {
        pair[1] = tw_lang_node_of(p, N_TUPLE, at, &list, fine);
    }
    return pair[1] ? tw_lang_node(p, N_SUBSCRIPT, of->at, 2, pair) : NULL;
}

static node *primary(parser *p)
{
    if (tw_lang_at_word(p, "await"))
        return other(p, "'await'");
    node *x = atom(p);
    while (x && p->t->kind == T_OP) {
        if (at_op(p, OP1('('))) {
            x = call(p, x);
        } else if (at_op(p, OP1('['))) {
            x = subscript(p, x);
        } else if (at_op(p, OP1('.'))) {
            p->t++;
            if (p->t->kind != T_NAME)
                return tw_lang_expected(p, "the name of an attribute"), NULL;
            const char *name = p->t++->text;
            node *of = x;
            x = tw_lang_node(p, N_ATTRIBUTE, of->at, 1, &of);
            if (x)
                x->name = name;
        } else {
            break;
        }
    }
    return x;
}

/* ---- operators ---- */

static node *unary(parser *p);

static node *power(parser *p)
{
    node *x = primary(p);
    if (!x || !at_op(p, OP2('*', '*')))
        return x;
    p->t++;
    node *pair[2] = {x, deeper(p) ? unary(p) : NULL};
    node *n = pair[1] ? tw_lang_node(p, N_BINARY, x->at, 2, pair) : NULL;
    p->depth--;
    if (n)
        n->op = OP2('*', '*');
    return n;
}

static node *unary(parser *p)
{
    if (!at_op(p, OP1('-')) && !at_op(p, OP1('+')) && !at_op(p, OP1('~')))
        return power(p);
    uint32_t at = p->t->at, op = p->t->op;
    p->t++;
    node *x = deeper(p) ? unary(p) : NULL, *n = x ? tw_lang_node(p, N_UNARY, at, 1, &x) : NULL;
    p->depth--;
    if (n)
        n->op = op;
    return n;
}

static const uint32_t levels[][6] = {
    {OP1('|')},           {OP1('^')},
    {OP1('&')},           {OP2('<', '<'), OP2('>', '>')},
    {OP1('+'), OP1('-')}, {OP1('*'), OP1('/'), OP2('/', '/'), OP1('%'), OP1('@')},
};

static node *binary(parser *p, size_t level)
{
    if (level == TW_COUNT(levels))
        return unary(p);
    node *x = binary(p, level + 1);
    while (x && p->t->kind == T_OP) {
        uint32_t op = 0;
        for (int i = 0; i < 6 && levels[level][i]; i++)
            op = p->t->op == levels[level][i] ? p->t->op : op;
        if (!op)
            break;
        p->t++;
        node *pair[2] = {x, binary(p, level + 1)};
        x = pair[1] ? tw_lang_node(p, N_BINARY, x->at, 2, pair) : NULL;
        if (x)
            x->op = op;
    }
    return x;
}

static int comparison_operator(parser *p)
{
    static const uint32_t ops[] = {OP2('=', '='), OP2('!', '='), OP1('<'), OP2('<', '='), OP1('>'), OP2('>', '=')};
    for (int i = 0; i < 6; i++)
        if (tw_lang_take_op(p, ops[i]))
            return i;
    if (tw_lang_take_word(p, "is"))
        return tw_lang_take_word(p, "not") ? CMP_IS_NOT : CMP_IS;
    if (tw_lang_take_word(p, "in"))
        return CMP_IN;
    if (tw_lang_at_word(p, "not") && p->t[1].kind == T_NAME && !strcmp(p->t[1].text, "in")) {
        p->t += 2;
        return CMP_NOT_IN;
    }
    return -1;
}

static node *comparison(parser *p)
{
    enum { MOST_COMPARISONS = 16 };
    uint8_t ops[MOST_COMPARISONS];
    node *part[MOST_COMPARISONS + 1] = {binary(p, 0)};
    int count = 0, op;
    if (!part[0])
        return NULL;
    while ((op = comparison_operator(p)) >= 0) {
        if (count == MOST_COMPARISONS)
            return tw_lang_fail(p->l, p->d, p->s, p->t->at, 1, "more than %d comparisons in a row", count), NULL;
        ops[count++] = (uint8_t)op;
        if (!(part[count] = binary(p, 0)))
            return NULL;
    }
    if (count == 0)
        return part[0];
    node *n = tw_lang_node(p, N_COMPARE, part[0]->at, count + 1, part);
    if (n && !(n->ops = tw_arena_copy(p->l->arena, ops, sizeof ops)))
        return tw_lang_fail(p->l, p->d, p->s, n->at, 1, "out of memory"), NULL;
    return n;
}

static node *inversion(parser *p)
{
    uint32_t at = p->t->at;
    if (!tw_lang_take_word(p, "not"))
        return comparison(p);
    node *x = deeper(p) ? inversion(p) : NULL, *n = x ? tw_lang_node(p, N_UNARY, at, 1, &x) : NULL;
    p->depth--;
    if (n)
        n->op = OP1('!');
    return n;
}

static node *logical(parser *p, bool is_or)
{
    node *x = is_or ? logical(p, false) : inversion(p);
    while (x && tw_lang_take_word(p, is_or ? "or" : "and")) {
        node *pair[2] = {x, is_or ? logical(p, false) : inversion(p)};
        x = pair[1] ? tw_lang_node(p, is_or ? N_OR : N_AND, x->at, 2, pair) : NULL;
    }
    return x;
}

static node *disjunction(parser *p)
{
    return logical(p, true);
}

bool tw_lang_parse_parameters(parser *p, uint32_t end, bool annotations, node ***result, int *count)
{
    node_list list = {0};
    bool fine = true;
    while (fine && !at_op(p, end)) {
        node *part[2] = {NULL, NULL}, *n = NULL;
        uint32_t at = p->t->at, op = at_op(p, OP1('*')) || at_op(p, OP2('*', '*')) || at_op(p, OP1('/')) ? p->t->op : 0;
        const char *name = "";
        p->t += op != 0;
        if (p->t->kind == T_NAME && !keyword(p->t->text))
            name = p->t++->text;
        else if (op != OP1('*') && op != OP1('/'))
            fine = tw_lang_expected(p, "the name of a parameter");
        if (fine && annotations && tw_lang_take_op(p, OP1(':')))
            fine = (part[0] = at_op(p, OP1('*')) ? starred(p) : conditional(p)) != NULL;
        if (fine && tw_lang_take_op(p, OP1('=')))
            fine = (part[1] = conditional(p)) != NULL;
        fine = fine && (n = tw_lang_node(p, N_PARAMETER, at, 2, part));
        if (fine) {
            n->name = name;
            n->op = op;
            n->length = (uint32_t)strlen(name);
            fine = tw_lang_push_node(p, &list, n);
        }
        if (fine && !at_op(p, end))
            fine = tw_lang_expect_op(p, OP1(','), end == OP1(')') ? "',' or ')'" : "',' or ':'");
    }
    fine = fine && tw_lang_expect_op(p, end, end == OP1(')') ? "')'" : "':'");
    *count = (int)list.count;
    *result = fine && list.count ? tw_arena_copy(p->l->arena, list.data, list.count * sizeof *list.data) : NULL;
    fine = fine && (list.count == 0 || *result);
    tw_vec_free(&list);
    return fine;
}

static node *lambda(parser *p)
{
    uint32_t at = p->t->at;
    node **parameter, *n = NULL;
    int count;
    p->t++;
    if (!tw_lang_parse_parameters(p, OP1(':'), false, &parameter, &count))
        return NULL;
    node *body = conditional(p), **all = body ? tw_arena_alloc(p->l->arena, (size_t)(count + 1) * sizeof *all) : NULL;
    if (all) {
        if (count)
            memcpy(all, parameter, (size_t)count * sizeof *all);
        all[count] = body;
        n = tw_lang_node(p, N_LAMBDA, at, count + 1, all);
    }
    return n;
}

static node *conditional(parser *p)
{
    node *result = NULL;
    if (deeper(p)) {
        if (tw_lang_at_word(p, "lambda")) {
            result = lambda(p);
        } else {
            node *then = disjunction(p);
            result = then;
            if (then && tw_lang_take_word(p, "if")) {
                node *part[3] = {disjunction(p), then, NULL};
                bool fine = part[0] && (tw_lang_take_word(p, "else") || tw_lang_expected(p, "'else'")) &&
                            (part[2] = conditional(p));
                result = fine ? tw_lang_node(p, N_CONDITIONAL, then->at, 3, part) : NULL;
            }
        }
    }
    p->depth--;
    return result;
}

/* Targets of `for`: no comparison, so that `in` ends them. */
static node *targets(parser *p)
{
    uint32_t at = p->t->at;
    node_list list = {0};
    bool fine = true, comma = false;
    do {
        if (tw_lang_at_word(p, "in") && list.count)
            break;
        fine = tw_lang_push_node(p, &list, at_op(p, OP1('*')) ? starred(p) : binary(p, 0));
    } while (fine && tw_lang_take_op(p, OP1(',')) && (comma = true));
    if (fine && list.count == 1 && !comma) {
        node *only = list.data[0];
        tw_vec_free(&list);
        return only;
    }
    return tw_lang_node_of(p, N_TUPLE, at, &list, fine);
}

node *tw_lang_parse_expression(parser *p)
{
    return tw_lang_at_word(p, "yield") ? other(p, "'yield'") : element(p);
}

static bool ends_expressions(const parser *p)
{
    return p->t->kind == T_NEWLINE || p->t->kind == T_END || at_op(p, OP1('=')) || at_op(p, OP1(':')) ||
           at_op(p, OP1(')')) || at_op(p, OP1(';')) || at_op(p, OP1(']')) || at_op(p, OP1('}'));
}

node *tw_lang_parse_expressions(parser *p)
{
    uint32_t at = p->t->at;
    node *first = tw_lang_parse_expression(p);
    if (!first || !at_op(p, OP1(',')))
        return first;
    node_list list = {0};
    bool fine = tw_lang_push_node(p, &list, first);
    while (fine && tw_lang_take_op(p, OP1(',')) && !ends_expressions(p))
        fine = tw_lang_push_node(p, &list, element(p));
    return tw_lang_node_of(p, N_TUPLE, at, &list, fine);
}

node *tw_lang_parse_targets(parser *p)
{
    return targets(p);
}
