/* statement:  name = expr  |  each numeric|text|time : expr      with ; or nothing between them: an expression that is whole ends
 * where a name follows. Loosest to tightest: or; and, nand; not; comparisons, in, is; + -; * /; - */
#include <string.h>

#include "base/memory.h"
#include "intake/template_internal.h"

const struct function_about template_functions[FUNCTION_COUNT] = {
#define FUNCTION(id, name, least, most, text) [FUNCTION_##id] = {name, least, most},
#include "intake/functions.tbl"
#undef FUNCTION
};

struct parser {
    struct tree *tree;
    struct lexer *lexer;
    unsigned depth;
};

static uint16_t parse_expression(struct parser *parser);

static uint16_t refuse(struct parser *parser, const char *wanted)
{
    const struct token *token = &parser->lexer->token;
    char shown[32];
    text_copy(shown, sizeof shown, token->text);
    for (char *c = shown; *c; c++)
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    if (token->kind == TOKEN_SYMBOL)
        lexer_refuse(parser->lexer, FAULT_syntax, token->line, token->column, "%s expected, not %s", wanted, token->symbol);
    else if (token->kind == TOKEN_END)
        lexer_refuse(parser->lexer, FAULT_syntax, token->line, token->column, "%s expected, not the end", wanted);
    else
        lexer_refuse(parser->lexer, FAULT_syntax, token->line, token->column, "%s expected, not %s", wanted, shown[0] ? shown : "a number");
    return 0;
}

static uint16_t node_new(struct parser *parser, enum node_kind kind, const struct token *at)
{
    struct tree *tree = parser->tree;
    if (parser->lexer->fault != FAULT_NONE)
        return 0;
    if (tree->node_count == NODES_MAX) {
        lexer_refuse(parser->lexer, FAULT_limit, at->line, at->column, "more than %d parts of expressions", (int)NODES_MAX - 1);
        return 0;
    }
    tree->nodes[tree->node_count] = (struct node){.kind = kind, .line = at->line, .column = at->column};
    return (uint16_t)tree->node_count++;
}

/* first is followed by the others in the order of calls; 0 where something failed. */
static uint16_t node_call(struct parser *parser, enum function function, const struct token *at, uint16_t a, uint16_t b)
{
    uint16_t call = node_new(parser, NODE_CALL, at);
    if (!call)
        return 0;
    parser->tree->nodes[call].function = function;
    parser->tree->nodes[call].child = a;
    parser->tree->nodes[a].next = b;
    return call;
}

static bool is_symbol(const struct parser *parser, const char *symbol)
{
    return parser->lexer->token.kind == TOKEN_SYMBOL && strcmp(parser->lexer->token.symbol, symbol) == 0;
}

static bool is_word(const struct parser *parser, const char *word)
{
    return parser->lexer->token.kind == TOKEN_NAME && text_equal(parser->lexer->token.text, text_of(word));
}

static bool take_symbol(struct parser *parser, const char *symbol)
{
    bool is_there = is_symbol(parser, symbol);
    if (is_there)
        lexer_next(parser->lexer);
    return is_there;
}

static bool take_word(struct parser *parser, const char *word)
{
    bool is_there = is_word(parser, word);
    if (is_there)
        lexer_next(parser->lexer);
    return is_there;
}

static bool need_symbol(struct parser *parser, const char *symbol)
{
    return take_symbol(parser, symbol) || refuse(parser, symbol);
}

static bool need_word(struct parser *parser, const char *word)
{
    return take_word(parser, word) || refuse(parser, word);
}

static bool is_reserved(struct text name)
{
    static const char *const words[] = {"or",   "and",  "nand", "not",  "in",   "is",    "if",   "then", "else",
                                        "case", "when", "end",  "null", "true", "false", "each", "it"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_equal(name, text_of(words[i])))
            return true;
    return false;
}

static uint16_t parse_text(struct parser *parser)
{
    const struct token token = parser->lexer->token;
    struct tree *tree = parser->tree;
    uint16_t node = node_new(parser, NODE_TEXT, &token);
    if (!node)
        return 0;
    char *out = tree->texts + tree->text_bytes;
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < token.text.bytes; i++) {
        i += token.text.data[i] == '\\';
        out[bytes++] = token.text.data[i];
    }
    tree->nodes[node].text = (struct text){.data = out, .bytes = bytes};
    tree->text_bytes += bytes;
    lexer_next(parser->lexer);
    return node;
}

static uint16_t parse_number(struct parser *parser, bool is_negative)
{
    const struct token token = parser->lexer->token;
    uint16_t node = node_new(parser, token.kind == TOKEN_FLOAT ? NODE_FLOAT : NODE_EXACT, &token);
    if (!node)
        return 0;
    parser->tree->nodes[node].exact = is_negative ? -token.exact : token.exact;
    parser->tree->nodes[node].real = is_negative ? -token.real : token.real;
    parser->tree->nodes[node].scale = token.scale;
    lexer_next(parser->lexer);
    return node;
}

