/* What `sluice build` tells while it works: on a terminal a bar of the passes with loss and validation figures, else plain lines. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "command/build_progress.h"

enum { BAR_CELLS = 24, FIGURES_BYTES = 160, LINES = 10 };

static bool on_terminal;

static void figures_text(char out[FIGURES_BYTES], const struct build_watch *watch)
{
    int bytes = snprintf(out, FIGURES_BYTES, "seed %llu  pass %u/%u  loss %.5f", (unsigned long long)watch->seed, watch->pass,
                         watch->passes, watch->loss);
    if (!isnan(watch->validation_loss))
        bytes += snprintf(out + bytes, FIGURES_BYTES - (size_t)bytes, "  to validate %.5f", watch->validation_loss);
    if (!isnan(watch->average_precision))
        bytes += snprintf(out + bytes, FIGURES_BYTES - (size_t)bytes, "  average precision %.4f", watch->average_precision);
    if (watch->best_pass)
        snprintf(out + bytes, FIGURES_BYTES - (size_t)bytes, "  best %u", watch->best_pass);
}

static void watch_print(const struct build_watch *watch)
{
    char figures[FIGURES_BYTES], bar[BAR_CELLS + 1];
    const uint32_t cells = watch->passes ? watch->pass * BAR_CELLS / watch->passes : BAR_CELLS;
    figures_text(figures, watch);
    if (on_terminal) {
        for (uint32_t i = 0; i < BAR_CELLS; i++)
            bar[i] = i < cells ? '#' : '.';
        bar[BAR_CELLS] = '\0';
        fprintf(stderr, "\r[%s] %s\033[K", bar, figures);
        if (watch->pass == watch->passes)
            fputc('\n', stderr);
        fflush(stderr);
    } else if (watch->pass == watch->passes || watch->pass * LINES / watch->passes > (watch->pass - 1) * LINES / watch->passes) {
        fprintf(stderr, "%s\n", figures);
    }
}

static void text_print(const char *text)
{
    fprintf(stderr, "%s%s\n", on_terminal ? "\r\033[K" : "", text);
}

void build_progress_begin(struct base_build_options *options, bool quiet)
{
    on_terminal = isatty(STDERR_FILENO);
    options->progress = quiet ? NULL : text_print;
    options->build.watch = quiet ? NULL : watch_print;
}
