// Owns the hand-off under a race detector: host and sandbox as two threads of one process, running the very code of handoff.h over plain memory for a frame.
// The host writes a question, the sandbox reads it and writes its answer, and now and then takes so long that the host goes on without. Argument: calls.
// Ends with 0 when every answer fits its question; ThreadSanitizer ends it otherwise.
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <thread>

#include "handoff.h"

namespace {

using namespace infermesh;

constexpr uint32_t FRAME_WORDS = 64;
constexpr int32_t STOP = -1;

/** Plain words: who reads or writes them out of turn is what is looked for. */
uint32_t frame[FRAME_WORDS];
alignas(64) Control control;

uint32_t mixed(uint32_t value) { return (value ^ (value >> 15)) * 0x2c1b3c6du + 0x9e3779b9u; }

void spend(uint64_t ns) {
	for (const uint64_t until = now_ns() + ns; now_ns() < until;) pause_cpu();
}

/** As `serve` of sandbox.cc, with this for a strategy: each word becomes what it was mixed. Long and short by turns. */
void serve() {
	uint64_t spin_ns = 0;
	for (uint32_t served = 0;;) {
		await_request(&control, served, spin_ns);
		served = control.request.load(std::memory_order_acquire);
		const int32_t argument = control.argument;
		if (argument % 7 == 3) spend(40'000);
		if (argument % 97 == 5) spend(3'000'000);
		for (uint32_t &word : frame) word = mixed(word);
		spin_ns = control.spin_ns;
		answer(&control, served, argument == STOP ? 1 : 0);
		if (argument == STOP) return;
	}
}

class OtherThread {
   public:
	explicit OtherThread(pthread_t thread) { pthread_getcpuclockid(thread, &clock_); }
	bool ended() const { return false; }
	uint64_t cpu_ns() const { return now_ns(clock_); }
	bool is_blocked() const { return false; }
	void move_aside() const {}

   private:
	clockid_t clock_;
};

}  // namespace

int main(int count, char **arguments) {
	const uint32_t calls = count > 1 ? static_cast<uint32_t>(atoi(arguments[1])) : 20'000;
	std::thread sandbox(serve);
	OtherThread other(sandbox.native_handle());
	// Patient with the sandbox, impatient with the machine: an answer that comes late is what must not be torn.
	Caller<OtherThread> caller(&control, other, {20'000, 60'000'000'000, 1'000'000});
	uint32_t answered = 0, late = 0, wrong = 0;
	for (uint32_t number = 1; number <= calls; number++) {
		while (caller.settle() != 0) sched_yield();
		for (uint32_t i = 0; i < FRAME_WORDS; i++) frame[i] = number + i;
		const int32_t status = caller.call(0, static_cast<int32_t>(number));
		if (status == CALL_HOST_LATE) {
			late++;
			continue;
		}
		answered++;
		for (uint32_t i = 0; i < FRAME_WORDS; i++)
			if (status != 0 || frame[i] != mixed(number + i)) wrong++;
		// The next one finds the sandbox looking, or asleep.
		if (number % 11 == 0) spend(60'000);
	}
	while (caller.settle() != 0) sched_yield();
	while (caller.call(0, STOP) == CALL_HOST_LATE)
		if (caller.settle() == 0) break;
	sandbox.join();
	printf("{\"answered\": %u, \"late\": %u, \"wrong\": %u}\n", answered, late, wrong);
	return wrong == 0 && answered + late == calls ? 0 : 1;
}
