/* Statements of a kernel. What kernels can't have (try, class, import) becomes N_UNSUPPORTED: an error only where it
 * is reached, so that a branch on a constant may hold it. */
#include "tile/lang/internal.h"

static node *finish(parser *p, node_list *list, uint32_t at, node_kind kind, bool fine)
{
    node *n = fine ? tw_lang_node(p, kind, at, (int)list->count, list->data) : NULL;
    tw_vec_free(list);
    return n;
}

static bool end_of_statement(parser *p)
{
    if (tw_lang_take_op(p, OP1(';')))
        return true;
    if (p->t->kind == T_NEWLINE) {
        p->t++;
        return true;
    }
    return p->t->kind == T_DEDENT || p->t->kind == T_END || tw_lang_expected(p, "the end of the line");
}

/* To the end of a statement that isn't understood: its line, and its block if it has one. */
static void skip_statement(parser *p)
{
    while (p->t->kind != T_NEWLINE && p->t->kind != T_END)
        p->t++;
    if (p->t->kind == T_NEWLINE)
        p->t++;
    if (p->t->kind != T_INDENT)
        return;
    int depth = 0;
    do {
        depth += (p->t->kind == T_INDENT) - (p->t->kind == T_DEDENT);
        p->t++;
    } while (depth > 0 && p->t->kind != T_END);
}

static node *unsupported(parser *p, const char *what)
{
    uint32_t at = p->t->at;
    node *n = tw_lang_node(p, N_UNSUPPORTED, at, 0, NULL);
    if (n) {
        n->name = what;
        n->length = p->t->length;
    }
    skip_statement(p);
    while (tw_lang_at_word(p, "except") || tw_lang_at_word(p, "finally") ||
           (!strcmp(what, "'try'") && tw_lang_at_word(p, "else")))
        skip_statement(p);
    return n;
}

/* A block after a colon: statements on the same line, or an indented block. */
node *tw_lang_parse_block(parser *p)
{
    node_list list = {0};
    uint32_t at = p->t->at;
    bool fine = tw_lang_expect_op(p, OP1(':'), "':'"), indented = false;
    if (fine && ++p->depth > MOST_NESTING)
        fine = tw_lang_fail(p->l, p->d, p->s, at, 1, "blocks nested more than %d deep", MOST_NESTING);
    if (fine && p->t->kind == T_NEWLINE) {
        p->t++;
        indented = true;
        if (p->t->kind != T_INDENT)
            fine = tw_lang_expected(p, "an indented block");
        else
            p->t++;
    }
    while (fine) {
        bool last = !indented;
        node *n = tw_lang_parse_statement(p);
        fine = n && tw_vec_push(&list, n);
        if (!fine)
            break;
        if (last && (p->t == p->first || p->t[-1].kind == T_NEWLINE || p->t->kind == T_END || p->t->kind == T_DEDENT))
            break;
        if (indented && (p->t->kind == T_DEDENT || p->t->kind == T_END)) {
            p->t += p->t->kind == T_DEDENT;
            break;
        }
    }
    p->depth--;
    return finish(p, &list, at, N_BLOCK, fine);
}

static node *if_statement(parser *p)
{
    uint32_t at = p->t->at;
    node *part[3] = {NULL, NULL, NULL};
    p->t++;
    if (++p->depth > MOST_NESTING)
        return tw_lang_fail(p->l, p->d, p->s, at, 1, "more than %d branches", MOST_NESTING), NULL;
    bool fine = (part[0] = tw_lang_parse_expression(p)) && (part[1] = tw_lang_parse_block(p));
    if (fine && tw_lang_at_word(p, "elif")) {
        node *inner = if_statement(p);
        fine = inner && (part[2] = tw_lang_node(p, N_BLOCK, inner->at, 1, &inner));
    } else if (fine && tw_lang_take_word(p, "else")) {
        fine = (part[2] = tw_lang_parse_block(p)) != NULL;
    }
    p->depth--;
    node *n = fine ? tw_lang_node(p, N_IF, at, 3, part) : NULL;
    if (n)
        n->length = part[0]->at + part[0]->length - at;
    return n;
}

