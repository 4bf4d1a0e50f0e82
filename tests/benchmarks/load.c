/* The load generator: tus uploads to a server on this machine, as fast as one core can send them.
 *
 * Strategy: one thread, one epoll, any number of keep-alive connections. Large bodies go out by
 * sendfile from a memory file, so that sending copies nothing in user space; small ones leave in one
 * system call with their head. Every answer is read whole and checked (status, Upload-Offset,
 * Location): a server that answers wrongly is an error in the report, never a fast server. A run has
 * three phases (set up, timed run, clean up) and ends at a time limit whatever the server does. The
 * report is one JSON object on stdout, with the CPU seconds that sending took (`cpu_seconds / seconds`
 * near 1: this program was the limit, and not the server) and the seconds for which it was ready to
 * run, but others had the core (the machine was not free for the measurement).
 *
 * load URL MODE CONNECTIONS SIZE CHUNK SECONDS LIMIT CLEAN
 *   stream  one upload of SIZE bytes a connection, in PATCHes of CHUNK bytes
 *   upload  POST and PATCH of SIZE bytes, again and again for SECONDS
 *   whole   POST with a body of SIZE bytes (creation-with-upload), likewise
 *   head    HEAD of one half-finished upload a connection, likewise
 *   slow    one PATCH of SIZE bytes a connection, sent in small pieces over SECONDS
 * LIMIT is the time limit of each phase in seconds; CLEAN is `delete` or `keep`. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum { PATTERN = 4 << 20, BURST = 1 << 20, SMALL = 64 << 10, DRIP = 16 << 10, TICK_MS = 10 };
enum { ANSWER = 16 << 10, PATH = 512, MANY_ERRORS = 20, SAMPLES = 5 };

enum mode { STREAM, UPLOAD, WHOLE, HEADS, SLOW };
enum phase { SET_UP, RUN, CLEAN_UP };
enum verb { POST, PATCH, HEAD, DELETE };
static const char *const VERBS[] = {"POST", "PATCH", "HEAD", "DELETE"};

struct connection {
    int fd; /* -1: not connected */
    uint32_t awaited;
    bool busy, stopped;
    enum verb verb;
    char head[1024];
    size_t head_size, head_sent;
    long long body_size, body_sent;
    double began;
    char answer[ANSWER];
    size_t answered;
    char path[PATH]; /* this connection's upload; empty: none */
    long long offset;
    double delay; /* slow: connections take turns */
};

struct answer {
    int status;
    const char *head, *end;
    bool closes;
};

static struct options {
    struct sockaddr_in address;
    char host[64], base[PATH];
    enum mode mode;
    int connections;
    long long size, chunk;
    double seconds, limit;
    bool clean;
} asked;

static struct connection *all;
static enum phase phase;
static double phase_began;
static int epoll, pattern_fd, open_requests;
static char *pattern;

static char **made; /* uploads to delete */
static size_t made_count, made_room;
static double *latencies;
static size_t latency_count, latency_room;
static long long bytes_accepted, requests, deleted;
static int errors;
static char samples[SAMPLES][200];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

/* For how long this thread has stood in the scheduler's queue; 0 where the kernel does not say. */
static double queued_seconds(void) {
    unsigned long long ran, queued = 0;
    FILE *file = fopen("/proc/self/schedstat", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%llu %llu", &ran, &queued) != 2) queued = 0;
    fclose(file);
    return (double)queued * 1e-9;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void *grown(void *array, size_t count, size_t *room, size_t each) {
    if (count < *room) return array;
    *room = *room ? *room * 2 : 1024;
    array = realloc(array, *room * each);
    if (array == NULL) die("memory");
    return array;
}

/* --- connections -------------------------------------------------------------------------------- */

static void await(struct connection *c, uint32_t events) {
    if (c->awaited == events) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, c->awaited ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event)) die("epoll");
    c->awaited = events;
}

static void disconnect(struct connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->awaited = 0;
}

static void finish_request(struct connection *c) {
    if (c->busy) open_requests--;
    c->busy = false;
}

/* Note what went wrong and give the connection up; its upload is not continued. */
static void __attribute__((format(printf, 2, 3))) fail(struct connection *c, const char *format,
                                                       ...) {
    if (errors < SAMPLES) {
        char *to = samples[errors];
        int n = snprintf(to, 24, "%s: ", VERBS[c->verb]);
        va_list values;
        va_start(values, format);
        vsnprintf(to + n, sizeof samples[0] - (size_t)n, format, values);
        va_end(values);
        for (; *to; to++)
            if (*to == '"' || *to == '\\' || *to < ' ' || *to > '~') *to = '?';
    }
    errors++;
    finish_request(c);
    disconnect(c);
    /* In a timed loop the next request may go well; a broken stream is broken. */
    bool loops = asked.mode == UPLOAD || asked.mode == WHOLE || asked.mode == HEADS;
    c->stopped = !loops || phase != RUN || errors >= MANY_ERRORS;
    if (c->verb != HEAD) c->path[0] = 0;
}

