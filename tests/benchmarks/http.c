/* The HTTP half of the load generator. Large bodies go out by sendfile from a memory file, so that
 * sending copies nothing in user space; small ones leave in one system call with their head. Every
 * answer is read whole, and whatever is not an answer to the request is an error. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

struct http http;
static const char *const VERBS[] = {"POST", "PATCH", "HEAD", "DELETE"};

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* --- connections -------------------------------------------------------------------------------- */

static void await(struct connection *c, uint32_t events) {
    if (c->awaited == events) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(http.epoll, c->awaited ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event)) die("epoll");
    c->awaited = events;
}

static void disconnect(struct connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->awaited = 0;
}

static void finish_request(struct connection *c) {
    if (c->busy) http.open_requests--;
    c->busy = false;
}

void fail(struct connection *c, const char *format, ...) {
    if (http.errors < SAMPLES) {
        char *to = http.samples[http.errors];
        int n = snprintf(to, 24, "%s: ", VERBS[c->verb]);
        va_list values;
        va_start(values, format);
        vsnprintf(to + n, sizeof http.samples[0] - (size_t)n, format, values);
        va_end(values);
        for (; *to; to++)
            if (*to == '"' || *to == '\\' || *to < ' ' || *to > '~') *to = '?';
    }
    http.errors++;
    finish_request(c);
    disconnect(c);
    failed(c);
}

static bool connect_now(struct connection *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&http.address, sizeof http.address)) {
        fail(c, "connect: %s", strerror(errno));
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK)) die("fcntl");
    c->answered = 0;
    return true;
}

/* --- sending ------------------------------------------------------------------------------------ */

static ssize_t send_piece(struct connection *c, long long until) {
    long long left = until - c->body_sent, from = c->body_sent % PATTERN;
    size_t head_left = c->head_size - c->head_sent;
    if (left > PATTERN - from) left = PATTERN - from;
    if (head_left == 0 && left > SMALL) {
        off_t at = from;
        return sendfile(c->fd, http.pattern_fd, &at, (size_t)(left < BURST ? left : BURST));
    }
    bool small = left <= SMALL;
    struct iovec pieces[2] = {{c->head + c->head_sent, head_left},
                              {http.pattern + from, small ? (size_t)left : 0}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    return sendmsg(c->fd, &message, MSG_NOSIGNAL | (small ? 0 : MSG_MORE));
}

void send_some(struct connection *c) {
    long long until = allowed(c);
    for (long long sent = 0; sent < 4 * BURST;) { /* then the others' turn */
        if (c->head_sent == c->head_size && c->body_sent >= until) {
            await(c, EPOLLIN);
            return;
        }
        ssize_t n = send_piece(c, until);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) {
            /* The answer that explains it may be waiting: let the reading side find it. */
            if (errno == EPIPE || errno == ECONNRESET) {
                await(c, EPOLLIN);
                return;
            }
            fail(c, "send: %s", strerror(errno));
            return;
        }
        sent += n;
        size_t head_left = c->head_size - c->head_sent;
        size_t of_head = (size_t)n < head_left ? (size_t)n : head_left;
        c->head_sent += of_head;
        c->body_sent += n - (ssize_t)of_head;
    }
    await(c, EPOLLIN | EPOLLOUT);
}

