/* Tensors in files: safetensors and .npy. Reading treats files as hostile: bounded and checked. Writing replaces files
 * atomically. */
#ifndef TILEWRIGHT_IO_H
#define TILEWRIGHT_IO_H

#include "tilewright/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* safetensors: named tensors and a text map. Names must differ. */
TW_API tw_status tw_save_safetensors(const char *path, int count, const char *const *names, tw_tensor *const *tensors,
                                     int metadata, const char *const *keys, const char *const *values);
typedef struct tw_tensor_file tw_tensor_file;
TW_API tw_status tw_open_safetensors(const char *path, tw_tensor_file **file);
TW_API int tw_file_count(const tw_tensor_file *file);
TW_API const char *tw_file_name(const tw_tensor_file *file, int i);
TW_API const char *tw_file_metadata(const tw_tensor_file *file,
                                    const char *key); /* NULL: absent; belongs to the file */
TW_API tw_tensor *tw_file_tensor(const tw_tensor_file *file,
                                 const char *name); /* a copy; carries an error when absent */
TW_API void tw_close_safetensors(tw_tensor_file *file);

/* .npy, versions 1 to 3, C or Fortran order. bf16 has no .npy dtype: TW_ERR_DTYPE. */
TW_API tw_status tw_save_npy(const char *path, tw_tensor *t);
TW_API tw_tensor *tw_load_npy(const char *path);

#ifdef __cplusplus
}
#endif
#endif
