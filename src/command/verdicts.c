#include "command/verdicts.h"

#include <math.h>
#include <string.h>

struct row { /* what is shown of one */
    struct text transfer;
    uint8_t verdict;
    const char *verdict_name, *level, *cause, *scene, *runner_up, *risk_type, *countermeasure;
    float match, runner_match, risk, own, linked;
};

struct columns { /* of one reply */
    const uint8_t *verdict, *level, *cause, *scene, *runner_up, *risk_type, *countermeasure;
    const float *match, *runner_match, *risk, *own, *linked;
};

static bool columns_find(struct columns *out, const struct sluice_reply *reply)
{
    *out = (struct columns){
        .verdict = sluice_reply_u8(reply, "verdict"),
        .level = sluice_reply_u8(reply, "level"),
        .cause = sluice_reply_u8(reply, "cause"),
        .scene = sluice_reply_u8(reply, "scene"),
        .runner_up = sluice_reply_u8(reply, "runner_up"),
        .risk_type = sluice_reply_u8(reply, "risk_type"),
        .countermeasure = sluice_reply_u8(reply, "countermeasure"),
        .match = sluice_reply_f32(reply, "match"),
        .runner_match = sluice_reply_f32(reply, "runner_match"),
        .risk = sluice_reply_f32(reply, "risk"),
        .own = sluice_reply_f32(reply, "anomaly_own"),
        .linked = sluice_reply_f32(reply, "anomaly_linked"),
    };
    return out->verdict && out->level && out->cause && out->scene && out->runner_up && out->risk_type && out->countermeasure &&
           out->match && out->runner_match && out->risk && out->own && out->linked;
}

static const char *name_of(const struct sluice_reply *reply, const char *table, uint8_t code)
{
    const char *name = sluice_reply_name(reply, table, code);
    return name ? name : "?";
}

static void row_read(struct row *out, const struct batch *batch, const struct sluice_reply *reply, const struct columns *columns,
                     uint32_t row)
{
    const struct column *id = &batch->columns[COLUMN_transfer_id];
    *out = (struct row){
        .transfer = column_is_valid(id, row) && id->form != FORM_I64 && id->form != FORM_F64 ? column_text(id, row) : text_of(""),
        .verdict = columns->verdict[row],
        .verdict_name = name_of(reply, "verdict", columns->verdict[row]),
        .level = name_of(reply, "level", columns->level[row]),
        .cause = name_of(reply, "cause", columns->cause[row]),
        .scene = name_of(reply, "scene", columns->scene[row]),
        .runner_up = name_of(reply, "scene", columns->runner_up[row]),
        .risk_type = name_of(reply, "risk_type", columns->risk_type[row]),
        .countermeasure = name_of(reply, "countermeasure", columns->countermeasure[row]),
        .match = columns->match[row],
        .runner_match = columns->runner_match[row],
        .risk = columns->risk[row],
        .own = columns->own[row],
        .linked = columns->linked[row],
    };
}

static float anomaly_of(const struct row *row)
{
    return row->own > row->linked ? row->own : row->linked;
}

void text_csv_print(FILE *out, struct text text)
{
    bool plain = true;
    for (uint32_t i = 0; i < text.bytes && plain; i++)
        plain = !strchr(",\"\r\n", text.data[i]);
    if (plain) {
        fwrite(text.data, 1, text.bytes, out);
        return;
    }
    fputc('"', out);
    for (uint32_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '"')
            fputc('"', out);
        fputc(text.data[i], out);
    }
    fputc('"', out);
}

