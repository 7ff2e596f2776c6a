/* This machine, as LLVM sees it. */
#include "codegen/host/host.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>

#include "base/os.h"

static struct {
    tw_host_target target;
    char *triple, *features;
    LLVMTargetRef llvm;
} host;

static bool has(const char *feature)
{
    const char *at = host.features ? strstr(host.features, feature) : NULL;
    return at != NULL;
}

static void initialise(void)
{
    char *message = NULL;
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    host.triple = LLVMGetDefaultTargetTriple();
    host.features = LLVMGetHostCPUFeatures();
    char *cpu = LLVMGetHostCPUName();
    snprintf(host.target.cpu, sizeof host.target.cpu, "%s", cpu);
    LLVMDisposeMessage(cpu);
    if (LLVMGetTargetFromTriple(host.triple, &host.llvm, &message)) {
        host.llvm = NULL;
        LLVMDisposeMessage(message);
    }
    bool wide = has("+avx512f") && has("+avx512vl") && has("+avx512bw") && has("+avx512dq");
    host.target.vector_bytes = wide ? 64 : has("+avx2") ? 32 : 16;
    host.target.vector_registers = wide ? 32 : 16;
    host.target.fma = has("+fma") || !has("+sse2");
    host.target.bf16_dot = has("+avx512bf16");
    host.target.int8_dot = has("+avx512vnni");
}

static _Atomic uint32_t once;

const tw_host_target *tw_host_target_get(void)
{
    tw_os_once(&once, initialise);
    return &host.target;
}

const char *tw_host_features(void)
{
    tw_os_once(&once, initialise);
    return host.features;
}

LLVMTargetMachineRef tw_host_machine(void)
{
    const tw_host_target *t = tw_host_target_get();
    if (!host.llvm) {
        tw_error(TW_ERR_UNSUPPORTED, "host: LLVM knows no target %s", host.triple);
        return NULL;
    }
    return LLVMCreateTargetMachine(host.llvm, host.triple, t->cpu, host.features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                   LLVMCodeModelDefault);
}
