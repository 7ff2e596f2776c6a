/* Single kernels and collectives: products, normalisations, copies, attention, all-reduces, links. A latency is of one
 * call through a framework; a rate is of calls that follow each other. */
#include <math.h>

#include "machine/internal.h"
#include "machine/predict.h"

static tw_status unknown(const tw_row *r, const char *what)
{
    return tw_error(TW_ERR_UNSUPPORTED, "%s '%s' (%s) is not modelled", what, r->metric, r->shape);
}

static tw_status device_of(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_device *d)
{
    const tw_description *chip;
    TW_TRY(tw_library_need(l, TW_KIND_CHIP, r->hw, &chip));
    *d = tw_device_of((const tw_chip *)(const void *)chip, constants, 1);
    return TW_OK;
}

static tw_status predict_gemm(const tw_row *r, const tw_device *d, tw_prediction *out)
{
    tw_peak type = TW_PEAK_BF16;
    double m = tw_row_shape(r, "m"), n = tw_row_shape(r, "n"), k = tw_row_shape(r, "k");
    tw_device c = tw_device_cool(d);
    tw_peak_parse(r->dtype, &type);
    if (!(m > 0) || !(n > 0) || !(k > 0))
        return tw_error(TW_ERR_FORMAT, "shape '%s' has no m=, n=, k=", r->shape);
    out->seconds = tw_gemm_time(&c, type, m, n, k, 1);
    if (!strcmp(r->metric, "latency")) {
        out->seconds += d->fit->call_gemm - d->fit->gap;
        out->value = out->seconds * 1e3;
    } else {
        out->value = 2 * m * n * k / out->seconds * 1e-12;
    }
    double rate = 2 * m * n * k / out->seconds;
    out->value2 = !strcmp(r->metric2, "pct_of_peak") ? 100 * rate / d->chip->peak[type] : rate * 1e-12;
    return TW_OK;
}

/* One layer of GPT-3 operator by operator: shape op=..., batch=, seq=, kv=. */
static tw_status predict_layer_op(const tw_library *l, const tw_row *r, const tw_device *d, const char *op,
                                  tw_prediction *out)
{
    double b = tw_row_shape(r, "batch"), s = tw_row_shape(r, "seq"), kv = tw_row_shape(r, "kv"), h = r->hidden,
           t = isnan(r->tp) ? 1 : r->tp;
    double a = r->heads / t, dim = h / r->heads, rows = b * s, held = isnan(kv) ? s : kv, time;
    const tw_fit *f = d->fit;
    tw_device c = tw_device_cool(d);
    if (!strcmp(op, "Q_K_V"))
        time = f->call_gemm + tw_gemm_time(&c, TW_PEAK_FP16, rows, 3 * h / t, h, 1);
    else if (!strcmp(op, "Q_mul_K"))
        time = f->call_gemm + tw_gemm_time(&c, TW_PEAK_FP16, s, held, dim, b * a);
    else if (!strcmp(op, "A_mul_V"))
        time = f->call_gemm + tw_gemm_time(&c, TW_PEAK_FP16, s, dim, held, b * a);
    else if (!strcmp(op, "Wo_proj"))
        time = f->call_gemm + tw_gemm_time(&c, TW_PEAK_FP16, rows, h, h / t, 1);
    else if (!strcmp(op, "W1_proj"))
        time = f->call_gemm + tw_gemm_time(&c, TW_PEAK_FP16, rows, 4 * h / t, h, 1);
    else if (!strcmp(op, "W2_proj"))
        time = f->call_gemm + tw_gemm_time(&c, TW_PEAK_FP16, rows, h, 4 * h / t, 1);
    else if (!strcmp(op, "Softmax"))
        time = f->call_softmax + tw_softmax_time(d, b * a * s, held, 2);
    else if (!strncmp(op, "LayerNorm", 9))
        time = f->call_norm + tw_norm_time(d, rows, h, 2);
    else if (!strcmp(op, "GeLU"))
        time = f->call_pointwise + tw_pass_time(d, TW_PASS_STREAM, 2 * rows * 4 * h / t * 2);
    else if (!strncmp(op, "AllReduce", 9)) {
        tw_machine m;
        TW_TRY(tw_row_machine(l, r, &m));
        tw_group g = tw_group_of(&m, m.devices, 1);
        time = tw_collective_time(&m, &g, TW_ALL_REDUCE, rows * h * 2, TW_ALGORITHM_AUTO);
    } else
        return unknown(r, "operator");
    out->seconds = time;
    out->value = time * 1e3;
    return TW_OK;
}

