/* What the load generator and the raw sink need of HTTP/1.1, and nothing more: where a head ends,
 * the value of one field, a decimal number. All work on bytes that are in memory, none allocates. */
#ifndef WIRE_H
#define WIRE_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *at;
    size_t n;
};

/* The byte after the empty line, or NULL if the head is not complete. */
static inline char *head_end(char *from, size_t n) {
    char *found = memmem(from, n, "\r\n\r\n", 4);
    return found == NULL ? NULL : found + 4;
}

/* The value of the first field of this name, without white space around it. */
static inline bool field(const char *head, const char *end, const char *name, struct span *value) {
    size_t length = strlen(name);
    for (const char *line = head; line < end;) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (stop == NULL) return false;
        if ((size_t)(stop - line) > length && line[length] == ':' &&
            strncasecmp(line, name, length) == 0) {
            const char *at = line + length + 1;
            while (at < stop && (*at == ' ' || *at == '\t')) at++;
            while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
            *value = (struct span){at, (size_t)(stop - at)};
            return true;
        }
        line = stop + 2;
    }
    return false;
}

/* 1*18DIGIT: no sign, no space, nothing else. */
static inline bool decimal(struct span text, long long *number) {
    if (text.n == 0 || text.n > 18) return false;
    *number = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!isdigit((unsigned char)text.at[i])) return false;
        *number = *number * 10 + (text.at[i] - '0');
    }
    return true;
}

static inline bool number_field(const char *head, const char *end, const char *name,
                                long long *number) {
    struct span value;
    return field(head, end, name, &value) && decimal(value, number);
}

static inline bool same(struct span value, const char *word) {
    return value.n == strlen(word) && strncasecmp(value.at, word, value.n) == 0;
}

#endif
