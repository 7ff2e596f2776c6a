/* tw tile: kernels of the tile language from the shell. This file: parse, and which subcommand it is. */
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "cli/cli.h"
#include "cli/tile.h"

tw_status cli_tile_add(tw_lang *l, const char *path)
{
    void *text = NULL;
    size_t bytes = 0;
    TW_TRY(tw_os_read_file(path, (size_t)17 << 20, &text, &bytes));
    tw_status status = tw_lang_add(l, path, text, bytes);
    tw_free(text);
    return status;
}

static int parse_files(const text_list *files)
{
    tw_lang *l = tw_lang_create(NULL);
    int failed = 0, fine = 0;
    if (!l)
        return cli_fail("tile parse");
    for (int i = 0; i < files->count; i++) {
        if (cli_tile_add(l, files->item[i]) == TW_OK)
            continue;
        printf("error\t%s:1\t-\t%s\n", files->item[i], tw_error_message());
        failed++;
    }
    if (tw_lang_check_all(l) != TW_OK) {
        tw_lang_destroy(l);
        return cli_fail("tile parse");
    }
    for (int i = 0; i < tw_lang_kernel_count(l); i++) {
        const tw_lang_kernel *k = tw_lang_kernel_at(l, i);
        if (k->reason) {
            printf("error\t%s:%d\t%s\t%s\n", k->file, k->reason_line, k->name, k->reason);
            fprintf(stderr, "%s: %s\n%s", k->name, k->reason, k->context);
            failed++;
        } else {
            printf("ok\t%s:%d\t%s\t\n", k->file, k->line, k->name);
            fine++;
        }
    }
    printf("%d ok, %d failed\n", fine, failed);
    tw_lang_destroy(l);
    return failed > 0;
}

static int cmd_parse(int argc, char **argv)
{
    text_list files = {.count = 0};
    int code;
    const command_line line = {
        .name = "tile parse",
        .about = "Parses every @triton.jit function of the files and prints a line for each: ok or error,\n"
                 "file:line, kernel, reason, with tabs between; last the numbers of both. Where and why stands on\n"
                 "standard error. Files given together may import from each other.",
        .operand = "FILE",
        .given = &files,
        .least = 1,
        .most = TILE_MOST_FILES};
    return cli_parse(&line, argc, argv, &code) ? parse_files(&files) : code;
}

static const cli_command commands[] = {
    {"parse", "parse kernels, a line for each", cmd_parse},
    {"compile", "compile one kernel and print it", tile_cmd_compile},
    {"run", "run a kernel on .npy arrays", tile_cmd_run},
    {"bench", "time it", tile_cmd_bench},
    {"check", "run it and find wrong accesses, races, NaN", tile_cmd_check},
    {"step", "step through it", tile_cmd_step},
};

int cmd_tile(int argc, char **argv)
{
    return cli_dispatch("tile", commands, TW_COUNT(commands), "", argc, argv);
}
