/* Large blocks that were freed lately, for the next who wants one of their size.
 *
 * The system gives a large block page by page and zeroed, and takes it back at once: a pointwise operation on new
 * memory spends half of its time there. What is kept is bounded, the oldest goes first, and all of it goes before an
 * allocation fails. */
#include "base/blocks.h"

#include <stdlib.h>

#include "base/os.h"
#include "tilewright/control.h"

enum { MOST_BLOCKS = 32, SHARE_OF_MEMORY = 16 };

typedef struct block {
    void *at;
    size_t bytes;
} block;

static _Atomic uint32_t lock, measured;
static size_t most;
static block kept[MOST_BLOCKS]; /* the oldest first */
static int count;
static size_t total;

static void measure(void)
{
    most = tw_os_memory_bytes() / SHARE_OF_MEMORY;
}

static block remove_at(int i)
{
    block b = kept[i];
    total -= b.bytes;
    memmove(kept + i, kept + i + 1, (size_t)(--count - i) * sizeof *kept);
    return b;
}

static bool fits(const block *b, size_t bytes, size_t alignment)
{
    return b->bytes >= bytes && b->bytes - bytes <= bytes / 4 && (uintptr_t)b->at % alignment == 0;
}

void *tw_block_take(size_t bytes, size_t alignment)
{
    void *found = NULL;
    tw_os_word_take(&lock);
    for (int i = count - 1; i >= 0 && !found; i--)
        if (fits(&kept[i], bytes, alignment))
            found = remove_at(i).at;
    tw_os_word_release(&lock);
    return found;
}

bool tw_block_keep(void *pointer, size_t bytes)
{
    block out[MOST_BLOCKS];
    int outs = 0;
    tw_os_once(&measured, measure);
    if (bytes > most)
        return false;
    tw_os_word_take(&lock);
    while (count == MOST_BLOCKS || total + bytes > most)
        out[outs++] = remove_at(0);
    kept[count++] = (block){pointer, bytes};
    total += bytes;
    tw_os_word_release(&lock);
    for (int i = 0; i < outs; i++)
        free(out[i].at);
    return true;
}

void tw_memory_trim(void)
{
    while (true) {
        tw_os_word_take(&lock);
        block b = count ? remove_at(0) : (block){0};
        tw_os_word_release(&lock);
        if (!b.at)
            return;
        free(b.at);
    }
}
