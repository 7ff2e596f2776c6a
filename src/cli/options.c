/* Options by table. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>

int cli_fail(const char *command)
{
    fprintf(stderr, "tw %s: %s\n", command, *tw_error_message() ? tw_error_message() : "failed");
    return 1;
}

/* The arguments that are no options: how many there may be, and those found so far. */
typedef struct arguments {
    const char *names; /* for the usage line */
    const char **at;
    int least, most, given;
} arguments;

static void print_help(const char *command, const char *about, const option *options, int count, const arguments *a)
{
    printf("usage: tw %s [options]%s%s\n\n%s\n\noptions:\n", command, a->most ? " " : "", a->names, about);
    for (int i = 0; i < count; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", options[i].name, options[i].argument ? options[i].argument : "");
        printf("  %-22s %s\n", left, options[i].help);
    }
    printf("  %-22s %s\n", "--help", "say this");
}

static bool set(const char *command, const option *o, const char *value)
{
    char *end = NULL;
    double number;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->to = true;
        return true;
    case OPTION_TEXT:
        *(const char **)o->to = value;
        return true;
    case OPTION_TEXTS: {
        option_texts *many = o->to;
        if (many->count == OPTION_TEXTS_MOST) {
            fprintf(stderr, "tw %s: %s is given more than %d times\n", command, o->name, OPTION_TEXTS_MOST);
            return false;
        }
        many->text[many->count++] = value;
        return true;
    }
    case OPTION_INT:
    case OPTION_FLOAT:
        number = o->kind == OPTION_INT ? (double)strtoll(value, &end, 10) : strtod(value, &end);
        if (end == value || *end || isnan(number) || number < o->low || number > o->high) {
            fprintf(stderr, "tw %s: %s '%s'; expected %s from %g to %g\n", command, o->name, value,
                    o->kind == OPTION_INT ? "a whole number" : "a number", o->low, o->high);
            return false;
        }
        if (o->kind == OPTION_INT)
            *(int64_t *)o->to = (int64_t)number;
        else
            *(double *)o->to = number;
        return true;
    }
    return false;
}

static bool parse(const char *command, const char *about, const option *options, int count, int argc, char **argv,
                  arguments *a, int *code)
{
    *code = 2;
    for (int i = 0; i < argc; i++) {
        const option *found = NULL;
        size_t length = strcspn(argv[i], "=");
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_help(command, about, options, count, a);
            *code = 0;
            return false;
        }
        for (int k = 0; k < count; k++)
            if (strlen(options[k].name) == length && !strncmp(options[k].name, argv[i], length))
                found = &options[k];
        if (!found && a->given < a->most && (argv[i][0] != '-' || !argv[i][1])) {
            a->at[a->given++] = argv[i];
            continue;
        }
        if (!found) {
            fprintf(stderr, "tw %s: unknown option '%s'; tw %s --help lists them\n", command, argv[i], command);
            return false;
        }
        const char *value = argv[i][length] == '=' ? argv[i] + length + 1 : NULL;
        if (found->kind != OPTION_FLAG && !value) {
            if (i + 1 == argc) {
                fprintf(stderr, "tw %s: %s needs a value\n", command, found->name);
                return false;
            }
            value = argv[++i];
        }
        if (!set(command, found, value))
            return false;
    }
    if (a->given < a->least) {
        fprintf(stderr, "tw %s: no %s given; tw %s --help says more\n", command, a->names, command);
        return false;
    }
    return true;
}

bool cli_parse(const char *command, const char *about, const option *options, int count, int argc, char **argv,
               int *code)
{
    arguments a = {.names = ""};
    return parse(command, about, options, count, argc, argv, &a, code);
}

bool cli_parse_file(const char *command, const char *about, const option *options, int count, int argc, char **argv,
                    const char **file, int *code)
{
    arguments a = {.names = "FILE", .at = file, .least = 1, .most = 1};
    *file = NULL;
    return parse(command, about, options, count, argc, argv, &a, code);
}

bool cli_parse_arguments(const char *command, const char *names, const char *about, const option *options, int count,
                         int argc, char **argv, const char **at, int least, int most, int *given, int *code)
{
    arguments a = {.names = names, .at = at, .least = least, .most = most};
    bool going_on = parse(command, about, options, count, argc, argv, &a, code);
    *given = a.given;
    return going_on;
}

bool cli_parse_optional_file(const char *command, const char *about, const option *options, int count, int argc,
                             char **argv, const char **file, int *code)
{
    arguments a = {.names = "[FILE]", .at = file, .most = 1};
    *file = NULL;
    return parse(command, about, options, count, argc, argv, &a, code);
}
