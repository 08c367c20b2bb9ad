// Owns the way from JavaScript to NVIDIA's management library: loads it by dlopen, so that it need not be there when this is built, and calls it in a
// thread of its own, so that a driver which hangs holds up nothing else. One request at a time; the answer is a JSON text of raw NVML values, which
// nvml.ts puts into the mesh's units. What a device does not support is left out; any other failure is listed.
#include <dlfcn.h>
#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Device = void *;
using EventSet = void *;

// Of NVML's ABI, which is stable: results, sensors and structures as its header has them.
constexpr int SUCCESS = 0;
constexpr int NOT_SUPPORTED = 3;
constexpr int NO_PERMISSION = 4;
constexpr int NOT_FOUND = 6;
constexpr int INSUFFICIENT_SIZE = 7;
constexpr int FUNCTION_NOT_FOUND = 13;
constexpr int GPU_IS_LOST = 15;
constexpr unsigned NVLINKS_MAX = 18;
constexpr unsigned EVENTS_PER_LOOK_MAX = 64;
constexpr uint64_t EVENT_XID = 0x8;

struct PciInfo {
	char bus_id_legacy[16];
	unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
	char bus_id[32];
};
struct Memory {
	uint64_t total, free, used;
};
struct MemoryV2 {
	unsigned version;
	uint64_t total, reserved, free, used;
};
struct Utilization {
	unsigned gpu, memory;
};
struct Attributes {
	unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
	uint64_t memory_mb;
};
struct EventData {
	Device device;
	uint64_t type, data;
	unsigned gpu_instance, compute_instance;
};

class Json {
   public:
	void open(char bracket) {
		comma();
		text_ += bracket;
		fresh_ = true;
	}
	void close(char bracket) {
		text_ += bracket;
		fresh_ = false;
	}
	void key(const char *name) {
		quoted(name);
		text_ += ':';
		fresh_ = true;
	}
	void number(const char *name, uint64_t value) {
		key(name);
		comma();
		text_ += std::to_string(value);
	}
	void quoted(const std::string &value) {
		comma();
		text_ += '"';
		for (const char c : value) {
			if (c == '"' || c == '\\') text_ += '\\';
			if (static_cast<unsigned char>(c) >= 0x20) text_ += c;
		}
		text_ += '"';
	}
	void text(const char *name, const std::string &value) {
		key(name);
		quoted(value);
	}
	const std::string &str() const { return text_; }

   private:
	void comma() {
		if (!fresh_) text_ += ',';
		fresh_ = false;
	}
	std::string text_;
	bool fresh_ = true;
};

/** The library and what it has been asked for; used by one thread only. */
class Library {
   public:
	/** The empty text, or why it cannot be used. */
	std::string open(const std::string &path) {
		handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
		if (handle_ == nullptr) return dlerror();
		const int result = call<int (*)()>("nvmlInit_v2");
		return result == SUCCESS ? "" : "nvmlInit_v2: " + describe(result);
	}

	void shut() {
		if (handle_ != nullptr) call<int (*)()>("nvmlShutdown");
	}

	std::string look() {
		Json json;
		errors_.clear();
		json.open('{');
		char driver[96] = "";
		if (call<int (*)(char *, unsigned)>("nvmlSystemGetDriverVersion", driver, sizeof driver) == SUCCESS)
			json.text("driverVersion", driver);
		json.key("devices");
		json.open('[');
		unsigned count = 0;
		note("nvmlDeviceGetCount_v2", call<int (*)(unsigned *)>("nvmlDeviceGetCount_v2", &count));
		std::vector<Device> devices(count, nullptr);
		for (unsigned i = 0; i < count; i++) {
			const int result =
				call<int (*)(unsigned, Device *)>("nvmlDeviceGetHandleByIndex_v2", i, &devices[i]);
			if (result == SUCCESS) device(json, devices[i], i);
			else lost(json, i, result);
		}
		json.close(']');
		events(json, devices);
		json.key("errors");
		json.open('[');
		for (const std::string &error : errors_) json.quoted(error);
		json.close(']');
		json.close('}');
		return json.str();
	}

   private:
	/** The result of a function by name; one that this driver's library lacks is not supported. */
	template <typename Function, typename... Args>
	int call(const char *name, Args... args) {
		const auto function = reinterpret_cast<Function>(dlsym(handle_, name));
		return function == nullptr ? FUNCTION_NOT_FOUND : function(args...);
	}

