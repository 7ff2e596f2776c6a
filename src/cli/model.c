/* Vocabulary and checkpoints. */
#include "cli/model.h"

#include <stdlib.h>

#include "base/base.h"
#include "tilewright/ops.h"

void vocabulary_from_text(vocabulary *v, const unsigned char *text, size_t bytes)
{
    bool seen[256] = {false};
    *v = (vocabulary){0};
    for (size_t i = 0; i < bytes; i++)
        seen[text[i]] = true;
    for (int b = 0; b < 256; b++) {
        v->token[b] = seen[b] ? v->size : -1;
        if (seen[b])
            v->byte[v->size++] = (unsigned char)b;
    }
}

enum { KEYS = 10 };
static const char *const keys[KEYS] = {"format",     "layers", "dim",    "heads", "context",
                                       "vocabulary", "step",   "random", "bytes", "generator"};

tw_status checkpoint_save(const char *path, tw_gpt *m, const tw_adamw *o, const vocabulary *v, uint64_t random_state)
{
    int n = m->parameters.count, count = 0;
    char value[KEYS][520];
    const char *values[KEYS];
    const char **names = tw_alloc_zero((size_t)(3 * n), sizeof *names);
    char(*text)[80] = tw_alloc_zero((size_t)(3 * n), sizeof *text);
    tw_tensor **tensors = tw_alloc_zero((size_t)(3 * n), sizeof *tensors);
    tw_status status = names && text && tensors ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < n && status == TW_OK; i++) {
        tw_tensor *const parts[] = {m->parameters.item[i].value, o->m[i], o->v[i]};
        static const char *const prefixes[] = {"", "m.", "v."};
        for (int k = 0; k < 3; k++) {
            snprintf(text[count], sizeof text[count], "%s%s", prefixes[k], m->parameters.item[i].name);
            names[count] = text[count];
            tensors[count++] = parts[k];
        }
    }
    const tw_gpt_config *c = &m->config;
    const int64_t numbers[] = {c->layers, c->dim, c->heads, c->context, c->vocabulary, o->step};
    snprintf(value[0], sizeof value[0], "tilewright gpt 1");
    for (int i = 0; i < 6; i++)
        snprintf(value[1 + i], sizeof value[0], "%lld", (long long)numbers[i]);
    snprintf(value[7], sizeof value[0], "%llu", (unsigned long long)random_state);
    for (int i = 0; i < v->size; i++)
        snprintf(value[8] + 2 * i, 3, "%02x", v->byte[i]);
    for (int i = 0; i < KEYS; i++)
        values[i] = value[i];
    int64_t generator[2];
    if (status == TW_OK)
        status = tw_generator_get(generator);
    if (status == TW_OK)
        snprintf(value[9], sizeof value[0], "%lld,%lld", (long long)generator[0], (long long)generator[1]);
    if (status == TW_OK)
        status = tw_save_safetensors(path, count, names, tensors, KEYS, keys, values);
    tw_free(names);
    tw_free(text);
    tw_free(tensors);
    return status;
}

/* Sizes that a hostile file claims must be those of the tensors that it really has, before anything is made of them. */
static bool sizes_agree(const tw_tensor_file *file, const int64_t *n)
{
    static const char *const names[] = {"wte.weight", "wpe.weight"};
    const int64_t rows[] = {n[4], n[3]};
    bool good = n[0] <= tw_file_count(file);
    for (int i = 0; i < 2 && good; i++) {
        const tw_tensor *t = tw_file_tensor(file, names[i]);
        good = tw_tensor_status(t) == TW_OK && tw_rank(t) == 2 && tw_shape(t)[0] == rows[i] && tw_shape(t)[1] == n[1];
    }
    return good;
}

static bool read_sizes(const tw_tensor_file *file, int64_t *n)
{
    for (int i = 0; i < 6; i++) {
        const char *text = tw_file_metadata(file, keys[1 + i]);
        n[i] = text ? strtoll(text, NULL, 10) : -1;
        if (n[i] < (i < 5) || n[i] > (i < 5 ? 1 << 24 : INT64_MAX / 2))
            return false;
    }
    return true;
}

