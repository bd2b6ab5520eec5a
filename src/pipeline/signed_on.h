#ifndef SLUICE_PIPELINE_SIGNED_ON_H
#define SLUICE_PIPELINE_SIGNED_ON_H

#include "connect/sign_on.h"
#include "pipeline/internal.h"

/* Users who signed on: what their provider says of them, as a credential of a tenant. */

enum fault signed_on_open(struct signed_on **out, const struct config *config, struct fault_note *note); /* *out NULL: nobody signs on */
void signed_on_close(struct signed_on **signed_on_p);

/* Any thread. A credential with the rights of the user's roles, named by the subject, when the token is good and its user belongs to
 * that tenant. The first use of a token is a login in the audit log; tokens that are refused are told of in it every ten seconds. */
bool signed_on_find(struct pipeline *pipeline, const struct config *config, struct text tenant, struct text token,
                    struct config_credential *out);
bool signed_on_knows(struct pipeline *pipeline, struct text token); /* of any tenant */
void signed_on_tell(struct pipeline *pipeline, struct sign_on_health *out);

#endif
