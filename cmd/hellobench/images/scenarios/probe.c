// What the images of hellobench's scenarios are filled by, and what runs in them. With nothing but system
// calls of x86-64; needs no library.
//
//   probe fill FILE BYTES     a new file of bytes that do not compress, the same every time
//   probe files DIRECTORY N   a directory with N empty files
//   probe open DIRECTORY...   opens ten files of each, and tells how long one took
//   probe append FILE...      appends a byte to each, and tells how long it took
enum { kRead = 0, kWrite = 1, kOpen = 2, kClose = 3, kMkdir = 83, kExit = 60, kClock = 228 };
enum { kCreate = 0x241, kAppend = 0x401 };  // O_WRONLY with O_CREAT and O_TRUNC; with O_APPEND
enum { kOpened = 10, kFiles = 1000 };
enum { kNanosPerMs = 1000000 };

typedef unsigned long word;

static long call(long number, long first, long second, long third) {
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(first), "S"(second), "d"(third)
                   : "rcx", "r11", "memory");
  return result;
}

static word length(const char* text) {
  word at = 0;
  while (text[at] != 0) ++at;
  return at;
}

static void fail(const char* what) {
  call(kWrite, 2, (long)what, (long)length(what));
  call(kWrite, 2, (long)"\n", 1);
  call(kExit, 1, 0, 0);
}

static long must(long result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

static word number_of(const char* text) {
  word value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + (word)(*text - '0');
  return value;
}

static char* put(char* at, const char* text) {
  while (*text != 0) *at++ = *text++;
  return at;
}

static char* put_number(char* at, word value) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
  } while ((value /= 10) != 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

static word now_nanos(void) {
  long time[2];
  must(call(kClock, 1, (long)time, 0), "clock");
  return (word)time[0] * 1000000000 + (word)time[1];
}

// As hellobench reads it: a name, a number, a unit.
static void tell(const char* verb, const char* path, word nanos) {
  char line[512];
  char* at = put(put(line, "hellobench-figure "), verb);
  if (length(path) > 300) fail("the path is too long");
  at = put(put_number(put(put(put(at, ":"), path), " "), nanos / kNanosPerMs), ".");
  for (word digit = kNanosPerMs / 10; digit >= 100; digit /= 10) {
    at = put_number(at, nanos / digit % 10);
  }
  at = put(at, " ms\n");
  must(call(kWrite, 1, (long)line, at - line), "write");
}

static void fill(const char* path, word bytes) {
  static word block[1024];
  word state = 88172645463325252UL;
  const long file = must(call(kOpen, (long)path, kCreate, 0644), path);
  while (bytes > 0) {
    for (int i = 0; i < 1024; ++i) {  // xorshift64
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      block[i] = state;
    }
    const word part = bytes < sizeof block ? bytes : sizeof block;
    if (must(call(kWrite, file, (long)block, (long)part), path) != (long)part) fail(path);
    bytes -= part;
  }
  must(call(kClose, file, 0, 0), path);
}

static void name_file(char* place, const char* directory, word number) {
  if (length(directory) > 200) fail("the path is too long");
  *put_number(put(put(place, directory), "/f"), number) = 0;
}

static void make_files(const char* directory, word count) {
  char path[256];
  must(call(kMkdir, (long)directory, 0755, 0), directory);
  for (word i = 0; i < count; ++i) {
    name_file(path, directory, i);
    must(call(kClose, must(call(kOpen, (long)path, kCreate, 0644), path), 0, 0), path);
  }
}

static void open_files(const char* directory) {
  char path[256];
  word nanos = 0;
  for (word i = 0; i < kOpened; ++i) {
    name_file(path, directory, (i * 397 + 61) % kFiles);
    const word begin = now_nanos();
    const long file = must(call(kOpen, (long)path, 0, 0), path);
    nanos += now_nanos() - begin;
    must(call(kClose, file, 0, 0), path);
  }
  tell("open", directory, nanos / kOpened);
}

static void append(const char* path) {
  const word begin = now_nanos();
  const long file = must(call(kOpen, (long)path, kAppend, 0), path);
  must(call(kWrite, file, (long)"x", 1), path);
  const word nanos = now_nanos() - begin;
  must(call(kClose, file, 0, 0), path);
  tell("append", path, nanos);
}

__attribute__((used)) static void run(word* stack) {
  const word count = stack[0];
  char** words = (char**)(stack + 1);
  if (count < 3) fail("probe fill|files|open|append ...");
  const char kind = words[1][0];
  if (kind == 'f' && count == 4 && words[1][3] == 'l') fill(words[2], number_of(words[3]));
  if (kind == 'f' && count == 4 && words[1][3] == 'e') make_files(words[2], number_of(words[3]));
  for (word i = 2; i < count && kind == 'o'; ++i) open_files(words[i]);
  for (word i = 2; i < count && kind == 'a'; ++i) append(words[i]);
  call(kExit, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall run\n");
