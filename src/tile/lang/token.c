/* Text to tokens, as Python's tokenizer does it: indentation, line joining, all string prefixes, comments.
 *
 * Host code around the kernels goes through here too, so that every token of Python is known; what is wrong becomes a
 * T_BAD token and is reported only where somebody needs it. */
#include "tile/lang/internal.h"

typedef struct tokenizer {
    tw_lang *l;
    const char *text;
    uint32_t at, end;
    token_list *out;
    int brackets;
    char bracket[MOST_NESTING];
    int indent[MOST_INDENTATION];
    int indents;
    bool line_start, failed, bracketed;
} tokenizer;

static bool push(tokenizer *x, token_kind kind, uint32_t at, uint32_t op, const char *text)
{
    token t = {.kind = (uint8_t)kind, .op = op, .at = at, .length = x->at - at, .text = text};
    if (!tw_vec_push(x->out, t))
        x->failed = true;
    return !x->failed;
}

static char peek(const tokenizer *x, uint32_t ahead)
{
    return x->at + ahead < x->end ? x->text[x->at + ahead] : '\0';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 128;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_comment(tokenizer *x)
{
    while (x->at < x->end && x->text[x->at] != '\n')
        x->at++;
}

/* ---- indentation ---- */

static void indentation(tokenizer *x)
{
    int width = 0;
    for (; x->at < x->end; x->at++) {
        char c = x->text[x->at];
        if (c == ' ')
            width++;
        else if (c == '\t')
            width = (width / 8 + 1) * 8;
        else if (c == '\f')
            width = 0;
        else
            break;
    }
    char c = peek(x, 0);
    if (x->at == x->end || c == '\n' || c == '\r' || c == '#' || (c == '\\' && peek(x, 1) == '\n'))
        return; /* a line without a statement */
    x->line_start = false;
    int now = x->indents ? x->indent[x->indents - 1] : 0;
    if (width > now) {
        if (x->indents == MOST_INDENTATION) {
            push(x, T_BAD, x->at, 0, "blocks nested too deep");
            return;
        }
        x->indent[x->indents++] = width;
        push(x, T_INDENT, x->at, 0, NULL);
    }
    while (width < now && !x->failed) {
        x->indents--;
        now = x->indents ? x->indent[x->indents - 1] : 0;
        push(x, T_DEDENT, x->at, 0, NULL);
        if (width > now)
            push(x, T_BAD, x->at, 0, "an indentation that matches no block before it");
    }
}

/* ---- strings ---- */

static bool string_prefix(const tokenizer *x, uint32_t *length, bool *raw, bool *format)
{
    uint32_t n = 0;
    *raw = *format = false;
    for (; n < 3; n++) {
        char c = peek(x, n) | 32;
        if (peek(x, n) == '"' || peek(x, n) == '\'')
            break;
        if (c != 'r' && c != 'b' && c != 'u' && c != 'f' && c != 't')
            return false;
        *raw = *raw || c == 'r';
        *format = *format || c == 'f' || c == 't';
    }
    *length = n;
    return peek(x, n) == '"' || peek(x, n) == '\'';
}

/* Past the closing quote; false: the string isn't closed. In an f-string quotes inside { } belong to the expression. */
static bool skip_string(tokenizer *x, bool format, int depth)
{
    char quote = peek(x, 0);
    bool triple = peek(x, 1) == quote && peek(x, 2) == quote;
    int braces = 0;
    uint32_t prefix;
    bool raw, inner;
    x->at += triple ? 3 : 1;
    while (x->at < x->end) {
        char c = peek(x, 0);
        if (format && braces == 0 && (c == '{' || c == '}') && peek(x, 1) == c) {
            x->at += 2;
        } else if (format && (c == '{' || c == '}')) {
            braces += c == '{' ? 1 : braces > 0 ? -1 : 0;
            x->at++;
        } else if (braces > 0 && (c == '"' || c == '\'') && !(triple && c == quote && peek(x, 1) == quote)) {
            inner = false;
            (void)string_prefix(x, &prefix, &raw, &inner);
            if (depth > 8 || !skip_string(x, inner, depth + 1))
                return false;
        } else if (c == '\\') {
            x->at += 2;
        } else if (c == quote && (!triple || (peek(x, 1) == quote && peek(x, 2) == quote))) {
            x->at += triple ? 3 : 1;
            return true;
        } else if (c == '\n' && !triple && braces == 0) {
            return false;
        } else {
            x->at++;
        }
    }
    x->at = x->end;
    return false;
}

static void string_token(tokenizer *x, uint32_t prefix, bool format)
{
    uint32_t start = x->at;
    x->at += prefix;
    if (skip_string(x, format, 0)) {
        push(x, T_STRING, start, format, NULL);
        return;
    }
    push(x, T_BAD, start, 0, "a string without its closing quote");
}

/* ---- numbers, names, operators ---- */

static void number_token(tokenizer *x)
{
    uint32_t start = x->at;
    bool hex = peek(x, 0) == '0' && strchr("xXoObB", peek(x, 1)) && peek(x, 1);
    if (hex)
        x->at += 2;
    while (x->at < x->end) {
        char c = peek(x, 0);
        if (!hex && (c == 'e' || c == 'E') &&
            (digit(peek(x, 1)) || ((peek(x, 1) == '+' || peek(x, 1) == '-') && digit(peek(x, 2)))))
            x->at += 2;
        else if (digit(c) || c == '_' || (!hex && c == '.') || (letter(c) && (unsigned char)c < 128))
            x->at++;
        else
            break;
    }
    push(x, T_NUMBER, start, 0, NULL);
}

static void name_token(tokenizer *x)
{
    uint32_t start = x->at;
    while (letter(peek(x, 0)) || digit(peek(x, 0)))
        x->at++;
    push(x, T_NAME, start, 0, tw_lang_intern(x->l, x->text + start, x->at - start));
}

static uint32_t operator_length(const tokenizer *x)
{
    static const char *const three[] = {"**=", "//=", "<<=", ">>=", "..."};
    static const char *const two[] = {"**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->", "+=",
                                      "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", ":="};
    for (size_t i = 0; i < TW_COUNT(three); i++)
        if (peek(x, 0) == three[i][0] && peek(x, 1) == three[i][1] && peek(x, 2) == three[i][2])
            return 3;
    for (size_t i = 0; i < TW_COUNT(two); i++)
        if (peek(x, 0) == two[i][0] && peek(x, 1) == two[i][1])
            return 2;
    return strchr("+-*/%@&|^~<>()[]{},:.;=!", peek(x, 0)) ? 1 : 0;
}

static void operator_token(tokenizer *x)
{
    uint32_t start = x->at, n = operator_length(x), op = 0;
    char c = peek(x, 0);
    if (n == 0) {
        x->at++;
        push(x, T_BAD, start, 0, "a character that Python has no use for");
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        op |= (uint32_t)(unsigned char)x->text[x->at + i] << (8 * i);
    x->at += n;
    if (n == 1 && strchr("([{", c)) {
        if (x->brackets == MOST_NESTING) {
            push(x, T_BAD, start, 0, "brackets nested too deep");
            return;
        }
        x->bracket[x->brackets++] = c;
    } else if (n == 1 && strchr(")]}", c)) {
        char open = c == ')' ? '(' : c == ']' ? '[' : '{';
        if (x->brackets == 0 || x->bracket[x->brackets - 1] != open) {
            push(x, T_BAD, start, 0, "a closing bracket that nothing opened");
            return;
        }
        x->brackets--;
    }
    push(x, T_OP, start, op, NULL);
}

/* Does the text at the start of a line begin a function or a class? Inside brackets Python has no such line: a bracket
 * was left open, and what follows should be read all the same. */
static bool starts_definition(const tokenizer *x)
{
    static const char *const words[] = {"def ", "class ", "@triton."};
    for (size_t i = 0; i < TW_COUNT(words); i++) {
        size_t n = strlen(words[i]);
        if (x->end - x->at >= n && !memcmp(x->text + x->at, words[i], n))
            return true;
    }
    return false;
}

static void line_end(tokenizer *x)
{
    uint32_t start = x->at++;
    if (x->brackets && !x->bracketed && starts_definition(x)) {
        push(x, T_BAD, start, 0, "the end of a block inside brackets");
        x->brackets = 0;
    }
    if (x->brackets || x->bracketed)
        return;
    x->line_start = true;
    if (x->out->count && x->out->data[x->out->count - 1].kind != T_NEWLINE &&
        x->out->data[x->out->count - 1].kind != T_INDENT && x->out->data[x->out->count - 1].kind != T_DEDENT)
        push(x, T_NEWLINE, start, 0, NULL);
}

static void next_token(tokenizer *x)
{
    uint32_t prefix;
    bool raw, format;
    char c = peek(x, 0);
    if (c == ' ' || c == '\t' || c == '\f' || c == '\r')
        x->at++;
    else if (c == '\n')
        line_end(x);
    else if (c == '#')
        skip_comment(x);
    else if (c == '\\' && (peek(x, 1) == '\n' || (peek(x, 1) == '\r' && peek(x, 2) == '\n')))
        x->at += peek(x, 1) == '\n' ? 2 : 3;
    else if (string_prefix(x, &prefix, &raw, &format))
        string_token(x, prefix, format);
    else if (digit(c) || (c == '.' && digit(peek(x, 1))))
        number_token(x);
    else if (letter(c))
        name_token(x);
    else
        operator_token(x);
}

bool tw_lang_tokenize(tw_lang *l, const source *s, uint32_t from, uint32_t to, bool bracketed, token_list *out)
{
    tokenizer *x = tw_alloc_zero(1, sizeof *x);
    if (!x)
        return false;
    *x = (tokenizer){
        .l = l, .text = s->text, .at = from, .end = to, .out = out, .line_start = !bracketed, .bracketed = bracketed};
    if (!bracketed && to >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3))
        x->at += 3;
    while (x->at < x->end && !x->failed) {
        if (x->line_start && x->brackets == 0)
            indentation(x);
        if (x->at < x->end)
            next_token(x);
    }
    if (x->brackets)
        push(x, T_BAD, x->at, 0, "the end of the text inside brackets");
    if (!bracketed && out->count && out->data[out->count - 1].kind != T_NEWLINE)
        push(x, T_NEWLINE, x->at, 0, NULL);
    for (; x->indents > 0; x->indents--)
        push(x, T_DEDENT, x->at, 0, NULL);
    push(x, T_END, x->at, 0, NULL);
    bool fine = !x->failed && !l->memory_failed;
    tw_free(x);
    return fine;
}
