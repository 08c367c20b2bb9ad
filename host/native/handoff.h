// Owns the hand-off of calls between host and sandbox over the page they share: look for the other side for a while, then sleep until it wakes you. The
// host's side also tells whose fault a missing answer is. Nothing here knows of processes or of JavaScript, so that two threads can run the same code
// under a race detector (fuzz/handoff-race.cc).
#pragma once
#include "control.h"

namespace infermesh {

/** While it waits, the host looks this often whether the sandbox still lives. */
constexpr uint64_t LOOK_NS = 250'000;
/** Looks at the clock are dear against a turn of the loop. */
constexpr int HOST_TURNS_PER_LOOK = 16;
constexpr int SANDBOX_TURNS_PER_LOOK = 64;
/** After this many calls in a row whose answer did not come while the host looked for it, both go to sleep at once for some calls. */
constexpr int MISSES_MAX = 16;
/** After so many of them the sandbox is asked to run elsewhere: the kernel wakes it where its host runs, which then waits for it. */
constexpr int MISSES_ASIDE = 4;
constexpr int CALLS_WITHOUT_SPIN = 112;
/** A call that the machine held up is looked into when it has taken this many times what the host waits. */
constexpr uint64_t GRACES_MAX = 100;

/** Why a call has no status; in the order of `callFaults` of executor.ts. */
enum : int32_t { CALL_GONE = -1, CALL_CRASHED = -2, CALL_OVERDUE = -3, CALL_HOST_LATE = -4 };

/** For a negative status, of which there is none: those numbers are this side's own. */
constexpr int32_t NO_STATUS = 0x7fffffff;

inline int32_t status_of(int32_t returned) { return returned < 0 ? NO_STATUS : returned; }

/** The sandbox's side: returns when there is a call other than `served`. The host may go on while this falls asleep: the kernel looks once more. */
inline void await_request(Control *control, uint32_t served, uint64_t spin_ns) {
	const uint64_t until = now_ns() + spin_ns;
	for (int turn = 0; control->request.load(std::memory_order_acquire) == served; turn++) {
		if (turn % SANDBOX_TURNS_PER_LOOK != 0 || now_ns() < until) {
			pause_cpu();
			continue;
		}
		control->child_sleeps.store(1);
		while (control->request.load() == served) futex_wait(&control->request, served, nullptr);
		control->child_sleeps.store(0);
		return;
	}
}

/** The sandbox's side: what it hands back. */
inline void answer(Control *control, uint32_t served, int32_t status) {
	control->status = status;
	control->done.store(served);
	if (control->host_sleeps.load() != 0) futex_wake(&control->done);
}

struct CallLimits {
	/** Both look for each other this long before they sleep. */
	uint64_t spin_ns;
	/** Of the sandbox's processor time. */
	uint64_t deadline_ns;
	/** Of wall time: the host then goes on without an answer, whoever's fault it is. */
	uint64_t grace_ns;
};

/**
 * The host's side; one thread. `Sandbox` is who answers: `ended()`, `cpu_ns()` of processor time it has used, `is_blocked()` when it neither runs nor waits
 * for a core, `move_aside()` off the caller's core.
 */
template <class Sandbox>
class Caller {
   public:
	Caller(Control *control, Sandbox &sandbox, const CallLimits &limits) : control_(control), sandbox_(sandbox), limits_(limits) {}

	/** Status of the hook, or a CALL_*. After CALL_CRASHED and CALL_OVERDUE the sandbox is not called again. */
	int32_t call(uint32_t hook, int32_t argument) {
		const int32_t held = settle();
		if (held != 0) return held;
		control_->hook = hook;
		control_->argument = argument;
		// Where both have one core between them, who spins keeps the other from running.
		const uint64_t spin_ns = without_spin_ > 0 ? 0 : limits_.spin_ns;
		control_->spin_ns = spin_ns;
		const uint32_t request = ++request_;
		control_->request.store(request);
		if (control_->child_sleeps.load() != 0) futex_wake(&control_->request);
		began_ns_ = now_ns();
		for (int turn = 1; control_->done.load(std::memory_order_acquire) != request; turn++) {
			pause_cpu();
			if (turn % HOST_TURNS_PER_LOOK == 0 && now_ns() - began_ns_ > spin_ns) return wait(request);
		}
		misses_ = 0;
		return answered();
	}