/* ( a, b, … ) behind a function's name. */
static uint16_t parse_call(struct parser *parser, const struct token *name)
{
    enum function function = 0;
    while (function < FUNCTION_COUNT && !text_equal(name->text, text_of(template_functions[function].name)))
        function++;
    if (function == FUNCTION_COUNT || !template_functions[function].name[0]) {
        lexer_refuse(parser->lexer, FAULT_schema, name->line, name->column, "no function %.*s", (int)name->text.bytes, name->text.data);
        return 0;
    }
    uint16_t call = node_new(parser, NODE_CALL, name), last = 0;
    uint32_t count = 0;
    lexer_next(parser->lexer);
    while (call && !is_symbol(parser, ")")) {
        if (count++ && !need_symbol(parser, ","))
            return 0;
        uint16_t child = parse_expression(parser);
        if (!child)
            return 0;
        if (last)
            parser->tree->nodes[last].next = child;
        else
            parser->tree->nodes[call].child = child;
        last = child;
    }
    if (!call || !need_symbol(parser, ")"))
        return 0;
    const struct function_about *about = &template_functions[function];
    if (count < about->least || count > about->most) {
        lexer_refuse(parser->lexer, FAULT_schema, name->line, name->column, "%s takes %u%s%s arguments, not %u", about->name, about->least,
                     about->most > about->least ? " to " : "", about->most > about->least ? "16" : "", count);
        return 0;
    }
    parser->tree->nodes[call].function = function;
    return call;
}

static uint16_t node_choice(struct parser *parser, const struct token *at, uint16_t condition, uint16_t yes, uint16_t no)
{
    uint16_t node = condition && yes && no ? node_new(parser, NODE_IF, at) : 0;
    if (!node)
        return 0;
    parser->tree->nodes[node].child = condition;
    parser->tree->nodes[condition].next = yes;
    parser->tree->nodes[yes].next = no;
    return node;
}

static uint16_t parse_if(struct parser *parser, const struct token *at)
{
    uint16_t condition = parse_expression(parser);
    uint16_t yes = condition && need_word(parser, "then") ? parse_expression(parser) : 0;
    uint16_t no = yes && need_word(parser, "else") ? parse_expression(parser) : 0;
    return node_choice(parser, at, condition, yes, no);
}

/* when a then b … else c end: a choice whose other side is the next one. Side by side, not one inside another. */
static uint16_t parse_whens(struct parser *parser)
{
    struct node *nodes = parser->tree->nodes;
    uint16_t first = 0, last = 0; /* last: what the newest choice gives, next to which its other side comes */
    for (;;) {
        const struct token when = parser->lexer->token;
        if (!take_word(parser, "when"))
            break;
        uint16_t condition = parse_expression(parser);
        uint16_t yes = condition && need_word(parser, "then") ? parse_expression(parser) : 0;
        uint16_t node = yes ? node_new(parser, NODE_IF, &when) : 0;
        if (!node)
            return 0;
        nodes[node].child = condition;
        nodes[condition].next = yes;
        nodes[last].next = last ? node : 0;
        first = first ? first : node;
        last = yes;
    }
    if (!take_word(parser, "else"))
        return refuse(parser, "when or else");
    uint16_t other = parse_expression(parser);
    if (!other || !need_word(parser, "end"))
        return 0;
    nodes[last].next = other;
    return first;
}

static uint16_t parse_name(struct parser *parser)
{
    const struct token name = parser->lexer->token;
    lexer_next(parser->lexer);
    if (text_equal(name.text, text_of("if")))
        return parse_if(parser, &name);
    if (text_equal(name.text, text_of("case"))) {
        if (is_word(parser, "when"))
            return parse_whens(parser);
        return refuse(parser, "when");
    }
    if (text_equal(name.text, text_of("null")))
        return node_new(parser, NODE_NULL, &name);
    bool yes = text_equal(name.text, text_of("true"));
    if (yes || text_equal(name.text, text_of("false"))) {
        uint16_t node = node_new(parser, NODE_BOOL, &name);
        parser->tree->nodes[node].exact = yes;
        return node;
    }
    if (is_symbol(parser, "("))
        return parse_call(parser, &name);
    if (is_reserved(name.text) && !text_equal(name.text, text_of("it"))) {
        lexer_refuse(parser->lexer, FAULT_syntax, name.line, name.column, "a value expected, not %.*s", (int)name.text.bytes,
                     name.text.data);
        return 0;
    }
    uint16_t node = node_new(parser, NODE_NAME, &name);
    parser->tree->nodes[node].text = name.text;
    return node;
}