static node *loop(parser *p, node_kind kind)
{
    uint32_t at = p->t->at;
    node *part[4] = {NULL, NULL, NULL, NULL};
    int n = 0;
    bool fine = true;
    p->t++;
    if (kind == N_FOR)
        fine = (part[n++] = tw_lang_parse_targets(p)) && (tw_lang_take_word(p, "in") || tw_lang_expected(p, "'in'"));
    fine = fine && (part[n++] = tw_lang_parse_expressions(p)) && (part[n++] = tw_lang_parse_block(p));
    if (fine && tw_lang_take_word(p, "else"))
        fine = (part[n] = tw_lang_parse_block(p)) != NULL;
    node *loop = fine ? tw_lang_node(p, kind, at, n + 1, part) : NULL;
    if (loop)
        loop->length = part[n - 2]->at + part[n - 2]->length - at;
    return loop;
}

/* with A as a, B: names after `as` are no variables of the kernel. */
static node *with_statement(parser *p)
{
    uint32_t at = p->t->at;
    node_list list = {0};
    bool fine = true;
    p->t++;
    do {
        node *context = tw_lang_parse_expression(p);
        fine = context && tw_vec_push(&list, context);
        if (fine && tw_lang_take_word(p, "as"))
            fine = tw_lang_parse_expression(p) != NULL;
    } while (fine && tw_lang_take_op(p, OP1(',')));
    node *block = fine ? tw_lang_parse_block(p) : NULL;
    fine = block && tw_vec_push(&list, block);
    return finish(p, &list, at, N_WITH, fine);
}

static node *with_value(parser *p, node_kind kind, bool tuple)
{
    uint32_t at = p->t->at;
    node *value = NULL;
    p->t++;
    bool empty = p->t->kind == T_NEWLINE || p->t->kind == T_END || p->t->kind == T_DEDENT || at_op(p, OP1(';'));
    if (!empty && !(value = tuple ? tw_lang_parse_expressions(p) : tw_lang_parse_expression(p)))
        return NULL;
    if (kind == N_RAISE && tw_lang_take_word(p, "from") && !tw_lang_parse_expression(p))
        return NULL;
    node *n = tw_lang_node(p, kind, at, 1, &value);
    return n && end_of_statement(p) ? n : NULL;
}

static node *word_statement(parser *p, node_kind kind)
{
    node *n = tw_lang_node(p, kind, p->t->at, 0, NULL);
    if (n)
        n->length = p->t->length;
    p->t++;
    return n && end_of_statement(p) ? n : NULL;
}

static node *assertion(parser *p)
{
    uint32_t at = p->t->at;
    node *part[2] = {NULL, NULL};
    p->t++;
    bool fine = (part[0] = tw_lang_parse_expression(p)) &&
                (!tw_lang_take_op(p, OP1(',')) || (part[1] = tw_lang_parse_expression(p)));
    node *n = fine ? tw_lang_node(p, N_ASSERT, at, 2, part) : NULL;
    return n && end_of_statement(p) ? n : NULL;
}

static node *nested_function(parser *p)
{
    uint32_t at = p->t->at;
    function *f = tw_arena_zero(p->l->arena, 1, sizeof *f);
    p->t++;
    if (!f || p->t->kind != T_NAME)
        return tw_lang_expected(p, "the name of a function"), NULL;
    *f = (function){.name = p->t++->text, .module = p->scope->module, .scope = p->scope, .at = at, .jit = true};
    if (!tw_lang_expect_op(p, OP1('('), "'('") ||
        !tw_lang_parse_parameters(p, OP1(')'), true, &f->parameter, &f->parameters))
        return NULL;
    if (tw_lang_take_op(p, OP2('-', '>')) && !tw_lang_parse_expression(p))
        return NULL;
    if (!(f->body = tw_lang_parse_block(p)))
        return NULL;
    node *n = tw_lang_node(p, N_DEFINITION, at, 1, &f->body);
    if (n)
        n->function = f;
    return n;
}

