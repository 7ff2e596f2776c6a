/* LLVM IR to loaded code: a few passes, one object in memory, linked by ORC. The object also goes to the disk cache. */
#include "codegen/host/host.h"
#include "codegen/host/lower.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdatomic.h>

#include "base/os.h"

typedef struct loaded {
    tw_kernel kernel; /* first: what the runtime sees */
    LLVMOrcResourceTrackerRef tracker;
    LLVMOrcJITDylibRef dylib;
} loaded;

/* Constant and tested: an unknown pass name would abort the process. */
static const char PASSES[] = "function(instcombine<no-verify-fixpoint>,early-cse,loop-mssa(licm),early-cse)";

static LLVMOrcLLJITRef jit;
static _Atomic int next_dylib;
static _Atomic uint32_t once;

static tw_status llvm_error(LLVMErrorRef error, const char *what)
{
    char *message = LLVMGetErrorMessage(error);
    tw_status status = tw_error(TW_ERR_INTERNAL, "host: %s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return status;
}

static void start_jit(void)
{
    tw_host_target_get();
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&jit, NULL);
    if (error) {
        llvm_error(error, "cannot start the JIT");
        jit = NULL;
    }
}

static tw_status need_jit(void)
{
    tw_os_once(&once, start_jit);
    return jit ? TW_OK : tw_error(TW_ERR_INTERNAL, "host: the JIT could not be started");
}

/* ---- IR to object ---- */

static tw_status optimise(LLVMModuleRef module, LLVMTargetMachineRef machine)
{
    char *triple = LLVMGetTargetMachineTriple(machine);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetTarget(module, triple);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
    LLVMDisposeMessage(triple);
#ifndef NDEBUG
    char *message = NULL;
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &message)) {
        tw_status status = tw_error(TW_ERR_INTERNAL, "host: LLVM refuses the module: %.600s", message);
        LLVMDisposeMessage(message);
        return status;
    }
    LLVMDisposeMessage(message);
#endif
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(module, PASSES, machine, options);
    LLVMDisposePassBuilderOptions(options);
    return error ? llvm_error(error, "passes") : TW_OK;
}

static tw_status emit(LLVMModuleRef module, LLVMTargetMachineRef machine, LLVMCodeGenFileType kind,
                      LLVMMemoryBufferRef *object)
{
    char *message = NULL;
    if (!LLVMTargetMachineEmitToMemoryBuffer(machine, module, kind, &message, object))
        return TW_OK;
    tw_status status = tw_error(TW_ERR_INTERNAL, "host: code generation: %s", message);
    LLVMDisposeMessage(message);
    return status;
}

/* Of a copy, because emitting changes the module. */
static void say_assembly(LLVMModuleRef module, LLVMTargetMachineRef machine)
{
    LLVMModuleRef copy = LLVMCloneModule(module);
    LLVMMemoryBufferRef text = NULL;
    if (emit(copy, machine, LLVMAssemblyFile, &text) == TW_OK) {
        tw_say(TW_LOG_ASM, "%.*s", (int)LLVMGetBufferSize(text), LLVMGetBufferStart(text));
        LLVMDisposeMemoryBuffer(text);
    }
    LLVMDisposeModule(copy);
}

static tw_status make_object(const tw_graph *program, LLVMCodeGenFileType kind, LLVMMemoryBufferRef *object)
{
    LLVMTargetMachineRef machine = tw_host_machine();
    if (!machine)
        return tw_error_code();
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = NULL;
    tw_status status = tw_host_lower(program, context, &module);
    if (status == TW_OK)
        status = optimise(module, machine);
    if (status == TW_OK && tw_log_on(TW_LOG_LLVM)) {
        char *text = LLVMPrintModuleToString(module);
        tw_say(TW_LOG_LLVM, "%s", text);
        LLVMDisposeMessage(text);
    }
    if (status == TW_OK && kind == LLVMObjectFile && tw_log_on(TW_LOG_ASM))
        say_assembly(module, machine);
    if (status == TW_OK)
        status = emit(module, machine, kind, object);
    if (module)
        LLVMDisposeModule(module);
    LLVMContextDispose(context);
    LLVMDisposeTargetMachine(machine);
    return status;
}

