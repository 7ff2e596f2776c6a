/* One operation, again and again: our side of the suites gemm, attention and memory-bound.
 *
 *   tw_operations NAME SIZE...      "step": runs it, answers "MS"; the names and their sizes are in the table below
 *   tw_operations bandwidth R W     prints GB/s of a loop that reads R arrays and writes W, larger than the caches
 *
 * The first answers include the compilation. Inputs are random and made once; results are thrown away. */
#include <immintrin.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"
#include "capture/capture.h"
#include "tilewright/ops.h"

#define LIST(...)                                                                                                      \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

enum { MOST_INPUTS = 4, MOST_SIZES = 6 };

static void fail(const char *what)
{
    fprintf(stderr, "tw_operations: %s: %s\n", what, tw_error_message());
    exit(1);
}

typedef struct work {
    int64_t size[MOST_SIZES];
    tw_tensor *in[MOST_INPUTS];
    int inputs;
} work;

static tw_tensor *input(work *w, tw_tensor *t)
{
    if (tw_sync() != TW_OK || tw_tensor_status(t) != TW_OK)
        fail("an input");
    return w->in[w->inputs++] = tw_keep(t);
}

/* ---- products: M N K BATCH ---- */

static void make_matmul(work *w, tw_dtype dtype)
{
    int64_t m = w->size[0], n = w->size[1], k = w->size[2], batch = w->size[3];
    input(w, tw_cast(tw_randn(LIST(batch, m, k), TW_F32), dtype));
    input(w, tw_cast(tw_randn(LIST(batch, k, n), TW_F32), dtype));
}

static void make_matmul_f32(work *w)
{
    make_matmul(w, TW_F32);
}

static void make_matmul_bf16(work *w)
{
    make_matmul(w, TW_BF16);
}

static tw_tensor *run_matmul(work *w)
{
    return tw_matmul(w->in[0], w->in[1]);
}

/* ---- rows: ROWS COLUMNS ---- */

static void make_rows(work *w)
{
    input(w, tw_randn(LIST(w->size[0], w->size[1]), TW_F32));
    input(w, tw_randn(LIST(w->size[1]), TW_F32));
    input(w, tw_randn(LIST(w->size[1]), TW_F32));
    input(w, tw_randint(0, w->size[1], LIST(w->size[0]), TW_I64));
}

static tw_tensor *run_softmax(work *w)
{
    return tw_softmax(w->in[0], -1);
}

static tw_tensor *run_layer_norm(work *w)
{
    return tw_layer_norm(w->in[0], w->in[1], w->in[2], 1, 1e-5);
}

static tw_tensor *run_rms_norm(work *w)
{
    return tw_rms_norm(w->in[0], w->in[1], 1, 1e-5);
}

static tw_tensor *run_gelu(work *w)
{
    return tw_gelu(w->in[0]);
}

static tw_tensor *run_cross_entropy(work *w)
{
    return tw_cross_entropy(w->in[0], w->in[3]);
}

/* ---- [BATCH, HEADS, TIME, DIM] ---- */

static void make_rotary(work *w)
{
    int64_t t = w->size[2], d = w->size[3];
    input(w, tw_randn(LIST(w->size[0], w->size[1], t, d), TW_F32));
    input(w, tw_randn(LIST(t, d), TW_F32));
    input(w, tw_randn(LIST(t, d), TW_F32));
}

static tw_tensor *run_rotary(work *w)
{
    return tw_rotary(w->in[0], w->in[1], w->in[2]);
}

static void make_attention(work *w)
{
    for (int i = 0; i < 3; i++)
        tw_requires_grad(input(w, tw_randn(LIST(w->size[0], w->size[1], w->size[2], w->size[3]), TW_F32)), true);
}

static tw_tensor *run_attention(work *w)
{
    bool before = tw_set_grad_enabled(false);
    tw_tensor *y = tw_attention(w->in[0], w->in[1], w->in[2], NULL, true, 0);
    tw_set_grad_enabled(before);
    return y;
}

static tw_tensor *run_attention_backward(work *w)
{
    tw_tensor *y = tw_attention(w->in[0], w->in[1], w->in[2], NULL, true, 0);
    if (tw_backward(y, tw_detach(w->in[0])) != TW_OK)
        fail("backward");
    tw_tensor *last = NULL;
    for (int i = 0; i < 3; i++)
        last = tw_grad_of(w->in[i]);
    return last;
}