bool request(struct connection *c, enum verb verb, const char *path, const char *fields,
                    long long body) {
    c->verb = verb;
    if (c->fd < 0 && !connect_now(c)) return false;
    char length[64] = "";
    if (verb == POST || verb == PATCH) snprintf(length, sizeof length, "Content-Length: %lld\r\n", body);
    c->head_size = (size_t)snprintf(c->head, sizeof c->head,
                                    "%s %s HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\n%s%s\r\n",
                                    VERBS[verb], path, http.host, length, fields);
    if (c->head_size >= sizeof c->head) die("a request head is too long");
    c->head_sent = 0;
    c->body_size = body;
    c->body_sent = 0;
    c->busy = true;
    http.open_requests++;
    c->began = now();
    send_some(c);
    return true;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* The size of a chunked body at `from`; 0 if it is not complete, -1 if it is malformed. */
static ssize_t chunked_size(const char *from, size_t n) {
    size_t at = 0;
    for (;;) {
        const char *line = memmem(from + at, n - at, "\r\n", 2);
        if (line == NULL) return 0;
        char *stop;
        unsigned long size = strtoul(from + at, &stop, 16);
        if (stop == from + at || (*stop != '\r' && *stop != ';') || size > ANSWER) return -1;
        at = (size_t)(line - from) + 2 + size + 2;
        if (at > n) return 0;
        if (memcmp(from + at - 2, "\r\n", 2)) return -1; /* also: no trailers */
        if (size == 0) return (ssize_t)at;
    }
}

/* The end of the answer that begins the buffer; NULL if it is not all here. */
static const char *parse(struct connection *c, struct answer *a) {
    char *from = c->answer, *stop = c->answer + c->answered;
    for (;;) {
        char *body = head_end(from, (size_t)(stop - from));
        if (body == NULL) return NULL;
        struct span number = {from + 9, 3}, value;
        long long status, size = 0;
        if (strncmp(from, "HTTP/1.1 ", 9) || !decimal(number, &status) || status < 100 ||
            (from[12] != ' ' && from[12] != '\r')) {
            fail(c, "not HTTP/1.1: %.40s", from);
            return NULL;
        }
        if (status < 200) { /* 100, 104: the answer is still to come */
            from = body;
            continue;
        }
        *a = (struct answer){(int)status, from, body, false};
        a->closes = field(from, body, "Connection", &value) && same(value, "close");
        if (c->verb == HEAD || status == 204 || status == 304) return body;
        if (field(from, body, "Transfer-Encoding", &value)) {
            ssize_t n = chunked_size(body, (size_t)(stop - body));
            if (n < 0) fail(c, "malformed chunked body");
            return n > 0 ? body + n : NULL;
        }
        if (!number_field(from, body, "Content-Length", &size)) {
            fail(c, "status %lld without Content-Length", status);
            return NULL;
        }
        return stop - body >= size ? body + size : NULL;
    }
}

static void receive_some(struct connection *c) {
    ssize_t n = recv(c->fd, c->answer + c->answered, ANSWER - 1 - c->answered, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        if (c->busy)
            fail(c, n == 0 ? "connection closed without an answer" : "receive: %s", strerror(errno));
        else
            disconnect(c);
        return;
    }
    c->answered += (size_t)n;
    c->answer[c->answered] = 0;
    struct answer a;
    const char *end = c->busy ? parse(c, &a) : NULL;
    if (c->fd < 0) return; /* failed */
    if (!c->busy || (end != NULL && end != c->answer + c->answered))
        return fail(c, "bytes that nobody asked for");
    if (end == NULL && c->answered == ANSWER - 1) return fail(c, "an answer above %d bytes", ANSWER);
    if (end == NULL) return;
    c->answered = 0;
    take_answer(c, &a);
    if (!c->busy) return; /* failed */
    finish_request(c);
    c->rested = now();
    if (a.closes) disconnect(c);
    if (c->fd >= 0) await(c, EPOLLIN);
    next(c);
}

/* --- both --------------------------------------------------------------------------------------- */

void serve(int patience) {
    struct epoll_event events[256];
    int n = epoll_wait(http.epoll, events, 256, patience);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive_some(c);
        if (c->fd >= 0 && c->busy && events[i].events & EPOLLOUT) send_some(c);
        /* A failed connection goes on with its next request, if it may. */
        if (!c->busy && !c->stopped && c->fd < 0) next(c);
    }
}

static void make_pattern(void) {
    http.pattern_fd = memfd_create("pattern", MFD_CLOEXEC);
    if (http.pattern_fd < 0 || ftruncate(http.pattern_fd, PATTERN)) die("memfd");
    http.pattern = mmap(NULL, PATTERN, PROT_READ | PROT_WRITE, MAP_SHARED, http.pattern_fd, 0);
    if (http.pattern == MAP_FAILED) die("mmap");
    uint64_t x = 88172645463325252ULL; /* xorshift: no file system or memory saves on it */
    for (size_t i = 0; i < PATTERN / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(http.pattern + i * 8, &x, 8);
    }
}

void begin_http(void) {
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    make_pattern();
    http.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (http.epoll < 0) die("epoll");
}