static tw_status predict_op(const tw_library *l, const tw_row *r, const tw_device *d, tw_prediction *out)
{
    char op[32];
    double rows = tw_row_shape(r, "rows"), columns = tw_row_shape(r, "cols"), elements = tw_row_shape(r, "elems"), time;
    tw_row_shape_text(r, "op", op, sizeof op);
    if (!isnan(tw_row_shape(r, "batch")))
        return predict_layer_op(l, r, d, op, out);
    if (!strcmp(op, "softmax"))
        time = d->fit->call_softmax + tw_softmax_time(d, rows, columns, 2);
    else if (!strcmp(op, "layernorm"))
        time = d->fit->call_norm + tw_norm_time(d, rows, columns, 2);
    else if (!strcmp(op, "gelu"))
        time = d->fit->call_pointwise + tw_pass_time(d, TW_PASS_STREAM, 4 * elements);
    else
        return unknown(r, "operator");
    if (isnan(elements))
        elements = rows * columns;
    out->seconds = time;
    out->value = !strcmp(r->metric, "latency") ? time * 1e3 : elements / time * 1e-9;
    out->value2 = !strcmp(r->metric2, "min_traffic") ? 4 * elements / time * 1e-9 : NAN;
    return TW_OK;
}

/* FlashAttention-2 was written for the matrix engines of 2020; on later ones it reaches what software of its time does.
 */
static double kernel_generation(const tw_library *l, const tw_row *r, const tw_chip *c)
{
    const tw_description *modern = tw_library_find(l, TW_KIND_SOFTWARE, "modern");
    bool older = (strstr(r->id, "fa2") || strstr(r->shape, "fa2")) && c->year > 2021;
    return older && modern ? ((const tw_software *)(const void *)modern)->attention : 1;
}

static tw_status predict_attention(const tw_library *l, const tw_row *r, const tw_device *d, tw_prediction *out)
{
    double generation = kernel_generation(l, r, d->chip);
    double batch = tw_row_shape(r, "batch"), s = tw_row_shape(r, "seq"), dim = tw_row_shape(r, "head_dim"),
           heads = 2048 / dim;
    tw_peak type = TW_PEAK_BF16;
    tw_peak_parse(r->dtype, &type);
    tw_device c = tw_device_cool(d);
    if (isnan(s)) { /* the best shape there is */
        double flops = 1e14;
        out->value = flops * generation / tw_attention_time(&c, type, flops, 128, false) * 1e-12;
        return TW_OK;
    }
    double flops = 4 * batch * heads * s * s * dim;
    if (strstr(r->id, "standard")) {
        double scores = batch * heads * s * s * 2;
        double time = tw_gemm_time(&c, type, s, s, dim, batch * heads) +
                      tw_gemm_time(&c, type, s, dim, s, batch * heads) + tw_pass_time(d, TW_PASS_NORM, 2 * scores);
        out->value = flops / time * 1e-12;
    } else {
        out->value = flops * generation / tw_attention_time(&c, type, flops, dim, false) * 1e-12;
    }
    return TW_OK;
}

/* Copies read one byte for each they write; dot products only read. */
static tw_status predict_stream(const tw_row *r, const tw_device *d, tw_prediction *out)
{
    out->value = d->stream * 1e-12;
    return strcmp(r->metric, "bandwidth") ? unknown(r, "memory metric") : TW_OK;
}

