/* tw tile bench: how long a kernel takes, beside what the machine can do. */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/os.h"
#include "cli/tile.h"
#include "runtime/launch.h"
#include "runtime/runtime.h"

enum { MOST_RUNS = 2000, LEAST_RUNS = 5 };
static const double RUN_FOR_NS = 1e9;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* *busy_ns: the least that all threads together worked on one launch; on a machine with other work it says more. */
static tw_status measure(tw_launcher *l, const tile_request *r, const int64_t *word, double *ns, int *runs,
                         double *busy_ns)
{
    uint64_t begun = tw_os_now_ns();
    *busy_ns = INFINITY;
    for (*runs = 0; *runs < MOST_RUNS;) {
        uint64_t start = tw_os_now_ns();
        clock_t worked = clock();
        TW_TRY(tw_launcher_run(l, r->grid, word, NULL));
        *busy_ns = fmin(*busy_ns, (double)(clock() - worked) * (1e9 / CLOCKS_PER_SEC));
        ns[(*runs)++] = (double)(tw_os_now_ns() - start);
        if (*runs >= LEAST_RUNS && (double)(tw_os_now_ns() - begun) > RUN_FOR_NS)
            break;
    }
    qsort(ns, (size_t)*runs, sizeof *ns, by_size);
    return TW_OK;
}

static int64_t bytes_of_arrays(const tile_request *r)
{
    int64_t bytes = 0;
    for (int i = 0; i < r->args; i++)
        bytes += r->arg[i].data.data ? r->arg[i].data.count * (int64_t)tw_dtype_size(r->arg[i].data.dtype) : 0;
    return bytes;
}

static tw_status report(const tile_request *r, double compile_ms, const double *ns, int runs, double busy_ns)
{
    double median = ns[runs / 2], bytes = (double)bytes_of_arrays(r), flops = r->flops;
    tw_limits limits;
    TW_TRY(tw_limits_measure(&limits));
    double bandwidth = tw_limits_bandwidth(&limits, (int64_t)bytes), peak = limits.operations_per_ns[TW_F32];
    printf("compiled in   %10.2f ms\n", compile_ms);
    printf("median        %10.4f ms of %d launches, best %.4f, %d threads\n", median * 1e-6, runs, ns[0] * 1e-6,
           limits.threads);
    printf("work          %10.4f ms of one thread, at its best\n", busy_ns * 1e-6);
    printf("arrays once   %10.2f GB/s, %.0f %% of %.2f\n", bytes / median, 100 * bytes / median / bandwidth, bandwidth);
    if (flops > 0)
        printf("arithmetic    %10.2f GFLOP/s, %.0f %% of %.2f (f32)\n", flops / median, 100 * flops / median / peak,
               peak);
    return TW_OK;
}

static tw_status bench(tile_request *r)
{
    tw_tile_buffer buffer[TILE_MOST_ARGS];
    tw_tile_argument argument[TILE_MOST_ARGS * 8];
    int64_t word[TILE_MOST_ARGS * 8];
    tw_tile_run run;
    int buffers, runs = 0;
    double busy_ns = 0, *ns = tw_alloc(MOST_RUNS * sizeof *ns);
    tw_launcher *l = NULL;
    TW_TRY(tile_load(r));
    uint64_t start = tw_os_now_ns();
    TW_TRY(tile_compile(r));
    TW_TRY(tile_bind(r, buffer, &buffers, argument, &run));
    tile_words(r, buffer, argument, word);
    const tw_launch_options options = {.general = r->general};
    tw_status status = ns ? tw_launcher_create(r->program.graph, &options, &l) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_launcher_prepare(l, word);
    double compile_ms = (double)(tw_os_now_ns() - start) * 1e-6;
    if (status == TW_OK)
        status = measure(l, r, word, ns, &runs, &busy_ns);
    if (status == TW_OK)
        status = report(r, compile_ms, ns, runs, busy_ns);
    tw_launcher_destroy(l);
    tw_free(ns);
    return status;
}

int tile_cmd_bench(int argc, char **argv)
{
    tile_request *r = tw_alloc_zero(1, sizeof *r);
    int code = 1;
    if (!r ||
        !tile_parse(r, "bench",
                    "Launches a kernel again and again for a second and says how long one launch takes, how fast\n"
                    "it moves its arrays and, with --flops, how fast it computes; both beside this machine's limit.",
                    true, argc, argv, &code)) {
        tw_free(r);
        return code;
    }
    code = bench(r) == TW_OK ? 0 : tile_fail(r, "bench");
    tile_free(r);
    return code;
}
