/* safetensors: 8 bytes of header length, a JSON header, the data. https://github.com/huggingface/safetensors (format
 * section). */
#include <jansson.h>
#include <stdlib.h>

#include "base/os.h"
#include "capture/check.h"
#include "io/json.h"
#include "tensor/record.h"
#include "tilewright/io.h"

enum { MOST_HEADER = 64 << 20 };
static const size_t MOST_FILE = (size_t)1 << 40;

typedef struct tensor_entry { /* where a tensor lies; name and JSON are the header's */
    const char *name;
    json_t *json;
    size_t from, to;
} tensor_entry;

struct tw_tensor_file {
    const void *map;
    size_t bytes, data; /* of the file; where the data begins */
    json_t *header;
    tensor_entry *entry; /* in the header's order */
    int count;
};

static const struct {
    const char *name;
    tw_dtype dtype;
} dtypes[] = {{"BOOL", TW_BOOL}, {"U8", TW_U8},     {"I32", TW_I32}, {"I64", TW_I64},
              {"F16", TW_F16},   {"BF16", TW_BF16}, {"F32", TW_F32}, {"F64", TW_F64}};

/* ---- writing ---- */

/* JSON has nothing else: RFC 3629, without overlong forms and surrogates. */
static bool valid_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        int more = *at < 0x80                  ? 0
                   : *at >= 0xc2 && *at < 0xe0 ? 1
                   : *at >> 4 == 0xe           ? 2
                   : *at >= 0xf0 && *at < 0xf5 ? 3
                                               : -1;
        unsigned char least = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80;
        unsigned char most = *at == 0xed ? 0x9f : *at == 0xf4 ? 0x8f : 0xbf;
        if (more < 0 || (more > 0 && (at[1] < least || at[1] > most)))
            return false;
        for (int i = 2; i <= more; i++)
            if (at[i] >> 6 != 2)
                return false;
        at += 1 + more;
    }
    return true;
}

static tw_status add_entry(json_t *header, const char *name, const tw_tensor *t, size_t *offset)
{
    size_t bytes = (size_t)tw_numel(t) * tw_dtype_size(tw_tensor_dtype(t));
    const char *dtype = NULL;
    for (size_t i = 0; i < TW_COUNT(dtypes); i++)
        dtype = dtypes[i].dtype == tw_tensor_dtype(t) ? dtypes[i].name : dtype;
    if (json_object_get(header, name))
        return tw_error(TW_ERR_VALUE, "safetensors: the name '%s' is given twice", name);
    if (!valid_utf8(name))
        return tw_error(TW_ERR_VALUE, "safetensors: the name '%s' is not valid UTF-8", name);
    json_t *entry = json_object(), *shape = json_array(), *offsets = json_array();
    bool fine = json_object_set_new(entry, "dtype", json_string(dtype)) == 0;
    for (int i = 0; i < tw_rank(t); i++)
        fine = json_array_append_new(shape, json_integer(tw_shape(t)[i])) == 0 && fine;
    for (int i = 0; i < 2; i++, *offset += i == 1 ? bytes : 0)
        fine = json_array_append_new(offsets, json_integer((json_int_t)*offset)) == 0 && fine;
    fine = json_object_set_new(entry, "shape", shape) == 0 && fine;
    fine = json_object_set_new(entry, "data_offsets", offsets) == 0 && fine;
    if (!fine)
        json_decref(entry);
    else
        fine = json_object_set_new(header, name, entry) == 0; /* takes it over in any case */
    return fine ? TW_OK : tw_error(TW_ERR_MEMORY, "safetensors: out of memory");
}

static tw_status write_all(tw_os_writer *w, const char *text, int count, tw_tensor *const *tensors)
{
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    uint64_t stored = padded;
    TW_TRY(tw_os_writer_write(w, &stored, sizeof stored)); /* little-endian, as every host we build for */
    TW_TRY(tw_os_writer_write(w, text, length));
    TW_TRY(tw_os_writer_write(w, "       ", padded - length));
    for (int i = 0; i < count; i++) {
        const void *data = tw_data(tensors[i]);
        if (!data)
            return tw_error_code();
        TW_TRY(tw_os_writer_write(w, data, (size_t)tw_numel(tensors[i]) * tw_dtype_size(tw_tensor_dtype(tensors[i]))));
    }
    return TW_OK;
}

