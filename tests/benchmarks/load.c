/* The load generator: tus uploads to a server on this machine, as fast as one core can send them.
 *
 * Strategy: one thread, one epoll, any number of keep-alive connections (http.c). Every answer is
 * checked (status, Upload-Offset, Location): a server that answers wrongly is an error in the report,
 * never a fast server. A run has three phases (set up, timed run, clean up) and ends at a time limit
 * whatever the server does. The report is one JSON object on stdout, with the CPU seconds that sending
 * took (`cpu_seconds / seconds` near 1: this program was the limit, and not the server) and the seconds
 * for which it was ready to run, but others had the core (the machine was not free to be measured).
 *
 * load URL MODE CONNECTIONS SIZE CHUNK SECONDS LIMIT CLEAN [CHECKSUM]
 *   stream  one upload of SIZE bytes a connection, in PATCHes of CHUNK bytes
 *   upload  POST and PATCH of SIZE bytes, again and again for SECONDS
 *   whole   POST with a body of SIZE bytes (creation-with-upload), likewise
 *   head    HEAD of one half-finished upload a connection, likewise
 *   slow    one PATCH of SIZE bytes a connection, sent in small pieces over SECONDS
 *   paced   head, CHUNK times a second on each connection; says `paced` on stderr when it begins, and
 *           ends at SIGTERM
 * LIMIT is the time limit of each phase in seconds; CLEAN is `delete` or `keep`. CHECKSUM goes with
 * each PATCH of a stream: ALGORITHM,DIGEST,DIGEST for those of CHUNK bytes and for the last, shorter
 * one. `load pattern` writes what bodies consist of, for whoever makes the digests.
 *
 * A paced request that could not be sent when it was due, because the one before it had no answer yet,
 * is timed from when it was due: a server that stalls is slow to everybody who would have come. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http.h"

enum { DRIP = 16 << 10, TICK_MS = 10 };

enum mode { STREAM, UPLOAD, WHOLE, HEADS, SLOW, PACED };
enum phase { SET_UP, RUN, CLEAN_UP };

static struct options {
    char base[PATH];
    enum mode mode;
    int connections;
    long long size, chunk;
    double seconds, limit;
    bool clean;
    const char *algorithm, *digest, *last_digest; /* NULL: no checksums */
} asked;

static struct connection *all;
static enum phase phase;
static double phase_began;
static volatile sig_atomic_t told_to_end;

static char **made; /* uploads to delete */
static size_t made_count, made_room;
static struct sample {
    double began, took;
} *samples;
static size_t sample_count, sample_room;
static long long bytes_accepted, requests, deleted;

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

static void *grown(void *array, size_t count, size_t *room, size_t each) {
    if (count < *room) return array;
    *room = *room ? *room * 2 : 1024;
    array = realloc(array, *room * each);
    if (array == NULL) die("memory");
    return array;
}

void failed(struct connection *c) {
    /* In a timed loop the next request may go well; a broken stream is broken. */
    bool loops = asked.mode != STREAM && asked.mode != SLOW;
    c->stopped = !loops || phase != RUN || http.errors >= MANY_ERRORS;
    if (c->verb != HEAD) c->path[0] = 0;
}

/* --- requests ----------------------------------------------------------------------------------- */

long long allowed(const struct connection *c) {
    if (asked.mode != SLOW || c->verb != PATCH) return c->body_size;
    double elapsed = now() - phase_began;
    if (elapsed >= asked.seconds) return c->body_size;
    double part = (elapsed - c->delay) / asked.seconds;
    return part <= 0 ? 0 : (long long)((double)c->body_size * part) / DRIP * DRIP;
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
    char fields[384];
    int n = snprintf(fields, sizeof fields,
                     "Upload-Offset: %lld\r\nContent-Type: application/offset+octet-stream\r\n",
                     c->offset);
    if (asked.algorithm != NULL)
        snprintf(fields + n, sizeof fields - (size_t)n, "Upload-Checksum: %s %s\r\n",
                 asked.algorithm, body == asked.chunk ? asked.digest : asked.last_digest);
    return request(c, PATCH, c->path, fields, body);
}

