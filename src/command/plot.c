#include "command/plot.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { TOP = 80, TITLE_Y = 26, LEGEND_Y = 48, LEGEND_LINE = 17, TEXT_BYTES = 200 };

static const char style[] =
    "<style>\n"
    ".p-ground{fill:#ffffff}.p-f0{fill:#b5332e}.p-f1{fill:#2c6fb0}.p-f2{fill:#4b8f4b}.p-f3{fill:#222222}.p-f4{fill:#5f6368}.p-f5{fill:#"
    "dcdcdc}\n"
    ".p-s0{stroke:#b5332e}.p-s1{stroke:#2c6fb0}.p-s2{stroke:#4b8f4b}.p-s3{stroke:#222222}.p-s4{stroke:#5f6368}.p-s5{stroke:#dcdcdc}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".p-ground{fill:#161b22}.p-f0{fill:#ff8a80}.p-f1{fill:#7ab8f5}.p-f2{fill:#8fd08f}.p-f3{fill:#e6e6e6}.p-f4{fill:#a7adb5}.p-f5{fill:#"
    "343b45}\n"
    ".p-s0{stroke:#ff8a80}.p-s1{stroke:#7ab8f5}.p-s2{stroke:#8fd08f}.p-s3{stroke:#e6e6e6}.p-s4{stroke:#a7adb5}.p-s5{stroke:#343b45}\n"
    "}</style>\n";

void plot_escape(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

void plot_begin(struct plot *plot, FILE *out, const char *title, double width, double height, double left, double right, double bottom)
{
    *plot = (struct plot){.out = out,
                          .width = width,
                          .height = height,
                          .left = left,
                          .right = width - right,
                          .top = TOP,
                          .bottom = height - bottom,
                          .legend_at = left};
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\" "
            "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<title>",
            width, height, width, height);
    plot_escape(out, title);
    fprintf(out, "</title>\n%s<rect class=\"p-ground\" width=\"%.0f\" height=\"%.0f\"/>\n", style, width, height);
    fprintf(out, "<text class=\"p-f3\" x=\"%.1f\" y=\"%d\" font-size=\"15\" font-weight=\"bold\">", left, TITLE_Y);
    plot_escape(out, title);
    fprintf(out, "</text>\n");
}

void plot_end(struct plot *plot)
{
    fputs("</svg>\n", plot->out);
}

static double place(const struct plot_axis *axis, double value)
{
    double share =
        axis->log ? log(fmax(value, axis->low) / axis->low) / log(axis->high / axis->low) : (value - axis->low) / (axis->high - axis->low);
    return axis->begin + fmin(fmax(share, 0.0), 1.0) * (axis->end - axis->begin);
}

double plot_x(const struct plot *plot, double value)
{
    return place(&plot->x, value);
}

double plot_y(const struct plot *plot, double value)
{
    return place(&plot->y, value);
}

void plot_text(struct plot *plot, double x, double y, char anchor, int size, enum plot_colour colour, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(plot->out, "<text class=\"p-f%d\" x=\"%.1f\" y=\"%.1f\" font-size=\"%d\"%s>", (int)colour, x, y, size,
            anchor == 'm'   ? " text-anchor=\"middle\""
            : anchor == 'e' ? " text-anchor=\"end\""
                            : "");
    plot_escape(plot->out, text);
    fputs("</text>\n", plot->out);
}

void plot_segment(struct plot *plot, double x1, double y1, double x2, double y2, enum plot_colour colour, bool dashed)
{
    fprintf(plot->out, "<line class=\"p-s%d\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"%s/>\n", (int)colour, x1, y1, x2, y2,
            dashed ? " stroke-dasharray=\"5 4\"" : "");
}

void plot_bar(struct plot *plot, double x, double y, double width, double height, enum plot_colour colour, double opacity)
{
    fprintf(plot->out, "<rect class=\"p-f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", (int)colour, x, y, width, height);
    if (opacity < 1.0)
        fprintf(plot->out, " opacity=\"%.3f\"", opacity);
    fputs("/>\n", plot->out);
}

void plot_line(struct plot *plot, const double (*points)[2], uint32_t count, enum plot_colour colour, bool dashed)
{
    fprintf(plot->out, "<polyline class=\"p-s%d\" fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\"%s points=\"", (int)colour,
            dashed ? " stroke-dasharray=\"6 4\"" : "");
    for (uint32_t i = 0; i < count; i++)
        fprintf(plot->out, "%s%.1f,%.1f", i ? " " : "", plot_x(plot, points[i][0]), plot_y(plot, points[i][1]));
    fputs("\"/>\n", plot->out);
}

void plot_mark(struct plot *plot, double x, double y, enum plot_mark mark, enum plot_colour colour)
{
    switch (mark) {
    case PLOT_DOT:
        fprintf(plot->out, "<circle class=\"p-f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", (int)colour, x, y);
        break;
    case PLOT_DIAMOND:
        fprintf(plot->out, "<path class=\"p-ground p-s%d\" stroke-width=\"2\" d=\"M%.1f %.1fl6 6l-6 6l-6 -6z\"/>\n", (int)colour, x,
                y - 6.0);
        break;
    case PLOT_BOX:
        plot_bar(plot, x - 5.0, y - 5.0, 10.0, 10.0, colour, 1.0);
        break;
    case PLOT_DASH:
        plot_segment(plot, x - 7.0, y, x + 7.0, y, colour, true);
        break;
    }
}

void plot_legend(struct plot *plot, enum plot_mark mark, enum plot_colour colour, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    double width = 28.0 + 6.6 * (double)strlen(text), y = LEGEND_Y;
    if (plot->legend_at + width > plot->width - 8.0 && plot->legend_at < plot->width)
        plot->legend_at = plot->width + plot->left; /* the second line */
    double x = plot->legend_at;
    if (x >= plot->width) {
        x -= plot->width;
        y += LEGEND_LINE;
    }
    plot_mark(plot, x + 7.0, y - 4.0, mark, colour);
    plot_text(plot, x + 18.0, y, 's', 11, PLOT_INK, "%s", text);
    plot->legend_at += width;
}

/* Ticks of an axis: tenths of 1, 2 or 5, or powers of ten. Returns how many. */
static uint32_t ticks_of(double out[32], const struct plot_axis *axis)
{
    uint32_t count = 0;
    if (axis->log) {
        for (int power = (int)ceil(log10(axis->low) - 1e-9); count < 32 && pow(10.0, power) <= axis->high * 1.0001; power++)
            out[count++] = pow(10.0, power);
        return count;
    }
    double rough = (axis->high - axis->low) / 5.0, power = pow(10.0, floor(log10(rough))), step = 10.0 * power;
    for (int i = 0; i < 3; i++) {
        static const double parts[] = {5.0, 2.0, 1.0};
        if (parts[i] * power >= rough * 0.999)
            step = parts[i] * power;
    }
    for (double tick = ceil(axis->low / step - 1e-9) * step; count < 32 && tick <= axis->high + step * 1e-9; tick += step)
        out[count++] = fabs(tick) < step * 1e-9 ? 0.0 : tick;
    return count;
}

static const char *tick_text(char out[24], double value)
{
    if (fabs(value) >= 1e6)
        snprintf(out, 24, "%g M", value / 1e6);
    else if (fabs(value) >= 1e4)
        snprintf(out, 24, "%g k", value / 1e3);
    else if (value != 0.0 && fabs(value) < 1e-3)
        snprintf(out, 24, "%.0e", value);
    else
        snprintf(out, 24, "%g", value);
    return out;
}

void plot_axis_x(struct plot *plot, double low, double high, bool log, const char *name)
{
    double ticks[32];
    char text[24];
    plot->x = (struct plot_axis){.low = low, .high = high, .log = log, .begin = plot->left, .end = plot->right};
    uint32_t count = ticks_of(ticks, &plot->x);
    for (uint32_t i = 0; i < count; i++) {
        double x = plot_x(plot, ticks[i]);
        plot_segment(plot, x, plot->top, x, plot->bottom, PLOT_FAINT, false);
        plot_text(plot, x, plot->bottom + 18.0, 'm', 11, PLOT_INK, "%s", tick_text(text, ticks[i]));
    }
    plot_segment(plot, plot->left, plot->bottom, plot->right, plot->bottom, PLOT_INK, false);
    plot_text(plot, (plot->left + plot->right) / 2.0, plot->bottom + 38.0, 'm', 12, PLOT_INK, "%s", name);
}

void plot_axis_y(struct plot *plot, double low, double high, bool log, const char *name)
{
    double ticks[32], middle = (plot->top + plot->bottom) / 2.0;
    char text[24];
    plot->y = (struct plot_axis){.low = low, .high = high, .log = log, .begin = plot->bottom, .end = plot->top};
    uint32_t count = ticks_of(ticks, &plot->y);
    for (uint32_t i = 0; i < count; i++) {
        double y = plot_y(plot, ticks[i]);
        plot_segment(plot, plot->left, y, plot->right, y, PLOT_FAINT, false);
        plot_text(plot, plot->left - 8.0, y + 4.0, 'e', 11, PLOT_INK, "%s", tick_text(text, ticks[i]));
    }
    plot_segment(plot, plot->left, plot->top, plot->left, plot->bottom, PLOT_INK, false);
    fprintf(plot->out, "<text class=\"p-f3\" transform=\"translate(18 %.1f) rotate(-90)\" text-anchor=\"middle\" font-size=\"12\">",
            middle);
    plot_escape(plot->out, name);
    fputs("</text>\n", plot->out);
}
