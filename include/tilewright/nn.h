/* What models are made of, as plain C structures over tensors. */
#ifndef TILEWRIGHT_NN_H
#define TILEWRIGHT_NN_H

#include "tilewright/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters by name, in order; names as a PyTorch state_dict would have them. */
typedef struct tw_parameter {
    char name[64];
    tw_tensor *value;
} tw_parameter;
typedef struct tw_parameters {
    tw_parameter *item;
    int count, room;
} tw_parameters;
TW_API tw_tensor *
tw_parameters_add(tw_parameters *p, const char *name,
                  tw_tensor *value); /* keeps it, requires its gradient; the name at most 63 bytes; NULL: failed */
TW_API void tw_parameters_free(tw_parameters *p);
TW_API void tw_parameters_zero_grad(tw_parameters *p);

/* Layers: the parameters that they add are f32 and named after the layer (NAME.weight, NAME.bias); weights are drawn
 * from a normal distribution with deviation std, from the default generator; biases begin at zero. A layer's tensors
 * belong to the tw_parameters that they were added to.
 * error: init returns it (sizes, memory); forward's result carries it. */

/* y = x weight^T + bias: x [..., in], weight [out, in], bias [out] or NULL; returns [..., out]. */
typedef struct tw_linear_layer {
    tw_tensor *weight, *bias;
} tw_linear_layer;
TW_API tw_status tw_linear_init(tw_linear_layer *l, tw_parameters *p, const char *name, int64_t in, int64_t out,
                                bool bias, double std);
TW_API tw_tensor *tw_linear_forward(const tw_linear_layer *l, tw_tensor *x);

/* y = (x - mean) / sqrt(variance + eps) * weight + bias over the last dimension; eps is 1e-5 until it is changed. */
typedef struct tw_layer_norm_layer {
    tw_tensor *weight, *bias;
    double eps;
} tw_layer_norm_layer;
TW_API tw_status tw_layer_norm_init(tw_layer_norm_layer *l, tw_parameters *p, const char *name, int64_t size);
TW_API tw_tensor *tw_layer_norm_forward(const tw_layer_norm_layer *l, tw_tensor *x);

/* y = x / sqrt(mean(x^2) + eps) * weight over the last dimension; eps is f32's epsilon, 1.2e-7, until it is
 * changed, as torch.nn.RMSNorm's. */
typedef struct tw_rms_norm_layer {
    tw_tensor *weight;
    double eps;
} tw_rms_norm_layer;
TW_API tw_status tw_rms_norm_init(tw_rms_norm_layer *l, tw_parameters *p, const char *name, int64_t size);
TW_API tw_tensor *tw_rms_norm_forward(const tw_rms_norm_layer *l, tw_tensor *x);

/* The rows of weight [rows, size] that index (i64 or i32, any shape) names. */
typedef struct tw_embedding_layer {
    tw_tensor *weight;
} tw_embedding_layer;
TW_API tw_status tw_embedding_init(tw_embedding_layer *l, tw_parameters *p, const char *name, int64_t rows,
                                   int64_t size, double std);
TW_API tw_tensor *tw_embedding_forward(const tw_embedding_layer *l, tw_tensor *index);

/* In training zero with probability p, else x / (1 - p); otherwise x itself. Which elements are zero comes from the
 * default generator, whose state moves on by one number an element: after the same tw_manual_seed, the same calls drop
 * the same elements, compiled or not, with any number of threads. */
typedef struct tw_dropout_layer {
    double p;
} tw_dropout_layer;
TW_API tw_status tw_dropout_init(tw_dropout_layer *l, double p); /* 0 <= p <= 1 */
TW_API tw_tensor *tw_dropout_forward(const tw_dropout_layer *l, tw_tensor *x, bool training);

/* Multi-head attention. NAME.qkv [3 dim, dim] makes queries, keys and values in one product; each of `heads` parts
 * of dim / heads attends on its own; NAME.proj [dim, dim] maps what they found: in_proj and out_proj of
 * torch.nn.MultiheadAttention.
 *   x      [batch, time, dim], which makes the queries
 *   other  [batch, other time, dim], which makes keys and values; NULL: x itself
 *   mask   NULL, or what broadcasts to [batch, heads, time, other time]: bool (hidden where false) or floating (added
 *          to the scores)
 * causal: time t sees 0 to t. Of a row that sees nothing the heads find 0, as PyTorch's do. */
typedef struct tw_attention_layer {
    tw_linear_layer qkv, proj;
    int64_t heads;
} tw_attention_layer;
TW_API tw_status tw_attention_init(tw_attention_layer *l, tw_parameters *p, const char *name, int64_t dim,
                                   int64_t heads, bool bias, double std);
TW_API tw_tensor *tw_attention_forward(const tw_attention_layer *l, tw_tensor *x, tw_tensor *other, tw_tensor *mask,
                                       bool causal);

/* A GPT: pre-norm blocks, learned positions, exact GELU, head tied to the embedding. */
typedef struct tw_gpt_config {
    int64_t layers, dim, heads, context, vocabulary;
    double dropout;
} tw_gpt_config;
typedef struct tw_gpt_block {
    tw_layer_norm_layer ln1, ln2;
    tw_attention_layer attention;
    tw_linear_layer fc, out;
} tw_gpt_block;
typedef struct tw_gpt {
    tw_gpt_config config;
    tw_parameters parameters;
    tw_dropout_layer drop;
    tw_embedding_layer wte, wpe;
    tw_gpt_block *block;
    tw_layer_norm_layer lnf;
} tw_gpt;
TW_API tw_status tw_gpt_init(tw_gpt *m, const tw_gpt_config *config);
TW_API void tw_gpt_free(tw_gpt *m);
TW_API tw_tensor *tw_gpt_logits(tw_gpt *m, tw_tensor *tokens,
                                bool training); /* i64 [batch, time] to [batch * time, vocabulary] */
TW_API tw_tensor *tw_gpt_loss(tw_gpt *m, tw_tensor *tokens, tw_tensor *targets,
                              bool training); /* both i64 [batch, time] */

#ifdef __cplusplus
}
#endif
#endif
