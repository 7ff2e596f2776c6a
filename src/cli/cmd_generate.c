/* tw generate: continue a text. */
#include <math.h>
#include <stdlib.h>

#include "capture/capture.h"
#include "cli/cli.h"
#include "cli/model.h"

static int sample(const float *logits, int n, double temperature, uint64_t *random)
{
    double most = -INFINITY, sum = 0, p[256];
    for (int i = 0; i < n; i++)
        most = fmax(most, logits[i]);
    for (int i = 0; i < n; i++)
        sum += p[i] = temperature > 0 ? exp((logits[i] - most) / temperature) : logits[i] == most;
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    double u = (double)(*random >> 11) * 0x1p-53 * sum;
    for (int i = 0; i < n; i++)
        if ((u -= p[i]) < 0)
            return i;
    return n - 1;
}

/* The window is always full (the prompt is repeated in front), so that one compiled graph serves every token. */
static tw_status generate(tw_gpt *m, const vocabulary *v, const char *prompt, int64_t tokens, double temperature,
                          uint64_t random)
{
    int64_t T = m->config.context, shape[] = {1, T}, length = (int64_t)strlen(prompt);
    int64_t *window = tw_alloc((size_t)T * sizeof *window);
    tw_status status = window ? TW_OK : TW_ERR_MEMORY;
    for (int64_t i = 0; i < T && status == TW_OK; i++) {
        int64_t at = (length - T + i) % length;
        window[i] = v->token[(unsigned char)prompt[at < 0 ? at + length : at]];
        if (window[i] < 0)
            status = tw_error(TW_ERR_VALUE, "the prompt has a byte 0x%02x that the model never saw",
                              (unsigned char)prompt[at < 0 ? at + length : at]);
    }
    if (status == TW_OK)
        fputs(prompt, stdout);
    for (int64_t i = 0; i < tokens && status == TW_OK; i++) {
        TW_SCOPE {
            tw_tensor *logits = NULL;
            TW_SCOPE {
                logits = tw_yield(tw_gpt_logits(m, tw_from_data(window, 2, shape, TW_I64), false));
            }
            const float *last = tw_data(logits);
            status = last ? TW_OK : tw_error_code();
            if (last) {
                int next = sample(last + (T - 1) * v->size, v->size, temperature, &random);
                memmove(window, window + 1, (size_t)(T - 1) * sizeof *window);
                window[T - 1] = next;
                putchar(v->byte[next]);
                fflush(stdout);
            }
        }
    }
    putchar('\n');
    tw_free(window);
    return status;
}

int cmd_generate(int argc, char **argv)
{
    const char *checkpoint = NULL, *prompt = "\n";
    int64_t tokens = 400, seed = 1;
    double temperature = 0.8;
    int code;
    const option options[] = {
        {"--checkpoint", "FILE", "what tw train saved", OPTION_TEXT, &checkpoint, 0, 0},
        {"--prompt", "TEXT", "what to continue", OPTION_TEXT, &prompt, 0, 0},
        {"--tokens", "N", "how many bytes to add (400)", OPTION_INT, &tokens, 0, 1e9},
        {"--temperature", "X", "0: the likeliest byte (0.8)", OPTION_FLOAT, &temperature, 0, 100},
        {"--seed", "N", "of the choices (1)", OPTION_INT, &seed, 0, 9e15},
    };
    const command_line line = {.name = "generate",
                               .about = "Continues a text with a trained model.",
                               .options = options,
                               .count = TW_COUNT(options)};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    if (!checkpoint || !*prompt) {
        fprintf(stderr, "tw generate: --checkpoint FILE %s; tw generate --help says more\n",
                checkpoint ? "is fine, but the prompt is empty" : "is needed");
        return CLI_USAGE;
    }
    tw_tensor_file *file = NULL;
    tw_gpt m = {0};
    vocabulary v;
    tw_gpt_config config;
    tw_status status = TW_OK;
    tw_set_grad_enabled(false);
    tw_set_tier(TW_TIER_COMPILED);
    TW_SCOPE {
        status = checkpoint_config(checkpoint, &file, &config, &v);
        if (status == TW_OK)
            status = tw_gpt_init(&m, &config);
        if (status == TW_OK)
            status = checkpoint_restore(file, &m, NULL, NULL);
        if (status == TW_OK)
            status = generate(&m, &v, prompt, tokens, temperature, (uint64_t)seed);
    }
    tw_close_safetensors(file);
    tw_gpt_free(&m);
    tw_scope_end_all();
    return status == TW_OK ? 0 : cli_fail("generate");
}
