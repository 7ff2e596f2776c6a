/* The operating system: everything that isn't ISO C lives behind this header, in src/base/os/, one file per system. */
#ifndef TW_BASE_OS_H
#define TW_BASE_OS_H

#include <stdatomic.h>

#include "base/base.h"

uint64_t tw_os_now_ns(void);       /* monotonic */
int tw_os_cores(void);             /* that this process may run on */
size_t tw_os_peak_rss_bytes(void); /* high-water mark of resident memory */
size_t tw_os_rss_bytes(void);
void tw_os_reset_peak_rss(void); /* where the system can; elsewhere nothing */
size_t tw_os_memory_bytes(void); /* that this process may use: the machine's, or its cgroup's limit */
/* Asks for huge pages behind a large block; a hint. */
void tw_os_prefer_huge_pages(void *at, size_t bytes);
size_t tw_os_block_bytes(void *block); /* of memory from malloc; 0: the system doesn't say */
bool tw_os_terminal(FILE *stream);

/* Whole files. Reading is bounded by `most`; writing is atomic: a reader sees the old file or the new one, whole,
 * also after a crash (temporary file in the same folder, fsync, rename, fsync of the folder). */
tw_status tw_os_read_file(const char *path, size_t most, void **data, size_t *bytes); /* tw_free the data */
typedef struct tw_os_writer tw_os_writer;
tw_status tw_os_writer_open(const char *path, tw_os_writer **writer);
tw_status tw_os_writer_write(tw_os_writer *writer, const void *data, size_t bytes);
tw_status tw_os_writer_commit(tw_os_writer *writer,
                              bool durable);    /* frees the writer in any case; durable: survives a power cut */
void tw_os_writer_cancel(tw_os_writer *writer); /* frees it and leaves what was there before */
tw_status tw_os_map_file(const char *path, const void **data, size_t *bytes); /* read-only mapping */
void tw_os_unmap(const void *data, size_t bytes);
tw_status tw_os_make_folders(const char *path); /* mkdir -p, mode 0700 */
tw_status tw_os_cache_folder(char *path,
                             size_t room); /* TW_CACHE_DIR, else $XDG_CACHE_HOME/tilewright, else ~/.cache/tilewright */
void tw_os_temporary_folder(char *path, size_t room); /* $TMPDIR, else /tmp */

/* Threads for background work (kernels run under OpenMP). */
typedef struct tw_os_thread tw_os_thread;
typedef struct tw_os_lock tw_os_lock;
tw_status tw_os_thread_start(tw_os_thread **thread, void (*run)(void *), void *data);
void tw_os_thread_join(tw_os_thread *thread);
tw_status tw_os_lock_create(tw_os_lock **lock);
void tw_os_lock_destroy(tw_os_lock *lock);
void tw_os_lock_take(tw_os_lock *lock);
void tw_os_lock_release(tw_os_lock *lock);
void tw_os_lock_wait(tw_os_lock *lock);   /* condition variable of the lock: releases, sleeps, takes again */
void tw_os_lock_signal(tw_os_lock *lock); /* wakes all that wait */
/* `end` runs on the calling thread, once, when that ends; not when the process does. For what a thread keeps. */
void tw_os_at_thread_end(void (*end)(void));

/* Sleeps while *word is value; may wake early. tw_os_wake wakes all that sleep on the word. */
void tw_os_sleep_while(_Atomic uint32_t *word, uint32_t value);
void tw_os_wake(_Atomic uint32_t *word);
/* On words that begin as 0, so that nothing must be made first: a function that runs once, and a lock. */
void tw_os_once(_Atomic uint32_t *word, void (*function)(void));
void tw_os_word_take(_Atomic uint32_t *word);
void tw_os_word_release(_Atomic uint32_t *word);
void tw_os_pause(void); /* between two looks at memory that another core is about to change */

/* One lock for what the whole process says, so that it comes in one piece; a thread that has it may take it again. */
void tw_os_speech_take(void);
void tw_os_speech_release(void);

#endif