static uint16_t parse_unary(struct parser *parser)
{
    const struct token at = parser->lexer->token;
    if (at.kind == TOKEN_EXACT || at.kind == TOKEN_FLOAT)
        return parse_number(parser, false);
    if (at.kind == TOKEN_TEXT)
        return parse_text(parser);
    if (at.kind == TOKEN_NAME)
        return parse_name(parser);
    if (take_symbol(parser, "-")) {
        if (parser->lexer->token.kind == TOKEN_EXACT || parser->lexer->token.kind == TOKEN_FLOAT)
            return parse_number(parser, true);
        if (++parser->depth > DEPTH_MAX) {
            lexer_refuse(parser->lexer, FAULT_limit, at.line, at.column, "nested more than %d deep", (int)DEPTH_MAX);
            return 0;
        }
        uint16_t child = parse_unary(parser);
        parser->depth--;
        return child ? node_call(parser, FUNCTION_negative, &at, child, 0) : 0;
    }
    if (take_symbol(parser, "(")) {
        uint16_t node = parse_expression(parser);
        return node && need_symbol(parser, ")") ? node : 0;
    }
    return refuse(parser, "a value");
}

struct infix {
    const char *symbol;
    enum function function;
};

/* Left to right: operand (operator operand)*. */
static uint16_t parse_infix(struct parser *parser, const struct infix *infixes, size_t count, uint16_t (*operand)(struct parser *parser))
{
    uint16_t left = operand(parser);
    while (left) {
        const struct token at = parser->lexer->token;
        size_t i = 0;
        while (i < count && !(at.kind == TOKEN_NAME ? is_word(parser, infixes[i].symbol) : is_symbol(parser, infixes[i].symbol)))
            i++;
        if (i == count)
            return left;
        lexer_next(parser->lexer);
        uint16_t right = operand(parser);
        left = right ? node_call(parser, infixes[i].function, &at, left, right) : 0;
    }
    return 0;
}

static uint16_t parse_product(struct parser *parser)
{
    static const struct infix infixes[] = {{"*", FUNCTION_times}, {"/", FUNCTION_over}};
    return parse_infix(parser, infixes, 2, parse_unary);
}

static uint16_t parse_sum(struct parser *parser)
{
    static const struct infix infixes[] = {{"+", FUNCTION_plus}, {"-", FUNCTION_minus}};
    return parse_infix(parser, infixes, 2, parse_product);
}

static uint16_t node_not(struct parser *parser, const struct token *at, uint16_t node)
{
    return node ? node_call(parser, FUNCTION_not, at, node, 0) : 0;
}

/* in [a, b, …]: literals, a sign allowed. */
static uint16_t parse_list(struct parser *parser, const struct token *at, uint16_t left)
{
    uint16_t node = node_new(parser, NODE_IN, at), last = left;
    uint32_t count = 0;
    if (!node || !need_symbol(parser, "["))
        return 0;
    parser->tree->nodes[node].child = left;
    do {
        bool is_negative = take_symbol(parser, "-");
        enum token_kind kind = parser->lexer->token.kind;
        uint16_t item = kind == TOKEN_EXACT                  ? parse_number(parser, is_negative)
                        : kind == TOKEN_TEXT && !is_negative ? parse_text(parser)
                                                             : refuse(parser, "a number without exponent or a text");
        if (!item)
            return 0;
        if (++count > LIST_MAX) {
            lexer_refuse(parser->lexer, FAULT_limit, at->line, at->column, "a list of more than %d values", (int)LIST_MAX);
            return 0;
        }
        parser->tree->nodes[last].next = item;
        last = item;
    } while (take_symbol(parser, ","));
    return need_symbol(parser, "]") ? node : 0;
}

static uint16_t parse_comparison(struct parser *parser)
{
    static const struct infix infixes[] = {{"==", FUNCTION_equal}, {"!=", FUNCTION_unequal}, {"<", FUNCTION_less},
                                           {"<=", FUNCTION_least}, {">", FUNCTION_more},     {">=", FUNCTION_most}};
    uint16_t left = parse_sum(parser);
    const struct token at = parser->lexer->token;
    if (!left)
        return 0;
    for (size_t i = 0; i < sizeof infixes / sizeof *infixes; i++)
        if (take_symbol(parser, infixes[i].symbol)) {
            uint16_t right = parse_sum(parser);
            return right ? node_call(parser, infixes[i].function, &at, left, right) : 0;
        }
    if (take_word(parser, "is")) {
        bool is_not = take_word(parser, "not");
        uint16_t node = need_word(parser, "null") ? node_new(parser, NODE_IS_NULL, &at) : 0;
        if (node)
            parser->tree->nodes[node].child = left;
        return is_not ? node_not(parser, &at, node) : node;
    }
    if (take_word(parser, "in"))
        return parse_list(parser, &at, left);
    if (take_word(parser, "not"))
        return need_word(parser, "in") ? node_not(parser, &at, parse_list(parser, &at, left)) : 0;
    return left;
}