static bool connect_now(struct connection *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&asked.address, sizeof asked.address)) {
        fail(c, "connect: %s", strerror(errno));
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK)) die("fcntl");
    c->answered = 0;
    return true;
}

/* --- sending ------------------------------------------------------------------------------------ */

/* How much of the body may be sent by now. */
static long long allowed(const struct connection *c) {
    if (asked.mode != SLOW || c->verb != PATCH) return c->body_size;
    double elapsed = now() - phase_began;
    if (elapsed >= asked.seconds) return c->body_size;
    double part = (elapsed - c->delay) / asked.seconds;
    return part <= 0 ? 0 : (long long)((double)c->body_size * part) / DRIP * DRIP;
}

static ssize_t send_piece(struct connection *c, long long until) {
    long long left = until - c->body_sent, from = c->body_sent % PATTERN;
    size_t head_left = c->head_size - c->head_sent;
    if (left > PATTERN - from) left = PATTERN - from;
    if (head_left == 0 && left > SMALL) {
        off_t at = from;
        return sendfile(c->fd, pattern_fd, &at, (size_t)(left < BURST ? left : BURST));
    }
    bool small = left <= SMALL;
    struct iovec pieces[2] = {{c->head + c->head_sent, head_left},
                              {pattern + from, small ? (size_t)left : 0}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    return sendmsg(c->fd, &message, MSG_NOSIGNAL | (small ? 0 : MSG_MORE));
}

static void send_some(struct connection *c) {
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

static bool request(struct connection *c, enum verb verb, const char *path, const char *fields,
                    long long body) {
    c->verb = verb;
    if (c->fd < 0 && !connect_now(c)) return false;
    char length[64] = "";
    if (verb == POST || verb == PATCH) snprintf(length, sizeof length, "Content-Length: %lld\r\n", body);
    c->head_size = (size_t)snprintf(c->head, sizeof c->head,
                                    "%s %s HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\n%s%s\r\n",
                                    VERBS[verb], path, asked.host, length, fields);
    if (c->head_size >= sizeof c->head) die("a request head is too long");
    c->head_sent = 0;
    c->body_size = body;
    c->body_sent = 0;
    c->busy = true;
    open_requests++;
    c->began = now();
    send_some(c);
    return true;
}

static bool post(struct connection *c, long long body) {
    char fields[256];
    /* Names that every server wants: `filename report.csv`, `filetype text/csv`. */
    snprintf(fields, sizeof fields,
             "Upload-Length: %lld\r\nUpload-Metadata: filename cmVwb3J0LmNzdg==,filetype "
             "dGV4dC9jc3Y=\r\n%s",
             asked.size, body ? "Content-Type: application/offset+octet-stream\r\n" : "");
    return request(c, POST, asked.base, fields, body);
}

static bool patch(struct connection *c, long long body) {
    char fields[128];
    snprintf(fields, sizeof fields,
             "Upload-Offset: %lld\r\nContent-Type: application/offset+octet-stream\r\n", c->offset);
    return request(c, PATCH, c->path, fields, body);
}

/* --- what to do next ---------------------------------------------------------------------------- */

static long long half(void) { return asked.size / 2; }

static bool next_in_set_up(struct connection *c) {
    if (asked.mode == UPLOAD || asked.mode == WHOLE) return false;
    if (c->path[0] == 0) return post(c, 0);
    return asked.mode == HEADS && c->offset < half() && patch(c, half());
}

static bool next_in_run(struct connection *c) {
    bool in_time = now() < phase_began + asked.seconds;
    long long left = asked.size - c->offset;
    switch (asked.mode) {
    case STREAM:
        return left > 0 && patch(c, left < asked.chunk ? left : asked.chunk);
    case SLOW:
        return left > 0 && patch(c, left);
    case UPLOAD:
        if (c->path[0] && left > 0) return patch(c, left);
        return in_time && post(c, 0);
    case WHOLE:
        return in_time && post(c, asked.size);
    case HEADS:
        return in_time && request(c, HEAD, c->path, "", 0);
    }
    return false;
}

static bool next(struct connection *c) {
    if (c->stopped) return false;
    if (phase == SET_UP) return next_in_set_up(c);
    if (phase == RUN) return next_in_run(c);
    if (made_count == 0) return false;
    char *path = made[--made_count];
    bool sent = request(c, DELETE, path, "", 0);
    free(path);
    return sent;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* The path of a Location: absolute, path-absolute or relative to the endpoint. */
static bool take_location(struct connection *c, struct span at) {
    char prefix[PATH] = "";
    if (at.n > 7 && strncasecmp(at.at, "http://", 7) == 0) {
        const char *slash = memchr(at.at + 7, '/', at.n - 7);
        if (slash == NULL) return false;
        at = (struct span){slash, at.n - (size_t)(slash - at.at)};
    } else if (at.n == 0) {
        return false;
    } else if (at.at[0] != '/') {
        memcpy(prefix, asked.base, PATH);
    }
    int n = snprintf(c->path, PATH, "%s%.*s", prefix, (int)at.n, at.at);
    return n > 0 && n < PATH;
}

static void created(struct connection *c, const struct answer *a) {
    struct span location;
    long long offset = 0;
    if (a->status != 201) return fail(c, "status %d, expected 201", a->status);
    if (!field(a->head, a->end, "Location", &location) || !take_location(c, location))
        return fail(c, "no usable Location");
    if (c->body_size > 0) {
        if (!number_field(a->head, a->end, "Upload-Offset", &offset))
            return fail(c, "status 201, but no Upload-Offset for the body");
        if (offset != c->body_size)
            return fail(c, "Upload-Offset %lld, expected %lld", offset, c->body_size);
        bytes_accepted += c->body_size;
    }
    c->offset = offset;
    if (asked.clean) {
        made = grown(made, made_count, &made_room, sizeof *made);
        made[made_count++] = strdup(c->path);
    }
}

static void patched(struct connection *c, const struct answer *a) {
    long long offset;
    if (a->status != 204) return fail(c, "status %d, expected 204", a->status);
    if (!number_field(a->head, a->end, "Upload-Offset", &offset))
        return fail(c, "status 204, but no Upload-Offset");
    if (offset != c->offset + c->body_size)
        return fail(c, "Upload-Offset %lld, expected %lld", offset, c->offset + c->body_size);
    if (phase == RUN) bytes_accepted += c->body_size;
    c->offset = offset;
}

static void told(struct connection *c, const struct answer *a) {
    long long offset;
    /* The protocol does not name the status; there are servers that say 204. */
    if (a->status != 200 && a->status != 204)
        return fail(c, "status %d, expected 200", a->status);
    if (!number_field(a->head, a->end, "Upload-Offset", &offset))
        return fail(c, "status %d, but no Upload-Offset", a->status);
    if (offset != c->offset) return fail(c, "Upload-Offset %lld, expected %lld", offset, c->offset);
}

static void take_answer(struct connection *c, const struct answer *a) {
    if (c->head_sent < c->head_size || c->body_sent < c->body_size)
        return fail(c, "status %d before the end of the body", a->status);
    if (phase == RUN) {
        latencies = grown(latencies, latency_count, &latency_room, sizeof *latencies);
        latencies[latency_count++] = now() - c->began;
        requests++;
    }
    switch (c->verb) {
    case POST: created(c, a); break;
    case PATCH: patched(c, a); break;
    case HEAD: told(c, a); break;
    case DELETE: deleted += a->status == 204; break; /* not every server offers it */
    }
    if (!c->busy) return; /* failed */
    finish_request(c);
    if (a->closes) disconnect(c);
    if (c->fd >= 0) await(c, EPOLLIN);
    next(c);
}

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
}

/* --- phases ------------------------------------------------------------------------------------- */

static void turn(int patience) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, patience);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive_some(c);
        if (c->fd >= 0 && c->busy && events[i].events & EPOLLOUT) send_some(c);
        /* A failed connection goes on with its next request, if it may. */
        if (!c->busy && !c->stopped && c->fd < 0) next(c);
    }
}

