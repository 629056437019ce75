/*
 * The audience of the fan-out bench: many WebSocket clients in one thread, which only count. They speak RFC 6455, and on request
 * Engine.IO 4 on top of it, as Socket.IO's clients do on their websocket transport.
 *
 * Commands come as lines on standard input, each is answered by one line of JSON on standard output; the program ends with its
 * input. A tally is a text frame that contains "version":, and its version is the time it was published at, in microseconds of
 * CLOCK_MONOTONIC: so its age on arrival is known without any clock but this machine's.
 *
 *   connect COUNT IN_FLIGHT TALLIES MSS RCVBUF TIMEOUT_MS PATH   opens COUNT more; a client is live after TALLIES tallies.
 *                                                                A 503 is tried again after a quarter of a second.
 *   reset                                                        forgets what was counted
 *   await TALLIES TIMEOUT_MS                                     until so many tallies have arrived since the reset
 *   report                                                       what arrived since the reset
 *   run MS                                                       keeps reading for so long
 *   stall COUNT                                                  the first COUNT clients read no more
 *   close                                                        resets all connections
 *   probe MS GAP_MS PATH                                         asks PATH over a new connection each time, for so long
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 20000, SOURCES = 200, RETRY_US = 250000, BUFFER = 1 << 16, MAX_AGES = 4 << 20 };
enum state { FREE, CONNECTING, WAITING, OPEN, ENDED };

struct client {
  int fd;
  enum state state;
  int live;
  uint32_t tallies;  /* since it was opened */
  uint32_t counted;  /* since the reset */
  uint64_t since;    /* when it was opened, or is to be opened again */
  uint8_t *carry;    /* an unfinished frame or header */
  uint32_t carried;
};

static struct client clients[MAX_CLIENTS];
static int client_count, port, engine_io, epoll_fd, want_tallies, mss, rcvbuf;
static char path[512];
static int live, pending, ended, refused, failed;
static int retries[MAX_CLIENTS], retry_head, retry_tail; /* a queue: everyone waits equally long */
static uint64_t tallies, frames, bytes, last_at;
static uint32_t *ages, *setups;
static uint32_t age_count, setup_count;
static uint8_t buffer[BUFFER * 2];

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void open_client(struct client *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002 + (c - clients) % SOURCES)};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) { c->state = ENDED; failed++; return; }
  /* the kernel picks the port when it knows both ends: 28 000 for each source */
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (mss) setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss);
  if (rcvbuf) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
  if (bind(c->fd, (void *)&from, sizeof from) || (connect(c->fd, (void *)&to, sizeof to) && errno != EINPROGRESS)) {
    close(c->fd);
    c->state = ENDED;
    failed++;
    return;
  }
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
  c->state = CONNECTING;
  c->carried = 0;
  pending++;
}

static void end_client(struct client *c, int again) {
  int closing = c->state == CONNECTING || c->state == WAITING || (c->state == OPEN && !c->live);
  struct linger reset = {.l_onoff = 1};
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no TIME_WAIT, ports are few */
  close(c->fd);
  free(c->carry);
  c->carry = NULL;
  c->carried = 0;
  if (c->live) { live--; ended++; }
  c->live = 0;
  c->state = ENDED;
  if (closing) pending--;
  if (again) {
    refused++;
    c->state = FREE;
    retries[retry_tail++ % MAX_CLIENTS] = c - clients;
    clients[c - clients].tallies = 0;
  } else if (closing) failed++;
}

static void send_control(struct client *c, int opcode, const uint8_t *data, int length) {
  uint8_t frame[131] = {0x80 | opcode, 0x80 | length}; /* masked with zeros: bytes 2 to 5 */
  memcpy(frame + 6, data, length);
  if (send(c->fd, frame, 6 + length, MSG_NOSIGNAL) < 0) return; /* its end will be read */
}

static void on_text(struct client *c, const uint8_t *data, uint32_t length, uint64_t now) {
  if (engine_io) {
    if (length && data[0] == '0') { send_control(c, 1, (const uint8_t *)"40", 2); return; }
    if (length && data[0] == '2') { send_control(c, 1, (const uint8_t *)"3", 1); return; }
  }
  const uint8_t *found = memmem(data, length, "\"version\":", 10);
  if (!found) return;
  tallies++;
  c->counted++;
  last_at = now;
  uint64_t version = 0;
  for (found += 10; found < data + length && *found >= '0' && *found <= '9'; found++) version = version * 10 + (*found - '0');
  if (version && now >= version && age_count < MAX_AGES) ages[age_count++] = now - version;
  if (++c->tallies == (uint32_t)want_tallies && !c->live) {
    c->live = 1;
    live++;
    pending--;
    if (setup_count < MAX_CLIENTS) setups[setup_count++] = now - c->since;
  }
}

