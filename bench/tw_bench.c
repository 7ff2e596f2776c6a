/* The side of the benchmarks that is ours: one process that answers commands on standard input, so that its steps can
 * be interleaved with those of a peer in another process.
 *
 *   tw_bench train LAYERS DIM HEADS CONTEXT BATCH DATA [WEIGHTS]   "step": one training step; answers "MS LOSS"
 *   tw_bench record                                                 "step": records nodes; answers "NS_A_NODE
 * NS_A_CALL" tw_bench peak                                                   prints the FMA peak of all threads,
 * GFLOP/s
 *
 * train: bytes are the tokens (256 of them); WEIGHTS, if given, gets the initial weights. The first answer includes the
 * compilation. "memory" answers the peak bytes since it was last asked; "eager", "operations" and "compiled" choose the
 * tier. */
#include <immintrin.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"
#include "capture/capture.h"
#include "runtime/runtime.h"
#include "tilewright/io.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static void fail(const char *what)
{
    fprintf(stderr, "tw_bench: %s: %s\n", what, tw_error_message());
    exit(1);
}

static double milliseconds(uint64_t since)
{
    return (double)(tw_os_now_ns() - since) * 1e-6;
}

/* ---- train ---- */

typedef struct training {
    tw_gpt model;
    tw_adamw optimiser;
    unsigned char *text;
    size_t bytes;
    int64_t batch;
    uint64_t random;
} training;

/* The same generator and the same use of it as in peers/train_gpt.py: both see the same batches. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void take_batch(training *t, tw_tensor **x, tw_tensor **y)
{
    int64_t T = t->model.config.context, shape[] = {t->batch, T};
    *x = tw_empty(2, shape, TW_I64);
    *y = tw_empty(2, shape, TW_I64);
    int64_t *to[] = {(int64_t *)(uintptr_t)tw_data(*x), (int64_t *)(uintptr_t)tw_data(*y)};
    if (!to[0] || !to[1])
        fail("batch");
    for (int64_t b = 0; b < t->batch; b++) {
        size_t at = next_random(&t->random) % (t->bytes - (size_t)T - 1);
        for (int64_t i = 0; i < T; i++) {
            to[0][b * T + i] = t->text[at + (size_t)i];
            to[1][b * T + i] = t->text[at + (size_t)i + 1];
        }
    }
}

static double step(training *t)
{
    double loss = 0;
    TW_SCOPE {
        tw_tensor *result = NULL;
        TW_SCOPE {
            tw_tensor *x, *y;
            take_batch(t, &x, &y);
            result = tw_yield(tw_gpt_loss(&t->model, x, y, true));
            if (tw_backward(result, NULL) != TW_OK || tw_adamw_step(&t->optimiser) != TW_OK)
                fail("step");
            tw_parameters_zero_grad(&t->model.parameters);
        }
        loss = tw_item(result);
        if (tw_tensor_status(result) != TW_OK)
            fail("loss");
    }
    return loss;
}

static void save_weights(const training *t, const char *path)
{
    const tw_parameters *p = &t->model.parameters;
    const char **names = calloc((size_t)p->count, sizeof *names);
    tw_tensor **tensors = calloc((size_t)p->count, sizeof *tensors);
    for (int i = 0; i < p->count; i++) {
        names[i] = p->item[i].name;
        tensors[i] = p->item[i].value;
    }
    if (tw_save_safetensors(path, p->count, names, tensors, 0, NULL, NULL) != TW_OK)
        fail(path);
    free(names);
    free(tensors);
}

static int train(int argc, char **argv)
{
    if (argc < 8) {
        fprintf(stderr, "usage: tw_bench train LAYERS DIM HEADS CONTEXT BATCH DATA [WEIGHTS]\n");
        return 2;
    }
    training t = {.batch = atoll(argv[6]), .random = 1};
    tw_gpt_config config = {.layers = atoll(argv[2]),
                            .dim = atoll(argv[3]),
                            .heads = atoll(argv[4]),
                            .context = atoll(argv[5]),
                            .vocabulary = 256};
    void *text;
    if (tw_os_read_file(argv[7], (size_t)1 << 30, &text, &t.bytes) != TW_OK)
        fail(argv[7]);
    t.text = text;
    if (tw_manual_seed(1) != TW_OK || tw_gpt_init(&t.model, &config) != TW_OK ||
        tw_adamw_init(&t.optimiser, &t.model.parameters, 1e-3) != TW_OK)
        fail("model");
    if (argc > 8)
        save_weights(&t, argv[8]);
    tw_set_tier(TW_TIER_COMPILED);
    printf("ready\n");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        uint64_t start = tw_os_now_ns();
        if (!strcmp(line, "step\n")) {
            double loss = step(&t);
            printf("%.6f %.9g\n", milliseconds(start), loss);
        } else if (!strcmp(line, "memory\n")) {
            printf("%lld\n", (long long)tw_tensor_peak_bytes(true));
        } else if (!strcmp(line, "eager\n") || !strcmp(line, "operations\n") || !strcmp(line, "compiled\n")) {
            tw_set_tier(line[0] == 'e' ? TW_TIER_EAGER : line[0] == 'o' ? TW_TIER_OPERATIONS : TW_TIER_COMPILED);
            tw_runtime_free();
            printf("ok\n");
        } else if (!strcmp(line, "plan\n")) {
            const tw_executable *e = tw_capture_last();
            printf("%d %d %d %d\n", e ? e->plan->kernels : 0, e ? e->plan->launches : 0, e ? e->plan->batches : 0,
                   e ? e->from_cache : 0);
        } else {
            break;
        }
        fflush(stdout);
    }
    tw_adamw_free(&t.optimiser);
    tw_gpt_free(&t.model);
    tw_free(text);
    tw_scope_end_all();
    return 0;
}

/* ---- record ---- */

