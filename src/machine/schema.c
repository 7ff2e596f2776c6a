/* The fields of every kind of description. Ranges are wide: they stop slips of units and typing, not unusual designs.
 */
#include "machine/schema.h"

#include <math.h>

#define NUM(T, key, dim, low, high, doc)                                                                               \
    {#key, TW_FIELD_NUMBER, TW_DIM_##dim, low, high, offsetof(T, key), NULL, doc, false}
#define CNT(T, key, low, high, doc) {#key, TW_FIELD_COUNT, TW_DIM_NONE, low, high, offsetof(T, key), NULL, doc, false}
#define NEED(T, key, low, high, doc) {#key, TW_FIELD_COUNT, TW_DIM_NONE, low, high, offsetof(T, key), NULL, doc, true}
#define PEAK(name, P)                                                                                                  \
    {"peak_" name,                                                                                                     \
     TW_FIELD_NUMBER,                                                                                                  \
     TW_DIM_FLOP_RATE,                                                                                                 \
     1e9,                                                                                                              \
     1e20,                                                                                                             \
     offsetof(tw_chip, peak[P]),                                                                                       \
     NULL,                                                                                                             \
     "dense peak of the whole chip",                                                                                   \
     false}
#define REF(T, key, member, doc) {key, TW_FIELD_TEXT, TW_DIM_NONE, 0, 0, offsetof(T, member), NULL, doc, false}
#define PICK(T, key, choices, doc) {#key, TW_FIELD_CHOICE, TW_DIM_NONE, 0, 0, offsetof(T, key), choices, doc, false}
#define YES(T, key, doc) {#key, TW_FIELD_FLAG, TW_DIM_NONE, 0, 0, offsetof(T, key), NULL, doc, false}
#define COMMON                                                                                                         \
    {"note", TW_FIELD_TEXT, TW_DIM_NONE, 0, 0, offsetof(tw_description, note), NULL, "free text", false},              \
        {"source",    TW_FIELD_TEXT,                                                                                   \
         TW_DIM_NONE, 0,                                                                                               \
         0,           offsetof(tw_description, source),                                                                \
         NULL,        "of every value that names none of its own",                                                     \
         false},                                                                                                       \
    {                                                                                                                  \
        "status", TW_FIELD_CHOICE, TW_DIM_NONE, 0, 0, offsetof(tw_description, status),                                \
            "checked|partly|memory|seed|hypothesis|fitted|sketch", "how far its values were checked", false            \
    }

static const tw_field process_fields[] = {
    COMMON,
    NUM(tw_process, year, NONE, 1990, 2060, "first products"),
    NUM(tw_process, wafer_price, MONEY, 100, 1e6, "of a finished wafer"),
    NUM(tw_process, wafer_diameter, LENGTH, 100, 500, "300 mm"),
    NUM(tw_process, scribe, LENGTH, 0, 1, "width of the lines between dies"),
    NUM(tw_process, edge, LENGTH, 0, 20, "ring at the wafer's edge that bears no dies"),
    NUM(tw_process, defects, DEFECTS, 0, 10, "killing defects per area"),
    NUM(tw_process, clustering, NONE, 0.1, 1000, "of the negative binomial yield"),
    NUM(tw_process, sram_bit, AREA, 1e-10, 1e-4, "area of one cell"),
    NUM(tw_process, gain, NONE, 0.5, 4, "density, speed or power of logic over the step before"),
};

static const tw_field memory_fields[] = {
    COMMON,
    NUM(tw_memory_part, year, NONE, 1990, 2060, "first products"),
    NUM(tw_memory_part, pin_rate, BIT_RATE, 1e8, 1e12, "of one data pin"),
    CNT(tw_memory_part, pins, 1, 1e5, "data pins of a stack or channel"),
    NUM(tw_memory_part, bandwidth, BYTE_RATE, 1e8, 1e14, "of a stack or channel"),
    NUM(tw_memory_part, capacity, BYTES, 1e6, 1e13, "of a stack or module"),
    NUM(tw_memory_part, price, MONEY_BYTE, 1e-12, 1e-3, "by capacity"),
    NUM(tw_memory_part, energy, ENERGY_BIT, 1e-14, 1e-9, "of an access, PHY included"),
    NUM(tw_memory_part, latency, TIME, 1e-9, 1e-3, "of an access"),
    NUM(tw_memory_part, footprint, AREA, 1, 1e4, "of a stack on the interposer"),
    NUM(tw_memory_part, achieved, NONE, 0.01, 1, "best measured share of the bandwidth"),
};

static const tw_field link_fields[] = {
    COMMON,
    PICK(tw_link, class, "scale-up|chip-to-chip|phy|die-to-die|host|scale-out", "what it is for"),
    PICK(tw_link, fec, "none|light|rs", "forward error correction"),
    REF(tw_link, "modulation", modulation, "NRZ, PAM4, ..."),
    REF(tw_link, "scope", scope, "what bandwidth counts: device, port, lane, module, x16"),
    NUM(tw_link, year, NONE, 1990, 2060, "first products"),
    NUM(tw_link, lane_rate, BIT_RATE, 1e8, 1e13, "of one lane and direction"),
    CNT(tw_link, lanes, 1, 1e5, "of one link, a direction"),
    CNT(tw_link, links, 1, 1e5, "of one device"),
    NUM(tw_link, bandwidth, BYTE_RATE, 1e6, 1e15, "one direction of what scope names"),
    NUM(tw_link, encoding, NONE, 0, 0.5, "share of the lane rate lost to encoding and FEC"),
    NUM(tw_link, phy_latency, TIME, 1e-10, 1e-4, "a pair of PHYs without FEC"),
    NUM(tw_link, fec_latency, TIME, 0, 1e-4, "what FEC adds, at least"),
    NUM(tw_link, fec_latency_most, TIME, 0, 1e-4, "what FEC adds, at most"),
    NUM(tw_link, energy, ENERGY_BIT, 1e-14, 1e-9, "both ends"),
    NUM(tw_link, edge_density, EDGE_DENSITY, 1e8, 1e15, "along the die's edge"),
    NUM(tw_link, area_density, AREA_DENSITY, 1e8, 1e15, "over the PHY's area"),
    NUM(tw_link, reach, LENGTH, 0.01, 1e9, "farthest"),
    NUM(tw_link, price, MONEY, 0.01, 1e6, "of what scope names, both ends and the medium"),
    NUM(tw_link, step, TIME, 1e-8, 1e-3, "of a ring, before bytes count"),
    NUM(tw_link, alpha, TIME, 1e-8, 1e-2, "start-up of a collective, seen by software"),
    NUM(tw_link, alpha_send, TIME, 1e-8, 1e-2, "the same of one send"),
    NUM(tw_link, achieved, NONE, 0.05, 1, "share of the bandwidth that large collectives reach"),
    NUM(tw_link, achieved_reduced, NONE, 0.05, 1.2, "the same where the switch adds"),
    NUM(tw_link, fill, BYTES, 0, 1e10, "in flight to each further member of a ring: its pipeline fills"),
    NUM(tw_link, fill_half, BYTES, 1, 1e10, "message at which half of the fill is seen"),
};

static const tw_field switch_fields[] = {
    COMMON,
    NUM(tw_switch, year, NONE, 1990, 2060, "first products"),
    CNT(tw_switch, ports, 1, 1e5, "links that it joins"),
    CNT(tw_switch, lanes, 1, 1e6, "a direction"),
    NUM(tw_switch, lane_rate, BIT_RATE, 1e8, 1e13, "of one lane and direction"),
    NUM(tw_switch, capacity, BIT_RATE, 1e9, 1e17, "one direction"),
    NUM(tw_switch, latency, TIME, 1e-9, 1e-3, "port to port"),
    NUM(tw_switch, price, MONEY, 1, 1e7, ""),
    NUM(tw_switch, power, POWER, 0.1, 1e5, ""),
    REF(tw_switch, "process", process, "node"),
};

static const tw_field package_fields[] = {
    COMMON,
    PICK(tw_package, kind, "organic|interposer|bridge|fan-out|wafer", "what carries the dies"),
    NUM(tw_package, year, NONE, 1990, 2060, "from when the limit holds"),
    NUM(tw_package, limit, AREA, 10, 1e6, "largest area; 'reticles' is a unit (858 mm2)"),
    NUM(tw_package, price_area, MONEY_AREA, 1e-4, 100, "of interposer or redistribution layer"),
    NUM(tw_package, substrate_price, MONEY_AREA, 1e-4, 100, "of substrate"),
    NUM(tw_package, base_price, MONEY, 0, 1e5, "of assembly and test, whatever the area"),
    NUM(tw_package, defects, DEFECTS, 0, 10, "of the interposer"),
    NUM(tw_package, clustering, NONE, 0.1, 1000, "of its negative binomial yield"),
    NUM(tw_package, bond_yield, NONE, 0.5, 1, "of placing one part"),
    NUM(tw_package, spread, NONE, 1, 4, "package area over the area of its parts"),
};

static const tw_field fit_fields[] = {
    COMMON,
    NUM(tw_fit, mma_16, NONE, 0.05, 1.2, "share of the dense 16-bit matrix peak that large products reach"),
    NUM(tw_fit, mma_8, NONE, 0.05, 1.2, "the same of the 8-bit peak"),
    NUM(tw_fit, mma_4, NONE, 0.05, 1.2, "the same of the 4-bit peak"),
    NUM(tw_fit, sustained_8, NONE, 0.3, 1.2, "the same of products of 8-bit and narrower operands"),
    NUM(tw_fit, backward, NONE, 0.3, 1, "rate of gradients' products over forward ones"),
    NUM(tw_fit, sustained, NONE, 0.3, 1.2, "of it, left over minutes of full load"),
    NUM(tw_fit, k_half, NONE, 0, 1e4, "inner length at which a tile spends half of its time on filling"),
    NUM(tw_fit, wave, NONE, 0, 1, "share of the last wave's idle units that is lost"),
    NUM(tw_fit, stream, NONE, 0.01, 1, "share of the memory bandwidth, pointwise"),
    NUM(tw_fit, norm, NONE, 0.01, 1, "the same, normalisation"),
    NUM(tw_fit, softmax, NONE, 0.01, 1, "the same, softmax"),
    NUM(tw_fit, gap, TIME, 0, 1e-2, "between two kernels of a queue"),
    NUM(tw_fit, ramp, TIME, 0, 1e-2, "until memory streams at full rate"),
    NUM(tw_fit, row, TIME, 0, 1e-4, "that a unit spends on a row of a normalisation"),
    NUM(tw_fit, call_gemm, TIME, 0, 1e-2, "one product alone, called through a framework"),
    NUM(tw_fit, call_pointwise, TIME, 0, 1e-2, "the same, pointwise"),
    NUM(tw_fit, call_norm, TIME, 0, 1e-2, "the same, normalisation"),
    NUM(tw_fit, call_softmax, TIME, 0, 1e-2, "the same, softmax"),

    NUM(tw_fit, attention_forward, NONE, 0.01, 1.2, "share of the 16-bit peak in fused attention, forward"),
    NUM(tw_fit, attention_backward, NONE, 0.01, 1.2, "the same, backward"),
    NUM(tw_fit, attention_8, NONE, 0.01, 1.2, "share of the 8-bit peak in fused attention"),

    NUM(tw_fit, cache_read, NONE, 0.05, 1, "of the rate at which software reads its cache in attention"),
    NUM(tw_fit, cache, NONE, 1, 100, "bandwidth of the last cache level over that of memory"),
    NUM(tw_fit, power_exponent, NONE, 0.05, 1, "clock = (power cap / TDP)^this"),
    NUM(tw_fit, idle_power, NONE, 0, 1, "share of TDP"),
};

static const tw_field chip_fields[] = {
    COMMON,
    PICK(tw_chip, kind, "product|hypothesis|cpu", "what it is"),
    PICK(tw_chip, layout, "monolithic|hbm-edge|io-edge|quad|io-die|io-die-apart|chiplets", "how its dies stand"),
    YES(tw_chip, mirrored, "the die joins a copy of itself"),
    NUM(tw_chip, year, NONE, 1990, 2060, "first products"),
    REF(tw_chip, "process", process_name, "a [process]"),
    CNT(tw_chip, dies, 1, 1000, "compute dies"),
    NUM(tw_chip, die_area, AREA, 1, 1e5, "of one compute die"),
    NUM(tw_chip, defects, DEFECTS, 0, 10, "where they differ from the process's"),
    CNT(tw_chip, io_dies, 0, 1000, "dies without compute"),
    NUM(tw_chip, io_die_area, AREA, 1, 1e5, "of one of them"),
    CNT(tw_chip, sockets, 1, 64, "packages that act as one chip"),
    NUM(tw_chip, transistors, NONE, 1e6, 1e14, ""),
    CNT(tw_chip, units, 1, 1e7, "SMs, compute units, cores"),
    CNT(tw_chip, units_made, 1, 1e7, "of them on the die; the difference may be broken"),
    NUM(tw_chip, repairable, NONE, 0, 1,
        "share of the die where a defect costs one unit only (0.7 where units_made is given)"),
    NUM(tw_chip, clock, FREQUENCY, 1e7, 1e10, "that the peaks are stated at"),
    PEAK("fp64", TW_PEAK_FP64),
    PEAK("fp32", TW_PEAK_FP32),
    PEAK("tf32", TW_PEAK_TF32),
    PEAK("fp16", TW_PEAK_FP16),
    PEAK("bf16", TW_PEAK_BF16),
    PEAK("fp8", TW_PEAK_FP8),
    PEAK("fp4", TW_PEAK_FP4),
    PEAK("int8", TW_PEAK_INT8),
    NUM(tw_chip, l2, BYTES, 1024, 1e14, "last cache level"),
    NUM(tw_chip, l1, BYTES, 1024, 1e14, "caches and scratchpads of the units, together"),
    REF(tw_chip, "memory", memory_name, "a [memory]"),
    CNT(tw_chip, memory_stacks, 0, 1e4, "stacks, channels or modules"),
    NUM(tw_chip, memory_bytes, BYTES, 1e6, 1e16, "capacity"),
    NUM(tw_chip, memory_bandwidth, BYTE_RATE, 1e8, 1e17, ""),
    NUM(tw_chip, tdp, POWER, 0.1, 1e6, "design power"),
    REF(tw_chip, "link", link_name, "the scale-up [link]"),
    CNT(tw_chip, links, 1, 1e5, "of them"),
    NUM(tw_chip, link_bandwidth, BYTE_RATE, 1e6, 1e15, "all of them, one direction"),
    REF(tw_chip, "host_link", host_link_name, "the [link] to the host"),
    NUM(tw_chip, host_bandwidth, BYTE_RATE, 1e6, 1e15, "one direction"),
    REF(tw_chip, "die_link", die_link_name, "the [link] between its dies"),
    REF(tw_chip, "package", package_name, "a [package]"),
    NUM(tw_chip, package_area, AREA, 1, 1e7, "as published; may be a range"),
    NUM(tw_chip, price, MONEY, 1, 1e9, "as published; may be a range"),
    NUM(tw_chip, parts_price, MONEY, 1, 1e9, "cost of its parts, as published"),
    REF(tw_chip, "host", host_name, "the [chip] of kind cpu that usually drives it"),
    NUM(tw_chip, speed, NONE, 0.05, 20, "central processors: of one core; EPYC-7742 is 1"),
    REF(tw_chip, "fit", fit_name, "a [fit]: the constants of its family (generic)"),
};

static const tw_field machine_fields[] = {
    COMMON,
    REF(tw_machine, "chip", chip_name, "the [chip] that plans use"),
    REF(tw_machine, "host", host_name, "a [chip] of kind cpu"),
    CNT(tw_machine, chips_per_host, 1, 1024, "devices that share a host chip"),
    NUM(tw_machine, host_memory, BYTES, 1e6, 1e16, "for each device, beside its own"),
    NUM(tw_machine, overhead_power, POWER, 0, 1e6, "hosts, switches, NICs and fans, for each device"),
    NUM(tw_machine, node_price, MONEY, 0, 1e9, "of everything but the chips, for each device"),
    NUM(tw_machine, price, MONEY, 1, 1e9, "of a device with its share of everything"),
    NUM(tw_machine, pue, NONE, 1, 5, "power of the site over that of the machines"),
    NUM(tw_machine, power_cap, NONE, 0.05, 1, "share of TDP that a chip may use"),
};

static const tw_field tier_fields[] = {
    COMMON,
    NEED(tw_machine_tier, size, 1, 1e6, "things of the tier inside that this one joins"),
    PICK(tw_machine_tier, topology, "all-to-all|switch|fat-tree|rail|ring|torus|dragonfly", "how"),
    REF(tw_machine_tier, "link", link_name, "a [link]"),
    REF(tw_machine_tier, "switch", switch_name, "a [switch]"),
    CNT(tw_machine_tier, switches, 1, 1e6, "side by side in one tier"),
    YES(tw_machine_tier, reduces, "the switch adds what passes"),
    NUM(tw_machine_tier, bandwidth, BYTE_RATE, 1e6, 1e15, "a device and direction, where it differs from the link's"),
    NUM(tw_machine_tier, oversubscription, NONE, 1, 1000, "of the levels above the leaves"),
    NUM(tw_machine_tier, latency, TIME, 1e-10, 1e-2, "of a crossing, where it differs from link and switch"),
    REF(tw_machine_tier, "dims", dims_text, "of a torus: 4x4x4"),
    CNT(tw_machine_tier, groups, 1, 1e5, "of a dragonfly"),
};

static const tw_field model_fields[] = {
    COMMON,
    NEED(tw_model, layers, 1, 1e5, ""),
    NEED(tw_model, hidden, 1, 1e7, "width of the residual stream"),
    CNT(tw_model, ffn, 1, 1e8, "inner width of the dense feed-forward part (4 x hidden)"),
    NEED(tw_model, heads, 1, 1e5, "query heads"),
    CNT(tw_model, kv_heads, 1, 1e5, "key and value heads (heads)"),
    CNT(tw_model, head_dim, 1, 1e5, "(hidden / heads)"),
    NEED(tw_model, vocab, 1, 1e9, ""),
    CNT(tw_model, sequence, 1, 1e8, "length it is trained at"),
    YES(tw_model, gated, "three matrices in the feed-forward part (SwiGLU) instead of two"),
    YES(tw_model, tied, "the head shares the embedding"),
    YES(tw_model, positions, "learned positions"),
    YES(tw_model, causal, "tokens see earlier ones only"),
    YES(tw_model, bias, "linear layers have biases"),
    PICK(tw_model, attention, "fused|standard|eager",
         "fused: scores never reach memory; standard: one softmax kernel; eager: every step"),
    REF(tw_model, "software", software_name, "a [software] that it is usually trained with (modern)"),
    CNT(tw_model, experts, 1, 1e6, "of a layer"),
    CNT(tw_model, experts_active, 1, 1e6, "a token visits"),
    CNT(tw_model, expert_ffn, 1, 1e8, "inner width of one expert"),
    CNT(tw_model, shared_ffn, 0, 1e8, "inner width of the experts that every token visits, together"),
    CNT(tw_model, dense_layers, 0, 1e5, "of layers: those with a dense feed-forward part"),
    CNT(tw_model, latent, 1, 1e7, "width that experts work on, where it is not hidden"),
    CNT(tw_model, q_rank, 0, 1e6, "latent attention: rank of queries"),
    CNT(tw_model, kv_rank, 1, 1e6, "latent attention: rank of keys and values"),
    CNT(tw_model, rope_dim, 0, 1e5, "latent attention: rotary part of a head"),
    CNT(tw_model, value_dim, 1, 1e5, "head dimension of values, where it differs"),
    CNT(tw_model, attention_layers, 0, 1e5, "hybrids: layers with attention"),
    CNT(tw_model, mixer_layers, 0, 1e5, "hybrids: layers with a state-space mixer"),
    CNT(tw_model, ffn_layers, 0, 1e5, "hybrids: layers with a feed-forward part"),
    CNT(tw_model, mixer_inner, 1, 1e7, "state-space mixer: inner width"),
    CNT(tw_model, mixer_state, 1, 1e5, "state-space mixer: state of a channel"),
    CNT(tw_model, mixer_heads, 1, 1e5, "state-space mixer: heads"),
    CNT(tw_model, mixer_groups, 1, 1e5, "state-space mixer: groups"),
    CNT(tw_model, window, 1, 1e8, "sliding-window attention: tokens seen"),
    CNT(tw_model, window_layers, 0, 1e5, "layers with it"),
    CNT(tw_model, extra_layers, 0, 1000, "layers for predicting further tokens, each with a head"),
    NUM(tw_model, parameters, NONE, 1e3, 1e16, "as its makers state them"),
};

static const tw_field economy_fields[] = {
    COMMON,
    NUM(tw_economy, electricity, MONEY_ENERGY, 1e-10, 1e-5, ""),
    NUM(tw_economy, pue, NONE, 1, 5, "power of the site over that of the machines"),
    NUM(tw_economy, life, TIME, 1e6, 1e10, "over which machines are paid off"),
    NUM(tw_economy, utilisation, NONE, 0.01, 1, "share of its life that a machine works"),
    NUM(tw_economy, margin, NONE, 0, 0.99, "of the seller, where only parts are known"),
    NUM(tw_economy, goodput, NONE, 0.01, 1, "share of a long run that makes progress"),
    NUM(tw_economy, assembly_yield, NONE, 0.1, 1, ""),
    NUM(tw_economy, nre, MONEY, 0, 1e11, "design and masks of one die"),
    NUM(tw_economy, volume, NONE, 1, 1e10, "chips that share it"),
};

static const tw_field software_fields[] = {
    COMMON,
    NUM(tw_software, tensor_hidden, NONE, 0, 1, "share of tensor-parallel communication that compute can hide"),
    NUM(tw_software, expert_hidden, NONE, 0, 1, "the same of all-to-alls"),
    NUM(tw_software, context_hidden, NONE, 0, 1, "the same of context parallelism"),
    NUM(tw_software, data_hidden, NONE, 0, 1, "the same of gradients and gathered parameters"),
    NUM(tw_software, pipeline_hidden, NONE, 0, 1, "the same of pipeline sends"),
    NUM(tw_software, gather_hidden, NONE, 0, 1, "the same of parameters that ZeRO-3 fetches for every micro-batch"),
    NUM(tw_software, mixer_rate, NONE, 0.01, 10, "speed of its state-space scans over the chip's fused attention"),
    NUM(tw_software, expert_rate, NONE, 0.05, 1.2, "rate of the experts' products over that of one large product"),
    NUM(tw_software, expert_calls, NONE, 0, 1000,
        "operations of the host that sort tokens by expert, one direction of a layer"),
    NUM(tw_software, expert_passes, NONE, 1, 40,
        "times that tokens are read or written while sorted by expert, and back"),
    NUM(tw_software, traffic, NONE, 0.5, 10, "memory traffic of pointwise work over that of full fusion"),
    NUM(tw_software, attention, NONE, 0.1, 10, "speed of its fused attention over the chip's"),
    NUM(tw_software, interference, NONE, 0, 1, "compute lost while communication runs beside it, over its time"),
    NUM(tw_software, gradient_bytes, NONE, 0.5, 8, "bytes of a gradient element as it is reduced"),
    NUM(tw_software, accumulate_bytes, NONE, 0, 32, "memory traffic of adding one gradient element, a micro-batch"),
    NUM(tw_software, optimiser_bytes, NONE, 0, 100, "memory traffic of updating one parameter"),
    NUM(tw_software, state_bytes, NONE, 0, 32, "optimiser state of one parameter"),
    NUM(tw_software, main_gradient_bytes, NONE, 0, 8, "bytes of a gradient element as it is kept"),
    NUM(tw_software, call, TIME, 0, 1e-2, "the host's work for one operation, on a core of speed 1"),
    NUM(tw_software, step_overhead, TIME, 0, 10, "of a step: loading, clipping, logging"),
    NUM(tw_software, host_norm, NONE, 1, 100, "norm of host and device time: 1 their sum, 100 the larger"),
    NUM(tw_software, pass_overhead, TIME, 0, 1, "inference, of a pass: choosing requests, sampling"),
    NUM(tw_software, checkpoint_calls, NONE, 0, 1000,
        "operations of the host that recomputing a whole layer costs beside the layer's own"),
    NUM(tw_software, cache_read, NONE, 0.05, 1, "share of the memory bandwidth that attention reads its cache at"),
    NUM(tw_software, prompt_calls, NONE, 0, 1000,
        "operations of the host that a prompt costs an attention layer beside a token's"),
    YES(tw_software, unfused_prompt, "engines: a prompt's scores go through memory"),
    YES(tw_software, rings, "collectives never use the switch's adders"),
    YES(tw_software, dropout, "masks are stored and applied"),
    YES(tw_software, flat_gather, "ZeRO-3 fetches parameters device by device, blind to nodes"),
};

#define SCHEMA(name, T, table) {name, sizeof(T), table, (int)TW_COUNT(table)}
const tw_item_schema tw_schemas[TW_ITEM_KINDS] = {
    [TW_KIND_PROCESS] = SCHEMA("process", tw_process, process_fields),
    [TW_KIND_MEMORY] = SCHEMA("memory", tw_memory_part, memory_fields),
    [TW_KIND_LINK] = SCHEMA("link", tw_link, link_fields),
    [TW_KIND_SWITCH] = SCHEMA("switch", tw_switch, switch_fields),
    [TW_KIND_PACKAGE] = SCHEMA("package", tw_package, package_fields),
    [TW_KIND_FIT] = SCHEMA("fit", tw_fit, fit_fields),
    [TW_KIND_CHIP] = SCHEMA("chip", tw_chip, chip_fields),
    [TW_KIND_MACHINE] = SCHEMA("machine", tw_machine, machine_fields),
    [TW_KIND_TIER] = SCHEMA("tier", tw_machine_tier, tier_fields),
    [TW_KIND_MODEL] = SCHEMA("model", tw_model, model_fields),
    [TW_KIND_ECONOMY] = SCHEMA("economy", tw_economy, economy_fields),
    [TW_KIND_SOFTWARE] = SCHEMA("software", tw_software, software_fields),
};

const tw_field *tw_schema_find(tw_item_kind kind, const char *key)
{
    for (int i = 0; i < tw_schemas[kind].fields; i++)
        if (!strcmp(tw_schemas[kind].field[i].key, key))
            return &tw_schemas[kind].field[i];
    return NULL;
}

bool tw_schema_field(tw_item_kind kind, int index, tw_field_info *info)
{
    if (index < 0 || index >= tw_schemas[kind].fields)
        return false;
    const tw_field *f = &tw_schemas[kind].field[index];
    *info = (tw_field_info){.key = f->key,
                            .doc = f->doc,
                            .choices = f->choices                 ? f->choices
                                       : f->type == TW_FIELD_FLAG ? "yes|no"
                                                                  : NULL,
                            .dimension = f->dimension,
                            .low = f->low,
                            .high = f->high,
                            .number = f->type == TW_FIELD_NUMBER || f->type == TW_FIELD_COUNT,
                            .required = f->required};
    return true;
}

void tw_schema_clear(tw_item_kind kind, void *item)
{
    memset(item, 0, tw_schemas[kind].bytes);
    for (int i = 0; i < tw_schemas[kind].fields; i++) {
        const tw_field *f = &tw_schemas[kind].field[i];
        if (f->type == TW_FIELD_NUMBER || f->type == TW_FIELD_COUNT)
            *(double *)((char *)item + f->offset) = NAN;
        else if (f->type == TW_FIELD_CHOICE || f->type == TW_FIELD_FLAG)
            *(int *)((char *)item + f->offset) = -1;
    }
}

/* Which of "a|b|c" the text is; -1: none. */
static int choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    int index = 0;
    for (const char *at = choices; *at; index++) {
        size_t n = strcspn(at, "|");
        if (n == length && !strncmp(at, text, n))
            return index;
        at += n + (at[n] == '|');
    }
    return -1;
}

