/* Mutants of descriptions and tables: bytes changed, lines dropped, doubled, swapped between files, numbers made
 * absurd. Every one is accepted or refused with an error; none crashes. `make fuzz TARGET=machine` goes further. */
#include "support.h"

#include "base/os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { FILES = 9, ROOM = 1 << 16, MUTANTS = 1500 };

static const char *const names[FILES] = {"chips.machine",    "links.machine",    "machines.machine",
                                         "models.machine",   "packages.machine", "switches.machine",
                                         "software.machine", "validation.tsv",   "seed.tsv"};
static char *file[FILES];
static size_t length[FILES];

/* A few lines in a row from a random place. */
static size_t some_lines(char *to, size_t room)
{
    int f = random_between(0, FILES - 1);
    size_t at = (size_t)(random01() * (double)length[f]), n = 0;
    while (at > 0 && file[f][at - 1] != '\n')
        at--;
    for (int lines = random_between(1, 40); at < length[f] && n < room && lines; at++) {
        to[n++] = file[f][at];
        lines -= file[f][at] == '\n';
    }
    return n;
}

/* A table needs its header, a section its beginning: half of the mutants have them. */
static size_t begin(char *to)
{
    int f = random_between(0, FILES - 1);
    const char *start = f >= FILES - 2 ? strstr(file[f], f == FILES - 2 ? "id\t" : "fact\t") : strstr(file[f], "\n[");
    const char *end = start ? strchr(start + 1, '\n') : NULL;
    size_t n = end && random01() < 0.5 ? (size_t)(end + 1 - start) : 0;
    memcpy(to, n ? start : "", n);
    return n;
}

static size_t damage(char *text, size_t n, size_t room)
{
    static const char *const absurd[] = {"0",       "-1", "1e308",  "1e-308", "nan", "inf", "999999999999999999",
                                         "like = ", "GB", "Gbit/s", "\"",     "[",   "]",   "=",
                                         ";",       "\t", "\n",     "x",      "^",   "(",   "%"};
    for (int times = random_between(1, 6); times && n > 2; times--) {
        size_t at = (size_t)(random01() * (double)(n - 1));
        const char *word = absurd[random_between(0, (int)TW_COUNT(absurd) - 1)];
        size_t w = strlen(word), cut = (size_t)random_between(0, 8);
        if (random01() < 0.3) {
            text[at] = (char)random_between(0, 255);
        } else if (n + w < room) {
            cut = TW_MIN(cut, n - at);
            memmove(text + at + w, text + at + cut, n - at - cut);
            memcpy(text + at, word, w);
            n = n + w - cut;
        }
    }
    return n;
}

static void mutants_are_accepted_or_refused(void **unused)
{
    (void)unused;
    char *text = malloc(ROOM);
    for (int i = 0; i < FILES; i++) {
        char path[512];
        void *data;
        snprintf(path, sizeof path, "%s/%s", DATA_FOLDER, names[i]);
        assert_int_equal(tw_os_read_file(path, (size_t)64 << 20, &data, &length[i]), TW_OK);
        file[i] = data;
    }
    for (int i = 0; i < MUTANTS; i++) {
        size_t n = begin(text);
        for (int pieces = random_between(1, 3); pieces; pieces--)
            n += some_lines(text + n, ROOM / 4);
        if (random01() < 0.8)
            n = damage(text, n, ROOM);
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees reading beyond the end */
        memcpy(exact, text, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    for (int i = 0; i < FILES; i++)
        tw_free(file[i]);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mutants_are_accepted_or_refused)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", MUTANTS);
    return failed;
}
