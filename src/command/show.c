#include "command/show.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "command/verdicts.h"

static void newline_print(FILE *out, int indent)
{
    if (indent >= 0)
        fprintf(out, "\n%*s", indent, "");
}

static int deeper(int indent)
{
    return indent < 0 ? indent : indent + 2;
}

static void array_print(FILE *out, const struct wire_value *array, int indent)
{
    struct wire_value item;
    const unsigned char *at = array->inside;
    fputc('[', out);
    for (uint32_t i = 0; i < array->count && wire_next(&item, &at, array->end); i++) {
        if (i)
            fputc(',', out);
        newline_print(out, deeper(indent));
        show_json(out, &item, deeper(indent));
    }
    if (array->count)
        newline_print(out, indent);
    fputc(']', out);
}

static void map_print(FILE *out, const struct wire_value *map, int indent)
{
    struct wire_value key, value;
    const unsigned char *at = map->inside;
    fputc('{', out);
    for (uint32_t i = 0; i < map->count && wire_next(&key, &at, map->end) && wire_next(&value, &at, map->end); i++) {
        if (i)
            fputc(',', out);
        newline_print(out, deeper(indent));
        show_json(out, &key, -1);
        fputs(indent < 0 ? ":" : ": ", out);
        show_json(out, &value, deeper(indent));
    }
    if (map->count)
        newline_print(out, indent);
    fputc('}', out);
}

void show_json(FILE *out, const struct wire_value *value, int indent)
{
    switch (value->type) {
    case WIRE_NIL:
        fputs("null", out);
        break;
    case WIRE_BOOL:
        fputs(value->integer ? "true" : "false", out);
        break;
    case WIRE_INT:
        fprintf(out, "%" PRId64, value->integer);
        break;
    case WIRE_FLOAT:
        fprintf(out, isfinite(value->real) ? "%.9g" : "null", value->real);
        break;
    case WIRE_STR:
        text_json_print(out, value->text);
        break;
    case WIRE_ARRAY:
        array_print(out, value, indent);
        break;
    case WIRE_MAP:
        map_print(out, value, indent);
        break;
    default:
        fprintf(out, "\"<%u bytes>\"", value->text.bytes);
    }
}

enum { TABLE_COLUMNS_MAX = 32, CELL_BYTES = 40 };

void show_time(char *out, size_t out_bytes, int64_t time_us)
{
    int64_t seconds = time_us / US_PER_SECOND, days = seconds / 86400, rest = seconds % 86400;
    /* civil date from days: the inverse of the usual one, eras of 400 years that begin in March */
    int64_t shifted = days + 719468, era = shifted / 146097, day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), month = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    month += month < 10 ? 3 : -9;
    snprintf(out, out_bytes, "%04" PRId64 "-%02" PRId64 "-%02" PRId64 " %02" PRId64 ":%02" PRId64 ":%02" PRId64,
             year_of_era + era * 400 + (month <= 2), month, day, rest / 3600, rest / 60 % 60, rest % 60);
}

static void cell_text(char *out, const struct wire_value *key, const struct wire_value *cell)
{
    if (cell->type == WIRE_STR)
        text_copy(out, CELL_BYTES, cell->text);
    else if (cell->type == WIRE_INT && text_equal(key->text, text_of("time")) && cell->integer >= 0)
        show_time(out, CELL_BYTES, cell->integer);
    else if (cell->type == WIRE_INT)
        snprintf(out, CELL_BYTES, "%" PRId64, cell->integer);
    else if (cell->type == WIRE_FLOAT)
        snprintf(out, CELL_BYTES, "%.4g", cell->real);
    else if (cell->type == WIRE_BOOL)
        snprintf(out, CELL_BYTES, "%s", cell->integer ? "yes" : "no");
    else
        snprintf(out, CELL_BYTES, "-");
}

struct table {
    uint32_t column_count;
    struct wire_value keys[TABLE_COLUMNS_MAX];
    int widths[TABLE_COLUMNS_MAX];
};

static bool is_wanted(const struct wire_value *key, const char *const *wanted)
{
    while (*wanted && !text_equal(key->text, text_of(*wanted)))
        wanted++;
    return *wanted != NULL;
}

