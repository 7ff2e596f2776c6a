/* What descriptions say, as structures: chips, memories, links, switches, nodes, machines, transformer families and the
 * constants of the cost model. Units are those of units.h; a number that a description leaves out is NaN (test with
 * isnan), a name that it leaves out is NULL. */
#ifndef TW_MACHINE_LIBRARY_H
#define TW_MACHINE_LIBRARY_H

#include "machine/document.h"
#include "machine/units.h"

/* Arithmetic that chips have different peaks for. */
typedef enum {
    TW_PEAK_FP64,
    TW_PEAK_FP32,
    TW_PEAK_TF32,
    TW_PEAK_FP16,
    TW_PEAK_BF16,
    TW_PEAK_FP8,
    TW_PEAK_FP4,
    TW_PEAK_INT8,
    TW_PEAKS
} tw_peak;
const char *tw_peak_name(tw_peak peak);              /* "bf16" */
bool tw_peak_parse(const char *name, tw_peak *peak); /* also "fp8-cs", "mxfp8", "nvfp4", ... */
double tw_peak_bytes(tw_peak peak);                  /* of one element */

typedef enum {
    TW_STATUS_CHECKED,
    TW_STATUS_PARTLY,
    TW_STATUS_MEMORY,
    TW_STATUS_SEED,
    TW_STATUS_HYPOTHESIS,
    TW_STATUS_FITTED,
    TW_STATUS_SKETCH
} tw_item_status;

/* What every description begins with. */
typedef struct tw_description {
    const char *name, *note;
    const tw_section *section; /* where it stands: file, line, every value with its source */
    int status;                /* tw_item_status */
    const char *source;        /* of the values that don't name one of their own */
} tw_description;

/* A way to make wafers. */
typedef struct tw_process {
    tw_description item;
    double year, wafer_price, wafer_diameter, scribe, edge, defects, clustering, sram_bit, gain;
} tw_process;

/* One stack, channel or module of memory. */
typedef struct tw_memory_part {
    tw_description item;
    double year, pin_rate, pins, bandwidth, capacity, price, energy, latency, footprint, footprint_low, footprint_high,
        achieved;
} tw_memory_part;

typedef enum {
    TW_LINK_SCALE_UP,
    TW_LINK_CHIP_TO_CHIP,
    TW_LINK_PHY,
    TW_LINK_DIE_TO_DIE,
    TW_LINK_HOST,
    TW_LINK_SCALE_OUT
} tw_link_class;
typedef enum { TW_FEC_NONE, TW_FEC_LIGHT, TW_FEC_RS } tw_fec;

/* `bandwidth` counts one direction of what `scope` names; so do energy and densities. */
typedef struct tw_link {
    tw_description item;
    int class, fec; /* tw_link_class, tw_fec */
    const char *modulation, *scope;
    double year, lane_rate, lanes, links, bandwidth, encoding, phy_latency, fec_latency, fec_latency_most, energy,
        edge_density, area_density, reach, price;
    /* of collectives: start-up, share of the bandwidth that large messages reach, the same with reduction in the
     * switch, bytes in flight to each further member of a ring, message size at which half of them are seen */
    double step; /* s, what one step of a ring takes in software before bytes count */
    double alpha, alpha_send, achieved, achieved_reduced, fill, fill_half;
} tw_link;

typedef struct tw_switch {
    tw_description item;
    double year, ports, lanes, lane_rate, capacity, latency, price, power;
    const char *process;
} tw_switch;

typedef enum {
    TW_PACKAGE_ORGANIC,
    TW_PACKAGE_INTERPOSER,
    TW_PACKAGE_BRIDGE,
    TW_PACKAGE_FAN_OUT,
    TW_PACKAGE_WAFER
} tw_package_kind;

typedef struct tw_package {
    tw_description item;
    int kind; /* tw_package_kind */
    double year, limit, price_area, substrate_price, defects, clustering, bond_yield, base_price, spread;
} tw_package;

/* The constants of the cost model for one family of chips. `tw plan validate` says what they are worth; fits.machine
 * which rows they were fitted on. */
typedef struct tw_fit {
    tw_description item;
    double mma_16, mma_8, mma_4;  /* share of the dense matrix peak that large products reach */
    double sustained_8;           /* the same of products of 8-bit and narrower operands */
    double backward;              /* rate of gradients' products over forward ones */
    double sustained;             /* of it, left over minutes of full load */
    double k_half;                /* inner length at which a tile spends half its time filling its pipeline */
    double wave;                  /* share of the last wave's idle units that is lost (1: all of it) */
    double stream, norm, softmax; /* shares of the memory bandwidth: pointwise, normalisation, softmax */
    double gap;                   /* between two kernels of a queue */
    double ramp;                  /* of one kernel until memory streams at full rate */
    double row;                   /* that a unit spends on one row of a normalisation, however short it is */
    double call_gemm, call_pointwise, call_norm, call_softmax; /* one call alone, through a framework */

    double attention_forward, attention_backward, attention_8; /* share of the 16-bit (8-bit) peak in fused attention */

    double cache_read;     /* of the rate at which software reads its cache in attention */
    double cache;          /* bandwidth of the last cache level over that of memory */
    double power_exponent; /* clock = cap^exponent where power limits it */
    double idle_power;     /* share of TDP */
} tw_fit;