/* Returns how many bytes were used up, or -1 when the client is gone. */
static int take_frames(struct client *c, uint8_t *data, uint32_t length, uint64_t now) {
  uint32_t at = 0;
  while (length - at >= 2) {
    uint32_t head = 2;
    uint64_t size = data[at + 1] & 0x7f;
    if (size == 126) {
      head = 4;
      if (length - at < head) break;
      size = data[at + 2] << 8 | data[at + 3];
    } else if (size == 127) { end_client(c, 0); return -1; } /* nobody here sends so much */
    if (length - at < head + size) break;
    uint8_t opcode = data[at] & 0x0f;
    const uint8_t *payload = data + at + head;
    frames++;
    if (opcode == 1) on_text(c, payload, size, now);
    else if (opcode == 9 && size < 126) send_control(c, 10, payload, size);
    else if (opcode == 8) { end_client(c, 0); return -1; }
    at += head + size;
  }
  return at;
}

static void on_readable(struct client *c) {
  uint32_t carried = c->carried;
  if (carried) memcpy(buffer, c->carry, carried);
  ssize_t got = recv(c->fd, buffer + carried, BUFFER, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) { end_client(c, 0); return; }
  bytes += got;
  uint64_t now = now_us();
  uint32_t length = carried + got, at = 0;
  if (c->state == WAITING) {
    uint8_t *end = memmem(buffer, length, "\r\n\r\n", 4);
    if (end) {
      if (length < 12 || memcmp(buffer, "HTTP/1.1 101", 12)) { end_client(c, !memcmp(buffer, "HTTP/1.1 503", 12)); return; }
      c->state = OPEN;
      at = end + 4 - buffer;
    }
  }
  if (c->state == OPEN) {
    int used = take_frames(c, buffer + at, length - at, now);
    if (used < 0) return;
    at += used;
  }
  c->carried = length - at;
  if (!c->carried) {
    if (c->carry) { free(c->carry); c->carry = NULL; }
    return;
  }
  if (c->carried > BUFFER) { end_client(c, 0); return; }
  c->carry = realloc(c->carry, c->carried);
  memcpy(c->carry, buffer + at, c->carried);
}