	std::string describe(int result) {
		const auto function = reinterpret_cast<const char *(*)(int)>(dlsym(handle_, "nvmlErrorString"));
		return function == nullptr ? std::to_string(result) : function(result);
	}

	/** Lists a failure, unless it only says that the device has no such thing. */
	bool note(const char *name, int result) {
		if (result == SUCCESS) return true;
		const bool absent = result == NOT_SUPPORTED || result == FUNCTION_NOT_FOUND || result == NOT_FOUND;
		if (!absent && errors_.size() < 64) errors_.push_back(std::string(name) + ": " + describe(result));
		return false;
	}

	void lost(Json &json, unsigned index, int result) {
		errors_.push_back("device " + std::to_string(index) + ": " + describe(result));
		if (result != GPU_IS_LOST) return;
		json.open('{');
		json.number("index", index);
		json.number("lost", 1);
		json.close('}');
	}

	template <typename Value>
	void value(Json &json, const char *key, const char *name, Device device) {
		Value found = 0;
		if (note(name, call<int (*)(Device, Value *)>(name, device, &found))) json.number(key, found);
	}

	template <typename Value>
	void chosen(Json &json, const char *key, const char *name, Device device, int which) {
		Value found = 0;
		if (note(name, call<int (*)(Device, int, Value *)>(name, device, which, &found))) json.number(key, found);
	}

	void text(Json &json, const char *key, const char *name, Device device) {
		char found[96] = "";
		if (note(name, call<int (*)(Device, char *, unsigned)>(name, device, found, sizeof found))) json.text(key, found);
	}

	void memory(Json &json, Device device) {
		MemoryV2 second = {static_cast<unsigned>(sizeof(MemoryV2) | (2U << 24)), 0, 0, 0, 0};
		int result = call<int (*)(Device, MemoryV2 *)>("nvmlDeviceGetMemoryInfo_v2", device, &second);
		Memory first = {second.total, second.free, second.used};
		if (result != SUCCESS) result = call<int (*)(Device, Memory *)>("nvmlDeviceGetMemoryInfo", device, &first);
		if (!note("nvmlDeviceGetMemoryInfo", result)) return;
		json.number("memoryTotalBytes", first.total);
		json.number("memoryUsedBytes", first.used);
	}

	void device(Json &json, Device handle, unsigned index) {
		json.open('{');
		json.number("index", index);
		text(json, "uuid", "nvmlDeviceGetUUID", handle);
		text(json, "name", "nvmlDeviceGetName", handle);
		PciInfo pci = {};
		if (note("nvmlDeviceGetPciInfo_v3", call<int (*)(Device, PciInfo *)>("nvmlDeviceGetPciInfo_v3", handle, &pci)))
			json.text("busId", pci.bus_id);
		memory(json, handle);
		Utilization use = {};
		if (note("nvmlDeviceGetUtilizationRates",
				 call<int (*)(Device, Utilization *)>("nvmlDeviceGetUtilizationRates", handle, &use))) {
			json.number("gpuPercent", use.gpu);
			json.number("memoryPercent", use.memory);
		}
		value<unsigned>(json, "powerMw", "nvmlDeviceGetPowerUsage", handle);
		value<unsigned>(json, "powerLimitMw", "nvmlDeviceGetEnforcedPowerLimit", handle);
		value<uint64_t>(json, "energyMj", "nvmlDeviceGetTotalEnergyConsumption", handle);
		chosen<unsigned>(json, "temperatureC", "nvmlDeviceGetTemperature", handle, 0);
		chosen<unsigned>(json, "slowdownC", "nvmlDeviceGetTemperatureThreshold", handle, 1);
		chosen<unsigned>(json, "smClockMhz", "nvmlDeviceGetClockInfo", handle, 1);
		chosen<unsigned>(json, "memoryClockMhz", "nvmlDeviceGetClockInfo", handle, 2);
		reasons(json, handle);
		errors(json, handle);
		pcie(json, handle);
		links(json, handle);
		processes(json, handle);
		slices(json, handle);
		json.close('}');
	}

	void reasons(Json &json, Device handle) {
		uint64_t bits = 0;
		int result = call<int (*)(Device, uint64_t *)>("nvmlDeviceGetCurrentClocksEventReasons", handle, &bits);
		if (result == FUNCTION_NOT_FOUND)
			result = call<int (*)(Device, uint64_t *)>("nvmlDeviceGetCurrentClocksThrottleReasons", handle, &bits);
		if (note("nvmlDeviceGetCurrentClocksEventReasons", result)) json.number("reasons", bits);
	}