tw_status tw_predict_kernel(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out)
{
    tw_device d;
    TW_TRY(device_of(l, r, constants, &d));
    if (!strcmp(r->kind, "gemm"))
        return predict_gemm(r, &d, out);
    if (!strcmp(r->kind, "op"))
        return predict_op(l, r, &d, out);
    if (!strcmp(r->kind, "attn"))
        return predict_attention(l, r, &d, out);
    return predict_stream(r, &d, out);
}

static tw_status predict_collective(const tw_library *l, const tw_row *r, tw_prediction *out)
{
    static const struct {
        const char *prefix;
        tw_collective what;
    } names[] = {{"all_reduce", TW_ALL_REDUCE}, {"all_gather", TW_ALL_GATHER}, {"reduce_scatter", TW_REDUCE_SCATTER},
                 {"all_to_all", TW_ALL_TO_ALL}, {"alltoall", TW_ALL_TO_ALL},   {"broadcast", TW_BROADCAST},
                 {"sendrecv", TW_SEND}};
    char op[32], algorithm[16];
    double bytes = tw_row_shape(r, "bytes");
    tw_machine m;
    tw_row_shape_text(r, "op", op, sizeof op);
    tw_row_shape_text(r, "algo", algorithm, sizeof algorithm);
    for (size_t i = 0; i < TW_COUNT(names); i++) {
        if (strncmp(op, names[i].prefix, strlen(names[i].prefix)) != 0)
            continue;
        TW_TRY(tw_row_machine(l, r, &m));
        tw_group g = tw_group_of(&m, m.devices, 1);
        bool ring = !strcmp(algorithm, "ring") || strstr(op, "_ring") != NULL;
        double n = m.devices, factor = names[i].what == TW_ALL_REDUCE                              ? 2 * (n - 1) / n
                                       : names[i].what == TW_BROADCAST || names[i].what == TW_SEND ? 1
                                                                                                   : (n - 1) / n;
        out->seconds = tw_collective_time(&m, &g, names[i].what, bytes, ring ? TW_ALGORITHM_RING : TW_ALGORITHM_AUTO);
        if (!strcmp(r->metric, "busbw"))
            out->value = bytes * factor / out->seconds * 1e-9;
        else if (!strcmp(r->metric, "algbw"))
            out->value = bytes / out->seconds * 1e-9;
        else
            out->value = out->seconds * 1e6;
        return TW_OK;
    }
    return unknown(r, "collective");
}

static bool contains(const char *text, const char *what)
{
    char lower[128];
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + 32 : text[n]);
    lower[n] = '\0';
    return strstr(lower, what) != NULL;
}

tw_status tw_predict_links(const tw_library *l, const tw_row *r, tw_prediction *out)
{
    const tw_description *item;
    if (!strcmp(r->kind, "collective"))
        return predict_collective(l, r, out);
    TW_TRY(tw_library_need(l, TW_KIND_CHIP, r->hw, &item));
    const tw_chip *c = (const tw_chip *)(const void *)item;
    bool both = contains(r->shape, "bidirectional"), host = contains(r->shape, "host"),
         adapter = contains(r->shape, "rdma");
    const tw_link *k = host ? c->host_link : c->link;
    if (adapter) {
        out->value = 200 * 0.97; /* one port of 200 Gbit/s, a plain transfer: headers alone */
        return TW_OK;
    }
    if (!k)
        return tw_error(TW_ERR_UNSUPPORTED, "the description of %s names no such link", c->item.name);
    double achieved = !isnan(k->achieved) ? k->achieved : 0.8;
    /* A transfer alone has the whole link, also where two devices share it. Both directions at once over a coherent
     * link meet the host's memory, whose bandwidth they share. */
    double shared = both && k->class == TW_LINK_CHIP_TO_CHIP ? 0.5 : 1;
    out->value = host ? k->bandwidth * achieved * shared * 1e-9 : 2 * c->link_bandwidth * 0.75 * 1e-9;
    return TW_OK;
}
