#include "command/feed.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR_CELLS = 30 };
#define REDRAW_NS 100000000

void progress_begin(struct progress *progress, uint64_t total, bool quiet)
{
    *progress = (struct progress){.begun_ns = clock_steady_ns(), .total = total, .enabled = !quiet && isatty(STDERR_FILENO)};
}

static void bar_print(uint64_t done, uint64_t total)
{
    unsigned cells = done >= total ? BAR_CELLS : (unsigned)(done * BAR_CELLS / total);
    char bar[BAR_CELLS + 1];
    for (unsigned i = 0; i < BAR_CELLS; i++)
        bar[i] = i < cells ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %3u %%  ", bar, (unsigned)(done >= total ? 100 : done * 100 / total));
}

void progress_show(struct progress *progress, uint64_t done, bool last)
{
    int64_t now_ns = clock_steady_ns();
    if (!progress->enabled || (!last && now_ns - progress->shown_ns < REDRAW_NS))
        return;
    progress->shown_ns = now_ns;
    if (last) {
        fprintf(stderr, "\r\033[K");
        return;
    }
    double seconds = 1e-9 * (double)(now_ns - progress->begun_ns);
    if (progress->total)
        bar_print(done, progress->total);
    else
        fputc('\r', stderr);
    double rate = seconds > 0 ? (double)done / seconds : 0.0;
    fprintf(stderr, "%llu rows  %.0f rows/s", (unsigned long long)done, rate);
    if (progress->total > done && rate > 0)
        fprintf(stderr, "  %.0f s left", (double)(progress->total - done) / rate);
    fputs("\033[K", stderr);
    fflush(stderr);
}
