/* seeds FOLDER COUNT: random graphs and the tile programs that they become, one a file, as fuzz_parse.c
 * takes them: for make fuzz to begin with. */
#include <stdio.h>
#include <stdlib.h>

#include "schedule/schedule.h"
#include "simplify/simplify.h"
#include "support/random_graph.h"
#include "tile/tile_ops.h"

static bool write_text(const tw_graph *g, const char *folder, unsigned long seed, int kernel)
{
    char path[1024];
    tw_text text = {0};
    if (g->table == &tw_tile_table)
        tw_text_add(&text, "!");
    tw_graph_print(g, &text);
    snprintf(path, sizeof path, "%s/random%lu.%d", folder, seed, kernel);
    FILE *f = fopen(path, "wb");
    bool fine = f && !text.failed && fwrite(tw_text_string(&text), 1, text.count, f) == text.count;
    fine = (!f || fclose(f) == 0) && fine;
    tw_text_free(&text);
    return fine;
}

static bool write_seed(const char *folder, unsigned long seed)
{
    tw_graph *g = random_graph(seed);
    tw_plan *plan = NULL;
    bool changed, fine = g && write_text(g, folder, seed, -1);
    fine = fine && tw_pass_simplify(&g, &changed) == TW_OK;
    if (fine && tw_schedule(g, &(tw_schedule_options){.threads = 2}, &plan) == TW_OK)
        for (int k = 0; k < plan->kernels && fine; k++)
            fine = write_text(plan->kernel[k].program, folder, seed, k);
    tw_plan_destroy(plan);
    tw_graph_destroy(g);
    return fine;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (unsigned long seed = 1; seed <= strtoul(argv[2], NULL, 10); seed++) {
        if (!write_seed(argv[1], seed)) {
            fprintf(stderr, "seed %lu: %s\n", seed, tw_error_message());
            return 1;
        }
    }
    return 0;
}