static void run(enum phase which) {
    bool drips = which == RUN && asked.mode == SLOW;
    phase = which;
    phase_began = now();
    for (int i = 0; i < asked.connections; i++) next(&all[i]);
    while (open_requests > 0) {
        turn(drips ? TICK_MS : 100);
        for (int i = 0; drips && i < asked.connections; i++)
            if (all[i].busy && all[i].awaited == EPOLLIN && all[i].body_sent < allowed(&all[i]))
                send_some(&all[i]);
        if (now() < phase_began + asked.limit) continue;
        for (int i = 0; i < asked.connections; i++)
            if (all[i].busy) fail(&all[i], "no answer within %g s", asked.limit);
        for (int i = 0; i < asked.connections; i++) all[i].stopped = true;
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double part) {
    if (latency_count == 0) return 0;
    return latencies[(size_t)(part * (double)(latency_count - 1) + 0.5)];
}

static void report(double seconds, double cpu, double queued) {
    qsort(latencies, latency_count, sizeof *latencies, by_size);
    printf("{\"bytes\": %lld, \"requests\": %lld, \"seconds\": %.6f, ", bytes_accepted, requests,
           seconds);
    printf("\"cpu_seconds\": %.6f, \"queued_seconds\": %.6f, ", cpu, queued);
    printf("\"bytes_per_second\": %.1f, \"requests_per_second\": %.2f, ",
           (double)bytes_accepted / seconds, (double)requests / seconds);
    printf("\"latency\": {\"p50\": %.6f, \"p90\": %.6f, \"p99\": %.6f, \"max\": %.6f}, ",
           percentile(.5), percentile(.9), percentile(.99), percentile(1));
    printf("\"deleted\": %lld, \"errors\": %d, \"samples\": [", deleted, errors);
    for (int i = 0; i < errors && i < SAMPLES; i++) printf("%s\"%s\"", i ? ", " : "", samples[i]);
    printf("]}\n");
}

/* --- start -------------------------------------------------------------------------------------- */

static bool take_url(const char *url) {
    char host[32];
    int port, used = 0;
    if (sscanf(url, "http://%31[0-9.]:%d%n", host, &port, &used) != 2 || url[used] != '/')
        return false;
    asked.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &asked.address.sin_addr) != 1) return false;
    snprintf(asked.host, sizeof asked.host, "%s:%d", host, port);
    snprintf(asked.base, sizeof asked.base, "%s", url + used);
    /* Load is for this machine only. */
    return ntohl(asked.address.sin_addr.s_addr) >> 24 == 127;
}

