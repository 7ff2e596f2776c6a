/* tw machine: what is described, what a description may say, and whether a file is right. */
#include <math.h>

#include "cli/cli.h"
#include "cli/machine.h"
#include "cli/measurements.h"
#include "machine/facts.h"

static int find_kind(const char *name)
{
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        if (!strcmp(tw_item_kind_name((tw_item_kind)k), name))
            return k;
    return -1;
}

static int list(tw_library *l, const char *kind)
{
    int only = kind ? find_kind(kind) : -1;
    if (kind && only < 0) {
        tw_error(TW_ERR_VALUE, "no kind is called '%s'; 'tw machine list' names all", kind);
        return cli_fail("machine list");
    }
    for (int k = 0; k < TW_ITEM_KINDS; k++) {
        if (k == TW_KIND_TIER || (kind && k != only))
            continue;
        printf("%s (%d):", tw_item_kind_name((tw_item_kind)k), tw_library_count(l, (tw_item_kind)k));
        for (int i = 0; i < tw_library_count(l, (tw_item_kind)k); i++)
            printf("%s%s", i ? ", " : " ", tw_library_at(l, (tw_item_kind)k, i)->name);
        printf("\n");
    }
    return 0;
}

static int show(tw_library *l, const char *name)
{
    tw_text text = {0};
    int found = 0;
    for (int k = 0; k < TW_ITEM_KINDS; k++) {
        const tw_description *item = k == TW_KIND_TIER ? NULL : tw_library_find(l, (tw_item_kind)k, name);
        if (item) {
            tw_item_print(l, (tw_item_kind)k, item, &text);
            found++;
        }
    }
    fputs(tw_text_string(&text), stdout);
    tw_text_free(&text);
    if (found)
        return 0;
    tw_error(TW_ERR_VALUE, "nothing is called '%.80s'; 'tw machine list' names everything", name);
    return cli_fail("machine show");
}

static int fields(const char *name)
{
    int kind = find_kind(name);
    tw_field_info f;
    if (kind < 0) {
        tw_error(TW_ERR_VALUE,
                 "no kind is called '%.80s'; expected process, memory, link, switch, package, fit, chip, machine, "
                 "tier, model, "
                 "economy or software",
                 name);
        return cli_fail("machine fields");
    }
    for (int i = 0; tw_schema_field((tw_item_kind)kind, i, &f); i++) {
        char low[48], high[48], range[128] = "";
        if (f.number)
            snprintf(range, sizeof range, "%s to %s", tw_quantity_text(f.low, f.dimension, low, sizeof low),
                     tw_quantity_text(f.high, f.dimension, high, sizeof high));
        printf("%-20s %-34s %s%s\n", f.key,
               f.number    ? range
               : f.choices ? f.choices
                           : "text",
               f.doc, f.required ? " (required)" : "");
    }
    return 0;
}

static int check(tw_library *l, int files, const char *const *file)
{
    int wrong = 0;
    for (int i = 0; i < files; i++) {
        if (tw_library_add_file(l, file[i]) == TW_OK)
            printf("%s: right\n", file[i]);
        else
            wrong += cli_fail("machine check");
    }
    return wrong != 0;
}

/* What tw plan seed computes, or anything else over descriptions and rows of measurements. */
static int evaluate(tw_library *l, const char *expression)
{
    const tw_embedded *rows = &tw_embedded_measurements[0];
    double value;
    if (tw_fact_evaluate(l, expression, rows->text, rows->bytes, &value) != TW_OK)
        return cli_fail("machine eval");
    printf("%.9g\n", value);
    return 0;
}

int cmd_machine(int argc, char **argv)
{
    if (argc > 0 && !strcmp(argv[0], "calibrate"))
        return cmd_machine_calibrate(argc - 1, argv + 1);
    const char *arguments[32];
    text_list with = {.count = 0};
    int given, code;
    const option options[] = {
        {"--with", "FILE", "descriptions beside those that come with tw", OPTION_LIST, &with, 0, 0}};
    if (!plan_arguments("machine",
                        "list [KIND] | show NAME | fields KIND | check FILE... | eval EXPRESSION | calibrate",
                        "Descriptions of chips, links, switches, machines and models: lists them, shows one with "
                        "the source of each value,\n"
                        "lists what a kind of description may say, checks files, computes with their values (see "
                        "src/machine/expression.h),\nand measures this machine (tw machine calibrate --help).",
                        options, TW_COUNT(options), argc, argv, arguments, 1, 32, &given, &code))
        return code;
    tw_library *l = cli_library(&with);
    if (!l)
        return cli_fail("machine");
    const char *what = arguments[0];
    if (!strcmp(what, "list"))
        code = list(l, given > 1 ? arguments[1] : NULL);
    else if (!strcmp(what, "show") && given > 1)
        code = show(l, arguments[1]);
    else if (!strcmp(what, "fields") && given > 1)
        code = fields(arguments[1]);
    else if (!strcmp(what, "check") && given > 1)
        code = check(l, given - 1, arguments + 1);
    else if (!strcmp(what, "eval") && given == 2)
        code = evaluate(l, arguments[1]);
    else {
        tw_error(TW_ERR_VALUE,
                 "'%.40s' with %d more; expected list [KIND], show NAME, fields KIND, check FILE..., eval EXPRESSION "
                 "or calibrate",
                 what, given - 1);
        code = cli_fail("machine");
    }
    tw_library_destroy(l);
    return code;
}