static uint16_t parse_not(struct parser *parser)
{
    const struct token at = parser->lexer->token;
    if (!take_word(parser, "not"))
        return parse_comparison(parser);
    if (++parser->depth > DEPTH_MAX) {
        lexer_refuse(parser->lexer, FAULT_limit, at.line, at.column, "nested more than %d deep", (int)DEPTH_MAX);
        return 0;
    }
    uint16_t node = node_not(parser, &at, parse_not(parser));
    parser->depth--;
    return node;
}

static uint16_t parse_and(struct parser *parser)
{
    static const struct infix infixes[] = {{"and", FUNCTION_and}, {"nand", FUNCTION_nand}};
    return parse_infix(parser, infixes, 2, parse_not);
}

static uint16_t parse_expression(struct parser *parser)
{
    static const struct infix infixes[] = {{"or", FUNCTION_or}};
    const struct token at = parser->lexer->token;
    if (++parser->depth > DEPTH_MAX) {
        lexer_refuse(parser->lexer, FAULT_limit, at.line, at.column, "nested more than %d deep", (int)DEPTH_MAX);
        return 0;
    }
    uint16_t node = parse_infix(parser, infixes, 1, parse_and);
    parser->depth--;
    return node;
}

static void parse_each(struct parser *parser, struct statement *out)
{
    static const struct {
        const char *word;
        enum each_kind kind;
    } kinds[] = {{"numeric", EACH_NUMERIC}, {"text", EACH_TEXT}, {"time", EACH_TIME}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && out->each == EACH_NONE; i++)
        if (take_word(parser, kinds[i].word))
            out->each = kinds[i].kind;
    if (out->each == EACH_NONE)
        refuse(parser, "numeric, text or time");
    else if (need_symbol(parser, ":"))
        out->node = parse_expression(parser);
}

static void parse_statement(struct parser *parser, struct statement *out)
{
    const struct token name = parser->lexer->token;
    *out = (struct statement){.line = name.line, .column = name.column};
    if (name.kind != TOKEN_NAME) {
        refuse(parser, "a name");
        return;
    }
    lexer_next(parser->lexer);
    if (text_equal(name.text, text_of("each"))) {
        parse_each(parser, out);
        return;
    }
    if (is_reserved(name.text))
        lexer_refuse(parser->lexer, FAULT_syntax, name.line, name.column, "%.*s is a word of the language and no name",
                     (int)name.text.bytes, name.text.data);
    out->name = name.text;
    if (need_symbol(parser, "="))
        out->node = parse_expression(parser);
}

/* The one statement of a condition is its expression. */
static enum fault parse_condition(struct parser *parser)
{
    struct lexer *lexer = parser->lexer;
    struct statement *out = &parser->tree->statements[parser->tree->statement_count++];
    *out = (struct statement){.name = text_of("when"), .line = lexer->token.line, .column = lexer->token.column};
    out->node = parse_expression(parser);
    if (lexer->fault == FAULT_NONE && lexer->token.kind != TOKEN_END)
        refuse(parser, "the end of the condition");
    return lexer->fault;
}

enum fault template_parse(struct tree *out, struct lexer *lexer, bool is_condition)
{
    struct parser parser = {.tree = out, .lexer = lexer};
    *out = (struct tree){.node_count = 1};
    out->nodes = memory_take_zeroed(NODES_MAX, sizeof *out->nodes);
    out->texts = memory_take((size_t)(lexer->end - lexer->at) + 1 + lexer->token.text.bytes);
    if (!out->nodes || !out->texts)
        return lexer_refuse(lexer, FAULT_memory, lexer->line, 1, "no memory for a template");
    if (is_condition)
        return parse_condition(&parser);
    while (lexer->fault == FAULT_NONE && lexer->token.kind != TOKEN_END) {
        if (out->statement_count == STATEMENTS_MAX)
            return lexer_refuse(lexer, FAULT_limit, lexer->token.line, lexer->token.column, "more than %d statements", (int)STATEMENTS_MAX);
        parse_statement(&parser, &out->statements[out->statement_count++]);
        while (take_symbol(&parser, ";"))
            ;
    }
    return lexer->fault;
}

void tree_fini(struct tree *tree)
{
    memory_give(tree->nodes);
    memory_give(tree->texts);
    *tree = (struct tree){0};
}
