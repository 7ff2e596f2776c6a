/* What target.c, jit.c and cache.c share. */
#ifndef TW_HOST_H
#define TW_HOST_H

#include <llvm-c/TargetMachine.h>

#include "codegen/codegen.h"

/* A target machine for the calling thread's use; the caller disposes of it. NULL: error set. */
LLVMTargetMachineRef tw_host_machine(void);
const char *tw_host_features(void);

int64_t tw_host_row(int64_t elements);
tw_status tw_host_probe(tw_probe_kind kind, tw_dtype dtype, tw_kernel **kernel, int64_t *work);

/* Compiles and loads a module that defines tw_kernel and tw_scratch; it stays the caller's. */
tw_status tw_host_load_module(LLVMModuleRef module, tw_kernel **kernel);

/* The disk cache: object files by key. All failures only cost the cache. */
tw_status tw_cache_key(const tw_graph *program, tw_hash *key);
bool tw_cache_read(tw_hash key, void **object, size_t *bytes); /* tw_free the object */
void tw_cache_write(tw_hash key, const void *object, size_t bytes);

extern const char tw_codegen_sources[]; /* a hash of this folder's sources, generated */

#endif
