/* The tree lives from open to close and is never changed; nodes are numbered from 1 in the order of the text, so that
 * an alias is a number that goes back. */
#include "pipeline/config_yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/memory.h"

enum { SOURCE_BYTES_SHOWN = 60, DEPTH_MAX = 8 };

struct config_yaml {
    yaml_document_t document;
    const char *source;
    int last_node; /* of the walk: the highest number seen */
};

const char *config_source_tail(const char *source)
{
    size_t bytes = strlen(source);
    return bytes > SOURCE_BYTES_SHOWN ? source + bytes - SOURCE_BYTES_SHOWN : source;
}

static enum fault yaml_wrong(const struct config_yaml *yaml, enum fault fault, size_t line, const char *text, struct fault_note *note)
{
    return fault_set(note, fault, ROW_NONE, COLUMN_NONE, "%s:%zu: %s", config_source_tail(yaml->source), line + 1, text);
}

static size_t line_at(const unsigned char *text, size_t offset)
{
    size_t line = 0;
    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static const char *problem_text(const yaml_parser_t *parser)
{
    static const char no_token[] = "found character that cannot start any token";
    if (parser->problem && strcmp(parser->problem, no_token) == 0)
        return "found a character that cannot stand here: a tab, perhaps; lines are indented with spaces";
    return parser->problem ? parser->problem : "not YAML";
}

static enum fault parser_wrong(const struct config_yaml *yaml, const yaml_parser_t *parser, struct fault_note *note)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %s", config_source_tail(yaml->source));
    size_t line =
        parser->error == YAML_READER_ERROR ? line_at(parser->input.string.start, parser->problem_offset) : parser->problem_mark.line;
    return yaml_wrong(yaml, FAULT_syntax, line, problem_text(parser), note);
}

static bool is_empty(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *value = (const char *)node->data.scalar.value;
    return value[0] == '\0' || strcmp(value, "~") == 0 || strcmp(value, "null") == 0;
}

/* One child on the walk: where is the node that its line is taken from. */
static enum fault child_check(struct config_yaml *yaml, int child, const yaml_node_t *where, struct fault_note *note)
{
    if (child <= yaml->last_node)
        return yaml_wrong(yaml, FAULT_schema, where->start_mark.line, "aliases (*name) are not taken: write the value out", note);
    yaml->last_node = child;
    const yaml_node_t *node = yaml_document_get_node(&yaml->document, child);
    if (is_empty(node))
        return yaml_wrong(yaml, FAULT_schema, where->start_mark.line, "a value is missing: give one or leave the key out", note);
    if (node->type == YAML_SCALAR_NODE && strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
        return yaml_wrong(yaml, FAULT_schema, where->start_mark.line, "a text holds a zero byte", note);
    return FAULT_NONE;
}

static enum fault children_check(struct config_yaml *yaml, int number, unsigned depth, struct fault_note *note);

static enum fault pair_check(struct config_yaml *yaml, const yaml_node_pair_t *pair, unsigned depth, struct fault_note *note)
{
    const yaml_node_t *key = yaml_document_get_node(&yaml->document, pair->key);
    enum fault fault = child_check(yaml, pair->key, key, note);
    if (fault != FAULT_NONE)
        return fault;
    if (key->type != YAML_SCALAR_NODE)
        return yaml_wrong(yaml, FAULT_schema, key->start_mark.line, "a key must be a plain name", note);
    fault = child_check(yaml, pair->value, key, note);
    return fault == FAULT_NONE ? children_check(yaml, pair->value, depth, note) : fault;
}

static enum fault item_check(struct config_yaml *yaml, int item, unsigned depth, struct fault_note *note)
{
    enum fault fault = child_check(yaml, item, yaml_document_get_node(&yaml->document, item), note);
    return fault == FAULT_NONE ? children_check(yaml, item, depth, note) : fault;
}

static enum fault children_check(struct config_yaml *yaml, int number, unsigned depth, struct fault_note *note)
{
    const yaml_node_t *node = yaml_document_get_node(&yaml->document, number);
    enum fault fault = FAULT_NONE;
    if (depth == DEPTH_MAX)
        return yaml_wrong(yaml, FAULT_limit, node->start_mark.line, "nested too deeply", note);
    if (node->type == YAML_SEQUENCE_NODE) {
        const yaml_node_item_t *end = node->data.sequence.items.top;
        for (const yaml_node_item_t *item = node->data.sequence.items.start; fault == FAULT_NONE && item < end; item++)
            fault = item_check(yaml, *item, depth + 1, note);
    } else if (node->type == YAML_MAPPING_NODE) {
        const yaml_node_pair_t *end = node->data.mapping.pairs.top;
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; fault == FAULT_NONE && pair < end; pair++)
            fault = pair_check(yaml, pair, depth + 1, note);
    }
    return fault;
}