/* --- what to do next ---------------------------------------------------------------------------- */

static long long half(void) { return asked.size / 2; }

static bool next_in_set_up(struct connection *c) {
    if (asked.mode == UPLOAD || asked.mode == WHOLE) return false;
    if (c->path[0] == 0) return post(c, 0);
    bool asks = asked.mode == HEADS || asked.mode == PACED;
    return asks && c->offset < half() && patch(c, half());
}

static bool next_in_pace(struct connection *c) {
    double due = c->due;
    if (due > now()) return false;
    c->due += 1.0 / (double)asked.chunk;
    bool sent = request(c, HEAD, c->path, "", 0);
    if (c->rested > due) c->began = due;
    return sent;
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
    case PACED:
        return in_time && !told_to_end && next_in_pace(c);
    case HEADS:
        return in_time && request(c, HEAD, c->path, "", 0);
    }
    return false;
}

bool next(struct connection *c) {
    if (c->stopped) return false;
    if (phase == SET_UP) return next_in_set_up(c);
    if (phase == RUN) return next_in_run(c);
    if (made_count == 0) return false;
    char *path = made[--made_count];
    bool sent = request(c, DELETE, path, "", 0);
    free(path);
    return sent;
}

/* --- answers ------------------------------------------------------------------------------------ */

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

void take_answer(struct connection *c, const struct answer *a) {
    if (c->head_sent < c->head_size || c->body_sent < c->body_size)
        return fail(c, "status %d before the end of the body", a->status);
    if (phase == RUN) {
        samples = grown(samples, sample_count, &sample_room, sizeof *samples);
        samples[sample_count++] = (struct sample){c->began, now() - c->began};
        requests++;
    }
    switch (c->verb) {
    case POST: created(c, a); break;
    case PATCH: patched(c, a); break;
    case HEAD: told(c, a); break;
    case DELETE: deleted += a->status == 204; break; /* not every server offers it */
    }
}

/* --- phases ------------------------------------------------------------------------------------- */

/* What no event brings about: the next piece of a slow body, a request that has come due. */
static void tick(void) {
    for (int i = 0; i < asked.connections; i++) {
        struct connection *c = &all[i];
        if (asked.mode == PACED && !c->busy && !c->stopped) next(c);
        if (asked.mode == SLOW && c->busy && c->awaited == EPOLLIN && c->body_sent < allowed(c))
            send_some(c);
    }
}

static bool goes_on(void) {
    if (http.open_requests > 0) return true;
    double most = asked.seconds < asked.limit ? asked.seconds : asked.limit;
    bool paced = phase == RUN && asked.mode == PACED && http.errors < MANY_ERRORS;
    return paced && !told_to_end && now() < phase_began + most;
}

static void run(enum phase which) {
    bool ticks = which == RUN && (asked.mode == SLOW || asked.mode == PACED);
    phase = which;
    phase_began = now();
    for (int i = 0; i < asked.connections; i++) {
        all[i].due = phase_began + i / ((double)asked.connections * (double)asked.chunk);
        next(&all[i]);
    }
    while (goes_on()) {
        serve(!ticks ? 100 : asked.mode == PACED ? 1 : TICK_MS);
        if (ticks) tick();
        if (now() < phase_began + asked.limit) continue;
        for (int i = 0; i < asked.connections; i++)
            if (all[i].busy) fail(&all[i], "no answer within %g s", asked.limit);
        for (int i = 0; i < asked.connections; i++) all[i].stopped = true;
    }
}

static int by_size(const void *a, const void *b) {
    double x = ((const struct sample *)a)->took, y = ((const struct sample *)b)->took;
    return (x > y) - (x < y);
}

static double percentile(double part) {
    if (sample_count == 0) return 0;
    return samples[(size_t)(part * (double)(sample_count - 1) + 0.5)].took;
}