	void errors(Json &json, Device handle) {
		const char *name = "nvmlDeviceGetTotalEccErrors";
		const struct {
			const char *key;
			int type, counter;
		} counts[] = {{"eccCorrected", 0, 0}, {"eccUncorrected", 1, 0}, {"eccUncorrectedLife", 1, 1}};
		for (const auto &[key, type, counter] : counts) {
			uint64_t found = 0;
			if (note(name, call<int (*)(Device, int, int, uint64_t *)>(name, handle, type, counter, &found)))
				json.number(key, found);
		}
		unsigned corrected = 0, uncorrected = 0, pending = 0, failed = 0;
		const char *rows = "nvmlDeviceGetRemappedRows";
		if (note(rows, call<int (*)(Device, unsigned *, unsigned *, unsigned *, unsigned *)>(
						   rows, handle, &corrected, &uncorrected, &pending, &failed))) {
			json.number("remappedUncorrected", uncorrected);
			json.number("remapPending", pending);
			json.number("remapFailed", failed);
		}
		value<unsigned>(json, "retiredPending", "nvmlDeviceGetRetiredPagesPendingStatus", handle);
	}

	void pcie(Json &json, Device handle) {
		value<unsigned>(json, "pcieReplays", "nvmlDeviceGetPcieReplayCounter", handle);
		value<unsigned>(json, "pcieGen", "nvmlDeviceGetCurrPcieLinkGeneration", handle);
		value<unsigned>(json, "pcieGenMax", "nvmlDeviceGetMaxPcieLinkGeneration", handle);
		value<unsigned>(json, "pcieWidth", "nvmlDeviceGetCurrPcieLinkWidth", handle);
		value<unsigned>(json, "pcieWidthMax", "nvmlDeviceGetMaxPcieLinkWidth", handle);
		chosen<unsigned>(json, "pcieTxKib", "nvmlDeviceGetPcieThroughput", handle, 0);
		chosen<unsigned>(json, "pcieRxKib", "nvmlDeviceGetPcieThroughput", handle, 1);
	}

	void links(Json &json, Device handle) {
		unsigned known = 0, down = 0;
		uint64_t failures = 0;
		for (unsigned link = 0; link < NVLINKS_MAX; link++) {
			unsigned active = 0;
			if (call<int (*)(Device, unsigned, unsigned *)>("nvmlDeviceGetNvLinkState", handle, link, &active) != SUCCESS)
				break;
			known++;
			down += active == 0 ? 1 : 0;
			for (int counter = 0; counter < 4; counter++) {
				uint64_t found = 0;
				if (call<int (*)(Device, unsigned, int, uint64_t *)>("nvmlDeviceGetNvLinkErrorCounter", handle, link,
																	 counter, &found) == SUCCESS)
					failures += found;
			}
		}
		if (known == 0) return;
		json.number("linksDown", down);
		json.number("linkErrors", failures);
	}

	/** Asked for without room, NVML tells how many there are. */
	void processes(Json &json, Device handle) {
		unsigned count = 0;
		const char *name = "nvmlDeviceGetComputeRunningProcesses_v3";
		const int result = call<int (*)(Device, unsigned *, void *)>(name, handle, &count, static_cast<void *>(nullptr));
		if (result == SUCCESS || result == INSUFFICIENT_SIZE) json.number("processes", count);
		else if (result != NO_PERMISSION) note(name, result);
	}

	void slices(Json &json, Device handle) {
		unsigned current = 0, pending = 0, most = 0;
		if (call<int (*)(Device, unsigned *, unsigned *)>("nvmlDeviceGetMigMode", handle, &current, &pending) != SUCCESS ||
			current == 0)
			return;
		const char *count = "nvmlDeviceGetMaxMigDeviceCount";
		if (!note(count, call<int (*)(Device, unsigned *)>(count, handle, &most))) return;
		json.key("slices");
		json.open('[');
		for (unsigned i = 0; i < most; i++) {
			Device slice = nullptr;
			if (call<int (*)(Device, unsigned, Device *)>("nvmlDeviceGetMigDeviceHandleByIndex", handle, i, &slice) != SUCCESS)
				continue;
			json.open('{');
			text(json, "uuid", "nvmlDeviceGetUUID", slice);
			value<unsigned>(json, "instance", "nvmlDeviceGetGpuInstanceId", slice);
			memory(json, slice);
			Attributes attributes = {};
			const char *name = "nvmlDeviceGetAttributes_v2";
			if (note(name, call<int (*)(Device, Attributes *)>(name, slice, &attributes)))
				json.number("gpuSlices", attributes.gpu_slices);
			json.close('}');
		}
		json.close(']');
	}

