/* Numbers and strings: escapes, f-strings, neighbouring strings that are one. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tile/lang/internal.h"

node *tw_lang_parse_number(parser *p)
{
    enum { MOST_DIGITS = 400 };
    char digits[MOST_DIGITS], *end;
    const token *t = p->t;
    size_t n = 0;
    for (uint32_t i = 0; i < t->length && n < sizeof digits - 1; i++)
        if (p->s->text[t->at + i] != '_')
            digits[n++] = p->s->text[t->at + i];
    digits[n] = '\0';
    int base = digits[0] != '0'          ? 10
               : (digits[1] | 32) == 'x' ? 16
               : (digits[1] | 32) == 'o' ? 8
               : (digits[1] | 32) == 'b' ? 2
                                         : 10;
    p->t++;
    bool real = base == 10 && strpbrk(digits, ".eEjJ");
    node *result = tw_lang_node(p, real ? N_FLOAT : N_INT, t->at, 0, NULL);
    if (!result)
        return NULL;
    if (real) {
        result->real = strtod(digits, &end);
        if (*end == 'j' || *end == 'J')
            result->kind = N_OTHER;
        else if (*end)
            return tw_lang_fail(p->l, p->d, p->s, t->at, t->length, "found '%.30s', expected a number", digits), NULL;
        if (result->kind == N_OTHER)
            result->name = "a complex number";
        return result;
    }
    wide value = 0;
    for (const char *c = digits + (base == 10 ? 0 : 2); *c; c++) {
        int d = *c >= '0' && *c <= '9' ? *c - '0' : (*c | 32) >= 'a' && (*c | 32) <= 'f' ? (*c | 32) - 'a' + 10 : 99;
        if (d >= base)
            return tw_lang_fail(p->l, p->d, p->s, t->at, t->length, "found '%.30s', expected a number", digits), NULL;
        if (value > ((wide)1 << 120))
            return tw_lang_fail(p->l, p->d, p->s, t->at, t->length, "a whole number of more than 120 bits"), NULL;
        value = value * base + d;
    }
    result->number = value;
    return result;
}

static uint32_t utf8(uint32_t code, char *out)
{
    if (code < 0x80)
        return out[0] = (char)code, 1;
    if (code < 0x800)
        return out[0] = (char)(0xc0 | code >> 6), out[1] = (char)(0x80 | (code & 63)), 2;
    if (code < 0x10000)
        return out[0] = (char)(0xe0 | code >> 12), out[1] = (char)(0x80 | (code >> 6 & 63)),
               out[2] = (char)(0x80 | (code & 63)), 3;
    return out[0] = (char)(0xf0 | (code >> 18 & 7)), out[1] = (char)(0x80 | (code >> 12 & 63)),
           out[2] = (char)(0x80 | (code >> 6 & 63)), out[3] = (char)(0x80 | (code & 63)), 4;
}

/* One escape sequence after the backslash; returns how much of the text it took. */
static uint32_t unescape(const char *at, uint32_t left, char *out, uint32_t *written)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *known = *at ? strchr(from, *at) : NULL;
    int digits = *at == 'x' ? 2 : *at == 'u' ? 4 : *at == 'U' ? 8 : 0;
    uint32_t code = 0, used = 1;
    *written = 0;
    if (*at == '\n')
        return 1;
    if (known) {
        out[(*written)++] = to[known - from];
        return 1;
    }
    if (*at >= '0' && *at <= '7') {
        for (used = 0; used < 3 && used < left && at[used] >= '0' && at[used] <= '7'; used++)
            code = code * 8 + (uint32_t)(at[used] - '0');
        *written = utf8(code & 255, out);
        return used;
    }
    if (digits == 0) {
        out[(*written)++] = '\\';
        out[(*written)++] = *at;
        return 1;
    }
    for (; used < left && (int)used <= digits; used++) {
        int c = at[used] | 32, d = at[used] >= '0' && at[used] <= '9' ? at[used] - '0'
                                   : c >= 'a' && c <= 'f'             ? c - 'a' + 10
                                                                      : -1;
        if (d < 0)
            break;
        code = code << 4 | (uint32_t)d;
    }
    *written = utf8(code, out);
    return used;
}

