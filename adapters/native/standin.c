// Owns a library with the symbols of NVIDIA's management library for tests: two devices, the second cut by MIG, whose values are NAME=NUMBER lines of
// the file that NVML_STANDIN names, read at every call. `hang` = 1 makes a call never come back; `missing` = 1 takes a device off the bus.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long setting(const char *name, long otherwise) {
	const char *path = getenv("NVML_STANDIN");
	FILE *file = path == NULL ? NULL : fopen(path, "r");
	char line[128];
	long found = otherwise;
	if (file == NULL) return otherwise;
	while (fgets(line, sizeof line, file) != NULL) {
		char *equals = strchr(line, '=');
		if (equals == NULL) continue;
		*equals = 0;
		if (strcmp(line, name) == 0) found = atol(equals + 1);
	}
	fclose(file);
	return found;
}

static int whole_0 = 0, whole_1 = 1, slice_0 = 2;
static long xids_told = 0;

int nvmlInit_v2(void) { return (int)setting("init", 0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int result) { return result == 15 ? "GPU is lost" : result == 9 ? "Driver Not Loaded" : "Other"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
	while (setting("hang", 0) != 0) usleep(10000);
	snprintf(text, size, "570.86.15");
	return 0;
}
int nvmlDeviceGetCount_v2(unsigned *count) {
	*count = 2;
	return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
	if (index == 0 && setting("missing", 0) != 0) return 15;
	*device = index == 0 ? &whole_0 : &whole_1;
	return 0;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
	snprintf(text, size, device == &slice_0 ? "MIG-s" : device == &whole_0 ? "GPU-x" : "GPU-y");
	return 0;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) {
	(void)device;
	snprintf(text, size, "NVIDIA \"Stand-in\"");
	return 0;
}
struct memory {
	uint64_t total, free, used;
};
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory) {
	memory->total = device == &slice_0 ? 10ULL << 30 : 80ULL << 30;
	memory->used = 1ULL << 30;
	memory->free = memory->total - memory->used;
	return 0;
}
struct utilization {
	unsigned gpu, memory;
};
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *use) {
	if (device == &whole_1) return 3;
	use->gpu = 75;
	use->memory = 50;
	return 0;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *value) {
	(void)device;
	*value = 250500;
	return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, uint64_t *value) {
	(void)device;
	*value = 5000000000ULL;
	return 0;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *value) {
	(void)device;
	(void)sensor;
	*value = (unsigned)setting("temperature", 60);
	return 0;
}
int nvmlDeviceGetTemperatureThreshold(void *device, int which, unsigned *value) {
	(void)device;
	*value = which == 1 ? 90 : 95;
	return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, uint64_t *value) {
	(void)device;
	*value = (uint64_t)setting("reasons", 4);
	return 0;
}
int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, uint64_t *value) {
	(void)device;
	*value = (uint64_t)(type * 10 + counter);
	return 0;
}
int nvmlDeviceGetRemappedRows(void *device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
	(void)device;
	*corrected = 1;
	*uncorrected = 2;
	*pending = 1;
	*failed = 0;
	return 0;
}
int nvmlDeviceGetPcieThroughput(void *device, int which, unsigned *value) {
	(void)device;
	*value = which == 0 ? 100 : 200;
	return 0;
}
int nvmlDeviceGetNvLinkState(void *device, unsigned link, unsigned *active) {
	(void)device;
	if (link >= 4) return 2;
	*active = link == 3 ? 0 : 1;
	return 0;
}
int nvmlDeviceGetNvLinkErrorCounter(void *device, unsigned link, int counter, uint64_t *value) {
	(void)device;
	(void)link;
	*value = counter == 0 ? 5 : 0;
	return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, void *infos) {
	(void)device;
	(void)infos;
	*count = 3;
	return 7;
}
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
	*current = *pending = device == &whole_1 ? 1 : 0;
	return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
	(void)device;
	*count = 7;
	return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **slice) {
	(void)device;
	if (index != 2) return 6;
	*slice = &slice_0;
	return 0;
}
int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id) {
	(void)device;
	*id = 9;
	return 0;
}
struct attributes {
	unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
	uint64_t memory_mb;
};
int nvmlDeviceGetAttributes_v2(void *device, struct attributes *attributes) {
	(void)device;
	memset(attributes, 0, sizeof *attributes);
	attributes->gpu_slices = 1;
	return 0;
}
int nvmlEventSetCreate(void **set) {
	*set = &xids_told;
	return 0;
}
int nvmlDeviceRegisterEvents(void *device, uint64_t types, void *set) {
	(void)device;
	(void)set;
	return types == 8 ? 0 : 2;
}
struct event {
	void *device;
	uint64_t type, data;
	unsigned gpu_instance, compute_instance;
};
int nvmlEventSetWait_v2(void *set, struct event *event, unsigned timeout_ms) {
	(void)set;
	(void)timeout_ms;
	if (xids_told >= setting("xids", 0)) return 10;
	xids_told++;
	event->device = &whole_0;
	event->type = 8;
	event->data = 79;
	return 0;
}