typedef enum { TW_CHIP_PRODUCT, TW_CHIP_HYPOTHESIS, TW_CHIP_CPU } tw_chip_kind;
typedef enum {
    TW_LAYOUT_MONOLITHIC,
    TW_LAYOUT_HBM_EDGE,
    TW_LAYOUT_IO_EDGE,
    TW_LAYOUT_QUAD,
    TW_LAYOUT_IO_DIE,
    TW_LAYOUT_IO_DIE_APART,
    TW_LAYOUT_CHIPLETS
} tw_layout;

/* One package (or several sockets that act as one): what a plan calls a device. Peaks, memory and links are of the
 * whole. */
typedef struct tw_chip {
    tw_description item;
    int kind, layout; /* tw_chip_kind, tw_layout */
    int mirrored;     /* -1 unknown, 0, 1: the die joins a copy of itself */
    double year, dies, die_area, transistors, units, units_made, repairable, clock, peak[TW_PEAKS], l2, l1;
    double sockets, io_dies, io_die_area, defects;
    double speed; /* of one core, EPYC 7742's is 1 (central processors) */
    double memory_stacks, memory_bytes, memory_bandwidth, tdp;
    double links, link_bandwidth, host_bandwidth;
    double package_area, package_area_low, package_area_high, price, price_low, price_high, parts_price;
    const char *process_name, *memory_name, *link_name, *host_link_name, *package_name, *fit_name, *die_link_name,
        *host_name;
    const tw_process *process;
    const tw_memory_part *memory;
    const tw_link *link, *host_link, *die_link;
    const tw_package *package;
    const tw_fit *fit;
    const struct tw_chip *host; /* that usually drives it */
} tw_chip;

typedef enum {
    TW_TOPOLOGY_ALL_TO_ALL,
    TW_TOPOLOGY_SWITCH,
    TW_TOPOLOGY_FAT_TREE,
    TW_TOPOLOGY_RAIL,
    TW_TOPOLOGY_RING,
    TW_TOPOLOGY_TORUS,
    TW_TOPOLOGY_DRAGONFLY,
    TW_TOPOLOGIES
} tw_topology;
const char *tw_topology_name(int topology);

/* One level of a machine: `size` things of the level inside, joined. */
typedef struct tw_machine_tier {
    tw_description item;
    double size;
    int topology, reduces; /* tw_topology; reduces: the switch adds (in-switch reduction) */
    const char *link_name, *switch_name, *dims_text;
    const tw_link *link;
    const tw_switch *through;
    double bandwidth; /* a device and direction, where it differs from the link's */
    double switches, oversubscription, latency, dims[4], groups;
    int dim_count;
    /* derived */
    double rate;        /* byte/s a device and direction */
    double hop_latency; /* s, one crossing */
    double members;     /* devices within this tier */
} tw_machine_tier;

enum { TW_TIERS = 6 };

typedef struct tw_machine {
    tw_description item;
    const char *chip_name, *host_name, *nic_name;
    const tw_chip *chip, *host;
    double chips_per_host, node_chips; /* node_chips: devices that share a board (members of the first tier) */
    double host_memory, overhead_power, node_price, price, pue, power_cap;
    int tiers;
    tw_machine_tier tier[TW_TIERS];
    double devices; /* product of the tiers' sizes */
} tw_machine;

typedef enum { TW_ATTENTION_FUSED, TW_ATTENTION_STANDARD, TW_ATTENTION_EAGER } tw_attention;

/* How a generation of training software goes about it: what overlaps, what is kept in which precision. */
typedef struct tw_software {
    tw_description item;
    double tensor_hidden, expert_hidden, context_hidden, data_hidden,
        pipeline_hidden;   /* share of it that compute can hide */
    double gather_hidden;  /* the same of parameters that ZeRO-3 fetches for every micro-batch */
    double mixer_rate;     /* speed of its state-space scans over the chip's fused attention */
    double expert_rate;    /* rate of the experts' products over that of one large product */
    double expert_calls;   /* operations of the host in one direction of a layer with experts: routing, sorting, waiting
                              for counts */
    double expert_passes;  /* times that tokens are read or written while they are sorted by expert, and back */
    double traffic;        /* memory traffic of pointwise work over that of full fusion */
    double attention;      /* speed of its fused attention over the chip's */
    double interference;   /* compute lost while communication runs beside it, over the time of that */
    double gradient_bytes; /* of an element as it is reduced over devices */
    double accumulate_bytes;    /* memory traffic of adding one gradient element, a micro-batch */
    double optimiser_bytes;     /* memory traffic of updating one parameter */
    double state_bytes;         /* optimiser state of one parameter: master copy and moments */
    double main_gradient_bytes; /* of an element as it is kept */
    double host_norm;           /* how sharply the larger of the host's and the device's time wins: 1 adds them */
    double call;                /* host's work for one operation, on a core of speed 1; 0: launches are captured */
    double step_overhead;       /* of a step: data loading, clipping, logging */
    double pass_overhead;       /* inference, a pass of the whole model: choosing requests, sampling tokens */
    double checkpoint_calls;    /* operations of the host that recomputing a whole layer costs beside the layer's own */
    double cache_read;          /* share of the memory bandwidth that attention reads its cache at */
    double prompt_calls; /* operations of the host that a prompt costs an attention layer beside those of a token */
    int unfused_prompt;  /* a prompt's scores go through memory */
    int rings;           /* collectives never use the switch's adders */
    int dropout, flat_gather; /* flat_gather: ZeRO-3 fetches parameters device by device, blind to nodes */
} tw_software;