static void table_columns(struct table *table, const struct wire_value *row, const char *const *wanted)
{
    struct wire_value key, value;
    const unsigned char *at = row->inside;
    for (uint32_t i = 0; row->type == WIRE_MAP && i < row->count && wire_next(&key, &at, row->end) && wire_next(&value, &at, row->end); i++)
        if (key.type == WIRE_STR && is_wanted(&key, wanted) && table->column_count < TABLE_COLUMNS_MAX) {
            table->widths[table->column_count] = (int)(key.text.bytes < CELL_BYTES ? key.text.bytes : CELL_BYTES - 1);
            table->keys[table->column_count++] = key;
        }
}

static void table_cell(char *out, const struct table *table, uint32_t column, const struct wire_value *row)
{
    struct wire_value cell;
    char key[CELL_BYTES];
    text_copy(key, sizeof key, table->keys[column].text);
    if (row->type == WIRE_MAP && wire_find(&cell, row, key))
        cell_text(out, &table->keys[column], &cell);
    else
        snprintf(out, CELL_BYTES, "-");
}

static void table_walk(FILE *out, struct table *table, const struct wire_value *rows) /* out NULL: only widths */
{
    struct wire_value row;
    const unsigned char *at = rows->inside;
    char cell[CELL_BYTES];
    for (uint32_t i = 0; i < rows->count && wire_next(&row, &at, rows->end); i++) {
        for (uint32_t j = 0; j < table->column_count; j++) {
            table_cell(cell, table, j, &row);
            if (out)
                fprintf(out, "%s%-*s", j ? "  " : "", j + 1 < table->column_count ? table->widths[j] : 0, cell);
            else if ((int)strlen(cell) > table->widths[j])
                table->widths[j] = (int)strlen(cell);
        }
        if (out)
            fputc('\n', out);
    }
}

void show_table(FILE *out, const struct wire_value *rows, const char *const *wanted)
{
    struct table table = {0};
    struct wire_value first;
    const unsigned char *at = rows->inside;
    if (rows->type != WIRE_ARRAY || rows->count == 0 || !wire_next(&first, &at, rows->end))
        return;
    table_columns(&table, &first, wanted);
    table_walk(NULL, &table, rows);
    for (uint32_t j = 0; j < table.column_count; j++)
        fprintf(out, "%s%-*.*s", j ? "  " : "", j + 1 < table.column_count ? table.widths[j] : 0, (int)table.keys[j].text.bytes,
                table.keys[j].text.data);
    fputc('\n', out);
    table_walk(out, &table, rows);
}

bool show_reply_top(struct wire_value *out, const struct sluice_reply *reply)
{
    size_t byte_count;
    const unsigned char *at = sluice_reply_bytes(reply, &byte_count);
    return wire_next(out, &at, at + byte_count) && out->type == WIRE_MAP;
}

static void csv_cell(FILE *out, const struct wire_value *cell)
{
    if (cell->type == WIRE_STR)
        text_csv_print(out, cell->text);
    else if (cell->type == WIRE_INT)
        fprintf(out, "%" PRId64, cell->integer);
    else if (cell->type == WIRE_FLOAT && isfinite(cell->real))
        fprintf(out, "%.9g", cell->real);
    else if (cell->type == WIRE_BOOL)
        fputs(cell->integer ? "true" : "false", out);
}

void show_csv(FILE *out, const struct wire_value *rows, const char *const *columns)
{
    struct wire_value row, cell;
    const unsigned char *at = rows->inside;
    for (uint32_t i = 0; i < rows->count && wire_next(&row, &at, rows->end); i++) {
        for (uint32_t j = 0; columns[j]; j++) {
            if (j)
                fputc(',', out);
            if (row.type == WIRE_MAP && wire_find(&cell, &row, columns[j]))
                csv_cell(out, &cell);
        }
        fputc('\n', out);
    }
}

void show_page(FILE *out, const struct wire_value *rows, const char *const *wanted, bool as_lines)
{
    struct wire_value row;
    const unsigned char *at = rows->inside;
    if (!as_lines)
        show_table(out, rows, wanted);
    while (as_lines && wire_next(&row, &at, rows->end)) {
        show_json(out, &row, -1);
        fputc('\n', out);
    }
}
