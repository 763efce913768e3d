// Whether a program's steps take a team of threads or one: measured, while they run.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mlpeak {
namespace engine {

/// The threads of a team read each other's activations, gradients and weights. How much of a small
/// step that takes depends on how far their cores are from each other, and on a busy or virtual
/// machine that changes within minutes: the same step gains from two threads at one time and loses
/// at another. So both ways are timed, each for a stretch of steps, and the better one goes on;
/// then the other is tried for a millisecond, less often the longer it has been worse. Results do
/// not depend on it.
///
/// Times are nanoseconds of running, of which the idle time between calls is no part.
class Choice {
 public:
  /// Whether the next steps are for a team.
  bool team() const { return team_; }

  /// How many steps, of `predicted` ns each, to run before the next note().
  int64_t steps(double predicted) const {
    if (warm_ < kWarm) return kWarm - warm_;
    const double cost = cost_[team_] > 0 ? cost_[team_] * predicted : predicted;
    return std::max(int64_t(1), std::max(kLeast - counted_, int64_t((length_ - took_) / cost)));
  }

  /// Notes that `steps` steps, which were to take `predicted` ns in all, took `took` ns.
  void note(int64_t steps, double predicted, double took) {
    if (warm_ < kWarm) {  // the other cores' caches have what is needed
      warm_ += steps;
      return;
    }
    counted_ += steps;
    predicted_ += predicted;
    took_ += took;
    if (counted_ < kLeast || took_ < length_) return;
    cost_[team_] = took_ / predicted_;
    if (trying_) {
      const bool better = cost_[team_] < cost_[!team_];
      interval_ = better ? kShortest : std::min(2 * interval_, kLongest);
      settle(better ? team_ : !team_);
    } else if (team_ && predicted_ > kSure * double(counted_)) {
      settle(true);
    } else {
      begin(!team_, true, kTrial);
    }
  }

  /// Notes that a thread of the team kept the others waiting for want of a core.
  void late() {
    interval_ = trying_ ? std::min(2 * interval_, kLongest) : kShortest;
    settle(false);
  }

 private:
  static constexpr int64_t kWarm = 2, kLeast = 4;  // steps
  static constexpr double kTrial = 1e6, kShortest = 1e7, kLongest = 1.6e8;
  static constexpr double kSure = 2e6;  // longer steps gain from a team that has its cores

  void settle(bool team) { begin(team, false, interval_); }
  void begin(bool team, bool trying, double length) {
    team_ = team;
    trying_ = trying;
    length_ = length;
    warm_ = counted_ = 0;
    predicted_ = took_ = 0;
  }

  bool team_ = true, trying_ = false;
  double length_ = kTrial;       // of this stretch
  double interval_ = kShortest;  // of one that is no trial
  double cost_[2] = {0, 0};      // of one thread and of a team, in predicted ns; 0 before any trial
  int64_t warm_ = 0, counted_ = 0;
  double predicted_ = 0, took_ = 0;
};

}  // namespace engine
}  // namespace mlpeak
