// Owns what the addon has of the kernel and must give back: descriptors, mappings, and bytes as files that nobody can change.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace infermesh {

struct File {
	explicit File(int number = -1) : number(number) {}
	~File() {
		if (number >= 0) close(number);
	}
	File(const File &) = delete;
	File &operator=(const File &) = delete;
	int number;
};

struct Mapping {
	Mapping() = default;
	~Mapping() {
		if (address != nullptr) munmap(address, bytes);
	}
	Mapping(const Mapping &) = delete;
	Mapping &operator=(const Mapping &) = delete;
	uint8_t *address = nullptr;
	size_t bytes = 0;
};

/** A library as a file in memory that nobody can change any more, wherever its bytes came from; null when there is no memory. */
inline std::shared_ptr<File> sealed_file(const uint8_t *bytes, size_t length) {
	auto file = std::make_shared<File>(memfd_create("infermesh-strategy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (file->number < 0) return nullptr;
	for (size_t at = 0; at < length;) {
		const ssize_t written = write(file->number, bytes + at, length - at);
		if (written <= 0) return nullptr;
		at += static_cast<size_t>(written);
	}
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	return fcntl(file->number, F_ADD_SEALS, seals) == 0 ? file : nullptr;
}

/** Maps `bytes` of a file, or of nothing when there is none; null when it cannot be. */
inline std::shared_ptr<Mapping> map(const File *file, size_t bytes) {
	auto mapping = std::make_shared<Mapping>();
	const int how = file == nullptr ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, how, file == nullptr ? -1 : file->number, 0);
	if (address == MAP_FAILED) return nullptr;
	mapping->address = static_cast<uint8_t *>(address);
	mapping->bytes = bytes;
	return mapping;
}

}  // namespace infermesh