static uint32_t augmented_operator(const token *t)
{
    if (t->kind != T_OP || t->op < 256)
        return 0;
    uint32_t last = t->op >> 16 ? t->op >> 16 : t->op >> 8, rest = t->op >> 16 ? t->op & 0xffff : t->op & 0xff;
    bool comparison = t->op == OP2('=', '=') || t->op == OP2('!', '=') || t->op == OP2('<', '=') ||
                      t->op == OP2('>', '=') || t->op == OP2(':', '=');
    return last == '=' && !comparison ? rest : 0;
}

static node *assignment(parser *p)
{
    uint32_t at = p->t->at;
    node_list list = {0};
    node *first = tw_lang_parse_expressions(p), *n = NULL;
    if (!first)
        return NULL;
    uint32_t op = augmented_operator(p->t);
    if (op) {
        p->t++;
        node *pair[2] = {first, tw_lang_parse_expressions(p)};
        n = pair[1] ? tw_lang_node(p, N_AUGMENTED, at, 2, pair) : NULL;
        if (n)
            n->op = op;
    } else if (tw_lang_take_op(p, OP1(':'))) {
        node *part[3] = {first, tw_lang_parse_expression(p), NULL};
        bool fine = part[1] && (!tw_lang_take_op(p, OP1('=')) || (part[2] = tw_lang_parse_expressions(p)));
        n = fine ? tw_lang_node(p, N_ANNOTATED, at, 3, part) : NULL;
    } else if (at_op(p, OP1('='))) {
        bool fine = tw_vec_push(&list, first);
        while (fine && tw_lang_take_op(p, OP1('='))) {
            node *next = tw_lang_parse_expressions(p);
            fine = next && tw_vec_push(&list, next);
        }
        n = finish(p, &list, at, N_ASSIGN, fine);
    } else {
        n = tw_lang_node(p, N_EXPRESSION, at, 1, &first);
    }
    return n && end_of_statement(p) ? n : NULL;
}

node *tw_lang_parse_statement(parser *p)
{
    static const char *const foreign[] = {"try", "class", "import", "from", "global", "nonlocal", "del", "async"};
    static const char *const names[] = {"'try'",    "'class'",    "'import'", "'import'",
                                        "'global'", "'nonlocal'", "'del'",    "'async'"};
    if (p->t->kind == T_INDENT)
        return tw_lang_expected(p, "a statement of this block"), NULL;
    if (p->t->kind == T_OP && p->t->op == OP1('@')) { /* decorators of a nested function */
        p->t++;
        if (!tw_lang_parse_expression(p) || !end_of_statement(p))
            return NULL;
        return tw_lang_at_word(p, "def") || at_op(p, OP1('@')) ? tw_lang_parse_statement(p)
                                                               : (tw_lang_expected(p, "'def'"), NULL);
    }
    if (p->t->kind != T_NAME)
        return assignment(p);
    for (size_t i = 0; i < TW_COUNT(foreign); i++)
        if (tw_lang_at_word(p, foreign[i]))
            return unsupported(p, names[i]);
    if (tw_lang_at_word(p, "if"))
        return if_statement(p);
    if (tw_lang_at_word(p, "for"))
        return loop(p, N_FOR);
    if (tw_lang_at_word(p, "while"))
        return loop(p, N_WHILE);
    if (tw_lang_at_word(p, "with"))
        return with_statement(p);
    if (tw_lang_at_word(p, "def"))
        return nested_function(p);
    if (tw_lang_at_word(p, "return"))
        return with_value(p, N_RETURN, true);
    if (tw_lang_at_word(p, "raise"))
        return with_value(p, N_RAISE, false);
    if (tw_lang_at_word(p, "assert"))
        return assertion(p);
    if (tw_lang_at_word(p, "pass"))
        return word_statement(p, N_PASS);
    if (tw_lang_at_word(p, "break"))
        return word_statement(p, N_BREAK);
    if (tw_lang_at_word(p, "continue"))
        return word_statement(p, N_CONTINUE);
    return assignment(p);
}
