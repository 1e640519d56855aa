/* alias_rules.h - whether an alias can be: its name is free, what it stands for is there, and nothing leads to itself.
 *
 * On the thread of model_control.h, or before loops run.  Makes the table that is to be, and changes nothing: a refusal
 * is one line, and all aliases stay as they are. */
#ifndef MODELS_ALIAS_RULES_H
#define MODELS_ALIAS_RULES_H
#include "models/aliases.h"
#include "models/repository.h"

/* With that alias, or in the place of the one of its name. */
err_code alias_rules_with(const repository *r, const alias *a, aliases **ret, err *e) MUST_USE;
err_code alias_rules_without(const repository *r, str name, aliases **ret, err *e) MUST_USE;
/* All of the option `alias`, with commas between them, in any order; NULL = none. */
err_code alias_rules_all(const repository *r, str list, aliases **ret, err *e) MUST_USE;

#endif
