/* Large blocks that were freed lately: memory.c only. */
#ifndef TW_BASE_BLOCKS_H
#define TW_BASE_BLOCKS_H

#include "base/base.h"

enum { LARGE_BLOCK = 1 << 20 };                      /* bytes from which it is worth it */
void *tw_block_take(size_t bytes, size_t alignment); /* NULL: none that fits */
bool tw_block_keep(void *pointer, size_t bytes);     /* false: the caller frees it */

#endif
