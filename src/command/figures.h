#ifndef SLUICE_COMMAND_FIGURES_H
#define SLUICE_COMMAND_FIGURES_H

#include <stdio.h>

#include "pipeline/evaluate.h"

/* The figures of an evaluation: a table for people, JSON for machines, plots and a page. docs/quality.md tells every field. */

void figures_print(FILE *out, const struct evaluation *evaluation);
char *figures_json(const struct evaluation *evaluation); /* json_text_give; NULL: memory */

/* Sentences on what the rows do not allow to tell: one class alone, labels that no base has, rows that are invalid. */
void figures_notes(FILE *out, const struct evaluation *evaluation);

/* DIR/index.html with all figures, the plots beside it as .svg, figures.json. Makes DIR. The same evaluation, the same bytes. */
enum fault figures_report(const struct evaluation *evaluation, const char *folder, const char *title, struct fault_note *note);

/* Shares that several of them tell. NAN: nothing to divide by. */
double figures_share(double part, double all);
double figures_precision(const struct metrics *metrics);
double figures_recall(const struct metrics *metrics);
double figures_money(const struct evaluation *evaluation, int64_t minor);                               /* in major units */
const char *figures_band(char out[48], const struct evaluation *evaluation, uint32_t band, bool plain); /* "10 to 100" */
const char *figures_date(char out[16], uint32_t day);                                                   /* "2026-11-28" */
const char *figures_moment(char out[32], int64_t time_us);

#endif