static enum fault root_check(struct config_yaml *yaml, struct fault_note *note)
{
    const yaml_node_t *root = yaml_document_get_root_node(&yaml->document);
    if (!root)
        return yaml_wrong(yaml, FAULT_schema, 0, "the file is empty", note);
    if (root->type != YAML_MAPPING_NODE)
        return yaml_wrong(yaml, FAULT_schema, root->start_mark.line, "expected keys and values", note);
    yaml->last_node = 1;
    return children_check(yaml, 1, 0, note);
}

/* A second document would be passed over in silence. */
static enum fault end_check(const struct config_yaml *yaml, yaml_parser_t *parser, struct fault_note *note)
{
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second))
        return parser_wrong(yaml, parser, note);
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    enum fault fault =
        root ? yaml_wrong(yaml, FAULT_schema, root->start_mark.line, "a second document: one file, one document", note) : FAULT_NONE;
    yaml_document_delete(&second);
    return fault;
}

static enum fault document_load(struct config_yaml *yaml, const char *text, size_t bytes, struct fault_note *note)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %s", config_source_tail(yaml->source));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    enum fault fault = FAULT_NONE;
    if (!yaml_parser_load(&parser, &yaml->document))
        fault = parser_wrong(yaml, &parser, note);
    else if ((fault = root_check(yaml, note)) == FAULT_NONE)
        fault = end_check(yaml, &parser, note);
    yaml_parser_delete(&parser);
    return fault;
}

enum fault config_yaml_open(struct config_yaml **out, const char *source, const char *text, size_t bytes, struct fault_note *note)
{
    struct config_yaml *yaml = memory_take_zeroed(1, sizeof *yaml);
    if (!yaml)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read %s", config_source_tail(source));
    yaml->source = source;
    enum fault fault = document_load(yaml, text, bytes, note);
    if (fault != FAULT_NONE)
        config_yaml_close(&yaml);
    *out = yaml;
    return fault;
}

void config_yaml_close(struct config_yaml **yaml_p)
{
    if (!*yaml_p)
        return;
    yaml_document_delete(&(*yaml_p)->document); /* safe on what a failed load left, and on zeroed memory */
    memory_give(*yaml_p);
    *yaml_p = NULL;
}

/* The last pair of that key: of a key given twice it is the second that is wrong. */
static const yaml_node_pair_t *pair_find(const yaml_node_t *node, const yaml_document_t *document, const char *key, size_t bytes)
{
    if (node->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.top; pair-- > node->data.mapping.pairs.start;) {
        const yaml_node_t *name = yaml_document_get_node((yaml_document_t *)document, pair->key);
        if (name->data.scalar.length == bytes && memcmp(name->data.scalar.value, key, bytes) == 0)
            return pair;
    }
    return NULL;
}

static int item_find(const yaml_node_t *node, size_t index)
{
    if (node->type != YAML_SEQUENCE_NODE || index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
        return 0;
    return node->data.sequence.items.start[index];
}

struct place {
    const yaml_node_t *node;
    size_t line;
};

static bool place_enter_key(struct place *place, yaml_document_t *document, const char *key, size_t bytes)
{
    const yaml_node_pair_t *pair = pair_find(place->node, document, key, bytes);
    if (!pair)
        return false;
    place->line = yaml_document_get_node(document, pair->key)->start_mark.line;
    place->node = yaml_document_get_node(document, pair->value);
    return true;
}

static bool place_enter_item(struct place *place, yaml_document_t *document, size_t index)
{
    int item = item_find(place->node, index);
    if (!item)
        return false;
    place->node = yaml_document_get_node(document, item);
    place->line = place->node->start_mark.line;
    return true;
}

static bool place_walk(struct place *place, yaml_document_t *document, const char *path)
{
    bool found = true;
    while (found && *path != '\0') {
        if (*path == '[') {
            char *end;
            found = place_enter_item(place, document, strtoul(path + 1, &end, 10));
            path = *end == ']' ? end + 1 : end;
        } else {
            size_t bytes = strcspn(path, ".[");
            found = place_enter_key(place, document, path, bytes);
            path += bytes;
        }
        path += *path == '.';
    }
    return found;
}

unsigned config_yaml_line(const struct config_yaml *yaml, const char *path, const char *last)
{
    yaml_document_t *document = (yaml_document_t *)&yaml->document; /* only read: libyaml knows no const */
    struct place place = {.node = yaml_document_get_root_node(document)};
    if (place_walk(&place, document, path) && last)
        place_enter_key(&place, document, last, strlen(last));
    return (unsigned)place.line + 1;
}

unsigned config_yaml_text_line(const struct config_yaml *yaml, const char *path)
{
    yaml_document_t *document = (yaml_document_t *)&yaml->document;
    struct place place = {.node = yaml_document_get_root_node(document)};
    place_walk(&place, document, path);
    const yaml_node_t *node = place.node;
    bool is_block = node->type == YAML_SCALAR_NODE &&
                    (node->data.scalar.style == YAML_LITERAL_SCALAR_STYLE || node->data.scalar.style == YAML_FOLDED_SCALAR_STYLE);
    return (unsigned)node->start_mark.line + 1 + is_block;
}
