// Owns the addon that Node loads, the host's side of native strategies for JavaScript: `Process` (process.h) is a strategy in a sandbox, `Inline` (inline.h)
// one in this process. A call of either runs one hook over the frame and returns its status, or a negative reason why there is none. Used by one thread each.
#include "inline.h"
#include "process.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
	env.SetInstanceData(new infermesh::Kept());
	exports.Set("Process", infermesh::Process::define(env));
	exports.Set("Inline", infermesh::Inline::define(env));
	return exports;
}

NODE_API_MODULE(infermesh_native, init)

}  // namespace
