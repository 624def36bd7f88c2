#include "cmd/hellobench/plan/schedule.h"

#include <numeric>
#include <random>
#include <utility>

namespace slacker::hellobench {
namespace {

// std::shuffle may give another order with another library; the generator itself is specified.
template <typename T>
void Shuffle(std::vector<T>* values, std::mt19937_64* random) {
  for (size_t left = values->size(); left > 1; --left) {
    std::swap((*values)[left - 1], (*values)[(*random)() % left]);
  }
}

}  // namespace

std::vector<Slot> MakeSchedule(size_t images, const std::vector<System>& systems,
                               int64_t repetitions, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<size_t> order(images);
  std::iota(order.begin(), order.end(), 0);
  std::vector<System> turns = systems;
  std::vector<Slot> slots;
  for (int64_t repetition = 0; repetition < repetitions; ++repetition) {
    Shuffle(&order, &random);
    for (const size_t image : order) {
      Shuffle(&turns, &random);
      for (const System& system : turns) slots.push_back({image, system, repetition});
    }
  }
  return slots;
}

}  // namespace slacker::hellobench
