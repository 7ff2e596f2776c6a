/* .npy (NumPy enhancement proposal 1): magic, version, a Python dictionary as text, the data. */
#include <stdlib.h>

#include "base/os.h"
#include "tensor/record.h"
#include "tilewright/io.h"

static const size_t MOST_FILE = (size_t)1 << 40;
enum { MOST_HEADER = 1 << 20 };

static const struct {
    const char *code;
    tw_dtype dtype;
} codes[] = {{"|b1", TW_BOOL}, {"|u1", TW_U8},  {"<i4", TW_I32}, {"<i8", TW_I64},
             {"<f2", TW_F16},  {"<f4", TW_F32}, {"<f8", TW_F64}};

tw_status tw_save_npy(const char *path, tw_tensor *t)
{
    const char *code = NULL;
    tw_text header = {0};
    tw_os_writer *w = NULL;
    const void *data = tw_data(t);
    for (size_t i = 0; i < TW_COUNT(codes); i++)
        code = codes[i].dtype == tw_tensor_dtype(t) ? codes[i].code : code;
    if (!data)
        return tw_error_code();
    if (!code)
        return tw_error(TW_ERR_DTYPE, "%s: .npy has no dtype for %s", path, tw_dtype_name(tw_tensor_dtype(t)));
    tw_text_add(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", code);
    for (int i = 0; i < tw_rank(t); i++)
        tw_text_add(&header, "%s%lld%s", i ? ", " : "", (long long)tw_shape(t)[i], tw_rank(t) == 1 ? "," : "");
    tw_text_add(&header, "), }");
    while ((10 + header.count + 1) % 64 && !header.failed)
        tw_text_add(&header, " ");
    tw_text_add(&header, "\n");
    tw_status status = header.failed ? TW_ERR_MEMORY : tw_os_writer_open(path, &w);
    if (status == TW_OK) {
        unsigned char start[10] = {0x93,
                                   'N',
                                   'U',
                                   'M',
                                   'P',
                                   'Y',
                                   1,
                                   0,
                                   (unsigned char)(header.count & 255),
                                   (unsigned char)(header.count >> 8)};
        status = tw_os_writer_write(w, start, sizeof start);
        if (status == TW_OK)
            status = tw_os_writer_write(w, header.data, header.count);
        if (status == TW_OK)
            status = tw_os_writer_write(w, data, (size_t)tw_numel(t) * tw_dtype_size(tw_tensor_dtype(t)));
        if (status == TW_OK)
            status = tw_os_writer_commit(w, true);
        else
            tw_os_writer_cancel(w);
    }
    tw_text_free(&header);
    return status;
}

typedef struct npy {
    tw_dtype dtype;
    bool fortran;
    int rank;
    int64_t shape[TW_MAX_RANK], count;
} npy;

/* What stands after 'key': in the header. */
static const char *after(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    at = at ? strchr(at + strlen(key), ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

static tw_status parse_header(const char *path, const char *header, npy *n)
{
    const char *descr = after(header, "'descr'"), *order = after(header, "'fortran_order'"),
               *shape = after(header, "'shape'");
    bool known = false;
    if (!descr || !order || !shape || *descr != '\'' || *shape != '(')
        return tw_error(TW_ERR_FORMAT, "%s: the header needs 'descr', 'fortran_order' and 'shape'", path);
    for (size_t i = 0; i < TW_COUNT(codes); i++) {
        if (!strncmp(descr + 1, codes[i].code, 3) && descr[4] == '\'') {
            n->dtype = codes[i].dtype;
            known = true;
        }
    }
    if (!known)
        return tw_error(TW_ERR_DTYPE, "%s: dtype %.8s; expected one of |b1 |u1 <i4 <i8 <f2 <f4 <f8", path, descr);
    n->fortran = !strncmp(order, "True", 4);
    n->count = 1;
    for (const char *at = shape + 1; *at && *at != ')';) {
        char *end;
        long long size = strtoll(at, &end, 10);
        if (end == at || size < 0 || n->rank == TW_MAX_RANK ||
            __builtin_mul_overflow(n->count, (int64_t)size, &n->count))
            return tw_error(TW_ERR_FORMAT, "%s: a wrong shape near '%.16s'", path, at);
        n->shape[n->rank++] = size;
        at = end + strspn(end, ", ");
    }
    return TW_OK;
}

static tw_tensor *failed(void)
{
    return tw_tensor_failed(tw_error_code());
}

tw_tensor *tw_load_npy(const char *path)
{
    void *data = NULL;
    size_t bytes = 0, start, length;
    npy n = {0};
    if (tw_os_read_file(path, MOST_FILE, &data, &bytes) != TW_OK)
        return failed();
    const unsigned char *at = data;
    bool good = bytes >= 12 && !memcmp(at, "\x93NUMPY", 6) && at[6] >= 1 && at[6] <= 3;
    start = good && at[6] > 1 ? 12 : 10;
    length =
        good ? (size_t)at[8] | (size_t)at[9] << 8 | (at[6] > 1 ? (size_t)at[10] << 16 | (size_t)at[11] << 24 : 0) : 0;
    tw_tensor *t = NULL;
    if (!good || length > MOST_HEADER || length > bytes - start) {
        tw_error(TW_ERR_FORMAT, "%s: no .npy file, or a truncated one", path);
    } else {
        char *header = tw_alloc(length + 1);
        if (header) {
            memcpy(header, at + start, length);
            header[length] = '\0';
            if (parse_header(path, header, &n) == TW_OK) {
                size_t size = tw_dtype_size(n.dtype), wanted;
                if (__builtin_mul_overflow((size_t)n.count, size, &wanted) || wanted != bytes - start - length)
                    tw_error(TW_ERR_FORMAT, "%s: %zu bytes of data; expected %lld elements of %zu", path,
                             bytes - start - length, (long long)n.count, size);
                else if (!n.fortran)
                    t = tw_from_data(at + start + length, n.rank, n.shape, n.dtype);
                else {
                    int64_t stride[TW_MAX_RANK], below = 1;
                    for (int i = 0; i < n.rank; i++) {
                        stride[i] = below;
                        below *= n.shape[i];
                    }
                    char *copy = tw_alloc(TW_MAX(wanted, (size_t)1));
                    if (copy) {
                        memcpy(copy, at + start + length, wanted);
                        t = tw_from_memory(copy, n.rank, n.shape, stride, n.dtype, tw_free, copy);
                    }
                }
            }
        }
        tw_free(header);
    }
    tw_free(data);
    return t ? t : failed();
}
