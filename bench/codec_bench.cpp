// Measures the codec against ISA-L and other yardsticks in one process: pinned, taking turns, best
// of many rounds. Prints one JSON document on stdout and progress on stderr. A row's GB/s are 1e9
// bytes; what is counted is said in codec_cases.h.
#include <sched.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "bench/codec_cases.h"
#include "codec/field.h"

namespace corelay::bench {
namespace {

struct Options {
  std::size_t k = 0;
  std::size_t m = 0;
  std::size_t shard_bytes = 1408;
  std::string backend;
  std::string only;
  std::size_t rounds = 21;
  int cpu = -1;
  bool is_smoke = false;
};

bool pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

// The cases asked for. Smoke runs leave out the largest: the scalar oracle would take most of their
// time.
std::vector<Case> cases_of(const Options& options) {
  if (options.k != 0 || options.m != 0) {
    const std::size_t k = options.k != 0 ? options.k : options.m;
    return {custom_case(k, options.m != 0 ? options.m : k, options.shard_bytes)};
  }
  std::vector<Case> cases = product_cases();
  for (Case& each : decoder_cases()) cases.push_back(std::move(each));
  std::erase_if(cases, [&](const Case& each) {
    const bool is_large = each.k * each.m * each.shard_bytes > std::size_t{64} << 20;
    return (options.is_smoke && is_large) || (!options.only.empty() && each.id != options.only);
  });
  return cases;
}

// One row, or false where the results are wrong.
bool run_case(const Case& each, const Effort& effort, bool is_first) {
  const Comparison comparison = each.prepare();
  const Pair seconds = best_of(effort, comparison.ours, comparison.reference);
  if (!comparison.is_right()) {
    std::fprintf(stderr, "%s k=%zu m=%zu shard_bytes=%zu: WRONG BYTES\n", each.id.c_str(), each.k,
                 each.m, each.shard_bytes);
    return false;
  }
  const double ours_gbs = comparison.our_bytes / seconds.ours / 1e9;
  const double reference_gbs = comparison.reference_bytes / seconds.reference / 1e9;
  std::printf("%s\n  ", is_first ? "" : ",");
  std::printf(R"({"id":"%s","k":%zu,"m":%zu,"shard_bytes":%zu,"ours_gbs":%.2f,"reference":"%s",)",
              each.id.c_str(), each.k, each.m, each.shard_bytes, ours_gbs, each.reference.c_str());
  std::printf(R"("reference_gbs":%.2f,"ratio":%.3f,"goal":%.2f,"ours_ns":%.1f,"reference_ns":%.1f})",
              reference_gbs, ours_gbs / reference_gbs, each.goal, seconds.ours * 1e9,
              seconds.reference * 1e9);
  std::fprintf(
      stderr, "%-6s k=%-3zu m=%-3zu L=%-5zu ours %8.2f GB/s (%10.1f ns)  %6.2fx  [goal %.2f]  %s\n",
      each.id.c_str(), each.k, each.m, each.shard_bytes, ours_gbs, seconds.ours * 1e9,
      ours_gbs / reference_gbs, each.goal, each.reference.c_str());
  return true;
}

int run(const Options& options) {
  if (!options.backend.empty()) {
    const auto backend = codec::parse_backend(options.backend);
    if (!backend || !codec::force_backend(*backend)) {
      std::fprintf(stderr, "codec_bench: this CPU has no backend \"%s\"\n",
                   options.backend.c_str());
      return 2;
    }
  }
  const int cpu = options.cpu >= 0 ? options.cpu : sched_getcpu();
  if (!pin_to(cpu)) {
    std::fprintf(stderr, "codec_bench: cannot pin to CPU %d; figures will wander\n", cpu);
  }
  const Effort effort = options.is_smoke ? Effort{1, 1e-5} : Effort{options.rounds, 2e-3};
  std::printf("{\"bench\":\"codec\",\"backend\":\"%s\",\"rounds\":%zu,\"rows\":[",
              std::string(codec::backend_name(codec::active_backend())).c_str(), effort.rounds);
  bool is_first = true;
  for (const Case& each : cases_of(options)) {
    if (!run_case(each, effort, is_first)) return 1;
    is_first = false;
  }
  std::printf("\n]}\n");
  return is_first ? 2 : 0;
}

}  // namespace
}  // namespace corelay::bench

int main(int argc, char** argv) {
  corelay::bench::Options options;
  CLI::App app{"Measures the codec; JSON on stdout, progress on stderr"};
  const auto shards = CLI::Range(std::size_t{1}, corelay::codec::k_max);
  app.add_option("--k", options.k, "source shards: measures this case alone")->check(shards);
  app.add_option("--m", options.m, "outputs: measures this case alone (default: k)")->check(shards);
  app.add_option("--shard-bytes", options.shard_bytes, "bytes of a shard in that case")
      ->check(CLI::Range(std::size_t{1}, corelay::codec::shard_bytes_max));
  app.add_option("--backend", options.backend,
                 "scalar, isal, avx2 or gfni (default: the CPU's best)");
  app.add_option("--only", options.only, "cases of this id alone, as E1");
  app.add_option("--rounds", options.rounds, "rounds of each side; the best counts")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1000}));
  app.add_option("--cpu", options.cpu, "CPU to pin to (default: where it starts)");
  app.add_flag("--smoke", options.is_smoke,
               "one short round of each case, for the check of its bytes");
  CLI11_PARSE(app, argc, argv);
  return corelay::bench::run(options);
}
