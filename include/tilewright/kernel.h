/* Kernels in Triton's syntax, compiled from source text and launched on plain memory. No Python runs.
 *
 *   tw_kernel_source *s;
 *   tw_kernel_program *add;
 *   tw_kernel_source_create(&s);
 *   tw_kernel_source_add(s, "add.py", text, strlen(text));
 *   const char *const given[] = {"x_ptr:*f32", "y_ptr:*f32", "out_ptr:*f32", "n:i32", "BLOCK=1024"};
 *   tw_kernel_program_create(s, "add_kernel", given, 5, &add);
 *   tw_kernel_launch(add, (int64_t[]){(n + 1023) / 1024, 1, 1},
 *                    (tw_kernel_value[]){{.pointer = x}, {.pointer = y}, {.pointer = out}, {.integer = n}});
 *
 * A failed call returns a status; tw_error_message() says what was wrong. Everything may be called on any thread; one
 * source on one thread at a time. A program doesn't need its source any more. */
#ifndef TILEWRIGHT_KERNEL_H
#define TILEWRIGHT_KERNEL_H

#include "tilewright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- source text ---- files as the public writes them; files of one source may import from each other */
typedef struct tw_kernel_source tw_kernel_source;
TW_API tw_status tw_kernel_source_create(tw_kernel_source **source);
TW_API void tw_kernel_source_destroy(tw_kernel_source *source);
TW_API tw_status tw_kernel_source_add(tw_kernel_source *source, const char *path, const char *text, size_t bytes);
TW_API int tw_kernel_source_count(const tw_kernel_source *source); /* @triton.jit functions */
TW_API const char *tw_kernel_source_name(const tw_kernel_source *source, int i);
TW_API const char *
tw_kernel_source_context(const tw_kernel_source *source); /* of the last failed compilation: the
                                                             line, a caret, the calls; lines of text */

/* ---- a kernel for given types and constants ---- */
typedef struct tw_kernel_program tw_kernel_program;

/* given[i]: "name:*f32" a pointer, "name:i32" a scalar, "NAME=128" a tl.constexpr as Python writes it. What is left
 * out has the default of the text, of @triton.autotune's first configuration or of @triton.heuristics. */
TW_API tw_status tw_kernel_program_create(tw_kernel_source *source, const char *kernel, const char *const *given,
                                          int count, tw_kernel_program **program);
TW_API void tw_kernel_program_destroy(tw_kernel_program *program);

/* What a launch passes, in order: constants are no arguments any more. */
typedef struct tw_kernel_argument {
    const char *name;
    bool pointer;
    tw_dtype dtype; /* of a pointer: of what it points to */
} tw_kernel_argument;
TW_API int tw_kernel_argument_count(const tw_kernel_program *program);
TW_API tw_kernel_argument tw_kernel_argument_at(const tw_kernel_program *program, int i);

/* ---- launching ---- */
typedef union tw_kernel_value {
    void *pointer;
    int64_t integer; /* of integers and bool */
    double number;   /* of floating scalars */
} tw_kernel_value;

/* Runs grid[0] * grid[1] * grid[2] instances and returns when they are done. Arrays of different arguments must be
 * apart or begin at the same address. The first launch compiles (milliseconds); so does the first one of which more is
 * known: an integer that is 1, two arguments with one array (TW_LOG=guards says so; TW_SPECIALISE=0 turns it off).
 * A device_assert that doesn't hold ends the launch with TW_ERR_VALUE. */
TW_API tw_status tw_kernel_launch(tw_kernel_program *program, const int64_t grid[3], const tw_kernel_value *values);

/* Where device_print's lines go; by default nowhere. One call at a time, on any thread. */
TW_API void tw_kernel_print_to(tw_kernel_program *program, void (*print)(void *user, const char *line), void *user);

#ifdef __cplusplus
}
#endif
#endif
