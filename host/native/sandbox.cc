// Owns the process in which one native strategy runs: no Node, no network, no files, no threads, a bound on memory. It maps the page and the frame it
// shares with its host, shuts itself in, loads the library, shuts itself in further, and answers one call after another until it is killed, which it is
// at the latest when its host's thread ends.
//   sandbox HOST_PID FRAME_BYTES MEMORY_BYTES INSPECT DELAY_MS      file 3: the shared memory, file 4: the library
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <vector>

#include "contract.h"
#include "handoff.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

namespace {

using namespace infermesh;

constexpr int SHARED_FD = 3;
constexpr int LIBRARY_FD = 4;
constexpr unsigned LOAD_CPU_S_MAX = 10;

#if defined(__x86_64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_AARCH64;
#else
#error "Linux on x64 and arm64 only"
#endif

using Filter = std::vector<sock_filter>;

constexpr sock_filter statement(uint16_t code, uint32_t value) { return {code, 0, 0, value}; }

/** Offset of the low word of a system call's argument: little-endian machines. */
constexpr uint32_t argument_at(int index) { return static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * index); }

/** Kills on another architecture, whose numbers mean other calls. */
Filter begin_filter() {
	return {
		statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
		{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE},
		statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
	};
}

void allow(Filter &filter, long number) {
	filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(number)});
	filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/** Allows a call when `argument & mask` is `value`; kills otherwise. */
void allow_if(Filter &filter, long number, int argument, uint32_t mask, uint32_t value) {
	filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 5, static_cast<uint32_t>(number)});
	filter.push_back(statement(BPF_LD | BPF_W | BPF_ABS, argument_at(argument)));
	filter.push_back(statement(BPF_ALU | BPF_AND | BPF_K, mask));
	filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value});
	filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
}

/** What memory allocation, waiting and ending need. */
void allow_running(Filter &filter) {
	for (const long number : {SYS_futex, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_clock_gettime, SYS_brk, SYS_munmap, SYS_madvise,
							  SYS_mremap, SYS_sched_yield, SYS_getrandom, SYS_restart_syscall})
		allow(filter, number);
}

bool install(Filter filter) {
	filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	const sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/** While the library is loaded and its constructors run: files may be read (landlock leaves only the library), nothing else be reached. */
bool shut_in_for_loading() {
	Filter filter = begin_filter();
	allow_running(filter);
	for (const long number :
		 {SYS_read, SYS_pread64, SYS_lseek, SYS_close, SYS_fstat, SYS_newfstatat, SYS_mmap, SYS_mprotect, SYS_seccomp, SYS_prlimit64})
		allow(filter, number);
	allow_if(filter, SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY);
	return install(filter);
}

/** From the first call on: anonymous memory that is never executable, and nothing else. Of two filters the stricter answer holds. */
bool shut_in_for_running() {
	Filter anonymous = begin_filter();
	anonymous.push_back({BPF_JMP | BPF_JEQ | BPF_K, 1, 0, static_cast<uint32_t>(SYS_mmap)});
	anonymous.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	allow_if(anonymous, SYS_mmap, 3, MAP_ANONYMOUS, MAP_ANONYMOUS);
	if (!install(anonymous)) return false;
	Filter filter = begin_filter();
	allow_running(filter);
	allow_if(filter, SYS_mprotect, 2, PROT_EXEC, 0);
	allow_if(filter, SYS_mmap, 2, PROT_EXEC, 0);
	return install(filter);
}

/** Files of no file system may be opened, where the kernel has landlock (5.13); the library is in memory and stays within reach. */
void shut_out_files() {
	// All rights of the first version of landlock, none of them given back.
	const uint64_t handled = (1u << 13) - 1;
	const long ruleset = syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	if (ruleset < 0) return;
	syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(static_cast<int>(ruleset));
}

void limit(int what, rlim_t value) {
	const rlimit both = {value, value};
	setrlimit(static_cast<__rlimit_resource_t>(what), &both);
}

void limit_resources(size_t memory) {
	limit(RLIMIT_AS, memory);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_NOFILE, 16);
	limit(RLIMIT_MEMLOCK, 0);
	// Of loading only: what decides may live for weeks, and its host watches the time of every call.
	const rlimit loading = {LOAD_CPU_S_MAX, RLIM_INFINITY};
	setrlimit(RLIMIT_CPU, &loading);
}

[[noreturn]] void refuse(Control *control, const char *what, const char *why) {
	snprintf(control->message, MESSAGE_BYTES, "%s%s", what, why == nullptr ? "" : why);
	control->state.store(STATE_REFUSED);
	futex_wake(&control->state);
	_exit(1);
}

const im_native_strategy *load(Control *control) {
	void *library = dlopen("/proc/self/fd/4", RTLD_NOW | RTLD_LOCAL);
	if (library == nullptr) refuse(control, "IM_NATIVE_LOAD: ", dlerror());
	const auto entry = reinterpret_cast<const im_native_strategy *(*)()>(dlsym(library, IM_NATIVE_SYMBOL));
	if (entry == nullptr) refuse(control, "IM_NATIVE_SYMBOL: ", dlerror());
	const im_native_strategy *strategy = entry();
	const char *fault = fault_of(strategy);
	if (fault != nullptr) refuse(control, fault, nullptr);
	return strategy;
}

[[noreturn]] void serve(Control *control, const im_native_strategy *strategy, uint8_t *frame) {
	uint64_t spin_ns = 0;
	for (uint32_t served = 0;;) {
		await_request(control, served, spin_ns);
		served = control->request.load(std::memory_order_acquire);
		const int32_t status = run_hook(strategy, control->hook, frame, control->argument);
		spin_ns = control->spin_ns;
		answer(control, served, status);
	}
}

}  // namespace

int main(int count, char **arguments) {
	if (count != 6) return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != atoi(arguments[1])) return 3;
	const size_t frame_bytes = strtoull(arguments[2], nullptr, 10);
	const size_t memory = strtoull(arguments[3], nullptr, 10);
	const bool inspect = atoi(arguments[4]) != 0;
	const long delay_ms = atol(arguments[5]);
	syscall(SYS_close_range, LIBRARY_FD + 1, ~0u, 0);
	void *shared = mmap(nullptr, CONTROL_BYTES + frame_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (shared == MAP_FAILED) return 4;
	close(SHARED_FD);
	auto *control = static_cast<Control *>(shared);
	uint8_t *frame = static_cast<uint8_t *>(shared) + CONTROL_BYTES;
	const timespec delay = {delay_ms / 1000, delay_ms % 1000 * 1000000};
	nanosleep(&delay, nullptr);
	limit_resources(memory);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) refuse(control, "IM_NATIVE_SANDBOX: ", "no_new_privs cannot be set");
	shut_out_files();
	if (!shut_in_for_loading()) refuse(control, "IM_NATIVE_SANDBOX: ", "this kernel has no seccomp filters");
	const im_native_strategy *strategy = load(control);
	close(LIBRARY_FD);
	const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	setrlimit(RLIMIT_CPU, &unlimited);
	if (!shut_in_for_running()) refuse(control, "IM_NATIVE_SANDBOX: ", "the second filter was refused");
	if (inspect) {
		control->capabilities = strategy->capabilities;
		control->manifest_bytes = static_cast<uint32_t>(strategy->manifest_bytes);
		if (strategy->manifest_bytes <= frame_bytes) memcpy(frame, strategy->manifest, strategy->manifest_bytes);
	}
	control->state.store(STATE_READY);
	futex_wake(&control->state);
	serve(control, strategy, frame);
}