/* ---- object to code ---- */

static _Atomic uint32_t link_lock;

/* Every kernel defines the same two names, so each is a library of its own. */
static tw_status link_object(LLVMMemoryBufferRef object, loaded *k)
{
    char name[32];
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(jit);
    snprintf(name, sizeof name, "k%d", atomic_fetch_add(&next_dylib, 1));
    k->dylib = LLVMOrcExecutionSessionCreateBareJITDylib(session, name);
    LLVMOrcDefinitionGeneratorRef process = NULL;
    LLVMErrorRef error =
        LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL);
    if (error) {
        LLVMDisposeMemoryBuffer(object);
        return llvm_error(error, "process symbols");
    }
    LLVMOrcJITDylibAddGenerator(k->dylib, process);
    k->tracker = LLVMOrcJITDylibCreateResourceTracker(k->dylib);
    error = LLVMOrcLLJITAddObjectFileWithRT(jit, k->tracker, object);
    return error ? llvm_error(error, "link") : TW_OK;
}

typedef struct lookup_result {
    LLVMErrorRef error;
    uint64_t kernel, scratch;
    LLVMOrcSymbolStringPoolEntryRef kernel_name;
} lookup_result;

static void looked_up(LLVMErrorRef error, LLVMOrcCSymbolMapPairs pairs, size_t count, void *data)
{
    lookup_result *r = data;
    r->error = error;
    for (size_t i = 0; i < count && !error; i++)
        *(pairs[i].Name == r->kernel_name ? &r->kernel : &r->scratch) = pairs[i].Sym.Address;
}

static tw_status find_entries(loaded *k)
{
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(jit);
    lookup_result r = {.kernel_name = LLVMOrcLLJITMangleAndIntern(jit, "tw_kernel")};
    LLVMOrcSymbolStringPoolEntryRef scratch = LLVMOrcLLJITMangleAndIntern(jit, "tw_scratch");
    LLVMOrcCJITDylibSearchOrderElement order = {k->dylib, LLVMOrcJITDylibLookupFlagsMatchAllSymbols};
    LLVMOrcCLookupSetElement symbols[] = {{r.kernel_name, LLVMOrcSymbolLookupFlagsRequiredSymbol},
                                          {scratch, LLVMOrcSymbolLookupFlagsRequiredSymbol}};
    LLVMOrcRetainSymbolStringPoolEntry(r.kernel_name);
    LLVMOrcExecutionSessionLookup(session, LLVMOrcLookupKindStatic, &order, 1, symbols, 2, looked_up, &r);
    LLVMOrcReleaseSymbolStringPoolEntry(r.kernel_name);
    if (r.error)
        return llvm_error(r.error, "look-up");
    tw_kernel_init(&k->kernel, &tw_host_backend, (tw_kernel_fn *)(uintptr_t)r.kernel,
                   (tw_kernel_scratch_fn *)(uintptr_t)r.scratch);
    return r.kernel && r.scratch ? TW_OK : tw_error(TW_ERR_INTERNAL, "host: the object has no kernel");
}

static void unload(tw_kernel *kernel)
{
    loaded *k = (loaded *)kernel;
    tw_os_word_take(&link_lock);
    if (k->tracker) {
        LLVMErrorRef error = LLVMOrcResourceTrackerRemove(k->tracker);
        if (error)
            LLVMConsumeError(error);
        LLVMOrcReleaseResourceTracker(k->tracker);
    }
    tw_os_word_release(&link_lock);
    tw_free(k);
}

