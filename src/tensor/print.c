/* Tensors as text, laid out as PyTorch lays them out: 4 digits, lines of 80, more than 1000 elements in excerpts of 3
 * at each end. */
#include "tensor/internal.h"

#include <math.h>

enum { PRECISION = 4, LINE = 80, MOST_SHOWN = 1000, EDGE = 3, INDENT = 7 /* of "tensor(" */ };

typedef struct printer {
    const tw_tensor *t;
    const char *data; /* row-major */
    bool excerpt, floating, integral, scientific;
    int width; /* of an element */
    double least, most;
    bool any; /* a finite element other than 0 */
    tw_text *out;
} printer;

static int element_text(const printer *p, int64_t at, char *text, size_t room)
{
    const char *address = p->data + at * (int64_t)tw_dtype_size(p->t->dtype);
    if (!p->floating) {
        int64_t i = 0;
        if (p->t->dtype == TW_BOOL)
            return snprintf(text, room, "%s", *address ? "True" : "False");
        if (p->t->dtype == TW_I64)
            memcpy(&i, address, sizeof i);
        else
            i = (int64_t)tw_dtype_load(p->t->dtype, address);
        return snprintf(text, room, "%lld", (long long)i);
    }
    double x = tw_dtype_load(p->t->dtype, address);
    if (isnan(x))
        return snprintf(text, room, "nan");
    if (p->scientific)
        return snprintf(text, room, "%.*e", PRECISION, x);
    if (p->integral)
        return snprintf(text, room, isinf(x) ? "%.0f" : "%.0f.", x);
    return snprintf(text, room, "%.*f", PRECISION, x);
}

/* Calls `see` for each element that will be shown. */
static void each_shown(printer *p, int d, int64_t at, void (*see)(printer *, int64_t))
{
    if (d == p->t->rank) {
        see(p, at);
        return;
    }
    int64_t n = p->t->shape[d], below = 1;
    for (int i = d + 1; i < p->t->rank; i++)
        below *= p->t->shape[i];
    bool gap = p->excerpt && n > 2 * EDGE;
    for (int64_t i = 0; i < n; i++) {
        if (gap && i == EDGE)
            i = n - EDGE;
        each_shown(p, d + 1, at + i * below, see);
    }
}

static void see_value(printer *p, int64_t at)
{
    double x = tw_dtype_load(p->t->dtype, p->data + at * (int64_t)tw_dtype_size(p->t->dtype)), a = fabs(x);
    if (!isfinite(x) || x == 0)
        return;
    p->least = p->any ? fmin(p->least, a) : a;
    p->most = p->any ? fmax(p->most, a) : a;
    p->integral = p->integral && x == ceil(x);
    p->any = true;
}

static void see_width(printer *p, int64_t at)
{
    char text[400]; /* %.4f of the largest double has 314 characters */
    if (p->floating) {
        double x = tw_dtype_load(p->t->dtype, p->data + at * (int64_t)tw_dtype_size(p->t->dtype));
        if (!isfinite(x) || x == 0)
            return;
    }
    p->width = TW_MAX(p->width, element_text(p, at, text, sizeof text));
}

/* One form for all elements, by what is shown. */
static void choose_form(printer *p)
{
    p->width = 1;
    p->integral = true;
    if (p->floating)
        each_shown(p, 0, 0, see_value);
    if (p->floating && p->any)
        p->scientific = p->most / p->least > 1000 || p->most > 1e8 || (!p->integral && p->least < 1e-4);
    each_shown(p, 0, 0, see_width);
}

static void print_element(const printer *p, int64_t at)
{
    char text[400];
    int n = element_text(p, at, text, sizeof text);
    tw_text_add(p->out, "%*s%s", TW_MAX(p->width - n, 0), "", text);
}

static void print_row(const printer *p, int64_t at, int indent)
{
    int64_t n = p->t->shape[p->t->rank - 1], on_line = TW_MAX((LINE - indent) / (p->width + 2), 1), shown = 0;
    bool gap = p->excerpt && n > 2 * EDGE;
    tw_text_add(p->out, "[");
    for (int64_t i = 0; i < n; i++, shown++) {
        if (shown > 0 && shown % on_line == 0)
            tw_text_add(p->out, ",\n%*s", indent + 1, "");
        else if (shown > 0)
            tw_text_add(p->out, ", ");
        if (gap && i == EDGE) {
            tw_text_add(p->out, " ...");
            i = n - EDGE - 1;
            gap = false;
        } else {
            print_element(p, at + i);
        }
    }
    tw_text_add(p->out, "]");
}

