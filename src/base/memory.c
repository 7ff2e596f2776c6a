/* The library's one door to malloc: counts, checks sizes, and fails on request so that tests can walk every error path.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/blocks.h"
#include "base/os.h"
#include "tilewright/control.h"

static _Atomic int64_t allocations;
static _Atomic int64_t fail_at = -1; /* value of `allocations` at which one fails; -1: never */

static bool refused(size_t bytes)
{
    int64_t mine = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (mine != atomic_load_explicit(&fail_at, memory_order_relaxed))
        return false;
    atomic_store(&fail_at, -1);
    tw_error(TW_ERR_MEMORY, "out of memory: %zu bytes were asked for (injected fault)", bytes);
    return true;
}

static void *checked(void *pointer, size_t bytes)
{
    if (!pointer)
        tw_error(TW_ERR_MEMORY, "out of memory: %zu bytes were asked for", bytes);
    return pointer;
}

void *tw_alloc(size_t bytes)
{
    return refused(bytes) ? NULL : checked(malloc(bytes ? bytes : 1), bytes);
}

void *tw_alloc_zero(size_t count, size_t bytes)
{
    if (refused(count * bytes))
        return NULL;
    return checked(calloc(count ? count : 1, bytes ? bytes : 1), count * bytes);
}

void *tw_realloc(void *pointer, size_t bytes)
{
    return refused(bytes) ? NULL : checked(realloc(pointer, bytes ? bytes : 1), bytes);
}

void *tw_alloc_aligned(size_t bytes, size_t alignment)
{
    void *pointer = NULL;
    if (refused(bytes))
        return NULL;
    if (bytes >= LARGE_BLOCK && (pointer = tw_block_take(bytes, alignment)))
        return pointer;
    for (int try = 0; try < 2; try++) {
        if (posix_memalign(&pointer, alignment, bytes ? bytes : 1) == 0) {
            tw_os_prefer_huge_pages(pointer, bytes);
            return pointer;
        }
        tw_memory_trim();
    }
    return checked(NULL, bytes);
}

void tw_free(void *pointer)
{
    size_t bytes = tw_os_block_bytes(pointer);
    if (bytes < LARGE_BLOCK || !tw_block_keep(pointer, bytes))
        free(pointer);
}

char *tw_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tw_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void tw_memory_fail_at(int64_t nth)
{
    atomic_store(&fail_at, nth < 0 ? -1 : atomic_load(&allocations) + nth);
}

int64_t tw_memory_allocations(void)
{
    return atomic_load(&allocations);
}