tw_status tw_save_safetensors(const char *path, int count, const char *const *names, tw_tensor *const *tensors,
                              int metadata, const char *const *keys, const char *const *values)
{
    json_t *header = json_object(), *map = json_object();
    tw_os_writer *w = NULL;
    size_t offset = 0;
    tw_status status = header && map ? TW_OK : tw_error(TW_ERR_MEMORY, "safetensors: out of memory");
    for (int i = 0; i < metadata && status == TW_OK; i++)
        if (!valid_utf8(keys[i]) || !valid_utf8(values[i]))
            status = tw_error(TW_ERR_VALUE, "safetensors: metadata '%s' is not valid UTF-8", keys[i]);
        else if (json_object_set_new(map, keys[i], json_string(values[i])) != 0)
            status = tw_error(TW_ERR_MEMORY, "safetensors: out of memory");
    if (status == TW_OK && metadata && json_object_set(header, "__metadata__", map) != 0)
        status = tw_error(TW_ERR_MEMORY, "safetensors: out of memory");
    for (int i = 0; i < count && status == TW_OK; i++)
        status = tw_tensor_status(tensors[i]) == TW_OK
                     ? add_entry(header, names[i], tensors[i], &offset)
                     : tw_error(tw_tensor_status(tensors[i]), "safetensors: '%s' carries an error", names[i]);
    char *text = status == TW_OK ? json_dumps(header, JSON_COMPACT) : NULL;
    if (status == TW_OK && !text)
        status = tw_error(TW_ERR_MEMORY, "safetensors: out of memory");
    if (status == TW_OK)
        status = tw_os_writer_open(path, &w);
    if (status == TW_OK && (status = write_all(w, text, count, tensors)) != TW_OK)
        tw_os_writer_cancel(w);
    else if (status == TW_OK)
        status = tw_os_writer_commit(w, true);
    tw_json_free_text(text);
    json_decref(header);
    json_decref(map);
    return status;
}

/* ---- reading ---- */

static tw_status read_entry(tensor_entry *e, size_t data_bytes)
{
    json_t *shape = json_object_get(e->json, "shape"), *offsets = json_object_get(e->json, "data_offsets");
    const char *dtype = json_string_value(json_object_get(e->json, "dtype")), *name = e->name;
    size_t size = 0;
    for (size_t i = 0; dtype && i < TW_COUNT(dtypes); i++)
        size = !strcmp(dtype, dtypes[i].name) ? tw_dtype_size(dtypes[i].dtype) : size;
    if (!size)
        return tw_error(TW_ERR_FORMAT, "safetensors: '%s' has dtype %s; expected one that tensors have", name,
                        dtype ? dtype : "(none)");
    if (!json_is_array(shape) || json_array_size(shape) > TW_MAX_RANK || !json_is_array(offsets) ||
        json_array_size(offsets) != 2)
        return tw_error(TW_ERR_FORMAT, "safetensors: '%s' needs a shape of at most %d sizes and two data_offsets", name,
                        TW_MAX_RANK);
    size_t bytes = size;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        json_t *n = json_array_get(shape, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0 ||
            __builtin_mul_overflow(bytes, (size_t)json_integer_value(n), &bytes))
            return tw_error(TW_ERR_FORMAT, "safetensors: '%s' has a wrong size in dimension %zu", name, i);
    }
    json_t *first = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    json_int_t from = json_is_integer(first) ? json_integer_value(first) : -1,
               to = json_is_integer(end) ? json_integer_value(end) : -1;
    if (from < 0 || to < from || (size_t)to > data_bytes || (size_t)(to - from) != bytes)
        return tw_error(TW_ERR_FORMAT, "safetensors: '%s' has data_offsets %lld to %lld; expected %zu bytes within %zu",
                        name, (long long)from, (long long)to, bytes, data_bytes);
    e->from = (size_t)from;
    e->to = (size_t)to;
    return TW_OK;
}

static int by_place(const void *a, const void *b)
{
    const tensor_entry *x = a, *y = b;
    return x->from != y->from ? (x->from > y->from) - (x->from < y->from) : (x->to > y->to) - (x->to < y->to);
}

/* Entries must lie side by side: no overlap, no byte that belongs to none (the format's own rule). A header has room
 * for a million entries, so they are not compared each with each. */
