/* Recursive descent, one function a level of binding. Depth is bounded: the text may come from anywhere. */
#include "machine/expression.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "machine/money.h"

enum { MOST_DEPTH = 64, MOST_ARGUMENTS = 16, MOST_NAME = 200 };

typedef struct reader {
    const tw_library *library;
    tw_lookup *lookup;
    const void *data;
    const char *text, *at;
    int depth;
} reader;

static tw_status compare(reader *r, double *value);

static tw_status wrong(const reader *r, const char *what)
{
    return tw_error(TW_ERR_VALUE, "expression '%.200s', character %d: %s", r->text, (int)(r->at - r->text) + 1, what);
}

static void skip(reader *r)
{
    while (isspace((unsigned char)*r->at))
        r->at++;
}

static bool take(reader *r, const char *token)
{
    size_t n = strlen(token);
    skip(r);
    if (strncmp(r->at, token, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* Letters, digits, '_', '.', and a '-' that is followed by one of those without a space. */
static void word(reader *r, char name[MOST_NAME])
{
    size_t n = 0;
    while (isalnum((unsigned char)*r->at) || *r->at == '_' || *r->at == '.' ||
           (*r->at == '-' && isalnum((unsigned char)r->at[1]))) {
        if (n + 1 < MOST_NAME)
            name[n++] = *r->at;
        r->at++;
    }
    name[n] = '\0';
}

/* ---- names ---- */

static const struct {
    const char *name;
    double value;
} constants[] = {{"k", 1e3},  {"M", 1e6},          {"G", 1e9},   {"T", 1e12},
                 {"P", 1e15}, {"GiB", 1073741824}, {"pi", M_PI}, {"reticle", TW_RETICLE}};

static const struct {
    const char *name;
    size_t offset;
} cost_parts[] = {{"dies", offsetof(tw_chip_cost, dies)},
                  {"io_dies", offsetof(tw_chip_cost, io_dies)},
                  {"memory", offsetof(tw_chip_cost, memory)},
                  {"package", offsetof(tw_chip_cost, package)},
                  {"assembly", offsetof(tw_chip_cost, assembly)},
                  {"nre", offsetof(tw_chip_cost, nre)},
                  {"parts", offsetof(tw_chip_cost, parts)},
                  {"price", offsetof(tw_chip_cost, price)},
                  {"die_yield", offsetof(tw_chip_cost, die_yield)},
                  {"dies_per_wafer", offsetof(tw_chip_cost, dies_per_wafer)},
                  {"package_area", offsetof(tw_chip_cost, package_area)}};

/* "CHIP.part" */
static bool cost_of(const tw_library *l, const char *path, double *value)
{
    char name[MOST_NAME];
    const char *dot = strrchr(path, '.');
    if (!dot)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
    const tw_description *item = tw_library_find(l, TW_KIND_CHIP, name);
    if (!item)
        return false;
    const tw_chip *chip = (const tw_chip *)(const void *)item;
    double low, high;
    tw_chip_cost c = tw_chip_cost_of(l, chip);
    tw_package_area(l, chip, &low, &high);
    if (!strcmp(dot, ".package_low") || !strcmp(dot, ".package_high")) {
        *value = dot[9] == 'l' ? low : high;
        return true;
    }
    for (size_t i = 0; i < TW_COUNT(cost_parts); i++)
        if (!strcmp(dot + 1, cost_parts[i].name)) {
            *value = *(const double *)(const void *)((const char *)&c + cost_parts[i].offset);
            return true;
        }
    return false;
}

/* Free sides. A die has two sides for HBM and two for IO, opposite each other; dies that join give up one each. */
static bool layout_of(const char *path, double *value)
{
    static const struct {
        const char *name;
        double hbm, io;
    } layouts[] = {{"monolithic", 2, 2}, {"hbm-edge", 2, 4}, {"io-edge", 4, 2}, {"quad", 4, 4}};
    for (size_t i = 0; i < TW_COUNT(layouts); i++) {
        size_t n = strlen(layouts[i].name);
        if (strncmp(path, layouts[i].name, n) != 0 || path[n] != '.')
            continue;
        *value = !strcmp(path + n, ".hbm_edges")  ? layouts[i].hbm
                 : !strcmp(path + n, ".io_edges") ? layouts[i].io
                                                  : NAN;
        return !isnan(*value);
    }
    return false;
}

static tw_status named(reader *r, const char *name, double *value)
{
    tw_dimension dimension;
    for (size_t i = 0; i < TW_COUNT(constants); i++)
        if (!strcmp(name, constants[i].name)) {
            *value = constants[i].value;
            return TW_OK;
        }
    if (r->lookup && r->lookup(r->data, name, value))
        return TW_OK;
    if (!strncmp(name, "cost.", 5))
        return cost_of(r->library, name + 5, value) ? TW_OK : wrong(r, "expected cost.CHIP.PART");
    if (!strncmp(name, "layout.", 7))
        return layout_of(name + 7, value) ? TW_OK : wrong(r, "expected layout.NAME.hbm_edges or .io_edges");
    if (!strncmp(name, "count.", 6)) {
        for (int k = 0; k < TW_ITEM_KINDS; k++)
            if (!strcmp(tw_item_kind_name((tw_item_kind)k), name + 6)) {
                *value = tw_library_count(r->library, (tw_item_kind)k);
                return TW_OK;
            }
        return wrong(r, "expected count.KIND");
    }
    return tw_library_get(r->library, name, value, &dimension);
}

/* ---- functions ---- */

static tw_status call(reader *r, const char *name, const double *x, int n, double *value)
{
    static const struct {
        const char *name;
        int least, most;
    } functions[] = {{"min", 1, MOST_ARGUMENTS},
                     {"max", 1, MOST_ARGUMENTS},
                     {"sum", 1, MOST_ARGUMENTS},
                     {"all", 1, MOST_ARGUMENTS},
                     {"sqrt", 1, 1},
                     {"ln", 1, 1},
                     {"log2", 1, 1},
                     {"exp", 1, 1},
                     {"abs", 1, 1},
                     {"round", 1, 1},
                     {"dies_per_wafer", 2, 2},
                     {"die_yield", 3, 3},
                     {"die_yield_spare", 5, 5},
                     {"package_limit", 1, 1},
                     {"package_forecast", 1, 1}};
    size_t f = 0;
    while (f < TW_COUNT(functions) && strcmp(functions[f].name, name) != 0)
        f++;
    if (f == TW_COUNT(functions))
        return wrong(r,
                     "no such function; expected min, max, sum, all, sqrt, ln, log2, exp, abs, round, dies_per_wafer, "
                     "die_yield, die_yield_spare, package_limit or package_forecast");
    if (n < functions[f].least || n > functions[f].most)
        return wrong(r, "wrong number of arguments");
    *value = x[0];
    for (int i = 1; i < n && f < 4; i++)
        *value = f == 0 ? TW_MIN(*value, x[i]) : f == 1 ? TW_MAX(*value, x[i]) : f == 2 ? *value + x[i] : *value * x[i];
    switch (f) {
    case 4:
        *value = sqrt(x[0]);
        break;
    case 5:
        *value = log(x[0]);
        break;
    case 6:
        *value = log2(x[0]);
        break;
    case 7:
        *value = exp(x[0]);
        break;
    case 8:
        *value = fabs(x[0]);
        break;
    case 9:
        *value = round(x[0]);
        break;
    case 10:
        *value = tw_dies_per_wafer(x[0], x[1]);
        break;
    case 11:
        *value = tw_die_yield(x[0], x[1], x[2]);
        break;
    case 12:
        *value = tw_die_yield_spare(x[0], x[1], x[2], TW_MIN(x[3], 1e4), x[4]);
        break;
    case 13:
    case 14:
        *value = tw_package_limit(r->library, x[0], f == 14);
        break;
    default:
        break;
    }
    return TW_OK;
}

/* ---- levels of binding ---- */

static tw_status atom(reader *r, double *value)
{
    char name[MOST_NAME];
    double argument[MOST_ARGUMENTS];
    int n = 0;
    skip(r);
    if (take(r, "(")) {
        TW_TRY(compare(r, value));
        return take(r, ")") ? TW_OK : wrong(r, "expected ')'");
    }
    if (isdigit((unsigned char)*r->at) || *r->at == '.') {
        char *end;
        *value = strtod(r->at, &end);
        if (end == r->at)
            return wrong(r, "expected a number");
        r->at = end;
        return TW_OK;
    }
    if (!isalpha((unsigned char)*r->at))
        return wrong(r, "expected a number, a name or '('");
    word(r, name);
    if (!take(r, "("))
        return named(r, name, value);
    do {
        if (n == MOST_ARGUMENTS)
            return wrong(r, "too many arguments");
        TW_TRY(compare(r, &argument[n++]));
    } while (take(r, ","));
    if (!take(r, ")"))
        return wrong(r, "expected ',' or ')'");
    return call(r, name, argument, n, value);
}

static tw_status unary(reader *r, double *value)
{
    if (take(r, "-")) {
        if (++r->depth > MOST_DEPTH)
            return wrong(r, "too many signs");
        TW_TRY(unary(r, value));
        r->depth--;
        *value = -*value;
        return TW_OK;
    }
    TW_TRY(atom(r, value));
    if (take(r, "^")) {
        double power;
        if (++r->depth > MOST_DEPTH)
            return wrong(r, "nested too deep");
        TW_TRY(unary(r, &power));
        r->depth--;
        *value = pow(*value, power);
    }
    return TW_OK;
}

static tw_status product(reader *r, double *value)
{
    double next;
    TW_TRY(unary(r, value));
    for (;;) {
        bool times = take(r, "*");
        if (!times && !take(r, "/"))
            return TW_OK;
        TW_TRY(unary(r, &next));
        *value = times ? *value * next : *value / next;
    }
}

static tw_status addition(reader *r, double *value)
{
    double next;
    TW_TRY(product(r, value));
    for (;;) {
        bool plus = take(r, "+");
        if (!plus && !take(r, "-"))
            return TW_OK;
        TW_TRY(product(r, &next));
        *value += plus ? next : -next;
    }
}

static tw_status compare(reader *r, double *value)
{
    static const char *const operators[] = {"<=", ">=", "==", "<", ">"};
    double next;
    if (++r->depth > MOST_DEPTH)
        return wrong(r, "nested too deep");
    TW_TRY(addition(r, value));
    for (size_t i = 0; i < TW_COUNT(operators); i++) {
        if (!take(r, operators[i]))
            continue;
        TW_TRY(addition(r, &next));
        double a = *value, b = next;
        *value = i == 0 ? a <= b : i == 1 ? a >= b : i == 2 ? a == b : i == 3 ? a < b : a > b;
        break;
    }
    r->depth--;
    return TW_OK;
}

tw_status tw_evaluate(const tw_library *l, const char *text, tw_lookup *lookup, const void *data, double *value)
{
    reader r = {.library = l, .lookup = lookup, .data = data, .text = text, .at = text};
    TW_TRY(compare(&r, value));
    skip(&r);
    return *r.at ? wrong(&r, "expected an operator or the end") : TW_OK;
}