	/**
	 * What came of a call that was given up with CALL_HOST_LATE: 0 when it has ended and the frame is the host's again; CALL_HOST_LATE while the sandbox is
	 * still at it, and must not find the frame changed; CALL_CRASHED or CALL_OVERDUE when it will not end.
	 */
	int32_t settle() {
		if (!late_) return 0;
		if (control_->done.load(std::memory_order_acquire) == request_) {
			late_ = false;
			return 0;
		}
		if (sandbox_.ended()) return CALL_CRASHED;
		if (is_overdue()) return CALL_OVERDUE;
		if (now_ns() - began_ns_ > GRACES_MAX * limits_.grace_ns && is_stuck()) return CALL_OVERDUE;
		return CALL_HOST_LATE;
	}

	/** From the hand-over of the last call to its answer. */
	uint64_t waited_ns() const { return waited_ns_; }
	/** After CALL_OVERDUE: why, for people. */
	const char *why() const { return why_; }

   private:
	int32_t answered() {
		waited_ns_ = now_ns() - began_ns_;
		return status_of(control_->status);
	}

	int32_t wait(uint32_t request) {
		cpu_seen_ns_ = sandbox_.cpu_ns();
		spent_ns_ = 0;
		if (without_spin_ > 0) without_spin_--;
		else if (++misses_ == MISSES_ASIDE) sandbox_.move_aside();
		else if (misses_ == MISSES_MAX) {
			misses_ = 0;
			without_spin_ = CALLS_WITHOUT_SPIN;
		}
		for (;;) {
			control_->host_sleeps.store(1);
			const uint32_t done = control_->done.load();
			const timespec look = {0, LOOK_NS};
			if (done != request) futex_wait(&control_->done, done, &look);
			control_->host_sleeps.store(0);
			if (control_->done.load(std::memory_order_acquire) == request) return answered();
			const uint64_t elapsed = now_ns() - began_ns_;
			if (sandbox_.ended()) return CALL_CRASHED;
			if (is_overdue()) return CALL_OVERDUE;
			if (elapsed < limits_.grace_ns) continue;
			if (is_stuck()) return CALL_OVERDUE;
			late_ = true;
			return CALL_HOST_LATE;
		}
	}

	/**
	 * It has itself used up the time it was given: what a loaded machine took from it does not count. Of one look at most twice its length is charged: a
	 * virtual core that was taken away shows as a leap of the clock, a call that does not end as many small steps.
	 */
	bool is_overdue() {
		const uint64_t seen = sandbox_.cpu_ns();
		const uint64_t used = seen - cpu_seen_ns_;
		cpu_seen_ns_ = seen;
		spent_ns_ += used < 2 * LOOK_NS ? used : 2 * LOOK_NS;
		if (spent_ns_ < limits_.deadline_ns) return false;
		why_ = "it used up its time";
		return true;
	}

	bool is_stuck() {
		if (!sandbox_.is_blocked() || control_->done.load() == request_) return false;
		why_ = "it waits and does not run";
		return true;
	}

	Control *control_;
	Sandbox &sandbox_;
	const CallLimits limits_;
	uint32_t request_ = 0;
	uint64_t began_ns_ = 0;
	uint64_t waited_ns_ = 0;
	/** CPU time at the last look, and what the call is charged with. */
	uint64_t cpu_seen_ns_ = 0;
	uint64_t spent_ns_ = 0;
	const char *why_ = "";
	bool late_ = false;
	int misses_ = 0;
	int without_spin_ = 0;
};

/** What a sandbox said of itself, as far as it can be shown to people. */
template <class Text>
Text told(const Control *control) {
	Text text;
	for (size_t i = 0; i < MESSAGE_BYTES - 1; i++) {
		const char c = control->message[i];
		if (c == 0) break;
		text += c >= 0x20 && c < 0x7f ? c : '?';
	}
	return text;
}

}  // namespace infermesh
