/* The operating system, POSIX flavour (Linux where it matters: huge pages, peak memory, cgroup limits). */
#define _GNU_SOURCE
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif
#include <time.h>
#include <unistd.h>

uint64_t tw_os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int tw_os_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? TW_MAX(CPU_COUNT(&set), 1) : 1;
}

static size_t status_kib(const char *field)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0, length = strlen(field);
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, length))
            kib = strtoull(line + length, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

size_t tw_os_peak_rss_bytes(void)
{
    return status_kib("VmHWM:") * 1024;
}

size_t tw_os_rss_bytes(void)
{
    return status_kib("VmRSS:") * 1024;
}

void tw_os_reset_peak_rss(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

size_t tw_os_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    char text[64] = "";
    unsigned long long limit = f && fgets(text, sizeof text, f) ? strtoull(text, NULL, 10) : 0;
    if (limit > 0 && limit < bytes) /* "max": none */
        bytes = (size_t)limit;
    if (f)
        fclose(f);
    return bytes;
}

void tw_os_prefer_huge_pages(void *at, size_t bytes)
{
    enum { WORTH_IT = 4 << 20 };
    uintptr_t page = 4096, start = ((uintptr_t)at + page - 1) & ~(page - 1),
              end = ((uintptr_t)at + bytes) & ~(page - 1);
    if (bytes >= WORTH_IT && end > start)
        madvise((void *)start, end - start, MADV_HUGEPAGE);
}

#if defined __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

/* A sanitizer must see every block come and go. */
size_t tw_os_block_bytes(void *block)
{
#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ &&                              \
    !HAS_FEATURE(address_sanitizer) && !HAS_FEATURE(thread_sanitizer) && !HAS_FEATURE(memory_sanitizer)
    return malloc_usable_size(block);
#else
    (void)block;
    return 0;
#endif
}

bool tw_os_terminal(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

/* ---- files ---- */

static tw_status refused(const char *what, const char *path)
{
    return tw_error(TW_ERR_IO, "%s %s: %s", what, path, strerror(errno));
}

tw_status tw_os_read_file(const char *path, size_t most, void **data, size_t *bytes)
{
    struct stat info;
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refused("cannot open", path);
    tw_status status = fstat(fd, &info) != 0 ? refused("cannot read", path) : TW_OK;
    if (status == TW_OK && S_ISDIR(info.st_mode))
        status = tw_error(TW_ERR_IO, "cannot read %s: it is a folder; expected a file", path);
    if (status == TW_OK && (uint64_t)info.st_size > most)
        status = tw_error(TW_ERR_VALUE, "%s has %lld bytes; expected at most %zu", path, (long long)info.st_size, most);
    if (status == TW_OK && !(*data = tw_alloc((size_t)info.st_size + 1)))
        status = TW_ERR_MEMORY;
    while (status == TW_OK && *bytes < (size_t)info.st_size) {
        ssize_t got = read(fd, (char *)*data + *bytes, (size_t)info.st_size - *bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = refused("cannot read", path);
        if (got <= 0)
            break;
        *bytes += (size_t)got;
    }
    close(fd);
    if (status != TW_OK) {
        tw_free(*data);
        *data = NULL;
    } else {
        ((char *)*data)[*bytes] = '\0';
    }
    return status;
}

struct tw_os_writer {
    int fd;
    char *path, *temporary; /* temporary: NULL where there is nothing to replace: a device, a pipe */
};

static void free_writer(tw_os_writer *w)
{
    tw_free(w->path);
    tw_free(w->temporary);
    tw_free(w);
}

/* Not mkstemp, whose files only their owner may read: the umask is the user's, and can't be read without setting it for
 * all threads. */
static tw_status open_temporary(tw_os_writer *w, size_t room)
{
    enum { TRIES = 100 };
    static _Atomic unsigned next;
    struct stat info;
    if (stat(w->path, &info) == 0 && S_ISDIR(info.st_mode))
        return tw_error(TW_ERR_IO, "cannot write %s: it is a folder; expected a file", w->path);
    for (int i = 0; i < TRIES && w->fd < 0 && (i == 0 || errno == EEXIST); i++) {
        unsigned long long unique = (tw_os_now_ns() ^ (uint64_t)getpid() << 40) + atomic_fetch_add(&next, 1);
        snprintf(w->temporary, room, "%s.tmp.%016llx", w->path, unique);
        w->fd = open(w->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    return w->fd >= 0 ? TW_OK : refused("cannot write beside", w->path);
}

tw_status tw_os_writer_open(const char *path, tw_os_writer **writer)
{
    tw_os_writer *w = tw_alloc_zero(1, sizeof *w);
    *writer = NULL;
    if (!w)
        return TW_ERR_MEMORY;
    size_t room = strlen(path) + sizeof ".tmp.0123456789abcdef";
    struct stat info;
    bool replaced = stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode);
    w->fd = -1;
    w->path = tw_strdup(path);
    w->temporary = replaced ? tw_alloc(room) : NULL;
    if (!w->path || (replaced && !w->temporary)) {
        free_writer(w);
        return TW_ERR_MEMORY;
    }
    tw_status status = replaced ? open_temporary(w, room) : TW_OK;
    if (!replaced && (w->fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        status = refused("cannot write", path);
    if (status == TW_OK)
        *writer = w;
    else
        free_writer(w);
    return status;
}

tw_status tw_os_writer_write(tw_os_writer *w, const void *data, size_t bytes)
{
    for (const char *at = data; bytes;) {
        ssize_t put = write(w->fd, at, bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return refused("cannot write", w->path);
        at += put;
        bytes -= (size_t)put;
    }
    return TW_OK;
}

static void sync_folder_of(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) >= sizeof folder)
        return;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

tw_status tw_os_writer_commit(tw_os_writer *w, bool durable)
{
    tw_status status = !durable || fsync(w->fd) == 0 || errno == EINVAL ? TW_OK : refused("cannot write", w->path);
    if (close(w->fd) != 0 && status == TW_OK)
        status = refused("cannot write", w->path);
    if (status == TW_OK && w->temporary && rename(w->temporary, w->path) != 0)
        status = refused("cannot replace", w->path);
    if (status != TW_OK && w->temporary)
        unlink(w->temporary);
    else if (durable && w->temporary)
        sync_folder_of(w->path);
    free_writer(w);
    return status;
}

void tw_os_writer_cancel(tw_os_writer *w)
{
    if (!w)
        return;
    close(w->fd);
    if (w->temporary)
        unlink(w->temporary);
    free_writer(w);
}

tw_status tw_os_map_file(const char *path, const void **data, size_t *bytes)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refused("cannot open", path);
    void *at = MAP_FAILED;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
        at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    tw_status status = at == MAP_FAILED ? tw_error(TW_ERR_IO, "cannot map %s: not a file with content", path) : TW_OK;
    close(fd);
    if (status == TW_OK) {
        *data = at;
        *bytes = (size_t)info.st_size;
    }
    return status;
}

void tw_os_unmap(const void *data, size_t bytes)
{
    munmap((void *)(uintptr_t)data, bytes);
}

tw_status tw_os_make_folders(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return tw_error(TW_ERR_VALUE, "path of %zu bytes is too long", length);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return refused("cannot make folder", part);
    }
    return TW_OK;
}

tw_status tw_os_cache_folder(char *path, size_t room)
{
    const char *own = tw_env("TW_CACHE_DIR"), *xdg = tw_env("XDG_CACHE_HOME"), *home = tw_env("HOME");
    int length = own    ? snprintf(path, room, "%s", own)
                 : xdg  ? snprintf(path, room, "%s/tilewright", xdg)
                 : home ? snprintf(path, room, "%s/.cache/tilewright", home)
                        : -1;
    if (length < 0)
        return tw_error(TW_ERR_IO, "no cache folder: none of TW_CACHE_DIR, XDG_CACHE_HOME and HOME names one");
    if ((size_t)length >= room)
        return tw_error(TW_ERR_IO, "no cache folder: its path has %d bytes; expected less than %zu", length, room);
    return TW_OK;
}

void tw_os_temporary_folder(char *path, size_t room)
{
    const char *own = tw_env("TMPDIR");
    snprintf(path, room, "%s", own && strlen(own) < room ? own : "/tmp");
}

/* ---- threads ---- */

struct tw_os_thread {
    pthread_t id;
    void (*run)(void *);
    void *data;
};

static void *start(void *thread)
{
    tw_os_thread *t = thread;
    t->run(t->data);
    return NULL;
}

tw_status tw_os_thread_start(tw_os_thread **thread, void (*run)(void *), void *data)
{
    tw_os_thread *t = tw_alloc_zero(1, sizeof *t);
    if (!t)
        return TW_ERR_MEMORY;
    t->run = run;
    t->data = data;
    int failed = pthread_create(&t->id, NULL, start, t);
    if (failed) {
        tw_free(t);
        return tw_error(TW_ERR_MEMORY, "cannot start a thread: %s", strerror(failed));
    }
    *thread = t;
    return TW_OK;
}

void tw_os_thread_join(tw_os_thread *thread)
{
    pthread_join(thread->id, NULL);
    tw_free(thread);
}

struct tw_os_lock {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
};

tw_status tw_os_lock_create(tw_os_lock **lock)
{
    *lock = tw_alloc_zero(1, sizeof **lock);
    if (!*lock)
        return TW_ERR_MEMORY;
    pthread_mutex_init(&(*lock)->mutex, NULL);
    pthread_cond_init(&(*lock)->condition, NULL);
    return TW_OK;
}

void tw_os_lock_destroy(tw_os_lock *lock)
{
    if (!lock)
        return;
    pthread_cond_destroy(&lock->condition);
    pthread_mutex_destroy(&lock->mutex);
    tw_free(lock);
}

void tw_os_lock_take(tw_os_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

void tw_os_lock_release(tw_os_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

void tw_os_lock_wait(tw_os_lock *lock)
{
    pthread_cond_wait(&lock->condition, &lock->mutex);
}

void tw_os_lock_signal(tw_os_lock *lock)
{
    pthread_cond_broadcast(&lock->condition);
}

#ifdef __linux__
void tw_os_sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void tw_os_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
void tw_os_sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    if (atomic_load(word) == value)
        sched_yield();
}

void tw_os_wake(_Atomic uint32_t *word)
{
    (void)word;
}
#endif

enum { FREE, TAKEN, SOMEBODY_WAITS };

void tw_os_word_take(_Atomic uint32_t *word)
{
    uint32_t state = FREE;
    if (atomic_compare_exchange_strong(word, &state, TAKEN))
        return;
    while (atomic_exchange(word, SOMEBODY_WAITS) != FREE)
        tw_os_sleep_while(word, SOMEBODY_WAITS);
}

void tw_os_word_release(_Atomic uint32_t *word)
{
    if (atomic_exchange(word, FREE) == SOMEBODY_WAITS)
        tw_os_wake(word);
}

void tw_os_once(_Atomic uint32_t *word, void (*function)(void))
{
    enum { NOT_YET, RUNS, DONE };
    uint32_t state = NOT_YET;
    if (atomic_load_explicit(word, memory_order_acquire) == DONE)
        return;
    if (atomic_compare_exchange_strong(word, &state, RUNS)) {
        function();
        atomic_store(word, DONE);
        tw_os_wake(word);
        return;
    }
    while (atomic_load(word) != DONE)
        tw_os_sleep_while(word, RUNS);
}

void tw_os_pause(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* ---- what threads keep ---- */

enum { MOST_ENDS = 8 };
static _Thread_local struct {
    void (*end[MOST_ENDS])(void);
    int count;
} ends;
static pthread_key_t ends_key;
static _Atomic uint32_t ends_once;

static void run_ends(void *unused)
{
    (void)unused;
    while (ends.count > 0)
        ends.end[--ends.count]();
}

static void make_ends_key(void)
{
    if (pthread_key_create(&ends_key, run_ends) != 0)
        ends_key = (pthread_key_t)-1; /* what threads keep is lost then, which is all that can be done */
}

void tw_os_at_thread_end(void (*end)(void))
{
    for (int i = 0; i < ends.count; i++)
        if (ends.end[i] == end)
            return;
    tw_os_once(&ends_once, make_ends_key);
    if (ends.count < MOST_ENDS && pthread_setspecific(ends_key, &ends) == 0)
        ends.end[ends.count++] = end;
}

/* ---- speech ---- */

static pthread_mutex_t speech;
static pthread_once_t speech_once = PTHREAD_ONCE_INIT;

static void make_speech(void)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&speech, &kind);
    pthread_mutexattr_destroy(&kind);
}

void tw_os_speech_take(void)
{
    pthread_once(&speech_once, make_speech);
    pthread_mutex_lock(&speech);
}

void tw_os_speech_release(void)
{
    pthread_mutex_unlock(&speech);
}
