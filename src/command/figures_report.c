/* The page holds its plots itself, so it can be sent alone; beside it they lie once more as files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "command/figures.h"
#include "command/figures_plots.h"
#include "command/plot.h"

static const char page_style[] =
    "<style>\n"
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:24px auto;padding:0 16px;background:#fff;color:#222}\n"
    "pre{font:12.5px/1.35 ui-monospace,monospace;overflow-x:auto;padding:12px;border:1px solid #dcdcdc;border-radius:6px}\n"
    "figure{display:inline-block;vertical-align:top;margin:0 16px 24px 0;max-width:100%}svg{max-width:100%;height:auto}\n"
    "figcaption{font-size:13px;max-width:560px}\n"
    "@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6e6e6}pre{border-color:#343b45}}\n"
    "</style>\n";

static enum fault file_write(const char *folder, const char *name, const char *ending, const char *text, size_t bytes,
                             struct fault_note *note)
{
    char path[1024];
    if ((size_t)snprintf(path, sizeof path, "%s/%s%s", folder, name, ending) >= sizeof path)
        return fault_set(note, FAULT_limit, ROW_NONE, COLUMN_NONE, "path too long: %.100s", folder);
    return file_replace(path, text, bytes, note);
}

static enum fault no_memory(struct fault_note *note)
{
    return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory for the report");
}

static enum fault plot_write(FILE *page, const struct figures_plot *plot, const struct evaluation *evaluation, const char *folder,
                             struct fault_note *note)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return no_memory(note);
    plot->draw(out, evaluation);
    enum fault fault = fclose(out) == 0 ? file_write(folder, plot->name, ".svg", text, bytes, note) : no_memory(note);
    if (fault == FAULT_NONE)
        fprintf(page, "<figure>\n%s<figcaption>%s</figcaption>\n</figure>\n", text, plot->about);
    free(text);
    return fault;
}

static enum fault page_write(FILE *page, const struct evaluation *evaluation, const char *folder, const char *title,
                             struct fault_note *note)
{
    char from[32], to[32], *text = NULL;
    size_t bytes = 0;
    FILE *table = open_memstream(&text, &bytes);
    if (!table)
        return no_memory(note);
    figures_print(table, evaluation);
    if (fclose(table) != 0) {
        free(text);
        return no_memory(note);
    }
    fprintf(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    plot_escape(page, title);
    fprintf(page, "</title>\n%s</head><body>\n<h1>", page_style);
    plot_escape(page, title);
    fprintf(page, "</h1>\n<p>Transfers from %s to %s, UTC.</p>\n", figures_moment(from, evaluation->first_us),
            figures_moment(to, evaluation->last_us));
    enum fault fault = FAULT_NONE;
    for (uint32_t i = 0; i < FIGURES_PLOTS && fault == FAULT_NONE; i++)
        if (figures_plots[i].is_known(evaluation))
            fault = plot_write(page, &figures_plots[i], evaluation, folder, note);
    fprintf(page, "<h2>All figures</h2>\n<pre>");
    plot_escape(page, text);
    fprintf(page, "</pre>\n<p>The same for machines: <a href=\"figures.json\">figures.json</a>.</p>\n</body></html>\n");
    free(text);
    return fault;
}

enum fault figures_report(const struct evaluation *evaluation, const char *folder, const char *title, struct fault_note *note)
{
    char *page = NULL, *json;
    size_t bytes = 0;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return fault_set(note, FAULT_not_found, ROW_NONE, COLUMN_NONE, "cannot make folder %.120s: %s", folder, strerror(errno));
    FILE *out = open_memstream(&page, &bytes);
    if (!out)
        return no_memory(note);
    enum fault fault = page_write(out, evaluation, folder, title, note);
    if (fclose(out) != 0 && fault == FAULT_NONE)
        fault = no_memory(note);
    if (fault == FAULT_NONE)
        fault = file_write(folder, "index", ".html", page, bytes, note);
    free(page);
    json = fault == FAULT_NONE ? figures_json(evaluation) : NULL;
    if (json)
        fault = file_write(folder, "figures", ".json", json, strlen(json), note);
    else if (fault == FAULT_NONE)
        fault = no_memory(note);
    json_text_give(json);
    return fault;
}
