/* tw plan: the best parallel plan of a model on a machine. */
#include "cli/cli.h"
#include "cli/machine.h"

tw_library *cli_library(const option_texts *with)
{
    tw_library *l = tw_library_create();
    for (int i = 0; l && i < with->count; i++)
        if (tw_library_add_file(l, with->text[i]) != TW_OK) {
            tw_library_destroy(l);
            return NULL;
        }
    return l;
}

tw_status cli_set(tw_library *l, const option_texts *settings)
{
    for (int i = 0; i < settings->count; i++) {
        char path[256];
        size_t n = strcspn(settings->text[i], "=");
        if (settings->text[i][n] != '=' || n >= sizeof path)
            return tw_error(TW_ERR_VALUE, "--set '%.80s'; expected kind.name.key=value, as in chip.H100.tdp=700 W",
                            settings->text[i]);
        snprintf(path, sizeof path, "%.*s", (int)n, settings->text[i]);
        TW_TRY(tw_library_set(l, path, settings->text[i] + n + 1));
    }
    return TW_OK;
}

int cmd_plan(int argc, char **argv)
{
    if (argc > 0 && !strcmp(argv[0], "validate"))
        return cmd_plan_validate(argc - 1, argv + 1);
    return 2;
}