/* Bytes of the UTF-8 character at text, 0 where there is none. */
static uint32_t utf8_bytes(struct text text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    uint32_t count = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : (*at & 0xf0) == 0xe0 ? 3 : *at >= 0xf0 && *at < 0xf5 ? 4 : 0;
    if (count == 0 || count > text.bytes)
        return 0;
    for (uint32_t i = 1; i < count; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || beyond ? 0 : count;
}

void text_json_print(FILE *out, struct text text)
{
    fputc('"', out);
    while (text.bytes > 0) {
        uint32_t count = utf8_bytes(text);
        unsigned char first = (unsigned char)text.data[0];
        if (count == 0)
            fputs("\xef\xbf\xbd", out);
        else if (first == '"' || first == '\\')
            fprintf(out, "\\%c", first);
        else if (first < 0x20)
            fprintf(out, "\\u%04x", first);
        else
            fwrite(text.data, 1, count, out);
        text.data += count ? count : 1;
        text.bytes -= count ? count : 1;
    }
    fputc('"', out);
}

static void csv_name(FILE *out, const char *name)
{
    fputc(',', out);
    text_csv_print(out, text_of(name));
}

static void csv_row(struct verdicts *to, const struct row *row, const struct sluice_reply *reply, uint32_t index)
{
    const char *feature;
    float value, share;
    if (to->shown == 0)
        fprintf(to->out, "transfer_id,verdict,level,cause,scene,match,runner_up,runner_match,risk,anomaly_own,anomaly_linked,"
                         "risk_type,countermeasure,reasons\n");
    text_csv_print(to->out, row->transfer);
    csv_name(to->out, row->verdict_name);
    csv_name(to->out, row->level);
    csv_name(to->out, row->cause);
    csv_name(to->out, row->scene);
    fprintf(to->out, ",%.9g", (double)row->match);
    csv_name(to->out, row->runner_up);
    fprintf(to->out, ",%.9g,%.9g,%.9g,%.9g", (double)row->runner_match, (double)row->risk, (double)row->own, (double)row->linked);
    csv_name(to->out, row->risk_type);
    csv_name(to->out, row->countermeasure);
    fputc(',', to->out);
    for (size_t i = 0; sluice_reply_reason(reply, index, i, &feature, &value, &share); i++)
        fprintf(to->out, "%s%s", i ? " " : "", feature);
    fputc('\n', to->out);
}

static void json_name(FILE *out, const char *key, const char *name)
{
    fprintf(out, ",\"%s\":", key);
    text_json_print(out, text_of(name));
}

static void json_row(struct verdicts *to, const struct row *row, const struct sluice_reply *reply, uint32_t index)
{
    const char *feature;
    float value, share;
    fputs("{\"transfer_id\":", to->out);
    text_json_print(to->out, row->transfer);
    json_name(to->out, "verdict", row->verdict_name);
    json_name(to->out, "level", row->level);
    json_name(to->out, "cause", row->cause);
    json_name(to->out, "scene", row->scene);
    json_name(to->out, "runner_up", row->runner_up);
    json_name(to->out, "risk_type", row->risk_type);
    json_name(to->out, "countermeasure", row->countermeasure);
    fprintf(to->out, ",\"match\":%.9g,\"runner_match\":%.9g,\"risk\":%.9g,\"anomaly_own\":%.9g,\"anomaly_linked\":%.9g,\"reasons\":[",
            (double)row->match, (double)row->runner_match, (double)row->risk, (double)row->own, (double)row->linked);
    for (size_t i = 0; sluice_reply_reason(reply, index, i, &feature, &value, &share); i++) {
        fputs(i ? ",{\"feature\":" : "{\"feature\":", to->out);
        text_json_print(to->out, text_of(feature));
        if (isfinite(value) && isfinite(share))
            fprintf(to->out, ",\"value\":%.9g,\"share\":%.9g", (double)value, (double)share);
        fputc('}', to->out);
    }
    fputs("]}\n", to->out);
}

enum { TRANSFER_WIDTH = 20, SCENE_WIDTH = 22, TABLE_REASONS = 3 };

static void table_row(struct verdicts *to, const struct row *row, const struct sluice_reply *reply, uint32_t index)
{
    const char *feature;
    float value, share;
    if (to->shown == 0)
        fprintf(to->out, "%-*s %-7s %-8s %-*s %6s %7s  %s\n", TRANSFER_WIDTH, "transfer", "verdict", "level", SCENE_WIDTH, "scene", "match",
                "anomaly", "countermeasure: reasons");
    fprintf(to->out, "%-*.*s %-7s %-8s %-*.*s %6.3f %7.3f ", TRANSFER_WIDTH,
            (int)(row->transfer.bytes < TRANSFER_WIDTH ? row->transfer.bytes : TRANSFER_WIDTH), row->transfer.data, row->verdict_name,
            row->level, SCENE_WIDTH, SCENE_WIDTH, row->verdict == VERDICT_INVALID ? "-" : row->scene, (double)row->match,
            (double)anomaly_of(row));
    if (row->verdict != VERDICT_PASS)
        fprintf(to->out, " %s", row->countermeasure);
    for (size_t i = 0; i < TABLE_REASONS && sluice_reply_reason(reply, index, i, &feature, &value, &share); i++) {
        fprintf(to->out, "%s %s", i ? "," : ":", feature);
        if (isfinite(value) && isfinite(share))
            fprintf(to->out, " %.3g (%+.1f)", (double)value, (double)share);
    }
    fputc('\n', to->out);
}

static void scene_count(struct verdicts *verdicts, const char *name)
{
    uint32_t i = 0;
    while (i < verdicts->scene_count && strcmp(verdicts->scenes[i].name, name) != 0)
        i++;
    if (i == VERDICTS_SCENES_MAX)
        return;
    if (i == verdicts->scene_count) {
        verdicts->scene_count++;
        snprintf(verdicts->scenes[i].name, sizeof verdicts->scenes[i].name, "%s", name);
    }
    verdicts->scenes[i].count++;
}

static void row_print(struct verdicts *verdicts, const struct row *row, const struct sluice_reply *reply, uint32_t index)
{
    bool passed = row->verdict == VERDICT_PASS;
    bool wanted = verdicts->all || (passed ? verdicts->passed : verdicts->held);
    if (verdicts->scores) {
        text_csv_print(verdicts->scores, row->transfer);
        fprintf(verdicts->scores, ",%.9g,%s,%.9g,%.9g\n", (double)row->risk, row->scene, (double)row->match, (double)anomaly_of(row));
    }
    if (!wanted)
        return;
    if (verdicts->rows_max && verdicts->shown == verdicts->rows_max) {
        verdicts->left_out++;
        return;
    }
    if (verdicts->format == VERDICTS_TABLE)
        table_row(verdicts, row, reply, index);
    else if (verdicts->format == VERDICTS_CSV)
        csv_row(verdicts, row, reply, index);
    else
        json_row(verdicts, row, reply, index);
    verdicts->shown++;
}

bool verdicts_print(struct verdicts *verdicts, const struct batch *batch, const struct sluice_reply *reply)
{
    struct columns columns;
    struct row row;
    const char *base = sluice_reply_string(reply, "base"), *version = sluice_reply_string(reply, "base_version");
    const char *kernel = sluice_reply_string(reply, "kernel");
    if (!columns_find(&columns, reply) || sluice_reply_rows(reply) != batch->row_count)
        return false;
    snprintf(verdicts->base, sizeof verdicts->base, "%s %s", base ? base : "", version ? version : "");
    snprintf(verdicts->kernel, sizeof verdicts->kernel, "%s", kernel ? kernel : "");
    for (uint32_t i = 0; i < batch->row_count; i++) {
        row_read(&row, batch, reply, &columns, i);
        if (row.verdict >= VERDICT_COUNT)
            return false;
        verdicts->counts[row.verdict]++;
        if (row.verdict != VERDICT_PASS && (columns.cause[i] == CAUSE_SCENE || columns.cause[i] == CAUSE_SCENE_AND_ANOMALY))
            scene_count(verdicts, row.scene);
        row_print(verdicts, &row, reply, i);
    }
    return true;
}

void verdicts_summary(const struct verdicts *verdicts, FILE *out, uint64_t rows, double seconds)
{
    if (verdicts->left_out)
        fprintf(out, "… and %llu more (--head 0 shows all)\n", (unsigned long long)verdicts->left_out);
    fprintf(out, "\n%llu transfers:", (unsigned long long)rows);
    for (int i = 0; i < VERDICT_COUNT; i++)
        fprintf(out, "%s %s %llu", i ? "," : "", verdict_names[i], (unsigned long long)verdicts->counts[i]);
    fputc('\n', out);
    for (uint32_t i = 0; i < verdicts->scene_count; i++)
        fprintf(out, "  %-*s %llu\n", SCENE_WIDTH, verdicts->scenes[i].name, (unsigned long long)verdicts->scenes[i].count);
    bool has_base = strcmp(verdicts->base, " ") != 0;
    fprintf(out, "%s%s, scored by %s, %.0f transfers/s\n", has_base ? "scene base " : "no scene base: only the checks decided",
            has_base ? verdicts->base : "", verdicts->kernel, seconds > 0 ? (double)rows / seconds : 0.0);
}
