/* What everything stands on: errors as values, memory, containers, text, hashes, logging, and (os.h) the operating
 * system. Nothing here knows about tensors, graphs or compilers. */
#ifndef TW_BASE_H
#define TW_BASE_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tilewright/control.h"
#include "tilewright/types.h"

#define TW_COUNT(array) (sizeof(array) / sizeof *(array))
#define TW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define TW_MAX(a, b) ((a) > (b) ? (a) : (b))
#define TW_PRINTF(format_at, first) __attribute__((format(printf, format_at, first)))

/* ---- errors: error.c ----
 * Each thread remembers its last error. tw_error formats the message, remembers it and returns the code,
 * so that an error path reads `return tw_error(TW_ERR_SHAPE, "matmul: ...", ...)`. It allocates nothing. */
TW_API tw_status tw_error(tw_status code, const char *format, ...) TW_PRINTF(2, 3);
TW_API const char *tw_error_message(void);    /* "" when there was none */
void tw_error_at(const char *file, int line); /* adds the place to the last error's message, unless it has one */
TW_API tw_status tw_error_code(void);
TW_API void tw_error_clear(void);
/* Around what may fail without harm: the error that was remembered before is remembered again. */
typedef struct tw_error_state {
    tw_status code;
    char message[1024];
    bool located;
} tw_error_state;
void tw_error_save(tw_error_state *state);
void tw_error_restore(const tw_error_state *state);
TW_API const char *tw_status_name(tw_status code); /* "TW_ERR_SHAPE" */

#define TW_TRY(call)                                                                                                   \
    do {                                                                                                               \
        tw_status tw_try_status = (call);                                                                              \
        if (tw_try_status != TW_OK)                                                                                    \
            return tw_try_status;                                                                                      \
    } while (0)

/* ---- memory: memory.c ----
 * All allocation of the library goes through these, so that tests can make the n-th one fail
 * (tw_memory_fail_at) and count what is alive (tw_memory_alive). They return NULL and set TW_ERR_MEMORY; sizes are
 * checked for overflow.
 */
void *tw_alloc(size_t bytes);                           /* uninitialised */
void *tw_alloc_zero(size_t count, size_t bytes);        /* zeroed */
void *tw_realloc(void *pointer, size_t bytes);          /* as realloc */
void *tw_alloc_aligned(size_t bytes, size_t alignment); /* uninitialised; large blocks on huge pages where possible */
void tw_free(void *pointer);                            /* frees any of the above; NULL is fine */
char *tw_strdup(const char *text);
/* For tests; the first call of one of these starts the counting. */
void tw_memory_watch(void);
void tw_memory_fail_at(int64_t nth); /* the n-th allocation from now fails (once); < 0: none */
int64_t tw_memory_allocations(void); /* how many since counting began, failed ones included */
size_t tw_memory_largest(void);      /* the most bytes that were asked for at once since the last call */
int64_t tw_memory_alive(void);       /* not freed yet of those; what is older counts -1 when it is freed */

/* ---- arena: arena.c ---- memory that dies at once. Blocks grow geometrically; allocation is a pointer bump. */
typedef struct tw_arena tw_arena;
tw_arena *tw_arena_create(size_t first_block_bytes); /* 0: a default; NULL on failure */
void tw_arena_destroy(tw_arena *arena);
void tw_arena_reset(tw_arena *arena);                /* keeps the first block, forgets all content */
void *tw_arena_alloc(tw_arena *arena, size_t bytes); /* aligned to 16, uninitialised; NULL on failure */
void *tw_arena_zero(tw_arena *arena, size_t count, size_t bytes);
void *tw_arena_copy(tw_arena *arena, const void *data, size_t bytes);
char *tw_arena_text(tw_arena *arena, const char *format, ...) TW_PRINTF(2, 3);
size_t tw_arena_bytes(const tw_arena *arena); /* allocated from it so far */

/* ---- growing array: a macro family over {data, count, capacity} ----
 *   tw_vec(int) v = {0};  if (!tw_vec_push(&v, 7)) return TW_ERR_MEMORY;  tw_vec_free(&v); */
#define tw_vec(type)                                                                                                   \
    struct {                                                                                                           \
        type *data;                                                                                                    \
        size_t count, capacity;                                                                                        \
    }
bool tw_vec_reserve_(void *vec, size_t element_bytes, size_t wanted);
#define tw_vec_reserve(v, n) ((n) <= (v)->capacity || tw_vec_reserve_((v), sizeof *(v)->data, (n)))
#define tw_vec_push(v, ...)                                                                                            \
    (tw_vec_reserve((v), (v)->count + 1) ? ((v)->data[(v)->count++] = (__VA_ARGS__), true) : false)
#define tw_vec_free(v) (tw_free((v)->data), (v)->data = NULL, (v)->count = (v)->capacity = 0)

