// Owns the host's side of native strategies, for JavaScript: `Process` is one strategy in a sandbox of its own over memory both map, `Inline` one in this
// process. A call of either runs one hook over the frame and returns its status, or a negative reason why there is none. Used by one thread each;
// what runs in a sandbox is believed in nothing but the frame's content, which the caller checks.
#include <dlfcn.h>
#include <fcntl.h>
#include <napi.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shared.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace {

using namespace infermesh;

/** Why a call has no status; in the order of `callFaults` of executor.ts. */
enum : int32_t { CALL_GONE = -1, CALL_CRASHED = -2, CALL_OVERDUE = -3, CALL_HOST_LATE = -4 };

/** For a negative status, of which there is none: those numbers are this side's own. */
constexpr int32_t NO_STATUS = 0x7fffffff;

/** While it waits, the host looks this often whether the sandbox still lives. */
constexpr uint64_t LOOK_NS = 250'000;
constexpr int TURNS_PER_LOOK = 16;
/** After this many calls in a row whose answer did not come while the host looked for it, both go to sleep at once for some calls. */
constexpr int MISSES_MAX = 16;
/** After so many of them the sandbox is asked to run elsewhere: the kernel wakes it where its host runs, which then waits for it. */
constexpr int MISSES_ASIDE = 4;
constexpr int CALLS_WITHOUT_SPIN = 112;
/** A version whose sandbox failed starts again after this long, doubled with each failure, up to the most; a quiet minute forgives. */
constexpr uint64_t BACKOFF_MS = 100;
constexpr uint64_t BACKOFF_MAX_MS = 10'000;
constexpr uint64_t FORGIVEN_AFTER_NS = 60'000'000'000;
/** Ended sandboxes not yet reaped; from here on ending one waits for it. */
constexpr size_t UNREAPED_MAX = 16;
/** Private copies of libraries in this process: none is ever unloaded. */
constexpr size_t INLINE_MAX = 64;

struct File {
	explicit File(int number = -1) : number(number) {}
	~File() {
		if (number >= 0) close(number);
	}
	File(const File &) = delete;
	File &operator=(const File &) = delete;
	int number;
};

struct Failures {
	uint64_t count = 0;
	uint64_t last_ns = 0;
};

/** What one environment (a thread of JavaScript) keeps. */
struct Kept {
	/** In use by sandboxes; gone with the last of them. */
	std::map<std::string, std::weak_ptr<File>> libraries;
	std::map<std::string, Failures> failures;
	/** Loaded into this process, for good. */
	std::map<std::string, const im_native_strategy *> loaded;
	/** Process descriptors of ended sandboxes. */
	std::vector<int> unreaped;

	void reap(bool wait) {
		std::vector<int> rest;
		for (const int descriptor : unreaped) {
			siginfo_t info = {};
			const int result = waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(descriptor), &info, WEXITED | (wait ? 0 : WNOHANG));
			if (result == 0 && info.si_pid == 0) rest.push_back(descriptor);
			else close(descriptor);
		}
		unreaped.swap(rest);
	}
	~Kept() { reap(true); }
};

Kept &kept(Napi::Env env) { return *env.GetInstanceData<Kept>(); }

