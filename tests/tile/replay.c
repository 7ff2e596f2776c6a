/* replay [--mutants N] FILES: runs the fuzz target on files, and on N mutants of them: pieces deleted, doubled,
 * replaced by other pieces or by words of the language. With TW_SAY=1 it says what each kernel's compilation came to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "tile/lang/lang.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint64_t state = 88172645463325252u;

static uint64_t next(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

static size_t mutate(char *text, size_t bytes, size_t room)
{
    static const char *const words[] = {"(",
                                        ")",
                                        "[",
                                        "]",
                                        ":",
                                        "\n",
                                        "    ",
                                        "None",
                                        "tl.",
                                        "0",
                                        "-1",
                                        "1 << 62",
                                        "while True:",
                                        "for i in range(10):",
                                        "return",
                                        "break",
                                        "continue",
                                        ", ",
                                        "=",
                                        "**",
                                        "//",
                                        "lambda x: x",
                                        "\"",
                                        "'''",
                                        "f\"{",
                                        "}",
                                        "#",
                                        "\\",
                                        "if x:",
                                        "tl.arange(0, 16)",
                                        "[:, None]",
                                        "tl.static_range(1000000000)",
                                        "float(\"inf\")",
                                        "@",
                                        "def f():",
                                        "not ",
                                        "\t",
                                        "\xff"};
    for (uint64_t n = 1 + next(4); n > 0; n--) {
        size_t at = next(bytes + 1), length = next(40), from = next(bytes + 1);
        const char *word = words[next(TW_COUNT(words))];
        switch (next(4)) {
        case 0: /* delete */
            length = TW_MIN(length, bytes - at);
            memmove(text + at, text + at + length, bytes - at - length);
            bytes -= length;
            break;
        case 1: /* insert a word */
            length = strlen(word);
            if (bytes + length > room)
                break;
            memmove(text + at + length, text + at, bytes - at);
            memcpy(text + at, word, length);
            bytes += length;
            break;
        case 2: /* copy a piece over another */
            length = TW_MIN(TW_MIN(length, bytes - at), bytes - from);
            memmove(text + at, text + from, length);
            break;
        default: /* a character */
            if (bytes)
                text[TW_MIN(at, bytes - 1)] = (char)next(256);
        }
    }
    return bytes;
}

int main(int argc, char **argv)
{
    long mutants = 0, done = 0;
    int first = 1;
    if (argc > 2 && !strcmp(argv[1], "--mutants")) {
        mutants = atol(argv[2]);
        first = 3;
    }
    for (int i = first; i < argc; i++) {
        void *data;
        size_t bytes;
        if (tw_os_read_file(argv[i], (size_t)1 << 24, &data, &bytes) != TW_OK) {
            fprintf(stderr, "%s: %s\n", argv[i], tw_error_message());
            return 1;
        }
        LLVMFuzzerTestOneInput(data, bytes);
        done++;
        char *copy = malloc(bytes + 4096);
        for (long k = 0; k < mutants && copy; k++, done++) {
            memcpy(copy, data, bytes);
            size_t from = next(bytes), length = TW_MIN(bytes - from, (size_t)6000); /* a part: short inputs go deeper */
            size_t now = mutate(copy + from, length, length + 2048);
            LLVMFuzzerTestOneInput((uint8_t *)copy + from, now);
        }
        free(copy);
        tw_free(data);
    }
    printf("# checks: %ld\n", done);
    return 0;
}
