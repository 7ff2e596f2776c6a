/* Files that are damaged, cut off, foreign, or on a disk that is full: an error that says so, never a crash, never more
 * memory than the file could stand for; and what was there before a failed or killed save stays, whole. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "capture/capture.h"
#include "cli/model.h"
#include "tilewright/ops.h"

static int checks;
static char folder[64], path[128];

#define SHAPE(...)                                                                                                     \
    (int)(sizeof(((int64_t[]){__VA_ARGS__})) / sizeof(int64_t)), (int64_t[])                                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

enum { MOST_BYTES = 1 << 20 };
static unsigned char whole[MOST_BYTES];
static size_t whole_bytes;

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void read_whole(const char *from)
{
    FILE *f = fopen(from, "rb");
    assert_non_null(f);
    whole_bytes = fread(whole, 1, sizeof whole, f);
    fclose(f);
    assert_true(whole_bytes > 0 && whole_bytes < sizeof whole);
}

static void write_bytes(const char *to, const void *data, size_t bytes)
{
    FILE *f = fopen(to, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static int files_in_folder(void)
{
    DIR *d = opendir(folder);
    int count = 0;
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* ---- damaged ---- */

/* Reads a file of one kind. */
typedef tw_status reader(const char *from);

static tw_status read_npy(const char *from)
{
    tw_status status = TW_OK;
    TW_SCOPE {
        status = tw_tensor_status(tw_load_npy(from));
    }
    return status;
}

static tw_status read_safetensors(const char *from)
{
    tw_tensor_file *f = NULL;
    TW_TRY(tw_open_safetensors(from, &f));
    tw_status status = TW_OK;
    for (int i = 0; i < tw_file_count(f) && status == TW_OK; i++) {
        TW_SCOPE {
            status = tw_tensor_status(tw_file_tensor(f, tw_file_name(f, i)));
        }
    }
    tw_close_safetensors(f);
    return status;
}

static const tw_gpt_config config = {.layers = 1, .dim = 4, .heads = 2, .context = 4, .vocabulary = 3};
static tw_gpt model;
static tw_adamw optimiser;

/* Sizes that differ from the model's are found when its tensors are looked for: nothing of another size is made. */
static tw_status read_checkpoint(const char *from)
{
    tw_tensor_file *f = NULL;
    tw_gpt_config found;
    vocabulary words;
    uint64_t random;
    TW_TRY(checkpoint_config(from, &f, &found, &words));
    tw_status status = checkpoint_restore(f, &model, &optimiser, &random);
    tw_close_safetensors(f);
    return status;
}

static void expect_clear(tw_status status, const char *what, size_t at)
{
    if (status != TW_OK && (status == TW_ERR_INTERNAL || status == TW_ERR_MEMORY || strlen(tw_error_message()) < 10))
        fail_msg("%s at byte %zu: %s: %s", what, at, tw_status_name(status), tw_error_message());
    size_t largest = tw_memory_largest();
    if (largest > (1 << 20))
        fail_msg("%s at byte %zu: %zu bytes of memory were asked for", what, at, largest);
    checks += 2;
}

/* Every bit of the first bytes and one of each later one is turned, every length tried. The content of the data may be
 * anything, so that a file whose header was not hit may be read. */
static void damage(reader *read, const char *from, size_t header)
{
    static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x20};
    read_whole(from);
    assert_int_equal(read(from), TW_OK);
    tw_memory_largest();
    for (size_t i = 0; i < whole_bytes; i++) {
        for (size_t k = 0; k < (i < header ? TW_COUNT(masks) : 1); k++) {
            whole[i] ^= masks[k];
            write_bytes(in_folder("damaged"), whole, whole_bytes);
            whole[i] ^= masks[k];
            tw_error_clear();
            expect_clear(read(path), "damaged", i);
        }
    }
    for (size_t i = 0; i < whole_bytes; i++) {
        write_bytes(in_folder("damaged"), whole, i);
        tw_status status = read(path);
        expect_clear(status, "cut off", i);
        if (status == TW_OK)
            fail_msg("cut off after byte %zu: no error", i);
    }
    whole[whole_bytes] = 0;
    write_bytes(in_folder("damaged"), whole, whole_bytes + 1);
    assert_int_not_equal(read(path), TW_OK);
}

static void npy(void **state)
{
    (void)state;
    TW_SCOPE {
        tw_tensor *t = tw_arange(0, 15, 1, TW_F64);
        assert_int_equal(tw_save_npy(in_folder("good.npy"), tw_reshape(t, SHAPE(3, 5))), TW_OK);
    }
    char good[128];
    snprintf(good, sizeof good, "%s", path);
    damage(read_npy, good, 128);
}

static void safetensors(void **state)
{
    (void)state;
    char good[128];
    snprintf(good, sizeof good, "%s", in_folder("good.safetensors"));
    TW_SCOPE {
        tw_tensor *x = tw_arange(0, 15, 1, TW_F32), *y = tw_ones(SHAPE(2, 3), TW_BF16), *z = tw_zeros(SHAPE(0), TW_I64);
        assert_int_equal(tw_save_safetensors(good, 3, (const char *[]){"x", "y", "z"}, (tw_tensor *[]){x, y, z}, 1,
                                             (const char *[]){"key"}, (const char *[]){"value"}),
                         TW_OK);
    }
    damage(read_safetensors, good, 400);
}

