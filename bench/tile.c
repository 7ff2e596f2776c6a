/* The tile language by the clock, from C.
 *
 *   tw_tile compile LIST    compiles every kernel of LIST, nothing cached, and prints for each: kernel, ms. A line of
 *                           LIST: file, kernel, given arguments and constants, with tabs between
 *   tw_tile launch          what a launch costs over its work: ns of one, on one element */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "runtime/runtime.h"
#include "tile/lang/lang.h"
#include "tilewright/control.h"
#include "tilewright/kernel.h"

enum { MOST_GIVEN = 64, ROUNDS = 3 };

static void fail(const char *what)
{
    fprintf(stderr, "tw_tile: %s: %s\n", what, tw_error_message());
    exit(1);
}

static char *read_text(const char *path, size_t *bytes)
{
    void *text;
    if (tw_os_read_file(path, (size_t)1 << 24, &text, bytes) != TW_OK)
        fail(path);
    return text;
}

/* The launch with no instance compiles and runs nothing. */
static double compile_once(const char *path, const char *kernel, const char *const *given, int count)
{
    size_t bytes;
    char *text = read_text(path, &bytes);
    tw_kernel_source *s;
    tw_kernel_program *p;
    tw_kernel_value none[MOST_GIVEN] = {{.integer = 0}};
    clock_t start = clock(); /* of the processor: a compilation is one thread's, and the machine may be busy */
    if (tw_kernel_source_create(&s) != TW_OK || tw_kernel_source_add(s, path, text, bytes) != TW_OK ||
        tw_kernel_program_create(s, kernel, given, count, &p) != TW_OK ||
        tw_kernel_launch(p, (int64_t[]){0, 1, 1}, none) != TW_OK)
        fail(kernel);
    double ms = (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;
    tw_kernel_program_destroy(p);
    tw_kernel_source_destroy(s);
    tw_kernels_forget();
    tw_free(text);
    return ms;
}

static void compile_list(const char *list)
{
    size_t bytes;
    char *text = read_text(list, &bytes), *line, *rest = text;
    while ((line = strsep(&rest, "\n"))) {
        const char *word[MOST_GIVEN + 2];
        int words = 0;
        double best = 1e9;
        for (char *w; words < MOST_GIVEN + 2 && (w = strsep(&line, "\t"));)
            word[words++] = w;
        if (words < 2 || *word[0] == '#')
            continue;
        for (int i = 0; i < ROUNDS; i++) {
            double ms = compile_once(word[0], word[1], word + 2, words - 2);
            best = ms < best ? ms : best;
        }
        printf("%s:%s\t%.2f\n", word[0], word[1], best);
        fflush(stdout);
    }
    tw_free(text);
}

static void launch_cost(void)
{
    enum { LAUNCHES = 20000, TIMES = 15 };
    static const char text[] = "import triton\nimport triton.language as tl\n@triton.jit\n"
                               "def f(x_ptr, y_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):\n"
                               "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
                               "    x = tl.load(x_ptr + i * stride, mask=i < n)\n"
                               "    tl.store(out_ptr + i, x + tl.load(y_ptr + i, mask=i < n), mask=i < n)\n";
    static const char *const given[] = {"x_ptr:*f32", "y_ptr:*f32", "out_ptr:*f32", "n:i32", "stride:i32", "BLOCK=16"};
    float x = 1, y = 2, out = 0;
    tw_kernel_source *s;
    tw_kernel_program *p;
    double best = 1e9;
    if (tw_kernel_source_create(&s) != TW_OK || tw_kernel_source_add(s, "f.py", text, sizeof text - 1) != TW_OK ||
        tw_kernel_program_create(s, "f", given, 6, &p) != TW_OK)
        fail("launch");
    const tw_kernel_value v[] = {{.pointer = &x}, {.pointer = &y}, {.pointer = &out}, {.integer = 1}, {.integer = 1}};
    for (int k = 0; k < TIMES; k++) {
        uint64_t start = tw_os_now_ns();
        for (int i = 0; i < LAUNCHES; i++)
            if (tw_kernel_launch(p, (int64_t[]){1, 1, 1}, v) != TW_OK)
                fail("launch");
        double ns = (double)(tw_os_now_ns() - start) / LAUNCHES;
        best = ns < best ? ns : best;
    }
    if (out != 3)
        fail("the kernel computed something else");
    printf("launch\t%.1f\n", best);
    tw_kernel_program_destroy(p);
    tw_kernel_source_destroy(s);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "compile"))
        compile_list(argv[2]);
    else if (argc == 2 && !strcmp(argv[1], "launch"))
        launch_cost();
    else
        return fprintf(stderr, "usage: tw_tile compile LIST | launch\n"), 2;
    return 0;
}
