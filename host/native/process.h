// Owns `Process`: one strategy in a sandbox of its own, over memory both map. What runs there is believed in nothing but the frame's content, which the
// caller checks.
#pragma once
#include <optional>

#include "binding.h"
#include "handoff.h"

namespace infermesh {

class Process : public Napi::ObjectWrap<Process> {
   public:
	static Napi::Function define(Napi::Env env) {
		return DefineClass(env, "Process",
						   {InstanceAccessor<&Process::buffer>("buffer"), InstanceAccessor<&Process::pid>("pid"),
							InstanceAccessor<&Process::message>("message"), InstanceAccessor<&Process::manifest_bytes>("manifestBytes"),
							InstanceAccessor<&Process::figures>("figures"), InstanceMethod<&Process::ready>("ready"),
							InstanceMethod<&Process::settle>("settle"), InstanceMethod<&Process::end>("end")});
	}

	/** `new Process(sandbox, library, digest, frameBytes, inspect, [spinUs, deadlineUs, graceUs, memoryBytes, restartMs, restartMaxMs, startMs])`. */
	explicit Process(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Process>(info), kept_(kept_of(info.Env())) {
		const std::string failure = open(info);
		if (failure.empty()) define_call(info.Env(), info.This().As<Napi::Object>(), this);
		else throw_error(info.Env(), failure);
	}

	~Process() override { finish(false); }

	/** One call; see handoff.h. */
	int32_t run(uint32_t hook, int32_t argument) {
		if (!ready_) return CALL_GONE;
		const int32_t result = judged(caller_->call(hook, argument));
		figures_[WAITED_NS] = static_cast<double>(caller_->waited_ns());
		return result;
	}

   private:
	/** Places in the figures. */
	enum : size_t { WAITED_NS, FIGURES };

	/** Empty, or why there is no sandbox. */
	std::string open(const Napi::CallbackInfo &info) {
		auto figures = Napi::Float64Array::New(info.Env(), FIGURES);
		figures_ = figures.Data();
		figures_array_ = Napi::Persistent(figures);
		const auto numbers = info[5].As<Napi::Array>();
		const auto number = [&](uint32_t index) { return static_cast<uint64_t>(numbers.Get(index).ToNumber().Int64Value()); };
		const auto bytes = info[1].As<Napi::Uint8Array>();
		digest_ = info[2].As<Napi::String>().Utf8Value();
		const auto frame_bytes = static_cast<size_t>(info[3].As<Napi::Number>().Int64Value());
		library_ = kept_.library(digest_, bytes.Data(), bytes.ByteLength());
		if (library_ == nullptr) return "the library cannot be put into memory";
		const File shared(memfd_create("infermesh-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING));
		const size_t shared_bytes = CONTROL_BYTES + frame_bytes;
		// A sandbox that could make it shorter could kill its host.
		if (shared.number < 0 || ftruncate(shared.number, static_cast<off_t>(shared_bytes)) != 0 ||
			fcntl(shared.number, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
			return "no shared memory";
		mapping_ = map(&shared, shared_bytes);
		if (mapping_ == nullptr) return "the shared memory cannot be mapped";
		control_ = reinterpret_cast<Control *>(mapping_->address);
		caller_.emplace(control_, child_, CallLimits{number(0) * 1000, number(1) * 1000, number(2) * 1000});
		kept_.reap(false);
		const uint64_t delay_ms = kept_.delay_ms(digest_, {number(4), number(5)});
		start_ms_ = number(6);
		start_until_ns_ = now_ns() + (delay_ms + start_ms_) * 1'000'000;
		return child_.start({info[0].As<Napi::String>().Utf8Value(), shared.number, library_->number, frame_bytes, number(3) + shared_bytes,
							 info[4].ToBoolean(), delay_ms});
	}

	/** A sandbox that will not answer any more is ended, by its own fault. */
	int32_t judged(int32_t result) {
		if (result == CALL_CRASHED) fail("the sandbox " + child_.ending());
		else if (result == CALL_OVERDUE) fail(std::string("the sandbox was killed: ") + caller_->why());
		return result;
	}

	void fail(const std::string &why) {
		message_ = why;
		finish(true);
	}

	/** Kills it if it lives. `failed`: by its own fault. */
	void finish(bool failed) {
		if (child_.pid() == 0) return;
		if (failed) kept_.failed(digest_);
		kept_.ended(child_.kill());
		ready_ = false;
		library_.reset();
	}

	/** `ready(waitMs)`: 'ready', 'starting', 'refused' or 'gone'. One that has not loaded in its time is refused, however often it is asked. */
	Napi::Value ready(const Napi::CallbackInfo &info) {
		const auto word = [&](const char *text) { return Napi::String::New(info.Env(), text); };
		const uint64_t until = now_ns() + static_cast<uint64_t>(info[0].ToNumber().Int64Value()) * 1'000'000;
		const timespec look = {0, 2'000'000};
		kept_.reap(false);
		for (;;) {
			if (child_.pid() == 0) return word("gone");
			// Believed once: what the sandbox says later of its state is of no account.
			if (ready_) return word("ready");
			const uint32_t state = control_->state.load();
			if (state == STATE_READY) {
				ready_ = true;
			} else if (state == STATE_REFUSED || child_.ended()) {
				fail(state == STATE_REFUSED ? told<std::string>(control_) : "the sandbox " + child_.ending() + " while the library was loaded");
				return word("refused");
			} else if (const uint64_t now = now_ns(); now >= start_until_ns_) {
				fail("the library did not load within " + std::to_string(start_ms_) + " ms");
				return word("refused");
			} else if (now >= until) {
				return word("starting");
			} else {
				futex_wait(&control_->state, state, &look);
			}
		}
	}

	Napi::Value buffer(const Napi::CallbackInfo &info) { return frame_buffer(info.Env(), mapping_, CONTROL_BYTES); }
	Napi::Value pid(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), child_.pid()); }
	Napi::Value message(const Napi::CallbackInfo &info) { return Napi::String::New(info.Env(), message_); }
	Napi::Value manifest_bytes(const Napi::CallbackInfo &info) { return Napi::Number::New(info.Env(), control_->manifest_bytes); }
	Napi::Value figures(const Napi::CallbackInfo &) { return figures_array_.Value(); }
	/** `settle()`: 0 when the frame is the host's, else the fault that it is not. */
	Napi::Value settle(const Napi::CallbackInfo &info) {
		return Napi::Number::New(info.Env(), ready_ ? judged(caller_->settle()) : CALL_GONE);
	}
	/** `end(failed)`. */
	void end(const Napi::CallbackInfo &info) { finish(info[0].ToBoolean()); }

	Kept &kept_;
	std::string digest_;
	std::string message_;
	std::shared_ptr<File> library_;
	std::shared_ptr<Mapping> mapping_;
	Control *control_ = nullptr;
	Child child_;
	std::optional<Caller<Child>> caller_;
	bool ready_ = false;
	uint64_t start_ms_ = 0, start_until_ns_ = 0;
	/** Of the last call, for metrics: memory of the environment, that JavaScript reads without a call. */
	double *figures_ = nullptr;
	Napi::Reference<Napi::Float64Array> figures_array_;
};

}  // namespace infermesh