static void checkpoint(void **state)
{
    (void)state;
    const vocabulary words = {.size = 3, .byte = "abc"};
    char good[128];
    snprintf(good, sizeof good, "%s", in_folder("good.checkpoint"));
    TW_SCOPE {
        assert_int_equal(tw_gpt_init(&model, &config), TW_OK);
        assert_int_equal(tw_adamw_init(&optimiser, &model.parameters, 1e-3), TW_OK);
    }
    assert_int_equal(checkpoint_save(good, &model, &optimiser, &words, 5), TW_OK);
    damage(read_checkpoint, good, 300);
}

/* Headers that claim what isn't there. */
static void claims(void **state)
{
    static const char *const npy_headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (1000000, 1000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1, 1), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, ), }",
        "{'descr': '>f4', 'fortran_order': False, 'shape': (1, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, ), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807), }",
    };
    static const char *const headers[] = {
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1099511627776],\"data_offsets\":[0,4]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4398046511104]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",
        "{\"x\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_"
        "offsets\":[0,4]}}",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"z\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
        "offsets\":[0,2]}}",
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"z\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
        "offsets\":[2,3]}}",
        "{\"x\":7}",
        "{\"__metadata__\":7,\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[0,9223372036854775807],\"data_offsets\":[0,0]},"
        "\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "[]",
        "{",
    };
    (void)state;
    unsigned char file[600];
    tw_memory_largest();
    for (size_t i = 0; i < TW_COUNT(npy_headers); i++) {
        size_t length = strlen(npy_headers[i]);
        memcpy(file, "\x93NUMPY\1\0", 8);
        file[8] = (unsigned char)length;
        file[9] = 0;
        memcpy(file + 10, npy_headers[i], length);
        memset(file + 10 + length, 0, 4);
        write_bytes(in_folder("claims"), file, 10 + length + 4);
        tw_status status = read_npy(path);
        assert_int_not_equal(status, TW_OK);
        expect_clear(status, npy_headers[i], i);
    }
    for (size_t i = 0; i < TW_COUNT(headers); i++) {
        uint64_t length = strlen(headers[i]);
        memcpy(file, &length, 8);
        memcpy(file + 8, headers[i], length);
        memset(file + 8 + length, 0, 4);
        write_bytes(in_folder("claims"), file, 8 + length + 4);
        tw_status status = read_safetensors(path);
        if (strstr(headers[i], "__metadata__") == NULL && strstr(headers[i], "\"y\"") == NULL)
            assert_int_not_equal(status, TW_OK);
        expect_clear(status, headers[i], i);
    }
    memset(file, 0xff, 8); /* a header of 2^64 - 1 bytes */
    write_bytes(in_folder("claims"), file, 100);
    assert_int_equal(read_safetensors(path), TW_ERR_FORMAT);
}

/* A header of a hundred thousand tensors is read in about the time that its text takes. */
static void many_tensors(void **state)
{
    enum { TENSORS = 100000 };
    tw_text header = {0};
    tw_tensor_file *f = NULL;
    (void)state;
    for (int i = 0; i < TENSORS; i++)
        tw_text_add(&header, "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? "," : "{", i, i,
                    i + 1);
    tw_text_add(&header, "}");
    uint64_t length = header.count;
    char *file = calloc(1, 8 + header.count + TENSORS);
    assert_non_null(file);
    assert_false(header.failed);
    memcpy(file, &length, 8);
    memcpy(file + 8, header.data, header.count);
    write_bytes(in_folder("many"), file, 8 + header.count + TENSORS);
    assert_int_equal(tw_open_safetensors(path, &f), TW_OK);
    assert_int_equal(tw_file_count(f), TENSORS);
    for (int i = 0; i < TENSORS; i++)
        assert_int_equal(atoi(tw_file_name(f, i)), i);
    assert_null(tw_file_name(f, TENSORS));
    tw_close_safetensors(f);
    free(file);
    tw_text_free(&header);
}

/* ---- killed while saving ---- */

enum { COPIES = 3, ELEMENTS = 20000, KILLS = 60 };

/* All elements and the metadata have the number of the save. */
static tw_status save_generation(const char *to, int generation)
{
    static const char *const names[COPIES] = {"a", "b", "c"};
    tw_tensor *t[COPIES];
    char text[16];
    tw_status status = TW_OK;
    snprintf(text, sizeof text, "%d", generation);
    TW_SCOPE {
        for (int i = 0; i < COPIES; i++)
            t[i] = tw_full_like_value(SHAPE(ELEMENTS), generation, TW_I32);
        status = tw_save_safetensors(to, COPIES, names, t, 1, (const char *[]){"generation"}, (const char *[]){text});
    }
    return status;
}

static int generation_in(const char *from)
{
    tw_tensor_file *f = NULL;
    if (tw_open_safetensors(from, &f) != TW_OK)
        fail_msg("after a kill: %s", tw_error_message());
    const char *text = tw_file_metadata(f, "generation");
    assert_non_null(text);
    int generation = atoi(text);
    TW_SCOPE {
        for (int i = 0; i < COPIES; i++) {
            const int32_t *data = tw_data(tw_file_tensor(f, (const char *[]){"a", "b", "c"}[i]));
            assert_non_null(data);
            for (int k = 0; k < ELEMENTS; k++)
                if (data[k] != generation)
                    fail_msg("after a kill: element %d of tensor %d is of save %d, the file of save %d", k, i,
                             (int)data[k], generation);
        }
    }
    tw_close_safetensors(f);
    return generation;
}

static void killed_while_saving(void **state)
{
    char to[128];
    int generation = 1, moved_on = 0;
    (void)state;
    snprintf(to, sizeof to, "%s", in_folder("killed.safetensors"));
    assert_int_equal(save_generation(to, generation), TW_OK);
    srand(1);
    for (int i = 0; i < KILLS; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int k = generation + 1; k < generation + 1000; k++)
                if (save_generation(to, k) != TW_OK)
                    _exit(1);
            _exit(0);
        }
        usleep((useconds_t)(rand() % 12000));
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        int now = generation_in(to);
        assert_true(now >= generation);
        moved_on += now > generation;
        generation = now;
        checks++;
    }
    print_message("killed %d times, %d times after at least one save, %d saves in all\n", KILLS, moved_on, generation);
    assert_true(moved_on > 0);
}