static tw_status fail(const tw_section *s, const tw_entry *e, const char *why)
{
    return tw_error(TW_ERR_FORMAT, "%s:%d: [%s%s%s] %s: %s", s->file, e->line, s->kind, *s->name ? " " : "", s->name,
                    e->key, why);
}

static tw_status read_number(const tw_field *f, const tw_section *s, const tw_entry *e, double *to, tw_quantity *q)
{
    char why[400], low[48], high[48], given[48];
    if (!tw_quantity_parse(e->value, f->dimension, q, why, sizeof why))
        return fail(s, e, why);
    if (q->low < f->low || q->high > f->high) {
        snprintf(why, sizeof why, "'%.60s' is %s; expected %s to %s", e->value,
                 tw_quantity_text(q->low < f->low ? q->low : q->high, f->dimension, given, sizeof given),
                 tw_quantity_text(f->low, f->dimension, low, sizeof low),
                 tw_quantity_text(f->high, f->dimension, high, sizeof high));
        return fail(s, e, why);
    }
    if (f->type == TW_FIELD_COUNT && q->value != floor(q->value)) {
        snprintf(why, sizeof why, "'%.60s' is no whole number", e->value);
        return fail(s, e, why);
    }
    *to = q->value;
    return TW_OK;
}

/* Values that are published as ranges keep both ends. */
static const struct {
    tw_item_kind kind;
    size_t value, low, high;
} ranges[] = {
    {TW_KIND_CHIP, offsetof(tw_chip, price), offsetof(tw_chip, price_low), offsetof(tw_chip, price_high)},
    {TW_KIND_CHIP, offsetof(tw_chip, package_area), offsetof(tw_chip, package_area_low),
     offsetof(tw_chip, package_area_high)},
    {TW_KIND_MEMORY, offsetof(tw_memory_part, footprint), offsetof(tw_memory_part, footprint_low),
     offsetof(tw_memory_part, footprint_high)},
};

