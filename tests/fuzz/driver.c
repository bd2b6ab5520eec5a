/* Runs a fuzz target over every file of the folders given, so that the corpus is part of the tests: no input of it may
 * stop the process. A folder without files is a mistake. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { FILE_BYTES_MAX = 1 << 20, PATH_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int run_file(const char *path)
{
    struct fault_note note = {0};
    char *text = NULL;
    size_t bytes = 0;
    if (file_read_all(&text, &bytes, path, FILE_BYTES_MAX, &note) != FAULT_NONE) {
        fprintf(stderr, "%s: %s\n", path, note.text);
        return 1;
    }
    uint8_t *exact = memory_take(bytes); /* without the end mark, so that a sanitizer sees the first byte beyond */
    if (exact && bytes)
        memcpy(exact, text, bytes);
    int failed = exact ? LLVMFuzzerTestOneInput(exact, bytes) : 1;
    memory_give(exact);
    memory_give(text);
    return failed;
}

static int run_folder(const char *folder)
{
    DIR *open = opendir(folder);
    int count = 0, failed = 0;
    if (!open) {
        perror(folder);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        char path[PATH_BYTES];
        if (entry->d_name[0] == '.' || (size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path)
            continue;
        failed |= run_file(path);
        count++;
    }
    closedir(open);
    printf("%s: %d inputs\n", folder, count);
    return failed || count == 0;
}

int main(int argument_count, char **arguments)
{
    int failed = argument_count < 2;
    for (int i = 1; i < argument_count; i++)
        failed |= run_folder(arguments[i]);
    return failed;
}
