/* Connections of the load generator: one request at a time each, on one epoll. http.c sends requests
 * and reads answers whole; what is asked for, and what an answer is worth, is load.c's. */
#ifndef HTTP_H
#define HTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "wire.h"

enum { PATTERN = 4 << 20, BURST = 1 << 20, SMALL = 64 << 10, MANY_ERRORS = 20, SAMPLES = 5 };
enum { ANSWER = 16 << 10, PATH = 512 };

enum verb { POST, PATCH, HEAD, DELETE };

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
    double due, rested; /* paced: when the next request is due; since when nothing is asked */
};

struct answer {
    int status;
    const char *head, *end;
    bool closes;
};

struct http {
    struct sockaddr_in address;
    char host[64];
    int epoll, pattern_fd, open_requests, errors;
    char *pattern; /* bodies are this, again and again */
    char samples[SAMPLES][200];
};
extern struct http http;

double now(void);
void die(const char *what);
void begin_http(void);
/* Send a request, whose body is the first `body` bytes of the pattern, repeated. False: it failed. */
bool request(struct connection *c, enum verb verb, const char *path, const char *fields,
             long long body);
void send_some(struct connection *c);
/* Wait for whatever happens on any connection, and deal with it. */
void serve(int patience_ms);
/* Note what went wrong and give the connection up; its upload is not continued. */
void fail(struct connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What load.c has to say: */
long long allowed(const struct connection *c);                       /* how much body by now */
void take_answer(struct connection *c, const struct answer *answer); /* all of it is here */
void failed(struct connection *c);                                   /* after `fail` */
bool next(struct connection *c);                                     /* begin another request */

#endif