tw_status checkpoint_config(const char *path, tw_tensor_file **file, tw_gpt_config *config, vocabulary *v)
{
    int64_t n[6];
    TW_TRY(tw_open_safetensors(path, file));
    const char *format = tw_file_metadata(*file, "format"), *bytes = tw_file_metadata(*file, "bytes");
    bool good = format && !strcmp(format, "tilewright gpt 1") && bytes && strlen(bytes) <= 512 &&
                strspn(bytes, "0123456789abcdef") == strlen(bytes) && read_sizes(*file, n) &&
                strlen(bytes) == 2 * (size_t)n[4];
    TW_SCOPE {
        good = good && sizes_agree(*file, n);
    }
    if (!good) {
        tw_close_safetensors(*file);
        *file = NULL;
        return tw_error(TW_ERR_FORMAT, "%s is no checkpoint of tw train", path);
    }
    *config = (tw_gpt_config){.layers = n[0], .dim = n[1], .heads = n[2], .context = n[3], .vocabulary = n[4]};
    *v = (vocabulary){.size = (int)n[4]};
    memset(v->token, -1, sizeof v->token);
    for (int i = 0; i < v->size; i++) {
        char hex[3] = {bytes[2 * i], bytes[2 * i + 1], 0};
        v->byte[i] = (unsigned char)strtoul(hex, NULL, 16);
        v->token[v->byte[i]] = i;
    }
    return TW_OK;
}

static tw_status restore(const tw_tensor_file *file, const char *name, tw_tensor *to)
{
    tw_tensor *from = tw_file_tensor(file, name);
    bool same =
        tw_tensor_status(from) == TW_OK && tw_rank(from) == tw_rank(to) && tw_tensor_dtype(from) == tw_tensor_dtype(to);
    if (tw_tensor_status(from) != TW_OK)
        return tw_error_code();
    for (int i = 0; same && i < tw_rank(to); i++)
        same = tw_shape(from)[i] == tw_shape(to)[i];
    return same ? tw_assign(to, from)
                : tw_error(TW_ERR_SHAPE, "checkpoint: '%s' has another shape or dtype than the model", name);
}

tw_status checkpoint_restore(const tw_tensor_file *file, tw_gpt *m, tw_adamw *o, uint64_t *random_state)
{
    tw_status status = TW_OK;
    char name[80];
    bool grad = tw_set_grad_enabled(false);
    TW_SCOPE {
        for (int i = 0; i < m->parameters.count && status == TW_OK; i++) {
            status = restore(file, m->parameters.item[i].name, m->parameters.item[i].value);
            if (!o || status != TW_OK)
                continue;
            snprintf(name, sizeof name, "m.%s", m->parameters.item[i].name);
            status = restore(file, name, o->m[i]);
            snprintf(name, sizeof name, "v.%s", m->parameters.item[i].name);
            status = status == TW_OK ? restore(file, name, o->v[i]) : status;
        }
        tw_status synced = tw_sync(); /* also what was assigned before an error: nothing stays pending */
        status = status == TW_OK ? synced : status;
    }
    tw_set_grad_enabled(grad);
    if (status != TW_OK)
        return status;
    if (o)
        o->step = strtoll(tw_file_metadata(file, "step"), NULL, 10);
    if (random_state && tw_file_metadata(file, "random"))
        *random_state = strtoull(tw_file_metadata(file, "random"), NULL, 10);
    const char *generator = o ? tw_file_metadata(file, "generator") : NULL;
    char *second = NULL;
    int64_t key = generator ? strtoll(generator, &second, 10) : 0;
    return second && *second == ',' ? tw_generator_set((int64_t[]){key, strtoll(second + 1, NULL, 10)}) : TW_OK;
}
