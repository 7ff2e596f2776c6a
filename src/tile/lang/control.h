/* Control flow: what lower_statement.c and lower_loop.c share. */
#ifndef TW_LANG_CONTROL_H
#define TW_LANG_CONTROL_H

#include "tile/lang/lower.h"

environment tw_lang_copy_environment(lowering *c, const environment *e);
bool tw_lang_flags(lowering *c, const node *n, bool *surely, val *any);
bool tw_lang_set_flag(lowering *c, const char *name, bool truth);
bool tw_lang_condition(lowering *c, const node *n, val *v); /* makes it a boolean scalar */
bool tw_lang_run_if(lowering *c, const node *n, val condition, bool (*run)(lowering *c, void *data), void *data);
bool tw_lang_for(lowering *c, const node *n);
bool tw_lang_while(lowering *c, const node *n);

#endif
