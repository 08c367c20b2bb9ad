// Owns the fuzzing of what the host reads of a hostile sandbox: the page they share, which changes whenever the host looks away, and the struct a library says
// it is. Whatever is there, a call ends with a status or one of its faults within its time, and text for people is text. Input: choices and bytes to write.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "contract.h"
#include "handoff.h"

namespace {

using namespace infermesh;

class Input {
   public:
	Input(const uint8_t *bytes, size_t length) : bytes_(bytes), length_(length) {}
	bool empty() const { return at_ >= length_; }
	uint8_t next8() { return empty() ? 0 : bytes_[at_++]; }
	uint32_t next32() {
		uint32_t value = 0;
		for (int i = 0; i < 4; i++) value = value << 8 | next8();
		return value;
	}

   private:
	const uint8_t *bytes_;
	size_t length_;
	size_t at_ = 0;
};

[[noreturn]] void fail(const char *what) {
	fprintf(stderr, "PAGE: %s\n", what);
	abort();
}

/** Answers with what the input says, and writes into the page each time it is asked. */
class Hostile {
   public:
	Hostile(Input &input, uint8_t *page) : input_(input), page_(page) {}
	bool ended() {
		scribble();
		return input_.next8() > 250;
	}
	uint64_t cpu_ns() {
		scribble();
		// A clock of another process can leap, stand, and be gone.
		return input_.next8() & 1 ? cpu_ns_ += input_.next8() * 10'000u : 0;
	}
	bool is_blocked() {
		scribble();
		return (input_.next8() & 7) == 0;
	}
	void move_aside() { scribble(); }
	/** The number of the call that a host is waiting for, or nearly. */
	uint32_t expected = 0;

   private:
	void scribble() {
		const uint8_t how = input_.next8();
		if (how < 64) {
			const uint32_t done = expected + (how < 48 ? 0 : how);
			memcpy(page_ + offsetof(Control, done), &done, sizeof done);
		} else if (how < 192) {
			const size_t at = input_.next32() % sizeof(Control);
			for (size_t i = 0; i < 8u && at + i < sizeof(Control); i++) page_[at + i] = input_.next8();
		}
	}

	Input &input_;
	uint8_t *page_;
	uint64_t cpu_ns_ = 0;
};

void call_over(Input &input) {
	// As large as what is used of the page: a reader that goes on is found.
	const std::unique_ptr<uint8_t, decltype(&free)> page(static_cast<uint8_t *>(aligned_alloc(64, sizeof(Control))), free);
	for (size_t i = 0; i < sizeof(Control); i++) page.get()[i] = input.next8();
	auto *control = reinterpret_cast<Control *>(page.get());
	Hostile hostile(input, page.get());
	const CallLimits limits = {input.next8() * 100u, input.next8() * 1000u, input.next8() * 4000u};
	Caller<Hostile> caller(control, hostile, limits);
	for (int calls = 0; calls < 8 && !input.empty(); calls++) {
		hostile.expected++;
		const int32_t status = caller.call(input.next8(), static_cast<int32_t>(input.next32()));
		// A call that is refused because the one before is still running has no number.
		if (status == CALL_HOST_LATE) hostile.expected = control->request.load();
		if (status < 0 && status != CALL_CRASHED && status != CALL_OVERDUE && status != CALL_HOST_LATE) fail("a status that is none");
		if (status == CALL_OVERDUE && *caller.why() == 0) fail("overdue for no reason");
		if (status == CALL_CRASHED || status == CALL_OVERDUE) break;
	}
	const auto text = told<std::string>(control);
	if (text.size() >= MESSAGE_BYTES) fail("more text than there is room for");
	for (const char c : text)
		if (c < 0x20 || c > 0x7e) fail("text that cannot be shown");
}

int32_t hook(uint8_t *) { return IM_STATUS_OK; }
int32_t hook_with(uint8_t *, int32_t) { return IM_STATUS_OK; }

/** Only as many bytes as the struct says it has are there. */
void judge(Input &input) {
	im_native_strategy said = {};
	said.magic = input.next8() & 7 ? IM_NATIVE_MAGIC : input.next32();
	said.abi_major = input.next8() & 7 ? IM_NATIVE_ABI_MAJOR : input.next8();
	said.struct_bytes = input.next8() & 3 ? sizeof said : input.next8() % sizeof said;
	said.frame_abi_version = input.next8() & 7 ? IM_ABI_VERSION : input.next32();
	said.capabilities = input.next8() & 7 ? input.next8() & 63 : static_cast<uint64_t>(input.next32()) << 32;
	static const char manifest[] = "{}";
	said.manifest = input.next8() & 7 ? manifest : nullptr;
	said.manifest_bytes = input.next8() & 7 ? 2 : input.next32();
	const uint8_t hooks = input.next8() & 3 ? static_cast<uint8_t>(said.capabilities) : input.next8();
	if (hooks & IM_NATIVE_HAS_INIT) said.init = hook;
	if (hooks & IM_NATIVE_HAS_RANK) said.rank = hook;
	if (hooks & IM_NATIVE_HAS_PLAN) said.plan = hook;
	if (hooks & IM_NATIVE_HAS_ADMIT) said.admit = hook;
	if (hooks & IM_NATIVE_HAS_OBSERVE) said.observe = hook_with;
	if (hooks & IM_NATIVE_HAS_TICK) said.tick = hook;
	// Up to its size a struct can be read.
	const size_t there = said.struct_bytes < 12 ? 12 : said.struct_bytes < sizeof said ? said.struct_bytes : sizeof said;
	const std::unique_ptr<uint8_t, decltype(&free)> bytes(static_cast<uint8_t *>(malloc(there)), free);
	memcpy(bytes.get(), &said, there);
	const auto *strategy = reinterpret_cast<const im_native_strategy *>(bytes.get());
	if (fault_of(strategy) != nullptr) return;
	if (strategy->manifest_bytes > IM_NATIVE_MANIFEST_BYTES_MAX || (strategy->capabilities >> 32) != 0) fail("a library that no host can run");
	uint8_t frame[1] = {};
	for (uint32_t number = 0; number < HOOKS + 2; number++) {
		const bool has = number < HOOKS && (strategy->capabilities >> number & 1) != 0;
		const int32_t status = run_hook(strategy, number, frame, 0);
		if (has && number != HOOK_PLAN && status != IM_STATUS_OK) fail("a hook that is there was not run");
	}
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
	Input input(bytes, length);
	if (input.next8() & 1) judge(input);
	else call_over(input);
	return 0;
}