static tw_status check_cover(const tw_tensor_file *f)
{
    tensor_entry *sorted = tw_alloc(((size_t)f->count + 1) * sizeof *sorted);
    size_t at = 0;
    tw_status status = TW_OK;
    if (!sorted)
        return TW_ERR_MEMORY;
    if (f->count)
        memcpy(sorted, f->entry, (size_t)f->count * sizeof *sorted);
    qsort(sorted, (size_t)f->count, sizeof *sorted, by_place);
    for (int i = 0; i < f->count && status == TW_OK; at = sorted[i++].to)
        if (sorted[i].from != at)
            status =
                tw_error(TW_ERR_FORMAT,
                         "safetensors: '%s' begins at byte %zu of the data; expected %zu, where another tensor ends",
                         sorted[i].name, sorted[i].from, at);
    tw_free(sorted);
    if (status == TW_OK && at != f->bytes - f->data)
        status = tw_error(TW_ERR_FORMAT, "safetensors: tensors hold %zu bytes, the file %zu", at, f->bytes - f->data);
    return status;
}

static tw_status read_entries(tw_tensor_file *f)
{
    const char *name;
    json_t *json;
    if (!(f->entry = tw_alloc_zero(json_object_size(f->header) + 1, sizeof *f->entry)))
        return TW_ERR_MEMORY;
    json_object_foreach(f->header, name, json)
    {
        if (!strcmp(name, "__metadata__"))
            continue;
        tensor_entry *e = &f->entry[f->count++];
        *e = (tensor_entry){.name = name, .json = json};
        TW_TRY(read_entry(e, f->bytes - f->data));
    }
    return check_cover(f);
}

static tw_status parse(tw_tensor_file *f, const char *path)
{
    uint64_t length = 0;
    json_error_t problem;
    if (f->bytes < 8)
        return tw_error(TW_ERR_FORMAT, "%s: %zu bytes are no safetensors file", path, f->bytes);
    memcpy(&length, f->map, 8);
    if (length > MOST_HEADER || length > f->bytes - 8)
        return tw_error(TW_ERR_FORMAT,
                        "%s: a header of %llu bytes in a file of %zu; it is truncated or no safetensors file", path,
                        (unsigned long long)length, f->bytes);
    f->data = 8 + (size_t)length;
    f->header = json_loadb((const char *)f->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &problem);
    if (!f->header)
        return tw_error(TW_ERR_FORMAT, "%s: header, byte %d: %s", path, problem.position, problem.text);
    if (!json_is_object(f->header))
        return tw_error(TW_ERR_FORMAT, "%s: the header is no JSON object", path);
    return read_entries(f);
}

tw_status tw_open_safetensors(const char *path, tw_tensor_file **file)
{
    tw_tensor_file *f = tw_alloc_zero(1, sizeof *f);
    *file = NULL;
    if (!f)
        return TW_ERR_MEMORY;
    tw_status status = tw_os_map_file(path, &f->map, &f->bytes);
    if (status == TW_OK && f->bytes > MOST_FILE)
        status = tw_error(TW_ERR_FORMAT, "%s: too large", path);
    if (status == TW_OK)
        status = parse(f, path);
    if (status == TW_OK)
        *file = f;
    else
        tw_close_safetensors(f);
    return status;
}

void tw_close_safetensors(tw_tensor_file *f)
{
    if (!f)
        return;
    if (f->map)
        tw_os_unmap(f->map, f->bytes);
    json_decref(f->header);
    tw_free(f->entry);
    tw_free(f);
}

int tw_file_count(const tw_tensor_file *f)
{
    return f->count;
}

const char *tw_file_name(const tw_tensor_file *f, int i)
{
    return i >= 0 && i < f->count ? f->entry[i].name : NULL;
}

const char *tw_file_metadata(const tw_tensor_file *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

tw_tensor *tw_file_tensor(const tw_tensor_file *f, const char *name)
{
    json_t *entry = json_object_get(f->header, name), *shape = json_object_get(entry, "shape");
    int64_t dims[TW_MAX_RANK];
    tw_dtype dtype = TW_F32;
    if (!entry || !shape) {
        tw_error(TW_ERR_VALUE, "safetensors: no tensor '%s'", name);
        return tw_tensor_failed(tw_error_code()); /* carries an error */
    }
    for (size_t i = 0; i < json_array_size(shape); i++)
        dims[i] = json_integer_value(json_array_get(shape, i));
    for (size_t i = 0; i < TW_COUNT(dtypes); i++)
        if (!strcmp(dtypes[i].name, json_string_value(json_object_get(entry, "dtype"))))
            dtype = dtypes[i].dtype;
    json_int_t from = json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 0));
    return tw_from_data((const char *)f->map + f->data + from, (int)json_array_size(shape), dims, dtype);
}

__attribute__((constructor)) static void offer_saving(void)
{
    tw_check_saver = tw_save_safetensors;
}
