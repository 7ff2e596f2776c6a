/* tw plan seed: every fact of the document that the model grew from, computed. */
#include <math.h>

#include "cli/measurements.h"
#include "cli/plan.h"
#include "machine/facts.h"

static void print_check(const tw_check *c, bool commands)
{
    char ours[48], off[32] = "";
    snprintf(ours, sizeof ours, "%.5g%s%s", c->ours, *c->unit ? " " : "", c->unit);
    if (!strcmp(c->kind, "claim") || !strcmp(c->kind, "data") || !strcmp(c->kind, "loose"))
        snprintf(ours, sizeof ours, "%s", c->ours != 0 ? "true" : "false");
    if (!isnan(c->off))
        snprintf(off, sizeof off, "%+.1f %%", 100 * c->off);
    printf("%-4s %c  %-66s %-14s %-16s %9s  %s\n", c->fact, c->verdict, c->says, c->given, ours, off, c->note);
    if (commands)
        printf("         tw machine eval '%s'\n", c->expression);
}

static void print_count(const tw_facts *f)
{
    int facts = 0, by[128] = {0};
    for (int i = 0; i < f->checks; i++) {
        bool seen = false;
        for (int k = 0; k < i && !seen; k++)
            seen = !strcmp(f->check[i].fact, f->check[k].fact);
        if (seen)
            continue;
        facts++;
        by[tw_fact_verdict(f, f->check[i].fact) & 127]++;
    }
    printf("\n%d facts in %d checks: %d reproduce (=), %d within rounding (~), %d do not add up in some way (!), %d "
           "forecasts "
           "(F), %d are data (-)\n",
           facts, f->checks, by['='], by['~'], by['!'], by['F'], by['-']);
    for (int i = 0; i < f->checks; i++)
        if (f->check[i].verdict != f->check[i].noted)
            printf("%s is noted as %c and came out as %c: %s\n", f->check[i].fact, f->check[i].noted,
                   f->check[i].verdict, f->check[i].says);
}

static tw_status write_table(const tw_facts *f, const char *path)
{
    tw_text text = {0};
    tw_text_add(&text, "fact\tverdict\tsays\tdocument\tours\tunit\trelative difference\tcommand\tnote\n");
    for (int i = 0; i < f->checks; i++) {
        const tw_check *c = &f->check[i];
        tw_text_add(&text, "%s\t%c\t%s\t%s\t%.9g\t%s\t", c->fact, c->verdict, c->says, c->given, c->ours, c->unit);
        if (!isnan(c->off))
            tw_text_add(&text, "%.6g", c->off);
        tw_text_add(&text, "\ttw machine eval '%s'\t%s\n", c->expression, c->note);
    }
    tw_status status = plan_write_file(path, &text);
    tw_text_free(&text);
    return status;
}

int cmd_plan_seed(int argc, char **argv)
{
    const char *only = NULL, *tsv = NULL;
    text_list with = {.count = 0}, settings = {.count = 0};
    bool commands = false;
    int given, code;
    const option options[] = {
        {"--commands", NULL, "under each fact, the command that computes it", OPTION_FLAG, &commands, 0, 0},
        {"--tsv", "FILE", "all of it as a table", OPTION_TEXT, &tsv, 0, 0},
        {"--set", "PATH=VALUE", "change a value of a description; may be given many times", OPTION_LIST, &settings, 0,
         0},
        {"--with", "FILE", "descriptions beside those that come with tw", OPTION_LIST, &with, 0, 0},
    };
    if (!plan_arguments("plan seed", "FACT",
                        "The facts of the document that the machine model grew from (links, C2C, money, road maps, "
                        "architectures,\nsystems): what it says, what comes out, how far off, and a verdict: = "
                        "reproduces, ~ within rounding, ! does not\nadd up, F a forecast, - data.",
                        options, TW_COUNT(options), argc, argv, &only, 0, 1, &given, &code))
        return code;
    const tw_embedded *measurements = &tw_embedded_measurements[0], *seed = &tw_embedded_measurements[2];
    tw_library *l = cli_library(&with);
    tw_facts f = {.arena = NULL};
    tw_status status = l ? cli_set(l, &settings) : tw_error_code();
    if (status == TW_OK)
        status = tw_facts_compute(l, seed->name, seed->text, seed->bytes, measurements->text, measurements->bytes, &f);
    if (status == TW_OK && !tsv) {
        printf("%-4s    %-66s %-14s %-16s %9s\n", "fact", "the document says", "its value", "ours", "off");
        for (int i = 0; i < f.checks; i++)
            if (!only || !strcmp(only, f.check[i].fact))
                print_check(&f.check[i], commands);
        if (!only)
            print_count(&f);
    }
    if (status == TW_OK && tsv)
        status = write_table(&f, tsv);
    if (f.arena)
        tw_facts_free(&f);
    tw_library_destroy(l);
    return status == TW_OK ? 0 : cli_fail("plan seed");
}
