/* One token ahead. A number without a point is exact, with a point a decimal of as many places, with an exponent a float. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intake/template_internal.h"

enum { NUMBER_BYTES_MAX = 63 };

void lexer_open(struct lexer *lexer, const char *source, unsigned line, const char *text, size_t bytes, struct fault_note *note)
{
    *lexer = (struct lexer){.source = source, .at = text, .end = text + bytes, .line_start = text, .line = line, .note = note};
    if (bytes > TEMPLATE_TEXT_MAX)
        lexer_refuse(lexer, FAULT_limit, line, 1, "%zu bytes, at most %d are taken", bytes, (int)TEMPLATE_TEXT_MAX);
    else if (!text_is_utf8((struct text){.data = text, .bytes = (uint32_t)bytes}))
        lexer_refuse(lexer, FAULT_syntax, line, 1, "not UTF-8");
    if (lexer->fault == FAULT_NONE && bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        lexer->at = lexer->line_start = text + 3; /* a byte order mark */
    lexer_next(lexer);
}

enum fault lexer_refuse(struct lexer *lexer, enum fault fault, unsigned line, unsigned column, const char *format, ...)
{
    char text[128];
    va_list arguments;
    if (lexer->fault != FAULT_NONE)
        return lexer->fault;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    lexer->at = lexer->end;
    lexer->token.kind = TOKEN_END;
    return lexer->fault = fault_set(lexer->note, fault, ROW_NONE, COLUMN_NONE, "%s:%u:%u: %s", lexer->source, line, column, text);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_blanks(struct lexer *lexer)
{
    for (; lexer->at < lexer->end; lexer->at++) {
        if (*lexer->at == '#')
            while (lexer->at + 1 < lexer->end && lexer->at[1] != '\n')
                lexer->at++;
        else if (*lexer->at == '\n')
            lexer->line++, lexer->line_start = lexer->at + 1;
        else if (*lexer->at != ' ' && *lexer->at != '\t' && *lexer->at != '\r')
            return;
    }
}

static void take_name(struct lexer *lexer)
{
    const char *from = lexer->at;
    while (lexer->at < lexer->end && (is_letter(*lexer->at) || is_digit(*lexer->at)))
        lexer->at++;
    lexer->token.kind = TOKEN_NAME;
    lexer->token.text = (struct text){.data = from, .bytes = (uint32_t)(lexer->at - from)};
    if (lexer->token.text.bytes > TEMPLATE_NAME_MAX)
        lexer_refuse(lexer, FAULT_limit, lexer->line, lexer->token.column, "a name of %u characters, at most %d are taken",
                     lexer->token.text.bytes, (int)TEMPLATE_NAME_MAX);
}

static void take_float(struct lexer *lexer, const char *from, size_t bytes)
{
    char digits[NUMBER_BYTES_MAX + 1];
    memcpy(digits, from, bytes);
    digits[bytes] = '\0';
    lexer->token.kind = TOKEN_FLOAT;
    lexer->token.real = strtod(digits, NULL);
    if (lexer->token.real > 1e300)
        lexer_refuse(lexer, FAULT_limit, lexer->line, lexer->token.column, "%s is beyond 1e300", digits);
}

static void take_exact(struct lexer *lexer, const char *from, const char *end)
{
    struct token *token = &lexer->token;
    bool after_point = false;
    token->kind = TOKEN_EXACT;
    for (; from < end; from++) {
        if (*from == '.') {
            after_point = true;
            continue;
        }
        if (__builtin_mul_overflow(token->exact, 10, &token->exact) || __builtin_add_overflow(token->exact, *from - '0', &token->exact)) {
            lexer_refuse(lexer, FAULT_limit, lexer->line, token->column, "a number beyond 9223372036854775807");
            return;
        }
        token->scale += after_point;
        if (token->scale > TEMPLATE_SCALE_MAX)
            lexer_refuse(lexer, FAULT_limit, lexer->line, token->column, "more than %d decimal places", (int)TEMPLATE_SCALE_MAX);
    }
}

static void take_number(struct lexer *lexer)
{
    const char *from = lexer->at;
    bool is_float = false;
    while (lexer->at < lexer->end && is_digit(*lexer->at))
        lexer->at++;
    if (lexer->end - lexer->at > 1 && *lexer->at == '.' && is_digit(lexer->at[1]))
        for (lexer->at++; lexer->at < lexer->end && is_digit(*lexer->at);)
            lexer->at++;
    if (lexer->at < lexer->end && (*lexer->at == 'e' || *lexer->at == 'E')) {
        const char *digits = lexer->at + 1;
        digits += digits < lexer->end && (*digits == '-' || *digits == '+');
        is_float = digits < lexer->end && is_digit(*digits);
        while (is_float && digits < lexer->end && is_digit(*digits))
            lexer->at = ++digits;
    }
    if (lexer->at < lexer->end && (is_letter(*lexer->at) || *lexer->at == '.'))
        lexer_refuse(lexer, FAULT_syntax, lexer->line, lexer->token.column, "not a number");
    else if (lexer->at - from > NUMBER_BYTES_MAX)
        lexer_refuse(lexer, FAULT_limit, lexer->line, lexer->token.column, "a number of more than %d digits", (int)NUMBER_BYTES_MAX);
    else if (is_float)
        take_float(lexer, from, (size_t)(lexer->at - from));
    else
        take_exact(lexer, from, lexer->at);
}

static void take_text(struct lexer *lexer)
{
    const char *from = ++lexer->at;
    while (lexer->at < lexer->end && *lexer->at != '"' && *lexer->at != '\n') {
        if (*lexer->at == '\\' && lexer->end - lexer->at > 1 && (lexer->at[1] == '"' || lexer->at[1] == '\\'))
            lexer->at++;
        else if (*lexer->at == '\\') {
            lexer_refuse(lexer, FAULT_syntax, lexer->line, lexer->token.column, "after \\ comes \\ or \" only");
            return;
        }
        lexer->at++;
    }
    if (lexer->at == lexer->end || *lexer->at != '"') {
        lexer_refuse(lexer, FAULT_syntax, lexer->line, lexer->token.column, "a text that does not end on its line");
        return;
    }
    lexer->token.kind = TOKEN_TEXT;
    lexer->token.text = (struct text){.data = from, .bytes = (uint32_t)(lexer->at++ - from)};
}

static void take_symbol(struct lexer *lexer)
{
    static const char *const doubles[] = {"==", "!=", "<=", ">="};
    struct token *token = &lexer->token;
    size_t left = (size_t)(lexer->end - lexer->at);
    token->kind = TOKEN_SYMBOL;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles && left > 1; i++)
        if (memcmp(lexer->at, doubles[i], 2) == 0) {
            memcpy(token->symbol, doubles[i], 2);
            lexer->at += 2;
            return;
        }
    if (left > 1 && (memcmp(lexer->at, "×", 2) == 0 || memcmp(lexer->at, "÷", 2) == 0)) {
        token->symbol[0] = memcmp(lexer->at, "×", 2) == 0 ? '*' : '/';
        lexer->at += 2;
        return;
    }
    if (!strchr("()[],:;=<>+-*/", *lexer->at) || *lexer->at == '\0') {
        lexer_refuse(lexer, FAULT_syntax, lexer->line, token->column, "a character that means nothing here");
        return;
    }
    token->symbol[0] = *lexer->at++;
}

void lexer_next(struct lexer *lexer)
{
    lexer->token = (struct token){.kind = TOKEN_END};
    if (lexer->fault != FAULT_NONE)
        return;
    skip_blanks(lexer);
    lexer->token.line = lexer->line;
    lexer->token.column = (unsigned)(lexer->at - lexer->line_start) + 1;
    if (lexer->at == lexer->end)
        return;
    if (is_letter(*lexer->at))
        take_name(lexer);
    else if (is_digit(*lexer->at))
        take_number(lexer);
    else if (*lexer->at == '"')
        take_text(lexer);
    else
        take_symbol(lexer);
}
