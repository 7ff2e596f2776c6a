/* Any bytes as a description, as a table of measurements, as an expression and as samples of a calibration. What is
 * accepted is planned with. Nothing may crash, hang or leak. Entry of libFuzzer (make fuzz TARGET=machine);
 * test_mutants.c runs it on mutants of the descriptions that come with tw. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/calibrate.h"
#include "machine/facts.h"
#include "machine/money.h"
#include "machine/service.h"
#include "machine/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void plan(tw_library *l, const tw_machine *machine, const tw_model *model)
{
    tw_workload w = tw_workload_of(model);
    tw_search_space space = tw_search_everything();
    tw_search_result *found = malloc(sizeof *found);
    tw_planner p;
    /* A search over many devices or layers takes its time, which is no fault: one plan of those is looked at. */
    bool small = machine->devices <= 64 && model->layers <= 64 && model->heads <= 64 && model->experts <= 64;
    w.batch = 32;
    tw_search_prices(&space, l, machine);
    if (found && tw_planner_create(&p, machine, &w, NULL) == TW_OK) {
        tw_strategy one = {1, 1, 1, 1, 1, 1, 1, .schedule = TW_SCHEDULE_1F1B};
        tw_step step;
        if (small)
            tw_search(&p, &space, found);
        if (tw_planner_train(&p, &one, &step) == TW_OK)
            tw_step_account(&p, &one, &step);
        tw_planner_destroy(&p);
    }
    free(found);
}

static void use(tw_library *l)
{
    tw_text text = {0};
    const tw_model *gpt = (const tw_model *)(const void *)tw_library_find(l, TW_KIND_MODEL, "gpt2-1.2B");
    const tw_machine *dgx = (const tw_machine *)(const void *)tw_library_find(l, TW_KIND_MACHINE, "dgx-h100");
    for (int k = 0; k < TW_ITEM_KINDS; k++) {
        int count = k == TW_KIND_TIER ? 0 : tw_library_count(l, (tw_item_kind)k);
        if (!count)
            continue;
        const tw_description *last =
            tw_library_at(l, (tw_item_kind)k, count - 1); /* what the bytes added, if anything */
        tw_item_print(l, (tw_item_kind)k, last, &text);
        if (k == TW_KIND_CHIP)
            tw_chip_cost_of(l, (const tw_chip *)(const void *)last);
        if (k == TW_KIND_MACHINE && gpt)
            plan(l, (const tw_machine *)(const void *)last, gpt);
        if (k == TW_KIND_MODEL && dgx)
            plan(l, dgx, (const tw_model *)(const void *)last);
    }
    tw_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    tw_validation v;
    tw_calibration c;
    tw_facts f;
    tw_library *l = tw_library_create();
    if (!l)
        return 0;
    char *copy = malloc(bytes + 1); /* expressions and settings are strings */
    if (copy) {
        double value;
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
        tw_evaluate(l, copy, NULL, NULL, &value);
        char *equals = strchr(copy, '=');
        if (equals) {
            *equals = '\0';
            tw_library_set(l, copy, equals + 1);
        }
        free(copy);
    }
    if (tw_library_add_text(l, "bytes", text, bytes) == TW_OK)
        use(l);
    if (tw_validate(l, "bytes", text, bytes, NULL, &v) == TW_OK)
        tw_validation_free(&v);
    if (tw_facts_compute(l, "bytes", text, bytes, text, bytes, &f) == TW_OK)
        tw_facts_free(&f);
    if (tw_calibration_parse("bytes", text, bytes, &c) == TW_OK)
        tw_calibration_free(&c);
    tw_library_destroy(l);
    return 0;
}
