/* A GPT on the bytes of a text. */
#include "cli/training.h"

#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "tilewright/ops.h"

training training_defaults(void)
{
    return (training){
        .batch = 16, .seed = 1, .lr = 3e-4, .config = {.layers = 4, .dim = 128, .heads = 4, .context = 64}};
}

void training_options(training *t, option *rows)
{
    const option all[TRAINING_OPTIONS] = {
        {"--data", "FILE", "text to learn (any bytes)", OPTION_TEXT, &t->data, 0, 0},
        {"--layers", "N", "blocks (4)", OPTION_INT, &t->config.layers, 1, 1000},
        {"--dim", "N", "size of the residual stream (128)", OPTION_INT, &t->config.dim, 1, 1 << 16},
        {"--heads", "N", "attention heads (4)", OPTION_INT, &t->config.heads, 1, 1 << 12},
        {"--context", "N", "tokens that the model sees (64)", OPTION_INT, &t->config.context, 1, 1 << 16},
        {"--batch", "N", "sequences a step (16)", OPTION_INT, &t->batch, 1, 1 << 16},
        {"--lr", "X", "learning rate of AdamW (0.0003)", OPTION_FLOAT, &t->lr, 0, 10},
        {"--dropout", "P", "probability (0)", OPTION_FLOAT, &t->config.dropout, 0, 0.99},
        {"--memory-budget", "SIZE",
         "most memory that a compiled step should take, 64M or 1.5G: computes again what doesn't fit", OPTION_BYTES,
         &t->budget, 0, 9e15},
        {"--seed", "N", "of weights and batches (1)", OPTION_INT, &t->seed, 0, 9e15},
    };
    memcpy(rows, all, sizeof all);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- data ---- */

static tw_status random_text(const training *t, void **text, size_t *bytes)
{
    uint64_t random = (uint64_t)t->seed;
    *bytes = (size_t)(20 * (t->config.context + 2)) + (1 << 16);
    *text = tw_alloc(*bytes);
    for (size_t i = 0; i < *bytes && *text; i++)
        ((unsigned char *)*text)[i] = (unsigned char)(next_random(&random) >> 56);
    return *text ? TW_OK : TW_ERR_MEMORY;
}

static tw_status load_text(training *t)
{
    void *text;
    size_t bytes;
    TW_TRY(t->data ? tw_os_read_file(t->data, (size_t)1 << 32, &text, &bytes) : random_text(t, &text, &bytes));
    if (!t->words.size)
        vocabulary_from_text(&t->words, text, bytes);
    t->count = (int64_t)bytes;
    t->train_count = t->count * 9 / 10;
    t->tokens = tw_alloc((bytes + 1) * sizeof *t->tokens);
    tw_status status = t->tokens ? TW_OK : TW_ERR_MEMORY;
    for (size_t i = 0; i < bytes && status == TW_OK; i++) {
        t->tokens[i] = t->words.token[((unsigned char *)text)[i]];
        if (t->tokens[i] < 0)
            status = tw_error(TW_ERR_VALUE, "%s: byte %zu is 0x%02x, which the checkpoint's text doesn't have", t->data,
                              i, ((unsigned char *)text)[i]);
    }
    tw_free(text);
    int64_t least = t->config.context + 2;
    if (status == TW_OK && (t->train_count < least || t->count - t->train_count < least))
        status = tw_error(TW_ERR_VALUE, "%s has %lld bytes; expected at least %lld for a context of %lld", t->data,
                          (long long)t->count, (long long)(10 * least), (long long)t->config.context);
    return status;
}

void training_batch(const training *t, uint64_t *random, bool training_part, tw_tensor **x, tw_tensor **y)
{
    int64_t T = t->config.context, first = training_part ? 0 : t->train_count;
    int64_t room = (training_part ? t->train_count : t->count - t->train_count) - T - 1, shape[] = {t->batch, T};
    *x = tw_empty(2, shape, TW_I64);
    *y = tw_empty(2, shape, TW_I64);
    if (tw_tensor_status(*x) != TW_OK || tw_tensor_status(*y) != TW_OK)
        return;
    for (int64_t b = 0; b < t->batch; b++) {
        int64_t at = first + (int64_t)(next_random(random) % (uint64_t)room);
        memcpy((int64_t *)(uintptr_t)tw_data(*x) + b * T, t->tokens + at, (size_t)T * sizeof(int64_t));
        memcpy((int64_t *)(uintptr_t)tw_data(*y) + b * T, t->tokens + at + 1, (size_t)T * sizeof(int64_t));
    }
}

/* ---- steps ---- the inner scope frees what the step made before anybody looks, so that only the loss and the
 * parameters are computed */

double training_step(training *t, tw_status *status)
{
    tw_tensor *loss = NULL;
    double value = NAN;
    TW_SCOPE {
        TW_SCOPE {
            tw_tensor *x, *y;
            training_batch(t, &t->random, true, &x, &y);
            loss = tw_yield(tw_gpt_loss(&t->model, x, y, true));
            *status = tw_backward(loss, NULL);
            if (*status == TW_OK)
                *status = tw_adamw_step(&t->optimiser);
            tw_parameters_zero_grad(&t->model.parameters);
        }
        value = *status == TW_OK ? tw_item(loss) : NAN;
        if (*status == TW_OK && tw_tensor_status(loss) != TW_OK)
            *status = tw_tensor_status(loss);
    }
    return value;
}

/* ---- the whole ---- */

/* Bytes that a step needs at least: weights, gradient and moments; what the backward pass reads, counting attention's
 * scores where no kernel streams them. A guess that is never far too high. */
static double bytes_needed(const training *t, bool separate)
{
    const tw_gpt_config *c = &t->config;
    double tokens = (double)(t->batch * c->context), layers = (double)c->layers, dim = (double)c->dim;
    double weights = 12 * layers * dim * dim + (double)(c->vocabulary + c->context) * dim;
    double kept = tokens * dim * layers * 10 + tokens * (double)c->vocabulary;
    double scores = separate ? tokens * (double)(c->context * c->heads) * layers : 0;
    return 4 * (4 * weights + kept + scores);
}

static tw_status check_memory(const training *t, bool separate)
{
    double needed = bytes_needed(t, separate), has = (double)tw_os_memory_bytes();
    if (needed <= has)
        return TW_OK;
    return tw_error(TW_ERR_MEMORY, "these sizes need at least %.1f GB; this machine has %.1f GB; take a smaller %s",
                    needed * 1e-9, has * 1e-9, "--batch, --context, --dim or --layers");
}

tw_status training_open(training *t, const char *resume, bool separate)
{
    tw_tensor_file *file = NULL;
    double dropout = t->config.dropout;
    tw_set_memory_budget(t->budget);
    if (resume)
        TW_TRY(checkpoint_config(resume, &file, &t->config, &t->words));
    t->config.dropout = dropout;
    tw_status status = load_text(t);
    t->config.vocabulary = t->words.size;
    if (status == TW_OK)
        status = check_memory(t, separate);
    if (status == TW_OK)
        status = tw_manual_seed((uint64_t)t->seed);
    if (status == TW_OK)
        status = tw_gpt_init(&t->model, &t->config);
    if (status == TW_OK)
        status = tw_adamw_init(&t->optimiser, &t->model.parameters, t->lr);
    t->random = (uint64_t)t->seed;
    if (status == TW_OK && file)
        status = checkpoint_restore(file, &t->model, &t->optimiser, &t->random);
    tw_close_safetensors(file);
    return status;
}

void training_close(training *t)
{
    tw_adamw_free(&t->optimiser);
    tw_gpt_free(&t->model);
    tw_free(t->tokens);
    t->tokens = NULL;
}