static void on_connected(struct client *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) { end_client(c, 0); return; }
  char request[1024];
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, port);
  if (send(c->fd, request, length, MSG_NOSIGNAL) != length) { end_client(c, 0); return; }
  c->state = WAITING;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void poll_clients(int timeout_ms) {
  static struct epoll_event events[1024];
  int count = epoll_wait(epoll_fd, events, 1024, timeout_ms);
  for (int i = 0; i < count; i++) {
    struct client *c = events[i].data.ptr;
    if (c->state == CONNECTING) on_connected(c);
    else if (c->state == WAITING || c->state == OPEN) on_readable(c);
  }
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t quantile(const uint32_t *sorted, uint32_t count, double q) {
  return count ? sorted[(uint32_t)(q * (count - 1))] : 0;
}

static void connect_clients(int count, int in_flight, int timeout_ms) {
  int goal = client_count + count, before_refused = refused, before_failed = failed, live_before = live;
  if (goal > MAX_CLIENTS - 1) goal = MAX_CLIENTS - 1; /* the last slot stands for standard input */
  uint64_t started = now_us(), until = started + (uint64_t)timeout_ms * 1000;
  setup_count = 0;
  while (now_us() < until) {
    while (client_count < goal && pending < in_flight) {
      struct client *c = &clients[client_count++];
      *c = (struct client){.since = now_us()};
      open_client(c);
      if (pending % 64 == 0) poll_clients(0);
    }
    while (retry_head < retry_tail && pending < in_flight) {
      struct client *c = &clients[retries[retry_head % MAX_CLIENTS]];
      if (now_us() < c->since + RETRY_US) break;
      c->since = now_us();
      retry_head++;
      open_client(c);
    }
    if (client_count == goal && pending == 0 && retry_head == retry_tail) break;
    poll_clients(retry_head < retry_tail ? 5 : 100);
  }
  uint64_t took = now_us() - started;
  qsort(setups, setup_count, sizeof *setups, by_value);
  printf("{\"live\":%d,\"opened\":%d,\"refused\":%d,\"failed\":%d,\"unfinished\":%d,\"us\":%llu,\"p50Us\":%u,\"p99Us\":%u}\n",
         live, live - live_before, refused - before_refused, failed - before_failed, pending + retry_tail - retry_head,
         (unsigned long long)took, quantile(setups, setup_count, 0.5), quantile(setups, setup_count, 0.99));
}

static void reset(void) {
  tallies = frames = bytes = last_at = 0;
  age_count = 0;
  ended = 0;
  for (int i = 0; i < client_count; i++) clients[i].counted = 0;
}

static void report(void) {
  uint32_t least = UINT32_MAX, most = 0;
  for (int i = 0; i < client_count; i++) {
    if (!clients[i].live) continue;
    if (clients[i].counted < least) least = clients[i].counted;
    if (clients[i].counted > most) most = clients[i].counted;
  }
  qsort(ages, age_count, sizeof *ages, by_value);
  printf("{\"live\":%d,\"ended\":%d,\"tallies\":%llu,\"frames\":%llu,\"bytes\":%llu,\"least\":%u,\"most\":%u,"
         "\"p50Us\":%u,\"p99Us\":%u,\"maxUs\":%u}\n",
         live, ended, (unsigned long long)tallies, (unsigned long long)frames, (unsigned long long)bytes,
         least == UINT32_MAX ? 0 : least, most, quantile(ages, age_count, 0.5), quantile(ages, age_count, 0.99),
         quantile(ages, age_count, 1));
}

static void probe(int for_ms, int gap_ms, const char *target) {
  setpriority(PRIO_PROCESS, 0, -15); /* waiting for a core is no latency of the server's */
  uint64_t until = now_us() + (uint64_t)for_ms * 1000;
  uint32_t count = 0, bad = 0;
  char request[600], answer[4096];
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", target, port);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval limit = {.tv_sec = 5};
  while (now_us() < until && count < MAX_CLIENTS) {
    uint64_t started = now_us();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int good = !connect(fd, (void *)&to, sizeof to) && send(fd, request, length, MSG_NOSIGNAL) == length &&
               recv(fd, answer, sizeof answer, 0) > 12 && !memcmp(answer, "HTTP/1.1 200", 12);
    uint64_t took = now_us() - started;
    close(fd);
    if (!good) bad++;
    setups[count++] = took;
    if (took < (uint64_t)gap_ms * 1000) usleep(gap_ms * 1000 - took);
  }
  qsort(setups, count, sizeof *setups, by_value);
  printf("{\"probes\":%u,\"bad\":%u,\"p50Us\":%u,\"p99Us\":%u,\"maxUs\":%u}\n", count, bad, quantile(setups, count, 0.5),
         quantile(setups, count, 0.99), quantile(setups, count, 1));
}

static void obey(char *line) {
  int a, b, timeout;
  if (sscanf(line, "connect %d %d %d %d %d %d %511s", &a, &b, &want_tallies, &mss, &rcvbuf, &timeout, path) == 7) {
    connect_clients(a, b, timeout);
  } else if (!strncmp(line, "reset", 5)) {
    reset();
    printf("{}\n");
  } else if (sscanf(line, "await %d %d", &a, &timeout) == 2) {
    uint64_t until = now_us() + (uint64_t)timeout * 1000;
    while (tallies < (uint64_t)a && now_us() < until) poll_clients(20);
    printf("{\"tallies\":%llu,\"lastAt\":%llu}\n", (unsigned long long)tallies, (unsigned long long)last_at);
  } else if (sscanf(line, "run %d", &a) == 1) {
    uint64_t until = now_us() + (uint64_t)a * 1000;
    while (now_us() < until) poll_clients(5);
    printf("{}\n");
  } else if (!strncmp(line, "report", 6)) {
    report();
  } else if (sscanf(line, "stall %d", &a) == 1) {
    for (int i = 0; i < a && i < client_count; i++) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, clients[i].fd, NULL);
    printf("{}\n");
  } else if (!strncmp(line, "close", 5)) {
    for (int i = 0; i < client_count; i++)
      if (clients[i].state != FREE && clients[i].state != ENDED) end_client(&clients[i], 0);
    client_count = live = pending = retry_head = retry_tail = 0;
    printf("{}\n");
  } else if (sscanf(line, "probe %d %d %511s", &a, &b, path) == 3) {
    probe(a, b, path);
  } else {
    printf("{\"error\":\"unknown command\"}\n");
  }
  fflush(stdout);
}

/* load PORT [engine.io] */
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  port = atoi(argv[1]);
  engine_io = argc > 2;
  ages = malloc(sizeof *ages * MAX_AGES);
  setups = malloc(sizeof *setups * MAX_CLIENTS);
  epoll_fd = epoll_create1(0);
  fcntl(0, F_SETFL, O_NONBLOCK);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = &clients[MAX_CLIENTS - 1]};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input); /* wakes the loop; the state of that slot is FREE */
  char line[1024];
  size_t length = 0;
  for (;;) {
    ssize_t got = read(0, line + length, sizeof line - 1 - length);
    if (got == 0) return 0;
    if (got < 0) { poll_clients(1000); continue; }
    length += got;
    line[length] = 0;
    for (char *end; (end = memchr(line, '\n', length)); ) {
      *end = 0;
      obey(line);
      length -= end + 1 - line;
      memmove(line, end + 1, length + 1);
    }
    if (length == sizeof line - 1) return 3;
  }
}