static tw_status load(LLVMMemoryBufferRef object, bool cached, tw_kernel **kernel)
{
    loaded *k = tw_alloc_zero(1, sizeof *k);
    if (!k) {
        LLVMDisposeMemoryBuffer(object);
        return TW_ERR_MEMORY;
    }
    k->kernel.from_cache = cached;
    tw_os_word_take(&link_lock);
    tw_status status = link_object(object, k);
    if (status == TW_OK)
        status = find_entries(k);
    tw_os_word_release(&link_lock);
    if (status == TW_OK)
        *kernel = &k->kernel;
    else
        unload(&k->kernel);
    return status;
}

tw_status tw_host_load_module(LLVMModuleRef module, tw_kernel **kernel)
{
    LLVMMemoryBufferRef object = NULL;
    *kernel = NULL;
    TW_TRY(need_jit());
    LLVMTargetMachineRef machine = tw_host_machine();
    if (!machine)
        return tw_error_code();
    tw_status status = optimise(module, machine);
    if (status == TW_OK)
        status = emit(module, machine, LLVMObjectFile, &object);
    LLVMDisposeTargetMachine(machine);
    return status == TW_OK ? load(object, false, kernel) : status;
}

static tw_status load_cached(tw_hash key, tw_kernel **kernel)
{
    void *bytes = NULL;
    size_t count = 0;
    *kernel = NULL;
    TW_TRY(need_jit());
    if (!tw_cache_read(key, &bytes, &count))
        return TW_ERR_UNSUPPORTED;
    LLVMMemoryBufferRef object = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, count, "cached");
    tw_free(bytes);
    return load(object, true, kernel) == TW_OK ? TW_OK : TW_ERR_UNSUPPORTED;
}

static tw_status load_only(const tw_graph *program, tw_kernel **kernel)
{
    tw_hash key;
    TW_TRY(tw_cache_key(program, &key));
    tw_status status = load_cached(key, kernel);
    return status == TW_ERR_UNSUPPORTED ? tw_error(status, "host: kernel %s is not in the cache", program->name)
                                        : status;
}

static tw_status compile(const tw_graph *program, tw_kernel **kernel)
{
    LLVMMemoryBufferRef object = NULL;
    tw_hash key;
    TW_TRY(tw_cache_key(program, &key));
    bool look = tw_log_on(TW_LOG_LLVM) || tw_log_on(TW_LOG_ASM); /* a cached kernel would show neither */
    tw_error_state before;
    tw_error_save(&before);
    tw_status status = look ? TW_ERR_UNSUPPORTED : load_cached(key, kernel);
    if (status != TW_ERR_UNSUPPORTED)
        return status;
    tw_error_restore(&before); /* whatever was wrong with a cached one: compile */
    TW_TRY(need_jit());
    TW_TRY(make_object(program, LLVMObjectFile, &object));
    tw_cache_write(key, LLVMGetBufferStart(object), LLVMGetBufferSize(object));
    return load(object, false, kernel);
}

static tw_status emit_stage(const tw_graph *program, const char *stage, tw_text *out)
{
    LLVMMemoryBufferRef buffer = NULL;
    if (!strcmp(stage, "asm")) {
        TW_TRY(make_object(program, LLVMAssemblyFile, &buffer));
        tw_text_add_bytes(out, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
        LLVMDisposeMemoryBuffer(buffer);
        return TW_OK;
    }
    if (strcmp(stage, "llvm"))
        return tw_error(TW_ERR_VALUE, "host: stage '%s'; expected llvm or asm", stage);
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = NULL;
    tw_status status = tw_host_lower(program, context, &module);
    if (status == TW_OK) {
        char *text = LLVMPrintModuleToString(module);
        tw_text_add(out, "%s", text);
        LLVMDisposeMessage(text);
    }
    if (module)
        LLVMDisposeModule(module);
    LLVMContextDispose(context);
    return status;
}

const tw_backend tw_host_backend = {.name = "host",
                                    .compile = compile,
                                    .load = load_only,
                                    .unload = unload,
                                    .row = tw_host_row,
                                    .emit = emit_stage,
                                    .probe = tw_host_probe};