/* ---- hash map from 128-bit keys (or 64-bit integers, or pointers) to pointers: containers.c ---- */
typedef struct tw_hash {
    uint64_t lo, hi;
} tw_hash;
tw_hash tw_hash_bytes(tw_hash seed, const void *data, size_t bytes); /* not cryptographic; 128 bits, well mixed */
static inline tw_hash tw_hash_u64(tw_hash h, uint64_t word)          /* the fast step of recording: a few multiplies */
{
    h.lo = (h.lo ^ word) * 0x9e3779b97f4a7c15u;
    h.hi = (h.hi + (h.lo >> 32 | h.lo << 32)) * 0xd6e8feb86659fd93u;
    h.lo ^= h.hi >> 29;
    return h;
}
static inline bool tw_hash_equal(tw_hash a, tw_hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}
typedef struct tw_map tw_map;
tw_map *tw_map_create(void);
void tw_map_destroy(tw_map *map);
void *tw_map_get(const tw_map *map, tw_hash key);       /* NULL: absent */
bool tw_map_put(tw_map *map, tw_hash key, void *value); /* replaces; false: no memory */
void *tw_map_remove(tw_map *map, tw_hash key);          /* what was there */
size_t tw_map_count(const tw_map *map);
bool tw_map_next(const tw_map *map, size_t *cursor, tw_hash *key, void **value); /* cursor starts at 0; any order */
static inline tw_hash tw_key(uint64_t word)
{
    return tw_hash_u64((tw_hash){0x243f6a8885a308d3u, 0x13198a2e03707344u}, word);
}
static inline tw_hash tw_key_pointer(const void *p)
{
    return tw_key((uint64_t)(uintptr_t)p);
}

/* ---- text: text.c ---- a string that grows; after a failed allocation it stays as it is and `failed` is set. */
typedef struct tw_text {
    char *data; /* NUL-terminated once anything was added; tw_text_string gives "" before */
    size_t count, capacity;
    bool failed;
} tw_text;
void tw_text_add(tw_text *text, const char *format, ...) TW_PRINTF(2, 3);
void tw_text_add_bytes(tw_text *text, const char *data, size_t bytes);
const char *tw_text_string(const tw_text *text);
void tw_text_free(tw_text *text);

/* ---- logging: log.c ---- tilewright/control.h says how the program turns stages on and where lines go. */
typedef enum tw_log_stage {
    TW_LOG_GRAPH,
    TW_LOG_DECOMPOSE,
    TW_LOG_SIMPLIFY,
    TW_LOG_FUSION,
    TW_LOG_TILE,
    TW_LOG_LLVM,
    TW_LOG_ASM,
    TW_LOG_PLAN,
    TW_LOG_GUARDS,
    TW_LOG_TIMING,
    TW_LOG_CACHE,
    TW_LOG_CHECK,
    TW_LOG_STAGES
} tw_log_stage;
bool tw_log_on(tw_log_stage stage);
void tw_say(tw_log_stage stage, const char *format, ...) TW_PRINTF(2, 3); /* does nothing when the stage is off */

/* ---- dtypes: dtype.c ---- */
size_t tw_dtype_size(tw_dtype dtype);             /* bytes */
TW_API const char *tw_dtype_name(tw_dtype dtype); /* "f32" */
bool tw_dtype_parse(const char *name, size_t length, tw_dtype *dtype);
static inline bool tw_dtype_floating(tw_dtype t)
{
    return t >= TW_F16 && t <= TW_F64;
}
static inline bool tw_dtype_integral(tw_dtype t) /* bool is not */
{
    return !tw_dtype_floating(t) && t != TW_BOOL;
}
bool tw_dtype_signed(tw_dtype t);
tw_dtype tw_dtype_promote(tw_dtype a, tw_dtype b); /* two tensors that have dimensions: torch.promote_types */
float tw_f16_to_f32(uint16_t bits);
uint16_t tw_f32_to_f16(float value); /* round to nearest even, NaN stays NaN */
float tw_bf16_to_f32(uint16_t bits);
uint16_t tw_f32_to_bf16(float value);
double tw_dtype_load(tw_dtype dtype, const void *at);        /* any dtype to double (i64 beyond 2^53 rounds) */
void tw_dtype_store(tw_dtype dtype, void *at, double value); /* integers: see truncate in dtype.c */

/* ---- strided arrays: strided.c ---- strides in elements, perhaps negative; `size` bytes an element ---- */
bool tw_row_major(int rank, const int64_t *shape, const int64_t *stride);
void tw_copy_from_strides(void *to, const void *from, int rank, const int64_t *shape, const int64_t *stride,
                          size_t size); /* to a row-major array */
void tw_copy_to_strides(void *to, const void *from, int rank, const int64_t *shape, const int64_t *stride,
                        size_t size); /* from a row-major array */

/* ---- environment ---- read at each use: TW_EAGER, TW_CHECK, TW_EXACT, TW_THREADS, TW_CACHE_DIR, TW_CACHE ...
 */
const char *tw_env(const char *name); /* NULL: unset or empty */
bool tw_env_on(const char *name);     /* set and not "0" */
int64_t tw_env_int(const char *name, int64_t otherwise);
tw_tier tw_chosen_tier(void); /* what the program set; tw_get_tier looks at the environment too, and is slower */

#endif
