/* What a submitter's program looks like; built against the installed library alone. */
#include <sluice.h>
#include <stdio.h>

int main(void)
{
    const char *url = "ipc:///tmp/sluice-package-test-nobody.ipc";
    const struct sluice_options options = {.urls = &url, .url_count = 1, .tenant = "payroll", .timeout_ms = 100};
    static const int64_t amounts[] = {1999, 2500};
    struct sluice_client *client = NULL;
    struct sluice_batch *batch = NULL;
    char error[200];
    if (sluice_batch_new(&batch, "2026-11-21-0007", 2) != SLUICE_OK || sluice_batch_i64(batch, "amount", amounts, NULL) != SLUICE_OK)
        return 1;
    sluice_batch_free(&batch);
    int result = sluice_open(&client, &options, error, sizeof error);
    printf("%s\n", error);
    return result == SLUICE_UNREACHABLE ? 0 : 1;
}
