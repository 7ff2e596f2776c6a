/* One line a launch, for spreadsheets and scripts. */
#include "explain/explain.h"

static void add_launch(int plan, int number, const explained_launch *l, tw_text *out)
{
    tw_text_add(out, "%d\t%d\t%d\t%d\t%s\t%s\t%lld\t%.0f\t%lld\t%lld\t%lld\t", plan, number, l->batch, l->kernel,
                l->name, tw_kernel_kind_name(l->kind), (long long)l->programs, l->ns, (long long)l->flops,
                (long long)l->bytes_read, (long long)l->bytes_written);
    for (int i = 0; i < LIMITS; i++)
        tw_text_add(out, "%.0f\t", l->limit_ns[i]);
    tw_text_add(out, "%s\t%.4f\t%s\n", explained_limit_name(l->bound), l->ns > 0 ? l->limit_ns[l->bound] / l->ns : 0,
                l->summary);
}

tw_status explain_tsv(const tw_explanation *e, const char *title, tw_text *out)
{
    (void)title;
    tw_text_add(out, "plan\tlaunch\tbatch\tkernel\tname\tkind\tprograms\tns\tflops\tbytes_read\tbytes_written\t"
                     "compute_ns\tmemory_ns\tlaunch_ns\tlimit\troof\tinside\n");
    for (size_t i = 0; i < e->plans.count; i++)
        for (int l = 0; l < e->plans.data[i]->launches; l++)
            add_launch((int)i, l, &e->plans.data[i]->launch[l], out);
    return TW_OK;
}