	/** XIDs since the last look. The set is made with the first one; a driver without events tells none. */
	void events(Json &json, const std::vector<Device> &devices) {
		if (set_ == nullptr) {
			const char *name = "nvmlEventSetCreate";
			if (!note(name, call<int (*)(EventSet *)>(name, &set_))) return;
			for (const Device device : devices)
				if (device != nullptr)
					note("nvmlDeviceRegisterEvents",
						 call<int (*)(Device, uint64_t, EventSet)>("nvmlDeviceRegisterEvents", device, EVENT_XID, set_));
		}
		json.key("xids");
		json.open('[');
		for (unsigned seen = 0; seen < EVENTS_PER_LOOK_MAX; seen++) {
			EventData event = {};
			if (call<int (*)(EventSet, EventData *, unsigned)>("nvmlEventSetWait_v2", set_, &event, 0U) != SUCCESS) break;
			if (event.type != EVENT_XID) continue;
			json.open('{');
			text(json, "uuid", "nvmlDeviceGetUUID", event.device);
			json.number("xid", event.data);
			json.close('}');
		}
		json.close(']');
	}

	void *handle_ = nullptr;
	EventSet set_ = nullptr;
	std::vector<std::string> errors_;
};

/** What the thread and JavaScript share; whoever is last lets it go. */
struct Shared {
	std::mutex mutex;
	std::condition_variable wake;
	bool wanted = false;
	bool closed = false;
	std::string path;
	Napi::ThreadSafeFunction answer;
};

void run(const std::shared_ptr<Shared> &shared) {
	Library library;
	std::string failure;
	bool opened = false;
	for (;;) {
		{
			std::unique_lock<std::mutex> lock(shared->mutex);
			shared->wake.wait(lock, [&] { return shared->wanted || shared->closed; });
			if (shared->closed) break;
			shared->wanted = false;
		}
		if (!opened) {
			failure = library.open(shared->path);
			opened = failure.empty();
		}
		auto *text = new std::pair<bool, std::string>(opened, opened ? library.look() : failure);
		const napi_status status = shared->answer.BlockingCall(
			text, [](Napi::Env env, Napi::Function callback, std::pair<bool, std::string> *told) {
				if (env != nullptr && !callback.IsEmpty())
					callback.Call({Napi::Boolean::New(env, told->first), Napi::String::New(env, told->second)});
				delete told;
			});
		if (status != napi_ok) {
			delete text;
			if (opened) library.shut();
			// The environment is gone, and the function with it.
			return;
		}
	}
	if (opened) library.shut();
	shared->answer.Release();
}

class Nvml : public Napi::ObjectWrap<Nvml> {
   public:
	static Napi::Function define(Napi::Env env) {
		return DefineClass(env, "Nvml", {InstanceMethod<&Nvml::look>("look"), InstanceMethod<&Nvml::close>("close")});
	}

	/** `new Nvml(path, answered)`: `answered(ok, text)` is called once for each `look()`. */
	explicit Nvml(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Nvml>(info), shared_(std::make_shared<Shared>()) {
		shared_->path = info[0].As<Napi::String>().Utf8Value();
		shared_->answer = Napi::ThreadSafeFunction::New(info.Env(), info[1].As<Napi::Function>(), "nvml", 4, 1);
		// A look under way does not keep the process up.
		shared_->answer.Unref(info.Env());
		std::thread([shared = shared_] { run(shared); }).detach();
	}

	~Nvml() override { end(); }

   private:
	void look(const Napi::CallbackInfo &) {
		const std::lock_guard<std::mutex> lock(shared_->mutex);
		shared_->wanted = true;
		shared_->wake.notify_one();
	}

	void close(const Napi::CallbackInfo &) { end(); }

	void end() {
		const std::lock_guard<std::mutex> lock(shared_->mutex);
		shared_->closed = true;
		shared_->wake.notify_one();
	}

	std::shared_ptr<Shared> shared_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
	exports.Set("Nvml", Nvml::define(env));
	return exports;
}

NODE_API_MODULE(nvml, init)

}  // namespace
