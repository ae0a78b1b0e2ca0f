/*
 * A machine whose clock is wrong, in front of an unchanged program (LD_PRELOAD): the calendar that it reads is CLOCK_SHIFT_S
 * seconds from the true one, from its start on. What only grows, the monotonic clock, is left alone, as on a machine
 * that was set wrong. Children inherit both variables. Rejected: setting the machine's clock, which only root may.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real_clock)(clockid_t, struct timespec *);
static int (*real_day)(struct timeval *, void *);
static time_t shift;

__attribute__((constructor)) static void read_shift(void) {
  real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  real_day = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
  const char *text = getenv("CLOCK_SHIFT_S");
  shift = text ? (time_t)atoll(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *now) {
  int failed = real_clock(id, now);
  if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += shift;
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int failed = real_day(now, zone);
  if (!failed) now->tv_sec += shift;
  return failed;
}

time_t time(time_t *told) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (told) *told = now.tv_sec;
  return now.tv_sec;
}
