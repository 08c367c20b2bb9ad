// Owns what the addon and the sandbox have in common: the page both map before the frame, the way they wait for each other, and the check of what a
// library says of itself. Whatever the sandbox's side writes here is hostile to the addon, which keeps its own copy of all it relies on.
#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "infermesh_abi.h"

namespace infermesh {

/** Of the page before the frame; the frame itself is then page-aligned. */
constexpr size_t CONTROL_BYTES = 4096;
constexpr size_t MESSAGE_BYTES = 512;

enum : uint32_t { STATE_STARTING = 0, STATE_READY = 1, STATE_REFUSED = 2 };
/** In the order of sdk/abi/hooks.ts. */
enum : uint32_t { HOOK_INIT, HOOK_RANK, HOOK_PLAN, HOOK_ADMIT, HOOK_OBSERVE, HOOK_TICK, HOOKS };

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

/** Null when a host of this version can run it, else why not. */
inline const char *fault_of(const im_native_strategy *strategy) {
	if (strategy == nullptr) return "IM_NATIVE_ABI: infermesh_strategy() returned null";
	if (strategy->magic != IM_NATIVE_MAGIC) return "IM_NATIVE_ABI: the struct does not begin with NATIVE_MAGIC";
	if (strategy->abi_major != IM_NATIVE_ABI_MAJOR) return "IM_NATIVE_ABI: the struct is of another major version";
	if (strategy->struct_bytes < sizeof(im_native_strategy)) return "IM_NATIVE_ABI: the struct is too short";
	if (strategy->frame_abi_version >> 16 != IM_ABI_MAJOR) return "IM_NATIVE_ABI: the frame it was built for is of another major version";
	if (strategy->manifest == nullptr || strategy->manifest_bytes > IM_NATIVE_MANIFEST_BYTES_MAX)
		return "IM_NATIVE_ABI: the manifest is missing or too long";
	if ((strategy->capabilities & IM_NATIVE_WANTS_THREADS) != 0) return "IM_NATIVE_ABI: it wants threads of its own";
	const uint64_t has = (strategy->init != nullptr ? IM_NATIVE_HAS_INIT : 0) | (strategy->rank != nullptr ? IM_NATIVE_HAS_RANK : 0) |
						 (strategy->plan != nullptr ? IM_NATIVE_HAS_PLAN : 0) | (strategy->admit != nullptr ? IM_NATIVE_HAS_ADMIT : 0) |
						 (strategy->observe != nullptr ? IM_NATIVE_HAS_OBSERVE : 0) | (strategy->tick != nullptr ? IM_NATIVE_HAS_TICK : 0);
	if (has != strategy->capabilities) return "IM_NATIVE_ABI: the capability bits are not those of the hooks";
	return nullptr;
}

/** Status of a hook; a hook that is not there declines nothing and does nothing. */
inline int32_t run_hook(const im_native_strategy *strategy, uint32_t hook, uint8_t *frame, int32_t argument) {
	switch (hook) {
		case HOOK_INIT: return strategy->init == nullptr ? IM_STATUS_OK : strategy->init(frame);
		case HOOK_RANK: return strategy->rank == nullptr ? IM_STATUS_DECLINE : strategy->rank(frame);
		case HOOK_ADMIT: return strategy->admit == nullptr ? IM_STATUS_OK : strategy->admit(frame);
		case HOOK_OBSERVE: return strategy->observe == nullptr ? IM_STATUS_OK : strategy->observe(frame, argument);
		case HOOK_TICK: return strategy->tick == nullptr ? IM_STATUS_OK : strategy->tick(frame);
		default: return IM_STATUS_DECLINE;
	}
}

}  // namespace infermesh