/* The bytes that text[from, to) of a string stands for. */
static node *string_piece(parser *p, uint32_t from, uint32_t to, bool raw, bool format)
{
    char *out = tw_arena_alloc(p->l->arena, (size_t)(to - from) * 2 + 5);
    node *n = out ? tw_lang_node(p, N_STRING, from, 0, NULL) : NULL;
    uint32_t count = 0, written;
    if (!n)
        return NULL;
    for (uint32_t i = from; i < to;) {
        char c = p->s->text[i];
        if (c == '\\' && !raw && i + 1 < to) {
            i += 1 + unescape(p->s->text + i + 1, to - i - 1, out + count, &written);
            count += written;
            continue;
        }
        out[count++] = c;
        i += format && (c == '{' || c == '}') ? 2 : 1;
    }
    out[count] = '\0';
    n->name = out;
    n->length = count;
    return n;
}

/* Where the expression of an f-string that begins at `from` ends: at } : ! or = of its own level. */
static uint32_t expression_end(const parser *p, uint32_t from, uint32_t to)
{
    int depth = 0;
    char quote = '\0';
    for (uint32_t i = from; i < to; i++) {
        char c = p->s->text[i], next = i + 1 < to ? p->s->text[i + 1] : '\0';
        if (quote) {
            quote = c == quote ? '\0' : quote;
            continue;
        }
        if (c == '"' || c == '\'')
            quote = c;
        else if (strchr("([{", c) && c)
            depth++;
        else if (depth > 0 && strchr(")]}", c) && c)
            depth--;
        else if (depth == 0 && (c == '}' || c == ':' || (c == '!' && next != '=')))
            return i;
        else if (depth == 0 && c == '=' && next != '=' && i > from && !strchr("=<>!", p->s->text[i - 1]))
            return i;
    }
    return to;
}

static node *embedded(parser *p, uint32_t from, uint32_t to)
{
    token_list tokens = {0};
    node *n = NULL;
    if (p->depth < MOST_NESTING / 4 && tw_lang_tokenize(p->l, p->s, from, to, true, &tokens)) {
        parser inner = *p;
        inner.t = inner.first = tokens.data;
        inner.depth += 8;
        n = tw_lang_parse_expressions(&inner);
        if (n && inner.t->kind != T_END)
            tw_lang_expected(&inner, "the end of the expression"), n = NULL;
    } else {
        tw_lang_fail(p->l, p->d, p->s, from, 1, "f-strings nested too deep");
    }
    tw_vec_free(&tokens);
    return n;
}

static node *format_string(parser *p, uint32_t from, uint32_t to, bool raw, uint32_t start)
{
    node_list list = {0};
    bool fine = true;
    uint32_t piece = from;
    const char *text = p->s->text;
    for (uint32_t i = from; i < to && fine;) {
        if (text[i] == '\\' && !raw) {
            i += 2;
        } else if ((text[i] == '{' || text[i] == '}') && i + 1 < to && text[i + 1] == text[i]) {
            i += 2;
        } else if (text[i] == '{') {
            uint32_t end = expression_end(p, i + 1, to), close = end;
            fine = tw_lang_push_node(p, &list, string_piece(p, piece, i, raw, true)) &&
                   tw_lang_push_node(p, &list, embedded(p, i + 1, end));
            for (int depth = 1; close < to; close++) { /* over !r, :format and = */
                depth += (text[close] == '{') - (text[close] == '}');
                if (depth == 0)
                    break;
            }
            i = piece = TW_MIN(close + 1, to);
        } else {
            i++;
        }
    }
    fine = fine && tw_lang_push_node(p, &list, string_piece(p, piece, to, raw, true));
    return tw_lang_node_of(p, N_FSTRING, start, &list, fine);
}

static node *one_string(parser *p)
{
    const token *t = p->t++;
    const char *text = p->s->text;
    uint32_t from = t->at;
    bool raw = false;
    for (; text[from] != '"' && text[from] != '\''; from++)
        raw = raw || (text[from] | 32) == 'r';
    bool triple = t->at + t->length >= from + 6 && text[from + 1] == text[from] && text[from + 2] == text[from];
    from += triple ? 3 : 1;
    uint32_t to = t->at + t->length - (triple ? 3 : 1);
    return t->op ? format_string(p, from, to, raw, t->at) : string_piece(p, from, to, raw, false);
}

/* Neighbouring strings are one. */
node *tw_lang_parse_string(parser *p)
{
    node *first = one_string(p);
    if (!first || p->t->kind != T_STRING)
        return first;
    node_list list = {0};
    bool fine = tw_lang_push_node(p, &list, first);
    while (fine && p->t->kind == T_STRING)
        fine = tw_lang_push_node(p, &list, one_string(p));
    return tw_lang_node_of(p, N_FSTRING, first->at, &list, fine);
}