static void print_part(const printer *p, int d, int64_t at, int indent)
{
    int rank = p->t->rank;
    if (rank == 0) {
        print_element(p, 0);
        return;
    }
    if (d == rank - 1) {
        print_row(p, at, indent);
        return;
    }
    int64_t n = p->t->shape[d], below = 1;
    bool gap = p->excerpt && n > 2 * EDGE;
    for (int i = d + 1; i < rank; i++)
        below *= p->t->shape[i];
    tw_text_add(p->out, "[");
    for (int64_t i = 0; i < n; i++) {
        for (int line = 0; i > 0 && line < rank - d - 1; line++)
            tw_text_add(p->out, line == 0 ? ",\n" : "\n");
        if (i > 0)
            tw_text_add(p->out, "%*s", indent + 1, "");
        if (gap && i == EDGE) {
            tw_text_add(p->out, "...");
            i = n - EDGE - 1;
            gap = false;
        } else {
            print_part(p, d + 1, at + i * below, indent + 1);
        }
    }
    tw_text_add(p->out, "]");
}

/* What follows the elements, on a line of its own where it doesn't fit. */
static void print_suffix(tw_text *out, int *column, const char *suffix)
{
    int length = (int)strlen(suffix);
    bool breaks = *column + length + 2 > LINE;
    if (breaks)
        tw_text_add(out, ",\n%*s%s", INDENT, "", suffix);
    else
        tw_text_add(out, ", %s", suffix);
    *column = breaks ? INDENT + length : *column + length + 2;
}

static void print_suffixes(const tw_tensor *t, tw_text *out)
{
    char text[160];
    const char *line = out->data ? strrchr(out->data, '\n') : NULL;
    int column = line ? (int)(out->data + out->count - line) + 1 : (int)out->count + 2;
    if (t->count == 0 && t->rank != 1) {
        int n = snprintf(text, sizeof text, "size=(");
        for (int i = 0; i < t->rank; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, i ? ", %lld" : "%lld", (long long)t->shape[i]);
        snprintf(text + n, sizeof text - (size_t)n, ")");
        print_suffix(out, &column, text);
    }
    bool plain = t->dtype == TW_F32 || (t->count > 0 && (t->dtype == TW_I64 || t->dtype == TW_BOOL));
    snprintf(text, sizeof text, "dtype=%s", tw_dtype_name(t->dtype));
    if (!plain)
        print_suffix(out, &column, text);
    if (t->node) {
        snprintf(text, sizeof text, "grad_fn=<%s>", t->node->op.info->name);
        print_suffix(out, &column, text);
    } else if (t->requires_grad) {
        print_suffix(out, &column, "requires_grad=True");
    }
}

char *tw_print_text(tw_tensor *t)
{
    tw_text out = {0};
    printer p = {.t = t,
                 .data = tw_data(t),
                 .excerpt = t->count > MOST_SHOWN,
                 .floating = tw_dtype_floating(t->dtype),
                 .out = &out};
    if (!p.data)
        return NULL;
    tw_text_add(&out, "tensor(");
    if (t->count == 0) {
        tw_text_add(&out, "[]");
    } else {
        choose_form(&p);
        print_part(&p, 0, 0, INDENT);
    }
    print_suffixes(t, &out);
    tw_text_add(&out, ")");
    if (!out.failed)
        return out.data;
    tw_text_free(&out);
    tw_error(TW_ERR_MEMORY, "print: out of memory");
    return NULL;
}

void tw_text_release(char *text)
{
    tw_free(text);
}

/* The one place of the library that writes to standard output: because it was asked to. */
tw_status tw_print(tw_tensor *t)
{
    char *text = tw_print_text(t);
    if (!text)
        return tw_error_code();
    bool fine = printf("%s\n", text) >= 0;
    tw_text_release(text);
    return fine ? TW_OK : tw_error(TW_ERR_IO, "print: standard output can't be written");
}
