/* tw ops, tw devices. */
#include "cli/cli.h"

#include "base/os.h"
#include "codegen/codegen.h"
#include "ops/graph_ops.h"
#include "runtime/runtime.h"
#include "tile/tile_ops.h"

static int count(const tw_op_table *table, tw_level level)
{
    int n = 0;
    for (int i = 0; i < table->count; i++)
        n += table->ops[i].level == level;
    return n;
}

static void list(const tw_op_table *table, tw_level level, const char *title)
{
    printf("%s\n", title);
    for (int i = 0; i < table->count; i++) {
        const tw_op_info *op = &table->ops[i];
        char left[96];
        int n = snprintf(left, sizeof left, "%s(", op->name);
        if (op->level != level)
            continue;
        for (int k = 0; k < op->operands; k++)
            n += snprintf(left + n, sizeof left - (size_t)n, "%s%s%s", k ? ", " : "", op->operand_names[k],
                          op->variadic && k == op->operands - 1 ? "..."
                          : k >= op->operands - op->optional    ? "?"
                                                                : "");
        printf("  %s)%*s %s\n", left, TW_MAX(34 - n, 1), "", op->doc);
    }
}

int cmd_ops(int argc, char **argv)
{
    bool summary = false;
    int code;
    const option options[] = {{"--summary", NULL, "count them only", OPTION_FLAG, &summary, 0, 0}};
    const command_line line = {.name = "ops",
                               .about =
                                   "Lists the operations: composites (what users call), primitives, tile operations.",
                               .options = options,
                               .count = TW_COUNT(options)};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    if (!summary) {
        list(&tw_graph_table, TW_LEVEL_COMPOSITE, "composites");
        list(&tw_graph_table, TW_LEVEL_PRIMITIVE, "primitives");
        list(&tw_tile_table, TW_LEVEL_TILE, "tile operations");
    }
    printf("composite %d · primitive %d · tile %d\n", count(&tw_graph_table, TW_LEVEL_COMPOSITE),
           count(&tw_graph_table, TW_LEVEL_PRIMITIVE), count(&tw_tile_table, TW_LEVEL_TILE));
    return 0;
}

int cmd_devices(int argc, char **argv)
{
    int code;
    const command_line line = {.name = "devices", .about = "Says what this machine offers."};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    const tw_host_target *t = tw_host_target_get();
    const tw_backend *backend;
    tw_text names = {0};
    if (tw_backend_chosen(&backend) != TW_OK)
        return cli_fail("devices");
    printf("host: %s, %d cores, vectors of %d bytes, %d registers%s%s%s, %.1f GiB of memory\n", t->cpu, tw_os_cores(),
           t->vector_bytes, t->vector_registers, t->fma ? ", fma" : "", t->bf16_dot ? ", bf16 dot" : "",
           t->int8_dot ? ", int8 dot" : "", (double)tw_os_memory_bytes() / (1 << 30));
    printf("threads: %d (TW_THREADS)\n", tw_num_threads());
    tw_backend_names(&names);
    printf("back end: %s (TW_BACKEND), of %s\n", backend->name, tw_text_string(&names));
    tw_text_free(&names);
    return 0;
}
