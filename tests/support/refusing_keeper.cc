// A keeper that cannot read the state of the one before: it ends over it. Else a keeper like others.
#include <unistd.h>

#include <cstring>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--state") == 0) return 1;
  }
  (void)execv(KEEPER_PATH, argv);
  return 127;
}