/* ---- a full disk ---- */

/* In a process of its own: what it is allowed to write is limited. Returns whether both saves failed as they should. */
static bool saves_fail(const char *st, const char *np)
{
    static const char *const name = "x";
    bool fine = true;
    TW_SCOPE {
        tw_tensor *x = tw_ones(SHAPE(100000), TW_F32);
        fine = tw_save_safetensors(st, 1, &name, &x, 0, NULL, NULL) == TW_ERR_IO && strstr(tw_error_message(), st);
        fine = tw_save_npy(np, x) == TW_ERR_IO && strstr(tw_error_message(), np) && fine;
    }
    return fine;
}

static void expect_kept(const char *st, const char *np, int files)
{
    TW_SCOPE {
        tw_tensor_file *f = NULL;
        assert_int_equal(tw_open_safetensors(st, &f), TW_OK);
        assert_int_equal(tw_numel(tw_file_tensor(f, "x")), 10);
        tw_close_safetensors(f);
        assert_int_equal(tw_numel(tw_load_npy(np)), 10);
    }
    assert_int_equal(files_in_folder(), files);
    checks += 3;
}

static void limited(const char *st, const char *np, rlim_t most)
{
    static const char *const name = "x";
    TW_SCOPE {
        tw_tensor *x = tw_ones(SHAPE(10), TW_F32);
        assert_int_equal(tw_save_safetensors(st, 1, &name, &x, 0, NULL, NULL), TW_OK);
        assert_int_equal(tw_save_npy(np, x), TW_OK);
    }
    int files = files_in_folder(), status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        if (most)
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){most, most});
        _exit(saves_fail(st, np) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    expect_kept(st, np, files);
}

static void full_disk(void **state)
{
    char st[160], np[160], mounted[128], before[sizeof folder];
    (void)state;
    snprintf(st, sizeof st, "%s", in_folder("kept.safetensors"));
    snprintf(np, sizeof np, "%s", in_folder("kept.npy"));
    limited(st, np, 4096);   /* the header fits */
    limited(st, np, 100);    /* nothing does */
    limited(st, np, 399990); /* all but the end */
    snprintf(mounted, sizeof mounted, "%s", in_folder("small"));
    assert_int_equal(tw_os_make_folders(mounted), TW_OK);
    if (mount("tmpfs", mounted, "tmpfs", 0, "size=64k") != 0) {
        print_message("no file system could be mounted: a limit stood for the full disk\n");
        return;
    }
    memcpy(before, folder, sizeof before);
    strcat(folder, "/small");
    snprintf(st, sizeof st, "%s/kept.safetensors", mounted);
    snprintf(np, sizeof np, "%s/kept.npy", mounted);
    limited(st, np, 0);
    memcpy(folder, before, sizeof before);
    assert_int_equal(umount(mounted), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_while_saving), /* first: it forks, and nothing has started a thread yet */
        cmocka_unit_test(full_disk),           cmocka_unit_test(many_tensors), cmocka_unit_test(npy),
        cmocka_unit_test(safetensors),         cmocka_unit_test(checkpoint),   cmocka_unit_test(claims),
    };
    char command[128];
    snprintf(folder, sizeof folder, "/tmp/tw-files-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    tw_library_init();
    tw_memory_watch();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    tw_adamw_free(&optimiser);
    tw_gpt_free(&model);
    tw_scope_end_all();
    tw_generator_forget();
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || failed;
}
