// Owns what a library says of itself and how its hooks are run: the same for the sandbox and for this process.
#pragma once
#include "infermesh_abi.h"

namespace infermesh {

/** In the order of sdk/abi/hooks.ts. */
enum : uint32_t { HOOK_INIT, HOOK_RANK, HOOK_PLAN, HOOK_ADMIT, HOOK_OBSERVE, HOOK_TICK, HOOKS };

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
