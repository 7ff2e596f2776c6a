/* Compiled kernels on disk, by program, LLVM, machine and the sources of the code generator. An entry is trusted only
 * if its header, length and checksum say so; anything else is compiled again.
 *
 *   offset 0   8 bytes  magic and format        offset 32  16 bytes  checksum of the object
 *          8   16 bytes key                            48  ...       object
 *          24  8 bytes  object's length                                                                  */
#include "codegen/host/host.h"

#include <llvm-c/Core.h>

#include "base/os.h"

enum { MOST_BYTES = 64 << 20 };

typedef struct entry_header {
    char magic[8];
    tw_hash key;
    uint64_t bytes;
    tw_hash sum;
} entry_header;

static const char MAGIC[8] = "TWOBJ01";

tw_status tw_cache_key(const tw_graph *program, tw_hash *key)
{
    unsigned major, minor, patch;
    tw_hash h;
    TW_TRY(tw_graph_hash(program, &h));
    LLVMGetVersion(&major, &minor, &patch);
    h = tw_hash_u64(h, (uint64_t)major << 32 | minor << 16 | patch);
    h = tw_hash_bytes(h, tw_codegen_sources, strlen(tw_codegen_sources));
    h = tw_hash_u64(h, tw_env_on("TW_EXACT"));
    const char *cpu = tw_host_target_get()->cpu, *features = tw_host_features();
    *key = tw_hash_bytes(tw_hash_bytes(h, cpu, strlen(cpu)), features, strlen(features));
    return TW_OK;
}

static bool path_of(tw_hash key, char *path, size_t room)
{
    char folder[3072];
    if (tw_env("TW_CACHE") && !tw_env_on("TW_CACHE"))
        return tw_error(TW_ERR_VALUE, "TW_CACHE is 0") == TW_OK;
    if (tw_os_cache_folder(folder, sizeof folder) != TW_OK)
        return false;
    int n = snprintf(path, room, "%s/%016llx%016llx.o", folder, (unsigned long long)key.hi, (unsigned long long)key.lo);
    return n > 0 && (size_t)n < room;
}

bool tw_cache_read(tw_hash key, void **object, size_t *bytes)
{
    char path[4096];
    void *data = NULL;
    size_t count = 0;
    entry_header h;
    tw_error_state before;
    tw_error_save(&before);
    *object = NULL;
    if (!path_of(key, path, sizeof path) || tw_os_read_file(path, MOST_BYTES, &data, &count) != TW_OK) {
        tw_error_restore(&before);
        return false;
    }
    bool good = count >= sizeof h;
    if (good)
        memcpy(&h, data, sizeof h);
    good = good && !memcmp(h.magic, MAGIC, sizeof MAGIC) && tw_hash_equal(h.key, key) && h.bytes == count - sizeof h &&
           tw_hash_equal(h.sum, tw_hash_bytes(key, (char *)data + sizeof h, count - sizeof h));
    if (good && (*object = tw_alloc(h.bytes))) {
        memcpy(*object, (char *)data + sizeof h, h.bytes);
        *bytes = h.bytes;
        tw_say(TW_LOG_CACHE, "%s serves a kernel of %llu bytes", path, (unsigned long long)h.bytes);
    } else if (!good) {
        tw_say(TW_LOG_CACHE, "%s is not a good entry: compiling again", path);
    }
    tw_free(data);
    tw_error_restore(&before);
    return *object != NULL;
}

void tw_cache_write(tw_hash key, const void *object, size_t bytes)
{
    char path[4096], folder[3072];
    tw_os_writer *w = NULL;
    tw_error_state before;
    tw_error_save(&before);
    entry_header h = {.key = key, .bytes = bytes, .sum = tw_hash_bytes(key, object, bytes)};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    bool fine = path_of(key, path, sizeof path) && tw_os_cache_folder(folder, sizeof folder) == TW_OK &&
                tw_os_make_folders(folder) == TW_OK && tw_os_writer_open(path, &w) == TW_OK;
    if (fine && (tw_os_writer_write(w, &h, sizeof h) != TW_OK || tw_os_writer_write(w, object, bytes) != TW_OK)) {
        tw_os_writer_cancel(w);
        fine = false;
    } else if (fine) {
        fine = tw_os_writer_commit(w, false) == TW_OK;
    }
    if (fine) {
        tw_say(TW_LOG_CACHE, "%s keeps a new kernel of %zu bytes", path, bytes);
    } else {
        tw_say(TW_LOG_CACHE, "not cached: %s", tw_error_message());
    }
    tw_error_restore(&before);
}
