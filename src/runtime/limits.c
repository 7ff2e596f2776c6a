/* The roof over every kernel: what this machine can compute and move, measured at the moment of asking, because other
 * programs, the clock and the cloud's neighbours change it. Each figure is the best of a few short runs: a limit is
 * what can be reached, not what usually is. */
#include <math.h>
#include <omp.h>

#include "base/os.h"
#include "runtime/runtime.h"

enum { RUNS = 5, ALIGNMENT = 64, BARRIERS = 5, LEAST_BARRIER_RUNS = 3 };
static const double RUN_NS = 1e6, BARRIERS_NS = 1e7;

typedef struct measurement {
    tw_kernel *kernel;
    void *buffer[3];
    char *scratch;
    int64_t scratch_stride, programs, repeats, work; /* programs of all threads, how often, and what one does */
    int threads;
    tw_status status;
} measurement;

/* Each thread does its own share again and again. The longest that one was busy: on a machine that others use too, how
 * late a thread wakes up for it says nothing about what it can do. */
static double run_ns(measurement *m)
{
    const tw_kernel_call call = {.grid = {m->programs, 1, 1}, .kernel = m->kernel};
    double longest = 1;
    int failed = 0;
#pragma omp parallel num_threads(m->threads) reduction(max : longest) reduction(| : failed)
    {
        int64_t thread = omp_get_thread_num(), first = m->programs * thread / m->threads;
        int64_t last = m->programs * (thread + 1) / m->threads;
#pragma omp barrier
        uint64_t start = tw_os_now_ns();
        for (int64_t i = 0; i < m->repeats; i++)
            failed |=
                m->kernel->run(m->buffer, NULL, &call, first, last, m->scratch + thread * m->scratch_stride) != TW_OK;
        longest = fmax(longest, (double)(tw_os_now_ns() - start));
    }
    if (failed)
        m->status = tw_error(TW_ERR_INTERNAL, "limits: a probe failed");
    return longest;
}

/* Work a ns, at its best, of runs that are long enough to be timed. */
static double best_rate(measurement *m)
{
    double best = 0;
    m->repeats = 1;
    for (int runs = 0; runs < RUNS && m->status == TW_OK;) {
        double ns = run_ns(m);
        best = fmax(best, (double)(m->work * m->programs * m->repeats) / ns);
        if (ns < RUN_NS)
            m->repeats *= 8;
        else
            runs++;
    }
    return best;
}

static bool add_scratch(measurement *m)
{
    m->scratch_stride = (tw_kernel_scratch_bytes(m->kernel, NULL) + 4095) / 4096 * 4096;
    m->scratch = tw_alloc_aligned((size_t)(m->scratch_stride * m->threads), ALIGNMENT);
    return m->scratch != NULL;
}

static tw_status measure_arithmetic(tw_limits *l, tw_dtype dtype)
{
    measurement m = {.threads = l->threads, .programs = l->threads};
    int64_t result; /* of tile programs; all programs write the same there */
    m.buffer[0] = &result;
    TW_TRY(tw_backend_probe(l->backend, TW_PROBE_ARITHMETIC, dtype, &m.kernel, &m.work));
    bool fine = add_scratch(&m);
    if (fine)
        l->operations_per_ns[dtype] = best_rate(&m);
    tw_free(m.scratch);
    tw_kernel_release(m.kernel);
    return fine ? m.status : TW_ERR_MEMORY;
}

static tw_status measure_stream(tw_limits *l)
{
    measurement m = {.threads = l->threads};
    char *memory = NULL;
    TW_TRY(tw_backend_probe(l->backend, TW_PROBE_STREAM, TW_F32, &m.kernel, &m.work));
    int64_t most = l->bytes[TW_LIMIT_LEVELS - 1] / m.work * m.work;
    bool fine = add_scratch(&m) && (memory = tw_alloc_aligned((size_t)most, ALIGNMENT)) != NULL;
    if (fine)
        memset(memory, 0, (size_t)most);
    for (int i = 0; i < TW_LIMIT_LEVELS && fine && m.status == TW_OK; i++) {
        m.programs = l->bytes[i] / m.work;
        for (int k = 0; k < 3; k++)
            m.buffer[k] = memory + m.programs * m.work / 3 * k;
        l->bytes_per_ns[i] = best_rate(&m);
    }
    tw_free(memory);
    tw_free(m.scratch);
    tw_kernel_release(m.kernel);
    return fine ? m.status : TW_ERR_MEMORY;
}

static double measure_barrier(int threads)
{
    double best = INFINITY;
    uint64_t begun = tw_os_now_ns();
    for (int run = 0; run < LEAST_BARRIER_RUNS || (double)(tw_os_now_ns() - begun) < BARRIERS_NS; run++) {
        uint64_t start = 0, end = 0;
#pragma omp parallel num_threads(threads)
        {
#pragma omp barrier
            if (omp_get_thread_num() == 0)
                start = tw_os_now_ns();
            for (int i = 0; i < BARRIERS; i++) {
#pragma omp barrier
            }
            if (omp_get_thread_num() == 0)
                end = tw_os_now_ns();
        }
        best = fmin(best, (double)(end - start) / BARRIERS);
    }
    return best;
}

tw_status tw_limits_measure(tw_limits *l)
{
    static const tw_dtype measured[] = {TW_F32, TW_F64, TW_I32, TW_I64};
    static const int64_t bytes[TW_LIMIT_LEVELS] = {96 << 10, 768 << 10, 6 << 20, 24 << 20, 96 << 20};
    *l = (tw_limits){.threads = tw_num_threads()};
    TW_TRY(tw_backend_chosen(&l->backend));
    for (size_t i = 0; i < TW_COUNT(measured); i++)
        TW_TRY(measure_arithmetic(l, measured[i]));
    l->operations_per_ns[TW_F16] = l->operations_per_ns[TW_BF16] = l->operations_per_ns[TW_F32];
    l->operations_per_ns[TW_U8] = l->operations_per_ns[TW_BOOL] = l->operations_per_ns[TW_I32];
    memcpy(l->bytes, bytes, sizeof bytes);
    TW_TRY(measure_stream(l));
    l->barrier_ns = measure_barrier(l->threads);
    return TW_OK;
}

double tw_limits_bandwidth(const tw_limits *l, int64_t bytes)
{
    int i = 0;
    while (i < TW_LIMIT_LEVELS && l->bytes[i] < bytes)
        i++;
    if (i == 0 || i == TW_LIMIT_LEVELS)
        return l->bytes_per_ns[i ? i - 1 : 0];
    double from = log((double)l->bytes[i - 1]), to = log((double)l->bytes[i]);
    double share = (log((double)bytes) - from) / (to - from);
    return l->bytes_per_ns[i - 1] * (1 - share) + l->bytes_per_ns[i] * share;
}
