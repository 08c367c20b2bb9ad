// Owns what both kinds of strategy need of Node-API: errors, the frame as JavaScript sees it, and `call`.
#pragma once
#include <napi.h>

#include <memory>
#include <string>

#include "kept.h"

namespace infermesh {

inline Kept &kept_of(Napi::Env env) { return *env.GetInstanceData<Kept>(); }

inline void throw_error(Napi::Env env, const std::string &message) { Napi::Error::New(env, message).ThrowAsJavaScriptException(); }

/** The frame as JavaScript sees it keeps the mapping alive for as long as anything looks at it. */
inline Napi::ArrayBuffer frame_buffer(Napi::Env env, const std::shared_ptr<Mapping> &mapping, size_t offset) {
	auto *held = new std::shared_ptr<Mapping>(mapping);
	return Napi::ArrayBuffer::New(env, mapping->address + offset, mapping->bytes - offset,
								  [](Napi::Env, void *, std::shared_ptr<Mapping> *kept) { delete kept; }, held);
}

/** Gives an object its `call(hook, argument)`: a function of its own, bound to it, since finding out whose it is costs more than most calls. */
template <typename Runner>
void define_call(Napi::Env env, Napi::Object object, Runner *runner) {
	const napi_callback callback = [](napi_env env, napi_callback_info info) -> napi_value {
		size_t count = 2;
		napi_value arguments[2], result;
		void *self;
		uint32_t hook;
		int32_t argument;
		if (napi_get_cb_info(env, info, &count, arguments, nullptr, &self) != napi_ok || count != 2 ||
			napi_get_value_uint32(env, arguments[0], &hook) != napi_ok || napi_get_value_int32(env, arguments[1], &argument) != napi_ok) {
			napi_throw_type_error(env, nullptr, "call(hook, argument) takes two numbers");
			return nullptr;
		}
		napi_create_int32(env, static_cast<Runner *>(self)->run(hook, argument), &result);
		return result;
	};
	napi_value function;
	if (napi_create_function(env, "call", NAPI_AUTO_LENGTH, callback, runner, &function) == napi_ok)
		object.Set("call", Napi::Value(env, function));
}

}  // namespace infermesh
