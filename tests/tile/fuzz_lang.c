/* Any bytes as a source file: parsed, checked, and every kernel of it compiled with types that are guessed from names.
 * Nothing may crash, hang or leak. Entry of libFuzzer (make fuzz TARGET=tile); replay.c runs it on files. */
#include <string.h>

#include "tile/lang/lang.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST_PARAMETERS = 64, MOST_KERNELS = 40 };

/* The parameters of `def NAME(` as the text has them; only names are needed. */
static int parameters(const char *text, size_t bytes, const tw_lang_kernel *k, char name[MOST_PARAMETERS][40],
                      bool constant[MOST_PARAMETERS])
{
    size_t length = strlen(k->name), i = 0;
    int count = 0;
    for (; i + length + 5 < bytes; i++)
        if (!memcmp(text + i, "def ", 4) && !memcmp(text + i + 4, k->name, length) && text[i + 4 + length] == '(')
            break;
    for (i += length + 5; i < bytes && text[i] != ')' && count < MOST_PARAMETERS; i++) {
        size_t n = 0;
        while (i + n < bytes && n < 39 &&
               (text[i + n] == '_' || (text[i + n] >= '0' && text[i + n] <= '9') || (text[i + n] | 32) >= 'a'))
            n++;
        if (n == 0)
            continue;
        memcpy(name[count], text + i, n);
        name[count][n] = '\0';
        constant[count] = false;
        for (i += n; i < bytes && text[i] != ',' && text[i] != ')'; i++)
            if (bytes - i > 9 && !memcmp(text + i, "constexpr", 9))
                constant[count] = true;
        count++;
        if (i < bytes && text[i] == ')')
            break;
    }
    return count;
}

static bool contains(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static tw_lang_arg guess(const char *name, bool constant)
{
    if (constant)
        return (tw_lang_arg){name, TW_LANG_ARG_CONSTANT,
                             contains(name, "BLOCK") || contains(name, "SIZE") || contains(name, "DIM") ? "16" : "1",
                             NULL};
    bool capital = name[0] >= 'A' && name[0] <= 'Z' && strlen(name) <= 3 && strcmp(name, "N") != 0 &&
                   strcmp(name, "M") != 0 && strcmp(name, "K") != 0;
    if (contains(name, "ptr") || contains(name, "_p") || contains(name, "out") || contains(name, "input") || capital)
        return (tw_lang_arg){name, TW_LANG_ARG_POINTER, contains(name, "id") || contains(name, "ind") ? "*i32" : "*f32",
                             NULL};
    return (tw_lang_arg){name, TW_LANG_ARG_SCALAR, contains(name, "eps") || contains(name, "scale") ? "f32" : "i32",
                         "1"};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char name[MOST_PARAMETERS][40];
    bool constant[MOST_PARAMETERS];
    tw_lang_arg args[MOST_PARAMETERS];
    const tw_lang_options options = {.most_ops = 20000};
    tw_lang *l = tw_lang_create(&options);
    if (!l)
        return 0;
    (void)tw_lang_add(l, "fuzz.py", (const char *)data, bytes);
    (void)tw_lang_check_all(l);
    for (int i = 0; i < tw_lang_kernel_count(l) && i < MOST_KERNELS; i++) {
        const tw_lang_kernel *k = tw_lang_kernel_at(l, i);
        tw_lang_program p;
        int count = parameters((const char *)data, bytes, k, name, constant);
        for (int j = 0; j < count; j++)
            args[j] = guess(name[j], constant[j]);
        tw_status status = tw_lang_compile(l, k->name, args, count, 0, &p);
        if (tw_env_on("TW_SAY"))
            printf("%s\t%s\n", k->name, status == TW_OK ? "ok" : tw_error_message());
        if (status == TW_OK)
            tw_graph_destroy(p.graph);
    }
    tw_lang_destroy(l);
    return 0;
}