enum { CHAIN = 2000, ROUNDS = 20, CALLS = 2000, CALL_INPUTS = 10 };

/* Nanoseconds a recorded operation: as many additions of small tensors as a training step has operations, recorded and
 * let go without being computed. */
static double record_once(void)
{
    double ns = 0;
    TW_SCOPE {
        tw_tensor *x = tw_ones(1, (int64_t[]){4}, TW_F32), *y = tw_ones(1, (int64_t[]){4}, TW_F32);
        for (int round = -1; round < ROUNDS; round++) {
            uint64_t start = tw_os_now_ns();
            TW_SCOPE {
                tw_tensor *sum = x;
                for (int i = 0; i < CHAIN; i++)
                    sum = tw_add(sum, y);
                if (tw_tensor_status(sum) != TW_OK)
                    fail("record");
            }
            tw_sync();
            ns += round < 0 ? 0 : (double)(tw_os_now_ns() - start) / CHAIN / ROUNDS;
        }
    }
    return ns;
}

static tw_status sum_inputs(void *user, tw_tensor *const *inputs, int input_count, tw_tensor **outputs,
                            int output_count)
{
    (void)user, (void)output_count;
    tw_tensor *sum = inputs[0];
    for (int i = 1; i < input_count; i++)
        sum = tw_add(sum, inputs[i]);
    outputs[0] = sum;
    return tw_tensor_status(sum);
}

/* Nanoseconds a call of a compiled function with ten inputs of one element: all of it is overhead. */
static double call_once(tw_function *f)
{
    double ns = 0;
    TW_SCOPE {
        tw_tensor *in[CALL_INPUTS], *out;
        for (int i = 0; i < CALL_INPUTS; i++)
            in[i] = tw_ones(1, (int64_t[]){1}, TW_F32);
        tw_sync();
        uint64_t start = 0;
        for (int i = -10; i < CALLS; i++) {
            if (i == 0)
                start = tw_os_now_ns();
            TW_SCOPE {
                if (tw_call(f, in, CALL_INPUTS, &out) != TW_OK)
                    fail("call");
            }
        }
        ns = (double)(tw_os_now_ns() - start) / CALLS;
    }
    return ns;
}

static int record(void)
{
    tw_function *f = tw_compile(sum_inputs, NULL, 1);
    char line[64];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && !strcmp(line, "step\n")) {
        double node = record_once(), call = call_once(f);
        printf("%.1f %.1f\n", node, call);
        fflush(stdout);
    }
    tw_function_destroy(f);
    tw_scope_end_all();
    return 0;
}

/* ---- peak ---- */

enum { CHAINS = 16, FMAS = 20000000 };

__attribute__((target("avx512f"))) static float fma_512(void)
{
    __m512 x[CHAINS], by = _mm512_set1_ps(1.000001f), and = _mm512_set1_ps(1e-7f);
    for (int i = 0; i < CHAINS; i++)
        x[i] = _mm512_set1_ps((float)i);
    for (int n = 0; n < FMAS / CHAINS; n++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            x[i] = _mm512_fmadd_ps(x[i], by, and);
    for (int i = 1; i < CHAINS; i++)
        x[0] = _mm512_add_ps(x[0], x[i]);
    return _mm512_reduce_add_ps(x[0]);
}

__attribute__((target("avx2,fma"))) static float fma_256(void)
{
    __m256 x[CHAINS / 2], by = _mm256_set1_ps(1.000001f), and = _mm256_set1_ps(1e-7f), sum;
    for (int i = 0; i < CHAINS / 2; i++)
        x[i] = _mm256_set1_ps((float)i);
    for (int n = 0; n < FMAS / (CHAINS / 2); n++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS / 2; i++)
            x[i] = _mm256_fmadd_ps(x[i], by, and);
    sum = x[0];
    for (int i = 1; i < CHAINS / 2; i++)
        sum = _mm256_add_ps(sum, x[i]);
    return sum[0];
}

static int peak(void)
{
    bool wide = __builtin_cpu_supports("avx512f");
    double best = 0, sink = 0;
    int threads = tw_num_threads();
    for (int round = 0; round < 5; round++) {
        uint64_t start = tw_os_now_ns();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
        sink += wide ? fma_512() : fma_256();
        double flops = 2.0 * FMAS * (wide ? 16 : 8) * threads / (double)(tw_os_now_ns() - start);
        best = flops > best ? flops : best;
    }
    printf("%.1f%s\n", best, sink == 0 ? " " : "");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && !strcmp(argv[1], "train"))
        return train(argc, argv);
    if (argc == 2 && !strcmp(argv[1], "record"))
        return record();
    if (argc == 2 && !strcmp(argv[1], "peak"))
        return peak();
    fprintf(stderr, "usage: tw_bench train|record|peak ...; bench/run.py runs it\n");
    return 2;
}
