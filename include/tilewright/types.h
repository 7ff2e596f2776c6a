/* Types that everything shares: dtypes and status codes. */
#ifndef TILEWRIGHT_TYPES_H
#define TILEWRIGHT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks a function of the shared library's public interface; everything else stays hidden. */
#define TW_API __attribute__((visibility("default")))

/* The most dimensions a tensor can have. */
#define TW_MAX_RANK 8

/* Element types. Tensors take the eight of the first block; the rest exist in tile programs only.
 * The order within the first block is the order of promotion (PyTorch's lattice; f16 with bf16 gives f32). */
typedef enum tw_dtype {
    TW_BOOL,
    TW_U8,
    TW_I32,
    TW_I64,
    TW_F16,
    TW_BF16,
    TW_F32,
    TW_F64,
    TW_TENSOR_DTYPES, /* how many of them a tensor can have */
    TW_I8 = TW_TENSOR_DTYPES,
    TW_I16,
    TW_U16,
    TW_U32,
    TW_U64,
    TW_DTYPES
} tw_dtype;

/* What a failed call returns. The message (tw_error_message) says what was given, what was expected and where. */
typedef enum tw_status {
    TW_OK,
    TW_ERR_MEMORY,      /* an allocation failed */
    TW_ERR_SHAPE,       /* shapes don't fit each other */
    TW_ERR_DTYPE,       /* a dtype that the operation doesn't take */
    TW_ERR_AXIS,        /* an axis out of range */
    TW_ERR_VALUE,       /* any other argument out of its range */
    TW_ERR_IO,          /* the operating system refused (open, read, write, rename) */
    TW_ERR_FORMAT,      /* a file or a text isn't what it should be */
    TW_ERR_UNSUPPORTED, /* valid, but not done by this back end or version */
    TW_ERR_INTERRUPTED, /* stopped on request */
    TW_ERR_INTERNAL     /* a defect of the library (the verifier found it) */
} tw_status;

#ifdef __cplusplus
}
#endif
#endif
