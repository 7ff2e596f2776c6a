/* Arenas: blocks that double in size, a pointer that moves, and one free for all. */
#include "base/base.h"

typedef struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) char data[];
} arena_block;

struct tw_arena {
    arena_block *first, *current;
    size_t used, total; /* in the current block; in all */
};

enum { DEFAULT_BLOCK = 16 * 1024, LARGEST_GROWTH = 96 * 1024 };
/* Below what malloc maps and unmaps each time: recording makes an arena a step, whose pages should stay. */

static arena_block *new_block(size_t bytes)
{
    arena_block *block = bytes > SIZE_MAX / 2 ? NULL : tw_alloc(sizeof *block + bytes);
    if (block)
        *block = (arena_block){.size = bytes};
    return block;
}

tw_arena *tw_arena_create(size_t first_block_bytes)
{
    tw_arena *arena = tw_alloc_zero(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->first = arena->current = new_block(first_block_bytes ? first_block_bytes : DEFAULT_BLOCK);
    if (arena->first)
        return arena;
    tw_free(arena);
    return NULL;
}

static void free_from(arena_block *block)
{
    while (block) {
        arena_block *next = block->next;
        tw_free(block);
        block = next;
    }
}

void tw_arena_destroy(tw_arena *arena)
{
    if (!arena)
        return;
    free_from(arena->first);
    tw_free(arena);
}

void tw_arena_reset(tw_arena *arena)
{
    free_from(arena->first->next);
    arena->first->next = NULL;
    arena->current = arena->first;
    arena->used = arena->total = 0;
}

void *tw_arena_alloc(tw_arena *arena, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (rounded < bytes) {
        tw_error(TW_ERR_MEMORY, "out of memory: %zu bytes were asked for", bytes);
        return NULL;
    }
    if (rounded > arena->current->size - arena->used) {
        size_t grown = TW_MIN(2 * arena->current->size, (size_t)LARGEST_GROWTH);
        arena_block *block = new_block(TW_MAX(grown, rounded));
        if (!block)
            return NULL;
        arena->current->next = block;
        arena->current = block;
        arena->used = 0;
    }
    void *at = arena->current->data + arena->used;
    arena->used += rounded;
    arena->total += rounded;
    return at;
}

void *tw_arena_zero(tw_arena *arena, size_t count, size_t bytes)
{
    if (bytes && count > SIZE_MAX / bytes) {
        tw_error(TW_ERR_MEMORY, "out of memory: %zu times %zu bytes were asked for", count, bytes);
        return NULL;
    }
    void *at = tw_arena_alloc(arena, count * bytes);
    return at ? memset(at, 0, count * bytes) : NULL;
}

void *tw_arena_copy(tw_arena *arena, const void *data, size_t bytes)
{
    void *at = tw_arena_alloc(arena, bytes);
    return at && bytes ? memcpy(at, data, bytes) : at;
}

char *tw_arena_text(tw_arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length < 0 ? NULL : tw_arena_alloc(arena, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

size_t tw_arena_bytes(const tw_arena *arena)
{
    return arena->total;
}
