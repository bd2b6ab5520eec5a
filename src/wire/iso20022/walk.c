#include "wire/iso20022/walk.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/must.h"

enum { CHUNK_BYTES = 1 << 16, PARSER_BYTES_MAX = 2 << 20, BLOCK_HEAD_BYTES = 16, PASSED_OVER_MAX = 32 };

enum content {
    CONTENT_TEXT,
    CONTENT_ANY,
    CONTENT_Document,
    CONTENT_CstmrCdtTrfInitn,
    CONTENT_GrpHdr,
    CONTENT_PmtInf,
    CONTENT_ReqdExctnDt,
    CONTENT_Account,
    CONTENT_AccountId,
    CONTENT_OtherId,
    CONTENT_CdtTrfTxInf,
    CONTENT_PmtId,
    CONTENT_Amt,
    CONTENT_EqvtAmt,
    CONTENT_RmtInf,
    CONTENT_Strd,
    CONTENT_CdtrRefInf
};

static const struct {
    const char *name;
    uint8_t parent, content, least, most;
    uint16_t characters;
    uint8_t version; /* 0: both */
} parts[PART_COUNT] = {
#define PART(parent, element, content, least, most, characters) {#element, CONTENT_##parent, CONTENT_##content, least, most, characters, 0},
#define PART03(parent, element, content, least, most, characters) \
    {#element, CONTENT_##parent, CONTENT_##content, least, most, characters, 3},
#define PART09(parent, element, content, least, most, characters) \
    {#element, CONTENT_##parent, CONTENT_##content, least, most, characters, 9},
#include "wire/iso20022/elements.tbl"
};

static bool is_choice(unsigned content)
{
    switch (content) {
#define CHOICE(parent) case CONTENT_##parent:
#include "wire/iso20022/elements.tbl"
        return true;
    default:
        return false;
    }
}

const char *iso_part_name(enum part part)
{
    return part < PART_COUNT ? parts[part].name : "Document";
}

/* --- the parser's memory: what a hostile file can make it take is bounded here ---------------------------------------------- */

static _Thread_local struct walk *running; /* expat gives its memory functions no context */

static void *block_resize(void *block, size_t bytes)
{
    char *head = block ? (char *)block - BLOCK_HEAD_BYTES : NULL;
    size_t had = 0;
    if (head)
        memcpy(&had, head, sizeof had);
    if (bytes > PARSER_BYTES_MAX || running->parser_bytes - had + bytes > PARSER_BYTES_MAX)
        return NULL;
    char *now = memory_resize(head, BLOCK_HEAD_BYTES + bytes);
    if (!now)
        return NULL;
    memcpy(now, &bytes, sizeof bytes);
    running->parser_bytes += bytes - had;
    return now + BLOCK_HEAD_BYTES;
}

static void *block_take(size_t bytes)
{
    return block_resize(NULL, bytes);
}

static void block_give(void *block)
{
    size_t had;
    if (!block)
        return;
    memcpy(&had, (char *)block - BLOCK_HEAD_BYTES, sizeof had);
    running->parser_bytes -= had;
    memory_give((char *)block - BLOCK_HEAD_BYTES);
}

/* --- faults --------------------------------------------------------------------------------------------------------------- */

uint32_t iso_walk_line(const struct walk *walk)
{
    return (uint32_t)XML_GetCurrentLineNumber(walk->parser);
}

/* The path below CstmrCdtTrfInitn, which all have in common. */
static void path_print(const struct walk *walk, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = walk->depth > 2 ? 2 : walk->depth ? walk->depth - 1 : 0; i < walk->depth && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? "/" : "", iso_part_name(walk->frames[i].part));
}

enum fault iso_walk_fault(struct walk *walk, enum fault fault, const char *format, ...)
{
    char path[80], what[120];
    va_list arguments;
    if (walk->fault != FAULT_NONE)
        return walk->fault;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    for (char *c = what; *c; c++) /* bytes that would move a terminal's cursor */
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    path_print(walk, path, sizeof path);
    walk->fault = fault_set(walk->note, fault, iso_walk_line(walk), COLUMN_NONE, "%s%s%s", path, *path ? ": " : "", what);
    XML_StopParser(walk->parser, XML_FALSE);
    return walk->fault;
}

/* An eye may have filled the note by itself. */
static void eye_told(struct walk *walk, enum fault fault)
{
    if (fault == FAULT_NONE || walk->fault != FAULT_NONE)
        return;
    walk->fault = fault;
    XML_StopParser(walk->parser, XML_FALSE);
}

/* --- elements ------------------------------------------------------------------------------------------------------------- */

/* The name without its namespace, which must be the document's. */
static const char *name_local(const struct walk *walk, const char *name)
{
    size_t bytes = strlen(walk->space);
    return strncmp(name, walk->space, bytes) == 0 && name[bytes] == ' ' ? name + bytes + 1 : NULL;
}

/* ISO's own names, and those of a community that narrows a message down, as pain.001.001.03.ch.02 does. */
static unsigned version_of(const char *message)
{
    static const char *const messages[] = {"pain.001.001.03", "pain.001.001.09"};
    for (unsigned i = 0; i < sizeof messages / sizeof *messages; i++) {
        size_t bytes = strlen(messages[i]);
        if (strncmp(message, messages[i], bytes) == 0 && (message[bytes] == '\0' || message[bytes] == '.'))
            return i ? 9 : 3;
    }
    return 0;
}

static void document_begins(struct walk *walk, const char *name)
{
    const char *end = strchr(name, ' '), *local = end ? end + 1 : name;
    size_t bytes = end ? (size_t)(end - name) : 0, from = bytes;
    if (bytes == 0 || bytes >= sizeof walk->space || strcmp(local, "Document") != 0) {
        iso_walk_fault(walk, FAULT_schema, "no Document of ISO 20022 but %.60s", local);
        return;
    }
    memcpy(walk->space, name, bytes);
    walk->space[bytes] = '\0';
    while (from > 0 && name[from - 1] != ':' && name[from - 1] != '/')
        from--;
    if (bytes >= from + 4 && strcmp(walk->space + bytes - 4, ".xsd") == 0) /* some have it, and it is no part of the message's name */
        bytes -= 4;
    snprintf(walk->message_name, sizeof walk->message_name, "%.*s", (int)(bytes - from), walk->space + from);
    walk->version = version_of(walk->message_name);
    if (!walk->version)
        iso_walk_fault(walk, FAULT_schema, "%s is not taken, pain.001.001.03 and pain.001.001.09 are", walk->message_name);
    else
        walk->frames[walk->depth++] = (struct walk_frame){.content = CONTENT_Document, .part = PART_COUNT, .last = PART_COUNT};
}

static bool is_of(const struct walk *walk, unsigned part, unsigned content)
{
    return parts[part].parent == content && (!parts[part].version || parts[part].version == walk->version);
}

static unsigned part_find(const struct walk *walk, unsigned content, const char *name)
{
    for (unsigned i = 0; name && i < PART_COUNT; i++)
        if (is_of(walk, i, content) && strcmp(parts[i].name, name) == 0)
            return i;
    return PART_COUNT;
}

/* The first that must come between what came last and `next`; PART_COUNT: none. */
static unsigned part_missing(const struct walk *walk, const struct walk_frame *frame, unsigned next)
{
    unsigned from = frame->last == PART_COUNT ? 0 : (unsigned)frame->last + 1;
    for (unsigned i = from; i < next; i++)
        if (is_of(walk, i, frame->content) && parts[i].least > 0)
            return i;
    return PART_COUNT;
}

static enum fault part_take(struct walk *walk, struct walk_frame *frame, unsigned part, const char *name)
{
    if (part == PART_COUNT)
        return iso_walk_fault(walk, FAULT_schema, "%.50s is no part of it", name);
    if (frame->last != PART_COUNT && part < (unsigned)frame->last)
        return iso_walk_fault(walk, FAULT_schema, "%s comes behind %s", iso_part_name(part), iso_part_name(frame->last));
    unsigned missing = part_missing(walk, frame, part);
    if (missing < part)
        return iso_walk_fault(walk, FAULT_schema, "%s comes where %s must", iso_part_name(part), iso_part_name(missing));
    frame->last_count = part == (unsigned)frame->last ? frame->last_count + 1 : 1;
    frame->last = (enum part)part;
    frame->children++;
    if (parts[part].most && frame->last_count > parts[part].most)
        return iso_walk_fault(walk, FAULT_schema, "%s more than %u times", iso_part_name(part), parts[part].most);
    if (is_choice(frame->content) && frame->children > 1)
        return iso_walk_fault(walk, FAULT_schema, "%s beside another: one of them is allowed", iso_part_name(part));
    return FAULT_NONE;
}

static void currency_take(struct walk *walk, const char **attributes)
{
    walk->currency[0] = '\0';
    for (; attributes[0]; attributes += 2)
        if (strcmp(attributes[0], "Ccy") == 0 && strlen(attributes[1]) < sizeof walk->currency)
            memcpy(walk->currency, attributes[1], strlen(attributes[1]) + 1);
}

static void tag_take(struct walk *walk)
{
    walk->tag_from = (size_t)XML_GetCurrentByteIndex(walk->parser);
    walk->tag_to = walk->tag_from + (size_t)XML_GetCurrentByteCount(walk->parser);
}

static void part_begins(struct walk *walk, unsigned part, const char **attributes)
{
    unsigned content = parts[part].content;
    MUST(walk->depth < WALK_DEPTH_MAX); /* no part holds itself */
    walk->frames[walk->depth++] = (struct walk_frame){.content = (uint8_t)content, .part = (enum part)part, .last = PART_COUNT};
    tag_take(walk);
    if (content == CONTENT_ANY) {
        walk->passed_over = 1;
    } else if (content == CONTENT_TEXT) {
        walk->in_text = true;
        walk->text_bytes = 0;
        walk->text_from = walk->tag_to;
        walk->too_long = false;
        currency_take(walk, attributes);
    } else if (walk->eyes->enter) {
        eye_told(walk, walk->eyes->enter(walk->context, walk, (enum part)part));
    }
}

static void XMLCALL element_begins(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *walk = context;
    if (walk->fault != FAULT_NONE)
        return;
    if (walk->depth == 0) {
        document_begins(walk, name);
        return;
    }
    const char *local = strrchr(name, ' ') ? strrchr(name, ' ') + 1 : name;
    if (walk->passed_over) {
        if (++walk->passed_over > PASSED_OVER_MAX)
            iso_walk_fault(walk, FAULT_limit, "elements more than %d deep", PASSED_OVER_MAX);
        return;
    }
    struct walk_frame *frame = &walk->frames[walk->depth - 1];
    if (frame->content == CONTENT_TEXT) {
        iso_walk_fault(walk, FAULT_schema, "%.50s inside what must be text", local);
        return;
    }
    unsigned part = part_find(walk, frame->content, name_local(walk, name));
    if (part_take(walk, frame, part, local) == FAULT_NONE)
        part_begins(walk, part, attributes);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum fault text_ends(struct walk *walk, enum part part)
{
    const char *at = walk->text, *end = walk->text + walk->text_bytes;
    uint32_t characters = 0;
    while (at < end && is_blank(*at))
        at++;
    while (end > at && is_blank(end[-1]))
        end--;
    for (const char *c = at; c < end; c++)
        characters += (*c & 0xc0) != 0x80;
    if (walk->too_long || characters > parts[part].characters)
        return iso_walk_fault(walk, FAULT_schema, "more than %u characters", parts[part].characters);
    if (characters == 0)
        return iso_walk_fault(walk, FAULT_schema, "is empty");
    const struct text value = {.data = at, .bytes = (uint32_t)(end - at)};
    return walk->eyes->text ? walk->eyes->text(walk->context, walk, part, value) : FAULT_NONE;
}

static enum fault parts_end(struct walk *walk, const struct walk_frame *frame)
{
    unsigned missing = part_missing(walk, frame, PART_COUNT);
    if (missing < PART_COUNT)
        return iso_walk_fault(walk, FAULT_schema, "ends without %s", iso_part_name(missing));
    if (is_choice(frame->content) && frame->children == 0)
        return iso_walk_fault(walk, FAULT_schema, "is empty");
    if (frame->part == PART_COUNT || !walk->eyes->leave)
        return FAULT_NONE;
    return walk->eyes->leave(walk->context, walk, frame->part);
}

static void XMLCALL element_ends(void *context, const XML_Char *name)
{
    struct walk *walk = context;
    (void)name;
    if (walk->fault != FAULT_NONE || (walk->passed_over && --walk->passed_over))
        return;
    const struct walk_frame *frame = &walk->frames[walk->depth - 1];
    tag_take(walk);
    enum fault fault = FAULT_NONE;
    if (walk->in_text)
        fault = text_ends(walk, frame->part);
    else if (frame->content != CONTENT_ANY)
        fault = parts_end(walk, frame);
    eye_told(walk, fault);
    walk->in_text = false;
    walk->depth--;
    if (walk->wants_pause && walk->fault == FAULT_NONE)
        XML_StopParser(walk->parser, XML_TRUE);
}

static void XMLCALL text_comes(void *context, const XML_Char *text, int bytes)
{
    struct walk *walk = context;
    if (walk->fault != FAULT_NONE || walk->passed_over)
        return;
    if (walk->in_text) {
        bool fits = (size_t)bytes <= sizeof walk->text - walk->text_bytes;
        walk->too_long |= !fits;
        if (fits)
            memcpy(walk->text + walk->text_bytes, text, (size_t)bytes);
        walk->text_bytes += fits ? (uint32_t)bytes : 0;
        return;
    }
    for (int i = 0; i < bytes; i++)
        if (!is_blank(text[i])) {
            iso_walk_fault(walk, FAULT_schema, "text where elements must be");
            return;
        }
}

/* --- what is refused ------------------------------------------------------------------------------------------------------ */

static void XMLCALL doctype_begins(void *context, const XML_Char *name, const XML_Char *system, const XML_Char *public, int has_internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_internal;
    iso_walk_fault(context, FAULT_syntax, "a document type (DOCTYPE) is not taken");
}

static void XMLCALL entity_is_skipped(void *context, const XML_Char *name, int is_parameter)
{
    (void)is_parameter;
    iso_walk_fault(context, FAULT_syntax, "entity %.40s is not taken", name);
}

static void XMLCALL declaration_comes(void *context, const XML_Char *version, const XML_Char *encoding, int standalone)
{
    (void)version;
    (void)standalone;
    if (encoding && strcmp(encoding, "UTF-8") != 0 && strcmp(encoding, "utf-8") != 0)
        iso_walk_fault(context, FAULT_syntax, "encoding %.30s is not taken, UTF-8 is", encoding);
}

/* --- the pass ------------------------------------------------------------------------------------------------------------- */

enum fault iso_walk_init(struct walk *walk, const void *bytes, size_t byte_count, const struct walk_eyes *eyes, void *context,
                         struct fault_note *note)
{
    static const XML_Memory_Handling_Suite memory = {block_take, block_resize, block_give};
    *walk = (struct walk){.eyes = eyes, .context = context, .bytes = bytes, .byte_count = byte_count, .note = note};
    running = walk;
    XML_Parser parser = XML_ParserCreate_MM("UTF-8", &memory, " ");
    running = NULL;
    if (!parser)
        return fault_set(note, FAULT_memory, ROW_NONE, COLUMN_NONE, "no memory to read XML");
    walk->parser = parser;
    XML_SetUserData(parser, walk);
    XML_SetElementHandler(parser, element_begins, element_ends);
    XML_SetCharacterDataHandler(parser, text_comes);
    XML_SetStartDoctypeDeclHandler(parser, doctype_begins);
    XML_SetSkippedEntityHandler(parser, entity_is_skipped);
    XML_SetXmlDeclHandler(parser, declaration_comes);
    return FAULT_NONE;
}

static enum fault parser_fault(struct walk *walk)
{
    enum XML_Error error = XML_GetErrorCode(walk->parser);
    if (error != XML_ERROR_NO_MEMORY)
        return iso_walk_fault(walk, FAULT_syntax, "%s", XML_ErrorString(error));
    return iso_walk_fault(walk, FAULT_limit, "a tag, or the names and attributes of the file, need more than %d KiB",
                          PARSER_BYTES_MAX >> 10);
}

/* One chunk, or what is left of the one that a pause was in. */
static enum XML_Status chunk_parse(struct walk *walk)
{
    if (walk->is_paused) {
        walk->is_paused = walk->wants_pause = false;
        return XML_ResumeParser(walk->parser);
    }
    size_t left = walk->byte_count - walk->fed, bytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    const char *from = (const char *)walk->bytes + walk->fed;
    walk->fed += bytes;
    return XML_Parse(walk->parser, from, (int)bytes, walk->fed == walk->byte_count);
}

enum fault iso_walk_run(struct walk *walk, struct fault_note *note)
{
    walk->note = note;
    while (walk->fault == FAULT_NONE && !walk->is_done) {
        XML_ParsingStatus status;
        running = walk;
        enum XML_Status parsed = chunk_parse(walk);
        running = NULL;
        if (walk->fault != FAULT_NONE)
            break;
        XML_GetParsingStatus(walk->parser, &status);
        walk->is_paused = status.parsing == XML_SUSPENDED;
        if (walk->is_paused)
            break;
        if (parsed == XML_STATUS_ERROR)
            parser_fault(walk);
        walk->is_done = status.parsing == XML_FINISHED;
    }
    return walk->fault;
}

void iso_walk_pause(struct walk *walk)
{
    walk->wants_pause = true;
}

void iso_walk_fini(struct walk *walk)
{
    if (!walk->parser)
        return;
    running = walk;
    XML_ParserFree(walk->parser);
    running = NULL;
    walk->parser = NULL;
}
