/*
 * The limit: the least a server can do to bring one frame to many WebSockets. One thread, one epoll, one finished frame, one
 * send(2) per client. It has nothing a real server needs beyond that: no pings, no origin check, and whoever lets the kernel's
 * buffer run full is cut off.
 *
 * Standard input brings "INDEX JSON" lines: the news of the poll bench-INDEX. It ends with its input.
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
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 20000, POLLS = 8, MAX_FRAME = 4096 };

static struct { uint8_t open; uint8_t polls; uint16_t place; } clients[MAX_FDS];
static uint16_t order[MAX_FDS]; /* the open ones, in the order they came */
static int open_count, epoll_fd, listener;
static uint8_t frames[POLLS][MAX_FRAME];
static int frame_length[POLLS];

static uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* FIPS 180-4, for messages below 120 bytes. */
static void sha1(const char *text, uint8_t digest[20]) {
  uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[80];
  uint8_t block[128] = {0};
  size_t length = strlen(text), blocks = length + 9 > 64 ? 2 : 1;
  memcpy(block, text, length);
  block[length] = 0x80;
  block[blocks * 64 - 2] = length * 8 >> 8;
  block[blocks * 64 - 1] = length * 8;
  for (size_t n = 0; n < blocks; n++) {
    for (int i = 0; i < 16; i++) {
      const uint8_t *p = block + n * 64 + i * 4;
      w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    }
    for (int i = 16; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
      uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
      uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
      uint32_t next = rotated(a, 5) + f + e + k + w[i];
      e = d, d = c, c = rotated(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
  }
  for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - i % 4 * 8);
}

static void base64(const uint8_t digest[20], char out[29]) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t padded[21] = {0};
  memcpy(padded, digest, 20);
  for (int i = 0; i < 28; i++) {
    int bit = i * 6, shift = 10 - bit % 8;
    out[i] = letters[((padded[bit / 8] << 8 | (bit / 8 < 20 ? padded[bit / 8 + 1] : 0)) >> shift) & 63];
  }
  out[27] = '=';
  out[28] = 0;
}

static void end_client(int fd) {
  if (clients[fd].open) {
    int last = order[--open_count];
    order[clients[fd].place] = last;
    clients[last].place = clients[fd].place;
  }
  clients[fd].open = 0;
  close(fd);
}

static int written(int fd, const uint8_t *data, int length) {
  if (send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) == length) return 1;
  end_client(fd);
  return 0;
}

static void handshake(int fd, char *request) {
  char *key = strcasestr(request, "\r\nsec-websocket-key: ");
  if (!key || !strstr(request, "\r\n\r\n")) { end_client(fd); return; }
  char joined[100], accept[29], answer[200];
  uint8_t digest[20];
  snprintf(joined, sizeof joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 21);
  sha1(joined, digest);
  base64(digest, accept);
  int length = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                               "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
  clients[fd].polls = 0;
  for (char *poll = request; (poll = strstr(poll, "poll=bench-")); poll += 11) clients[fd].polls |= 1 << (poll[11] - '0') % POLLS;
  if (!written(fd, (uint8_t *)answer, length)) return;
  clients[fd].open = 1;
  clients[fd].place = open_count;
  order[open_count++] = fd;
  for (int i = 0; i < POLLS; i++)
    if (clients[fd].polls & 1 << i && frame_length[i] && !written(fd, frames[i], frame_length[i])) return;
}

static void on_client(int fd) {
  static char data[4096];
  ssize_t got = recv(fd, data, sizeof data - 1, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) { end_client(fd); return; }
  data[got] = 0;
  if (!clients[fd].open) handshake(fd, data); /* a request comes in one segment here; pongs and the like are dropped */
}

static void accept_clients(void) {
  for (int fd, one = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0; ) {
    if (fd >= MAX_FDS) { close(fd); continue; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

static void publish(const char *line) {
  int index = (line[0] - '0') % POLLS, length = strlen(line + 2), head = length < 126 ? 2 : 4;
  uint8_t *frame = frames[index];
  if (length > MAX_FRAME - 4) return;
  frame[0] = 0x81;
  frame[1] = length < 126 ? length : 126;
  if (head == 4) { frame[2] = length >> 8; frame[3] = length; }
  memcpy(frame + head, line + 2, length);
  frame_length[index] = head + length;
  for (int i = open_count - 1; i >= 0; i--) /* whoever is cut off is replaced by one that was served already */
    if (clients[order[i]].polls & 1 << index) written(order[i], frame, frame_length[index]);
}

int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(listener, (void *)&at, size) || listen(listener, 4096) || getsockname(listener, (void *)&at, &size)) return 1;
  epoll_fd = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  event.data.fd = 0;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event);
  fcntl(0, F_SETFL, O_NONBLOCK);
  printf("{\"msg\":\"listening\",\"port\":%d}\n", ntohs(at.sin_port));
  fflush(stdout);

  static char input[1 << 16];
  size_t length = 0;
  for (;;) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_clients();
      else if (fd) on_client(fd);
      else {
        ssize_t got = read(0, input + length, sizeof input - 1 - length);
        if (got == 0) return 0;
        if (got < 0) continue;
        length += got;
        for (char *end; (end = memchr(input, '\n', length)); ) {
          *end = 0;
          publish(input);
          length -= end + 1 - input;
          memmove(input, end + 1, length);
        }
      }
    }
  }
}