static void keep_range(tw_item_kind kind, const tw_field *f, const tw_quantity *q, void *item)
{
    for (size_t i = 0; i < TW_COUNT(ranges); i++)
        if (ranges[i].kind == kind && ranges[i].value == f->offset) {
            *(double *)(void *)((char *)item + ranges[i].low) = q->low;
            *(double *)(void *)((char *)item + ranges[i].high) = q->high;
        }
}

tw_status tw_schema_read(tw_item_kind kind, const tw_section *s, const tw_entry *e, tw_arena *arena, void *item)
{
    const tw_field *f = tw_schema_find(kind, e->key);
    tw_quantity q;
    char why[400];
    if (!f) {
        const tw_field *near = NULL;
        for (int i = 0; i < tw_schemas[kind].fields && !near; i++)
            if (!strncmp(tw_schemas[kind].field[i].key, e->key, 3))
                near = &tw_schemas[kind].field[i];
        snprintf(why, sizeof why, "a [%s] has no such key%s%s%s; 'tw machine fields %s' lists them",
                 tw_schemas[kind].name, near ? "; is '" : "", near ? near->key : "", near ? "' meant" : "",
                 tw_schemas[kind].name);
        return fail(s, e, why);
    }
    char *at = (char *)item + f->offset;
    switch (f->type) {
    case TW_FIELD_NUMBER:
    case TW_FIELD_COUNT:
        TW_TRY(read_number(f, s, e, (double *)(void *)at, &q));
        keep_range(kind, f, &q, item);
        return TW_OK;
    case TW_FIELD_TEXT: {
        const char *text = tw_arena_text(arena, "%s", e->value);
        if (!text)
            return TW_ERR_MEMORY;
        *(const char **)(void *)at = text;
        return TW_OK;
    }
    case TW_FIELD_CHOICE:
    case TW_FIELD_FLAG: {
        int index = choice(f->type == TW_FIELD_FLAG ? "no|yes" : f->choices, e->value);
        if (index < 0) {
            snprintf(why, sizeof why, "'%.60s'; expected one of %s", e->value,
                     f->type == TW_FIELD_FLAG ? "yes|no" : f->choices);
            return fail(s, e, why);
        }
        *(int *)(void *)at = index;
        return TW_OK;
    }
    }
    return TW_OK;
}
