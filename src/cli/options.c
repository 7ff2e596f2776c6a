/* Options by table. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>

int cli_fail(const char *command)
{
    fprintf(stderr, "tw %s: %s\n", command, *tw_error_message() ? tw_error_message() : "failed");
    return CLI_FAILED;
}

static bool refuse(const command_line *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(const command_line *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "tw %s: ", c->name);
    vfprintf(stderr, format, list);
    fprintf(stderr, "; tw %s --help says more\n", c->name);
    va_end(list);
    return false;
}

/* ---- what was meant ---- */

/* Edits that make one text of the other: a letter more, less or changed, or two neighbours swapped. */
static int distance(const char *a, const char *b)
{
    enum { MOST = 32 };
    int row[3][MOST + 1], n = (int)strlen(a), m = (int)strlen(b);
    if (n > MOST || m > MOST)
        return MOST;
    for (int i = 0; i <= n; i++) {
        int *now = row[i % 3], *above = row[(i + 2) % 3], *two_above = row[(i + 1) % 3];
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                now[j] = i + j;
                continue;
            }
            now[j] = TW_MIN(TW_MIN(above[j], now[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = TW_MIN(now[j], two_above[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

const char *cli_nearest(const char *text, const char *const *names, int count)
{
    const char *nearest = NULL;
    int best = 0;
    for (int i = 0; i < count; i++) {
        int d = strlen(text) > 3 && !strncmp(names[i], text, strlen(text)) ? 0 : distance(text, names[i]);
        if (!nearest || d < best) {
            nearest = names[i];
            best = d;
        }
    }
    return nearest && best <= TW_MAX((int)strlen(nearest) / 3, 1) ? nearest : NULL;
}

static bool refuse_unknown(const command_line *c, const char *argument)
{
    const char *names[64], *nearest;
    char name[64];
    int count = 0;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(argument, "="), argument);
    for (int i = 0; i < c->count && count < (int)TW_COUNT(names) - 1; i++)
        names[count++] = c->options[i].name;
    names[count++] = "--help";
    if (*argument != '-')
        return c->operand ? refuse(c, "'%s' is one %s too many", argument, c->operand)
                          : refuse(c, "unexpected '%s'; it takes options only", argument);
    if ((nearest = cli_nearest(name, names, count)))
        return refuse(c, "unknown option '%s' (did you mean %s?)", name, nearest);
    return refuse(c, "unknown option '%s'", name);
}

/* ---- values ---- */

/* "64M", "1.5GB", "512Ki": decimal prefixes, and binary ones with an i. */
static double parse_bytes(const char *text, char **end)
{
    static const char prefixes[] = "kMGT";
    double number = strtod(text, end);
    const char *prefix = **end ? strchr(prefixes, **end == 'K' ? 'k' : **end) : NULL;
    if (*end == text)
        return NAN;
    if (prefix) {
        bool binary = *++*end == 'i';
        *end += binary;
        number *= pow(binary ? 1024 : 1000, (double)(prefix - prefixes + 1));
    }
    *end += **end == 'B';
    return floor(number);
}

static bool set_number(const command_line *c, const option *o, const char *value)
{
    static const char *const kinds[] = {[OPTION_INT] = "a whole number",
                                        [OPTION_FLOAT] = "a number",
                                        [OPTION_BYTES] = "a size in bytes (64M, 1.5G, 512Mi)"};
    char *end = NULL;
    double number = o->kind == OPTION_INT     ? (double)strtoll(value, &end, 10)
                    : o->kind == OPTION_BYTES ? parse_bytes(value, &end)
                                              : strtod(value, &end);
    if (end == value || *end || isnan(number) || number < o->low || number > o->high)
        return refuse(c, "%s '%s'; expected %s from %g to %g", o->name, value, kinds[o->kind], o->low, o->high);
    if (o->kind == OPTION_FLOAT)
        *(double *)o->to = number;
    else
        *(int64_t *)o->to = (int64_t)number;
    return true;
}

static bool append(const command_line *c, text_list *list, const char *what, const char *value)
{
    if (list->count == (int)TW_COUNT(list->item))
        return refuse(c, "more than %d times %s", (int)TW_COUNT(list->item), what);
    list->item[list->count++] = value;
    return true;
}

static bool set(const command_line *c, const option *o, const char *value)
{
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->to = true;
        return !value || refuse(c, "%s takes no value; '%s' was given", o->name, value);
    case OPTION_TEXT:
        *(const char **)o->to = value;
        return true;
    case OPTION_LIST:
        return append(c, o->to, o->name, value);
    case OPTION_INT:
    case OPTION_FLOAT:
    case OPTION_BYTES:
        return set_number(c, o, value);
    }
    return false;
}

/* ---- the line ---- */

void cli_print_arguments(const command_line *c)
{
    printf("%s", c->count ? " [options]" : "");
    if (c->operand)
        printf(" %s%s%s%s", c->least ? "" : "[", c->operand, c->most > 1 && !strchr(c->operand, ' ') ? "..." : "",
               c->least ? "" : "]");
}

static void print_help(const command_line *c)
{
    int width = 6;
    for (int i = 0; i < c->count; i++) {
        const option *o = &c->options[i];
        width = TW_MAX(width, (int)strlen(o->name) + (o->argument ? 1 + (int)strlen(o->argument) : 0));
    }
    printf("usage: tw %s", c->name);
    cli_print_arguments(c);
    printf("\n\n%s\n\noptions:\n", c->about);
    for (int i = 0; i < c->count; i++) {
        const option *o = &c->options[i];
        int left = printf("  %s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("%*s%s\n", width + 4 - left, "", o->help);
    }
    printf("  --help%*ssay this\n", width - 4, "");
}

static const option *find(const command_line *c, const char *argument)
{
    size_t length = strcspn(argument, "=");
    for (int i = 0; i < c->count; i++)
        if (strlen(c->options[i].name) == length && !strncmp(c->options[i].name, argument, length))
            return &c->options[i];
    return NULL;
}

static bool take(const command_line *c, int argc, char **argv, int *i)
{
    const char *argument = argv[*i], *equals = strchr(argument, '=');
    const option *o = find(c, argument);
    if (!o && c->operand && (argument[0] != '-' || !argument[1]) && c->given->count < c->most)
        return append(c, c->given, c->operand, argument);
    if (!o)
        return refuse_unknown(c, argument);
    if (o->kind == OPTION_FLAG || equals)
        return set(c, o, equals ? equals + 1 : NULL);
    if (*i + 1 == argc)
        return refuse(c, "%s needs a value (%s)", o->name, o->argument);
    return set(c, o, argv[++*i]);
}

bool cli_parse(const command_line *c, int argc, char **argv, int *code)
{
    *code = 0;
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_help(c);
            return false;
        }
    if (argc == 1 && !strcmp(argv[0], "--man")) {
        manual_print_command(c);
        return false;
    }
    *code = CLI_USAGE;
    for (int i = 0; i < argc; i++)
        if (!take(c, argc, argv, &i))
            return false;
    if (c->operand && c->given->count < c->least)
        return refuse(c, "no %s given", c->operand);
    return true;
}

/* ---- commands ---- */

static void print_usage(const char *group, const cli_command *commands, int count, const char *after, FILE *to)
{
    fprintf(to, "usage: tw%s%s COMMAND [options]\n\ncommands:\n", *group ? " " : "", group);
    for (int i = 0; i < count; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(to, "\ntw%s%s COMMAND --help says more%s\n", *group ? " " : "", group, after);
}

int cli_dispatch(const char *group, const cli_command *commands, int count, const char *after, int argc, char **argv)
{
    const char *names[32], *nearest, *space = *group ? " " : "";
    if (argc < 1) {
        print_usage(group, commands, count, after, stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h") || !strcmp(argv[0], "help")) {
        print_usage(group, commands, count, after, stdout);
        if (!*group)
            manual_settings(stdout);
        return 0;
    }
    if (argc == 1 && !strcmp(argv[0], "--man")) {
        for (int i = 0; i < count; i++)
            commands[i].run(argc, argv);
        return 0;
    }
    for (int i = 0; i < count; i++)
        if (!strcmp(argv[0], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    for (int i = 0; i < count && i < (int)TW_COUNT(names); i++)
        names[i] = commands[i].name;
    nearest = cli_nearest(argv[0], names, TW_MIN(count, (int)TW_COUNT(names)));
    fprintf(stderr, "tw%s%s: unknown %s '%s'%s%s%s; tw%s%s --help lists them\n", space, group,
            *argv[0] == '-' ? "option" : "command", argv[0], nearest ? " (did you mean " : "", nearest ? nearest : "",
            nearest ? "?)" : "", space, group);
    return CLI_USAGE;
}
