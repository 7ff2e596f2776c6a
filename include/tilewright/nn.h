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
TW_API tw_tensor *tw_parameters_add(tw_parameters *p, const char *name,
                                    tw_tensor *value); /* keeps it, requires its gradient; NULL: no memory */
TW_API void tw_parameters_free(tw_parameters *p);
TW_API void tw_parameters_zero_grad(tw_parameters *p);

/* y = x weight^T + bias */
typedef struct tw_linear_layer {
    tw_tensor *weight, *bias;
} tw_linear_layer;
TW_API tw_status tw_linear_init(tw_linear_layer *l, tw_parameters *p, const char *name, int64_t in, int64_t out,
                                bool bias, double std);
TW_API tw_tensor *tw_linear_forward(const tw_linear_layer *l, tw_tensor *x);

typedef struct tw_layer_norm_layer {
    tw_tensor *weight, *bias;
    double eps;
} tw_layer_norm_layer;
TW_API tw_status tw_layer_norm_init(tw_layer_norm_layer *l, tw_parameters *p, const char *name, int64_t size);
TW_API tw_tensor *tw_layer_norm_forward(const tw_layer_norm_layer *l, tw_tensor *x);

typedef struct tw_embedding_layer {
    tw_tensor *weight;
} tw_embedding_layer;
TW_API tw_status tw_embedding_init(tw_embedding_layer *l, tw_parameters *p, const char *name, int64_t rows,
                                   int64_t size, double std);
TW_API tw_tensor *tw_embedding_forward(const tw_embedding_layer *l, tw_tensor *index);

/* A GPT: pre-norm blocks, learned positions, exact GELU, head tied to the embedding. */
typedef struct tw_gpt_config {
    int64_t layers, dim, heads, context, vocabulary;
    double dropout;
} tw_gpt_config;
typedef struct tw_gpt_block {
    tw_layer_norm_layer ln1, ln2;
    tw_linear_layer qkv, proj, fc, out;
} tw_gpt_block;
typedef struct tw_gpt {
    tw_gpt_config config;
    tw_parameters parameters;
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
