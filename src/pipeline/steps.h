#ifndef SLUICE_PIPELINE_STEPS_H
#define SLUICE_PIPELINE_STEPS_H

/* The journey of a batch, in order; a batch's state is its step. steps.c reads top to bottom like a page. */
#define BATCH_STEPS(STEP) \
    STEP(decode) \
    STEP(check) STEP(fill) STEP(relate) STEP(feature) STEP(scene) STEP(anomaly) STEP(decide) STEP(record) STEP(reply) STEP(follow_up)

enum batch_step {
#define STEP(name) STEP_##name,
    BATCH_STEPS(STEP)
#undef STEP
        STEP_COUNT
};

#endif