/* A transformer family by its dimensions. Hybrid models say how many of their layers hold which part. */
typedef struct tw_model {
    tw_description item;
    double layers, hidden, ffn, heads, kv_heads, head_dim, vocab, sequence;
    int gated, tied, positions, causal, bias; /* -1: by family default */
    int attention;                            /* tw_attention */
    const char *software_name;
    const tw_software *software;
    double experts, experts_active, expert_ffn, shared_ffn,
        dense_layers;                            /* dense_layers: of `layers`, without experts */
    double q_rank, kv_rank, rope_dim, value_dim; /* latent attention (MLA); 0: none */
    double attention_layers, mixer_layers,
        ffn_layers; /* hybrids: layers that hold attention, a state-space mixer, a feed-forward part */
    double mixer_inner, mixer_state, mixer_heads, mixer_groups;
    double latent;                /* experts work on tokens projected to this size (0: on hidden) */
    double window, window_layers; /* sliding-window attention in so many of the layers */
    double extra_layers;          /* multi-token prediction: further layers with a head of their own */
    double parameters;            /* stated by its makers; checked against the dimensions */
} tw_model;

/* What money is asked at. */
typedef struct tw_economy {
    tw_description item;
    double electricity, pue, life, utilisation, margin, goodput, assembly_yield, nre, volume;
} tw_economy;

typedef enum {
    TW_KIND_PROCESS,
    TW_KIND_MEMORY,
    TW_KIND_LINK,
    TW_KIND_SWITCH,
    TW_KIND_PACKAGE,
    TW_KIND_FIT,
    TW_KIND_CHIP,
    TW_KIND_MACHINE,
    TW_KIND_TIER,
    TW_KIND_MODEL,
    TW_KIND_ECONOMY,
    TW_KIND_SOFTWARE,
    TW_ITEM_KINDS
} tw_item_kind;

typedef struct tw_library tw_library;

/* The descriptions that come with Tilewright. NULL: no memory, or they are broken (tw_error_message). */
tw_library *tw_library_create(void);
tw_library *tw_library_create_empty(void);
void tw_library_destroy(tw_library *library);

/* Adds a file or a text. What it names may already exist: then it replaces it. Nothing is added when anything in it is
 * wrong. error: TW_ERR_FORMAT with file, line, section, key, what was given and what was expected. */
tw_status tw_library_add_file(tw_library *library, const char *path);
tw_status tw_library_add_text(tw_library *library, const char *file, const char *text, size_t bytes);

int tw_library_count(const tw_library *library, tw_item_kind kind);
const tw_description *tw_library_at(const tw_library *library, tw_item_kind kind, int index);
/* By name, as it stands or without regard to case and to what follows a '-' where that is unique. NULL: none (no error
 * set). */
const tw_description *tw_library_find(const tw_library *library, tw_item_kind kind, const char *name);
/* The same with an error that lists near names. */
tw_status tw_library_need(const tw_library *library, tw_item_kind kind, const char *name, const tw_description **item);
const char *tw_item_kind_name(tw_item_kind kind);

/* Changes one number of an item, by the key that its description has: for sweeps, sensitivities and fits. `text` as in
 * a description; what was derived from it is derived again. "chip.H100.tdp". */
tw_status tw_library_set(tw_library *library, const char *path, const char *text);
tw_status tw_library_get(const tw_library *library, const char *path, double *value, tw_dimension *dimension);
tw_status tw_library_set_number(tw_library *library, const char *path, double value);

/* The schema: every key of a kind, for `tw machine fields` and the documentation. */
typedef struct tw_field_info {
    const char *key, *doc, *choices;
    tw_dimension dimension;
    double low, high;
    bool number, required;
} tw_field_info;
bool tw_schema_field(tw_item_kind kind, int index, tw_field_info *info); /* false: no more */

/* An item as its description stands, each value with its source. */
void tw_item_print(const tw_library *library, tw_item_kind kind, const tw_description *item, tw_text *out);

#endif
