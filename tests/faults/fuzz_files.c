/* Any bytes as a file of tensors: safetensors, or .npy where they begin as one does. What is accepted is looked at
 * whole, written, and read again to the same thing. Nothing may crash, hang or leak. Entry of libFuzzer (make fuzz
 * TARGET=safetensors, TARGET=npy). */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/npy.h"
#include "tilewright/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, tw_error_message());
    abort();
}

static bool same(tw_tensor *a, tw_tensor *b)
{
    if (tw_tensor_status(a) != TW_OK || tw_tensor_status(b) != TW_OK || tw_rank(a) != tw_rank(b) ||
        tw_tensor_dtype(a) != tw_tensor_dtype(b))
        return false;
    for (int i = 0; i < tw_rank(a); i++)
        if (tw_size(a, i) != tw_size(b, i))
            return false;
    size_t bytes = (size_t)tw_numel(a) * tw_dtype_size(tw_tensor_dtype(a));
    return bytes == 0 || memcmp(tw_data(a), tw_data(b), bytes) == 0;
}

static char folder_path[64];

static void remove_folder(void)
{
    rmdir(folder_path);
}

/* In memory, for the files that are written. */
static const char *folder(void)
{
    if (!folder_path[0]) {
        snprintf(folder_path, sizeof folder_path, "/dev/shm/tw-fuzz.XXXXXX");
        must(mkdtemp(folder_path) != NULL, "a folder for files");
        atexit(remove_folder);
    }
    return folder_path;
}

static void show(tw_tensor *x)
{
    char *text = tw_print_text(x);
    must(text != NULL, "what was read can be printed");
    tw_text_release(text);
}

/* Arrays of dtypes that tensors don't have, too. */
static void array(const char *path)
{
    char copy[96];
    tw_npy n, again;
    if (tw_npy_read(path, &n) != TW_OK)
        return;
    snprintf(copy, sizeof copy, "%s/copy.npy", folder());
    must(tw_npy_write(copy, &n) == TW_OK && tw_npy_read(copy, &again) == TW_OK, "what was read can be written");
    must(n.dtype == again.dtype && n.rank == again.rank && n.count == again.count, "another type");
    must(!memcmp(n.shape, again.shape, (size_t)n.rank * sizeof *n.shape), "another shape");
    must(!memcmp(n.data, again.data, (size_t)n.count * tw_dtype_size(n.dtype)), "other elements");
    tw_free(n.data);
    tw_free(again.data);
    unlink(copy);
}

static void npy(const char *path)
{
    char copy[96];
    array(path);
    tw_tensor *x = tw_load_npy(path);
    if (tw_tensor_status(x) != TW_OK)
        return;
    snprintf(copy, sizeof copy, "%s/copy.npy", folder());
    must(tw_save_npy(copy, x) == TW_OK, "what was read can be written");
    must(same(x, tw_load_npy(copy)), "what was written is read");
    show(x);
    unlink(copy);
}

static void safetensors(const char *path)
{
    enum { MOST = 64 };
    const char *name[MOST];
    tw_tensor *tensor[MOST];
    char copy[96];
    tw_tensor_file *f, *again;
    if (tw_open_safetensors(path, &f) != TW_OK)
        return;
    int count = tw_file_count(f) < MOST ? tw_file_count(f) : MOST;
    for (int i = 0; i < count; i++) {
        name[i] = tw_file_name(f, i);
        tensor[i] = tw_file_tensor(f, name[i]);
        must(tw_tensor_status(tensor[i]) == TW_OK || tw_tensor_status(tensor[i]) == TW_ERR_DTYPE,
             "a tensor of the file");
    }
    tw_file_metadata(f, "format");
    for (int i = 0; i < count; i++)
        if (tw_tensor_status(tensor[i]) != TW_OK)
            count = 0; /* of a dtype that others have */
    for (int i = 0; i < count; i++)
        show(tensor[i]);
    snprintf(copy, sizeof copy, "%s/copy.safetensors", folder());
    must(tw_save_safetensors(copy, count, name, tensor, 0, NULL, NULL) == TW_OK, "what was read can be written");
    must(tw_open_safetensors(copy, &again) == TW_OK && tw_file_count(again) == count, "what was written is read");
    for (int i = 0; i < count; i++)
        must(same(tensor[i], tw_file_tensor(again, name[i])), name[i]);
    tw_close_safetensors(again);
    tw_close_safetensors(f);
    unlink(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int file = -1;
    char path[64];
    if (file < 0)
        file = memfd_create("fuzz", 0);
    must(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, bytes, 0) == (ssize_t)bytes, "a file in memory");
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    TW_SCOPE {
        if (bytes > 0 && data[0] == 0x93)
            npy(path);
        else
            safetensors(path);
    }
    return 0;
}
