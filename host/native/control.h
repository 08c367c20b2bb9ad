// Owns the page that host and sandbox map before the frame, and the primitives they wait with. Whatever the sandbox's side writes there is hostile to the
// host, which keeps its own copy of all it relies on. How the two use it is handoff.h's.
#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace infermesh {

/** Of the page before the frame; the frame itself is then page-aligned. */
constexpr size_t CONTROL_BYTES = 4096;
constexpr size_t MESSAGE_BYTES = 512;

enum : uint32_t { STATE_STARTING = 0, STATE_READY = 1, STATE_REFUSED = 2 };

struct Control {
	/** Raised by the host for each call; `done` follows it. */
	alignas(64) std::atomic<uint32_t> request;
	uint32_t hook;
	int32_t argument;
	/** How long the sandbox looks for the next call before it sleeps. */
	uint64_t spin_ns;
	alignas(64) std::atomic<uint32_t> done;
	int32_t status;
	/** Who sleeps wants to be woken; who spins sees it by himself. */
	alignas(64) std::atomic<uint32_t> child_sleeps;
	std::atomic<uint32_t> host_sleeps;
	alignas(64) std::atomic<uint32_t> state;
	/** A sandbox of its own for each question: the manifest, found at the frame, has this many bytes. */
	uint32_t manifest_bytes;
	uint64_t capabilities;
	char message[MESSAGE_BYTES];
};
static_assert(sizeof(Control) <= CONTROL_BYTES, "the control block is one page");
static_assert(std::atomic<uint32_t>::is_always_lock_free, "futex words are plain words");

inline uint64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
	timespec at;
	if (clock_gettime(clock, &at) != 0) return 0;
	return static_cast<uint64_t>(at.tv_sec) * 1000000000u + static_cast<uint64_t>(at.tv_nsec);
}

/** Shared between processes: not the private kind. */
inline void futex_wait(std::atomic<uint32_t> *word, uint32_t expected, const timespec *timeout) {
	syscall(SYS_futex, reinterpret_cast<uint32_t *>(word), FUTEX_WAIT, expected, timeout, nullptr, 0);
}

inline void futex_wake(std::atomic<uint32_t> *word) {
	syscall(SYS_futex, reinterpret_cast<uint32_t *>(word), FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

inline void pause_cpu() {
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

}  // namespace infermesh
