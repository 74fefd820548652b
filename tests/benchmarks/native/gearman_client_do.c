/* A loop of libgearman's gearman_client_do: what an application in C does, one round trip after another.
   Build: cc -O2 -o gearman_client_do gearman_client_do.c -lgearman
   Usage: gearman_client_do HOST PORT FUNCTION SECONDS; prints jobs per second. */
#include <libgearman/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
  static const char payload[] = "0123456789abcdef";
  gearman_client_st client;
  gearman_return_t result;
  double start, seconds;
  size_t size;
  long done = 0;

  if (argc != 5) {
    fprintf(stderr, "usage: %s HOST PORT FUNCTION SECONDS\n", argv[0]);
    return 64;
  }
  seconds = atof(argv[4]);
  if (gearman_client_create(&client) == NULL) {
    return 70;
  }
  gearman_client_add_server(&client, argv[1], (in_port_t)atoi(argv[2]));
  start = now();
  do {
    void *answer = gearman_client_do(&client, argv[3], NULL, payload, sizeof(payload) - 1, &size, &result);
    if (result != GEARMAN_SUCCESS || size != sizeof(payload) - 1) {
      fprintf(stderr, "%s\n", gearman_client_error(&client));
      return 1;
    }
    free(answer);
    done++;
  } while (now() - start < seconds);
  printf("%.0f\n", (double)done / (now() - start));
  gearman_client_free(&client);
  return 0;
}
