/* The raw sink: the least that can pass for a tus server, as the limit of what this machine can do.
 *
 * Strategy: one thread, one epoll, one 1 MiB buffer that a body is received into and written from at
 * its offset; no locks, no catalog, no checks beyond those without which a load generator could be
 * fooled. `discard` does not even look at the bytes: the kernel drops them uncopied, so what the load
 * generator reaches against it is the generator's own limit. Knows POST (also with a body), PATCH,
 * HEAD and DELETE of its own uploads; a request that it does not understand ends the connection.
 *
 * sink PORT DIRECTORY write|discard */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum { BLOCK = 1 << 20, HEAD = 4096 };

struct upload {
    long long size, offset;
};

struct connection {
    int fd, file; /* file: -1, or open for the upload that a body goes to */
    char head[HEAD];
    size_t head_size;
    long long body_left;
    size_t upload;
    bool creates;
};

static struct upload *uploads;
static size_t upload_count, upload_room;
static char block[BLOCK];
static int directory;
static bool discards;

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void drop(struct connection *c) {
    if (c->file >= 0) close(c->file);
    close(c->fd);
    free(c);
}

static bool say(struct connection *c, const char *text, size_t n) {
    /* A hundred bytes to a client that waits for them: the socket has room. */
    return send(c->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool answer(struct connection *c, const char *status, const char *fields) {
    char text[512];
    int n = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nTus-Resumable: 1.0.0\r\n%s\r\n", status,
                     fields);
    return say(c, text, (size_t)n);
}

static bool answer_offset(struct connection *c, const char *status) {
    char fields[128];
    const struct upload *u = &uploads[c->upload];
    snprintf(fields, sizeof fields, "Upload-Offset: %lld\r\nUpload-Length: %lld\r\n", u->offset,
             u->size);
    return answer(c, status, fields);
}

static bool answer_created(struct connection *c) {
    char fields[160];
    snprintf(fields, sizeof fields,
             "Location: /files/%zu\r\nUpload-Offset: %lld\r\nContent-Length: 0\r\n", c->upload,
             uploads[c->upload].offset);
    return answer(c, "201 Created", fields);
}

static bool open_file(struct connection *c) {
    char name[32];
    snprintf(name, sizeof name, "%zu", c->upload);
    if (!discards) c->file = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return discards || c->file >= 0;
}

static bool store(struct connection *c, const char *from, size_t n) {
    struct upload *u = &uploads[c->upload];
    for (size_t done = 0; !discards && done < n;) {
        ssize_t wrote = pwrite(c->file, from + done, n - done, u->offset + (long long)done);
        if (wrote < 0) return false;
        done += (size_t)wrote;
    }
    u->offset += (long long)n;
    c->body_left -= (long long)n;
    return true;
}

static bool finish_body(struct connection *c) {
    if (c->body_left > 0) return true;
    if (c->file >= 0) close(c->file);
    c->file = -1;
    return c->creates ? answer_created(c) : answer_offset(c, "204 No Content");
}

static bool create(struct connection *c, const char *end) {
    long long size;
    if (!number_field(c->head, end, "Upload-Length", &size)) return false;
    if (upload_count == upload_room) {
        upload_room = upload_room ? upload_room * 2 : 4096;
        uploads = realloc(uploads, upload_room * sizeof *uploads);
        if (uploads == NULL) die("memory");
    }
    c->upload = upload_count++;
    c->creates = true;
    uploads[c->upload] = (struct upload){size, 0};
    if (!open_file(c)) return false;
    return true;
}

static bool find(struct connection *c, const char *path) {
    char *stop;
    if (strncmp(path, "/files/", 7) || !isdigit((unsigned char)path[7])) return false;
    c->upload = strtoul(path + 7, &stop, 10);
    c->creates = false;
    return *stop == ' ' && c->upload < upload_count;
}

static bool append(struct connection *c, const char *end) {
    long long offset;
    return find(c, c->head + 6) && number_field(c->head, end, "Upload-Offset", &offset) &&
           offset == uploads[c->upload].offset && offset + c->body_left <= uploads[c->upload].size &&
           open_file(c);
}

static bool terminate(struct connection *c) {
    char name[32];
    if (!find(c, c->head + 7)) return false;
    snprintf(name, sizeof name, "%zu", c->upload);
    if (!discards) unlinkat(directory, name, 0);
    return answer(c, "204 No Content", "");
}

/* A head is complete and ends at `end`; what follows it is body. */
static bool begin(struct connection *c, char *end) {
    if (!number_field(c->head, end, "Content-Length", &c->body_left)) c->body_left = 0;
    size_t rest = c->head_size - (size_t)(end - c->head);
    c->head_size = 0;
    if ((long long)rest > c->body_left) return false; /* nobody pipelines here */
    if (strncmp(c->head, "HEAD ", 5) == 0) return find(c, c->head + 5) && answer_offset(c, "200 OK");
    if (strncmp(c->head, "DELETE ", 7) == 0) return terminate(c);
    bool known = strncmp(c->head, "POST ", 5) == 0    ? create(c, end)
                 : strncmp(c->head, "PATCH ", 6) == 0 ? append(c, end)
                                                      : false;
    return known && store(c, end, rest) && finish_body(c);
}

static bool readable(struct connection *c) {
    if (c->body_left > 0) {
        size_t most = c->body_left < BLOCK ? (size_t)c->body_left : BLOCK;
        ssize_t n = recv(c->fd, block, most, MSG_DONTWAIT | (discards ? MSG_TRUNC : 0));
        if (n < 0 && errno == EAGAIN) return true;
        return n > 0 && store(c, block, (size_t)n) && finish_body(c);
    }
    ssize_t n = recv(c->fd, c->head + c->head_size, HEAD - 1 - c->head_size, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    c->head_size += (size_t)n;
    c->head[c->head_size] = 0;
    char *end = head_end(c->head, c->head_size);
    return end == NULL ? c->head_size < HEAD - 1 : begin(c, end);
}

static int listening(int port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) die("listen");
    return fd;
}

static void watch(int epoll, int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll");
}

static void welcome(int epoll, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) return;
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) die("memory");
        c->fd = fd;
        c->file = -1;
        watch(epoll, fd, c);
    }
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "use: sink PORT DIRECTORY write|discard\n");
        return 2;
    }
    directory = open(words[2], O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (directory < 0) die(words[2]);
    discards = strcmp(words[3], "discard") == 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listening(atoi(words[1]));
    watch(epoll, listener, NULL);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == NULL)
                welcome(epoll, listener);
            else if (!readable(c))
                drop(c);
        }
    }
}