static bool take_mode(const char *word) {
    static const char *const MODES[] = {"stream", "upload", "whole", "head", "slow"};
    for (int i = 0; i < 5; i++)
        if (strcmp(word, MODES[i]) == 0) {
            asked.mode = (enum mode)i;
            return true;
        }
    return false;
}

static void make_pattern(void) {
    pattern_fd = memfd_create("pattern", MFD_CLOEXEC);
    if (pattern_fd < 0 || ftruncate(pattern_fd, PATTERN)) die("memfd");
    pattern = mmap(NULL, PATTERN, PROT_READ | PROT_WRITE, MAP_SHARED, pattern_fd, 0);
    if (pattern == MAP_FAILED) die("mmap");
    uint64_t x = 88172645463325252ULL; /* xorshift: no file system or memory saves on it */
    for (size_t i = 0; i < PATTERN / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(pattern + i * 8, &x, 8);
    }
}

int main(int count, char **words) {
    if (count != 9 || !take_url(words[1]) || !take_mode(words[2])) {
        fprintf(stderr,
                "use: load http://127.0.0.1:PORT/PATH/ stream|upload|whole|head|slow"
                " CONNECTIONS SIZE CHUNK SECONDS LIMIT delete|keep\n");
        return 2;
    }
    asked.connections = atoi(words[3]);
    asked.size = atoll(words[4]);
    asked.chunk = atoll(words[5]);
    asked.seconds = atof(words[6]);
    asked.limit = atof(words[7]);
    asked.clean = strcmp(words[8], "delete") == 0;
    if (asked.connections < 1 || asked.size < 2 || asked.chunk < 1 || asked.limit <= 0) return 2;

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    make_pattern();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    all = calloc((size_t)asked.connections, sizeof *all);
    if (all == NULL || epoll < 0) die("memory");
    double interval = asked.seconds * DRIP / (double)asked.size;
    for (int i = 0; i < asked.connections; i++) {
        all[i].fd = -1;
        all[i].delay = interval * i / asked.connections;
    }

    run(SET_UP);
    double queued = queued_seconds(), cpu = cpu_seconds(), began = now(), seconds = 1e-9;
    if (errors == 0) {
        run(RUN);
        seconds = now() - began;
        cpu = cpu_seconds() - cpu;
        queued = queued_seconds() - queued;
    }
    if (asked.clean) {
        for (int i = 0; i < asked.connections; i++) all[i].stopped = false;
        run(CLEAN_UP);
    }
    report(seconds, cpu, queued);
    return 0;
}
