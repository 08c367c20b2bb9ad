// Owns what one environment (a thread of JavaScript) keeps between strategies: libraries in memory, how often which of them failed, ended sandboxes that
// are still to be reaped, and libraries loaded into this process.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "child.h"
#include "infermesh_abi.h"

namespace infermesh {

/** A quiet minute forgives. */
constexpr uint64_t FORGIVEN_AFTER_NS = 60'000'000'000;
/** Ended sandboxes not yet reaped; from here on ending one waits for it. */
constexpr size_t UNREAPED_MAX = 16;
/** Versions whose failures and files are remembered at once; the names of those without either go first. */
constexpr size_t VERSIONS_SWEPT_AT = 256;

/** How long a version whose sandbox failed waits before it loads again: doubled with each failure after the second, up to the most. */
struct Backoff {
	uint64_t first_ms, most_ms;
};

class Kept {
   public:
	~Kept() { reap(true); }

	/** The library of this digest in memory, put there unless it is in use; null when there is no memory. */
	std::shared_ptr<File> library(const std::string &digest, const uint8_t *bytes, size_t length) {
		if (libraries_.size() >= VERSIONS_SWEPT_AT) sweep(libraries_, [](const std::weak_ptr<File> &file) { return file.expired(); });
		std::weak_ptr<File> &known = libraries_[digest];
		std::shared_ptr<File> file = known.lock();
		if (file == nullptr) known = file = sealed_file(bytes, length);
		return file;
	}

	void failed(const std::string &digest) {
		if (failures_.size() >= VERSIONS_SWEPT_AT) sweep(failures_, [](const Failures &failures) { return failures.forgiven(); });
		Failures &failures = failures_[digest];
		if (failures.forgiven()) failures.count = 0;
		failures.count++;
		failures.last_ns = now_ns();
	}

	uint64_t delay_ms(const std::string &digest, const Backoff &backoff) const {
		const auto known = failures_.find(digest);
		if (known == failures_.end() || known->second.forgiven() || known->second.count < 2) return 0;
		const uint64_t doublings = known->second.count - 2;
		const uint64_t doubled = backoff.first_ms << (doublings < 20 ? doublings : 20);
		return doubled < backoff.most_ms ? doubled : backoff.most_ms;
	}

	/** Takes over an ended sandbox. */
	void ended(int descriptor) {
		unreaped_.push_back(descriptor);
		reap(unreaped_.size() >= UNREAPED_MAX);
	}

	void reap(bool wait) {
		std::vector<int> rest;
		for (const int descriptor : unreaped_) {
			siginfo_t info = {};
			const int result = waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(descriptor), &info, WEXITED | (wait ? 0 : WNOHANG));
			if (result == 0 && info.si_pid == 0) rest.push_back(descriptor);
			else close(descriptor);
		}
		unreaped_.swap(rest);
	}

	/** Loaded into this process, for good. */
	std::map<std::string, const im_native_strategy *> loaded;

   private:
	struct Failures {
		uint64_t count = 0;
		uint64_t last_ns = 0;
		bool forgiven() const { return now_ns() - last_ns > FORGIVEN_AFTER_NS; }
	};

	template <class Value, class Spent>
	static void sweep(std::map<std::string, Value> &map, Spent spent) {
		for (auto at = map.begin(); at != map.end();) at = spent(at->second) ? map.erase(at) : std::next(at);
	}

	/** In use by sandboxes; gone with the last of them. */
	std::map<std::string, std::weak_ptr<File>> libraries_;
	std::map<std::string, Failures> failures_;
	/** Process descriptors of ended sandboxes. */
	std::vector<int> unreaped_;
};

}  // namespace infermesh
