/* Looking into a step: what it was captured as, what runs, how long it takes, how near that is to what the machine can
 * do, and why. `tw explain` prints the same. */
#ifndef TILEWRIGHT_EXPLAIN_H
#define TILEWRIGHT_EXPLAIN_H

#include "tilewright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_explanation tw_explanation;

/* What runs between begin and end is explained, at the speed that it has anyway. One at a time in a program.
 * tw_explain_end measures the machine too, a few tenths of a second; NULL: error set. */
TW_API tw_status tw_explain_begin(void);
TW_API tw_explanation *tw_explain_end(void);

/* The same with more care: runs the step about ten times, compiled (the medians of several runs count) and
 * operation by operation, to set both beside each other. NULL: error set. */
typedef tw_status tw_explained_step(void *user);
TW_API tw_explanation *tw_explain_step(tw_explained_step *step, void *user);
TW_API void tw_explanation_free(tw_explanation *e);

typedef enum {
    TW_EXPLAIN_TABLE, /* for a terminal, 120 columns */
    TW_EXPLAIN_TSV,   /* one line a launch */
    TW_EXPLAIN_HTML,  /* one page, nothing else needed */
    TW_EXPLAIN_TRACE, /* JSON for chrome://tracing and ui.perfetto.dev */
    TW_EXPLAIN_DOT,   /* Graphviz */
    TW_EXPLAIN_FORMS
} tw_explain_form;
/* As text; `title` may be NULL. Free it with tw_text_release; NULL: error set. */
TW_API char *tw_explain_text(const tw_explanation *e, tw_explain_form form, const char *title);

#ifdef __cplusplus
}
#endif
#endif
