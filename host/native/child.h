// Owns one sandbox as a child process: its start, what the kernel knows of it, and its end. Whoever ends it leaves the process descriptor to kept.h, which
// reaps it.
#pragma once
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "control.h"
#include "memory.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace infermesh {

/** What a sandbox is started with. */
struct ChildOptions {
	/** Path of the sandbox program. */
	std::string program;
	/** Numbers of the shared memory and the library. */
	int shared, library;
	size_t frame_bytes;
	/** Address space, all in. */
	uint64_t memory_bytes;
	/** It says what the library is, too. */
	bool inspect;
	/** It waits so long before it loads the library. */
	uint64_t delay_ms;
};

class Child {
   public:
	/** Empty, or why there is none. */
	std::string start(const ChildOptions &options) {
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		for (int number = 0; number < 3; number++) posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0);
		// By way of numbers that are free: either may be the number that the other is to get.
		posix_spawn_file_actions_adddup2(&actions, options.shared, 250);
		posix_spawn_file_actions_adddup2(&actions, options.library, 251);
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
		std::vector<std::string> texts = {options.program,
										  std::to_string(getpid()),
										  std::to_string(options.frame_bytes),
										  std::to_string(options.memory_bytes),
										  options.inspect ? "1" : "0",
										  std::to_string(options.delay_ms)};
		std::vector<char *> arguments;
		for (std::string &text : texts) arguments.push_back(text.data());
		arguments.push_back(nullptr);
		// Nothing of the host's environment: it may hold secrets.
		char *environment[] = {nullptr};
		const int result = posix_spawn(&pid_, options.program.c_str(), &actions, &attributes, arguments.data(), environment);
		posix_spawnattr_destroy(&attributes);
		posix_spawn_file_actions_destroy(&actions);
		if (result != 0) {
			pid_ = 0;
			return std::string("the sandbox cannot be started: ") + strerror(result);
		}
		// Not reaped yet by anybody else, so the number is still its own.
		descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
		if (descriptor_ >= 0) return "";
		::kill(pid_, SIGKILL);
		waitpid(pid_, nullptr, 0);
		pid_ = 0;
		return "this kernel has no process descriptors (Linux 5.4 has them)";
	}

	/** 0 when there is none. */
	pid_t pid() const { return pid_; }

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

	/** CPU time so far: clock of another process, by its number. */
	uint64_t cpu_ns() const { return now_ns(static_cast<clockid_t>((~static_cast<unsigned>(pid_) << 3) | 2)); }

	/** Neither running nor waiting for a core: it waits for something that nobody will give it. What the kernel does for it (D), such as ending it, ends. */
	bool is_blocked() const {
		char path[64], text[512];
		snprintf(path, sizeof path, "/proc/%d/stat", pid_);
		const File stat(open(path, O_RDONLY | O_CLOEXEC));
		const ssize_t length = stat.number < 0 ? 0 : read(stat.number, text, sizeof text - 1);
		if (length <= 0) return false;
		text[length] = 0;
		const char *name_end = strrchr(text, ')');
		return name_end != nullptr && (name_end[2] == 'S' || name_end[2] == 'T');
	}

	/** Leaves it every core this thread may use but the one it is on, where there are others. */
	void move_aside() const {
		cpu_set_t cores;
		const int here = sched_getcpu();
		if (here < 0 || sched_getaffinity(0, sizeof cores, &cores) != 0) return;
		CPU_CLR(here, &cores);
		if (CPU_COUNT(&cores) > 0) sched_setaffinity(pid_, sizeof cores, &cores);
	}

	/** Kills it; its process descriptor, to be reaped, is the caller's from here on. */
	int kill() {
		syscall(SYS_pidfd_send_signal, descriptor_, SIGKILL, nullptr, 0);
		const int descriptor = descriptor_;
		pid_ = 0;
		descriptor_ = -1;
		return descriptor;
	}

   private:
	pid_t pid_ = 0;
	int descriptor_ = -1;
};

}  // namespace infermesh
