/* two_ways FILE: every kernel of a file that random_kernels.py --write made, interpreted and compiled: the same bits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"
#include "runtime/launch.h"
#include "tile/interpret.h"

enum { BLOCK = 64, PROGRAMS = 3, POINTERS = 8, ROOM = 1 << 14, GUARD = 64 };

static const struct {
    const char *name, *type;
    tw_dtype dtype;
} pointer[POINTERS] = {{"x_ptr", "*i32", TW_I32},    {"y_ptr", "*i32", TW_I32},     {"z_ptr", "*i64", TW_I64},
                       {"u_ptr", "*fp32", TW_F32},   {"v_ptr", "*fp32", TW_F32},    {"int_ptr", "*i32", TW_I32},
                       {"long_ptr", "*i64", TW_I64}, {"float_ptr", "*fp32", TW_F32}};

static uint64_t state;

static uint64_t random_bits(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill(int i, void *data)
{
    for (int k = 0; k < BLOCK * PROGRAMS && i < 5; k++) {
        uint64_t r = random_bits();
        if (pointer[i].dtype == TW_F32)
            ((float *)data)[k] = (float)((double)(int32_t)r * 0x1p-30);
        else if (pointer[i].dtype == TW_I64)
            ((int64_t *)data)[k] = (int64_t)(r % ((uint64_t)1 << 41)) - ((int64_t)1 << 40);
        else
            ((int32_t *)data)[k] = i == 0 ? (int32_t)(r % 200) - 100 : (int32_t)r;
    }
}

static int64_t difference(tw_dtype dtype, const void *a, const void *b)
{
    for (int64_t i = 0; i < ROOM; i++) {
        size_t size = tw_dtype_size(dtype);
        const char *x = (const char *)a + (size_t)i * size, *y = (const char *)b + (size_t)i * size;
        bool nan = dtype == TW_F32 && isnan(*(const float *)(const void *)x) && isnan(*(const float *)(const void *)y);
        if (!nan && memcmp(x, y, size) != 0)
            return i;
    }
    return -1;
}

static tw_status interpret(const tw_lang_program *p, void *const *data)
{
    tw_tile_buffer buffer[POINTERS];
    tw_tile_argument argument[POINTERS + 1];
    for (int i = 0; i < POINTERS; i++) {
        buffer[i] = (tw_tile_buffer){data[i], ROOM * tw_dtype_size(pointer[i].dtype), pointer[i].name, true};
        argument[i] = (tw_tile_argument){i, 0};
    }
    argument[POINTERS] = (tw_tile_argument){-1, 11};
    const tw_tile_run run = {.grid = {PROGRAMS, 1, 1},
                             .buffer = buffer,
                             .buffers = POINTERS,
                             .argument = argument,
                             .arguments = POINTERS + 1,
                             .most_operations = 1 << 26};
    return tw_tile_interpret(p->graph, &run);
}

static tw_status compiled(const tw_lang_program *p, void *const *data)
{
    int64_t word[POINTERS + 1], grid[3] = {PROGRAMS, 1, 1};
    tw_launcher *l;
    for (int i = 0; i < POINTERS; i++)
        word[i] = (int64_t)(uintptr_t)data[i];
    word[POINTERS] = 11;
    TW_TRY(tw_launcher_create(p->graph, NULL, &l));
    tw_status status = tw_launcher_run(l, grid, word, NULL);
    tw_launcher_destroy(l);
    return status;
}

static bool same_both_ways(tw_lang *lang, const char *kernel)
{
    tw_lang_arg args[POINTERS + 2];
    tw_lang_program p = {0};
    void *data[2][POINTERS];
    bool same = true;
    for (int i = 0; i < POINTERS; i++)
        args[i] = (tw_lang_arg){pointer[i].name, TW_LANG_ARG_POINTER, pointer[i].type, NULL};
    args[POINTERS] = (tw_lang_arg){"n", TW_LANG_ARG_SCALAR, "i32", NULL};
    args[POINTERS + 1] = (tw_lang_arg){"B", TW_LANG_ARG_CONSTANT, "64", NULL};
    if (tw_lang_compile(lang, kernel, args, POINTERS + 2, 0, &p) != TW_OK) {
        printf("%s: %s\n", kernel, tw_error_message());
        return false;
    }
    for (int i = 0; i < POINTERS; i++) {
        for (int k = 0; k < 2; k++)
            data[k][i] = tw_alloc_zero(ROOM, 8);
        if (!data[0][i] || !data[1][i])
            exit(2);
        fill(i, data[0][i]);
        memcpy(data[1][i], data[0][i], ROOM * 8);
    }
    if (interpret(&p, data[0]) != TW_OK || compiled(&p, data[1]) != TW_OK) {
        printf("%s: %s\n", kernel, tw_error_message());
        same = false;
    }
    for (int i = 0; i < POINTERS && same; i++) {
        int64_t at = difference(pointer[i].dtype, data[0][i], data[1][i]);
        if (at >= 0) {
            printf("%s: %s[%lld] is %.9g compiled and %.9g interpreted\n", kernel, pointer[i].name, (long long)at,
                   tw_dtype_load(pointer[i].dtype, (char *)data[1][i] + (size_t)at * tw_dtype_size(pointer[i].dtype)),
                   tw_dtype_load(pointer[i].dtype, (char *)data[0][i] + (size_t)at * tw_dtype_size(pointer[i].dtype)));
            same = false;
        }
    }
    for (int i = 0; i < POINTERS; i++) {
        tw_free(data[0][i]);
        tw_free(data[1][i]);
    }
    tw_graph_destroy(p.graph);
    return same;
}

int main(int argc, char **argv)
{
    void *text = NULL;
    size_t bytes = 0;
    int checks = 0, failed = 0;
    tw_lang *lang = tw_lang_create(NULL);
    if (argc != 2 || !lang || tw_os_read_file(argv[1], (size_t)1 << 26, &text, &bytes) != TW_OK ||
        tw_lang_add(lang, argv[1], text, bytes) != TW_OK) {
        printf("usage: two_ways FILE: %s\n", tw_error_message());
        return 2;
    }
    for (int i = 0; i < tw_lang_kernel_count(lang); i++) {
        const char *name = tw_lang_kernel_at(lang, i)->name;
        if (strncmp(name, "kernel_", 7) != 0)
            continue;
        state = strtoull(name + 7, NULL, 10);
        checks++;
        failed += !same_both_ways(lang, name);
    }
    printf("# checks: %d\n%d kernels interpreted and compiled, %d differ\n", checks - failed, checks, failed);
    tw_lang_destroy(lang);
    tw_free(text);
    return failed > 0 || checks == 0;
}
