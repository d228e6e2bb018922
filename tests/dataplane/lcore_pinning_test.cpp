/// The pinning plan on machines that hwloc makes up.
#include <gtest/gtest.h>

#include "dataplane/lcore/pinning.h"

namespace corelay::dataplane {
namespace {

std::vector<Core> machine(const char* description) {
  auto cores = list_synthetic_cores(description);
  EXPECT_TRUE(cores) << description;
  return cores ? *cores : std::vector<Core>{};
}

TEST(Pinning, OneCoreIsSharedWithControl) {
  const auto cores = machine("core:1 pu:1");
  ASSERT_EQ(cores.size(), 1U);
  EXPECT_EQ(plan_lcores(cores, 1, -1), std::vector<int>{cores[0].cpu});
  EXPECT_EQ(plan_lcores(cores, 2, -1), (std::vector<int>{cores[0].cpu, -1}));
}

TEST(Pinning, LeavesTheFirstOfTwoToControl) {
  const auto cores = machine("core:2 pu:1");
  ASSERT_EQ(cores.size(), 2U);
  EXPECT_EQ(plan_lcores(cores, 1, -1), std::vector<int>{cores[1].cpu});
}

TEST(Pinning, SkipsSmtSiblings) {
  const auto cores = machine("pack:1 core:4 pu:2");
  ASSERT_EQ(cores.size(), 4U);  // not 8
  const auto plan = plan_lcores(cores, 3, -1);
  EXPECT_EQ(plan, (std::vector<int>{2, 4, 6}));
}

TEST(Pinning, LeavesLcoresUnpinnedRatherThanDoubled) {
  const auto plan = plan_lcores(machine("core:4 pu:1"), 5, -1);
  EXPECT_EQ(plan, (std::vector<int>{1, 2, 3, -1, -1}));
}

TEST(Pinning, TakesTheCoresNearTheNicFirst) {
  const auto cores = machine("pack:2 numa:1 core:4 pu:1");
  ASSERT_EQ(cores.size(), 8U);
  EXPECT_EQ(cores[0].numa_node, 0);
  EXPECT_EQ(cores[7].numa_node, 1);
  EXPECT_EQ(plan_lcores(cores, 5, 1), (std::vector<int>{4, 5, 6, 7, 1}));
  EXPECT_EQ(plan_lcores(cores, 5, 0), (std::vector<int>{1, 2, 3, 4, 5}));
  EXPECT_EQ(plan_lcores(cores, 2, -1), (std::vector<int>{1, 2}));
}

TEST(Pinning, NoLcoresNoPlan) { EXPECT_TRUE(plan_lcores(machine("core:2 pu:1"), 0, -1).empty()); }

TEST(Pinning, RefusesNonsense) { EXPECT_FALSE(list_synthetic_cores("three and a half cores")); }

TEST(Pinning, ReadsThisMachine) {
  const auto cores = list_cores();
  ASSERT_TRUE(cores);
  ASSERT_FALSE(cores->empty());
  for (const Core& core : *cores) EXPECT_GE(core.cpu, 0);
  EXPECT_EQ(nic_numa_node("203.0.113.77"), -1);
  EXPECT_EQ(nic_numa_node("127.0.0.1"), -1);  // loopback is no device
}

}  // namespace
}  // namespace corelay::dataplane
