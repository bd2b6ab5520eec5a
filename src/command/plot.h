#ifndef SLUICE_COMMAND_PLOT_H
#define SLUICE_COMMAND_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A plain writer of plots as SVG: axes, lines, bars, marks, words. Colours are classes, with a set for light and one for dark
 * surroundings; every plot brings its own ground. Coordinates have one decimal, so the same figures give the same bytes. */

enum plot_colour { PLOT_FIRST, PLOT_SECOND, PLOT_THIRD, PLOT_INK, PLOT_QUIET, PLOT_FAINT, PLOT_COLOURS };

struct plot_axis {
    double low, high;
    bool log;
    double begin, end; /* pixels */
};

struct plot {
    FILE *out;
    double width, height, left, right, top, bottom; /* of the drawing, in pixels */
    struct plot_axis x, y;
    double legend_at;
};

/* margins: left, right, bottom of the drawing; the top has room for title and legend. */
void plot_begin(struct plot *plot, FILE *out, const char *title, double width, double height, double left, double right, double bottom);
void plot_end(struct plot *plot);
/* Grid, ticks and name. log: low > 0. */
void plot_axis_x(struct plot *plot, double low, double high, bool log, const char *name);
void plot_axis_y(struct plot *plot, double low, double high, bool log, const char *name);
double plot_x(const struct plot *plot, double value); /* pixels; values beyond the axis are put at its end */
double plot_y(const struct plot *plot, double value);

void plot_line(struct plot *plot, const double (*points)[2], uint32_t count, enum plot_colour colour, bool dashed);
/* Pixels: */
void plot_segment(struct plot *plot, double x1, double y1, double x2, double y2, enum plot_colour colour, bool dashed);
void plot_bar(struct plot *plot, double x, double y, double width, double height, enum plot_colour colour, double opacity);
enum plot_mark { PLOT_DOT, PLOT_DIAMOND, PLOT_BOX, PLOT_DASH };
void plot_mark(struct plot *plot, double x, double y, enum plot_mark mark, enum plot_colour colour);
void plot_text(struct plot *plot, double x, double y, char anchor, int size, enum plot_colour colour, const char *format, ...)
    __attribute__((format(printf, 7, 8))); /* anchor: s start, m middle, e end */
/* One after the other below the title, in a new line where there is no room. */
void plot_legend(struct plot *plot, enum plot_mark mark, enum plot_colour colour, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void plot_escape(FILE *out, const char *text); /* of text in SVG and HTML */

#endif
