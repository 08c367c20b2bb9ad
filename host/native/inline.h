// Owns `Inline`: one strategy in this process, whose library is trusted with everything. Each environment loads a copy of its own, which is never unloaded.
#pragma once
#include <dlfcn.h>

#include "binding.h"
#include "contract.h"
#include "handoff.h"

namespace infermesh {

/** Private copies of libraries in this process: none is ever unloaded. */
constexpr size_t INLINE_MAX = 64;

/** The library's struct, from a copy of it that this environment alone has; the text says why not. */
inline const im_native_strategy *load_inline(Kept &kept, const std::string &digest, const Napi::Uint8Array &bytes, std::string &failure) {
	const auto known = kept.loaded.find(digest);
	if (known != kept.loaded.end()) return known->second;
	if (kept.loaded.size() >= INLINE_MAX) {
		failure = "too many libraries are loaded in this process; restart it";
		return nullptr;
	}
	const auto file = sealed_file(bytes.Data(), bytes.ByteLength());
	if (file == nullptr) {
		failure = "the library cannot be put into memory";
		return nullptr;
	}
	// The loader knows libraries by name: the number is another one for each copy, since none of them is ever closed.
	const std::string path = "/proc/self/fd/" + std::to_string(file->number);
	file->number = -1;
	void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
	const auto entry =
		library == nullptr ? nullptr : reinterpret_cast<const im_native_strategy *(*)()>(dlsym(library, IM_NATIVE_SYMBOL));
	if (entry == nullptr) {
		failure = dlerror();
		return nullptr;
	}
	const im_native_strategy *strategy = entry();
	const char *fault = fault_of(strategy);
	if (fault != nullptr) {
		failure = fault;
		return nullptr;
	}
	kept.loaded.emplace(digest, strategy);
	return strategy;
}

class Inline : public Napi::ObjectWrap<Inline> {
   public:
	static Napi::Function define(Napi::Env env) {
		return DefineClass(env, "Inline", {InstanceAccessor<&Inline::buffer>("buffer")});
	}

	/** `new Inline(library, digest, frameBytes)`. */
	explicit Inline(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Inline>(info) {
		const Napi::Env env = info.Env();
		std::string failure = "no memory for the frame";
		mapping_ = map(nullptr, static_cast<size_t>(info[2].As<Napi::Number>().Int64Value()));
		if (mapping_ != nullptr)
			strategy_ = load_inline(kept_of(env), info[1].As<Napi::String>().Utf8Value(), info[0].As<Napi::Uint8Array>(), failure);
		if (strategy_ != nullptr) define_call(env, info.This().As<Napi::Object>(), this);
		else throw_error(env, failure);
	}

	int32_t run(uint32_t hook, int32_t argument) { return status_of(run_hook(strategy_, hook, mapping_->address, argument)); }

   private:
	Napi::Value buffer(const Napi::CallbackInfo &info) { return frame_buffer(info.Env(), mapping_, 0); }

	const im_native_strategy *strategy_ = nullptr;
	std::shared_ptr<Mapping> mapping_;
};

}  // namespace infermesh