/** Bytes as a file in memory that nobody can change any more. */
std::shared_ptr<File> sealed_file(const Napi::Uint8Array &bytes) {
	auto file = std::make_shared<File>(memfd_create("infermesh-strategy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (file->number < 0) return nullptr;
	for (size_t at = 0; at < bytes.ByteLength();) {
		const ssize_t written = write(file->number, bytes.Data() + at, bytes.ByteLength() - at);
		if (written <= 0) return nullptr;
		at += static_cast<size_t>(written);
	}
	fcntl(file->number, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return file;
}

Napi::Value thrown(Napi::Env env, const std::string &message) {
	Napi::Error::New(env, message).ThrowAsJavaScriptException();
	return env.Undefined();
}

struct Mapping {
	uint8_t *address = nullptr;
	size_t bytes = 0;
	~Mapping() {
		if (address != nullptr) munmap(address, bytes);
	}
};

/** The frame as JavaScript sees it keeps the mapping alive for as long as anything looks at it. */
Napi::ArrayBuffer frame_buffer(Napi::Env env, const std::shared_ptr<Mapping> &mapping, size_t offset) {
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

struct Limits {
	uint64_t spin_ns, deadline_ns, grace_ns, memory_bytes;
};

class Process : public Napi::ObjectWrap<Process> {
   public:
	static Napi::Function define(Napi::Env env) {
		return DefineClass(env, "Process",
						   {InstanceAccessor<&Process::buffer>("buffer"), InstanceAccessor<&Process::pid>("pid"),
							InstanceAccessor<&Process::message>("message"), InstanceAccessor<&Process::manifest_bytes>("manifestBytes"),
							InstanceAccessor<&Process::waited_ns>("waitedNs"), InstanceMethod<&Process::ready>("ready"),
							InstanceMethod<&Process::end>("end")});
	}

	/** `new Process(sandbox, library, digest, frameBytes, inspect, [spinUs, deadlineUs, graceUs, memoryBytes])`. */
	explicit Process(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Process>(info), kept_(kept(info.Env())) {
		const Napi::Env env = info.Env();
		const auto numbers = info[5].As<Napi::Array>();
		const auto number = [&](uint32_t index) { return static_cast<uint64_t>(numbers.Get(index).ToNumber().Int64Value()); };
		limits_ = {number(0) * 1000, number(1) * 1000, number(2) * 1000, number(3)};
		digest_ = info[2].As<Napi::String>().Utf8Value();
		const auto frame_bytes = static_cast<size_t>(info[3].As<Napi::Number>().Int64Value());
		std::weak_ptr<File> &shared_library = kept_.libraries[digest_];
		library_ = shared_library.lock();
		if (library_ == nullptr) shared_library = library_ = sealed_file(info[1].As<Napi::Uint8Array>());
		if (library_ == nullptr) {
			thrown(env, "the library cannot be put into memory");
			return;
		}
		mapping_ = std::make_shared<Mapping>();
		const File shared(memfd_create("infermesh-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING));
		mapping_->bytes = CONTROL_BYTES + frame_bytes;
		if (shared.number < 0 || ftruncate(shared.number, static_cast<off_t>(mapping_->bytes)) != 0) {
			thrown(env, "no shared memory");
			return;
		}
		// A sandbox that could make it shorter could kill its host.
		fcntl(shared.number, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		void *address = mmap(nullptr, mapping_->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared.number, 0);
		if (address == MAP_FAILED) {
			thrown(env, "the shared memory cannot be mapped");
			return;
		}
		mapping_->address = static_cast<uint8_t *>(address);
		control_ = static_cast<Control *>(address);
		const std::string failure = start(info[0].As<Napi::String>().Utf8Value(), shared.number, library_->number, info[4].ToBoolean());
		if (!failure.empty()) thrown(env, failure);
		define_call(env, info.This().As<Napi::Object>(), this);
	}

	~Process() override { finish(false); }

   private:
	std::string start(const std::string &sandbox, int shared, int library, bool inspect) {
		kept_.reap(false);
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		for (int number = 0; number < 3; number++) posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0);
		// By way of numbers that are free: either may be the number that the other is to get.
		posix_spawn_file_actions_adddup2(&actions, shared, 250);
		posix_spawn_file_actions_adddup2(&actions, library, 251);
		posix_spawn_file_actions_adddup2(&actions, 250, 3);
		posix_spawn_file_actions_adddup2(&actions, 251, 4);
		posix_spawnattr_t attributes;
		posix_spawnattr_init(&attributes);
		sigset_t none, all;
		sigemptyset(&none);
		sigfillset(&all);
		posix_spawnattr_setsigmask(&attributes, &none);
		posix_spawnattr_setsigdefault(&attributes, &all);
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
		std::vector<std::string> texts = {sandbox,
										  std::to_string(getpid()),
										  std::to_string(mapping_->bytes - CONTROL_BYTES),
										  std::to_string(limits_.memory_bytes + mapping_->bytes),
										  inspect ? "1" : "0",
										  std::to_string(delay_ms())};
		std::vector<char *> arguments;
		for (std::string &text : texts) arguments.push_back(text.data());
		arguments.push_back(nullptr);
		// Nothing of the host's environment: it may hold secrets.
		char *environment[] = {nullptr};
		const int result = posix_spawn(&pid_, sandbox.c_str(), &actions, &attributes, arguments.data(), environment);
		posix_spawnattr_destroy(&attributes);
		posix_spawn_file_actions_destroy(&actions);
		if (result != 0) {
			pid_ = 0;
			return std::string("the sandbox cannot be started: ") + strerror(result);
		}
		// Not reaped yet by anybody else, so the number is still its own.
		descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
		if (descriptor_ >= 0) return "";
		kill(pid_, SIGKILL);
		waitpid(pid_, nullptr, 0);
		pid_ = 0;
		return "this kernel has no process descriptors (Linux 5.4 has them)";
	}

	uint64_t delay_ms() {
		Failures &failures = kept_.failures[digest_];
		if (now_ns() - failures.last_ns > FORGIVEN_AFTER_NS) failures.count = 0;
		if (failures.count < 2) return 0;
		const uint64_t doubled = BACKOFF_MS << (failures.count - 2 < 10 ? failures.count - 2 : 10);
		return doubled < BACKOFF_MAX_MS ? doubled : BACKOFF_MAX_MS;
	}

	/** Kills it if it lives. `failed`: by its own fault. */
	void finish(bool failed) {
		if (pid_ == 0) return;
		if (failed) {
			Failures &failures = kept_.failures[digest_];
			failures.count++;
			failures.last_ns = now_ns();
		}
		syscall(SYS_pidfd_send_signal, descriptor_, SIGKILL, nullptr, 0);
		kept_.unreaped.push_back(descriptor_);
		kept_.reap(kept_.unreaped.size() >= UNREAPED_MAX);
		pid_ = 0;
		descriptor_ = -1;
		library_.reset();
	}

	bool ended() const {
		pollfd look = {descriptor_, POLLIN, 0};
		return poll(&look, 1, 0) > 0;
	}

	/** How it ended, for people. */
	std::string ending() const {
		siginfo_t info = {};
		if (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(descriptor_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return "ended";
		if (info.si_code == CLD_EXITED) return "exited with status " + std::to_string(info.si_status);
		if (info.si_status == SIGSYS) return "was killed for a system call that is not allowed (SIGSYS)";
		return std::string("was killed by ") + "SIG" + (sigabbrev_np(info.si_status) == nullptr ? "?" : sigabbrev_np(info.si_status));
	}

	/** CPU time of the sandbox so far: clock of another process, by its number. */
	uint64_t cpu_ns() const { return now_ns(static_cast<clockid_t>((~static_cast<unsigned>(pid_) << 3) | 2)); }

	/** Neither running nor waiting for a core: it waits for something that nobody will give it. */
	bool is_blocked() const {
		char path[64], text[512];
		snprintf(path, sizeof path, "/proc/%d/stat", pid_);
		const File stat(open(path, O_RDONLY | O_CLOEXEC));
		const ssize_t length = stat.number < 0 ? 0 : read(stat.number, text, sizeof text - 1);
		if (length <= 0) return false;
		text[length] = 0;
		const char *name_end = strrchr(text, ')');
		return name_end != nullptr && (name_end[2] == 'S' || name_end[2] == 'D' || name_end[2] == 'T');
	}

	/** `ready(waitMs)`: 'ready', 'starting', 'refused' or 'gone'. */
	Napi::Value ready(const Napi::CallbackInfo &info) {
		const uint64_t until = now_ns() + static_cast<uint64_t>(info[0].ToNumber().Int64Value()) * 1'000'000;
		const timespec look = {0, 2'000'000};
		for (;;) {
			if (pid_ == 0) return Napi::String::New(info.Env(), "gone");
			const uint32_t state = control_->state.load();
			if (state == STATE_READY) return Napi::String::New(info.Env(), "ready");
			if (state == STATE_REFUSED || ended()) {
				refusal_ = state == STATE_REFUSED ? told() : "the sandbox " + ending() + " while the library was loaded";
				finish(true);
				return Napi::String::New(info.Env(), "refused");
			}
			if (now_ns() >= until) return Napi::String::New(info.Env(), "starting");
			futex_wait(&control_->state, state, &look);
		}
	}

   public:
	/** One call; see the top of this file. */
	int32_t run(uint32_t hook, int32_t argument) {
		if (pid_ == 0 || control_->state.load(std::memory_order_relaxed) != STATE_READY) return CALL_GONE;
		if (late_ && !caught_up()) return pid_ == 0 ? CALL_OVERDUE : CALL_HOST_LATE;
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
			if (turn % TURNS_PER_LOOK == 0 && now_ns() - began_ns_ > spin_ns) return wait(request);
		}
		misses_ = 0;
		return answered();
	}

   private:
	int32_t answered() {
		waited_ns_ = static_cast<double>(now_ns() - began_ns_);
		const int32_t status = control_->status;
		return status < 0 ? NO_STATUS : status;
	}

	int32_t wait(uint32_t request) {
		cpu_seen_ns_ = cpu_ns();
		spent_ns_ = 0;
		if (without_spin_ > 0) without_spin_--;
		else if (++misses_ == MISSES_ASIDE) move_aside();
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
			if (ended()) {
				refusal_ = "the sandbox " + ending();
				finish(true);
				return CALL_CRASHED;
			}
			if (is_overdue()) return CALL_OVERDUE;
			if (elapsed < limits_.grace_ns) continue;
			if (is_blocked() && control_->done.load() != request) return overdue("it waits and does not run");
			late_ = true;
			return CALL_HOST_LATE;
		}
	}

	/** Leaves the sandbox every core this thread may use but the one it is on, where there are others. */
	void move_aside() const {
		cpu_set_t cores;
		const int here = sched_getcpu();
		if (here < 0 || sched_getaffinity(0, sizeof cores, &cores) != 0) return;
		CPU_CLR(here, &cores);
		if (CPU_COUNT(&cores) > 0) sched_setaffinity(pid_, sizeof cores, &cores);
	}

	/**
	 * It has itself used up the time it was given: what a loaded machine took from it does not count. Of one look at most twice its length is charged: a
	 * virtual core that was taken away shows as a leap of the clock, a call that does not end as many small steps.
	 */
	bool is_overdue() {
		const uint64_t seen = cpu_ns();
		const uint64_t used = seen - cpu_seen_ns_;
		cpu_seen_ns_ = seen;
		spent_ns_ += used < 2 * LOOK_NS ? used : 2 * LOOK_NS;
		if (spent_ns_ < limits_.deadline_ns) return false;
		overdue("it used up its time");
		return true;
	}

	int32_t overdue(const char *why) {
		refusal_ = std::string("the sandbox was killed: ") + why;
		finish(true);
		return CALL_OVERDUE;
	}

	/** After a call that the machine held up: whether its answer, which nobody wants any more, has come. */
	bool caught_up() {
		if (control_->done.load(std::memory_order_acquire) == request_) {
			late_ = false;
			return true;
		}
		if (ended()) {
			refusal_ = "the sandbox " + ending();
			finish(true);
		} else if (!is_overdue() && now_ns() - began_ns_ > 100 * limits_.grace_ns && is_blocked())
			overdue("it waits and does not run");
		return false;
	}

	/** What it said of itself, as far as it can be shown. */
	std::string told() const {
		std::string text;
		for (size_t i = 0; i < MESSAGE_BYTES - 1 && control_->message[i] != 0; i++) {
			const char c = control_->message[i];
			text += c >= 0x20 && c < 0x7f ? c : '?';
		}
		return text;
	}

	Napi::Value buffer(const Napi::CallbackInfo &info) { return frame_buffer(info.Env(), mapping_, CONTROL_BYTES); }
	Napi::Value pid(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), pid_); }
	Napi::Value message(const Napi::CallbackInfo &info) { return Napi::String::New(info.Env(), refusal_); }
	Napi::Value manifest_bytes(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), control_->manifest_bytes); }
	Napi::Value waited_ns(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), waited_ns_); }
	/** `end(failed)`. */
	void end(const Napi::CallbackInfo &info) { finish(info[0].ToBoolean()); }

	Kept &kept_;
	Limits limits_ = {};
	std::string digest_;
	std::string refusal_;
	std::shared_ptr<File> library_;
	std::shared_ptr<Mapping> mapping_;
	Control *control_ = nullptr;
	pid_t pid_ = 0;
	int descriptor_ = -1;
	uint32_t request_ = 0;
	uint64_t began_ns_ = 0;
	/** CPU time at the last look, and what the call is charged with. */
	uint64_t cpu_seen_ns_ = 0;
	uint64_t spent_ns_ = 0;
	double waited_ns_ = 0;
	bool late_ = false;
	int misses_ = 0;
	int without_spin_ = 0;
};

/** The library's struct, from a copy of it that this environment alone has; the text says why not. */
const im_native_strategy *load_inline(Kept &kept, const std::string &digest, const Napi::Uint8Array &bytes, std::string &failure) {
	const auto known = kept.loaded.find(digest);
	if (known != kept.loaded.end()) return known->second;
	if (kept.loaded.size() >= INLINE_MAX) {
		failure = "too many libraries are loaded in this process; restart it";
		return nullptr;
	}
	const auto file = sealed_file(bytes);
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
		std::string failure;
		strategy_ = load_inline(kept(info.Env()), info[1].As<Napi::String>().Utf8Value(), info[0].As<Napi::Uint8Array>(), failure);
		if (strategy_ == nullptr) {
			thrown(info.Env(), failure);
			return;
		}
		mapping_ = std::make_shared<Mapping>();
		mapping_->bytes = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
		void *address = mmap(nullptr, mapping_->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (address == MAP_FAILED) {
			thrown(info.Env(), "no memory for the frame");
			return;
		}
		mapping_->address = static_cast<uint8_t *>(address);
		define_call(info.Env(), info.This().As<Napi::Object>(), this);
	}

	int32_t run(uint32_t hook, int32_t argument) {
		const int32_t status = run_hook(strategy_, hook, mapping_->address, argument);
		return status < 0 ? NO_STATUS : status;
	}

   private:

	Napi::Value buffer(const Napi::CallbackInfo &info) { return frame_buffer(info.Env(), mapping_, 0); }

	const im_native_strategy *strategy_ = nullptr;
	std::shared_ptr<Mapping> mapping_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
	env.SetInstanceData(new Kept());
	exports.Set("Process", Process::define(env));
	exports.Set("Inline", Inline::define(env));
	return exports;
}

NODE_API_MODULE(infermesh_native, init)

}  // namespace
