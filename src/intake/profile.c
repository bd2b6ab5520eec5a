/* A profile at work: which one, and its way through a batch. Compiling is profile_open.c's. */
#include "intake/profile.h"

#include <stdio.h>

#include "base/must.h"
#include "intake/profile_internal.h"

enum { SHOWN_BYTES = 40 };

const char *profile_name(const struct profile *profile)
{
    return profile->name;
}

const char *profile_product(const struct profile *profile)
{
    return profile->product;
}

uint32_t profile_made_count(const struct profile *profile)
{
    return profile->fill.made_count + profile->post.made_count;
}

const struct template_column *profile_made(const struct profile *profile, uint32_t index)
{
    MUST(index < profile_made_count(profile));
    uint32_t first = profile->fill.made_count;
    return index < first ? &profile->fill.made[index].column : &profile->post.made[index - first].column;
}

bool profile_makes_last(const struct profile *profile, uint16_t column)
{
    for (uint32_t i = 0; i < profile->post.made_count; i++)
        if (profile->post.made[i].known == column)
            return true;
    for (uint32_t i = 0; i < profile->ask_count; i++)
        for (uint32_t k = 0; k < profile->asks[i].field_count; k++)
            if (profile->asks[i].fields[k].known == column)
                return true;
    return false;
}

/* --- which one --------------------------------------------------------------------------------------------------------- */

/* What the column is called in requests that becomes product_code. */
static const char *product_source(const struct profile *profile)
{
    for (uint32_t i = 0; i < profile->column_count; i++)
        if (profile->columns[i].known == COLUMN_product_code)
            return profile->columns[i].from;
    return "product_code";
}

static const struct column *product_column(uint16_t *out_place, const struct batch *batch, const char *source)
{
    uint16_t place = batch_place(batch, source);
    if (place == COLUMN_NONE)
        place = batch_place(batch, "product");
    *out_place = place == COLUMN_NONE ? COLUMN_product_code : place;
    const struct column *column = *out_place < COLUMN_COUNT ? &batch->columns[*out_place] : &batch->others[*out_place - COLUMN_COUNT];
    if (column->form >= FORM_STR)
        return column;
    *out_place = COLUMN_product_code;
    return &batch->columns[COLUMN_product_code];
}

/* The first product that a row names; empty: none does. */
static struct text product_of(const struct batch *batch, const char *source)
{
    uint16_t place;
    const struct column *products = product_column(&place, batch, source);
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (column_is_valid(products, row) && column_text(products, row).bytes)
            return column_text(products, row);
    return (struct text){.data = "", .bytes = 0};
}

static const struct profile *profile_of(struct profile *const *profiles, uint32_t count, const struct batch *batch)
{
    const struct profile *otherwise = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (profiles[i]->product[0] && text_equal(product_of(batch, product_source(profiles[i])), text_of(profiles[i]->product)))
            return profiles[i];
        if (!profiles[i]->product[0])
            otherwise = profiles[i];
    }
    return otherwise;
}

/* A number would name no product, and so fall to the default profile. */
static enum fault products_are_text(struct profile *const *profiles, uint32_t count, const struct batch *batch, struct fault_note *note)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *source = product_source(profiles[i]);
        uint16_t place = batch_place(batch, source);
        const char *name = place == COLUMN_NONE ? "product" : source;
        place = place == COLUMN_NONE ? batch_place(batch, name) : place;
        if (profiles[i]->product[0] == '\0' || place < COLUMN_COUNT || place == COLUMN_NONE)
            continue;
        if (batch->others[place - COLUMN_COUNT].form < FORM_STR)
            return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_product_code, "column %.40s names the product and must be text", name);
    }
    return FAULT_NONE;
}

enum fault profile_choose(const struct profile **out, struct profile *const *profiles, uint32_t count, const struct batch *batch,
                          struct fault_note *note)
{
    char shown[SHOWN_BYTES];
    enum fault fault = products_are_text(profiles, count, batch, note);
    *out = fault == FAULT_NONE ? profile_of(profiles, count, batch) : NULL;
    if (*out || count == 0 || fault != FAULT_NONE)
        return fault;
    text_copy(shown, sizeof shown, product_of(batch, product_source(profiles[0])));
    return fault_set(note, FAULT_schema, ROW_NONE, COLUMN_product_code,
                     "no profile of this tenant is for product '%s', and none is for any", shown);
}

/* A column `product` stands for product_code where nothing else does. */
static void product_adopt(struct batch *batch, const struct profile *profile)
{
    uint16_t place = batch_place(batch, "product");
    for (uint32_t i = 0; i < profile->column_count; i++)
        if (profile->columns[i].known == COLUMN_product_code || strcmp(profile->columns[i].from, "product") == 0 ||
            strcmp(profile->columns[i].name, "product") == 0)
            return;
    if (place == COLUMN_NONE || batch_at(batch, place)->form < FORM_STR || batch->columns[COLUMN_product_code].form != FORM_ABSENT)
        return;
    batch->columns[COLUMN_product_code] = *batch_at(batch, place);
    batch->columns[COLUMN_product_code].name = text_of(column_name(COLUMN_product_code));
    *batch_at(batch, place) = (struct column){0};
}