static void report(double began, double seconds, double cpu, double queued) {
    qsort(samples, sample_count, sizeof *samples, by_size);
    printf("{\"bytes\": %lld, \"requests\": %lld, \"seconds\": %.6f, ", bytes_accepted, requests,
           seconds);
    printf("\"cpu_seconds\": %.6f, \"queued_seconds\": %.6f, ", cpu, queued);
    printf("\"bytes_per_second\": %.1f, \"requests_per_second\": %.2f, ",
           (double)bytes_accepted / seconds, (double)requests / seconds);
    printf("\"latency\": {\"p50\": %.6f, \"p90\": %.6f, \"p99\": %.6f, \"max\": %.6f}, ",
           percentile(.5), percentile(.9), percentile(.99), percentile(1));
    printf("\"began\": %.6f, \"paced\": [", began);
    for (size_t i = 0; asked.mode == PACED && i < sample_count; i++)
        printf("%s[%.6f, %.6f]", i ? ", " : "", samples[i].began, samples[i].took);
    printf("], \"deleted\": %lld, \"errors\": %d, \"samples\": [", deleted, http.errors);
    for (int i = 0; i < http.errors && i < SAMPLES; i++)
        printf("%s\"%s\"", i ? ", " : "", http.samples[i]);
    printf("]}\n");
}

/* --- start -------------------------------------------------------------------------------------- */

static bool take_url(const char *url) {
    char host[32];
    int port, used = 0;
    if (sscanf(url, "http://%31[0-9.]:%d%n", host, &port, &used) != 2 || url[used] != '/')
        return false;
    http.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &http.address.sin_addr) != 1) return false;
    snprintf(http.host, sizeof http.host, "%s:%d", host, port);
    snprintf(asked.base, sizeof asked.base, "%s", url + used);
    /* Load is for this machine only. */
    return ntohl(http.address.sin_addr.s_addr) >> 24 == 127;
}

static bool take_mode(const char *word) {
    static const char *const MODES[] = {"stream", "upload", "whole", "head", "slow", "paced"};
    for (int i = 0; i < 6; i++)
        if (strcmp(word, MODES[i]) == 0) {
            asked.mode = (enum mode)i;
            return true;
        }
    return false;
}

/* ALGORITHM,DIGEST,DIGEST */
static bool take_checksum(char *words) {
    asked.algorithm = strtok(words, ",");
    asked.digest = strtok(NULL, ",");
    asked.last_digest = strtok(NULL, ",");
    return asked.last_digest != NULL && strlen(asked.last_digest) < 128;
}

static void end(int signal_number) { told_to_end = signal_number; }

int main(int count, char **words) {
    begin_http();
    if (count == 2 && strcmp(words[1], "pattern") == 0)
        return fwrite(http.pattern, 1, PATTERN, stdout) == PATTERN ? 0 : 2;
    if ((count != 9 && count != 10) || !take_url(words[1]) || !take_mode(words[2]) ||
        (count == 10 && !take_checksum(words[9]))) {
        fprintf(stderr,
                "use: load http://127.0.0.1:PORT/PATH/ stream|upload|whole|head|slow|paced"
                " CONNECTIONS SIZE CHUNK SECONDS LIMIT delete|keep [CHECKSUM]\n");
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
    all = calloc((size_t)asked.connections, sizeof *all);
    if (all == NULL) die("memory");
    double interval = asked.seconds * DRIP / (double)asked.size;
    for (int i = 0; i < asked.connections; i++) {
        all[i].fd = -1;
        all[i].delay = interval * i / asked.connections;
    }

    run(SET_UP);
    double queued = queued_seconds(), cpu = cpu_seconds(), began = now(), seconds = 1e-9;
    if (http.errors == 0) {
        if (asked.mode == PACED) {
            signal(SIGTERM, end);
            fputs("paced\n", stderr);
        }
        run(RUN);
        seconds = now() - began;
        cpu = cpu_seconds() - cpu;
        queued = queued_seconds() - queued;
    }
    if (asked.clean) {
        for (int i = 0; i < asked.connections; i++) all[i].stopped = false;
        run(CLEAN_UP);
    }
    report(began, seconds, cpu, queued);
    return 0;
}
