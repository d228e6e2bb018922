#include "tools/corelay/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>

namespace corelay::tools {
namespace {

volatile std::sig_atomic_t interrupted = 0;
std::atomic<const char*> last_words{nullptr};
static_assert(std::atomic<const char*>::is_always_lock_free);  // or a signal may not touch it

void on_signal(int number) {
  if (interrupted == 0) {
    interrupted = 1;
    return;
  }
  if (const char* const text = last_words.load(); text != nullptr) {
    static_cast<void>(!write(STDOUT_FILENO, text, std::strlen(text)));
  }
  std::signal(number, SIG_DFL);
  static_cast<void>(std::raise(number));  // when the handler returns
}

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void write_when_killed(const char* text) noexcept { last_words.store(text); }

bool is_interrupted() noexcept { return interrupted != 0; }

}  // namespace corelay::tools
