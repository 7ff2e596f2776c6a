/* Descriptions: what is wrong is said with file, line, section, key, what was given and what was expected. */
#include "support.h"

static int checks;

static const struct {
    const char *text, *said[3];
} wrong[] = {
    {"[chip X]\nmemory_bandwidth = 3.35 TB\n", {"test:2", "'3.35 TB' is a size in bytes", "GB/s"}},
    {"[link X]\nlane_rate = 50 GB\n", {"test:2", "size in bytes", "Gbit/s"}},
    {"[link X]\nbandwidth = 50 Gbit/s\n", {"counts bits", "6.25 GB/s", "bandwidth"}},
    {"[chip X]\nmemory_bytes = 80 Gbit\n", {"no unit", "GiB", "memory_bytes"}},
    {"[chip X]\ntdp = 0 W\n", {"[chip X] tdp", "0.1 W to 1 MW", "test:2"}},
    {"[chip X]\ntdp = -5 W\n", {"[chip X] tdp", "0.1 W", "test:2"}},
    {"[chip X]\ntdp = 1e400 W\n", {"[chip X] tdp", "expected", "test:2"}},
    {"[chip X]\ntdp = nan W\n", {"[chip X] tdp", "expected", "test:2"}},
    {"[chip X]\ntdp = abc W\n", {"does not begin with a number", "700 W", "test:2"}},
    {"[chip X]\ntdp = 700 W\ntdp = 600 W\n", {"test:3", "given twice", "line 2"}},
    {"[chip X]\npeek = 3\n", {"no such key", "tw machine fields chip", "peek"}},
    {"[chip X]\nprocess = N1000\n", {"N1000", "list process", "test"}},
    {"[chip X\n", {"'[' without ']'", "[chip H100]", "test:1"}},
    {"x = 3\n", {"before any section", "[kind name]", "test:1"}},
    {"[chop X]\n", {"chop", "expected", "test:1"}},
    {"[link X]\nclass = sideways\n", {"sideways", "scale-up", "test:2"}},
    {"[machine M]\n", {"chip: missing", "chip = H100", "test:1"}},
    {"[machine M]\nchip = Nope\n", {"no chip is called 'Nope'", "list chip", "test:2"}},
    {"[machine M]\nchip = H100-SXM-80GB\n[tier t]\nsize = 40\ntopology = all-to-all\nlink = NVLink4\n",
     {"does not connect", "39 links", "topology"}},
    {"[machine M]\nchip = H100-SXM-80GB\n[tier t]\nsize = 8\ntopology = torus\ndims = 3x3\nlink = NVLink4\n",
     {"3x3 makes 9", "size is 8", "dims"}},
    {"[machine M]\nchip = H100-SXM-80GB\n[tier t]\nsize = 1024\nlink = NVLink4\n[tier u]\nsize = 1024\nlink = IB-NDR\n",
     {"1000000", "devices", "[tier u] size"}},
    {"[machine M]\nchip = H100-SXM-80GB\n[tier t]\nlink = NVLink4\n", {"'size' is missing", "[tier t]", "size = 8"}},
    {"[tier t]\nsize = 8\n", {"[tier t]", "machine", "test:1"}},
    {"[model T]\nlayers = 2\n", {"'hidden' is missing", "[model T]", "hidden = 8"}},
    {"[model T]\nlayers = 2\nhidden = 100\nheads = 7\nvocab = 5\n",
     {"7 heads don't divide hidden = 100", "head_dim", "heads"}},
    {"[model T]\nlike = GPT-3\nexperts = 4\nexperts_active = 5\n",
     {"cannot visit 5 of 4", "experts_active", "[model T]"}},
    {"[model T]\nlike = Nothing\n", {"Nothing", "like", "test:2"}},
    {"[fit F]\nmma_16 = 0.5\n", {"missing", "like = another", "[fit F]"}},
};

static void what_is_wrong_is_said(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    assert_non_null(l);
    int chips = tw_library_count(l, TW_KIND_CHIP);
    for (size_t i = 0; i < TW_COUNT(wrong); i++) {
        if (tw_library_add_text(l, "test", wrong[i].text, strlen(wrong[i].text)) != TW_ERR_FORMAT)
            fail_msg("accepted, or another error (%s):\n%s", tw_error_message(), wrong[i].text);
        for (int k = 0; k < 3; k++) {
            if (!strstr(tw_error_message(), wrong[i].said[k]))
                fail_msg("'%s' is not in: %s\n%s", wrong[i].said[k], tw_error_message(), wrong[i].text);
            checks++;
        }
        assert_int_equal(tw_library_count(l, TW_KIND_CHIP), chips); /* nothing was added */
    }
    tw_library_destroy(l);
}

