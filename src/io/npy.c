/* .npy (NumPy enhancement proposal 1): magic, version, a Python dictionary as text, the data. */
#include <stdlib.h>

#include "base/os.h"
#include "io/npy.h"
#include "tensor/record.h"
#include "tilewright/io.h"

static const size_t MOST_FILE = (size_t)1 << 40;
enum { MOST_HEADER = 1 << 20 };

static const struct {
    const char *code;
    tw_dtype dtype;
} codes[] = {{"|b1", TW_BOOL}, {"|u1", TW_U8}, {"<i4", TW_I32}, {"<i8", TW_I64}, {"<f2", TW_F16}, {"<f4", TW_F32},
             {"<f8", TW_F64},  {"|i1", TW_I8}, {"<i2", TW_I16}, {"<u2", TW_U16}, {"<u4", TW_U32}, {"<u8", TW_U64}};

static tw_status write_bytes(const char *path, const tw_text *header, const void *data, size_t bytes)
{
    tw_os_writer *w = NULL;
    const unsigned char start[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(header->count & 255), (unsigned char)(header->count >> 8)};
    TW_TRY(tw_os_writer_open(path, &w));
    tw_status status = tw_os_writer_write(w, start, sizeof start);
    if (status == TW_OK)
        status = tw_os_writer_write(w, header->data, header->count);
    if (status == TW_OK)
        status = tw_os_writer_write(w, data, bytes);
    if (status == TW_OK)
        return tw_os_writer_commit(w, true);
    tw_os_writer_cancel(w);
    return status;
}

tw_status tw_npy_write(const char *path, const tw_npy *n)
{
    const char *code = NULL;
    tw_text header = {0};
    for (size_t i = 0; i < TW_COUNT(codes); i++)
        code = codes[i].dtype == n->dtype ? codes[i].code : code;
    if (!code)
        return tw_error(TW_ERR_DTYPE, "%s: .npy has no dtype for %s", path, tw_dtype_name(n->dtype));
    tw_text_add(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", code);
    for (int i = 0; i < n->rank; i++)
        tw_text_add(&header, "%s%lld%s", i ? ", " : "", (long long)n->shape[i], n->rank == 1 ? "," : "");
    tw_text_add(&header, "), }");
    while ((10 + header.count + 1) % 64 && !header.failed)
        tw_text_add(&header, " ");
    tw_text_add(&header, "\n");
    tw_status status =
        header.failed ? TW_ERR_MEMORY : write_bytes(path, &header, n->data, (size_t)n->count * tw_dtype_size(n->dtype));
    tw_text_free(&header);
    return status;
}

tw_status tw_save_npy(const char *path, tw_tensor *t)
{
    tw_npy n = {
        .dtype = tw_tensor_dtype(t), .rank = tw_rank(t), .count = tw_numel(t), .data = (void *)(uintptr_t)tw_data(t)};
    if (!n.data)
        return tw_error_code();
    for (int i = 0; i < n.rank; i++)
        n.shape[i] = tw_shape(t)[i];
    return tw_npy_write(path, &n);
}

/* What stands after 'key': in the header. */
static const char *after(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    at = at ? strchr(at + strlen(key), ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

static tw_status parse_header(const char *path, const char *header, tw_npy *n, bool *fortran)
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
        return tw_error(TW_ERR_DTYPE, "%s: dtype %.8s; expected one of |b1 |u1 |i1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8",
                        path, descr);
    *fortran = !strncmp(order, "True", 4);
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

/* The last dimension outermost to the last one innermost. */
static void from_fortran(const tw_npy *n, const char *from, char *to)
{
    size_t size = tw_dtype_size(n->dtype);
    for (int64_t i = 0; i < n->count; i++) {
        int64_t rest = i, at = 0, below = 1, index[TW_MAX_RANK];
        for (int d = n->rank - 1; d >= 0; d--) {
            index[d] = rest % n->shape[d];
            rest /= n->shape[d];
        }
        for (int d = 0; d < n->rank; d++) {
            at += index[d] * below;
            below *= n->shape[d];
        }
        memcpy(to + (size_t)i * size, from + (size_t)at * size, size);
    }
}

static tw_status take_data(const char *path, const char *from, size_t bytes, bool fortran, tw_npy *n)
{
    size_t size = tw_dtype_size(n->dtype), wanted;
    if (__builtin_mul_overflow((size_t)n->count, size, &wanted) || wanted != bytes)
        return tw_error(TW_ERR_FORMAT, "%s: %zu bytes of data; expected %lld elements of %zu", path, bytes,
                        (long long)n->count, size);
    if (!(n->data = tw_alloc(TW_MAX(wanted, (size_t)1))))
        return TW_ERR_MEMORY;
    if (fortran)
        from_fortran(n, from, n->data);
    else
        memcpy(n->data, from, wanted);
    return TW_OK;
}

static tw_status read_npy(const char *path, const unsigned char *at, size_t bytes, tw_npy *n)
{
    bool good = bytes >= 12 && !memcmp(at, "\x93NUMPY", 6) && at[6] >= 1 && at[6] <= 3, fortran = false;
    size_t start = good && at[6] > 1 ? 12 : 10;
    size_t length =
        good ? (size_t)at[8] | (size_t)at[9] << 8 | (at[6] > 1 ? (size_t)at[10] << 16 | (size_t)at[11] << 24 : 0) : 0;
    if (!good || length > MOST_HEADER || length > bytes - start)
        return tw_error(TW_ERR_FORMAT, "%s: no .npy file, or a truncated one", path);
    char *header = tw_alloc(length + 1);
    if (!header)
        return TW_ERR_MEMORY;
    memcpy(header, at + start, length);
    header[length] = '\0';
    tw_status status = parse_header(path, header, n, &fortran);
    if (status == TW_OK)
        status = take_data(path, (const char *)at + start + length, bytes - start - length, fortran, n);
    tw_free(header);
    return status;
}

tw_status tw_npy_read(const char *path, tw_npy *n)
{
    void *data = NULL;
    size_t bytes = 0;
    *n = (tw_npy){0};
    TW_TRY(tw_os_read_file(path, MOST_FILE, &data, &bytes));
    tw_status status = read_npy(path, data, bytes, n);
    tw_free(data);
    return status;
}

tw_tensor *tw_load_npy(const char *path)
{
    tw_npy n;
    tw_tensor *t = NULL;
    if (tw_npy_read(path, &n) == TW_OK && n.dtype >= TW_TENSOR_DTYPES)
        tw_error(TW_ERR_DTYPE, "%s: tensors have no dtype %s", path, tw_dtype_name(n.dtype));
    else if (n.data)
        t = tw_from_data(n.data, n.rank, n.shape, n.dtype);
    tw_free(n.data);
    return t ? t : tw_tensor_failed(tw_error_code());
}
