#ifndef SLUICE_COMMAND_FIGURES_PLOTS_H
#define SLUICE_COMMAND_FIGURES_PLOTS_H

#include <stdio.h>

#include "pipeline/evaluate.h"

/* One plot of an evaluation. Those whose figures are not known are left out. */
struct figures_plot {
    const char *name;  /* NAME.svg */
    const char *about; /* one sentence below it */
    bool (*is_known)(const struct evaluation *evaluation);
    void (*draw)(FILE *out, const struct evaluation *evaluation);
};
enum { FIGURES_PLOTS = 8 };
extern const struct figures_plot figures_plots[FIGURES_PLOTS];

void figures_plot_confusion(FILE *out, const struct evaluation *evaluation);
void figures_plot_days(FILE *out, const struct evaluation *evaluation);
void figures_plot_drift(FILE *out, const struct evaluation *evaluation);
void figures_plot_amounts(FILE *out, const struct evaluation *evaluation);

#endif