/* Every number of every description, written as text and read again, is the same number. */
static void numbers_survive_being_written(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    tw_field_info f;
    for (int k = 0; k < TW_ITEM_KINDS; k++)
        for (int i = 0; k != TW_KIND_TIER && i < tw_library_count(l, (tw_item_kind)k); i++)
            for (int n = 0; tw_schema_field((tw_item_kind)k, n, &f); n++) {
                char path[256], text[64];
                tw_quantity again;
                char why[200];
                double value;
                tw_dimension dimension;
                snprintf(path, sizeof path, "%s.%s.%s", tw_item_kind_name((tw_item_kind)k),
                         tw_library_at(l, (tw_item_kind)k, i)->name, f.key);
                if (!f.number || tw_library_get(l, path, &value, &dimension) != TW_OK || isnan(value))
                    continue;
                tw_quantity_text(value, dimension, text, sizeof text);
                if (!tw_quantity_parse(text, dimension, &again, why, sizeof why))
                    fail_msg("%s: '%s': %s", path, text, why);
                close_to(again.value, value, 1e-3, path);
                checks++;
            }
    tw_library_destroy(l);
}

static void a_value_that_is_set_is_derived_from(void **unused)
{
    (void)unused;
    tw_library *l = tw_library_create();
    double before, after;
    tw_dimension d;
    assert_int_equal(tw_library_get(l, "chip.H100-SXM-80GB.memory_bandwidth", &before, &d), TW_OK);
    assert_int_equal(tw_library_set(l, "chip.H100-SXM-80GB.memory_bandwidth", "5 TB/s"), TW_OK);
    assert_int_equal(tw_library_get(l, "chip.H100-SXM-80GB.memory_bandwidth", &after, &d), TW_OK);
    close_to(before, 3.35e12, 1e-9, "before");
    close_to(after, 5e12, 1e-9, "after");
    assert_int_equal(tw_library_set(l, "chip.H100-SXM-80GB.memory_bandwidth", "5 TB"), TW_ERR_FORMAT);
    assert_int_not_equal(tw_library_set(l, "chip.Nothing.tdp", "5 W"), TW_OK);
    assert_int_not_equal(tw_library_set(l, "chip", "5 W"), TW_OK);
    tw_library_destroy(l);
}

/* A million devices, a quadrillion parameters, all of the largest values that a description may have. */
static void nothing_overflows(void **unused)
{
    (void)unused;
    static const char text[] = "[machine M]\nchip = H100-SXM-80GB\n[tier node]\nsize = 8\n[tier pod]\nsize = 125000\n"
                               "link = IB-NDR\n[model Huge]\nlayers = 100000\nhidden = 30000\nheads = 256\n"
                               "head_dim = 128\nvocab = 100000\n";
    tw_library *l = tw_library_create();
    if (tw_library_add_text(l, "test", text, sizeof text - 1) != TW_OK)
        fail_msg("%s", tw_error_message());
    const tw_machine *m = need(l, TW_KIND_MACHINE, "M");
    tw_workload w = tw_workload_of(need(l, TW_KIND_MODEL, "Huge"));
    tw_search_space space = tw_search_everything();
    tw_search_result *found = malloc(sizeof *found);
    tw_planner p;
    w.batch = 4096;
    assert_int_equal(m->devices, 1000000);
    assert_int_equal(tw_planner_create(&p, m, &w, NULL), TW_OK);
    assert_true(p.parameters > 1e15);
    if (tw_search(&p, &space, found) != TW_OK)
        fail_msg("%s", tw_error_message());
    assert_true(isfinite(found->best[0].step.time) && found->best[0].step.time > 0);
    assert_true(isfinite(found->best[0].step.memory.total));
    close_to(found->best[0].devices, 1e6, 0, "devices");
    tw_planner_destroy(&p);
    tw_library_destroy(l);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(numbers_survive_being_written),
        cmocka_unit_test(a_value_that_is_set_is_derived_from),
        cmocka_unit_test(nothing_overflows),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("# checks: %d\n", checks);
    return failed;
}