static const struct {
    const char *name;
    int sizes;
    void (*make)(work *);
    tw_tensor *(*run)(work *);
} cases[] = {
    {"matmul", 4, make_matmul_f32, run_matmul},
    {"matmul-bf16", 4, make_matmul_bf16, run_matmul},
    {"softmax", 2, make_rows, run_softmax},
    {"layer-norm", 2, make_rows, run_layer_norm},
    {"rms-norm", 2, make_rows, run_rms_norm},
    {"gelu", 2, make_rows, run_gelu},
    {"cross-entropy", 2, make_rows, run_cross_entropy},
    {"rotary", 4, make_rotary, run_rotary},
    {"attention", 4, make_attention, run_attention},
    {"attention-backward", 4, make_attention, run_attention_backward},
};

static int answer(work *w, tw_tensor *(*run)(work *))
{
    char line[64];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && !strcmp(line, "step\n")) {
        uint64_t start = tw_os_now_ns();
        TW_SCOPE {
            tw_tensor *y = run(w);
            if (tw_tensor_status(y) != TW_OK || tw_sync() != TW_OK)
                fail("step");
        }
        printf("%.6f\n", (double)(tw_os_now_ns() - start) * 1e-6);
        fflush(stdout);
        for (int i = 0; i < w->inputs; i++)
            tw_zero_grad(w->in[i]);
    }
    for (int i = 0; i < w->inputs; i++)
        tw_release(w->in[i]);
    tw_scope_end_all();
    return 0;
}

/* ---- the machine's bandwidth for a mix of reads and writes ---- */

enum { ARRAY = 16 << 20, MOST_ARRAYS = 4, ROUNDS = 7 }; /* elements of f32: 64 MB */

/* Written past the caches, as what is too large for them is written best. */
__attribute__((target("avx2"))) static void stream(float *const *a, int reads, int writes, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i += 8) {
        __m256 sum = _mm256_setzero_ps();
        for (int r = 0; r < reads; r++)
            sum = _mm256_add_ps(sum, _mm256_load_ps(a[r] + i));
        for (int w = 0; w < writes; w++)
            _mm256_stream_ps(a[reads + w] + i, sum);
        if (!writes && sum[0] == 1e30f)
            a[0][i] = 0; /* what is only read must be used */
    }
    _mm_sfence();
}

static int bandwidth(int reads, int writes)
{
    float *a[MOST_ARRAYS];
    if (reads < 0 || writes < 0 || reads + writes < 1 || reads + writes > MOST_ARRAYS)
        return 2;
    int threads = tw_num_threads();
    double best = 0;
    for (int i = 0; i < reads + writes; i++)
        if (!(a[i] = tw_alloc_aligned((size_t)ARRAY * sizeof(float), 64)))
            fail("bandwidth");
        else
            memset(a[i], 0, (size_t)ARRAY * sizeof(float));
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = tw_os_now_ns();
#pragma omp parallel num_threads(threads)
        {
            int64_t share = ARRAY / 64 / threads * 64, t = omp_get_thread_num();
            stream(a, reads, writes, t * share, t == threads - 1 ? ARRAY : (t + 1) * share);
        }
        best = fmax(best, (double)(reads + writes) * ARRAY * sizeof(float) / (double)(tw_os_now_ns() - start));
    }
    printf("%.2f\n", best);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "bandwidth"))
        return bandwidth(atoi(argv[2]), atoi(argv[3]));
    for (size_t i = 0; argc > 1 && i < TW_COUNT(cases); i++) {
        if (strcmp(argv[1], cases[i].name) != 0 || argc - 2 != cases[i].sizes)
            continue;
        work w = {.inputs = 0};
        for (int j = 0; j < cases[i].sizes; j++)
            w.size[j] = atoll(argv[2 + j]);
        tw_manual_seed(1);
        tw_set_tier(TW_TIER_COMPILED);
        cases[i].make(&w);
        tw_scope_end_all();
        return answer(&w, cases[i].run);
    }
    fprintf(stderr, "usage: tw_operations NAME SIZE... | bandwidth READS WRITES; bench/run.py runs it\n");
    return 2;
}