/* One batch, one profile: a row of a product that is another's to check goes no further. */
static void products_check(struct batch *batch, const struct profile *profile)
{
    const struct column *products = &batch->columns[COLUMN_product_code];
    char shown[SHOWN_BYTES];
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (!column_is_valid(products, row) || text_equal(column_text(products, row), text_of(profile->product)))
            continue;
        text_copy(shown, sizeof shown, column_text(products, row));
        batch_row_fails(batch, row, COLUMN_product_code, RULE_ENUM, "%s in a batch of product %.40s", shown, profile->product);
    }
}

void profile_part(struct batch *batch, const struct profile *chosen, struct profile *const *profiles, uint32_t count)
{
    for (uint32_t i = 0; i < count && !chosen->product[0]; i++) {
        uint16_t place;
        const struct text product = text_of(profiles[i]->product);
        const struct column *products = product_column(&place, batch, product_source(profiles[i]));
        for (uint32_t row = 0; product.bytes > 0 && row < batch->row_count; row++)
            if (column_is_valid(products, row) && text_equal(column_text(products, row), product))
                batch_row_fails(batch, row, place, RULE_ENUM, "%.40s in a batch of another product", profiles[i]->product);
    }
}

/* --- memory ------------------------------------------------------------------------------------------------------------ */

enum { CONVERT_ROW_BYTES = 8 + 1, TEXT_ROW_BYTES = 21 + 4 + 1, UNIQUE_ROW_BYTES = 8 + 16, ARRAYS_PER_COLUMN = 6 };

size_t convert_arena_bytes(const struct rule_column *rule, uint32_t row_count)
{
    return (size_t)row_count * (rule->kind == CELL_TEXT ? TEXT_ROW_BYTES : CONVERT_ROW_BYTES) + ARRAYS_PER_COLUMN * ROWS_ALIGN;
}

size_t profile_arena_bytes(const struct profile *profile, uint32_t row_count)
{
    size_t bytes = 0, rows = row_count;
    for (uint32_t i = 0; i < profile->column_count; i++)
        bytes += convert_arena_bytes(&profile->columns[i], row_count) + (profile->columns[i].unique ? rows * UNIQUE_ROW_BYTES : 0);
    for (uint32_t i = 0; i < profile->ask_count; i++)
        bytes += ask_arena_bytes(&profile->asks[i], row_count);
    return bytes + stage_arena_bytes(&profile->fill, row_count) + stage_arena_bytes(&profile->post, row_count);
}

size_t profile_text_bytes(const struct profile *profile, size_t message_bytes)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < profile_made_count(profile); i++)
        bytes += profile_made(profile, i)->type == TEMPLATE_TEXT ? message_bytes + profile->table_bytes : 0;
    return bytes;
}

/* --- the way ----------------------------------------------------------------------------------------------------------- */

/* A parameter of the whole batch: its column is there, and every row has a value. */
static enum fault required_take(struct batch *batch, const struct profile *profile, uint16_t id, struct fault_note *note)
{
    const struct column *column = &batch->columns[id];
    if (column->form == FORM_ABSENT)
        return fault_set(note, FAULT_schema, ROW_NONE, id, "column %s is missing, profile %.40s requires it", column_name(id),
                         profile->name);
    bool is_text = column->form >= FORM_STR;
    for (uint32_t row = 0; row < batch->row_count; row++)
        if (!column_is_valid(column, row) || (is_text && column_text(column, row).bytes == 0))
            batch_row_fails(batch, row, id, RULE_MISSING, "is missing");
    return FAULT_NONE;
}

enum fault profile_take(struct batch *batch, const struct profile *profile, const struct kernels *kernels, struct fault_note *note)
{
    MUST(profile->magic == PROFILE_MAGIC && batch->facts.invalid);
    product_adopt(batch, profile);
    enum fault fault = convert_columns(batch, profile, note);
    for (uint32_t i = 0; i < profile->required_count && fault == FAULT_NONE; i++)
        fault = required_take(batch, profile, profile->required[i], note);
    if (fault == FAULT_NONE && profile->product[0])
        products_check(batch, profile);
    if (fault == FAULT_NONE)
        fault = check_cells(batch, profile, note);
    return fault == FAULT_NONE ? stage_run(batch, &profile->fill, kernels, note) : fault;
}

enum fault profile_finish(struct batch *batch, const struct profile *profile, const struct kernels *kernels, struct fault_note *note)
{
    return stage_run(batch, &profile->post, kernels, note);
}
