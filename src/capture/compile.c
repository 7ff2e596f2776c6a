/* Segment to executable: primitives, what is computed again, a plan, kernels. */
#include "capture/internal.h"
#include "decompose/decompose.h"
#include "ops/build.h"
#include "rematerialise/rematerialise.h"
#include "simplify/simplify.h"
#include "tilewright/tensor.h"

/* Every result gets memory of its own: one that is an input, or that comes twice, is copied. */
static tw_status separate_outputs(tw_graph **graph, bool *changed)
{
    tw_graph *g = *graph;
    tw_op *output = g->body->last;
    *changed = false;
    for (uint32_t i = 0; i < output->operands; i++) {
        tw_value *v = output->operand[i];
        bool again = v->def->code == TW_G_INPUT;
        for (uint32_t j = 0; j < i && !again; j++)
            again = output->operand[j] == v;
        if (!again)
            continue;
        tw_graph_insert_before(g, output);
        if (!(output->operand[i] = tw_g_cast(g, v, (tw_dtype)v->type.dtype)))
            return tw_error_code();
        *changed = true;
    }
    tw_graph_insert_at_end(g, g->body);
    return TW_OK;
}

static const tw_pass passes[] = {
    {"decompose", tw_pass_decompose, TW_LOG_DECOMPOSE},
    {"simplify", tw_pass_simplify, TW_LOG_SIMPLIFY},
    {"rematerialise", tw_pass_rematerialise, TW_LOG_SIMPLIFY},
    {"separate outputs", separate_outputs, TW_LOG_SIMPLIFY},
};
enum { SIMPLIFIED = 2, ALL = TW_COUNT(passes) };

void tw_register_passes(void)
{
    for (int i = 0; i < ALL; i++)
        tw_pass_register(&passes[i]);
}

tw_status tw_simplified(const tw_graph *segment, tw_graph **simplified)
{
    *simplified = tw_graph_clone(segment);
    tw_status status = *simplified ? tw_pass_run_all(passes, SIMPLIFIED, simplified) : TW_ERR_MEMORY;
    if (status == TW_OK)
        return TW_OK;
    tw_graph_destroy(*simplified);
    *simplified = NULL;
    return status;
}

tw_status tw_to_primitives(tw_graph **g, const tw_remat_choice *choice, double price)
{
    tw_rematerialised done;
    bool changed;
    TW_TRY(choice ? tw_rematerialise_apply(g, choice, &done, &changed) : tw_rematerialise(g, price, &done, &changed));
    if (changed)
        tw_say(TW_LOG_SIMPLIFY, "%d operations are computed again, %.2f MB less wait in memory", done.operations,
               (double)done.bytes_less * 1e-6);
    return tw_pass_run_all(passes + ALL - 1, 1, g);
}

static void say_graph(const tw_graph *g)
{
    if (!tw_log_on(TW_LOG_GRAPH))
        return;
    tw_text text = {0};
    tw_graph_print(g, &text);
    tw_say(TW_LOG_GRAPH, "%s", tw_text_string(&text));
    tw_text_free(&text);
}

/* The plan at the highest price for computing again whose memory fits; if none does, the smallest. */
static tw_status plan_within(const tw_graph *simplified, const tw_schedule_options *options, int64_t most,
                             tw_plan **plan)
{
    static const double factors[] = {1, 0.3, 0.1, 0.03, 0.01, 0.003, 0};
    *plan = NULL;
    for (size_t i = 0; i < TW_COUNT(factors); i++) {
        tw_graph *g = tw_graph_clone(simplified);
        tw_plan *next = NULL;
        tw_status status = g ? tw_to_primitives(&g, NULL, factors[i] * tw_rematerialise_price) : TW_ERR_MEMORY;
        if (status == TW_OK)
            status = tw_schedule(g, options, &next);
        tw_graph_destroy(g);
        if (status != TW_OK) {
            tw_plan_destroy(*plan);
            *plan = NULL;
            return status;
        }
        bool smaller = !*plan || next->arena_bytes < (*plan)->arena_bytes;
        tw_plan_destroy(smaller ? *plan : next);
        *plan = smaller ? next : *plan;
        if ((*plan)->arena_bytes <= most)
            return TW_OK;
    }
    tw_say(TW_LOG_PLAN, "the memory budget leaves %.2f MB for temporaries; the least that a plan needs is %.2f MB",
           (double)most * 1e-6, (double)(*plan)->arena_bytes * 1e-6);
    return TW_OK;
}

static tw_status make_plan(const tw_graph *segment, const tw_schedule_options *options, family *f, tw_plan **plan)
{
    int64_t most = tw_memory_budget();
    tw_graph *g;
    TW_TRY(tw_simplified(segment, &g));
    if (f && most <= 0)
        return tw_family_plan(f, g, options, plan);
    tw_status status = TW_OK;
    if (most > 0) { /* what tensors hold already is not the plan's */
        status = plan_within(g, options, TW_MAX(most - tw_tensor_bytes() + tw_runtime_bytes(), 0), plan);
    } else {
        status = tw_to_primitives(&g, NULL, tw_rematerialise_price);
        if (status == TW_OK)
            status = tw_schedule(g, options, plan);
    }
    tw_graph_destroy(g);
    return status;
}

tw_status tw_compile_member(const tw_graph *segment, const int *in_place, const int64_t *const *stride, family *f,
                            bool may_compile, tw_executable **executable)
{
    uint64_t start = tw_os_now_ns();
    tw_schedule_options options = {.in_place = in_place, .input_stride = stride, .threads = tw_num_threads()};
    tw_plan *plan = NULL;
    tw_error_state before; /* passes forget it; the program may not have asked for it yet */
    tw_error_save(&before);
    *executable = NULL;
    say_graph(segment);
    tw_status status = make_plan(segment, &options, f, &plan);
    if (status == TW_OK)
        status = tw_executable_create(plan, may_compile, executable);
    if (status != TW_OK)
        return status;
    tw_error_restore(&before);
    tw_say(TW_LOG_TIMING, "segment of %u values: compiled in %.1f ms", segment->values,
           (double)(tw_os_now_ns() - start) * 1e-6);
    return TW_OK;
}

tw_status tw_compile_graph(const tw_graph *segment, const int *in_place, const int64_t *const *stride,
                           tw_executable **executable)
{
    return tw_compile_member(segment, in_place, stride, NULL, true, executable);
}
